//! Twilio's WhatsApp API (protocols/twilio.md). Pure: bytes and settings in, plain data out.
//!
//! What it carries: texts up to 1,600 characters, media by link, places, buttons and lists (as Content resources, see
//! [`Messaging::asset`]) and approved templates by their `ContentSid`. What it does not: reactions, contact cards, media
//! by id, and answers to a certain message, which go out as ordinary messages.

mod codes;
mod content;
mod lookup;
mod media;
mod outcome;
mod params;
mod parse;
mod request;
mod send;
pub(crate) mod templates;
mod verify;

use std::time::Duration;

use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::content::Content;
use waxwing_core::errors::{ProviderError, SendOutcome};
use waxwing_core::event::{Parsed, Route};
use waxwing_core::identity::ProviderMessageId;

pub use self::media::{MediaFetch, media_redirect, media_request};
use super::Unreadable;
use super::adapter::{
    Account, Arrival, AssetNeed, BuildError, ChannelCheck, Endpoints, ListedPage, Lookup,
    Messaging, Outgoing, Pace, Recorded,
};
use crate::http::{HttpOutcome, HttpRequest};

/// Twilio.
#[derive(Debug, Clone, Copy)]
pub struct Twilio;

impl Messaging for Twilio {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Twilio
    }

    fn name(&self) -> &'static str {
        "Twilio"
    }

    fn peek(&self, request: Recorded<'_>) -> Vec<Route> {
        parse::peek(request)
    }

    /// Twilio signs the URL that it called, so nothing is authentic without [`Endpoints::public_url`]. While the channel
    /// has shared keys, only they count; else the auth token and the secondary one do.
    fn authentic(
        &self,
        arrival: Arrival<'_>,
        endpoints: &Endpoints,
        credentials: &Credentials,
    ) -> bool {
        verify::is_signed(arrival, endpoints, credentials)
    }

    /// Our marker of a status callback; the whole query when the parameters are in it, as with GET.
    fn query_to_keep(&self, query: &str) -> String {
        params::query_to_keep(query)
    }

    /// One item for each request and for each further file of its message; none for SMS and other channels of the same
    /// account. Twilio gives no times.
    fn parse(&self, request: Recorded<'_>) -> Result<Parsed, Unreadable> {
        parse::parse(request)
    }

    /// The Content resource of buttons and lists. The text of the message is a variable of it, so there is one for each
    /// set of buttons or rows and not one for each text.
    fn asset(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        content: &Content,
    ) -> Result<Option<AssetNeed>, BuildError> {
        content::asset(account, endpoints, content)
    }

    fn interpret_asset(&self, answer: &HttpOutcome) -> Result<String, Box<SendOutcome>> {
        outcome::interpret_asset(answer)
    }

    fn build_send(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        message: Outgoing<'_>,
    ) -> Result<HttpRequest, BuildError> {
        send::build_send(account, endpoints, message)
    }

    fn interpret_send(&self, answer: &HttpOutcome) -> SendOutcome {
        outcome::interpret(answer)
    }

    fn has_list(&self) -> bool {
        true
    }

    fn build_lookup(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        message: Outgoing<'_>,
    ) -> Result<Lookup, BuildError> {
        lookup::build(account, endpoints, message)
    }

    fn interpret_lookup(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        answer: &HttpOutcome,
    ) -> Result<ListedPage, ProviderError> {
        lookup::interpret(account, endpoints, answer)
    }

    /// Twilio marks a message as read only together with the sign that an answer is being written.
    fn build_read(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        message: &ProviderMessageId,
        typing: bool,
    ) -> Result<Option<HttpRequest>, BuildError> {
        if !typing {
            return Ok(None);
        }
        request::build_typing(account, endpoints, message).map(Some)
    }

    fn build_check(
        &self,
        account: &Account,
        endpoints: &Endpoints,
    ) -> Result<HttpRequest, BuildError> {
        request::build_check(account, endpoints)
    }

    fn interpret_check(&self, account: &Account, answer: &HttpOutcome) -> ChannelCheck {
        request::interpret_check(account, answer)
    }

    /// protocols/twilio.md 9.
    fn pace(&self) -> Pace {
        Pace {
            messages: 20,
            per: Duration::from_secs(1),
            concurrency: 10,
        }
    }
}
