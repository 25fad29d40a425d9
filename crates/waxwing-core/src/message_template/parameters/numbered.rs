//! Components for providers that count variables through the whole template and know no names (Twilio).

use serde_json::{Value, json};

use crate::message_template::slots;
use crate::message_template::{MessageTemplate, TemplateCategory};

/// The texts of a send in the order of the template: header, body, buttons. Files stand in the resource there, and the
/// code of an authentication template is given once.
#[must_use]
pub fn numbered(template: &MessageTemplate, components: &[Value]) -> Vec<Value> {
    let mut ordered = Vec::new();
    let header = template.header().map_or("", |it| it.text.as_str());
    let body = template.body().map_or("", |it| it.text.as_str());
    for (part, text) in [("header", header), ("body", body)] {
        let given = components.iter().find(|component| is(component, part));
        let given = given
            .and_then(|component| component["parameters"].as_array())
            .map_or(&[][..], Vec::as_slice);
        let texts: Vec<Value> = in_order(text, given)
            .into_iter()
            .filter(|parameter| {
                let kind = parameter["type"].as_str().unwrap_or("text");
                matches!(kind, "text" | "currency" | "date_time")
            })
            .map(nameless)
            .collect();
        if !texts.is_empty() {
            ordered.push(json!({ "type": part, "parameters": texts }));
        }
    }
    if template.category != TemplateCategory::Authentication {
        let mut buttons: Vec<&Value> = components
            .iter()
            .filter(|component| is(component, "button") && carries_text(component))
            .collect();
        buttons.sort_by_key(|button| index(button));
        ordered.extend(buttons.into_iter().cloned());
    }
    ordered
}

fn is(component: &Value, part: &str) -> bool {
    let kind = component["type"].as_str();
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(part))
}

fn index(button: &Value) -> u64 {
    let index = &button["index"];
    index
        .as_u64()
        .or_else(|| index.as_str()?.parse().ok())
        .unwrap_or(0)
}

fn carries_text(button: &Value) -> bool {
    let kind = button["sub_type"].as_str().unwrap_or_default();
    kind.eq_ignore_ascii_case("url") || kind.eq_ignore_ascii_case("copy_code")
}

/// Parameters with names in the order of the text; those without stay in theirs.
fn in_order(text: &str, given: &[Value]) -> Vec<Value> {
    let name = |parameter: &Value| parameter["parameter_name"].as_str().map(str::to_owned);
    if given.iter().any(|parameter| name(parameter).is_none()) {
        return given.to_vec();
    }
    let names = slots::names(text);
    let of = |wanted: &&str| {
        let mut all = given.iter();
        all.find(|parameter| name(parameter).as_deref() == Some(*wanted))
            .cloned()
    };
    names.iter().filter_map(of).collect()
}

fn nameless(mut parameter: Value) -> Value {
    if let Some(map) = parameter.as_object_mut() {
        map.remove("parameter_name");
    }
    parameter
}
