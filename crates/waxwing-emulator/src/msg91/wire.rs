//! MSG91's request bodies, turned into the messages that WhatsApp gets (msg91.md sections 2 and 3).

use serde_json::{Map, Value, json};

use super::answers::Refusal;

/// Most recipients of one call; no document names a limit.
const MAX_RECIPIENTS: usize = 1000;
/// Most numbered components of one kind.
const MAX_COMPONENTS: usize = 64;

/// One send call.
#[derive(Debug, PartialEq)]
pub(crate) struct SendCall {
    /// Our sender.
    pub(crate) number: String,
    /// The caller's own reference.
    pub(crate) crqid: Option<String>,
    /// One entry for each recipient.
    pub(crate) messages: Vec<Outgoing>,
}

/// One message of a call.
#[derive(Debug, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) to: String,
    /// The message as Meta's API takes it.
    pub(crate) meta: Value,
    /// The components as they were given, for templates.
    pub(crate) content: Option<Value>,
}

fn object(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice::<Value>(body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Refusal::Text("Invalid JSON".into()))
}

fn text<'v>(value: &'v Value, field: &'static str) -> Result<&'v str, Refusal> {
    value
        .get(field)
        .and_then(Value::as_str)
        .filter(|t| !t.is_empty())
        .ok_or(Refusal::missing(field))
}

/// A number in the form that MSG91 takes: digits with country code, no `+`.
fn digits<'v>(value: &'v Value, field: &'static str) -> Result<&'v str, Refusal> {
    let number = text(value, field)?;
    if is_number(number) {
        Ok(number)
    } else {
        Err(Refusal::Field(field, "must be digits with country code"))
    }
}

fn is_number(number: &str) -> bool {
    (5..=20).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

fn crqid(value: &Value) -> Result<Option<String>, Refusal> {
    match value.get("CRQID") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if id.len() <= 256 => {
            Ok(Some(id.clone()).filter(|id| !id.is_empty()))
        }
        Some(_) => Err(Refusal::Field(
            "CRQID",
            "must be a string of at most 256 characters",
        )),
    }
}

/// Reads `POST …/whatsapp-outbound-message/`.
pub(crate) fn session(body: &[u8]) -> Result<SendCall, Refusal> {
    let body = object(body)?;
    let number = digits(&body, "integrated_number")?;
    let to = digits(&body, "recipient_number")?;
    let kind = text(&body, "content_type")?;
    let payload = body.get("payload").filter(|p| p.is_object());
    if let Some(payload) = payload {
        if payload.get("to").is_some_and(|other| other != to) {
            return Err(Refusal::Field("payload", "names another recipient"));
        }
        if payload.get("type").and_then(Value::as_str) != Some(kind) {
            return Err(Refusal::Field(
                "payload",
                "has another type than content_type",
            ));
        }
    }
    let content = match kind {
        "text" => {
            let inner = payload.and_then(|p| p.pointer("/text/body"));
            let words = body
                .get("text")
                .or(inner)
                .and_then(Value::as_str)
                .ok_or(Refusal::missing("text"))?;
            json!({ "body": words })
        }
        "image" | "document" | "video" | "audio" | "location" | "contacts" | "interactive" => {
            payload
                .ok_or(Refusal::missing("payload"))?
                .get(kind)
                .cloned()
                .ok_or(Refusal::Field("payload", "lacks the content of its type"))?
        }
        _ => return Err(Refusal::Field("content_type", "is invalid")),
    };
    if content.get("id").is_some() {
        // There is no upload: media go by link.
        return Err(Refusal::Field("payload", "must have a link"));
    }
    let meta = json!({ "messaging_product": "whatsapp", "to": to, "type": kind, kind: content });
    Ok(SendCall {
        number: number.to_owned(),
        crqid: crqid(&body)?,
        messages: vec![Outgoing {
            to: to.to_owned(),
            meta,
            content: None,
        }],
    })
}

/// Reads `POST …/whatsapp-outbound-message/bulk/`.
pub(crate) fn bulk(body: &[u8]) -> Result<SendCall, Refusal> {
    let body = object(body)?;
    let number = digits(&body, "integrated_number")?;
    if text(&body, "content_type")? != "template" {
        return Err(Refusal::Field("content_type", "is invalid"));
    }
    let payload = body.get("payload").ok_or(Refusal::missing("payload"))?;
    if payload.get("type").and_then(Value::as_str) != Some("template")
        || payload.get("messaging_product").and_then(Value::as_str) != Some("whatsapp")
    {
        return Err(Refusal::Field("payload", "must be a template of whatsapp"));
    }
    let template = payload
        .get("template")
        .ok_or(Refusal::missing("template"))?;
    let name = text(template, "name")?;
    let language = template
        .pointer("/language/code")
        .and_then(Value::as_str)
        .ok_or(Refusal::missing("language"))?;
    let sets = template
        .get("to_and_components")
        .and_then(Value::as_array)
        .filter(|sets| !sets.is_empty())
        .ok_or(Refusal::missing("to_and_components"))?;
    let mut messages = Vec::new();
    for set in sets {
        let given = set.get("components").cloned().unwrap_or_else(|| json!({}));
        let components = components(&given)?;
        let recipients = set
            .get("to")
            .and_then(Value::as_array)
            .filter(|to| !to.is_empty())
            .ok_or(Refusal::missing("to"))?;
        for to in recipients {
            let to = to
                .as_str()
                .filter(|to| is_number(to))
                .ok_or(Refusal::Field("to", "must be digits with country code"))?;
            if messages.len() >= MAX_RECIPIENTS {
                return Err(Refusal::Field(
                    "to_and_components",
                    "has too many recipients",
                ));
            }
            messages.push(Outgoing {
                to: to.to_owned(),
                meta: json!({
                    "messaging_product": "whatsapp", "to": to, "type": "template",
                    "template": { "name": name, "language": { "code": language }, "components": components },
                }),
                content: Some(given.clone()),
            });
        }
    }
    Ok(SendCall {
        number: number.to_owned(),
        crqid: crqid(&body)?,
        messages,
    })
}

/// `body_2` as its kind and number.
fn numbered(key: &str) -> Option<(&str, usize)> {
    let (kind, n) = key.rsplit_once('_')?;
    let n: usize = n.parse().ok()?;
    ((1..=MAX_COMPONENTS).contains(&n) && matches!(kind, "header" | "body" | "button"))
        .then_some((kind, n))
}

/// Turns MSG91's numbered components into Meta's list.
fn components(given: &Value) -> Result<Value, Refusal> {
    const FIELD: &str = "components";
    let given = given
        .as_object()
        .ok_or(Refusal::Field(FIELD, "must be an object"))?;
    let (mut header, mut body, mut buttons) = (Vec::new(), Vec::new(), Vec::new());
    for (key, component) in given {
        let (kind, n) =
            numbered(key).ok_or(Refusal::Field(FIELD, "has a key that is not known"))?;
        let value = component
            .get("value")
            .and_then(Value::as_str)
            .ok_or(Refusal::Field(FIELD, "lacks a value"))?;
        if value.contains(['\n', '\r']) {
            return Err(Refusal::Field(FIELD, "may not contain line breaks"));
        }
        let type_of = component
            .get("type")
            .and_then(Value::as_str)
            .ok_or(Refusal::Field(FIELD, "lacks a type"))?;
        match kind {
            "header" => header.push((n, parameter(type_of, value, component))),
            "body" => body.push((n, parameter(type_of, value, component))),
            _ => {
                let sub = component
                    .get("subtype")
                    .and_then(Value::as_str)
                    .ok_or(Refusal::Field(FIELD, "lacks a subtype"))?;
                let parameter = match (sub, type_of) {
                    ("quick_reply", _) | (_, "payload") => {
                        json!({ "type": "payload", "payload": value })
                    }
                    _ => json!({ "type": "text", "text": value }),
                };
                buttons.push((
                    n,
                    json!({ "type": "button", "sub_type": sub, "index": n - 1, "parameters": [parameter] }),
                ));
            }
        }
    }
    let mut out = Vec::new();
    for (kind, list) in [("header", &mut header), ("body", &mut body)] {
        list.sort_by_key(|(n, _)| *n);
        let parameters: Vec<Value> = list.drain(..).map(|(_, p)| p).collect();
        if !parameters.is_empty() {
            out.push(json!({ "type": kind, "parameters": parameters }));
        }
    }
    buttons.sort_by_key(|(n, _)| *n);
    out.extend(buttons.into_iter().map(|(_, button)| button));
    Ok(Value::Array(out))
}

fn parameter(kind: &str, value: &str, component: &Value) -> Value {
    if kind == "text" {
        return json!({ "type": "text", "text": value });
    }
    let mut media = Map::new();
    media.insert("link".into(), json!(value));
    if let Some(name) = component.get("filename") {
        media.insert("filename".into(), name.clone());
    }
    let mut parameter = Map::new();
    parameter.insert("type".into(), json!(kind));
    parameter.insert(kind.to_owned(), Value::Object(media));
    Value::Object(parameter)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{bulk, session};
    use crate::msg91::answers::Refusal;

    fn request(text: &str) -> Vec<u8> {
        let fixture: Value = serde_json::from_str(text).unwrap();
        serde_json::to_vec(&fixture["request"]["json"]).unwrap()
    }

    #[test]
    fn both_forms_of_text_are_one_message() {
        let short = session(&request(include_str!(
            "../../fixtures/msg91/requests/send-text.json"
        )))
        .unwrap();
        assert_eq!(short.number, "15005550006");
        assert_eq!(
            short.messages[0].meta,
            json!({ "messaging_product": "whatsapp", "to": "447700900123", "type": "text",
                    "text": { "body": "Hello 👋 नमस्ते" } })
        );
        let long = session(&request(include_str!(
            "../../fixtures/msg91/requests/send-text-with-payload.json"
        )))
        .unwrap();
        assert_eq!(long.messages[0].meta["text"]["body"], "Hello");
    }

    #[test]
    fn components_become_metas_list() {
        let call = bulk(&request(include_str!(
            "../../fixtures/msg91/requests/send-template-header-and-button.json"
        )))
        .unwrap();
        assert_eq!(
            call.messages[0].meta["template"]["components"],
            json!([
                { "type": "header", "parameters": [{ "type": "document", "document": {
                    "link": "https://waxwing.example.com/m/t.pdf", "filename": "ticket.pdf" } }] },
                { "type": "body", "parameters": [{ "type": "text", "text": "Ada" }] },
                { "type": "button", "sub_type": "url", "index": 0, "parameters": [{ "type": "text", "text": "abc" }] },
            ])
        );
        let call = bulk(&request(include_str!(
            "../../fixtures/msg91/requests/send-template-with-crqid.json"
        )))
        .unwrap();
        assert_eq!(
            call.crqid.as_deref(),
            Some("wax-msg-01J0000000000000000000001")
        );
    }

    #[test]
    fn every_recipient_of_a_bulk_call_gets_a_message() {
        let call = bulk(&request(include_str!(
            "../../fixtures/msg91/requests/send-template-bulk.json"
        )))
        .unwrap();
        let to: Vec<&str> = call.messages.iter().map(|m| m.to.as_str()).collect();
        assert_eq!(to, ["447700900100", "447700900101", "447700900102"]);
        assert_eq!(
            call.messages[2].meta["template"]["components"][0]["parameters"][0]["text"],
            "Name 2"
        );
    }

    #[test]
    fn eleven_body_values_stay_in_order() {
        let mut components = serde_json::Map::new();
        for n in (1..=11).rev() {
            components.insert(
                format!("body_{n}"),
                json!({ "type": "text", "value": n.to_string() }),
            );
        }
        let list = super::components(&Value::Object(components)).unwrap();
        let texts: Vec<&str> = list[0]["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["text"].as_str().unwrap())
            .collect();
        assert_eq!(
            texts,
            ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]
        );
    }

    #[test]
    fn refuses_what_is_not_documented() {
        let base = json!({ "integrated_number": "15005550006", "recipient_number": "447700900123",
                           "content_type": "text", "text": "x" });
        let with = |name: &str, value: Value| {
            let mut body = base.clone();
            body[name] = value;
            session(&serde_json::to_vec(&body).unwrap())
        };
        assert!(with("text", json!("y")).is_ok());
        assert_eq!(
            with("integrated_number", Value::Null),
            Err(Refusal::missing("integrated_number"))
        );
        for (name, value) in [
            ("recipient_number", json!("+447700900123")),
            ("recipient_number", json!("abc")),
            ("content_type", json!("sticker")),
            ("content_type", json!("image")),
            ("text", json!(1)),
            ("payload", json!({ "to": "447700900124", "type": "text" })),
            ("payload", json!({ "type": "image" })),
            ("CRQID", json!(7)),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name} {value}");
        }
        assert!(session(b"[]").is_err() && session(b"{").is_err());
        for components in [
            json!({ "body_0": { "type": "text", "value": "x" } }),
            json!({ "footer_1": { "type": "text", "value": "x" } }),
            json!({ "body_1": { "type": "text", "value": "a\nb" } }),
            json!({ "body_1": { "value": "a" } }),
            json!({ "button_1": { "type": "text", "value": "a" } }),
            json!([]),
        ] {
            assert!(super::components(&components).is_err(), "{components}");
        }
    }
}
