//! MSG91 (protocols/msg91.md), the least documented of the providers: tolerant in reading, narrow in writing.
//!
//! MSG91 answers a send with a `request_id`, which is not the id of the message; that comes in reports, as `uuid`.
//! Here the `request_id` is the provider's id of what we send, because reports repeat it (`requestId`). A person's reply
//! names the message by its `uuid`, which therefore does not lead back to what we sent.

mod event;
mod parse;
mod request;
mod template;
pub(crate) mod templates;
mod verdict;

use std::time::Duration;

use http::HeaderName;
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::errors::SendOutcome;
use waxwing_core::event::{Parsed, Route};

use super::adapter::{
    Account, Arrival, BuildError, ChannelCheck, Endpoints, Messaging, Outgoing, Pace, Recorded,
};
use super::cloud::parse::Unreadable;
use super::shared_secret;
use crate::http::{HttpOutcome, HttpRequest};

/// The headers that may hold the secret: ours, and one seen in the wild.
const SECRET_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-webhook-secret"),
    HeaderName::from_static("msg91-webhook-secret"),
];

/// MSG91's WhatsApp API.
#[derive(Debug, Clone, Copy)]
pub struct Msg91;

impl Messaging for Msg91 {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Msg91
    }

    fn name(&self) -> &'static str {
        "MSG91"
    }

    fn peek(&self, request: Recorded<'_>) -> Vec<Route> {
        parse::peek(request.body)
    }

    /// There is no signature; the customer adds a header with the channel's secret in MSG91's panel.
    fn authentic(
        &self,
        arrival: Arrival<'_>,
        _endpoints: &Endpoints,
        credentials: &Credentials,
    ) -> bool {
        let secret = credentials.get(credential::WEBHOOK_SECRET);
        shared_secret::is_shown(arrival, &SECRET_HEADERS, secret)
    }

    fn parse(&self, request: Recorded<'_>) -> Result<Parsed, Unreadable> {
        parse::parse(request.body)
    }

    /// Session messages carry no reference of ours; their reports are found by the `request_id`. A quoted message is
    /// left out, because MSG91 has no way to name it.
    fn build_send(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        message: Outgoing<'_>,
    ) -> Result<HttpRequest, BuildError> {
        request::build_send(account, endpoints, message)
    }

    fn interpret_send(&self, answer: &HttpOutcome) -> SendOutcome {
        verdict::interpret(answer)
    }

    /// Asks for the numbers of the account.
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

    /// 100 requests a minute for all senders of a key; no source was found for the figure (protocols/msg91.md 6).
    fn pace(&self) -> Pace {
        Pace {
            messages: 100,
            per: Duration::from_secs(60),
            concurrency: 4,
        }
    }
}
