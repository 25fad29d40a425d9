//! The list of messages that an account sent, for sends whose outcome is unknown (protocols/twilio.md 6).

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::Method;
use serde_json::value::RawValue;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::lookup::Listed;
use waxwing_core::time::Timestamp;

use super::codes;
use super::outcome;
use super::parse::delivery;
use super::request::{Caller, Host};
use super::send::{address, body_of};
use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, Endpoints, ListedPage, Lookup, Outgoing};
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::wire::{self, fields};

/// Messages of one page: with the longest texts, less than one answer may hold.
const PAGE: usize = 40;

fields! {
    /// A page of messages.
    Page { "messages" => messages, "next_page_uri" => next_page_uri }
}

fields! {
    /// A message.
    Message {
        "sid" => sid,
        "direction" => direction,
        "from" => from,
        "messaging_service_sid" => messaging_service_sid,
        "body" => body,
        "date_created" => date_created,
        "status" => status,
        "error_code" => error_code,
        "error_message" => error_message,
    }
}

/// Not narrowed by `DateSent`: a message that still waits in Twilio's queue has none.
pub(super) fn build(
    account: &Account,
    endpoints: &Endpoints,
    message: Outgoing<'_>,
) -> Result<Lookup, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    let mut query = Serializer::new(String::new());
    query.append_pair("To", &address(message.to));
    // What a service sent may come from any of its numbers, or from none yet.
    if caller.service()?.is_none() {
        query.append_pair("From", &caller.from());
    }
    let query = query.append_pair("PageSize", &PAGE.to_string()).finish();
    let path = format!("/2010-04-01/Accounts/{}/Messages.json?{query}", caller.sid);
    Ok(Lookup {
        request: get(&caller, &path)?,
        text: body_of(message),
    })
}

fn get(caller: &Caller<'_>, path: &str) -> Result<HttpRequest, BuildError> {
    Ok(HttpRequest {
        method: Method::GET,
        url: caller.url(Host::Api, path)?,
        headers: caller.headers()?,
        body: Bytes::new(),
    })
}

pub(super) fn interpret(
    account: &Account,
    endpoints: &Endpoints,
    answer: &HttpOutcome,
) -> Result<ListedPage, ProviderError> {
    let unreadable =
        |what: &str| ProviderError::own(ErrorClass::Retry, format!("the answer was {what}"));
    let body = outcome::body_of(answer)?;
    let page = serde_json::from_str::<&RawValue>(&body)
        .ok()
        .and_then(wire::object::<Page<'_>>)
        .filter(|page| {
            page.messages
                .is_some_and(|list| list.get().starts_with('['))
        })
        .ok_or_else(|| unreadable("no list of messages"))?;
    let caller = Caller::new(account, endpoints).map_err(|_| unreadable("asked for nobody"))?;
    let service = caller.service().ok().flatten();
    let mut messages = Vec::new();
    for raw in wire::list(page.messages) {
        let message: Message<'_> =
            wire::object(raw).ok_or_else(|| unreadable("a list with something else in it"))?;
        // What people wrote to us is in the same list, and without a number to ask for, what others of the account sent.
        let outbound =
            wire::text(message.direction).is_some_and(|word| word.starts_with("outbound"));
        let ours = match wire::text(message.messaging_service_sid) {
            _ if service.is_none() => true,
            Some(other) => Some(other.as_ref()) == service,
            None => wire::text(message.from).is_some_and(|from| from == caller.from()),
        };
        if !outbound || !ours {
            continue;
        }
        let listed =
            listed(&message).ok_or_else(|| unreadable("a list with a message without an id"))?;
        messages.push(listed);
    }
    let next = match wire::text(page.next_page_uri) {
        None => None,
        Some(uri) => Some(next_page(account, endpoints, &uri)?),
    };
    Ok(ListedPage { messages, next })
}

fn listed(message: &Message<'_>) -> Option<Listed> {
    let error = wire::integer(message.error_code)
        .filter(|code| *code != 0)
        .map(|code| {
            let words = wire::text(message.error_message).unwrap_or_default();
            codes::error(code, &scrub(&words))
        });
    Some(Listed {
        provider_id: ProviderMessageId::parse(&wire::text(message.sid)?)?,
        created_at: wire::text(message.date_created)
            .and_then(|text| Timestamp::parse_rfc2822(&text)),
        text: wire::owned(message.body).filter(|text| !text.is_empty()),
        status: wire::text(message.status).and_then(|word| delivery(&word)),
        error,
    })
}

/// The next page stands at a path of the same account; a credential goes nowhere else.
fn next_page(
    account: &Account,
    endpoints: &Endpoints,
    uri: &str,
) -> Result<HttpRequest, ProviderError> {
    let broken = || {
        ProviderError::own(
            ErrorClass::Permanent,
            "the next page of the list stands somewhere else",
        )
    };
    let caller = Caller::new(account, endpoints).map_err(|_| broken())?;
    let start = format!("/2010-04-01/Accounts/{}/Messages.json?", caller.sid);
    let plain = uri.bytes().all(|byte| byte.is_ascii_graphic());
    if !uri.starts_with(&start) || !plain {
        return Err(broken());
    }
    get(&caller, uri).map_err(|_| broken())
}
