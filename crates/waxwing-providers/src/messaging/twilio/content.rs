//! Content resources: buttons and lists have to exist at Twilio before they can be sent (protocols/twilio.md 7).
//!
//! The body is a variable of the resource, so one resource serves every text: an account needs as many as it has
//! different sets of buttons and lists, not as many as it has messages.

use ring::digest;
use serde::Serialize;
use serde_json::{Map, Value, json};
use waxwing_core::content::{Button, Content, Frame, Section};
use waxwing_core::limits;

use super::request::{Caller, Host};
use crate::messaging::adapter::{Account, AssetNeed, BuildError, Endpoints};

/// The language that a resource claims. Sent in a conversation it is not checked and not shown.
const LANGUAGE: &str = "en";
/// Variables of a resource.
const VARIABLES_MAX: usize = 100;
/// Blanks in a row that a variable may have (63013 beyond).
const BLANKS_MAX: usize = 4;

#[derive(Serialize)]
struct QuickReply<'a> {
    body: &'static str,
    actions: Vec<Action<'a>>,
}

#[derive(Serialize)]
struct Action<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
struct ListPicker<'a> {
    body: &'static str,
    button: &'a str,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    item: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Serialize)]
struct Types<'a> {
    #[serde(rename = "twilio/quick-reply", skip_serializing_if = "Option::is_none")]
    quick_reply: Option<QuickReply<'a>>,
    #[serde(rename = "twilio/list-picker", skip_serializing_if = "Option::is_none")]
    list_picker: Option<ListPicker<'a>>,
}

const BODY: &str = "{{1}}";

/// The resource that `content` needs; `None` when it needs none.
pub(super) fn asset(
    account: &Account,
    endpoints: &Endpoints,
    content: &Content,
) -> Result<Option<AssetNeed>, BuildError> {
    let types = match content {
        Content::InteractiveButton { buttons, .. } => Types {
            quick_reply: Some(quick_reply(buttons)?),
            list_picker: None,
        },
        Content::InteractiveList {
            button, sections, ..
        } => Types {
            quick_reply: None,
            list_picker: Some(list_picker(button, sections)?),
        },
        _ => return Ok(None),
    };
    let types = serde_json::to_string(&types).expect("texts always serialise");
    let key = digest::digest(&digest::SHA256, format!("{LANGUAGE}\n{types}").as_bytes());
    let key = hex::encode(key);
    let types: Value = serde_json::from_str(&types).expect("it was written above");
    let body = json!({
        "friendly_name": format!("waxwing_{}", &key[..16]),
        "language": LANGUAGE,
        "variables": { "1": "Please choose" },
        "types": types,
    });
    let caller = Caller::new(account, endpoints)?;
    let request = caller.post(
        Host::Content,
        "/v1/Content",
        "application/json",
        body.to_string(),
    )?;
    Ok(Some(AssetNeed { key, request }))
}

fn quick_reply(buttons: &[Button]) -> Result<QuickReply<'_>, BuildError> {
    if buttons.is_empty() || buttons.len() > limits::BUTTONS {
        return Err(rule(format!(
            "Twilio takes 1 to {} buttons in a conversation",
            limits::BUTTONS
        )));
    }
    let actions = buttons.iter().map(|button| Action {
        kind: "QUICK_REPLY",
        title: &button.title,
        id: &button.id,
    });
    Ok(QuickReply {
        body: BODY,
        actions: actions.collect(),
    })
}

/// Twilio's lists have one section, so the rows of all sections follow each other.
fn list_picker<'a>(button: &'a str, sections: &'a [Section]) -> Result<ListPicker<'a>, BuildError> {
    let mut items = Vec::new();
    for section in sections {
        for row in &section.rows {
            items.push(Item {
                id: &row.id,
                item: &row.title,
                description: described(section.title.as_deref(), row.description.as_deref()),
            });
        }
    }
    if items.is_empty() || items.len() > limits::LIST_ROWS {
        return Err(rule(format!(
            "Twilio takes 1 to {} rows in a list",
            limits::LIST_ROWS
        )));
    }
    Ok(ListPicker {
        body: BODY,
        button,
        items,
    })
}

/// The description of a row with the title of its section before it, where both fit; else the title goes.
fn described(section: Option<&str>, description: Option<&str>) -> Option<String> {
    let description = description.filter(|text| !text.is_empty());
    let section = section.filter(|text| !text.is_empty());
    let joined = match (section, description) {
        (Some(section), Some(description)) => format!("{section}: {description}"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => return None,
    };
    if joined.chars().count() <= limits::ROW_DESCRIPTION {
        Some(joined)
    } else {
        description.map(str::to_owned)
    }
}

/// The variables of a message with buttons or a list: header, body and footer as one text, for Twilio has only a body.
pub(super) fn interactive_variables(frame: &Frame, body: &str) -> Result<String, BuildError> {
    let parts = [frame.header.as_deref(), Some(body), frame.footer.as_deref()];
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.trim().is_empty())
        .collect();
    let text = few_blanks(&parts.join("\n\n"));
    if text.is_empty() {
        return Err(rule("the body must not be empty".to_owned()));
    }
    let length = text.chars().count();
    if length > limits::INTERACTIVE_BODY {
        return Err(rule(format!(
            "header, body and footer have {length} characters together; Twilio takes {}",
            limits::INTERACTIVE_BODY
        )));
    }
    Ok(json!({ "1": text }).to_string())
}

/// The text with at most [`BLANKS_MAX`] blanks in a row. That the body is a variable is our doing, so its rule must not
/// fail the tenant's text.
fn few_blanks(text: &str) -> String {
    let mut run = 0;
    text.chars()
        .filter(|c| {
            run = if *c == ' ' { run + 1 } else { 0 };
            run <= BLANKS_MAX
        })
        .collect()
}

/// The variables of an approved template, from components in Meta's form: texts are numbered from 1 over all components
/// in their order; a parameter with a name keeps it.
pub(super) fn template_variables(components: &[Value]) -> Result<Option<String>, BuildError> {
    let mut variables = Map::new();
    let mut next = 1;
    for component in components {
        let parameters = component.get("parameters").and_then(Value::as_array);
        for parameter in parameters.into_iter().flatten() {
            let value = parameter_text(parameter)?;
            if value.is_empty() {
                return Err(rule(
                    "a variable of a template must not be empty".to_owned(),
                ));
            }
            let name = match parameter.get("parameter_name").and_then(Value::as_str) {
                Some(name) => name.to_owned(),
                None => {
                    let name = next.to_string();
                    next += 1;
                    name
                }
            };
            variables.insert(name, value.into());
        }
    }
    if variables.len() > VARIABLES_MAX {
        return Err(rule(format!(
            "a template has {VARIABLES_MAX} variables at most"
        )));
    }
    Ok((!variables.is_empty()).then(|| Value::Object(variables).to_string()))
}

/// The text of a parameter, where it has one.
fn parameter_text(parameter: &Value) -> Result<&str, BuildError> {
    let kind = parameter.get("type").and_then(Value::as_str);
    let text = match kind {
        Some("text") | None => parameter.get("text"),
        Some(kind @ ("currency" | "date_time")) => parameter
            .get(kind)
            .and_then(|value| value.get("fallback_value")),
        Some("coupon_code") => parameter.get("coupon_code"),
        Some(_) => None,
    };
    text.and_then(Value::as_str).ok_or_else(|| {
        rule(
            "Twilio's templates take texts only; media and payloads stand in the Content resource"
                .to_owned(),
        )
    })
}

fn rule(text: String) -> BuildError {
    BuildError::Content(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_titles_go_where_they_fit() {
        let long = "x".repeat(70);
        let cases = [
            (None, None, None),
            (Some("Monday"), None, Some("Monday")),
            (None, Some("at 9"), Some("at 9")),
            (Some("Monday"), Some("at 9"), Some("Monday: at 9")),
            (Some("Monday"), Some(long.as_str()), Some(long.as_str())),
            (Some(""), Some(""), None),
        ];
        for (section, description, expected) in cases {
            assert_eq!(described(section, description).as_deref(), expected);
        }
    }

    #[test]
    fn blanks_are_few() {
        assert_eq!(few_blanks("a      b  c\n     d"), "a    b  c\n    d");
    }

    #[test]
    fn templates_take_texts_in_order_and_by_name() {
        let variables = |components: Value| template_variables(components.as_array().unwrap());
        assert_eq!(variables(json!([])), Ok(None));
        let text = |text: &str| json!({"type": "text", "text": text});
        let mixed = variables(json!([
            {"type": "header", "parameters": [text("Hello")]},
            {"type": "body", "parameters": [
                text("Ada"),
                {"type": "text", "parameter_name": "day", "text": "Monday"},
                {"type": "currency", "currency": {"fallback_value": "5 €"}},
            ]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [text("x1")]},
        ]));
        let mixed: Value = serde_json::from_str(&mixed.unwrap().unwrap()).unwrap();
        let expected = json!({"1": "Hello", "2": "Ada", "day": "Monday", "3": "5 €", "4": "x1"});
        assert_eq!(mixed, expected);
        let image = json!([{"type": "header", "parameters": [
            {"type": "image", "image": {"link": "https://a.example/b.png"}}]}]);
        assert!(variables(image).is_err());
        assert!(variables(json!([{"type": "body", "parameters": [text("")]}])).is_err());
        let many: Vec<Value> = (0..101).map(|_| text("x")).collect();
        assert!(variables(json!([{"type": "body", "parameters": many}])).is_err());
    }
}
