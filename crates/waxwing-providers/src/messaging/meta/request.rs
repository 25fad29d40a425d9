//! Requests to the Graph API and what their answers mean.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::value::RawValue;
use waxwing_core::channel::credential;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::secret::Secret;

use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, ChannelCheck, Endpoints, Outgoing};
use crate::messaging::call;
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::send;
use crate::messaging::cloud::wire::{self, fields};
use crate::messaging::cloud::{outcome, text};

/// What a channel check asks the number for.
const CHECK_FIELDS: &str =
    "display_phone_number,verified_name,quality_rating,status,name_status,health_status";

/// What is needed to call the Graph API for one number.
pub(super) struct Caller<'a> {
    phone_number_id: &'a str,
    access_token: &'a Secret,
    graph_url: &'a str,
    api_version: &'a str,
}

impl<'a> Caller<'a> {
    pub(super) fn new(account: &'a Account, endpoints: &'a Endpoints) -> Result<Self, BuildError> {
        Ok(Self {
            phone_number_id: &account.sender_id,
            access_token: account
                .credentials
                .get(credential::ACCESS_TOKEN)
                .ok_or(BuildError::Credential("access token"))?,
            graph_url: &endpoints.graph_url,
            api_version: &endpoints.graph_version,
        })
    }

    fn url(&self, rest: &str) -> Result<String, BuildError> {
        self.object_url(self.phone_number_id, "phone number id", rest)
    }

    /// The address of any object; `what` names its id in the error.
    pub(super) fn object_url(
        &self,
        id: &str,
        what: &'static str,
        rest: &str,
    ) -> Result<String, BuildError> {
        if !call::is_path_part(id) {
            return Err(BuildError::Channel(what));
        }
        if !call::is_path_part(self.api_version) {
            return Err(BuildError::Channel("API version"));
        }
        let base = call::base_url(self.graph_url, "Graph URL")?;
        let version = self.api_version;
        Ok(format!("{base}/{version}/{id}{rest}"))
    }

    /// The token goes into the header, never into the query, where it would leak into logs.
    pub(super) fn headers(&self) -> Result<HeaderMap, BuildError> {
        self.headers_by("Bearer")
    }

    /// As [`Caller::headers`], with another scheme of authorization.
    pub(super) fn headers_by(&self, scheme: &str) -> Result<HeaderMap, BuildError> {
        if self.access_token.is_empty() {
            return Err(BuildError::Credential("access token"));
        }
        let bearer = format!("{scheme} {}", self.access_token.expose());
        let mut bearer =
            HeaderValue::from_str(&bearer).map_err(|_| BuildError::Credential("access token"))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(AUTHORIZATION, bearer);
        Ok(headers)
    }

    fn post(&self, path: &str, body: Vec<u8>) -> Result<HttpRequest, BuildError> {
        let mut headers = self.headers()?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(HttpRequest {
            method: Method::POST,
            url: self.url(path)?,
            headers,
            body: Bytes::from(body),
        })
    }
}

/// Builds the request that sends a message. The limits of WhatsApp are not checked here.
pub(super) fn build_send(
    account: &Account,
    endpoints: &Endpoints,
    message: Outgoing<'_>,
) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    let body = send::body(
        message.to,
        message.content,
        message.reply_to,
        message.callback,
    )?;
    caller.post("/messages", body)
}

/// Builds the request that marks a message as read and shows that an answer is being written (protocols/meta.md 11.1).
pub(super) fn build_read(
    account: &Account,
    endpoints: &Endpoints,
    message: &ProviderMessageId,
    typing: bool,
) -> Result<HttpRequest, BuildError> {
    Caller::new(account, endpoints)?.post("/messages", send::read_body(message, typing))
}

/// Builds the request that asks how a number is.
pub(super) fn build_check(
    account: &Account,
    endpoints: &Endpoints,
) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    Ok(HttpRequest {
        method: Method::GET,
        url: caller.url(&format!("?fields={CHECK_FIELDS}"))?,
        headers: caller.headers()?,
        body: Bytes::new(),
    })
}

fields! {
    /// A number, or an error.
    NumberWire {
        "error" => error,
        "id" => id,
        "display_phone_number" => display_phone_number,
        "verified_name" => verified_name,
        "quality_rating" => quality_rating,
        "health_status" => health_status,
    }
}

fields! {
    /// Whether a number may send, and who is in the way.
    Health { "can_send_message" => can_send_message, "entities" => entities }
}

fields! {
    /// A number, account, business or app.
    Entity { "entity_type" => kind, "errors" => errors, "additional_info" => additional_info }
}

fields! {
    /// What is wrong with it.
    EntityError {
        "error_code" => code,
        "error_description" => description,
        "possible_solution" => solution,
    }
}

/// Status and body of an answer; an error where there is none.
pub(super) fn read_answer(answer: &HttpOutcome) -> Result<(u16, Cow<'_, str>), ProviderError> {
    match answer {
        HttpOutcome::Response { status, body, .. } => Ok((*status, text::readable(body))),
        HttpOutcome::NotSent(reason) | HttpOutcome::Lost(reason) => Err(ProviderError::own(
            ErrorClass::Retry,
            format!("the Graph API did not answer: {}", scrub(reason)),
        )),
        HttpOutcome::TooLarge => Err(ProviderError::own(
            ErrorClass::Permanent,
            "the answer was too large to read",
        )),
    }
}

/// An answer in which nothing was found.
pub(super) fn unreadable(status: u16) -> ProviderError {
    let class = if status >= 500 {
        ErrorClass::Retry
    } else {
        ErrorClass::Permanent
    };
    ProviderError::own(
        class,
        format!("HTTP {status} without a readable answer; check the Graph URL"),
    )
}

/// Says how a number is from the answer to [`build_check`].
pub(super) fn interpret_check(response: &HttpOutcome) -> ChannelCheck {
    let (status, body) = match read_answer(response) {
        Ok(answer) => answer,
        Err(error) => return failed(error),
    };
    let number = serde_json::from_str::<&RawValue>(&body)
        .ok()
        .and_then(wire::object::<NumberWire<'_>>)
        .unwrap_or_default();
    if let Some(error) = outcome::graph_error(status, number.error) {
        return failed(error);
    }
    if !(200..300).contains(&status) || wire::text(number.id).is_none() {
        return failed(unreadable(status));
    }
    let health: Health<'_> = wire::object_or_empty(number.health_status);
    let can_send = wire::owned(health.can_send_message);
    ChannelCheck {
        ok: can_send.as_deref() != Some("BLOCKED"),
        display_phone_number: wire::owned(number.display_phone_number),
        verified_name: wire::owned(number.verified_name),
        quality: wire::owned(number.quality_rating),
        can_send,
        problems: problems(&health),
        error: None,
    }
}

fn failed(error: ProviderError) -> ChannelCheck {
    ChannelCheck {
        problems: vec![error.message.clone()],
        error: Some(error),
        ..ChannelCheck::default()
    }
}

/// One sentence for each thing that is in the way, each once, with the name of who has it.
fn problems(health: &Health<'_>) -> Vec<String> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for entity in wire::list(health.entities).into_iter().take(100) {
        let entity: Entity<'_> = wire::object_or_empty(Some(entity));
        let who = match wire::text(entity.kind).as_deref() {
            Some("PHONE_NUMBER") => "Number",
            Some("WABA") => "Account",
            Some("BUSINESS") => "Business",
            Some("APP") => "App",
            Some("MESSAGE_TEMPLATE") => "Template",
            _ => "Channel",
        };
        let errors = wire::list(entity.errors).into_iter().filter_map(|raw| {
            let error: EntityError<'_> = wire::object(raw)?;
            let mut words = wire::owned(error.description)?;
            if let Some(solution) = wire::text(error.solution) {
                words = format!("{words} {solution}");
            }
            Some(match wire::integer(error.code) {
                Some(code) => format!("{words} ({code})"),
                None => words,
            })
        });
        let notes = wire::list(entity.additional_info)
            .into_iter()
            .filter_map(|raw| wire::owned(Some(raw)));
        for words in errors.chain(notes).take(100) {
            let place = found.len();
            found
                .entry(format!("{who}: {}", scrub(&words)))
                .or_insert(place);
        }
    }
    let mut problems: Vec<(usize, String)> = found
        .into_iter()
        .map(|(words, place)| (place, words))
        .collect();
    problems.sort_unstable();
    problems.into_iter().map(|(_, words)| words).collect()
}
