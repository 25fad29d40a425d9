//! 360dialog, which passes Meta's Cloud API through (protocols/360dialog.md). Only what differs is here: the address,
//! the key, who calls our webhook, the flat form of its old hosts and its own errors.

mod parse;
mod request;
pub(crate) mod templates;
mod verdict;

use std::time::Duration;

use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::errors::SendOutcome;
use waxwing_core::event::{Parsed, Route};
use waxwing_core::identity::ProviderMessageId;

use super::adapter::{
    Account, Arrival, BuildError, ChannelCheck, Endpoints, Messaging, Outgoing, Pace, Recorded,
};
use super::cloud::parse::{self as cloud_parse, Unreadable};
use super::shared_secret;
use crate::http::{HttpOutcome, HttpRequest};

/// 360dialog's Cloud API.
#[derive(Debug, Clone, Copy)]
pub struct Dialog360;

impl Messaging for Dialog360 {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Dialog360
    }

    fn name(&self) -> &'static str {
        "360dialog"
    }

    /// The flat form of the old hosts names no number; the address of the webhook has to.
    fn peek(&self, request: Recorded<'_>) -> Vec<Route> {
        cloud_parse::peek(request.body)
    }

    /// Meta signs towards 360dialog, not towards us. `x-360dialog-signature` is made with a secret of partners, which a
    /// channel does not have, so it is ignored.
    fn authentic(
        &self,
        arrival: Arrival<'_>,
        _endpoints: &Endpoints,
        credentials: &Credentials,
    ) -> bool {
        shared_secret::is_shown(arrival, &[], credentials.get(credential::WEBHOOK_SECRET))
    }

    fn parse(&self, request: Recorded<'_>) -> Result<Parsed, Unreadable> {
        parse::parse(request.body)
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
        verdict::interpret(answer)
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

    /// Asks for the webhook that is set: cheap, needs the key, and tells whether 360dialog would call us.
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

    /// As Meta's; 360dialog publishes no figure of its own (protocols/360dialog.md 8). It answers 503 to too many calls
    /// at the same time without saying how many that are, so fewer run at once than at Meta.
    fn pace(&self) -> Pace {
        Pace {
            messages: 80,
            per: Duration::from_secs(1),
            concurrency: 128,
        }
    }
}
