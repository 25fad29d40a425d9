//! What an answer of the Graph API means for the message that was sent (protocols/meta.md 11 and 18).

use std::borrow::Cow;
use std::time::Duration;

use serde_json::value::RawValue;
use waxwing_core::errors::{Accepted, ErrorClass, ProviderError, SendOutcome, ThrottleScope};
use waxwing_core::identity::{Bsuid, Identity, ProviderMessageId};
use waxwing_core::phone::Phone;

use crate::http::HttpOutcome;
use crate::messaging::cloud::codes::{self, Class, Meaning};
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::text;
use crate::messaging::cloud::wire::{self, Raw, fields};

/// The longest wait that a provider's header can ask for.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The subcode under which code 100 says that the number does not exist or the token may not see it.
const NO_SUCH_OBJECT: i64 = 33;

fields! {
    /// A Graph answer, good or bad.
    Answer {
        "error" => error,
        "messaging_product" => messaging_product,
        "contacts" => contacts,
        "messages" => messages,
    }
}

fields! {
    /// An error object, as answers and webhooks carry it.
    ErrorWire {
        "code" => code,
        "error_subcode" => error_subcode,
        "title" => title,
        "message" => message,
        "details" => details,
        "error_data" => error_data,
        "is_transient" => is_transient,
        "error_user_title" => error_user_title,
        "error_user_msg" => error_user_msg,
    }
}

fields! {
    /// The data of an error.
    ErrorData { "details" => details }
}

fields! {
    /// A recipient in the answer.
    AnswerContact { "wa_id" => wa_id, "user_id" => user_id }
}

fields! {
    /// A message in the answer.
    AnswerMessage { "id" => id, "message_status" => message_status }
}

impl ErrorWire<'_> {
    fn details(&self) -> Option<Cow<'_, str>> {
        let data: ErrorData<'_> = wire::object_or_empty(self.error_data);
        wire::text(data.details).or_else(|| wire::text(self.details))
    }

    fn meaning(&self) -> Option<Meaning> {
        let code = wire::integer(self.code)?;
        if code == 100 && wire::integer(self.error_subcode) == Some(NO_SUCH_OBJECT) {
            return codes::meaning(NO_SUCH_OBJECT);
        }
        codes::meaning(code)
    }

    /// The provider's words, the general ones first, each once, without anything personal.
    fn words(&self) -> String {
        let parts = [
            wire::text(self.message).or_else(|| wire::text(self.title)),
            self.details(),
            wire::text(self.error_user_title),
            wire::text(self.error_user_msg),
        ];
        let mut words = String::new();
        for part in parts.into_iter().flatten() {
            if words.contains(part.as_ref()) {
                continue;
            }
            if !words.is_empty() {
                words.push_str(": ");
            }
            words.push_str(&part);
        }
        if words.is_empty() {
            words.push_str("the provider gave no reason");
        }
        scrub(&words)
    }

    fn error(&self, class: ErrorClass) -> ProviderError {
        ProviderError {
            class,
            code: wire::integer(self.code).map(|code| code.to_string()),
            message: self.words(),
        }
    }
}

/// An error of a webhook: a failed status, a notice about the number.
pub(crate) fn webhook_error(raw: &RawValue) -> Option<ProviderError> {
    let wire: ErrorWire<'_> = wire::object(raw)?;
    let class = wire
        .meaning()
        .map_or(ErrorClass::Permanent, |meaning| meaning.class.error_class());
    Some(wire.error(class))
}

/// The code of an error of a webhook.
pub(crate) fn webhook_code(raw: &RawValue) -> Option<i64> {
    wire::integer(wire::object::<ErrorWire<'_>>(raw)?.code)
}

/// What became of a send.
pub(crate) fn interpret(outcome: &HttpOutcome) -> SendOutcome {
    let (status, headers, body) = match outcome {
        HttpOutcome::Response {
            status,
            headers,
            body,
        } => (*status, headers, body),
        HttpOutcome::NotSent(reason) => {
            return SendOutcome::Retry {
                after: None,
                attempts_max: None,
                error: ProviderError::own(
                    ErrorClass::Retry,
                    format!("the provider could not be reached: {}", scrub(reason)),
                ),
            };
        }
        HttpOutcome::Lost(reason) => {
            return unknown(&format!("no answer came: {}", scrub(reason)));
        }
        HttpOutcome::TooLarge => return unknown("the answer was too large to read"),
    };
    let body = text::readable(body);
    let Some(answer) = serde_json::from_str::<&RawValue>(&body)
        .ok()
        .and_then(wire::object::<Answer<'_>>)
    else {
        return without_error_object(status, headers);
    };
    if let Some(error) = answer.error.and_then(wire::object::<ErrorWire<'_>>)
        && wire::integer(error.code).is_some()
    {
        return refused(status, headers, &error);
    }
    if (200..300).contains(&status) && answer.error.is_none() {
        accepted(&answer)
    } else {
        without_error_object(status, headers)
    }
}

/// What a refusal means whose error object, in Meta's form, another provider hands over. `None` without a code.
pub(crate) fn refusal(
    status: u16,
    headers: &http::HeaderMap,
    error: &RawValue,
) -> Option<SendOutcome> {
    let error: ErrorWire<'_> = wire::object(error)?;
    wire::integer(error.code)?;
    Some(refused(status, headers, &error))
}

fn accepted(answer: &Answer<'_>) -> SendOutcome {
    let message: AnswerMessage<'_> =
        wire::object_or_empty(wire::list(answer.messages).first().copied());
    let provider_id = wire::text(message.id).and_then(|id| ProviderMessageId::parse(&id));
    if provider_id.is_none() && wire::text(answer.messaging_product).as_deref() != Some("whatsapp")
    {
        return unknown("the answer was not one of the messages endpoint");
    }
    let contact: AnswerContact<'_> =
        wire::object_or_empty(wire::list(answer.contacts).first().copied());
    SendOutcome::Accepted(Accepted {
        provider_id,
        recipient: Identity {
            phone: wire::text(contact.wa_id).and_then(|id| Phone::from_wa_id(&id).ok()),
            user_id: wire::text(contact.user_id).and_then(|id| Bsuid::parse(&id)),
            ..Identity::default()
        },
        held: wire::text(message.message_status).as_deref() == Some("held_for_quality_assessment"),
    })
}

/// Meta's own error object means "not accepted", whatever the HTTP status.
fn refused(status: u16, headers: &http::HeaderMap, wire: &ErrorWire<'_>) -> SendOutcome {
    let transient = wire::flag(wire.is_transient) == Some(true);
    let meaning = wire.meaning();
    let passing = match meaning {
        None => transient || status >= 500,
        Some(meaning) => transient && meaning.class == Class::Permanent,
    };
    let after = retry_after(headers);
    if passing {
        return SendOutcome::Retry {
            after,
            attempts_max: None,
            error: wire.error(ErrorClass::Retry),
        };
    }
    let Some(meaning) = meaning else {
        return SendOutcome::Rejected(wire.error(ErrorClass::Permanent));
    };
    let error = wire.error(meaning.class.error_class());
    if let Some(scope) = meaning.class.scope() {
        return SendOutcome::Throttled {
            scope,
            after: after.or_else(|| regain_access(headers)).or(meaning.wait),
            error,
        };
    }
    match meaning.class {
        Class::Auth | Class::ChannelBroken => SendOutcome::ChannelBroken(error),
        Class::Transient | Class::TransientFew | Class::RetryLater => SendOutcome::Retry {
            after: after.or(meaning.wait),
            attempts_max: meaning.attempts_max,
            error,
        },
        // The class is repeated only where Meta failed to fetch our link; a wrong type stays wrong.
        Class::Media if meaning.attempts_max.is_some() && speaks_of_fetching(&error.message) => {
            SendOutcome::Retry {
                after,
                attempts_max: meaning.attempts_max,
                error,
            }
        }
        _ => SendOutcome::Rejected(error),
    }
}

fn speaks_of_fetching(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["download", "fetch", "weblink", "request for url"]
        .iter()
        .any(|word| message.contains(word))
}

/// An answer that is none of Meta's: a gateway's page, an empty body, a redirect.
fn without_error_object(status: u16, headers: &http::HeaderMap) -> SendOutcome {
    match status {
        429 => SendOutcome::Throttled {
            scope: ThrottleScope::Channel,
            after: retry_after(headers),
            error: ProviderError::own(ErrorClass::Throttled, "HTTP 429 without an error object"),
        },
        // 408 may come from a gateway that had passed the request on.
        400..=499 if status != 408 => SendOutcome::Rejected(ProviderError::own(
            ErrorClass::Permanent,
            format!("HTTP {status} without an error object; check the Graph URL"),
        )),
        // A gateway that gives up may have handed the request over before; a redirect may follow an accepted request.
        _ => unknown(&format!("HTTP {status} without a readable answer")),
    }
}

/// Nobody knows whether the message was accepted.
pub(crate) fn unknown(reason: &str) -> SendOutcome {
    SendOutcome::Unknown(ProviderError::own(ErrorClass::Unknown, reason))
}

/// `Retry-After` in seconds. The form with a date needs a clock and was never seen from Meta; it is ignored.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(http::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// The longest `estimated_time_to_regain_access` (minutes) of `x-business-use-case-usage` (protocols/meta.md 1).
fn regain_access(headers: &http::HeaderMap) -> Option<Duration> {
    let usage: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(headers.get("x-business-use-case-usage")?.as_bytes()).ok()?;
    let minutes = usage
        .values()
        .filter_map(serde_json::Value::as_array)
        .flatten()
        .filter_map(|entry| entry.get("estimated_time_to_regain_access")?.as_u64())
        .max()
        .filter(|minutes| *minutes > 0)?;
    Some(Duration::from_secs(minutes.saturating_mul(60)).min(WAIT_MAX))
}

/// Reads an error object out of an answer of any other Graph call, for people to read.
pub(crate) fn graph_error(status: u16, error: Raw<'_>) -> Option<ProviderError> {
    let wire: ErrorWire<'_> = wire::object(error?)?;
    let class = match wire.meaning() {
        Some(meaning) => meaning.class.error_class(),
        None if status >= 500 => ErrorClass::Retry,
        None => ErrorClass::Permanent,
    };
    Some(wire.error(class))
}
