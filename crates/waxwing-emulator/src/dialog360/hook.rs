//! Webhooks as 360dialog forwards them: Meta's envelope without Meta's signature, the flat form of the old hosts, and the
//! signature that partner events carry (360dialog.md sections 3, 4 and 6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Map, Value};

use crate::dialog360::config::SignatureForm;

/// Host of the media addresses. It does not know 360dialog's keys.
pub(crate) const MEDIA_HOST: &str = "https://lookaside.fbsbx.com";

/// Value of `x-360dialog-signature`.
pub(crate) fn signature(secret: &str, form: SignatureForm, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body);
    match form {
        SignatureForm::Hex => hex::encode(tag.as_ref()),
        SignatureForm::Base64 => STANDARD.encode(tag.as_ref()),
    }
}

/// The same address on the host that Meta names; path and query stay.
pub(crate) fn foreign(url: &str) -> String {
    let path = url
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]))
        .unwrap_or("/");
    format!("{MEDIA_HOST}{path}")
}

/// Moves the media addresses of messages to the host that Meta names.
pub(crate) fn move_media(envelope: &mut Value) {
    let entries = envelope["entry"].as_array_mut().into_iter().flatten();
    for change in entries.flat_map(|e| e["changes"].as_array_mut().into_iter().flatten()) {
        let messages = change["value"].get_mut("messages");
        for message in messages.and_then(Value::as_array_mut).into_iter().flatten() {
            let kind = message["type"].as_str().unwrap_or("").to_owned();
            if let Some(url) = message.get_mut(&kind).and_then(|m| m.get_mut("url")) {
                *url = Value::String(foreign(url.as_str().unwrap_or("")));
            }
        }
    }
}

/// Whether a value of Meta's envelope has something that the old hosts knew.
fn is_flat(name: &str) -> bool {
    matches!(name, "contacts" | "messages" | "statuses")
}

/// Turns Meta's envelope into the flat bodies of the old hosts: one for messages, one for statuses. Changes that the old
/// hosts did not know vanish.
pub(crate) fn flatten(envelope: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    let changes = envelope["entry"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|entry| entry["changes"].as_array().into_iter().flatten());
    for change in changes {
        let Some(value) = change["value"].as_object() else {
            continue;
        };
        let kept: Map<String, Value> = value
            .iter()
            .filter(|(name, _)| is_flat(name))
            .map(|(name, value)| (name.clone(), plain(name, value)))
            .collect();
        if kept.contains_key("messages") {
            let mut messages = kept.clone();
            messages.remove("statuses");
            out.push(Value::Object(messages));
        }
        if let Some(statuses) = kept.get("statuses") {
            let mut body = Map::new();
            body.insert("statuses".into(), statuses.clone());
            out.push(Value::Object(body));
        }
    }
    out
}

/// Statuses of the old form have no timestamp and no price, errors no details, and media no address.
fn plain(name: &str, value: &Value) -> Value {
    let mut value = value.clone();
    for item in value.as_array_mut().into_iter().flatten() {
        let Some(item) = item.as_object_mut() else {
            continue;
        };
        if name == "messages"
            && let Some(kind) = item.get("type").and_then(Value::as_str).map(str::to_owned)
            && let Some(media) = item.get_mut(&kind).and_then(Value::as_object_mut)
            && media.contains_key("sha256")
        {
            media.remove("url");
        }
        if name == "statuses" {
            for extra in [
                "timestamp",
                "pricing",
                "recipient_user_id",
                "biz_opaque_callback_data",
            ] {
                item.remove(extra);
            }
            for error in item
                .get_mut("errors")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .filter_map(Value::as_object_mut)
            {
                error.retain(|name, _| matches!(name.as_str(), "code" | "title"));
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{flatten, foreign, signature};
    use crate::dialog360::config::SignatureForm;

    #[test]
    fn signs_as_the_vector_says() {
        let vector: Value = serde_json::from_str(include_str!(
            "../../fixtures/360dialog/partner-signature.json"
        ))
        .unwrap();
        let (secret, body) = (
            vector["platformSecret"].as_str().unwrap(),
            vector["body"].as_str().unwrap(),
        );
        let ours = |form| signature(secret, form, body.as_bytes());
        assert_eq!(ours(SignatureForm::Hex), vector["hex"]);
        assert_eq!(ours(SignatureForm::Base64), vector["base64"]);
    }

    #[test]
    fn media_addresses_name_another_host() {
        assert_eq!(
            foreign("http://127.0.0.1:80/whatsapp_business/attachments/?mid=1&ext=2&hash=3"),
            "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2&hash=3"
        );
    }

    #[test]
    fn flat_form_has_no_envelope() {
        let envelope = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{
            "field": "messages",
            "value": {
                "messaging_product": "whatsapp",
                "metadata": { "phone_number_id": "1" },
                "contacts": [{ "profile": { "name": "Sojan Jose" }, "wa_id": "2423423243" }],
                "messages": [{ "from": "2423423243", "id": "SDFADSf23sfasdafasdfa", "text": { "body": "Test" },
                               "timestamp": "1633034394", "type": "text" }],
                "statuses": [{ "recipient_id": "2423423243", "id": "SDFADSf23sfasdafasdfa", "status": "failed",
                               "timestamp": "1", "errors": [{ "code": 123, "title": "abc", "href": "x" }] }],
            }}]}] });
        let flat = flatten(&envelope);
        let fixture = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(
            flat,
            [
                fixture(include_str!(
                    "../../fixtures/360dialog/legacy-inbound/v1-text.json"
                )),
                fixture(include_str!(
                    "../../fixtures/360dialog/legacy-inbound/v1-status-failed-unknown-code.json"
                )),
            ]
        );
        let other =
            json!({ "entry": [{ "changes": [{ "field": "x", "value": { "event": "y" } }] }] });
        assert!(flatten(&other).is_empty());
    }
}
