//! Messages and events of users, as Meta posts them.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::User;
use crate::faults::{Fault, FaultPoint};
use crate::hub::Hub;
use crate::ids::{Way, wamid};
use crate::json::escaped;
use crate::ledger::WebhookKind;
use crate::shown::{ShownMessage, Tick};
use crate::state::{Number, UserState, lock, read};
use crate::status::{Envelope, Metadata, WireContact, WireProfile};
use crate::webhook::About;

#[derive(Serialize)]
struct MessagesValue<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<[WireContact<'a>; 1]>,
    messages: [&'a Value; 1],
}

/// A message of a user, before it becomes a webhook.
pub(crate) struct Inbound {
    /// Message type and the name of its content.
    pub(crate) kind: String,
    /// Content under the name of the type; `Null` for types without one.
    pub(crate) content: Value,
    /// Message that it answers.
    pub(crate) reply_to: Option<String>,
    /// Further properties of the message, which win over the ones built here.
    pub(crate) extra: Map<String, Value>,
    /// Text for the user's own bubble.
    pub(crate) text: String,
}

impl Inbound {
    pub(crate) fn new(kind: &str, content: Value, text: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            content,
            reply_to: None,
            extra: Map::new(),
            text: text.to_owned(),
        }
    }
}

const DAY_MS: u64 = 86_400_000;

impl Hub {
    /// Posts a message of a user and shows it in the thread; returns its id.
    pub(crate) fn receive(
        &self,
        number: &Arc<Number>,
        state: &Arc<UserState>,
        inbound: Inbound,
    ) -> String {
        let mut user = read(&state.user).clone();
        let keys = [
            user.wa_id.as_deref().unwrap_or("").to_owned(),
            user.user_id.as_deref().unwrap_or("").to_owned(),
        ];
        let keys: Vec<&str> = keys
            .iter()
            .map(String::as_str)
            .filter(|k| !k.is_empty())
            .collect();
        let faults = self.faults();
        let fault = if faults.is_empty() {
            None
        } else {
            faults.pick(FaultPoint::Webhook, &keys, &inbound.kind)
        };
        match fault {
            Some(Fault::NumberChange { to }) => {
                self.change_phone(number, state, to, None);
                user = read(&state.user).clone();
            }
            Some(Fault::WithoutPhone) if user.user_id.is_some() => user.wa_id = None,
            _ => {}
        }
        let now = self.now_ms();
        let key = user
            .wa_id
            .as_deref()
            .or(user.user_id.as_deref())
            .unwrap_or("");
        let id = wamid(key, Way::Inbound, self.rng.next());
        let message = build(number, &user, &id, now / 1000, &inbound);
        if opens_window(&inbound.kind) {
            lock(&state.inner).window_until = now + DAY_MS;
        }
        let mut shown = ShownMessage::new(&id, false, &inbound.kind, now / 1000);
        shown.text = inbound.text;
        shown.reply_to = inbound.reply_to;
        shown.tick = Tick::Delivered;
        state.show(shown, self.config.thread_length);
        self.post_message(number, &user, &message, &id, fault);
        id
    }

    fn post_message(
        &self,
        number: &Arc<Number>,
        user: &User,
        message: &Value,
        id: &str,
        fault: Option<&Fault>,
    ) {
        let about = || About {
            kind: Some(WebhookKind::Message),
            ids: vec![id.into()],
            ..About::default()
        };
        let body = || message_body(number, user, message);
        let mut delay = Duration::ZERO;
        match fault {
            Some(Fault::Drop) => return,
            Some(Fault::Delay { ms }) => delay = Duration::from_millis(*ms),
            Some(Fault::Ghost { after_ms }) => {
                self.send_webhook(
                    number,
                    message_body(number, user, &ghost(message)),
                    about(),
                    Duration::ZERO,
                );
                delay = Duration::from_millis(*after_ms);
            }
            Some(Fault::WrongSignature) => {
                self.send_webhook(
                    number,
                    body(),
                    About {
                        wrong_signature: true,
                        ..about()
                    },
                    Duration::ZERO,
                );
                return;
            }
            Some(Fault::Duplicate {
                times,
                after_ms,
                other_envelope,
            }) => {
                for n in 1..=*times {
                    let copy = if *other_envelope {
                        beside(number, &body(), u64::from(n))
                    } else {
                        body()
                    };
                    let after = Duration::from_millis(after_ms.saturating_mul(u64::from(n)));
                    self.send_webhook(number, copy, about(), after);
                }
            }
            _ => {}
        }
        self.send_webhook(number, body(), about(), delay);
    }

    /// Moves a user to another number and tells the business (meta.md section 4.3).
    pub(crate) fn change_phone(
        &self,
        number: &Arc<Number>,
        state: &Arc<UserState>,
        new: &str,
        user_id: Option<&str>,
    ) {
        let old = number.change_phone(state, new);
        if let Some(user_id) = user_id {
            number.change_user_id(state, user_id);
        }
        let (name, from) = (read(&state.user).name.clone(), old.unwrap_or_default());
        let mut system = json!({
            "body": format!("User {name} changed from {from} to {new}"),
            "wa_id": new,
            "type": "user_changed_number",
        });
        if let Some(user_id) = user_id {
            system["user_id"] = json!(user_id);
        }
        let id = wamid(&from, Way::Inbound, self.rng.next());
        let message = json!({
            "from": from, "id": id, "timestamp": (self.now_ms() / 1000).to_string(), "type": "system", "system": system,
        });
        let value = MessagesValue {
            messaging_product: "whatsapp",
            metadata: Metadata::of(number),
            contacts: None,
            messages: [&message],
        };
        let about = About {
            kind: Some(WebhookKind::Message),
            ids: vec![id.as_str().into()],
            ..About::default()
        };
        self.send_webhook(
            number,
            escaped(&Envelope::new(number, "messages", value)),
            about,
            Duration::ZERO,
        );
    }

    /// Tells the business that a user wants no more marketing, or wants it again.
    pub(crate) fn marketing_preference(
        &self,
        number: &Arc<Number>,
        state: &Arc<UserState>,
        stop: bool,
    ) {
        lock(&state.inner).opted_out = stop;
        let user = read(&state.user).clone();
        let mut preference = json!({
            "detail": if stop { "User requested to stop marketing messages" } else { "User requested to resume marketing messages" },
            "category": "marketing_messages",
            "value": if stop { "stop" } else { "resume" },
            "timestamp": self.now_ms() / 1000,
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
            "metadata": Metadata::of(number),
            "contacts": [contact],
            "user_preferences": [preference],
        });
        let body = escaped(&Envelope::new(number, "user_preferences", value));
        self.send_webhook(number, body, About::default(), Duration::ZERO);
    }
}

/// Which messages open the customer service window; the list is our reading of meta.md section 17.
fn opens_window(kind: &str) -> bool {
    !matches!(kind, "system" | "reaction" | "edit" | "revoke")
}

fn build(number: &Number, user: &User, id: &str, at: u64, inbound: &Inbound) -> Value {
    let mut message = Map::new();
    if let Some(reply_to) = &inbound.reply_to {
        message.insert(
            "context".into(),
            json!({ "from": number.config.display_phone_number, "id": reply_to }),
        );
    }
    for (name, value) in [("from", &user.wa_id), ("from_user_id", &user.user_id)] {
        if let Some(value) = value {
            message.insert(name.into(), json!(value));
        }
    }
    message.insert("id".into(), json!(id));
    message.insert("timestamp".into(), json!(at.to_string()));
    message.insert("type".into(), json!(inbound.kind));
    if !inbound.content.is_null() {
        message.insert(inbound.kind.clone(), inbound.content.clone());
    }
    message.extend(inbound.extra.clone());
    Value::Object(message)
}

fn message_body(number: &Number, user: &User, message: &Value) -> Vec<u8> {
    let value = MessagesValue {
        messaging_product: "whatsapp",
        metadata: Metadata::of(number),
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
    escaped(&Envelope::new(number, "messages", value))
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
fn beside(number: &Number, body: &[u8], n: u64) -> Vec<u8> {
    let Ok(mut envelope) = serde_json::from_slice::<Value>(body) else {
        return body.to_vec();
    };
    let stranger = json!({
        "id": number.config.waba_id,
        "changes": [{ "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": Metadata::of(number),
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
