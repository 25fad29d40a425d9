//! What WhatsApp would refuse about an outbound content.

use serde::Serialize;

use super::{Button, Content, Frame, Media, Section, is_content_sid};
use crate::limits;

impl Content {
    /// What WhatsApp would refuse about an outbound content: field and reason. Empty when nothing.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        match self {
            Self::Text { body, .. } => check_text(&mut found, "text", body, limits::TEXT_BODY),
            Self::InteractiveButton {
                frame,
                body,
                buttons,
            } => {
                frame.check(&mut found);
                check_text(&mut found, "body", body, limits::INTERACTIVE_BODY);
                check_buttons(&mut found, buttons);
            }
            Self::InteractiveList {
                frame,
                body,
                button,
                sections,
            } => {
                frame.check(&mut found);
                check_text(&mut found, "body", body, limits::INTERACTIVE_BODY);
                check_text(&mut found, "button", button, limits::LIST_BUTTON);
                check_sections(&mut found, sections);
            }
            Self::Image(media)
            | Self::Video(media)
            | Self::Audio(media)
            | Self::Document(media)
            | Self::Sticker(media) => check_media(&mut found, media, self.kind()),
            Self::Location {
                latitude,
                longitude,
                ..
            } => {
                if !(-90.0..=90.0).contains(latitude) {
                    found.push(Violation::new("latitude", "must be between -90 and 90"));
                }
                if !(-180.0..=180.0).contains(longitude) {
                    found.push(Violation::new("longitude", "must be between -180 and 180"));
                }
            }
            Self::MessageTemplate { name, language, .. } => {
                let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                let is_name = !name.is_empty() && name.chars().all(valid);
                if !(is_name || is_content_sid(name)) || name.len() > 512 {
                    found.push(Violation::new(
                        "messageTemplate.name",
                        "must be 1 to 512 lower-case letters, digits and underscores, or a ContentSid (HX…)",
                    ));
                }
                if language.is_empty() || language.len() > 16 {
                    found.push(Violation::new(
                        "messageTemplate.language",
                        "must be a language code such as en_US",
                    ));
                }
            }
            Self::Contacts { contacts } => {
                if contacts.is_empty() || contacts.len() > 257 {
                    found.push(Violation::new("contacts", "must have 1 to 257 cards"));
                }
                for (at, card) in contacts.iter().enumerate() {
                    check_card(&mut found, at, card);
                }
            }
            Self::Reaction { .. } => {}
            _ => found.push(Violation::new("type", "cannot be sent")),
        }
        found
    }
}

impl Frame {
    fn check(&self, found: &mut Vec<Violation>) {
        if let Some(header) = &self.header {
            check_text(found, "header", header, limits::HEADER_TEXT);
        }
        if let Some(footer) = &self.footer {
            check_text(found, "footer", footer, limits::FOOTER);
        }
    }
}

/// A field that is wrong and the reason, as the API shows it under `details`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The path of the field, such as `buttons[0].title`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Violation {
    /// A violation.
    #[must_use]
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Checks a text that must be there and not be longer than `max` characters.
pub(crate) fn check_text(found: &mut Vec<Violation>, field: &str, text: &str, max: usize) {
    if text.trim().is_empty() {
        found.push(Violation::new(field, "must not be empty"));
    }
    let length = text.chars().count();
    if length > max {
        found.push(Violation::new(
            field,
            format!("has {length} characters; WhatsApp allows {max}"),
        ));
    }
}

/// Checks the reply buttons of one message: one to three, with unique ids and titles within WhatsApp's limits.
pub(crate) fn check_buttons(found: &mut Vec<Violation>, buttons: &[Button]) {
    if buttons.is_empty() || buttons.len() > limits::BUTTONS {
        let text = format!(
            "has {} buttons; WhatsApp allows 1 to {}",
            buttons.len(),
            limits::BUTTONS
        );
        found.push(Violation::new("buttons", text));
    }
    for (index, button) in buttons.iter().enumerate() {
        check_text(
            found,
            &format!("buttons[{index}].id"),
            &button.id,
            limits::BUTTON_ID,
        );
        check_text(
            found,
            &format!("buttons[{index}].title"),
            &button.title,
            limits::BUTTON_TITLE,
        );
        if buttons[..index]
            .iter()
            .any(|earlier| earlier.id == button.id)
        {
            found.push(Violation::new(
                format!("buttons[{index}].id"),
                "occurs twice",
            ));
        }
        if buttons[..index]
            .iter()
            .any(|earlier| earlier.title == button.title)
        {
            found.push(Violation::new(
                format!("buttons[{index}].title"),
                "occurs twice",
            ));
        }
    }
}

/// Checks the sections of a list: ten rows in all, titles from two sections on, unique row ids.
pub(crate) fn check_sections(found: &mut Vec<Violation>, sections: &[Section]) {
    let rows = sections
        .iter()
        .map(|section| section.rows.len())
        .sum::<usize>();
    if sections.is_empty() || sections.len() > limits::LIST_SECTIONS {
        let text = format!(
            "has {} sections; WhatsApp allows 1 to {}",
            sections.len(),
            limits::LIST_SECTIONS
        );
        found.push(Violation::new("sections", text));
    }
    if rows == 0 || rows > limits::LIST_ROWS {
        let text = format!(
            "has {rows} rows in all; WhatsApp allows 1 to {}",
            limits::LIST_ROWS
        );
        found.push(Violation::new("sections", text));
    }
    let mut seen = std::collections::HashSet::new();
    for (index, section) in sections.iter().enumerate() {
        match &section.title {
            Some(title) => check_text(
                found,
                &format!("sections[{index}].title"),
                title,
                limits::SECTION_TITLE,
            ),
            None if sections.len() > 1 => {
                found.push(Violation::new(
                    format!("sections[{index}].title"),
                    "is needed from two sections on",
                ));
            }
            None => {}
        }
        for (position, row) in section.rows.iter().enumerate() {
            let path = format!("sections[{index}].rows[{position}]");
            check_text(found, &format!("{path}.id"), &row.id, limits::ROW_ID);
            check_text(
                found,
                &format!("{path}.title"),
                &row.title,
                limits::ROW_TITLE,
            );
            if let Some(description) = &row.description {
                check_text(
                    found,
                    &format!("{path}.description"),
                    description,
                    limits::ROW_DESCRIPTION,
                );
            }
            if !seen.insert(&row.id) {
                found.push(Violation::new(format!("{path}.id"), "occurs twice"));
            }
        }
    }
}

/// What WhatsApp calls the parts of a name on a card, beside the formatted one.
const NAME_PARTS: [&str; 5] = ["first_name", "last_name", "middle_name", "suffix", "prefix"];

/// A card needs its formatted name and one part of the name more (protocols/meta.md 11.1).
fn check_card(found: &mut Vec<Violation>, at: usize, card: &serde_json::Value) {
    let is_set = |part: &str| {
        card["name"][part]
            .as_str()
            .is_some_and(|text| !text.trim().is_empty())
    };
    if !is_set("formatted_name") {
        found.push(Violation::new(
            format!("contacts[{at}].name.formatted_name"),
            "is missing",
        ));
    }
    if !NAME_PARTS.into_iter().any(is_set) {
        found.push(Violation::new(
            format!("contacts[{at}].name"),
            format!("needs one of {}", NAME_PARTS.join(", ")),
        ));
    }
}

fn check_media(found: &mut Vec<Violation>, media: &Media, kind: &str) {
    match (&media.media_id, &media.id, &media.link) {
        (Some(_), None, None) => {}
        (None, Some(id), None) if !id.is_empty() && id.len() <= 256 => {}
        (None, None, Some(link)) if link.len() <= 2_048 => {
            if !(link.starts_with("https://") || link.starts_with("http://")) {
                found.push(Violation::new(
                    format!("{kind}.link"),
                    "must begin with https:// or http://",
                ));
            }
        }
        _ => found.push(Violation::new(
            kind,
            "needs exactly one of mediaId, id and link",
        )),
    }
    if let Some(caption) = &media.caption {
        if matches!(kind, "audio" | "sticker") {
            found.push(Violation::new(
                format!("{kind}.caption"),
                "is not possible for this kind",
            ));
        }
        check_text(found, &format!("{kind}.caption"), caption, limits::CAPTION);
    }
}
