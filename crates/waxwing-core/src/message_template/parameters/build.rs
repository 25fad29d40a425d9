//! Makes components of simple variables: a list, a map of names, or one for each part.

use serde_json::{Map, Value, json};

use super::check::{check, needs_parameter};
use crate::content::Violation;
use crate::message_template::slots;
use crate::message_template::{
    ButtonKind, HeaderFormat, MessageTemplate, ParameterFormat, TemplateCategory,
};

/// The parts that an object of variables may name.
const PARTS: [&str; 3] = ["header", "body", "buttons"];

/// The components of a send, made of simple variables:
///
/// - a list: the variables of the body in their order (an authentication template: its code),
/// - an object of names: the variables of body and header by name or number,
/// - an object with `header` (a text, or `{"link": …}`, `{"id": …}`, `{"latitude": …, "longitude": …}`), `body` (a list or an
///   object of names) and `buttons` (a list by position, `null` for those without, or an object by number).
///
/// # Errors
/// What is wrong, by field under `path` (such as `messageTemplate.variables`).
pub fn components(
    template: &MessageTemplate,
    variables: &Value,
    path: &str,
) -> Result<Vec<Value>, Vec<Violation>> {
    let parts = Parts::split(template, variables, path)?;
    let mut builder = Builder {
        template,
        path,
        components: Vec::new(),
        found: Vec::new(),
    };
    let code = builder.body(&parts);
    builder.header(&parts);
    builder.buttons(&parts, code.as_deref());
    if !template.cards().is_empty() {
        builder.wrong("", "a template with cards needs `components`");
    }
    if !builder.found.is_empty() {
        return Err(builder.found);
    }
    let found = check(template, &builder.components, path);
    if found.is_empty() {
        Ok(builder.components)
    } else {
        Err(found)
    }
}

/// The variables of each part.
struct Parts<'v> {
    header: Option<&'v Value>,
    body: Option<&'v Value>,
    buttons: Option<&'v Value>,
    /// The names of a plain object serve the header, too.
    shared: bool,
}

impl<'v> Parts<'v> {
    fn split(
        template: &MessageTemplate,
        variables: &'v Value,
        path: &str,
    ) -> Result<Self, Vec<Violation>> {
        let only_body = |shared: bool| Self {
            header: shared.then_some(variables),
            body: Some(variables),
            buttons: None,
            shared,
        };
        match variables {
            Value::Null => Ok(Self {
                header: None,
                body: None,
                buttons: None,
                shared: false,
            }),
            Value::Array(_) => Ok(only_body(false)),
            Value::Object(map) if by_part(template, map) => Ok(Self {
                header: map.get("header"),
                body: map.get("body"),
                buttons: map.get("buttons"),
                shared: false,
            }),
            Value::Object(_) => Ok(only_body(true)),
            _ => Err(vec![Violation::new(path, "must be a list or an object")]),
        }
    }
}

/// Whether an object is one of parts: all its names are, and no variable of the body has such a name with a plain value.
fn by_part(template: &MessageTemplate, map: &Map<String, Value>) -> bool {
    if map.is_empty() || !map.keys().all(|key| PARTS.contains(&key.as_str())) {
        return false;
    }
    let names = slots::names(template.body().map_or("", |body| body.text.as_str()));
    !map.iter()
        .any(|(key, value)| names.contains(&key.as_str()) && scalar(value).is_some())
}

/// A text or a number as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

struct Builder<'a> {
    template: &'a MessageTemplate,
    path: &'a str,
    components: Vec<Value>,
    found: Vec<Violation>,
}

impl Builder<'_> {
    fn wrong(&mut self, rest: &str, message: impl Into<String>) {
        let field = format!("{}{rest}", self.path);
        self.found.push(Violation::new(field, message));
    }

    /// Adds the body; the code of an authentication template is returned, because its button carries it again.
    fn body(&mut self, parts: &Parts<'_>) -> Option<String> {
        let authentication = self.template.category == TemplateCategory::Authentication;
        let names: Vec<&str> = if authentication {
            vec!["1"]
        } else {
            slots::names(self.template.body().map_or("", |body| body.text.as_str()))
        };
        let values = self.values(&names, parts.body, parts.shared);
        let code = authentication.then(|| values.first().cloned()).flatten();
        self.texts("body", &names, values, authentication);
        code
    }

    /// The values for the variables of a text, in their order.
    fn values(&mut self, names: &[&str], given: Option<&Value>, shared: bool) -> Vec<String> {
        let list = match given {
            None | Some(Value::Null) => {
                let found: Vec<_> = names
                    .iter()
                    .map(|name| Violation::new(format!("{}.{name}", self.path), "is missing"))
                    .collect();
                self.found.extend(found);
                return Vec::new();
            }
            Some(Value::Object(map)) => return self.named(names, map, shared),
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        if list.len() != names.len() {
            let (wanted, given) = (names.len(), list.len());
            self.wrong(
                "",
                format!("the template has {wanted} variables here, {given} were given"),
            );
            return Vec::new();
        }
        let mut values = Vec::with_capacity(list.len());
        for (at, value) in list.iter().enumerate() {
            match scalar(value) {
                Some(text) => values.push(text),
                None => self.wrong(&format!("[{at}]"), "must be a text or a number"),
            }
        }
        values
    }

    fn named(&mut self, names: &[&str], map: &Map<String, Value>, shared: bool) -> Vec<String> {
        let mut values = Vec::with_capacity(names.len());
        for name in names {
            match map.get(*name).map(scalar) {
                Some(Some(text)) => values.push(text),
                Some(None) => self.wrong(&format!(".{name}"), "must be a text or a number"),
                None => self.wrong(&format!(".{name}"), "is missing"),
            }
        }
        let header = self.template.header().map_or("", |it| it.text.as_str());
        let elsewhere = slots::names(header);
        for name in map.keys().map(String::as_str) {
            let known = names.contains(&name) || (shared && elsewhere.contains(&name));
            if !known {
                self.wrong(&format!(".{name}"), "the template has no such variable");
            }
        }
        values
    }

    fn texts(&mut self, part: &str, names: &[&str], values: Vec<String>, plain: bool) {
        if names.is_empty() || values.len() != names.len() {
            return;
        }
        let named = self.template.format == ParameterFormat::Named && !plain;
        let parameter = |(name, text): (&&str, String)| {
            if named {
                json!({ "type": "text", "parameter_name": name, "text": text })
            } else {
                json!({ "type": "text", "text": text })
            }
        };
        let parameters: Vec<Value> = names.iter().zip(values).map(parameter).collect();
        let component = json!({ "type": part, "parameters": parameters });
        // What the provider counts through all parts has the header first.
        let at = if part == "header" {
            0
        } else {
            self.components.len()
        };
        self.components.insert(at, component);
    }

    fn header(&mut self, parts: &Parts<'_>) {
        let Some(header) = self.template.header() else {
            if parts.header.is_some() && !parts.shared {
                self.wrong(".header", "the template has no header");
            }
            return;
        };
        if header.format == HeaderFormat::Text {
            let names = slots::names(&header.text);
            if names.is_empty() {
                return;
            }
            let before = self.found.len();
            let given = match parts.header {
                // The names of the body stand beside the header's own.
                Some(Value::Object(map)) if parts.shared => {
                    let own = map
                        .iter()
                        .filter(|(key, _)| names.contains(&key.as_str()))
                        .map(|(key, value)| (key.clone(), value.clone()));
                    Some(Value::Object(own.collect()))
                }
                other => other.cloned(),
            };
            let values = self.values(&names, given.as_ref(), false);
            if self.found.len() == before {
                self.texts("header", &names, values, false);
            }
            return;
        }
        let kind = header.format.as_str().to_ascii_lowercase();
        let given = parts.header.filter(|_| !parts.shared);
        let Some(given) = given else {
            self.wrong(".header", format!("is missing: the template shows {kind}"));
            return;
        };
        let thing = match given {
            Value::String(link) if header.format.is_media() => json!({ "link": link }),
            // Either the thing itself or, as in Meta's form, under its kind.
            Value::Object(map) => map.get(&kind).unwrap_or(given).clone(),
            _ => {
                self.wrong(".header", format!("must describe the {kind}"));
                return;
            }
        };
        let parameter = json!({ "type": kind, (kind.clone()): thing });
        let component = json!({ "type": "header", "parameters": [parameter] });
        self.components.insert(0, component);
    }

    fn buttons(&mut self, parts: &Parts<'_>, code: Option<&str>) {
        let template = self.template;
        let buttons = template.buttons();
        let mut given: Vec<Option<String>> = vec![None; buttons.len()];
        let list: Vec<(String, &Value)> = match parts.buttons {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list
                .iter()
                .enumerate()
                .map(|(at, value)| (at.to_string(), value))
                .collect(),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(key, value)| (key.clone(), value))
                .collect(),
            Some(_) => {
                self.wrong(".buttons", "must be a list or an object");
                return;
            }
        };
        for (key, value) in list {
            let place = key.parse().ok().and_then(|at: usize| given.get_mut(at));
            match (place, value) {
                (_, Value::Null) => {}
                (Some(place), value) if scalar(value).is_some() => *place = scalar(value),
                (Some(_), _) => self.wrong(&format!(".buttons.{key}"), "must be a text"),
                (None, _) => self.wrong(
                    &format!(".buttons.{key}"),
                    "the template has no such button (they are counted from 0)",
                ),
            }
        }
        for (index, (button, value)) in buttons.iter().zip(given).enumerate() {
            let value = if button.is_otp() {
                code.map(str::to_owned)
            } else {
                value
            };
            let Some(text) = value else {
                if needs_parameter(button) && !button.is_otp() {
                    self.wrong(&format!(".buttons.{index}"), "is missing");
                }
                continue;
            };
            let (sub_type, parameter) = match &button.kind {
                _ if button.is_otp() => ("url", json!({ "type": "text", "text": text })),
                ButtonKind::Url => ("url", json!({ "type": "text", "text": text })),
                ButtonKind::CopyCode => (
                    "copy_code",
                    json!({ "type": "coupon_code", "coupon_code": text }),
                ),
                ButtonKind::QuickReply => {
                    ("quick_reply", json!({ "type": "payload", "payload": text }))
                }
                ButtonKind::Flow => (
                    "flow",
                    json!({ "type": "action", "action": { "flow_token": text } }),
                ),
                _ => {
                    self.wrong(
                        &format!(".buttons.{index}"),
                        "this kind of button needs `components`",
                    );
                    continue;
                }
            };
            self.components.push(json!({
                "type": "button", "sub_type": sub_type, "index": index.to_string(), "parameters": [parameter],
            }));
        }
    }
}
