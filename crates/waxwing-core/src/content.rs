//! The canonical content of a message, whatever the provider. Stored and shown as JSON with a `type`.

use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::ids::MediaId;

mod checks;

pub use self::checks::Violation;
pub(crate) use self::checks::check_text;

/// The kind of a media message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// Sound, recorded or a file.
    Audio,
    /// A file.
    Document,
    /// A sticker.
    Sticker,
}

impl MediaKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Image,
        Self::Video,
        Self::Audio,
        Self::Document,
        Self::Sticker,
    ];

    /// Reads the word of [`MediaKind::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The word on Meta's wire and in our API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Document => "document",
            Self::Sticker => "sticker",
        }
    }
}

/// A media object: by our own id, by the provider's id, or by a public link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Media {
    /// Our own file. Received media have it beside the provider's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_id: Option<MediaId>,
    /// The provider's media id. Inbound ids live for days only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A public http(s) link, fetched by the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The type the provider named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Base64 of the SHA-256 of the file, as Meta's webhooks give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The text below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// The name of the file. From outside: hostile until cleaned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Whether the sound was recorded in the chat.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub voice: bool,
    /// Whether the sticker moves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub animated: bool,
}

/// A reply button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// Comes back when it is tapped.
    pub id: String,
    /// What the person sees.
    pub title: String,
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Comes back when it is chosen.
    pub id: String,
    /// What the person sees.
    pub title: String,
    /// A second line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A section of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Needed from two sections on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// The header and footer that interactive messages share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Frame {
    /// A line above the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// A line below the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
}

/// Where an answer to the question if we may call comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPermission {
    /// The person tapped.
    ByHand,
    /// WhatsApp answered by itself.
    Automatic,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Plain text.
    Text {
        /// The text.
        body: String,
        /// Whether the phone shows a preview of the first link.
        #[serde(
            default,
            rename = "previewUrl",
            skip_serializing_if = "std::ops::Not::not"
        )]
        preview_url: bool,
    },
    /// A picture.
    Image(Media),
    /// A film.
    Video(Media),
    /// Sound.
    Audio(Media),
    /// A file.
    Document(Media),
    /// A sticker.
    Sticker(Media),
    /// A place.
    Location {
        /// Degrees.
        latitude: f64,
        /// Degrees.
        longitude: f64,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
    },
    /// Contact cards, as the provider gives them.
    Contacts {
        /// The cards.
        contacts: Vec<serde_json::Value>,
    },
    /// Outbound: a body with reply buttons.
    InteractiveButton {
        /// Header and footer.
        #[serde(flatten)]
        frame: Frame,
        /// The text.
        body: String,
        /// One to three buttons.
        buttons: Vec<Button>,
    },
    /// Outbound: a body with a list that opens.
    InteractiveList {
        /// Header and footer.
        #[serde(flatten)]
        frame: Frame,
        /// The text.
        body: String,
        /// The label that opens the list.
        button: String,
        /// The sections, ten rows in all.
        sections: Vec<Section>,
    },
    /// Outbound: an approved message template, in the provider's component form.
    MessageTemplate {
        /// Its name; at Twilio its `ContentSid`.
        name: String,
        /// Its language code, such as `en_US`.
        language: String,
        /// Parameters by component.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        components: Vec<serde_json::Value>,
    },
    /// Inbound: a tap on a reply button.
    ButtonReply {
        /// The button's id.
        id: String,
        /// The button's title.
        title: String,
    },
    /// Inbound: a choice from a list.
    ListReply {
        /// The row's id.
        id: String,
        /// The row's title.
        title: String,
        /// The row's second line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// Inbound: a tap on a quick reply of a message template.
    Button {
        /// What we (or WhatsApp) put behind the button.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<String>,
        /// The label.
        text: String,
    },
    /// Inbound: an answer of a WhatsApp Flow or an address form.
    FlowReply {
        /// `flow` or `address_message`.
        name: String,
        /// What the phone shows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        /// The fields, when they are a JSON object; else the raw text under `raw`.
        response: serde_json::Value,
    },
    /// Inbound: another interactive answer (call permission, payment method, later kinds).
    InteractiveReply {
        /// The provider's word for it.
        kind: String,
        /// Its data.
        data: serde_json::Value,
    },
    /// A reaction to a message; no emoji takes it back.
    Reaction {
        /// The emoji sequence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        emoji: Option<String>,
    },
    /// Inbound: an order from the catalogue.
    Order {
        /// The catalogue.
        #[serde(rename = "catalogId")]
        catalog_id: String,
        /// A remark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The products, as the provider gives them (prices stay decimal numbers).
        items: Vec<serde_json::Value>,
    },
    /// Inbound: the chat was opened for the first time.
    RequestWelcome,
    /// A new version of an earlier message.
    Edit {
        /// What it says now.
        content: Box<Content>,
    },
    /// An earlier message was taken back.
    Revoke,
    /// A call. Its entry stands where the call began, and changes while the call goes on.
    Call(Call),
    /// Something that WhatsApp does not hand over, or that Waxwing does not know yet.
    Unsupported {
        /// The provider's word for the kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// The provider's error codes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        codes: Vec<i64>,
    },
}

/// Whether this is the id of a Content resource at Twilio, where templates have no names (protocols/twilio.md 7). The
/// letters after its prefix are lower case.
#[must_use]
pub fn is_content_sid(text: &str) -> bool {
    text.strip_prefix("HX").is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    })
}

impl Content {
    /// The word under `type` in the API.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Audio(_) => "audio",
            Self::Document(_) => "document",
            Self::Sticker(_) => "sticker",
            Self::Location { .. } => "location",
            Self::Contacts { .. } => "contacts",
            Self::InteractiveButton { .. } => "interactive_button",
            Self::InteractiveList { .. } => "interactive_list",
            Self::MessageTemplate { .. } => "message_template",
            Self::ButtonReply { .. } => "button_reply",
            Self::ListReply { .. } => "list_reply",
            Self::Button { .. } => "button",
            Self::FlowReply { .. } => "flow_reply",
            Self::InteractiveReply { .. } => "interactive_reply",
            Self::Reaction { .. } => "reaction",
            Self::Order { .. } => "order",
            Self::RequestWelcome => "request_welcome",
            Self::Edit { .. } => "edit",
            Self::Revoke => "revoke",
            Self::Call(_) => "call",
            Self::Unsupported { .. } => "unsupported",
        }
    }

    /// What a person reads: body, caption, title.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text { body, .. }
            | Self::InteractiveButton { body, .. }
            | Self::InteractiveList { body, .. } => Some(body),
            Self::Image(media)
            | Self::Video(media)
            | Self::Audio(media)
            | Self::Document(media) => media.caption.as_deref(),
            Self::ButtonReply { title, .. } | Self::ListReply { title, .. } => Some(title),
            Self::Button { text, .. } => Some(text),
            Self::FlowReply { body, .. } => body.as_deref(),
            Self::Reaction { emoji } => emoji.as_deref(),
            Self::Order { text, .. } => text.as_deref(),
            Self::Edit { content } => content.text(),
            Self::Sticker(_)
            | Self::Location { .. }
            | Self::Contacts { .. }
            | Self::MessageTemplate { .. }
            | Self::InteractiveReply { .. }
            | Self::RequestWelcome
            | Self::Revoke
            | Self::Call(_)
            | Self::Unsupported { .. } => None,
        }
    }

    /// The media object, if it is a media message.
    #[must_use]
    pub const fn media(&self) -> Option<(MediaKind, &Media)> {
        match self {
            Self::Image(media) => Some((MediaKind::Image, media)),
            Self::Video(media) => Some((MediaKind::Video, media)),
            Self::Audio(media) => Some((MediaKind::Audio, media)),
            Self::Document(media) => Some((MediaKind::Document, media)),
            Self::Sticker(media) => Some((MediaKind::Sticker, media)),
            _ => None,
        }
    }

    /// The media object, to be changed.
    pub const fn media_mut(&mut self) -> Option<&mut Media> {
        match self {
            Self::Image(media)
            | Self::Video(media)
            | Self::Audio(media)
            | Self::Document(media)
            | Self::Sticker(media) => Some(media),
            _ => None,
        }
    }

    /// Whether a bot answers it. Reactions, edits, revokes, calls and permissions for them, and what WhatsApp does not
    /// hand over, are only stored
    /// (protocols/meta.md 5).
    #[must_use]
    pub fn is_chat_input(&self) -> bool {
        let passive = matches!(
            self,
            Self::Reaction { .. }
                | Self::Edit { .. }
                | Self::Revoke
                | Self::Call(_)
                | Self::Unsupported { .. }
        );
        !passive && self.call_permission().is_none()
    }

    /// Whether it answers the question if we may call, and then whether the person answered: Meta also gives the
    /// permission by itself, to a business that the person calls (protocols/meta.md 5).
    #[must_use]
    pub fn call_permission(&self) -> Option<CallPermission> {
        match self {
            Self::InteractiveReply { kind, data } if kind == "call_permission_reply" => {
                Some(if data["response_source"] == "automatic" {
                    CallPermission::Automatic
                } else {
                    CallPermission::ByHand
                })
            }
            _ => None,
        }
    }

    /// Whether it says something that a later webhook under the same id may replace (a placeholder).
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        matches!(self, Self::Unsupported { codes, .. } if codes.contains(&131_060))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buttons(titles: &[&str]) -> Content {
        let buttons = titles.iter().enumerate().map(|(n, title)| Button {
            id: format!("b{n}"),
            title: (*title).into(),
        });
        Content::InteractiveButton {
            frame: Frame::default(),
            body: "Choose".into(),
            buttons: buttons.collect(),
        }
    }

    fn card(name: serde_json::Value) -> Content {
        let phones = serde_json::json!([{"phone": "+16505551234"}]);
        Content::Contacts {
            contacts: vec![serde_json::json!({"name": name, "phones": phones})],
        }
    }

    #[test]
    fn limits_are_whatsapps() {
        let named = serde_json::json!({"formatted_name": "Ada", "first_name": "Ada"});
        assert_eq!(card(named).violations(), []);
        assert_eq!(buttons(&["One", "Two", "Three"]).violations(), []);
        assert_eq!(buttons(&["12345678901234567890"]).violations(), []);
        let cases = [
            (buttons(&[]), "buttons"),
            (buttons(&["1", "2", "3", "4"]), "buttons"),
            (buttons(&["123456789012345678901"]), "buttons[0].title"),
            (buttons(&["Same", "Same"]), "buttons[1].title"),
            (
                Content::Text {
                    body: "x".repeat(4_097),
                    preview_url: false,
                },
                "text",
            ),
            (
                Content::Text {
                    body: " ".into(),
                    preview_url: false,
                },
                "text",
            ),
            (Content::Image(Media::default()), "image"),
            (Content::Revoke, "type"),
            (
                card(serde_json::json!({"formatted_name": "Ada"})),
                "contacts[0].name",
            ),
            (
                card(serde_json::json!({"formatted_name": " ", "first_name": "Ada"})),
                "contacts[0].name.formatted_name",
            ),
        ];
        for (content, field) in cases {
            let found = content.violations();
            assert!(
                found.iter().any(|violation| violation.field == field),
                "{field}: {found:?}"
            );
        }
    }

    #[test]
    fn message_templates_have_names_or_the_ids_of_twilio() {
        let is_good = |name: &str| {
            let template = Content::MessageTemplate {
                name: name.into(),
                language: "en".into(),
                components: vec![],
            };
            template.violations().is_empty()
        };
        for good in ["order_ready_2", "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(is_good(good), "{good}");
        }
        for bad in ["", "HX", "Order", "HXAB", "order ready", "ümlaut"] {
            assert!(!is_good(bad), "{bad}");
        }
    }

    #[test]
    fn emoji_count_as_characters_not_bytes() {
        assert_eq!(
            buttons(&["😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀"]).violations(),
            []
        );
    }

    #[test]
    fn json_form_round_trips() {
        let content = buttons(&["Yes"]);
        let json = serde_json::to_value(&content).unwrap();
        assert_eq!(json["type"], content.kind());
        assert_eq!(serde_json::from_value::<Content>(json).unwrap(), content);
    }
}
