//! Meta's webhooks: messages, events and statuses in the envelope of meta.md section 3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::User;
use crate::hub::Hub;
use crate::ids::{Way, wamid};
use crate::inbound::Act;
use crate::meta::MetaLine;
use crate::meta::errors::WebhookError;
use crate::meta::json::escaped;
use crate::provider::{CallEvent, CallNews, Form, Said};
use crate::state::{Number, lock, read};
use crate::status::{Item, Stage};

#[derive(Serialize)]
struct MessagesValue<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<[WireContact<'a>; 1]>,
    messages: [&'a Value; 1],
}

fn content(act: &Act, hub: &Hub) -> Value {
    match act {
        Act::Text(text) => json!({ "body": text }),
        Act::Tap {
            id,
            title,
            template: true,
        } => json!({ "payload": id, "text": title }),
        Act::Tap { id, title, .. } => {
            json!({ "type": "button_reply", "button_reply": { "id": id, "title": title } })
        }
        Act::Pick {
            id,
            title,
            description,
        } => {
            let mut reply = json!({ "id": id, "title": title });
            if let Some(description) = description {
                reply["description"] = json!(description);
            }
            json!({ "type": "list_reply", "list_reply": reply })
        }
        Act::Media {
            id, mime, caption, ..
        } => {
            let sha256 = lock(&hub.media).sha256(id).unwrap_or_default();
            // Base64 in webhooks, hex in the API (meta.md section 14).
            let mut media =
                json!({ "id": id, "mime_type": mime, "sha256": STANDARD.encode(sha256) });
            if let Some(url) = hub.media_url(id) {
                media["url"] = json!(url);
            }
            if let Some(caption) = caption {
                media["caption"] = json!(caption);
            }
            media
        }
        Act::Location {
            latitude,
            longitude,
            name,
            address,
        } => {
            let mut place = json!({ "latitude": latitude, "longitude": longitude });
            for (key, value) in [("name", name), ("address", address)] {
                if let Some(value) = value {
                    place[key] = json!(value);
                }
            }
            place
        }
        Act::Reaction { message, emoji } => json!({ "message_id": message, "emoji": emoji }),
        Act::Raw { .. } => Value::Null,
    }
}

/// A message of a user as Meta writes it, without its envelope.
pub(crate) fn build(hub: &Hub, line: &MetaLine, said: &Said<'_>) -> Value {
    let (inbound, user) = (said.inbound, said.user);
    let mut message = Map::new();
    if let Some(reply_to) = &inbound.reply_to {
        message.insert(
            "context".into(),
            json!({ "from": line.config.display_phone_number, "id": reply_to }),
        );
    }
    for (name, value) in [("from", &user.wa_id), ("from_user_id", &user.user_id)] {
        if let Some(value) = value {
            message.insert(name.into(), json!(value));
        }
    }
    message.insert("id".into(), json!(said.id));
    message.insert("timestamp".into(), json!(said.at.to_string()));
    message.insert("type".into(), json!(inbound.kind()));
    let content = content(&inbound.act, hub);
    if !content.is_null() {
        message.insert(inbound.kind().to_owned(), content);
    }
    if let Some(referral) = &inbound.referral {
        message.insert("referral".into(), json!(referral));
    }
    // The caller's own properties win.
    if let Act::Raw { fields, .. } = &inbound.act {
        message.extend(fields.clone());
    }
    Value::Object(message)
}

/// The webhook of a user's message.
pub(crate) fn message(
    hub: &Hub,
    number: &Number,
    line: &MetaLine,
    said: &Said<'_>,
    form: Form,
) -> Vec<u8> {
    let message = build(hub, line, said);
    match form {
        Form::Plain => message_body(number, line, said.user, &message),
        Form::Ghost => message_body(number, line, said.user, &ghost(&message)),
        Form::Copy(n) => beside(
            number,
            line,
            &message_body(number, line, said.user, &message),
            u64::from(n),
        ),
    }
}

/// The system message of a user who moved to another number (meta.md section 4.3).
pub(crate) fn number_changed(
    hub: &Hub,
    number: &Number,
    line: &MetaLine,
    from: &str,
    user: &User,
) -> Vec<u8> {
    let new = user.wa_id.as_deref().unwrap_or("");
    let mut system = json!({
        "body": format!("User {} changed from {from} to {new}", user.name),
        "wa_id": new,
        "type": "user_changed_number",
    });
    if let Some(user_id) = &user.user_id {
        system["user_id"] = json!(user_id);
    }
    let id = wamid(from, Way::Inbound, hub.rng.next());
    let message = json!({
        "from": from, "id": id, "timestamp": (hub.now_ms() / 1000).to_string(), "type": "system", "system": system,
    });
    escaped(&Envelope::new(
        line,
        "messages",
        MessagesValue {
            messaging_product: "whatsapp",
            metadata: Metadata::of(number, line),
            contacts: None,
            messages: [&message],
        },
    ))
}

/// The webhook of a user's choice about marketing.
pub(crate) fn preference(
    hub: &Hub,
    number: &Number,
    line: &MetaLine,
    user: &User,
    stop: bool,
) -> Vec<u8> {
    let mut preference = json!({
        "detail": if stop { "User requested to stop marketing messages" } else { "User requested to resume marketing messages" },
        "category": "marketing_messages",
        "value": if stop { "stop" } else { "resume" },
        "timestamp": hub.now_ms() / 1000,
    });
    let mut contact = json!({ "profile": { "name": user.name } });
    for (name, value) in [("wa_id", &user.wa_id), ("user_id", &user.user_id)] {
        if let Some(value) = value {
            preference[name] = json!(value);
            contact[name] = json!(value);
        }
    }
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": Metadata::of(number, line),
        "contacts": [contact],
        "user_preferences": [preference],
    });
    escaped(&Envelope::new(line, "user_preferences", value))
}

/// The webhook of news of a call (meta.md section 10).
pub(crate) fn call(
    hub: &Hub,
    number: &Number,
    line: &MetaLine,
    user: &User,
    news: &CallNews<'_>,
) -> Vec<u8> {
    let now = hub.now_ms() / 1000;
    let mut contact = json!({ "profile": { "name": user.name } });
    let mut value =
        json!({ "messaging_product": "whatsapp", "metadata": Metadata::of(number, line) });
    for (name, id) in [("wa_id", &user.wa_id), ("user_id", &user.user_id)] {
        if let Some(id) = id {
            contact[name] = json!(id);
        }
    }
    value["contacts"] = json!([contact]);
    let status = match news.event {
        CallEvent::Ringing => Some("RINGING"),
        CallEvent::Accepted => Some("ACCEPTED"),
        CallEvent::Rejected => Some("REJECTED"),
        CallEvent::Connect | CallEvent::Ended(_) => None,
    };
    if let Some(status) = status {
        let mut told = json!({ "id": news.id, "timestamp": now.to_string(), "type": "call", "status": status });
        for (name, id) in [
            ("recipient_id", &user.wa_id),
            ("recipient_user_id", &user.user_id),
        ] {
            if let Some(id) = id {
                told[name] = json!(id);
            }
        }
        value["statuses"] = json!([told]);
        return escaped(&Envelope::new(line, "calls", value));
    }
    let own = &line.config.display_phone_number;
    let (theirs, ours, their_id) = if news.by_user {
        ("from", "to", "from_user_id")
    } else {
        ("to", "from", "to_user_id")
    };
    let mut call = json!({
        "id": news.id, ours: own, "timestamp": now.to_string(),
        "direction": if news.by_user { "USER_INITIATED" } else { "BUSINESS_INITIATED" },
    });
    for (name, id) in [(theirs, &user.wa_id), (their_id, &user.user_id)] {
        if let Some(id) = id {
            call[name] = json!(id);
        }
    }
    if let CallEvent::Ended(seconds) = news.event {
        call["event"] = json!("terminate");
        call["status"] = json!(if seconds > 0 { "COMPLETED" } else { "FAILED" });
        if seconds > 0 {
            call["start_time"] = json!(now.saturating_sub(seconds).to_string());
            call["end_time"] = json!(now.to_string());
            call["duration"] = json!(seconds);
        }
    } else {
        call["event"] = json!("connect");
        call["session"] =
            json!({ "sdp_type": if news.by_user { "offer" } else { "answer" }, "sdp": "v=0\r\n" });
    }
    value["calls"] = json!([call]);
    escaped(&Envelope::new(line, "calls", value))
}

fn message_body(number: &Number, line: &MetaLine, user: &User, message: &Value) -> Vec<u8> {
    let value = MessagesValue {
        messaging_product: "whatsapp",
        metadata: Metadata::of(number, line),
        contacts: Some([WireContact {
            profile: WireProfile {
                name: &user.name,
                username: user.username.as_deref(),
            },
            wa_id: user.wa_id.as_deref(),
            user_id: user.user_id.as_deref(),
        }]),
        messages: [message],
    };
    escaped(&Envelope::new(line, "messages", value))
}

/// The placeholder that some first messages arrive as (meta.md section 5, ghost messages).
fn ghost(message: &Value) -> Value {
    let mut ghost = Map::new();
    for name in ["from", "from_user_id", "id", "timestamp"] {
        if let Some(value) = message.get(name) {
            ghost.insert(name.into(), value.clone());
        }
    }
    ghost.insert(
        "errors".into(),
        json!([{
            "code": 131_060,
            "title": "This message is currently unavailable.",
            "message": "This message is currently unavailable.",
            "error_data": { "details": "The message is temporarily unavailable." },
        }]),
    );
    ghost.insert("type".into(), json!("unsupported"));
    ghost.insert("unsupported".into(), json!({ "type": "unknown" }));
    Value::Object(ghost)
}

/// The same change in another envelope: behind a second entry with a status of a message that nobody sent.
fn beside(number: &Number, line: &MetaLine, body: &[u8], n: u64) -> Vec<u8> {
    let Ok(mut envelope) = serde_json::from_slice::<Value>(body) else {
        return body.to_vec();
    };
    let stranger = json!({
        "id": line.config.waba_id,
        "changes": [{ "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": Metadata::of(number, line),
            "statuses": [{
                "id": wamid("10000000000", Way::Outbound, n), "status": "sent", "timestamp": "1700000000",
                "recipient_id": "10000000000",
            }],
        }}],
    });
    if let Some(entries) = envelope.get_mut("entry").and_then(Value::as_array_mut) {
        entries.insert(0, stranger);
    }
    escaped(&envelope)
}

/// The webhook of some statuses.
pub(crate) fn statuses(number: &Number, line: &MetaLine, items: &[Item]) -> Vec<u8> {
    // Statuses of known users carry a contact since the business-scoped ids came; it is left out of batches, whose items
    // have to be joined by id anyway.
    let contact = match items {
        [Item { message, .. }] => message.user.as_ref().map(|user| read(&user.user).clone()),
        _ => None,
    };
    let contact = contact.filter(|user| user.user_id.is_some());
    let errors: Vec<Option<[WebhookError; 1]>> = items
        .iter()
        .map(|item| match item.stage {
            Stage::Failed(code) => Some([WebhookError::of(code)]),
            _ => None,
        })
        .collect();
    let times: Vec<String> = items.iter().map(|item| item.at.to_string()).collect();
    let statuses = items
        .iter()
        .zip(&errors)
        .zip(&times)
        .map(|((item, errors), at)| {
            let message = &item.message;
            let priced = matches!(item.stage, Stage::Sent | Stage::Delivered);
            WireStatus {
                id: &message.wamid,
                status: item.stage.name(),
                timestamp: at,
                recipient_id: message.recipient_id.as_deref(),
                recipient_type: message.group.then_some("group"),
                recipient_user_id: message.recipient_user_id.as_deref(),
                pricing: priced.then_some(WirePricing {
                    billable: message.pricing == "regular",
                    pricing_model: "PMP",
                    kind: message.pricing,
                    category: message.category,
                }),
                errors: errors.as_ref(),
                biz_opaque_callback_data: message.callback_data.as_deref(),
            }
        });
    let contacts = contact.as_ref().map(|user| {
        [WireContact {
            profile: WireProfile {
                name: &user.name,
                username: user.username.as_deref(),
            },
            wa_id: user.wa_id.as_deref(),
            user_id: user.user_id.as_deref(),
        }]
    });
    escaped(&Envelope::new(
        line,
        "messages",
        StatusesValue {
            messaging_product: "whatsapp",
            metadata: Metadata::of(number, line),
            contacts,
            statuses: statuses.collect(),
        },
    ))
}

/// The outer form of every webhook (meta.md section 3).
#[derive(Serialize)]
pub(crate) struct Envelope<'a, V> {
    object: &'static str,
    entry: [Entry<'a, V>; 1],
}

#[derive(Serialize)]
struct Entry<'a, V> {
    id: &'a str,
    changes: [Change<'a, V>; 1],
}

#[derive(Serialize)]
struct Change<'a, V> {
    value: V,
    field: &'a str,
}

impl<'a, V> Envelope<'a, V> {
    pub(crate) fn new(line: &'a MetaLine, field: &'a str, value: V) -> Self {
        Self {
            object: "whatsapp_business_account",
            entry: [Entry {
                id: &line.config.waba_id,
                changes: [Change { value, field }],
            }],
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Metadata<'a> {
    display_phone_number: &'a str,
    phone_number_id: &'a str,
}

impl<'a> Metadata<'a> {
    pub(crate) fn of(number: &'a Number, line: &'a MetaLine) -> Self {
        Self {
            display_phone_number: &line.config.display_phone_number,
            phone_number_id: number.id(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct WireContact<'a> {
    pub(crate) profile: WireProfile<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wa_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct WireProfile<'a> {
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<&'a str>,
}

#[derive(Serialize)]
struct StatusesValue<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<[WireContact<'a>; 1]>,
    statuses: Vec<WireStatus<'a>>,
}

#[derive(Serialize)]
struct WireStatus<'a> {
    id: &'a str,
    status: &'static str,
    timestamp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<WirePricing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [WebhookError; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    biz_opaque_callback_data: Option<&'a str>,
}

#[derive(Serialize)]
struct WirePricing {
    billable: bool,
    pricing_model: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    category: &'static str,
}
