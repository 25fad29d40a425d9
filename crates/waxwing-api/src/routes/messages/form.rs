//! What a caller writes to send a message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use waxwing_app::message_templates::Given;
use waxwing_app::send::Outside;
use waxwing_core::content::{Button, Content, Frame, Media, Section};
use waxwing_core::delivery::Purpose;
use waxwing_core::identity::{Bsuid, Identity};
use waxwing_core::ids::{ChannelId, MessageId};
use waxwing_core::limits;
use waxwing_core::phone::Phone;
use waxwing_core::time::Timestamp;
use waxwing_providers::http::guard::Guard;

use crate::check::Checks;

/// Who gets a message, and how it is queued: what every send has.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// A phone number with its country code (or without, where the tenant has a default country), or a user id.
    #[schema(example = "+16505551234")]
    to: Option<String>,
    /// At most one message of the tenant gets this key; a second request with it answers 409 with the first message.
    #[serde(rename = "idempotency_key", alias = "idempotencyKey", skip_serializing)]
    pub idempotency_key: Option<String>,
    /// Through which channel; the oldest one of the tenant when not given.
    channel_id: Option<String>,
    /// The message that it answers: the phone shows it as a quote.
    reply_to: Option<String>,
    /// Not before this time (RFC 3339).
    send_at: Option<String>,
    /// `bulk` for one of many: it goes after everything else, and is never sent again when nobody knows whether it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    /// What becomes of a free-form message while the customer service window is closed; without it, it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    outside_window: Option<OutsideForm>,
}

/// Who goes first.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// A message that somebody waits for.
    Normal,
    /// One of many.
    Bulk,
}

/// What becomes of a free-form message while the customer service window is closed: `refuse`, `wait` (until the contact
/// writes, at most seven days), or a message template that is sent in its place.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum OutsideForm {
    /// `refuse` or `wait`.
    #[schema(example = "wait")]
    Word(String),
    /// A message template that is sent in its place.
    #[serde(rename_all = "camelCase")]
    Template {
        /// The message template.
        message_template: MessageTemplateForm,
    },
}

impl OutsideForm {
    fn read(self, checks: &mut Checks) -> Outside {
        match self {
            Self::Word(word) => match word.as_str() {
                "refuse" => Outside::Refuse,
                "wait" => Outside::Wait,
                _ => {
                    checks.wrong(
                        "outsideWindow",
                        "must be refuse, wait, or an object with messageTemplate",
                    );
                    Outside::Refuse
                }
            },
            Self::Template { message_template } => {
                Outside::Template(message_template.content(checks))
            }
        }
    }
}

/// An [`Envelope`], read.
pub struct Addressed {
    /// To whom.
    pub to: Identity,
    /// Through which channel.
    pub channel_id: Option<ChannelId>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Not before.
    pub due_at: Option<Timestamp>,
    /// Why it is sent.
    pub purpose: Purpose,
    /// What becomes of it while the customer service window is closed.
    pub outside: Outside,
}

/// The furthest future that a message can wait for.
const SEND_AT_MAX: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3_600);

impl Envelope {
    /// The message template that goes while the window is closed, as it is written.
    pub fn outside_template(&self) -> Option<Given> {
        match &self.outside_window {
            Some(OutsideForm::Template { message_template }) => {
                Some(message_template.clone().given())
            }
            _ => None,
        }
    }

    /// The channel that it names, when it names one in the right form.
    pub fn channel(&self) -> Option<ChannelId> {
        self.channel_id.as_deref()?.parse().ok()
    }

    /// Reads the parts and notes what is wrong with them.
    pub fn read(
        &self,
        checks: &mut Checks,
        default_country: Option<&str>,
        now: Timestamp,
    ) -> Addressed {
        let to = checks.required("to", self.to.clone());
        let mut identity = Identity::default();
        if let Some(user) = Bsuid::parse(&to) {
            identity.user_id = Some(user);
        } else if self.to.is_some() {
            match Phone::parse(&to, default_country) {
                Ok(phone) => identity.phone = Some(phone),
                Err(error) => checks.wrong("to", error.to_string()),
            }
        }
        if let Some(key) = &self.idempotency_key
            && (key.trim().is_empty() || key.chars().count() > limits::IDEMPOTENCY_KEY)
        {
            checks.wrong(
                "idempotency_key",
                format!("must be 1 to {} characters", limits::IDEMPOTENCY_KEY),
            );
        }
        if self
            .idempotency_key
            .as_ref()
            .is_some_and(|key| key.starts_with("auto-reply:"))
        {
            checks.wrong(
                "idempotency_key",
                "must not begin with auto-reply: (these are the bot's own)",
            );
        }
        let due_at = self.send_at.as_ref().and_then(|text| {
            let parsed = Timestamp::parse(text);
            if parsed.is_none_or(|at| at > now.plus(SEND_AT_MAX)) {
                checks.wrong(
                    "sendAt",
                    "must be a time such as 2026-11-24T08:00:00Z, at most a year ahead",
                );
            }
            parsed
        });
        Addressed {
            to: identity,
            channel_id: id(checks, "channelId", self.channel_id.as_deref()),
            reply_to: id(checks, "replyTo", self.reply_to.as_deref()),
            due_at,
            purpose: match self.priority {
                None | Some(Priority::Normal) => Purpose::Transactional,
                Some(Priority::Bulk) => Purpose::Bulk,
            },
            outside: self
                .outside_window
                .clone()
                .map_or(Outside::Refuse, |form| form.read(checks)),
        }
    }
}

fn id<T: std::str::FromStr<Err = waxwing_core::ids::ParseIdError>>(
    checks: &mut Checks,
    field: &str,
    text: Option<&str>,
) -> Option<T> {
    match text?.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            checks.wrong(field, error.to_string());
            None
        }
    }
}

/// A free-form message: exactly one of the kinds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendForm {
    /// To whom and how.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// Plain text.
    text: Option<TextForm>,
    /// A picture: by `mediaId` (a file of ours), by `id` (the provider's) or by `link`.
    #[schema(value_type = Option<Object>)]
    image: Option<Media>,
    /// A film.
    #[schema(value_type = Option<Object>)]
    video: Option<Media>,
    /// Sound.
    #[schema(value_type = Option<Object>)]
    audio: Option<Media>,
    /// A file.
    #[schema(value_type = Option<Object>)]
    document: Option<Media>,
    /// A sticker.
    #[schema(value_type = Option<Object>)]
    sticker: Option<Media>,
    /// A place.
    location: Option<LocationForm>,
    /// Contact cards in Meta's form.
    #[schema(value_type = Option<Vec<Object>>)]
    contacts: Option<Vec<serde_json::Value>>,
    /// Reply buttons or a list.
    interactive: Option<InteractiveForm>,
}

/// Text, with or without options.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum TextForm {
    /// Just the text.
    Plain(String),
    /// With options.
    #[serde(rename_all = "camelCase")]
    WithOptions {
        /// The text.
        body: String,
        /// Whether the phone shows a preview of the first link.
        #[serde(default)]
        preview_url: bool,
    },
}

/// A place.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LocationForm {
    /// Degrees.
    latitude: f64,
    /// Degrees.
    longitude: f64,
    /// Its name.
    name: Option<String>,
    /// Its address.
    address: Option<String>,
}

/// Reply buttons or a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InteractiveForm {
    /// A line above the body.
    header: Option<String>,
    /// The text.
    body: String,
    /// A line below the body.
    footer: Option<String>,
    /// One to three reply buttons with `id` and `title`.
    #[schema(value_type = Option<Vec<Object>>)]
    buttons: Option<Vec<Button>>,
    /// For a list: the label that opens it.
    button: Option<String>,
    /// For a list: sections with rows.
    #[schema(value_type = Option<Vec<Object>>)]
    sections: Option<Vec<Section>>,
}

impl SendForm {
    /// The content, with what is wrong with it noted.
    pub fn content(&self, checks: &mut Checks) -> Option<Content> {
        let media = [
            self.image.clone().map(Content::Image),
            self.video.clone().map(Content::Video),
            self.audio.clone().map(Content::Audio),
            self.document.clone().map(Content::Document),
            self.sticker.clone().map(Content::Sticker),
        ];
        let text = self.text.clone().map(|text| match text {
            TextForm::Plain(body) => Content::Text {
                body,
                preview_url: false,
            },
            TextForm::WithOptions { body, preview_url } => Content::Text { body, preview_url },
        });
        let location = self.location.clone().map(|place| Content::Location {
            latitude: place.latitude,
            longitude: place.longitude,
            name: place.name,
            address: place.address,
        });
        let contacts = self
            .contacts
            .clone()
            .map(|contacts| Content::Contacts { contacts });
        let interactive = self
            .interactive
            .clone()
            .and_then(|form| form.content(checks));
        let mut given: Vec<Content> = media
            .into_iter()
            .chain([text, location, contacts, interactive])
            .flatten()
            .collect();
        if given.len() != 1 && self.interactive.is_none() || given.len() > 1 {
            checks.wrong(
                "text",
                "give exactly one of text, image, video, audio, document, sticker, location, contacts, interactive",
            );
            return None;
        }
        let content = given.pop()?;
        checks.extend(content.violations());
        if let Some((kind, media)) = content.media()
            && let Some(link) = &media.link
            && let Err(refused) = Guard::default().check(link)
        {
            // The provider fetches it, so only its form is looked at.
            checks.wrong(format!("{}.link", kind.as_str()), refused.to_string());
        }
        Some(content)
    }
}

impl InteractiveForm {
    fn content(self, checks: &mut Checks) -> Option<Content> {
        let frame = Frame {
            header: self.header,
            footer: self.footer,
        };
        match (self.buttons, self.button, self.sections) {
            (Some(buttons), None, None) => Some(Content::InteractiveButton {
                frame,
                body: self.body,
                buttons,
            }),
            (None, Some(button), Some(sections)) => Some(Content::InteractiveList {
                frame,
                body: self.body,
                button,
                sections,
            }),
            _ => {
                checks.wrong(
                    "interactive",
                    "needs either buttons, or button and sections",
                );
                None
            }
        }
    }
}

/// A message made of a template.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateSendForm {
    /// To whom and how.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The key of a template of the tenant.
    pub template_key: Option<String>,
    /// What its `{{variables}}` stand for: texts or numbers.
    #[serde(default)]
    #[schema(value_type = Object)]
    variables: BTreeMap<String, serde_json::Value>,
    /// Instead of a template of the tenant: a message template that WhatsApp has approved.
    pub message_template: Option<MessageTemplateForm>,
}

/// A message template that WhatsApp has approved, in Meta's form.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MessageTemplateForm {
    /// Its name.
    name: String,
    /// Its language code, such as `en_US`.
    language: String,
    /// Parameters by component, in Meta's form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    components: Option<Vec<serde_json::Value>>,
    /// Instead of components, for a template that is known here: a list for the body, an object of names, or an object
    /// with `header`, `body` and `buttons`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    variables: Option<serde_json::Value>,
}

impl MessageTemplateForm {
    /// The content as it is written, with what is wrong with it noted.
    fn content(self, checks: &mut Checks) -> Content {
        let content = Content::MessageTemplate {
            name: self.name,
            language: self.language,
            components: self.components.unwrap_or_default(),
        };
        checks.extend(content.violations());
        content
    }

    /// What it gives for the template.
    pub fn given(self) -> Given {
        Given {
            name: self.name,
            language: self.language,
            components: self.components,
            variables: self.variables,
        }
    }
}

impl TemplateSendForm {
    /// The variables as texts.
    pub fn variables(&self, checks: &mut Checks) -> BTreeMap<String, String> {
        if self.variables.len() > limits::VARIABLES {
            checks.wrong(
                "variables",
                format!("has more than {} entries", limits::VARIABLES),
            );
        }
        let mut variables = BTreeMap::new();
        for (name, value) in &self.variables {
            match value {
                serde_json::Value::String(text) => variables.insert(name.clone(), text.clone()),
                serde_json::Value::Number(number) => {
                    variables.insert(name.clone(), number.to_string())
                }
                _ => {
                    checks.wrong(format!("variables.{name}"), "must be a text or a number");
                    None
                }
            };
        }
        variables
    }
}
