//! Meta's WhatsApp Cloud API (protocols/meta.md). Pure: bytes and settings in, plain data out.

mod request;
mod samples;
pub mod signup;
pub(crate) mod templates;
mod verify;

use std::time::Duration;

use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::errors::SendOutcome;
use waxwing_core::event::{Parsed, Route};
use waxwing_core::identity::ProviderMessageId;

pub use self::verify::{Handshake, handshake};
use super::adapter::{
    Account, Arrival, BuildError, ChannelCheck, Endpoints, Messaging, Outgoing, Pace, Recorded,
};
use super::cloud::outcome;
use super::cloud::parse::{self as cloud_parse, Unreadable};
use crate::http::{HttpOutcome, HttpRequest};

const SIGNATURE: &str = "x-hub-signature-256";

/// Meta's Cloud API.
#[derive(Debug, Clone, Copy)]
pub struct Meta;

impl Messaging for Meta {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Meta
    }

    fn name(&self) -> &'static str {
        "Meta"
    }

    fn peek(&self, request: Recorded<'_>) -> Vec<Route> {
        cloud_parse::peek(request.body)
    }

    fn authentic(
        &self,
        arrival: Arrival<'_>,
        _endpoints: &Endpoints,
        credentials: &Credentials,
    ) -> bool {
        let mut values = arrival.headers.get_all(SIGNATURE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        credentials
            .get(credential::APP_SECRET)
            .zip(value.to_str().ok())
            .is_some_and(|(secret, value)| verify::is_signed(arrival.body, value, secret))
    }

    /// A broken item never loses its neighbours: byte order marks, U+0000, halves of surrogate pairs, bytes that are no
    /// UTF-8, deep nesting, properties that occur twice or have an unexpected kind are all survived.
    fn parse(&self, request: Recorded<'_>) -> Result<Parsed, Unreadable> {
        cloud_parse::parse(request.body)
    }

    fn build_send(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        message: Outgoing<'_>,
    ) -> Result<HttpRequest, BuildError> {
        request::build_send(account, endpoints, message)
    }

    fn interpret_send(&self, answer: &HttpOutcome) -> SendOutcome {
        outcome::interpret(answer)
    }

    fn build_read(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        message: &ProviderMessageId,
        typing: bool,
    ) -> Result<Option<HttpRequest>, BuildError> {
        request::build_read(account, endpoints, message, typing).map(Some)
    }

    fn build_check(
        &self,
        account: &Account,
        endpoints: &Endpoints,
    ) -> Result<HttpRequest, BuildError> {
        request::build_check(account, endpoints)
    }

    fn interpret_check(&self, _account: &Account, answer: &HttpOutcome) -> ChannelCheck {
        request::interpret_check(answer)
    }

    /// protocols/meta.md 17.
    fn pace(&self) -> Pace {
        Pace {
            messages: 80,
            per: Duration::from_secs(1),
            concurrency: 512,
        }
    }
}
