//! Checks components in the form in which Meta takes them.

use serde_json::Value;

use super::{wrong_code, wrong_text};
use crate::content::Violation;
use crate::message_template::slots;
use crate::message_template::{
    Button, ButtonKind, Component, HeaderFormat, MessageTemplate, ParameterFormat, TemplateCategory,
};

/// What is wrong with the components of a send, by `path` (such as `messageTemplate.components`). Empty when they fit
/// the template.
#[must_use]
pub fn check(template: &MessageTemplate, components: &[Value], path: &str) -> Vec<Violation> {
    let mut checker = Checker {
        template,
        path,
        found: Vec::new(),
    };
    checker.header(components);
    checker.body(components);
    checker.buttons(components);
    checker.cards(components);
    for (at, component) in components.iter().enumerate() {
        let known = matches!(
            kind(component).as_str(),
            "header"
                | "body"
                | "button"
                | "carousel"
                | "limited_time_offer"
                | "tap_target_configuration"
        );
        if !known {
            checker.wrong(at, "type", "is not a component that can be sent");
        }
    }
    checker.found
}

/// The kind of a component that is sent, in lower case.
fn kind(component: &Value) -> String {
    let kind = component.get("type").and_then(Value::as_str);
    kind.unwrap_or_default().to_ascii_lowercase()
}

fn parameters(component: &Value) -> &[Value] {
    component
        .get("parameters")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

struct Checker<'a> {
    template: &'a MessageTemplate,
    path: &'a str,
    found: Vec<Violation>,
}

/// The first component of a kind with its place, or the place behind the last one.
fn find<'c>(components: &'c [Value], wanted: &str) -> (usize, Option<&'c Value>) {
    let at = components
        .iter()
        .position(|component| kind(component) == wanted);
    at.map_or((components.len(), None), |at| (at, components.get(at)))
}

impl Checker<'_> {
    fn wrong(&mut self, at: usize, rest: &str, message: impl Into<String>) {
        let field = format!("{}[{at}].{rest}", self.path);
        self.found.push(Violation::new(field, message));
    }

    fn missing(&mut self, message: impl Into<String>) {
        self.found.push(Violation::new(self.path, message));
    }

    fn header(&mut self, components: &[Value]) {
        let (at, given) = find(components, "header");
        let given = given.map_or(&[][..], parameters);
        let Some(header) = self.template.header() else {
            if !given.is_empty() {
                self.wrong(at, "parameters", "the template has no header");
            }
            return;
        };
        match &header.format {
            HeaderFormat::Text => {
                let names = slots::names(&header.text);
                self.texts("header", at, &names, given);
            }
            HeaderFormat::Other(_) => {}
            format => {
                let wanted = format.as_str().to_ascii_lowercase();
                match given {
                    [] => self.missing(format!(
                        "the header of the template needs {} {wanted} at each send",
                        if format == &HeaderFormat::Image {
                            "an"
                        } else {
                            "a"
                        }
                    )),
                    [one] => self.media(at, &wanted, one),
                    _ => self.wrong(at, "parameters", "a header has one parameter"),
                }
            }
        }
    }

    /// The file, place or product of a header.
    fn media(&mut self, at: usize, wanted: &str, parameter: &Value) {
        let given = parameter.get("type").and_then(Value::as_str);
        let given = given.unwrap_or_default().to_ascii_lowercase();
        if given != wanted {
            let message = format!("must be `{wanted}`, as the header of the template is");
            self.wrong(at, "parameters[0].type", message);
            return;
        }
        let thing = parameter.get(wanted);
        let has = |name: &str| {
            thing
                .and_then(|thing| thing.get(name))
                .is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
        };
        let field = format!("parameters[0].{wanted}");
        match wanted {
            "image" | "video" | "document" => {
                if has("id") == has("link") {
                    self.wrong(at, &field, "needs either an id or a link");
                } else if thing
                    .and_then(|thing| thing["link"].as_str())
                    .is_some_and(|link| !is_web(link))
                {
                    self.wrong(at, &field, "must be an http or https address");
                }
            }
            "location" if !(has("latitude") && has("longitude")) => {
                self.wrong(at, &field, "needs latitude and longitude");
            }
            _ if thing.is_none() => self.wrong(at, &field, "is missing"),
            _ => {}
        }
    }

    fn body(&mut self, components: &[Value]) {
        let (at, given) = find(components, "body");
        let given = given.map_or(&[][..], parameters);
        if self.template.category == TemplateCategory::Authentication {
            self.code(at, given);
            return;
        }
        let text = self.template.body().map_or("", |body| body.text.as_str());
        let names = slots::names(text);
        self.texts("body", at, &names, given);
    }

    /// An authentication template carries its code as the only parameter of the body.
    fn code(&mut self, at: usize, given: &[Value]) {
        match given {
            [one] => match one.get("text").and_then(Value::as_str) {
                Some(code) => {
                    if let Some(message) = wrong_code(code) {
                        self.wrong(at, "parameters[0].text", message);
                    }
                }
                None => self.wrong(at, "parameters[0].text", "is missing"),
            },
            _ => self
                .missing("the body of an authentication template needs the code, and nothing else"),
        }
    }

    /// The parameters for the variables of a text.
    fn texts(&mut self, part: &str, at: usize, names: &[&str], given: &[Value]) {
        if given.len() != names.len() {
            let (wanted, given) = (names.len(), given.len());
            let list = names.join(", ");
            let list = if list.is_empty() {
                String::new()
            } else {
                format!(" ({list})")
            };
            self.missing(format!(
                "the {part} of the template has {wanted} variables{list}, {given} were given"
            ));
            return;
        }
        let mut seen: Vec<&str> = Vec::new();
        for (index, parameter) in given.iter().enumerate() {
            if self.template.format == ParameterFormat::Named {
                let name = parameter.get("parameter_name").and_then(Value::as_str);
                let field = format!("parameters[{index}].parameter_name");
                match name {
                    Some(name) if !names.contains(&name) => {
                        self.wrong(
                            at,
                            &field,
                            format!("the {part} has no variable of this name"),
                        );
                    }
                    Some(name) if seen.contains(&name) => {
                        self.wrong(at, &field, "is given twice");
                    }
                    Some(name) => seen.push(name),
                    None => self.wrong(at, &field, "is missing: the variables have names"),
                }
            }
            self.text(at, index, parameter);
        }
    }

    fn text(&mut self, at: usize, index: usize, parameter: &Value) {
        let kind = parameter
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let (field, text) = match kind {
            "text" => ("text", parameter.get("text").and_then(Value::as_str)),
            "currency" | "date_time" => {
                let fallback = parameter.get(kind).and_then(|it| it.get("fallback_value"));
                (kind, fallback.and_then(Value::as_str))
            }
            _ => {
                let field = format!("parameters[{index}].type");
                self.wrong(at, &field, "must be `text`, `currency` or `date_time`");
                return;
            }
        };
        let field = format!("parameters[{index}].{field}");
        match text {
            None => self.wrong(at, &field, "is missing"),
            Some(text) => {
                if let Some(message) = wrong_text(text) {
                    self.wrong(at, &field, message);
                }
            }
        }
    }

    fn buttons(&mut self, components: &[Value]) {
        let template = self.template;
        let mut given = vec![false; template.buttons().len()];
        for (at, component) in components.iter().enumerate() {
            if kind(component) != "button" {
                continue;
            }
            let index = component.get("index").and_then(|index| match index {
                Value::String(text) => text.parse().ok(),
                other => other.as_u64().and_then(|n| usize::try_from(n).ok()),
            });
            let button = index.and_then(|index: usize| template.buttons().get(index));
            let (Some(index), Some(button)) = (index, button) else {
                let count = template.buttons().len();
                self.wrong(
                    at,
                    "index",
                    format!("the template has {count} buttons, counted from 0"),
                );
                continue;
            };
            if std::mem::replace(&mut given[index], true) {
                self.wrong(at, "index", "is given twice");
                continue;
            }
            self.button(at, button, component);
        }
        for (index, button) in template.buttons().iter().enumerate() {
            if !given[index] && needs_parameter(button) {
                let word = button.kind.as_str();
                self.missing(format!(
                    "button {index} of the template ({word}) needs its parameter"
                ));
            }
        }
    }

    fn button(&mut self, at: usize, button: &Button, component: &Value) {
        let sub_type = component.get("sub_type").and_then(Value::as_str);
        let sub_type = sub_type.unwrap_or_default().to_ascii_uppercase();
        let wanted = if button.is_otp() {
            "URL"
        } else {
            button.kind.as_str()
        };
        if sub_type != wanted {
            let message = format!("must be `{}`", wanted.to_ascii_lowercase());
            self.wrong(at, "sub_type", message);
            return;
        }
        let first = parameters(component).first();
        let read = |name: &str| first.and_then(|one| one.get(name)).and_then(Value::as_str);
        let problem = if button.is_otp() {
            read("text").map_or(Some("needs the code"), wrong_code)
        } else {
            match &button.kind {
                ButtonKind::Url if !button.has_variable() => {
                    first.map(|_| "the address of this button has no variable")
                }
                ButtonKind::Url => match read("text") {
                    None => Some("needs the end of the address"),
                    Some(text) if text.contains(char::is_whitespace) => {
                        Some("must have no blanks: it becomes part of an address")
                    }
                    Some(text) => wrong_text(text),
                },
                ButtonKind::CopyCode => {
                    read("coupon_code").map_or(Some("needs the code to copy"), wrong_code)
                }
                _ => None,
            }
        };
        if let Some(message) = problem {
            self.wrong(at, "parameters", message);
        }
    }

    fn cards(&mut self, components: &[Value]) {
        let cards = self.template.cards();
        let (at, given) = find(components, "carousel");
        let given = given
            .and_then(|carousel| carousel.get("cards"))
            .and_then(Value::as_array);
        let count = given.map_or(0, Vec::len);
        if cards.is_empty() {
            if count > 0 {
                self.wrong(at, "cards", "the template has no cards");
            }
            return;
        }
        if count != cards.len() {
            let wanted = cards.len();
            self.missing(format!(
                "the template has {wanted} cards, {count} were given"
            ));
            return;
        }
        for (index, (card, sent)) in cards.iter().zip(given.into_iter().flatten()).enumerate() {
            let sent = sent.get("components").and_then(Value::as_array);
            let inner = MessageTemplate {
                category: TemplateCategory::Marketing,
                components: card.clone(),
                ..self.template.clone()
            };
            let has_cards = card
                .iter()
                .any(|part| matches!(part, Component::Carousel(_)));
            if !has_cards {
                let path = format!("{}[{at}].cards[{index}].components", self.path);
                let sent = sent.map_or(&[][..], Vec::as_slice);
                self.found.extend(check(&inner, sent, &path));
            }
        }
    }
}

/// Whether a send has to give something for the button.
pub(super) fn needs_parameter(button: &Button) -> bool {
    button.is_otp()
        || button.has_variable()
        || matches!(button.kind, ButtonKind::CopyCode | ButtonKind::MultiProduct)
}

fn is_web(link: &str) -> bool {
    link.starts_with("https://") || link.starts_with("http://")
}
