//! What a content resource looks like on a phone, and what WhatsApp demands of it (twilio.md section 7).

use serde_json::{Map, Value};

use super::content::Content;
use super::errors::Error;
use crate::shown::{ShownButton, ShownMedia, ShownMessage, ShownRow, ShownSection};

/// The types of content, the richest first.
const RICHEST: [&str; 10] = [
    "twilio/carousel",
    "whatsapp/card",
    "twilio/card",
    "twilio/list-picker",
    "twilio/quick-reply",
    "twilio/call-to-action",
    "whatsapp/authentication",
    "twilio/media",
    "twilio/location",
    "twilio/text",
];

/// The type that WhatsApp shows.
pub(crate) fn richest(types: &Map<String, Value>) -> Option<(&str, &Value)> {
    RICHEST
        .iter()
        .find_map(|name| types.get_key_value(*name))
        .or_else(|| types.iter().next())
        .map(|(name, value)| (name.as_str(), value))
}

/// Reads `ContentVariables`: a JSON object of texts, none of them empty.
pub(crate) fn variables(text: Option<&str>) -> Result<Map<String, Value>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Map::new());
    };
    let wrong = || Error::of(21656);
    let Ok(Value::Object(variables)) = serde_json::from_str::<Value>(text) else {
        return Err(wrong());
    };
    let good = |value: &Value| match value {
        Value::String(text) => !text.is_empty() && !text.contains("     "),
        Value::Number(_) => true,
        _ => false,
    };
    if variables.values().all(good) {
        Ok(variables)
    } else {
        Err(wrong())
    }
}

/// Names of the variables in a text.
fn names(text: &str, found: &mut Vec<String>) {
    for part in text.split("{{").skip(1) {
        if let Some((name, _)) = part.split_once("}}") {
            found.push(name.trim().to_owned());
        }
    }
}

fn all_names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => names(text, found),
        Value::Array(list) => list.iter().for_each(|item| all_names(item, found)),
        Value::Object(object) => object.values().for_each(|item| all_names(item, found)),
        _ => {}
    }
}

/// Refuses a send that leaves a variable without a value; the samples of the resource do not count.
pub(crate) fn check(content: &Content, variables: &Map<String, Value>) -> Result<(), Error> {
    let mut wanted = Vec::new();
    if let Some((_, value)) = richest(&content.types) {
        all_names(value, &mut wanted);
    }
    if wanted.iter().all(|name| variables.contains_key(name)) {
        Ok(())
    } else {
        Err(Error::of(21656))
    }
}

/// Refuses what WhatsApp has no room for.
pub(crate) fn valid(name: &str, value: &Value) -> Result<(), Error> {
    let length = |value: &Value| value.as_str().unwrap_or("").chars().count();
    let list = |name: &str| value[name].as_array().map_or(&[][..], Vec::as_slice);
    let good = match name {
        "twilio/text" => (1..=1600).contains(&length(&value["body"])),
        "twilio/quick-reply" => {
            (1..=1024).contains(&length(&value["body"]))
                && (1..=10).contains(&list("actions").len())
                && list("actions")
                    .iter()
                    .all(|action| (1..=20).contains(&length(&action["title"])))
        }
        "twilio/list-picker" => {
            (1..=1024).contains(&length(&value["body"]))
                && (1..=20).contains(&length(&value["button"]))
                && (1..=10).contains(&list("items").len())
                && list("items").iter().all(|item| {
                    (1..=24).contains(&length(&item["item"]))
                        && length(&item["description"]) <= 72
                        && (1..=200).contains(&length(&item["id"]))
                })
        }
        "twilio/carousel" => (1..=10).contains(&list("cards").len()),
        _ => value.is_object(),
    };
    if good { Ok(()) } else { Err(Error::of(20422)) }
}

struct Filler<'a> {
    variables: &'a Map<String, Value>,
    template: bool,
}

impl Filler<'_> {
    fn fill(&self, value: &Value) -> String {
        let mut text = value.as_str().unwrap_or("").to_owned();
        for (name, value) in self.variables {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            text = text.replace(&format!("{{{{{name}}}}}"), &value);
        }
        text
    }

    fn some(&self, value: &Value) -> Option<String> {
        value.as_str().map(|_| self.fill(value))
    }

    fn buttons(&self, actions: &Value, shown: &mut ShownMessage) {
        for action in actions.as_array().into_iter().flatten() {
            let kind = action["type"].as_str().unwrap_or("QUICK_REPLY");
            let title = self
                .some(&action["title"])
                .unwrap_or_else(|| self.fill(&action["copy_code_text"]));
            let quick = kind == "QUICK_REPLY";
            // Without an id of its own the label comes back.
            let id = self
                .some(&action["id"])
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| title.clone());
            shown.buttons.push(ShownButton {
                id: if quick { id } else { String::new() },
                title,
                kind: match kind {
                    "QUICK_REPLY" if self.template => "quick_reply".into(),
                    "QUICK_REPLY" => "reply".into(),
                    other => other.to_ascii_lowercase(),
                },
                url: self.some(&action["url"]),
            });
        }
    }

    fn media(&self, media: &Value, shown: &mut ShownMessage) {
        let first = media
            .as_array()
            .and_then(|list| list.first())
            .or_else(|| media.as_str().map(|_| media));
        if let Some(link) = first {
            shown.media = Some(ShownMedia {
                kind: "media".into(),
                id: None,
                link: Some(self.fill(link)),
                filename: None,
            });
        }
    }

    fn list(&self, value: &Value, shown: &mut ShownMessage) {
        shown.list_button = self.some(&value["button"]);
        let rows = value["items"].as_array().into_iter().flatten();
        shown.sections.push(ShownSection {
            title: None,
            rows: rows
                .map(|item| ShownRow {
                    id: self.fill(&item["id"]),
                    title: self.fill(&item["item"]),
                    description: self.some(&item["description"]),
                })
                .collect(),
        });
    }
}

/// The bubble of a content resource.
pub(crate) fn shown(content: &Content, variables: &Map<String, Value>) -> ShownMessage {
    let mut shown = ShownMessage::new("", true, "", 0);
    let filler = Filler {
        variables,
        template: content.is_approved(),
    };
    let Some((name, value)) = richest(&content.types) else {
        return shown;
    };
    shown.text = filler.fill(&value["body"]);
    match name {
        "whatsapp/authentication" => {
            let code = variables.get("1").and_then(Value::as_str).unwrap_or("");
            shown.text = format!("{code} is your verification code.");
        }
        "twilio/card" => {
            shown.text = filler.fill(&value["title"]);
            shown.footer = filler.some(&value["subtitle"]);
        }
        "whatsapp/card" => {
            shown.header = filler.some(&value["header_text"]);
            shown.footer = filler.some(&value["footer"]);
        }
        "twilio/location" => {
            shown.text = filler.fill(&value["label"]);
        }
        "twilio/list-picker" => filler.list(value, &mut shown),
        "twilio/carousel" => {
            for card in value["cards"].as_array().into_iter().flatten() {
                filler.buttons(&card["actions"], &mut shown);
            }
        }
        _ => {}
    }
    filler.buttons(&value["actions"], &mut shown);
    filler.media(&value["media"], &mut shown);
    shown
}
