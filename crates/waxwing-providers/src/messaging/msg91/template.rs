//! The variables of a message template: Meta's list of components becomes an object with numbered keys
//! (protocols/msg91.md 3). What has no documented form there is refused.

use serde_json::{Map, Value, json};

use super::request::NAME;
use crate::messaging::adapter::BuildError;

/// The numbered form of Meta's `components`.
pub(super) fn components(components: &[Value]) -> Result<Value, BuildError> {
    let mut numbered = Map::new();
    let mut buttons = 0;
    for component in components {
        let parameters = component["parameters"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let kind = component["type"].as_str().unwrap_or_default();
        match kind.to_ascii_lowercase().as_str() {
            place @ ("header" | "body") => {
                for (index, parameter) in parameters.iter().enumerate() {
                    numbered.insert(format!("{place}_{}", index + 1), value(parameter)?);
                }
            }
            "button" => {
                buttons += 1;
                let index = index(&component["index"]).map_or(buttons, |index| index + 1);
                if let Some(button) = button(component, parameters)? {
                    numbered.insert(format!("button_{index}"), button);
                }
            }
            _ => return not_carried("this component of a template"),
        }
    }
    Ok(Value::Object(numbered))
}

fn not_carried<T>(what: &'static str) -> Result<T, BuildError> {
    Err(BuildError::NotCarried {
        provider: NAME,
        what,
    })
}

/// The place of a button, counted from 0, as number or text.
fn index(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .filter(|index| *index < 100)
}

fn button(component: &Value, parameters: &[Value]) -> Result<Option<Value>, BuildError> {
    let Some(parameter) = parameters.first() else {
        return Ok(None);
    };
    let kind = component["sub_type"].as_str().unwrap_or_default();
    if !kind.eq_ignore_ascii_case("url") {
        return not_carried("a variable behind this kind of template button");
    }
    let Some(text) = parameter["text"].as_str() else {
        return not_carried("this variable of a template button");
    };
    Ok(Some(
        json!({ "subtype": "url", "type": "text", "value": one_line(text) }),
    ))
}

/// A variable of the header or the body.
fn value(parameter: &Value) -> Result<Value, BuildError> {
    if parameter.get("parameter_name").is_some() {
        return not_carried("a named variable of a template");
    }
    let kind = parameter["type"].as_str().unwrap_or_default();
    match kind {
        "text" => match parameter["text"].as_str() {
            Some(text) => Ok(json!({ "type": "text", "value": one_line(text) })),
            None => Err(BuildError::Content(
                "a text variable of the template has no text".to_owned(),
            )),
        },
        "currency" | "date_time" => match parameter[kind]["fallback_value"].as_str() {
            Some(text) => Ok(json!({ "type": "text", "value": one_line(text) })),
            None => not_carried("an amount or a date without its text"),
        },
        "image" | "video" | "document" => {
            let media = &parameter[kind];
            let Some(link) = media["link"].as_str() else {
                return not_carried("media by id in a template; it needs a link");
            };
            let mut value = json!({ "type": kind, "value": link });
            if let Some(filename) = media["filename"].as_str() {
                value["filename"] = filename.into();
            }
            Ok(value)
        }
        _ => not_carried("this kind of template variable"),
    }
}

/// Line breaks and tabs may not stand in a variable; blanks take their place.
fn one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(
        [
            '\n', '\r', '\t', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}',
        ],
        " ",
    )
}
