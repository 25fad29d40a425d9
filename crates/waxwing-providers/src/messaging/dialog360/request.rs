//! Requests to 360dialog and what the answer to a check means. The key stands for the number, so no path names one.

use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;
use waxwing_core::channel::{ChannelKind, credential};
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::secret::Secret;

use super::verdict;
use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, ChannelCheck, Endpoints, Outgoing};
use crate::messaging::call;
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::send;
use crate::messaging::cloud::text;
use crate::messaging::cloud::wire::{self, fields};

const KEY: HeaderName = HeaderName::from_static("d360-api-key");
/// The path under which our webhook addresses of this provider lie.
const OUR_PATH: &str = "/webhook/dialog360/";

/// The key, with which every call is made. The id of the number may not be known yet, as no call needs it; but for one
/// that is no id nothing is called, because what comes back about it could not be told from other numbers.
fn key(account: &Account) -> Result<(HeaderName, HeaderValue), BuildError> {
    let id = &account.sender_id;
    if !call::is_path_part(id) && !ChannelKind::is_unknown_sender(id) {
        return Err(BuildError::Channel("phone number id"));
    }
    let value = call::credential_value(&account.credentials, credential::API_KEY, "API key")?;
    Ok((KEY, value))
}

fn url(endpoints: &Endpoints, path: &str) -> Result<String, BuildError> {
    let base = call::base_url(&endpoints.dialog360_url, "360dialog URL")?;
    Ok(format!("{base}{path}"))
}

/// Builds the request that sends a message: Meta's body at 360dialog's address.
pub(super) fn build_send(
    account: &Account,
    endpoints: &Endpoints,
    message: Outgoing<'_>,
) -> Result<HttpRequest, BuildError> {
    let url = url(endpoints, "/messages")?;
    let key = key(account)?;
    let body = send::body(
        message.to,
        message.content,
        message.reply_to,
        message.callback,
    )?;
    Ok(call::request(url, key, Some(body)))
}

/// Builds the request that marks a message as read and shows that an answer is being written, as at Meta.
pub(super) fn build_read(
    account: &Account,
    endpoints: &Endpoints,
    message: &ProviderMessageId,
    typing: bool,
) -> Result<HttpRequest, BuildError> {
    let body = send::read_body(message, typing);
    let url = url(endpoints, "/messages")?;
    Ok(call::request(url, key(account)?, Some(body)))
}

/// Builds the request that asks where the number's webhooks go.
pub(super) fn build_check(
    account: &Account,
    endpoints: &Endpoints,
) -> Result<HttpRequest, BuildError> {
    let url = url(endpoints, "/v1/configs/webhook")?;
    Ok(call::request(url, key(account)?, None))
}

fields! {
    /// The webhook that is set. That `headers` come back is not documented.
    WebhookWire { "url" => url, "headers" => headers }
}

fields! {
    /// The headers that 360dialog adds to its calls.
    WebhookHeaders { "Authorization" => authorization, "authorization" => lower }
}

/// Says whether the key is good and whether webhooks come to us.
pub(super) fn interpret_check(account: &Account, answer: &HttpOutcome) -> ChannelCheck {
    let (status, body) = match answer {
        HttpOutcome::Response { status, body, .. } => (*status, body),
        HttpOutcome::NotSent(reason) | HttpOutcome::Lost(reason) => {
            return failed(ProviderError::own(
                ErrorClass::Retry,
                format!("360dialog did not answer: {}", scrub(reason)),
            ));
        }
        HttpOutcome::TooLarge => {
            return failed(ProviderError::own(
                ErrorClass::Permanent,
                "the answer was too large to read",
            ));
        }
    };
    if let Some(error) = verdict::error(answer) {
        return failed(error);
    }
    let body = text::readable(body);
    let webhook = serde_json::from_str::<&RawValue>(&body)
        .ok()
        .and_then(wire::object::<WebhookWire<'_>>);
    let Some(webhook) = webhook.filter(|_| (200..300).contains(&status)) else {
        let class = if status >= 500 {
            ErrorClass::Retry
        } else {
            ErrorClass::Permanent
        };
        return failed(ProviderError::own(
            class,
            format!("HTTP {status} without a readable answer; check the 360dialog URL"),
        ));
    };
    ChannelCheck {
        ok: true,
        problems: problem(account, &webhook).into_iter().collect(),
        ..ChannelCheck::default()
    }
}

/// What is wrong with the webhook, without its query, which may hold a secret.
fn problem(account: &Account, webhook: &WebhookWire<'_>) -> Option<String> {
    let Some(url) = wire::text(webhook.url) else {
        return Some("360dialog has no webhook address for this number; set it.".to_owned());
    };
    let (address, query) = url.split_once('?').unwrap_or((&url, ""));
    if !address.contains(OUR_PATH) {
        return Some(format!(
            "360dialog calls another webhook address than ours: {}",
            scrub(address)
        ));
    }
    let secret = account.credentials.get(credential::WEBHOOK_SECRET)?;
    let headers: WebhookHeaders<'_> = wire::object(webhook.headers?)?;
    let shown = wire::text(headers.authorization.or(headers.lower));
    let in_header = shown.is_some_and(|shown| shown == format!("Bearer {}", secret.expose()));
    (!in_header && !in_query(query, secret)).then(|| {
        "360dialog calls our webhook address without this channel's secret; set the webhook again."
            .to_owned()
    })
}

fn in_query(query: &str, secret: &Secret) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "secret" && value == secret.expose())
}

fn failed(error: ProviderError) -> ChannelCheck {
    ChannelCheck {
        problems: vec![error.message.clone()],
        error: Some(error),
        ..ChannelCheck::default()
    }
}
