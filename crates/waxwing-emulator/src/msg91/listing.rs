//! Templates as MSG91's API takes and lists them (msg91.md section 3).

use serde_json::{Value, json};

use super::answers::Refusal;
use crate::meta::templates::variables;

/// Turns a creation into Meta's, with the number that it is for.
pub(crate) fn creation(body: &[u8]) -> Result<(String, Value), Refusal> {
    let body: Value = serde_json::from_slice(body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Refusal::Text("Invalid JSON".into()))?;
    let need = |field: &'static str| {
        body.get(field)
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty())
            .ok_or(Refusal::missing(field))
    };
    let number = need("integrated_number")?.to_owned();
    let request = json!({
        "name": need("template_name")?,
        "category": need("category")?,
        "language": need("language")?,
        "components": body.get("components").ok_or(Refusal::missing("components"))?,
    });
    Ok((number, request))
}

/// Names of the values that a send must give.
fn names(components: &[Value]) -> Vec<String> {
    let mut out = Vec::new();
    for component in components {
        let kind = component["type"].as_str().unwrap_or("");
        let words = component["text"].as_str().unwrap_or("");
        match (kind, component["format"].as_str().unwrap_or("TEXT")) {
            ("HEADER", "TEXT") | ("BODY", _) => {
                let lower = kind.to_ascii_lowercase();
                let count = variables(words).len();
                out.extend((1..=count).map(|n| format!("{lower}_{n}")));
            }
            ("HEADER", _) => out.push("header_1".into()),
            ("BUTTONS", _) => {
                let buttons = component["buttons"].as_array().into_iter().flatten();
                let variable = |button: &Value| {
                    let url = button["url"].as_str();
                    url.is_some_and(|url| url.contains("{{"))
                };
                let with = buttons.enumerate().filter(|(_, button)| variable(button));
                out.extend(with.map(|(n, _)| format!("button_{}", n + 1)));
            }
            _ => {}
        }
    }
    out
}

/// The list of an account: one entry for each name, with its languages.
pub(crate) fn list(all: &[Value]) -> Value {
    let mut out: Vec<Value> = Vec::new();
    for meta in all {
        let status = meta["status"].as_str().unwrap_or("");
        let components = meta["components"].as_array().cloned().unwrap_or_default();
        let code: Vec<Value> = components
            .iter()
            .map(|component| {
                let mut component = component.clone();
                if let Some(object) = component.as_object_mut() {
                    object.remove("example");
                }
                component
            })
            .collect();
        let reason = (status == "REJECTED").then_some("INVALID_FORMAT");
        let language = json!({
            "id": meta["id"],
            "status": status,
            "language": meta["language"],
            "variables": names(&code),
            "code": code,
            "rejection_reason": reason,
        });
        let known = out.iter_mut().find(|entry| entry["name"] == meta["name"]);
        match known.and_then(|entry| entry["languages"].as_array_mut()) {
            Some(languages) => languages.push(language),
            None => out.push(json!({
                "name": meta["name"], "category": meta["category"], "languages": [language],
            })),
        }
    }
    Value::Array(out)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{creation, list};

    #[test]
    fn lists_as_the_fixture_does() {
        let fixture: Value = serde_json::from_str(include_str!(
            "../../fixtures/msg91/requests/templates-list.json"
        ))
        .unwrap();
        let theirs = &fixture["response"]["json"]["data"][0];
        let meta = |id: &str, language: &str| {
            json!({ "id": id, "name": "booking_confirmed", "category": "UTILITY", "language": language,
                    "status": "APPROVED", "components": [{ "type": "BODY",
                        "text": "Hello {{1}}, your booking {{2}} is confirmed.",
                        "example": { "body_text": [["Ada", "BK-118"]] } }] })
        };
        let ours = list(&[meta("1", "en"), meta("2", "de")]);
        assert_eq!(ours[0]["languages"][0], theirs["languages"][0]);
        assert_eq!(ours[0]["languages"][1]["language"], "de");
        assert_eq!(
            (&ours[0]["name"], &ours[0]["category"]),
            (&theirs["name"], &theirs["category"])
        );
        assert!(ours.get(1).is_none());
    }

    #[test]
    fn names_every_value_of_a_template() {
        let parts = [
            json!({ "type": "HEADER", "format": "IMAGE" }),
            json!({ "type": "BODY", "text": "{{1}} and {{2}}" }),
            json!({ "type": "BUTTONS", "buttons": [{ "type": "QUICK_REPLY", "text": "x" },
                                                   { "type": "URL", "url": "https://x/{{1}}" }] }),
        ];
        assert_eq!(
            super::names(&parts),
            ["header_1", "body_1", "body_2", "button_2"]
        );
    }

    #[test]
    fn reads_a_creation() {
        let fixture: Value = serde_json::from_str(include_str!(
            "../../fixtures/msg91/requests/template-create.json"
        ))
        .unwrap();
        let body = serde_json::to_vec(&fixture["request"]["json"]).unwrap();
        let (number, request) = creation(&body).unwrap();
        assert_eq!(number, "15005550006");
        assert_eq!(request["name"], "booking_confirmed");
        assert_eq!(request["components"][1]["text"], "Waxwing Tours");
        assert!(creation(b"{\"template_name\":\"x\"}").is_err());
    }
}
