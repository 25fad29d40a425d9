//! Webhook bodies of Meta and their signatures, made by hand.

use ring::hmac;
use serde_json::{Value, json};

/// The platform's app secret in tests.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// The token of the webhook handshake in tests.
pub const VERIFY_TOKEN: &str = "waxwing-verify-token";
/// The phone number id of the first tenant.
pub const NUMBER: &str = "106540352242922";

/// The value of `X-Hub-Signature-256` for a body.
#[must_use]
pub fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

/// A tenant that a test has registered.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// The id of its channel.
    pub channel_id: String,
    /// Its phone number id at Meta.
    pub number: String,
}

/// A person who writes.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Digits.
    pub wa_id: String,
    /// The profile name.
    pub name: String,
}

impl Sender {
    /// A person.
    #[must_use]
    pub fn new(wa_id: &str, name: &str) -> Self {
        Self {
            wa_id: wa_id.to_owned(),
            name: name.to_owned(),
        }
    }

    /// One change with one message of this person; `content` holds `type` and the object of that type.
    #[must_use]
    pub fn change(&self, number: &str, id: &str, content: &Value) -> Value {
        let mut message = json!({"from": self.wa_id, "id": id, "timestamp": "1795219200"});
        if let (Some(message), Some(content)) = (message.as_object_mut(), content.as_object()) {
            message.extend(content.clone());
        }
        json!({"field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
            "contacts": [{"profile": {"name": self.name}, "wa_id": self.wa_id}],
            "messages": [message],
        }})
    }
}

fn envelope(changes: &[Value]) -> Vec<u8> {
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": changes}]});
    body.to_string().into_bytes()
}

/// The body of a request with one text message.
#[must_use]
pub fn text_body(number: &str, sender: &Sender, id: &str, text: &str) -> Vec<u8> {
    envelope(&[sender.change(number, id, &json!({"type": "text", "text": {"body": text}}))])
}

/// The body of a request with one status.
#[must_use]
pub fn status_body(number: &str, id: &str, status: &str, extra: &Value) -> Vec<u8> {
    let mut item = json!({"id": id, "status": status, "timestamp": "1795219200", "recipient_id": "16505551234"});
    if let (Some(item), Some(extra)) = (item.as_object_mut(), extra.as_object()) {
        item.extend(extra.clone());
    }
    envelope(&[json!({"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
        "statuses": [item],
    }})])
}
