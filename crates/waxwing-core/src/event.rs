//! What a webhook says, in canonical form: one request is a list of items, each for its own channel.

use serde::Serialize;

use crate::call::CallNews;
use crate::content::Content;
use crate::errors::ProviderError;
use crate::identity::{Bsuid, Identity, ProviderMessageId};
use crate::phone::Phone;
use crate::status::DeliveryStatus;
use crate::time::Timestamp;

/// Where an item belongs, as far as the request says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The provider's id of the sending number (Meta: `metadata.phone_number_id`).
    pub sender_id: Option<String>,
    /// The provider's id of the account (Meta: `entry.id`, or the account named inside a partner event).
    pub account_id: Option<String>,
    /// The provider's id of the pool of numbers that the message went through (Twilio: `MessagingServiceSid`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
}

/// One item of a webhook request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InboundItem {
    /// Its place in the request, counted over all items from 0; stable for the same bytes.
    pub index: u32,
    /// Where it belongs.
    pub route: Route,
    /// What it says.
    pub body: ItemBody,
}

/// A part of a webhook request that could not be read. Its neighbours are not affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokenItem {
    /// Its place in the request, counted with the good ones.
    pub index: u32,
    /// Where it belongs, as far as that could be read.
    pub route: Route,
    /// Why it could not be read, without any of its content.
    pub reason: String,
}

/// A whole webhook request, read.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parsed {
    /// What could be read.
    pub items: Vec<InboundItem>,
    /// What could not.
    pub broken: Vec<BrokenItem>,
}

/// What one item says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ItemBody {
    /// A person wrote.
    Message(Box<InboundMessage>),
    /// News of a message that we sent.
    Status(Box<StatusUpdate>),
    /// Our side wrote from the business app or another program on the same number.
    Echo(Box<Echo>),
    /// WhatsApp tells that a person changed number, user id or identity.
    System(Box<SystemNotice>),
    /// A person changed what they want to receive.
    Preference(Preference),
    /// A person's user id changed.
    UserIdUpdate(UserIdUpdate),
    /// A notice about the whole number (throughput, settings); no message is affected.
    ValueError(ProviderError),
    /// News of a message template.
    Template(TemplateNews),
    /// News of a call.
    Call(Box<CallNews>),
    /// Anything else: stored and shown, changes nothing.
    Other(OtherItem),
}

/// A message that a person sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InboundMessage {
    /// The provider's id; the key of the duplicate mark.
    pub provider_id: ProviderMessageId,
    /// Who sent it.
    pub sender: Identity,
    /// The name the person gave themselves, at most 200 characters.
    pub profile_name: Option<String>,
    /// When it was sent; the time of receipt when the provider's time is missing, junk or in the future.
    pub sent_at: Option<Timestamp>,
    /// What it says.
    pub content: Content,
    /// The message that it answers.
    pub reply_to: Option<ProviderMessageId>,
    /// The message that a reaction, edit or revoke is about.
    pub target: Option<ProviderMessageId>,
    /// It was forwarded.
    pub forwarded: bool,
    /// The ad or post through which the person came, as the provider gives it.
    pub referral: Option<serde_json::Value>,
    /// The catalogue product that it asks about, as the provider gives it.
    pub product: Option<serde_json::Value>,
    /// Why a contact card came. `contact_request` proves that the phone on the card is the sender's own
    /// (protocols/meta.md 4.2).
    pub origin: Option<String>,
    /// A further file of the message before it, which has an id of its own making: stored like any other, not answered
    /// once more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub further: bool,
    /// The group it was written in; such messages get no automatic answer.
    pub group_id: Option<String>,
    /// Error codes that came with it (media not available and the like).
    pub codes: Vec<i64>,
}

/// News of a message that we sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusUpdate {
    /// The provider's id of the message.
    pub provider_id: ProviderMessageId,
    /// Another id of the same message, by which replies to it name it (MSG91: `uuid` beside `requestId`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<ProviderMessageId>,
    /// What happened; `None` for words that change nothing.
    pub status: Option<DeliveryStatus>,
    /// The provider's word.
    pub word: String,
    /// When it happened.
    pub at: Option<Timestamp>,
    /// Who it was for.
    pub recipient: Identity,
    /// The group, for a status of a group message.
    pub group_id: Option<String>,
    /// Why it failed: the first of the provider's errors.
    pub error: Option<ProviderError>,
    /// All error codes.
    pub codes: Vec<i64>,
    /// Our own callback data: names the attempt.
    pub callback_data: Option<String>,
    /// What it costs, as the provider gives it.
    pub pricing: Option<Pricing>,
}

/// The price class of a message, from a status webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pricing {
    /// `PMP` or `CBP`.
    pub model: Option<String>,
    /// `regular`, `free_customer_service` or `free_entry_point`.
    pub kind: Option<String>,
    /// `marketing`, `utility`, `authentication`, `service`, …
    pub category: Option<String>,
    /// Whether it is charged; derived from `kind` where the provider does not say.
    pub billable: Option<bool>,
}

/// A message that our side sent through something else than Waxwing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Echo {
    /// The provider's id.
    pub provider_id: ProviderMessageId,
    /// Who received it.
    pub recipient: Identity,
    /// When.
    pub sent_at: Option<Timestamp>,
    /// What it says.
    pub content: Content,
    /// The message that an edit or revoke is about.
    pub target: Option<ProviderMessageId>,
}

/// A notice of WhatsApp about a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemNotice {
    /// The provider's id.
    pub provider_id: ProviderMessageId,
    /// Who it is about, as known before.
    pub sender: Identity,
    /// `user_changed_number`, `user_changed_user_id`, `customer_identity_changed`, or a later word.
    pub subtype: String,
    /// The new phone.
    pub new_phone: Option<Phone>,
    /// The new user id.
    pub new_user_id: Option<Bsuid>,
    /// When.
    pub at: Option<Timestamp>,
}

/// A person's wish about marketing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preference {
    /// Who.
    pub sender: Identity,
    /// `marketing_messages`.
    pub category: String,
    /// `stop`, `resume` or `signup`.
    pub value: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// A change of a user id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserIdUpdate {
    /// The phone, when given.
    pub phone: Option<Phone>,
    /// The id until now.
    pub previous: Option<Bsuid>,
    /// The id from now on.
    pub current: Option<Bsuid>,
    /// When.
    pub at: Option<Timestamp>,
}

/// News of a message template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateNews {
    /// `status`, `quality`, `category` or `components`.
    pub about: String,
    /// The provider's id of the template.
    pub template_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its language, with an underscore.
    pub language: Option<String>,
    /// The event, new quality or new category.
    pub value: Option<String>,
    /// Why, or the coming category.
    pub detail: Option<String>,
    /// When it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// An item that is only stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherItem {
    /// What it is: `group`, `history`, `history-message`, `contact-sync`, `user-action`, `automatic-event`, `other`.
    pub what: String,
    /// The webhook field.
    pub field: String,
    /// The provider's word for what happened.
    pub event: Option<String>,
    /// The provider's id of the thing, when it has one.
    pub id: Option<String>,
    /// What else is worth showing, by name.
    pub detail: Option<Detail>,
}

/// Facts about an item that only people look at. It may name persons, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Detail(pub serde_json::Value);

impl std::fmt::Debug for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Detail(…)")
    }
}
