//! Templates: a tenant's reusable replies, with `{{variables}}` and buttons that name what comes next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::content::{self, Button, Content, Frame, Row, Section, Violation};
use crate::limits;

/// A template as a tenant writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// The name by which rules, buttons and the API address it.
    pub key: String,
    /// A name for people.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it may be sent.
    #[serde(default = "yes")]
    pub active: bool,
    /// What it says.
    #[serde(flatten)]
    pub form: TemplateForm,
}

const fn yes() -> bool {
    true
}

/// The three kinds of templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TemplateForm {
    /// Plain text.
    Text {
        /// The text with `{{variables}}`.
        body: String,
    },
    /// A body with reply buttons.
    InteractiveButton {
        /// Header and footer.
        #[serde(flatten)]
        frame: Frame,
        /// The text with `{{variables}}`.
        body: String,
        /// One to three buttons.
        buttons: Vec<TemplateButton>,
    },
    /// A body with a list.
    InteractiveList {
        /// Header and footer.
        #[serde(flatten)]
        frame: Frame,
        /// The text with `{{variables}}`.
        body: String,
        /// The label that opens the list.
        button: String,
        /// The sections.
        sections: Vec<TemplateSection>,
    },
}

/// A button of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateButton {
    /// Comes back when it is tapped.
    pub id: String,
    /// What the person sees.
    pub title: String,
    /// What happens on a tap.
    #[serde(flatten)]
    pub next: Next,
}

/// A section of a list template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSection {
    /// Needed from two sections on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its rows.
    pub rows: Vec<TemplateRow>,
}

/// A row of a list template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRow {
    /// Comes back when it is chosen.
    pub id: String,
    /// What the person sees.
    pub title: String,
    /// A second line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What happens when it is chosen.
    #[serde(flatten)]
    pub next: Next,
}

/// Where a tap leads. Both empty: the tap is stored and nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// The template to answer with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_template_key: Option<String>,
    /// The state to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_state: Option<String>,
}

impl Template {
    /// What is wrong with it: field and reason. Empty when it can be stored.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if !is_key(&self.key) {
            let text = format!(
                "must be 1 to {} letters, digits, dots, dashes and underscores",
                limits::KEY
            );
            found.push(Violation::new("key", text));
        }
        if self.name.chars().count() > limits::NAME {
            found.push(Violation::new(
                "name",
                format!("is longer than {} characters", limits::NAME),
            ));
        }
        if self
            .description
            .as_ref()
            .is_some_and(|text| text.chars().count() > 2_000)
        {
            found.push(Violation::new(
                "description",
                "is longer than 2000 characters",
            ));
        }
        match &self.form {
            TemplateForm::Text { body } => {
                content::check_text(&mut found, "body", body, limits::TEXT_BODY)
            }
            TemplateForm::InteractiveButton { .. } | TemplateForm::InteractiveList { .. } => {
                found.extend(self.content().violations());
            }
        }
        for (path, next) in self.nexts() {
            if next
                .next_template_key
                .as_ref()
                .is_some_and(|key| !is_key(key))
            {
                found.push(Violation::new(
                    format!("{path}.nextTemplateKey"),
                    "is not a template key",
                ));
            }
            if next.next_state.as_ref().is_some_and(|state| !is_key(state)) {
                found.push(Violation::new(
                    format!("{path}.nextState"),
                    "is not a state",
                ));
            }
        }
        found
    }

    /// Where the button or row with this id leads; `None` when the template has no such button.
    #[must_use]
    pub fn next(&self, button_id: &str) -> Option<&Next> {
        match &self.form {
            TemplateForm::Text { .. } => None,
            TemplateForm::InteractiveButton { buttons, .. } => buttons
                .iter()
                .find(|button| button.id == button_id)
                .map(|button| &button.next),
            TemplateForm::InteractiveList { sections, .. } => sections
                .iter()
                .flat_map(|section| &section.rows)
                .find(|row| row.id == button_id)
                .map(|row| &row.next),
        }
    }

    /// The names of its variables, each once, in order.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let mut names = Vec::new();
        for text in self.texts() {
            for piece in pieces(text) {
                if let Piece::Variable(name) = piece
                    && !names.iter().any(|known| known == name)
                {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    /// The message that the template makes with these variables.
    ///
    /// # Errors
    /// The names of variables that have no value.
    pub fn render(&self, variables: &BTreeMap<String, String>) -> Result<Content, Vec<String>> {
        let missing: Vec<String> = self
            .variables()
            .into_iter()
            .filter(|name| !variables.contains_key(name))
            .collect();
        if missing.is_empty() {
            Ok(self.render_lenient(variables))
        } else {
            Err(missing)
        }
    }

    /// The message that the template makes; variables without a value become nothing, and texts that grew too long
    /// are cut at WhatsApp's limit, so that a bot's answer always leaves.
    #[must_use]
    pub fn render_lenient(&self, variables: &BTreeMap<String, String>) -> Content {
        let fill = |text: &str, max: usize| cut(&substitute(text, variables), max);
        let frame = |frame: &Frame| Frame {
            header: frame
                .header
                .as_deref()
                .map(|text| fill(text, limits::HEADER_TEXT)),
            footer: frame
                .footer
                .as_deref()
                .map(|text| fill(text, limits::FOOTER)),
        };
        match self.content() {
            Content::InteractiveButton {
                frame: around,
                body,
                buttons,
            } => Content::InteractiveButton {
                frame: frame(&around),
                body: fill(&body, limits::INTERACTIVE_BODY),
                buttons,
            },
            Content::InteractiveList {
                frame: around,
                body,
                button,
                sections,
            } => Content::InteractiveList {
                frame: frame(&around),
                body: fill(&body, limits::INTERACTIVE_BODY),
                button,
                sections,
            },
            other => Content::Text {
                body: fill(other.text().unwrap_or_default(), limits::TEXT_BODY),
                preview_url: false,
            },
        }
    }

    /// The message with its variables unfilled.
    fn content(&self) -> Content {
        match &self.form {
            TemplateForm::Text { body } => Content::Text {
                body: body.clone(),
                preview_url: false,
            },
            TemplateForm::InteractiveButton {
                frame,
                body,
                buttons,
            } => Content::InteractiveButton {
                frame: frame.clone(),
                body: body.clone(),
                buttons: buttons
                    .iter()
                    .map(|button| Button {
                        id: button.id.clone(),
                        title: button.title.clone(),
                    })
                    .collect(),
            },
            TemplateForm::InteractiveList {
                frame,
                body,
                button,
                sections,
            } => Content::InteractiveList {
                frame: frame.clone(),
                body: body.clone(),
                button: button.clone(),
                sections: sections
                    .iter()
                    .map(|section| Section {
                        title: section.title.clone(),
                        rows: section
                            .rows
                            .iter()
                            .map(|row| Row {
                                id: row.id.clone(),
                                title: row.title.clone(),
                                description: row.description.clone(),
                            })
                            .collect(),
                    })
                    .collect(),
            },
        }
    }

    fn texts(&self) -> Vec<&str> {
        match &self.form {
            TemplateForm::Text { body } => vec![body],
            TemplateForm::InteractiveButton { frame, body, .. }
            | TemplateForm::InteractiveList { frame, body, .. } => frame
                .header
                .iter()
                .chain([body])
                .chain(&frame.footer)
                .map(String::as_str)
                .collect(),
        }
    }

    fn nexts(&self) -> Vec<(String, &Next)> {
        match &self.form {
            TemplateForm::Text { .. } => Vec::new(),
            TemplateForm::InteractiveButton { buttons, .. } => buttons
                .iter()
                .enumerate()
                .map(|(index, button)| (format!("buttons[{index}]"), &button.next))
                .collect(),
            TemplateForm::InteractiveList { sections, .. } => sections
                .iter()
                .enumerate()
                .flat_map(|(index, section)| {
                    section.rows.iter().enumerate().map(move |(position, row)| {
                        (format!("sections[{index}].rows[{position}]"), &row.next)
                    })
                })
                .collect(),
        }
    }
}

/// Whether a text can be a template key, rule id or state.
#[must_use]
pub fn is_key(text: &str) -> bool {
    (1..=limits::KEY).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':'))
}

/// A key made from a name: lower case, words joined by `_`; `template` when nothing is left.
#[must_use]
pub fn key_from_name(name: &str) -> String {
    let mut key = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            key.push(c);
        } else if !key.is_empty() && !key.ends_with('_') {
            key.push('_');
        }
        if key.len() >= limits::KEY - 8 {
            break;
        }
    }
    let key = key.trim_end_matches('_').to_owned();
    if key.is_empty() {
        "template".to_owned()
    } else {
        key
    }
}

enum Piece<'a> {
    Literal(&'a str),
    Variable(&'a str),
}

/// Splits a text at its `{{variables}}` in one pass. A name is letters, digits, `_`, `.` and `-`, blanks around it
/// allowed; braces around anything else stay text.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let Some(end) = rest[start..].find("}}").map(|end| start + end) else {
            break;
        };
        let name = rest[start + 2..end].trim();
        let valid =
            !name.is_empty() && name.len() <= limits::KEY && name.chars().all(is_name_character);
        if valid {
            pieces.push(Piece::Literal(&rest[..start]));
            pieces.push(Piece::Variable(name));
            rest = &rest[end + 2..];
        } else {
            pieces.push(Piece::Literal(&rest[..start + 2]));
            rest = &rest[start + 2..];
        }
    }
    pieces.push(Piece::Literal(rest));
    pieces
}

fn is_name_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// Fills the variables of a text in one pass: what a value contains is never looked at again, so a contact cannot
/// smuggle in a variable.
fn substitute(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Literal(literal) => filled.push_str(literal),
            Piece::Variable(name) => {
                if let Some(value) = variables.get(name) {
                    filled.extend(value.chars().take(limits::VARIABLE_VALUE));
                }
            }
        }
    }
    filled
}

fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(body: &str) -> Template {
        Template {
            key: "hello".into(),
            name: String::new(),
            description: None,
            active: true,
            form: TemplateForm::Text { body: body.into() },
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn variables_are_filled_once() {
        let cases = [
            ("Hi {{name}}!", map(&[("name", "Ada")]), "Hi Ada!"),
            ("{{ name }}{{name}}", map(&[("name", "A")]), "AA"),
            (
                "{{name}}",
                map(&[("name", "{{secret}}"), ("secret", "x")]),
                "{{secret}}",
            ),
            ("{{}} {{a b}} {{", map(&[]), "{{}} {{a b}} {{"),
            ("{{{{name}}", map(&[("name", "Ada")]), "{{Ada"),
        ];
        for (body, variables, expected) in cases {
            assert_eq!(
                text(body).render(&variables).unwrap().text(),
                Some(expected),
                "{body}"
            );
        }
    }

    #[test]
    fn missing_variables_are_named() {
        assert_eq!(
            text("{{a}} {{b}} {{a}}").render(&map(&[("b", "1")])),
            Err(vec!["a".into()])
        );
    }

    #[test]
    fn keys_come_from_names() {
        for (name, key) in [
            ("Main Menu!", "main_menu"),
            ("  Ünïcode  ", "n_code"),
            ("***", "template"),
        ] {
            assert_eq!(key_from_name(name), key);
            assert!(is_key(&key_from_name(name)));
        }
    }

    #[test]
    fn json_form_is_flat() {
        let json = serde_json::json!({
            "key": "menu", "kind": "interactive_button", "body": "Choose",
            "buttons": [{"id": "bal", "title": "Balance", "nextTemplateKey": "balance", "nextState": "asked"}],
        });
        let template: Template = serde_json::from_value(json).unwrap();
        assert_eq!(template.violations(), []);
        assert_eq!(
            template.next("bal").unwrap().next_template_key.as_deref(),
            Some("balance")
        );
        assert_eq!(template.next("nope"), None);
    }

    proptest! {
        #[test]
        fn rendering_never_panics_and_fits(body in "\\PC{0,300}", value in "\\PC{0,3000}") {
            let content = text(&body).render_lenient(&map(&[("name", &value)]));
            prop_assert!(content.text().unwrap().chars().count() <= limits::TEXT_BODY);
        }
    }
}
