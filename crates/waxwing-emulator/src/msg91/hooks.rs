//! MSG91's webhooks in the body that Waxwing asks customers to configure: every field under its own name, nested ones as
//! JSON in a text (msg91.md section 4).

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::config::{Msg91Config, Msg91Form};
use super::time;

/// All fields of the table. What an event does not have is an empty text, as placeholders without a value are.
const FIELDS: [&str; 40] = [
    "button",
    "campaignName",
    "campaignRequestId",
    "caption",
    "companyId",
    "contacts",
    "content",
    "contentType",
    "conversationExpTimestamp",
    "crqid",
    "customerName",
    "customerNumber",
    "direction",
    "emailId",
    "eventName",
    "filename",
    "integratedNumber",
    "interactive",
    "latitude",
    "longitude",
    "messages",
    "nodeId",
    "oneApiRequestId",
    "origin",
    "price",
    "reaction",
    "reason",
    "referral",
    "replyMsgId",
    "requestId",
    "requestedAt",
    "statusUpdatedAt",
    "submittedAt",
    "telecomCircle",
    "templateLanguage",
    "templateName",
    "text",
    "ts",
    "url",
    "uuid",
];

/// A body before it is written.
pub(crate) type Fields = Map<String, Value>;

fn blank(config: &Msg91Config) -> Fields {
    let mut fields: Fields = FIELDS
        .iter()
        .map(|n| ((*n).to_owned(), json!("")))
        .collect();
    set(&mut fields, "companyId", &config.company_id);
    set(&mut fields, "integratedNumber", &config.integrated_number);
    fields
}

fn set(fields: &mut Fields, name: &str, value: &str) {
    fields.insert(name.to_owned(), json!(value));
}

/// A nested value as the text that MSG91 puts into its place.
fn nested(fields: &mut Fields, name: &str, value: &Value) {
    set(fields, name, &value.to_string());
}

/// A received message.
pub(crate) struct InboundEvent<'a> {
    /// Digits; empty for a user whose phone is withheld.
    pub(crate) customer: &'a str,
    pub(crate) name: &'a str,
    /// The message as Meta would post it.
    pub(crate) message: &'a Value,
    /// Address and file name of its media.
    pub(crate) media: Option<(String, String)>,
    /// Seconds since 1970.
    pub(crate) at: u64,
}

/// The fields of "On Inbound Request Received".
pub(crate) fn inbound(config: &Msg91Config, event: &InboundEvent<'_>) -> Fields {
    let message = event.message;
    let kind = message["type"].as_str().unwrap_or("");
    let content = &message[kind];
    let mut fields = blank(config);
    set(&mut fields, "customerNumber", event.customer);
    set(&mut fields, "customerName", event.name);
    set(&mut fields, "eventName", "received");
    set(&mut fields, "direction", "0");
    set(&mut fields, "contentType", kind);
    set(&mut fields, "uuid", message["id"].as_str().unwrap_or(""));
    set(&mut fields, "requestedAt", &time::iso(event.at));
    set(&mut fields, "ts", &time::iso(event.at));
    let contact = json!([{ "profile": { "name": event.name }, "wa_id": event.customer }]);
    nested(&mut fields, "contacts", &contact);
    nested(&mut fields, "messages", &json!([message]));
    if let Some(id) = message.pointer("/context/id").and_then(Value::as_str) {
        set(&mut fields, "replyMsgId", id);
    }
    if let Some(referral) = message.get("referral") {
        nested(&mut fields, "referral", referral);
    }
    match kind {
        "text" => set(&mut fields, "text", content["body"].as_str().unwrap_or("")),
        "button" | "interactive" | "reaction" => nested(&mut fields, kind, content),
        "location" => {
            for name in ["latitude", "longitude"] {
                let value = content[name].as_f64().map(|v| v.to_string());
                let text = content[name].as_str().map(str::to_owned);
                set(&mut fields, name, &value.or(text).unwrap_or_default());
            }
        }
        _ => {}
    }
    if let Some(caption) = content.get("caption").and_then(Value::as_str) {
        set(&mut fields, "caption", caption);
    }
    if let Some((url, filename)) = &event.media {
        set(&mut fields, "url", url);
        set(&mut fields, "filename", filename);
    }
    fields
}

/// A sent message as MSG91 knows it.
pub(crate) struct SentMessage<'a> {
    pub(crate) customer: &'a str,
    pub(crate) crqid: &'a str,
    pub(crate) request_id: &'a str,
    /// WhatsApp's id.
    pub(crate) uuid: &'a str,
    /// `text`, `template`, …
    pub(crate) kind: &'a str,
    pub(crate) template: Option<(&'a str, &'a str)>,
    /// When the call was taken, in seconds.
    pub(crate) requested_at: u64,
}

fn sent(config: &Msg91Config, message: &SentMessage<'_>) -> Fields {
    let mut fields = blank(config);
    set(&mut fields, "customerNumber", message.customer);
    set(&mut fields, "crqid", message.crqid);
    set(&mut fields, "requestId", message.request_id);
    set(&mut fields, "direction", "1");
    set(&mut fields, "contentType", message.kind);
    // Reports name the kind by its other name.
    set(&mut fields, "messageType", message.kind);
    set(&mut fields, "requestedAt", &time::iso(message.requested_at));
    if let Some((name, language)) = message.template {
        set(&mut fields, "templateName", name);
        set(&mut fields, "templateLanguage", language);
    }
    fields
}

/// The fields of "Outbound Report Received": `sent`, `delivered`, `read` or `failed`.
pub(crate) fn report(
    config: &Msg91Config,
    message: &SentMessage<'_>,
    status: &str,
    reason: &str,
    price: &str,
    at: u64,
) -> Fields {
    let mut fields = sent(config, message);
    set(&mut fields, "uuid", message.uuid);
    set(&mut fields, "eventName", status);
    set(&mut fields, "reason", reason);
    set(&mut fields, "price", price);
    set(&mut fields, "statusUpdatedAt", &time::iso(at));
    set(&mut fields, "ts", &time::iso(at));
    fields
}

/// The fields of "On Outbound Request Received"; WhatsApp has given no id yet.
pub(crate) fn requested(
    config: &Msg91Config,
    message: &SentMessage<'_>,
    content: &Value,
) -> Fields {
    let mut fields = sent(config, message);
    set(&mut fields, "eventName", "submitted");
    set(&mut fields, "submittedAt", &time::iso(message.requested_at));
    nested(&mut fields, "content", content);
    fields
}

/// The fields of a sent message that comes back looking like a received one.
pub(crate) fn echo(config: &Msg91Config, message: &SentMessage<'_>, text: &str) -> Fields {
    let mut fields = sent(config, message);
    set(&mut fields, "eventName", "sent");
    set(&mut fields, "uuid", message.uuid);
    set(&mut fields, "content", text);
    set(&mut fields, "ts", &time::iso(message.requested_at));
    fields
}

/// Content type and bytes of an event in the customer's form and names.
pub(crate) fn encode(config: &Msg91Config, mut fields: Fields, form: Msg91Form) -> Encoded {
    for (ours, theirs) in &config.names {
        if let Some(value) = fields.remove(ours)
            && !theirs.is_empty()
        {
            fields.insert(theirs.clone(), value);
        }
    }
    let object = Value::Object(fields);
    match form {
        Msg91Form::Object => Encoded::json(&object),
        Msg91Form::Array => Encoded::json(&json!([object])),
        Msg91Form::Payload => Encoded {
            content_type: "application/x-www-form-urlencoded",
            body: form_field("payload", &object.to_string()).into_bytes(),
        },
    }
}

/// A webhook's body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Encoded {
    fn json(value: &Value) -> Self {
        Self {
            content_type: "application/json",
            body: value.to_string().into_bytes(),
        }
    }
}

fn form_field(name: &str, value: &str) -> String {
    let mut url = reqwest::Url::parse("http://localhost/").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut().append_pair(name, value);
    }
    url.as_ref()
        .and_then(reqwest::Url::query)
        .unwrap_or("")
        .to_owned()
}

/// The headers that the customer entered, those that HTTP can carry.
pub(crate) fn headers(config: &Msg91Config) -> Vec<(HeaderName, HeaderValue)> {
    let pairs = config.webhook_headers.iter();
    pairs
        .filter_map(|(name, value)| {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name.as_str()).ok()?, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{InboundEvent, SentMessage, echo, encode, inbound, report, requested};
    use crate::msg91::config::{Msg91Config, Msg91Form};

    /// The body of a recorded webhook.
    fn recorded(text: &str) -> Map<String, Value> {
        let fixture: Value = serde_json::from_str(text).unwrap();
        serde_json::from_str(fixture["request"]["body"].as_str().unwrap()).unwrap()
    }

    /// Every recorded field is there with the recorded value; nested texts are compared as what they hold.
    fn same(ours: &Map<String, Value>, theirs: &Map<String, Value>, but: &[&str]) {
        for (name, value) in theirs {
            let got = ours
                .get(name)
                .unwrap_or_else(|| panic!("{name} is missing"));
            if but.contains(&name.as_str()) {
                assert!(got.is_string(), "{name}");
                continue;
            }
            let open = |v: &Value| {
                v.as_str()
                    .and_then(|t| serde_json::from_str::<Value>(t).ok())
                    .unwrap_or_else(|| v.clone())
            };
            assert!(got.is_string(), "{name}: {got}");
            assert_eq!(open(got), open(value), "{name}");
        }
    }

    fn inbound_like(text: &str) {
        let mut theirs = recorded(text);
        let mut messages: Value =
            serde_json::from_str(theirs["messages"].as_str().unwrap()).unwrap();
        let word = |name: &str| {
            theirs
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned()
        };
        let media = theirs
            .contains_key("url")
            .then(|| (word("url"), word("filename")));
        // The recorded inner messages lack the caption that the flat field has.
        let caption = word("caption");
        if !caption.is_empty() {
            let kind = word("contentType");
            messages[0][&kind]["caption"] = json!(caption);
            theirs.insert("messages".into(), json!(messages.to_string()));
        }
        let event = InboundEvent {
            customer: "447700900123",
            name: "Ada Lovelace",
            message: &messages[0],
            media,
            at: 1_795_248_001,
        };
        let ours = inbound(&Msg91Config::default(), &event);
        same(&ours, &theirs, &["requestedAt"]);
    }

    #[test]
    fn received_messages_look_as_recorded() {
        for text in [
            include_str!("../../fixtures/msg91/webhooks/inbound-text.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-text-unicode.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-reply.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-button-reply.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-button-template.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-list-reply.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-reaction.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-location.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-contacts.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-image.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-audio.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-video.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-document.json"),
            include_str!("../../fixtures/msg91/webhooks/inbound-sticker.json"),
        ] {
            inbound_like(text);
        }
    }

    fn message(template: bool) -> SentMessage<'static> {
        SentMessage {
            customer: "447700900123",
            crqid: "wax-msg-01J0000000000000000000001",
            request_id: "7dc9157ab37f4ab683e73d4f0a7c0001",
            uuid: "wamid.OUT1",
            kind: if template { "template" } else { "text" },
            template: template.then_some(("booking_confirmed", "en")),
            requested_at: 1_795_248_000,
        }
    }

    #[test]
    fn reports_look_as_recorded() {
        let config = Msg91Config::default();
        for (status, reason, text) in [
            (
                "sent",
                "",
                include_str!("../../fixtures/msg91/webhooks/report-sent.json"),
            ),
            (
                "delivered",
                "",
                include_str!("../../fixtures/msg91/webhooks/report-delivered.json"),
            ),
            (
                "read",
                "",
                include_str!("../../fixtures/msg91/webhooks/report-read.json"),
            ),
            (
                "failed",
                "131026: Message undeliverable",
                include_str!("../../fixtures/msg91/webhooks/report-failed.json"),
            ),
        ] {
            let ours = report(
                &config,
                &message(true),
                status,
                reason,
                "0.115",
                1_795_248_003,
            );
            same(&ours, &recorded(text), &[]);
        }
        let ours = requested(&config, &message(true), &json!({ "body_1": "Ada" }));
        let theirs = recorded(include_str!(
            "../../fixtures/msg91/webhooks/outbound-request-received.json"
        ));
        same(&ours, &theirs, &[]);
        assert_eq!(ours["uuid"], "");
    }

    #[test]
    fn echoes_look_as_recorded() {
        let ours = echo(&Msg91Config::default(), &message(false), "Hello 👋 नमस्ते");
        let theirs = recorded(include_str!(
            "../../fixtures/msg91/webhooks/inbound-echo-of-outbound.json"
        ));
        same(&ours, &theirs, &["uuid"]);
    }

    #[test]
    fn customers_choose_form_and_names() {
        let config = Msg91Config {
            names: vec![
                ("customerNumber".into(), "mobile".into()),
                ("price".into(), String::new()),
            ],
            ..Msg91Config::default()
        };
        let fields = || echo(&config, &message(false), "a&b=c d");
        let object = encode(&config, fields(), Msg91Form::Object);
        let value: Value = serde_json::from_slice(&object.body).unwrap();
        assert_eq!(value["mobile"], "447700900123");
        assert!(value.get("customerNumber").is_none() && value.get("price").is_none());
        let array = encode(&config, fields(), Msg91Form::Array);
        assert_eq!(
            serde_json::from_slice::<Value>(&array.body).unwrap(),
            json!([value])
        );
        let form = encode(&config, fields(), Msg91Form::Payload);
        assert_eq!(form.content_type, "application/x-www-form-urlencoded");
        let query = String::from_utf8(form.body).unwrap();
        let payload = crate::server::param(&query, "payload").unwrap();
        assert_eq!(serde_json::from_str::<Value>(&payload).unwrap(), value);
    }
}
