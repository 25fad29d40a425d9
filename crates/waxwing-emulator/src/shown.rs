//! What a phone shows: messages of both sides with their buttons, lists and ticks.

use serde::Serialize;

use crate::meta::wire::{Content, Header, Interactive, Parameters, Template};

/// Progress of a message, as ticks on a phone. The order is the order of the ladder; `Failed` stands apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tick {
    /// Taken by the emulator, no status emitted yet; or, for a user's message, not read by the business.
    Accepted,
    /// `sent`.
    Sent,
    /// `delivered`.
    Delivered,
    /// `read`.
    Read,
    /// `played`, voice messages only.
    Played,
    /// `failed`.
    Failed,
}

/// A button under a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownButton {
    /// Id of a reply button, payload of a template's quick reply, empty for buttons that send nothing.
    pub id: String,
    /// Label.
    pub title: String,
    /// `reply`, `quick_reply`, `url`, `flow`, or the name of another action.
    pub kind: String,
    /// Address of a `url` button.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownRow {
    /// Id that comes back when picked.
    pub id: String,
    /// Title.
    pub title: String,
    /// Second line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A section of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownSection {
    /// Heading, absent for a single section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Rows.
    pub rows: Vec<ShownRow>,
}

/// Media of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownMedia {
    /// `image`, `video`, `audio`, `document` or `sticker`.
    pub kind: String,
    /// Id of uploaded media.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Link that Meta would fetch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// File name of a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

/// One bubble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownMessage {
    /// Message id.
    pub id: String,
    /// Position in the thread, from 1, without gaps until the thread is trimmed.
    pub seq: u64,
    /// Revision at which this bubble was last changed (see [`crate::Phone::thread`]).
    pub rev: u64,
    /// Whether the business wrote it.
    pub from_business: bool,
    /// Message type.
    pub kind: String,
    /// Main text, with template parameters filled in.
    pub text: String,
    /// Header text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Footer text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// Buttons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<ShownButton>,
    /// Label of the button that opens the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_button: Option<String>,
    /// Sections of the list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<ShownSection>,
    /// Media.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<ShownMedia>,
    /// Message that this one answers or reacts to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Ticks.
    pub tick: Tick,
    /// Code of a failed message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<i64>,
    /// Seconds since 1970.
    pub at: u64,
}

impl ShownMessage {
    pub(crate) fn new(id: &str, from_business: bool, kind: &str, at: u64) -> Self {
        Self {
            id: id.to_owned(),
            seq: 0,
            rev: 0,
            from_business,
            kind: kind.to_owned(),
            text: String::new(),
            header: None,
            footer: None,
            buttons: Vec::new(),
            list_button: None,
            sections: Vec::new(),
            media: None,
            reply_to: None,
            tick: Tick::Accepted,
            error: None,
            at,
        }
    }

    /// The button with this id, if the message shows it.
    #[must_use]
    pub fn button(&self, id: &str) -> Option<&ShownButton> {
        self.buttons
            .iter()
            .find(|b| b.id == id && matches!(b.kind.as_str(), "reply" | "quick_reply"))
    }

    /// The list row with this id, if the message shows it.
    #[must_use]
    pub fn row(&self, id: &str) -> Option<&ShownRow> {
        self.sections
            .iter()
            .flat_map(|s| &s.rows)
            .find(|r| r.id == id)
    }

    /// Fills in what a message of the business shows. `template` is the stored template, if there is one.
    pub(crate) fn fill(&mut self, content: &Content<'_>, template: Option<&serde_json::Value>) {
        match content {
            Content::Template(send) => self.fill_template(send, template),
            Content::Interactive(interactive) => self.fill_interactive(interactive),
            Content::Media(kind, media) => {
                content.text().clone_into(&mut self.text);
                self.media = Some(ShownMedia {
                    kind: (*kind).to_owned(),
                    id: media.id.as_deref().map(str::to_owned),
                    link: media.link.as_deref().map(str::to_owned),
                    filename: media.filename.as_deref().map(str::to_owned),
                });
            }
            Content::Location(location) => {
                self.text = [&location.name, &location.address]
                    .into_iter()
                    .filter_map(|part| part.as_deref())
                    .collect::<Vec<_>>()
                    .join(", ");
                if self.text.is_empty() {
                    self.text = format!(
                        "{}, {}",
                        location.latitude.as_deref().unwrap_or(""),
                        location.longitude.as_deref().unwrap_or("")
                    );
                }
            }
            Content::Reaction(reaction) => {
                reaction
                    .emoji
                    .as_deref()
                    .unwrap_or("")
                    .clone_into(&mut self.text);
                self.reply_to = reaction.message_id.as_deref().map(str::to_owned);
            }
            Content::Text(_) | Content::Contacts(_) => content.text().clone_into(&mut self.text),
        }
    }

    fn fill_header(&mut self, header: &Header<'_>) {
        self.header = header.text.as_deref().map(str::to_owned);
        for (kind, media) in [
            ("image", &header.image),
            ("video", &header.video),
            ("document", &header.document),
        ] {
            if let Some(media) = media {
                self.media = Some(ShownMedia {
                    kind: kind.to_owned(),
                    id: media.id.as_deref().map(str::to_owned),
                    link: media.link.as_deref().map(str::to_owned),
                    filename: media.filename.as_deref().map(str::to_owned),
                });
            }
        }
    }

    fn fill_interactive(&mut self, message: &Interactive<'_>) {
        message
            .body
            .as_ref()
            .and_then(|b| b.text.as_deref())
            .unwrap_or("")
            .clone_into(&mut self.text);
        self.footer = message
            .footer
            .as_ref()
            .and_then(|f| f.text.as_deref())
            .map(str::to_owned);
        if let Some(header) = &message.header {
            self.fill_header(header);
        }
        let Some(action) = &message.action else {
            return;
        };
        for button in action.buttons.iter().flatten() {
            if let Some(reply) = &button.reply {
                self.buttons.push(ShownButton {
                    id: reply.id.as_deref().unwrap_or("").to_owned(),
                    title: reply.title.as_deref().unwrap_or("").to_owned(),
                    kind: "reply".into(),
                    url: None,
                });
            }
        }
        self.list_button = action.button.as_deref().map(str::to_owned);
        for section in action.sections.iter().flatten() {
            let rows = section.rows.iter().flatten().map(|row| ShownRow {
                id: row.id.as_deref().unwrap_or("").to_owned(),
                title: row.title.as_deref().unwrap_or("").to_owned(),
                description: row.description.as_deref().map(str::to_owned),
            });
            self.sections.push(ShownSection {
                title: section.title.as_deref().map(str::to_owned),
                rows: rows.collect(),
            });
        }
        for card in action.cards.iter().flatten() {
            for reply in card
                .action
                .iter()
                .flat_map(|a| a.buttons.iter().flatten())
                .filter_map(|b| b.quick_reply.as_ref())
            {
                self.buttons.push(ShownButton {
                    id: reply.id.as_deref().unwrap_or("").to_owned(),
                    title: reply.title.as_deref().unwrap_or("").to_owned(),
                    kind: "reply".into(),
                    url: None,
                });
            }
        }
        if let Some(name) = action.name.as_deref() {
            let parameters: Parameters<'_> = action
                .parameters
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
                .unwrap_or_default();
            let title = parameters
                .display_text
                .as_deref()
                .or(parameters.flow_cta.as_deref())
                .unwrap_or(name);
            self.buttons.push(ShownButton {
                id: String::new(),
                title: title.to_owned(),
                kind: if name == "cta_url" {
                    "url".into()
                } else {
                    name.to_owned()
                },
                url: parameters.url.as_deref().map(str::to_owned),
            });
        }
    }

    fn fill_template(&mut self, send: &Template<'_>, stored: Option<&serde_json::Value>) {
        let component = |kind: &str| {
            send.components.iter().flatten().find(|c| {
                c.kind
                    .as_deref()
                    .is_some_and(|k| k.eq_ignore_ascii_case(kind))
            })
        };
        let fill = |text: &str, kind: &str| {
            let mut text = text.to_owned();
            for (index, parameter) in component(kind)
                .and_then(|c| c.parameters.as_ref())
                .into_iter()
                .flatten()
                .enumerate()
            {
                let fallback = parameter.currency.as_ref().or(parameter.date_time.as_ref());
                let value = parameter
                    .text
                    .as_deref()
                    .or_else(|| fallback.and_then(|f| f.fallback_value.as_deref()));
                let name = parameter
                    .parameter_name
                    .as_deref()
                    .map_or_else(|| (index + 1).to_string(), str::to_owned);
                text = text.replace(&format!("{{{{{name}}}}}"), value.unwrap_or(""));
            }
            text
        };
        let Some(parts) = stored
            .and_then(|t| t.get("components"))
            .and_then(|c| c.as_array())
        else {
            self.text = format!("[{}]", send.name.as_deref().unwrap_or("template"));
            return;
        };
        for part in parts {
            let text = part.get("text").and_then(|t| t.as_str());
            match (
                part.get("type").and_then(|t| t.as_str()).unwrap_or(""),
                text,
            ) {
                ("BODY", Some(text)) => self.text = fill(text, "body"),
                ("HEADER", Some(text)) => self.header = Some(fill(text, "header")),
                ("FOOTER", Some(text)) => self.footer = Some(text.to_owned()),
                ("BUTTONS", _) => self.fill_template_buttons(send, part),
                _ => {}
            }
        }
    }

    fn fill_template_buttons(&mut self, send: &Template<'_>, part: &serde_json::Value) {
        for (index, button) in part
            .get("buttons")
            .and_then(|b| b.as_array())
            .into_iter()
            .flatten()
            .enumerate()
        {
            let title = button
                .get("text")
                .and_then(|t| t.as_str())
                .unwrap_or("")
                .to_owned();
            let quick = button.get("type").and_then(|t| t.as_str()) == Some("QUICK_REPLY");
            let payload = send
                .components
                .iter()
                .flatten()
                .filter(|c| c.index.as_deref().and_then(|i| i.parse().ok()) == Some(index))
                .find_map(|c| c.parameters.as_ref()?.first()?.payload.as_deref());
            self.buttons.push(ShownButton {
                // Without a payload of ours the label comes back (meta.md section 5).
                id: if quick {
                    payload.unwrap_or(&title).to_owned()
                } else {
                    String::new()
                },
                kind: if quick {
                    "quick_reply".into()
                } else {
                    "url".into()
                },
                url: button
                    .get("url")
                    .and_then(|u| u.as_str())
                    .map(str::to_owned),
                title,
            });
        }
    }
}
