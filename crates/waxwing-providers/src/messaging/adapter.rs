//! The one seam to a messaging provider: pure functions from bytes and settings to plain data. The application calls
//! out, stores and decides.

use std::time::Duration;

use http::HeaderMap;
use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::content::Content;
use waxwing_core::errors::{ErrorClass, ProviderError, SendOutcome};
use waxwing_core::event::{Parsed, Route};
use waxwing_core::identity::{Bsuid, ProviderMessageId};
use waxwing_core::lookup::Listed;
use waxwing_core::phone::Phone;

use super::Unreadable;
use crate::http::{HttpOutcome, HttpRequest};

/// Where the providers are reached, and where they reach us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Scheme, host and port of Meta's Graph API.
    pub graph_url: String,
    /// The version in the path of the Graph API, such as `v25.0`.
    pub graph_version: String,
    /// One base for all of Twilio's hosts, or its real hosts.
    pub twilio_url: Option<String>,
    /// Scheme, host and port of 360dialog's API.
    pub dialog360_url: String,
    /// Scheme, host and port of MSG91's API.
    pub msg91_url: String,
    /// Scheme, host, port and path prefix under which the world reaches us, without a slash at the end. Providers that
    /// sign the URL and those that are told one need it.
    pub public_url: Option<String>,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            graph_url: "https://graph.facebook.com".to_owned(),
            graph_version: "v25.0".to_owned(),
            twilio_url: None,
            dialog360_url: "https://waba-v2.360dialog.io".to_owned(),
            msg91_url: "https://control.msg91.com".to_owned(),
            public_url: None,
        }
    }
}

/// A channel, as its adapter needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The provider's id of the sending number: Meta's and 360dialog's phone number id, Twilio's
    /// `AccountSid/+E.164`, MSG91's digits.
    pub sender_id: String,
    /// The provider's id of the account: Meta's WhatsApp Business Account, Twilio's `AccountSid`.
    pub account_id: Option<String>,
    /// Its credentials.
    pub credentials: Credentials,
}

/// A webhook request as it arrived, before anything in it is believed.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The path and query exactly as requested.
    pub target: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The raw body.
    pub body: &'a [u8],
}

/// What is kept of a webhook request and read after it was acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The query string, for providers that put something there; empty otherwise.
    pub query: &'a str,
    /// The raw body.
    pub body: &'a [u8],
}

/// Who a message goes to. A user id stands in another property than a phone: in the phone's place Meta accepts it and
/// drops the message without a word (protocols/meta.md 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// A phone. Where the provider takes a `+`, it is sent with it: without it Meta puts the country code of the sender
    /// in front.
    Phone(Phone),
    /// A business-scoped user id.
    UserId(Bsuid),
}

/// A message to send.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Who receives it.
    pub to: &'a Recipient,
    /// What it says. Media is by the provider's id or by link.
    pub content: &'a Content,
    /// The message that it answers; for a reaction, the one that it is about.
    pub reply_to: Option<&'a ProviderMessageId>,
    /// Comes back in the statuses of the message, as [`waxwing_core::event::StatusUpdate::callback_data`]. Not personal.
    pub callback: &'a str,
    /// The provider's id of the asset that [`Messaging::asset`] asked for.
    pub asset: Option<&'a str>,
}

/// Something that has to exist at the provider before a message can be sent (Twilio: the Content resource of buttons and
/// lists). Made once for each key and account, then used again.
#[derive(Debug, Clone)]
pub struct AssetNeed {
    /// What it is made of: equal keys mean equal assets.
    pub key: String,
    /// The call that makes it.
    pub request: HttpRequest,
}

/// A question for the messages that a provider took from us for one person.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The call.
    pub request: HttpRequest,
    /// The text under which the message is listed; `None` when the list does not show it.
    pub text: Option<String>,
}

/// A part of the answer.
#[derive(Debug, Clone)]
pub struct ListedPage {
    /// The messages that were sent, in the provider's order.
    pub messages: Vec<Listed>,
    /// The call for the next part; `None` at the end of the list.
    pub next: Option<HttpRequest>,
}

/// Why a request could not be built. The message cannot be sent as it is, however often it is tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The kind exists only in messages that come in.
    #[error("a message of type `{0}` cannot be sent")]
    NotSendable(&'static str),
    /// The provider has no way to carry this.
    #[error("{provider} cannot send {what}")]
    NotCarried {
        /// The provider's name for people.
        provider: &'static str,
        /// What, such as `a reaction`.
        what: &'static str,
    },
    /// A reaction needs the message that it is about.
    #[error("a reaction needs the message that it is about")]
    NoTarget,
    /// A media message has neither id nor link, or both.
    #[error("a media message needs either an id or a link")]
    NoMedia,
    /// The callback data is longer than the provider keeps.
    #[error("the callback data is longer than the provider keeps")]
    CallbackData,
    /// A business-scoped user id cannot get this.
    #[error("{0} needs a phone number; the contact is known by a user id only")]
    NeedsPhone(&'static str),
    /// A credential is missing or has characters that cannot stand in a request.
    #[error("the channel's {0} is missing or has characters that cannot be sent")]
    Credential(&'static str),
    /// The id of the number, the API version or the URL is not usable.
    #[error("the channel's {0} is not usable")]
    Channel(&'static str),
    /// The content breaks a rule of the provider.
    #[error("{0}")]
    Content(String),
}

/// How a number is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelCheck {
    /// The provider answered, the credentials are good and the number may send.
    pub ok: bool,
    /// The number as people write it.
    pub display_phone_number: Option<String>,
    /// The name that people see.
    pub verified_name: Option<String>,
    /// The provider's word for the quality of the number, such as `GREEN`.
    pub quality: Option<String>,
    /// The provider's word for whether it may send, such as `AVAILABLE`.
    pub can_send: Option<String>,
    /// What is wrong or limited, in sentences.
    pub problems: Vec<String>,
    /// Why the check itself failed.
    pub error: Option<ProviderError>,
}

/// How fast a channel may send until the provider teaches otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Messages in `per`.
    pub messages: u32,
    /// The span.
    pub per: Duration,
    /// Calls at the same time.
    pub concurrency: u32,
}

/// A messaging provider.
pub trait Messaging: std::fmt::Debug + Send + Sync {
    /// Which one.
    fn kind(&self) -> ChannelKind;

    /// The provider's name for people, such as `360dialog`.
    fn name(&self) -> &'static str;

    /// The numbers and accounts that a request names, at most 64, in its order.
    ///
    /// Meant for the moment before the request is authenticated: it tells whose secrets to try and where it will be
    /// worked on. Its answer is not to be trusted for anything else. Works on any bytes; an unreadable request names
    /// nothing. Routes here are equal to those of [`Messaging::parse`].
    fn peek(&self, request: Recorded<'_>) -> Vec<Route>;

    /// Whether a request was made by someone who has these credentials. Takes the same time for every wrong one. Without
    /// the credential that it needs the answer is `false`.
    fn authentic(
        &self,
        arrival: Arrival<'_>,
        endpoints: &Endpoints,
        credentials: &Credentials,
    ) -> bool;

    /// The part of the query that [`Messaging::parse`] needs; never a secret.
    fn query_to_keep(&self, _query: &str) -> String {
        String::new()
    }

    /// Reads a request that was authenticated.
    ///
    /// Items come in the order of the body, numbered over good and broken ones alike; the same bytes give the same
    /// numbers. A broken item never loses its neighbours. A request about another product of the provider has no items.
    ///
    /// # Errors
    /// When it cannot be read as a whole; it has to be kept as it is.
    fn parse(&self, request: Recorded<'_>) -> Result<Parsed, Unreadable>;

    /// What has to exist at the provider before `content` can be sent.
    ///
    /// # Errors
    /// When `content` cannot be sent at all.
    fn asset(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _content: &Content,
    ) -> Result<Option<AssetNeed>, BuildError> {
        Ok(None)
    }

    /// The provider's id of an asset, from the answer to [`AssetNeed::request`].
    ///
    /// # Errors
    /// How an attempt to send ends when the asset could not be made. Making one sends nothing, so it is never
    /// [`SendOutcome::Unknown`].
    fn interpret_asset(&self, answer: &HttpOutcome) -> Result<String, Box<SendOutcome>> {
        let _ = answer;
        Err(Box::new(SendOutcome::Rejected(ProviderError::own(
            ErrorClass::Permanent,
            "this provider has no such assets",
        ))))
    }

    /// Builds the request that sends a message.
    ///
    /// # Errors
    /// A [`BuildError`]; the message is not sent.
    fn build_send(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        message: Outgoing<'_>,
    ) -> Result<HttpRequest, BuildError>;

    /// What the answer to a send means.
    fn interpret_send(&self, answer: &HttpOutcome) -> SendOutcome;

    /// Whether the provider lists what it took from us, so that an unknown outcome can be settled by looking.
    fn has_list(&self) -> bool {
        false
    }

    /// Builds the call that lists what the provider took from us for the recipient of a message, old and new.
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable or the provider has no such list.
    fn build_lookup(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _message: Outgoing<'_>,
    ) -> Result<Lookup, BuildError> {
        Err(BuildError::NotCarried {
            provider: self.name(),
            what: "a list of messages",
        })
    }

    /// Reads a part of that list. What cannot be read as a whole is an error: half a list would make a message seem
    /// absent that is there.
    ///
    /// # Errors
    /// Why there is no list.
    fn interpret_lookup(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        answer: &HttpOutcome,
    ) -> Result<ListedPage, ProviderError> {
        let _ = answer;
        Err(ProviderError::own(
            ErrorClass::Permanent,
            "this provider has no list of messages",
        ))
    }

    /// Builds the call that marks a received message as read and, with `typing`, shows that an answer is being written.
    /// `None` when the provider has none.
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable.
    fn build_read(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _message: &ProviderMessageId,
        _typing: bool,
    ) -> Result<Option<HttpRequest>, BuildError> {
        Ok(None)
    }

    /// Builds the request that asks how a number is: for the channel test and `waxwing doctor`.
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable.
    fn build_check(
        &self,
        account: &Account,
        endpoints: &Endpoints,
    ) -> Result<HttpRequest, BuildError>;

    /// What the answer to [`Messaging::build_check`] says.
    fn interpret_check(&self, account: &Account, answer: &HttpOutcome) -> ChannelCheck;

    /// How fast a channel may send until the provider teaches otherwise.
    fn pace(&self) -> Pace;
}
