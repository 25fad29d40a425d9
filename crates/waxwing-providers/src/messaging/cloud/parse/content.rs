//! What a message says (protocols/meta.md 5).

use serde_json::{Map, Value, json};
use waxwing_core::content::{Content, Media};
use waxwing_core::identity::ProviderMessageId;

use crate::messaging::cloud::text::mend;
use crate::messaging::cloud::wire::{self, Raw, fields};

/// Cards, products and the like that one message may carry; WhatsApp's own limits are far below.
const PARTS_MAX: usize = 1_000;

fields! {
    /// A message of the messages family, an echo or the new version inside an edit.
    MessageWire {
        "from" => from,
        "from_user_id" => from_user_id,
        "from_parent_user_id" => from_parent_user_id,
        "to" => to,
        "to_user_id" => to_user_id,
        "to_parent_user_id" => to_parent_user_id,
        "id" => id,
        "timestamp" => timestamp,
        "type" => kind,
        "context" => context,
        "referral" => referral,
        "errors" => errors,
        "group_id" => group_id,
        "origin" => origin,
        "text" => text,
        "image" => image,
        "video" => video,
        "audio" => audio,
        "voice" => voice,
        "document" => document,
        "sticker" => sticker,
        "location" => location,
        "contacts" => contacts,
        "interactive" => interactive,
        "button" => button,
        "reaction" => reaction,
        "order" => order,
        "system" => system,
        "edit" => edit,
        "revoke" => revoke,
        "unsupported" => unsupported,
    }
}

fields! {
    /// A text.
    TextWire { "body" => body }
}

fields! {
    /// Any media object.
    MediaWire {
        "id" => id,
        "mime_type" => mime_type,
        "sha256" => sha256,
        "caption" => caption,
        "filename" => filename,
        "voice" => voice,
        "animated" => animated,
    }
}

fields! {
    /// A place.
    LocationWire {
        "latitude" => latitude,
        "longitude" => longitude,
        "name" => name,
        "address" => address,
    }
}

fields! {
    /// An interactive answer.
    InteractiveWire {
        "type" => kind,
        "button_reply" => button_reply,
        "list_reply" => list_reply,
        "nfm_reply" => nfm_reply,
    }
}

fields! {
    /// A tapped button or a chosen row.
    ReplyWire { "id" => id, "title" => title, "description" => description }
}

fields! {
    /// The answer of a form.
    FormWire { "name" => name, "body" => body, "response_json" => response_json }
}

fields! {
    /// A quick reply of a template.
    ButtonWire { "payload" => payload, "text" => text }
}

fields! {
    /// A reaction.
    ReactionWire { "message_id" => message_id, "emoji" => emoji }
}

fields! {
    /// An order.
    OrderWire { "catalog_id" => catalog_id, "text" => text, "product_items" => product_items }
}

fields! {
    /// An edit or a revoke.
    ChangeOfMessage { "original_message_id" => original_message_id, "message" => message }
}

fields! {
    /// What WhatsApp says about a message that it does not hand over.
    UnsupportedWire { "type" => kind }
}

impl<'a> MessageWire<'a> {
    /// The kind of the message: what it says of itself, else what it carries.
    fn kind(&self) -> Option<std::borrow::Cow<'a, str>> {
        let carried = [
            ("text", self.text),
            ("image", self.image),
            ("video", self.video),
            ("audio", self.audio),
            ("voice", self.voice),
            ("document", self.document),
            ("sticker", self.sticker),
            ("location", self.location),
            ("contacts", self.contacts),
            ("interactive", self.interactive),
            ("button", self.button),
            ("reaction", self.reaction),
            ("order", self.order),
            ("system", self.system),
            ("edit", self.edit),
            ("revoke", self.revoke),
        ];
        wire::text(self.kind).or_else(|| {
            carried
                .into_iter()
                .find(|(_, part)| part.is_some())
                .map(|(kind, _)| kind.into())
        })
    }

    /// Whether WhatsApp itself speaks, about a person.
    pub(super) fn is_system(&self) -> bool {
        self.kind().as_deref() == Some("system")
    }

    /// The error codes that came with the message.
    pub(super) fn codes(&self) -> Vec<i64> {
        codes(self.errors)
    }

    /// What it says. A kind that is unknown or without its content becomes [`Content::Unsupported`]: stored, shown,
    /// never lost.
    pub(super) fn content(&self) -> Content {
        self.content_at(0)
    }

    fn content_at(&self, depth: u8) -> Content {
        let kind = self.kind();
        let kind = kind.as_deref();
        let known = match kind {
            Some("text") => text(self.text),
            Some("image") => media(self.image).map(Content::Image),
            Some("video") => media(self.video).map(Content::Video),
            Some("audio") => media(self.audio).map(Content::Audio),
            // The old name of a recorded note.
            Some("voice") => media(self.voice).map(|media| {
                Content::Audio(Media {
                    voice: true,
                    ..media
                })
            }),
            Some("document") => media(self.document).map(Content::Document),
            Some("sticker") => media(self.sticker).map(Content::Sticker),
            Some("location") => location(self.location),
            Some("contacts") => cards(self.contacts),
            Some("interactive") => interactive(self.interactive),
            Some("button") => button(self.button),
            Some("reaction") => reaction(self.reaction),
            Some("order") => order(self.order),
            Some("request_welcome") => Some(Content::RequestWelcome),
            Some("edit") if depth == 0 => edit(self.edit),
            Some("revoke") => Some(Content::Revoke),
            _ => None,
        };
        known.unwrap_or_else(|| {
            let said: UnsupportedWire<'_> = wire::object_or_empty(self.unsupported);
            Content::Unsupported {
                kind: wire::owned(said.kind).or_else(|| {
                    kind.filter(|kind| *kind != "unsupported")
                        .map(str::to_owned)
                }),
                codes: self.codes(),
            }
        })
    }

    /// The message that a reaction, edit or revoke is about.
    pub(super) fn target(&self) -> Option<ProviderMessageId> {
        let raw = match self.kind().as_deref() {
            Some("reaction") => wire::object_or_empty::<ReactionWire<'_>>(self.reaction).message_id,
            Some("edit") => {
                wire::object_or_empty::<ChangeOfMessage<'_>>(self.edit).original_message_id
            }
            Some("revoke") => {
                wire::object_or_empty::<ChangeOfMessage<'_>>(self.revoke).original_message_id
            }
            _ => None,
        };
        message_id(raw)
    }
}

pub(super) fn message_id(raw: Raw<'_>) -> Option<ProviderMessageId> {
    wire::text(raw).and_then(|id| ProviderMessageId::parse(&id))
}

pub(super) fn codes(errors: Raw<'_>) -> Vec<i64> {
    wire::list(errors)
        .into_iter()
        .take(PARTS_MAX)
        .filter_map(crate::messaging::cloud::outcome::webhook_code)
        .collect()
}

fn text(raw: Raw<'_>) -> Option<Content> {
    let text: TextWire<'_> = wire::object(raw?)?;
    Some(Content::Text {
        body: wire::owned(text.body)?,
        preview_url: false,
    })
}

fn media(raw: Raw<'_>) -> Option<Media> {
    let media: MediaWire<'_> = wire::object(raw?)?;
    Some(Media {
        media_id: None,
        id: wire::owned(media.id),
        link: None,
        mime_type: wire::owned(media.mime_type),
        sha256: wire::owned(media.sha256),
        caption: wire::owned(media.caption),
        filename: wire::owned(media.filename),
        voice: wire::flag(media.voice).unwrap_or_default(),
        animated: wire::flag(media.animated).unwrap_or_default(),
    })
}

fn location(raw: Raw<'_>) -> Option<Content> {
    let place: LocationWire<'_> = wire::object(raw?)?;
    Some(Content::Location {
        latitude: wire::float(place.latitude)?,
        longitude: wire::float(place.longitude)?,
        name: wire::owned(place.name),
        address: wire::owned(place.address),
    })
}

fn values(raw: Raw<'_>) -> Vec<Value> {
    wire::list(raw)
        .into_iter()
        .take(PARTS_MAX)
        .filter_map(|raw| wire::value(Some(raw)))
        .collect()
}

fn cards(raw: Raw<'_>) -> Option<Content> {
    let contacts = values(raw);
    (!contacts.is_empty()).then_some(Content::Contacts { contacts })
}

fn interactive(raw: Raw<'_>) -> Option<Content> {
    let raw = raw?;
    let answer: InteractiveWire<'_> = wire::object(raw)?;
    let carried = [
        ("button_reply", answer.button_reply),
        ("list_reply", answer.list_reply),
        ("nfm_reply", answer.nfm_reply),
    ];
    let kind = wire::text(answer.kind).or_else(|| {
        carried
            .into_iter()
            .find(|(_, part)| part.is_some())
            .map(|(kind, _)| kind.into())
    })?;
    match kind.as_ref() {
        "button_reply" => {
            let reply: ReplyWire<'_> = wire::object(answer.button_reply?)?;
            Some(Content::ButtonReply {
                id: wire::owned(reply.id)?,
                title: wire::owned(reply.title).unwrap_or_default(),
            })
        }
        "list_reply" => {
            let reply: ReplyWire<'_> = wire::object(answer.list_reply?)?;
            Some(Content::ListReply {
                id: wire::owned(reply.id)?,
                title: wire::owned(reply.title).unwrap_or_default(),
                description: wire::owned(reply.description),
            })
        }
        "nfm_reply" => form(answer.nfm_reply),
        kind => {
            let mut all: Map<String, Value> = serde_json::from_str(raw.get()).unwrap_or_default();
            Some(Content::InteractiveReply {
                kind: kind.to_owned(),
                data: all.remove(kind).unwrap_or(Value::Null),
            })
        }
    }
}

/// The answer of a form. Its fields are JSON inside a JSON text and may be anything.
fn form(raw: Raw<'_>) -> Option<Content> {
    let form: FormWire<'_> = wire::object(raw?)?;
    let source = wire::text(form.response_json).unwrap_or_default();
    let response = match serde_json::from_str::<Value>(&mend(&source)) {
        Ok(Value::Object(fields)) => Value::Object(fields),
        _ => json!({ "raw": source }),
    };
    Some(Content::FlowReply {
        name: wire::owned(form.name).unwrap_or_else(|| "flow".to_owned()),
        body: wire::owned(form.body),
        response,
    })
}

fn button(raw: Raw<'_>) -> Option<Content> {
    let button: ButtonWire<'_> = wire::object(raw?)?;
    let payload = wire::owned(button.payload);
    Some(Content::Button {
        text: wire::owned(button.text).or_else(|| payload.clone())?,
        payload,
    })
}

fn reaction(raw: Raw<'_>) -> Option<Content> {
    let reaction: ReactionWire<'_> = wire::object(raw?)?;
    Some(Content::Reaction {
        emoji: wire::owned(reaction.emoji),
    })
}

fn order(raw: Raw<'_>) -> Option<Content> {
    let order: OrderWire<'_> = wire::object(raw?)?;
    Some(Content::Order {
        catalog_id: wire::owned(order.catalog_id).unwrap_or_default(),
        text: wire::owned(order.text),
        items: values(order.product_items),
    })
}

fn edit(raw: Raw<'_>) -> Option<Content> {
    let edit: ChangeOfMessage<'_> = wire::object(raw?)?;
    let message: MessageWire<'_> = wire::object(edit.message?)?;
    // An edit of an edit does not exist; one level is read.
    Some(Content::Edit {
        content: Box::new(message.content_at(1)),
    })
}
