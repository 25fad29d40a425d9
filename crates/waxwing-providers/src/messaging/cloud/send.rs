//! The body of a send (protocols/meta.md 11 and 12).

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use waxwing_core::content::{Button, Content, Frame, Media, MediaKind, Section};
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::limits;

use crate::messaging::adapter::{BuildError, Recipient};

/// The JSON of a send.
pub(crate) fn body(
    to: &Recipient,
    content: &Content,
    reply_to: Option<&ProviderMessageId>,
    callback_data: &str,
) -> Result<Vec<u8>, BuildError> {
    if callback_data.chars().count() > limits::CALLBACK_DATA {
        return Err(BuildError::CallbackData);
    }
    let (kind, part) = part(content, reply_to)?;
    // A reaction is not an answer: the message stands inside it.
    let reply_to = reply_to.filter(|_| kind != "reaction");
    let message = Message {
        to,
        kind,
        part,
        reply_to,
        callback_data,
    };
    Ok(serde_json::to_vec(&message).expect("texts, numbers and JSON values always serialise"))
}

/// The kind of a content and what stands under its name, for providers that put it into bodies of their own.
pub(crate) fn part_value(content: &Content) -> Result<(&'static str, Value), BuildError> {
    let (kind, part) = part(content, None)?;
    let value =
        serde_json::to_value(&part).expect("texts, numbers and JSON values always serialise");
    Ok((kind, value))
}

/// The JSON that marks a received message as read and, with `typing`, shows that an answer is being written.
pub(crate) fn read_body(message: &ProviderMessageId, typing: bool) -> Vec<u8> {
    let mut body = serde_json::json!({
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": message,
    });
    if typing {
        body["typing_indicator"] = serde_json::json!({ "type": "text" });
    }
    body.to_string().into_bytes()
}

struct Message<'a> {
    to: &'a Recipient,
    kind: &'static str,
    part: Part<'a>,
    reply_to: Option<&'a ProviderMessageId>,
    callback_data: &'a str,
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("messaging_product", "whatsapp")?;
        map.serialize_entry("recipient_type", "individual")?;
        match self.to {
            Recipient::Phone(phone) => map.serialize_entry("to", &phone.e164())?,
            Recipient::UserId(id) => map.serialize_entry("recipient", id)?,
        }
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry(self.kind, &self.part)?;
        if let Some(id) = self.reply_to {
            map.serialize_entry("context", &Context { message_id: id })?;
        }
        if !self.callback_data.is_empty() {
            map.serialize_entry("biz_opaque_callback_data", self.callback_data)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Context<'a> {
    message_id: &'a ProviderMessageId,
}

/// What stands under the name of the kind.
#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Text {
        preview_url: bool,
        body: &'a str,
    },
    Media(MediaPart<'a>),
    /// Meta's examples have coordinates as texts.
    Location {
        latitude: String,
        longitude: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<&'a str>,
    },
    Contacts(&'a [Value]),
    Interactive(Interactive<'a>),
    Template {
        name: &'a str,
        language: Language<'a>,
        #[serde(skip_serializing_if = "<[Value]>::is_empty")]
        components: &'a [Value],
    },
    Reaction {
        message_id: &'a ProviderMessageId,
        emoji: &'a str,
    },
}

#[derive(Serialize)]
struct Language<'a> {
    code: &'a str,
}

#[derive(Serialize)]
struct MediaPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    voice: bool,
}

#[derive(Serialize)]
struct Interactive<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header<'a>>,
    body: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Text<'a>>,
    action: Action<'a>,
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Action<'a> {
    Buttons {
        buttons: Vec<Reply<'a>>,
    },
    List {
        button: &'a str,
        sections: &'a [Section],
    },
}

#[derive(Serialize)]
struct Reply<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    reply: &'a Button,
}

fn part<'a>(
    content: &'a Content,
    reply_to: Option<&'a ProviderMessageId>,
) -> Result<(&'static str, Part<'a>), BuildError> {
    if let Some((kind, media)) = content.media() {
        return Ok((kind.as_str(), Part::Media(media_part(kind, media)?)));
    }
    Ok(match content {
        Content::Text { body, preview_url } => (
            "text",
            Part::Text {
                preview_url: *preview_url,
                body,
            },
        ),
        Content::Location {
            latitude,
            longitude,
            name,
            address,
        } => (
            "location",
            Part::Location {
                latitude: latitude.to_string(),
                longitude: longitude.to_string(),
                name: name.as_deref(),
                address: address.as_deref(),
            },
        ),
        Content::Contacts { contacts } => ("contacts", Part::Contacts(contacts)),
        Content::InteractiveButton {
            frame,
            body,
            buttons,
        } => {
            let buttons = buttons.iter().map(|button| Reply {
                kind: "reply",
                reply: button,
            });
            let action = Action::Buttons {
                buttons: buttons.collect(),
            };
            ("interactive", interactive("button", frame, body, action))
        }
        Content::InteractiveList {
            frame,
            body,
            button,
            sections,
        } => {
            let action = Action::List { button, sections };
            ("interactive", interactive("list", frame, body, action))
        }
        Content::MessageTemplate {
            name,
            language,
            components,
        } => (
            "template",
            Part::Template {
                name,
                language: Language { code: language },
                components,
            },
        ),
        Content::Reaction { emoji } => (
            "reaction",
            Part::Reaction {
                message_id: reply_to.ok_or(BuildError::NoTarget)?,
                // The empty text takes a reaction back.
                emoji: emoji.as_deref().unwrap_or_default(),
            },
        ),
        other => return Err(BuildError::NotSendable(other.kind())),
    })
}

fn interactive<'a>(
    kind: &'static str,
    frame: &'a Frame,
    body: &'a str,
    action: Action<'a>,
) -> Part<'a> {
    Part::Interactive(Interactive {
        kind,
        header: frame
            .header
            .as_deref()
            .map(|text| Header { kind: "text", text }),
        body: Text { text: body },
        footer: frame.footer.as_deref().map(|text| Text { text }),
        action,
    })
}

fn media_part(kind: MediaKind, media: &Media) -> Result<MediaPart<'_>, BuildError> {
    if media.id.is_some() == media.link.is_some() {
        return Err(BuildError::NoMedia);
    }
    let has_caption = !matches!(kind, MediaKind::Audio | MediaKind::Sticker);
    Ok(MediaPart {
        id: media.id.as_deref(),
        link: media.link.as_deref(),
        caption: media.caption.as_deref().filter(|_| has_caption),
        filename: media
            .filename
            .as_deref()
            .filter(|_| kind == MediaKind::Document),
        voice: media.voice && kind == MediaKind::Audio,
    })
}
