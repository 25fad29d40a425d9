//! Request bodies of the messages endpoint, read without copying where possible.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A string that borrows from the request. Numbers and booleans are taken as text, as the Graph API does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Str<'a>(pub(crate) Cow<'a, str>);

impl std::ops::Deref for Str<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Str<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Borrowed(v)))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(v.to_owned())))
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(v.to_string())))
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(v.to_string())))
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(v.to_string())))
            }
            fn visit_bool<E: Error>(self, v: bool) -> Result<Self::Value, E> {
                Ok(Str(Cow::Borrowed(if v { "true" } else { "false" })))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// The whole body. Contents stay raw until the type is known.
#[derive(Debug, Deserialize)]
pub(crate) struct Body<'a> {
    #[serde(borrow)]
    pub(crate) messaging_product: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) recipient_type: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) to: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) recipient: Option<Str<'a>>,
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) biz_opaque_callback_data: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) context: Option<Context<'a>>,
    #[serde(borrow)]
    pub(crate) status: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) message_id: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) typing_indicator: Option<Typing<'a>>,
    #[serde(borrow)]
    pub(crate) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) image: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) video: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) audio: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) document: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) sticker: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) location: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) contacts: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) reaction: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) interactive: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) template: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Context<'a> {
    #[serde(borrow)]
    pub(crate) message_id: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Typing<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a> {
    #[serde(borrow)]
    pub(crate) body: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Media<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) link: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) caption: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) filename: Option<Str<'a>>,
    pub(crate) voice: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Location<'a> {
    #[serde(borrow)]
    pub(crate) latitude: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) longitude: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) name: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) address: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ContactCard<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<ContactName<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ContactName<'a> {
    #[serde(borrow)]
    pub(crate) formatted_name: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) first_name: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) last_name: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) middle_name: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) suffix: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) prefix: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reaction<'a> {
    #[serde(borrow)]
    pub(crate) message_id: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) emoji: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Interactive<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) header: Option<Header<'a>>,
    #[serde(borrow)]
    pub(crate) body: Option<Words<'a>>,
    #[serde(borrow)]
    pub(crate) footer: Option<Words<'a>>,
    #[serde(borrow)]
    pub(crate) action: Option<Action<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Header<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) text: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) image: Option<Media<'a>>,
    #[serde(borrow)]
    pub(crate) video: Option<Media<'a>>,
    #[serde(borrow)]
    pub(crate) document: Option<Media<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Words<'a> {
    #[serde(borrow)]
    pub(crate) text: Option<Str<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Action<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) button: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) buttons: Option<Vec<Button<'a>>>,
    #[serde(borrow)]
    pub(crate) sections: Option<Vec<Section<'a>>>,
    #[serde(borrow)]
    pub(crate) cards: Option<Vec<Card<'a>>>,
    #[serde(borrow)]
    pub(crate) parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) catalog_id: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) product_retailer_id: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Button<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) reply: Option<Reply<'a>>,
    #[serde(borrow)]
    pub(crate) quick_reply: Option<Reply<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reply<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) title: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Section<'a> {
    #[serde(borrow)]
    pub(crate) title: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) rows: Option<Vec<Row<'a>>>,
    #[serde(borrow)]
    pub(crate) product_items: Option<Vec<Product<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Row<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) title: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) description: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Product<'a> {
    #[serde(borrow)]
    pub(crate) product_retailer_id: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Card<'a> {
    #[serde(borrow)]
    pub(crate) body: Option<Words<'a>>,
    #[serde(borrow)]
    pub(crate) header: Option<Header<'a>>,
    #[serde(borrow)]
    pub(crate) action: Option<Action<'a>>,
}

/// `action.parameters` of a URL button and of a flow.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Parameters<'a> {
    #[serde(borrow)]
    pub(crate) display_text: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) url: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) flow_id: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) flow_name: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) flow_cta: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Template<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) language: Option<Language<'a>>,
    #[serde(borrow)]
    pub(crate) components: Option<Vec<Component<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Language<'a> {
    #[serde(borrow)]
    pub(crate) code: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Component<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) sub_type: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) index: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) parameters: Option<Vec<Parameter<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Parameter<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) text: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) payload: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) parameter_name: Option<Str<'a>>,
    #[serde(borrow)]
    pub(crate) currency: Option<Fallback<'a>>,
    #[serde(borrow)]
    pub(crate) date_time: Option<Fallback<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Fallback<'a> {
    #[serde(borrow)]
    pub(crate) fallback_value: Option<Str<'a>>,
}

/// A message whose content was read and found valid in itself.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    Text(Str<'a>),
    Media(&'static str, Media<'a>),
    Location(Location<'a>),
    Contacts(Vec<ContactCard<'a>>),
    Reaction(Reaction<'a>),
    Interactive(Box<Interactive<'a>>),
    Template(Template<'a>),
}

impl Content<'_> {
    /// The type as the API names it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Media(kind, _) => kind,
            Self::Location(_) => "location",
            Self::Contacts(_) => "contacts",
            Self::Reaction(_) => "reaction",
            Self::Interactive(_) => "interactive",
            Self::Template(_) => "template",
        }
    }

    /// The text that a user would read first, for ledgers and observers.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(body) => body,
            Self::Media(_, media) => media.caption.as_deref().unwrap_or(""),
            Self::Location(location) => location.name.as_deref().unwrap_or(""),
            Self::Contacts(cards) => cards
                .first()
                .and_then(|c| c.name.as_ref())
                .and_then(|n| n.formatted_name.as_deref())
                .unwrap_or(""),
            Self::Reaction(reaction) => reaction.emoji.as_deref().unwrap_or(""),
            Self::Interactive(interactive) => interactive
                .body
                .as_ref()
                .and_then(|b| b.text.as_deref())
                .unwrap_or(""),
            Self::Template(template) => template.name.as_deref().unwrap_or(""),
        }
    }
}
