//! Meta's component form. Case does not matter on the way in; upper case goes out. Properties that are not known stay.

use serde_json::{Map, Value, json};

use super::{
    Body, Button, ButtonKind, Component, Example, Footer, Header, HeaderFormat, ParameterFormat,
};

/// Cards, and components of one card, that are read; more are a mistake that the rest of the reader need not bear.
const CARDS_READ: usize = 50;

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Texts of a list, or one text alone.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(list)) => list.iter().map(|one| text(Some(one))).collect(),
        Some(one @ (Value::String(_) | Value::Number(_))) => vec![text(Some(one))],
        _ => Vec::new(),
    }
}

fn numbered(values: Vec<String>) -> Vec<Example> {
    let example = |(at, value): (usize, String)| Example {
        name: (at + 1).to_string(),
        value,
    };
    values.into_iter().enumerate().map(example).collect()
}

/// The samples for the variables of `part` (`header` or `body`).
fn examples(example: Option<&Value>, part: &str) -> Vec<Example> {
    let Some(example) = example else {
        return Vec::new();
    };
    if let Some(Value::Array(named)) = example.get(format!("{part}_text_named_params")) {
        let one = |pair: &Value| Example {
            name: text(pair.get("param_name")),
            value: text(pair.get("example")),
        };
        return named.iter().map(one).collect();
    }
    let list = example.get(format!("{part}_text"));
    // A body has a list of lists: one for each sample of the whole text.
    let inner = list
        .and_then(|list| list.get(0))
        .filter(|first| first.is_array());
    numbered(texts(inner.or(list)))
}

fn examples_json(examples: &[Example], format: ParameterFormat, part: &str) -> Option<Value> {
    if examples.is_empty() {
        return None;
    }
    Some(match format {
        ParameterFormat::Named => {
            let pair = |one: &Example| json!({ "param_name": &one.name, "example": &one.value });
            let pairs: Vec<Value> = examples.iter().map(pair).collect();
            json!({ (format!("{part}_text_named_params")): pairs })
        }
        ParameterFormat::Positional => {
            let values: Vec<&str> = examples.iter().map(|one| one.value.as_str()).collect();
            let list = if part == "body" {
                json!([values])
            } else {
                json!(values)
            };
            json!({ (format!("{part}_text")): list })
        }
    })
}

impl Component {
    /// Reads a component; what is none becomes [`Component::Other`].
    pub(super) fn read(value: &Value) -> Self {
        let kind = text(value.get("type")).to_ascii_uppercase();
        match kind.as_str() {
            "HEADER" => Self::Header(Header {
                format: HeaderFormat::read(&text(value.get("format"))),
                text: text(value.get("text")),
                examples: examples(value.get("example"), "header"),
                handles: texts(
                    value
                        .get("example")
                        .and_then(|example| example.get("header_handle")),
                ),
            }),
            "BODY" => Self::Body(Body {
                text: text(value.get("text")),
                examples: examples(value.get("example"), "body"),
                security_recommendation: value
                    .get("add_security_recommendation")
                    .and_then(Value::as_bool),
            }),
            "FOOTER" => Self::Footer(Footer {
                text: text(value.get("text")),
                code_expiration_minutes: value
                    .get("code_expiration_minutes")
                    .and_then(Value::as_i64),
            }),
            "BUTTONS" => {
                let list = value.get("buttons").and_then(Value::as_array);
                Self::Buttons(list.into_iter().flatten().map(Button::read).collect())
            }
            "CAROUSEL" => {
                let cards = value.get("cards").and_then(Value::as_array);
                let card = |card: &Value| {
                    let parts = card.get("components").and_then(Value::as_array);
                    let parts = parts.into_iter().flatten().take(CARDS_READ);
                    // A card holds no cards: nesting ends here.
                    parts.map(Self::read_in_card).collect()
                };
                let cards = cards.into_iter().flatten().take(CARDS_READ);
                Self::Carousel(cards.map(card).collect())
            }
            _ => Self::other(kind, value),
        }
    }

    fn read_in_card(value: &Value) -> Self {
        let kind = text(value.get("type")).to_ascii_uppercase();
        if kind == "CAROUSEL" {
            Self::other(kind, value)
        } else {
            Self::read(value)
        }
    }

    fn other(kind: String, value: &Value) -> Self {
        let mut properties = value.as_object().cloned().unwrap_or_default();
        properties.remove("type");
        Self::Other { kind, properties }
    }

    /// Meta's form.
    pub(super) fn json(&self, format: ParameterFormat) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| {
            out.insert(name.to_owned(), value);
        };
        match self {
            Self::Header(header) => {
                put("type", "HEADER".into());
                put("format", header.format.as_str().into());
                if header.format == HeaderFormat::Text {
                    put("text", header.text.as_str().into());
                }
                if !header.handles.is_empty() {
                    put("example", json!({ "header_handle": &header.handles }));
                } else if let Some(example) = examples_json(&header.examples, format, "header") {
                    put("example", example);
                }
            }
            Self::Body(body) => {
                put("type", "BODY".into());
                if !body.text.is_empty() {
                    put("text", body.text.as_str().into());
                }
                if let Some(example) = examples_json(&body.examples, format, "body") {
                    put("example", example);
                }
                if let Some(add) = body.security_recommendation {
                    put("add_security_recommendation", add.into());
                }
            }
            Self::Footer(footer) => {
                put("type", "FOOTER".into());
                if !footer.text.is_empty() {
                    put("text", footer.text.as_str().into());
                }
                if let Some(minutes) = footer.code_expiration_minutes {
                    put("code_expiration_minutes", minutes.into());
                }
            }
            Self::Buttons(buttons) => {
                put("type", "BUTTONS".into());
                let buttons: Vec<Value> = buttons.iter().map(Button::json).collect();
                put("buttons", buttons.into());
            }
            Self::Carousel(cards) => {
                put("type", "CAROUSEL".into());
                let card = |parts: &Vec<Component>| {
                    let parts: Vec<Value> = parts.iter().map(|part| part.json(format)).collect();
                    json!({ "components": parts })
                };
                put("cards", cards.iter().map(card).collect());
            }
            Self::Other { kind, properties } => {
                put("type", kind.as_str().into());
                for (name, value) in properties {
                    put(name, value.clone());
                }
            }
        }
        Value::Object(out)
    }
}

impl Button {
    fn read(value: &Value) -> Self {
        let mut properties = value.as_object().cloned().unwrap_or_default();
        properties.remove("type");
        properties.remove("text");
        for name in ["otp_type", "flow_action"] {
            if let Some(Value::String(word)) = properties.get_mut(name) {
                // Case does not matter to Meta, and one form is easier to compare.
                *word = if name == "otp_type" {
                    word.to_ascii_uppercase()
                } else {
                    word.to_ascii_lowercase()
                };
            }
        }
        Self {
            kind: ButtonKind::read(&text(value.get("type"))),
            text: text(value.get("text")),
            properties,
        }
    }

    fn json(&self) -> Value {
        let mut out = self.properties.clone();
        out.insert("type".to_owned(), self.kind.as_str().into());
        if !self.text.is_empty() {
            out.insert("text".to_owned(), self.text.as_str().into());
        }
        Value::Object(out)
    }
}
