//! What an answer of Twilio means (protocols/twilio.md 6, 9 and 10).

use http::HeaderMap;
use serde_json::value::RawValue;
use waxwing_core::errors::{Accepted, ErrorClass, ProviderError, SendOutcome, ThrottleScope};
use waxwing_core::identity::{Identity, ProviderMessageId};

use super::codes::{self, Meaning};
use crate::http::HttpOutcome;
use crate::messaging::cloud::outcome::retry_after;
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::text;
use crate::messaging::cloud::wire::{self, Raw, fields};

/// Too many calls: the one code that is documented as "not processed", whatever the HTTP status.
const TOO_MANY: i64 = 20_429;
/// Faults of Twilio after which nobody knows whether the message was made.
const DOUBTFUL: [i64; 2] = [20_500, 20_503];

fields! {
    /// A resource, or an error.
    Answer {
        "code" => code,
        "message" => message,
        "sid" => sid,
        "status" => status,
        "error_code" => error_code,
        "error_message" => error_message,
    }
}

/// What became of a send.
pub(super) fn interpret(answer: &HttpOutcome) -> SendOutcome {
    let (status, headers, body) = match answer {
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
            return unknown(None, &format!("no answer came: {}", scrub(reason)));
        }
        HttpOutcome::TooLarge => return unknown(None, "the answer was too large to read"),
    };
    let body = text::readable(body);
    let raw = serde_json::from_str::<&RawValue>(&body).ok();
    let answer: Answer<'_> = wire::object_or_empty(raw);
    let code = wire::integer(answer.code);
    match status {
        200..=299 => accepted(&answer),
        _ if status == 429 || code == Some(TOO_MANY) => throttled(headers, status, &answer),
        400..=499 if status != 408 && !code.is_some_and(|code| DOUBTFUL.contains(&code)) => {
            match code {
                Some(code) => refused(headers, code, answer.message),
                None => without_error_object(status),
            }
        }
        // There is no idempotency key: after a fault, a gateway's page or a redirect the message may exist.
        _ => unknown(code, &words(status, answer.message)),
    }
}

fn accepted(answer: &Answer<'_>) -> SendOutcome {
    let Some(provider_id) = wire::text(answer.sid).and_then(|sid| ProviderMessageId::parse(&sid))
    else {
        return unknown(None, "the answer was not one of the messages endpoint");
    };
    // The first status comes in no callback, so one that failed at once is only said here.
    let failed = wire::text(answer.status)
        .is_some_and(|status| matches!(status.as_ref(), "failed" | "undelivered"));
    if failed && let Some(code) = wire::integer(answer.error_code) {
        return refused(&HeaderMap::new(), code, answer.error_message);
    }
    SendOutcome::Accepted(Accepted {
        provider_id: Some(provider_id),
        // The answer repeats our own address of the recipient; it teaches nothing.
        recipient: Identity::default(),
        held: false,
    })
}

fn throttled(headers: &HeaderMap, status: u16, answer: &Answer<'_>) -> SendOutcome {
    let code = wire::integer(answer.code);
    let meaning = code.and_then(codes::meaning);
    SendOutcome::Throttled {
        scope: meaning
            .and_then(|meaning| meaning.scope)
            .unwrap_or(ThrottleScope::Account),
        after: retry_after(headers).or(meaning.and_then(|meaning| meaning.wait)),
        error: ProviderError {
            class: ErrorClass::Throttled,
            code: code.map(|code| code.to_string()),
            message: words(status, answer.message),
        },
    }
}

/// An error object means "not accepted".
fn refused(headers: &HeaderMap, code: i64, message: Raw<'_>) -> SendOutcome {
    let text = wire::text(message).unwrap_or_default();
    let error = codes::error(code, &scrub(&text));
    let Some(meaning) = codes::meaning(code) else {
        return SendOutcome::Rejected(error);
    };
    let Meaning {
        class,
        scope,
        wait,
        attempts_max,
    } = meaning;
    let after = retry_after(headers).or(wait);
    if let Some(scope) = scope {
        return SendOutcome::Throttled {
            scope,
            after,
            error,
        };
    }
    match class {
        ErrorClass::Credentials | ErrorClass::ChannelBroken => SendOutcome::ChannelBroken(error),
        ErrorClass::Retry | ErrorClass::Later => SendOutcome::Retry {
            after,
            attempts_max,
            error,
        },
        ErrorClass::Template | ErrorClass::Media if attempts_max.is_some() => SendOutcome::Retry {
            after,
            attempts_max,
            error,
        },
        _ => SendOutcome::Rejected(error),
    }
}

/// An answer that is none of Twilio's: a gateway's page, an empty body.
fn without_error_object(status: u16) -> SendOutcome {
    if status == 401 {
        return SendOutcome::ChannelBroken(ProviderError::own(
            ErrorClass::Credentials,
            "HTTP 401 without an error object",
        ));
    }
    SendOutcome::Rejected(ProviderError::own(
        ErrorClass::Permanent,
        format!("HTTP {status} without an error object; check the Twilio URL"),
    ))
}

fn words(status: u16, message: Raw<'_>) -> String {
    match wire::text(message) {
        Some(message) => scrub(&message),
        None => format!("HTTP {status} without a readable answer"),
    }
}

fn unknown(code: Option<i64>, reason: &str) -> SendOutcome {
    SendOutcome::Unknown(ProviderError {
        class: ErrorClass::Unknown,
        code: code.map(|code| code.to_string()),
        message: reason.to_owned(),
    })
}

/// The id of a Content resource. Making one sends nothing: what is unknown is tried again, and an unused resource does
/// no harm.
pub(super) fn interpret_asset(answer: &HttpOutcome) -> Result<String, Box<SendOutcome>> {
    match interpret(answer) {
        SendOutcome::Accepted(accepted) => accepted
            .provider_id
            .map(|sid| sid.as_str().to_owned())
            .filter(|sid| super::parse::is_sid(sid))
            .ok_or_else(|| Box::new(again(ProviderError::own(ErrorClass::Retry, NO_ID)))),
        SendOutcome::Unknown(error) => Err(Box::new(again(ProviderError {
            class: ErrorClass::Retry,
            ..error
        }))),
        other => Err(Box::new(other)),
    }
}

const NO_ID: &str = "the Content resource came without a usable id";

fn again(error: ProviderError) -> SendOutcome {
    SendOutcome::Retry {
        after: None,
        attempts_max: None,
        error,
    }
}

/// Reads an answer of any other call: its body, or why there is none.
pub(super) fn body_of(answer: &HttpOutcome) -> Result<String, ProviderError> {
    let (status, body) = match answer {
        HttpOutcome::Response { status, body, .. } => (*status, body),
        HttpOutcome::NotSent(reason) | HttpOutcome::Lost(reason) => {
            return Err(ProviderError::own(
                ErrorClass::Retry,
                format!("Twilio did not answer: {}", scrub(reason)),
            ));
        }
        HttpOutcome::TooLarge => {
            return Err(ProviderError::own(
                ErrorClass::Permanent,
                "the answer was too large to read",
            ));
        }
    };
    let body = text::readable(body);
    if (200..300).contains(&status) {
        return Ok(body.into_owned());
    }
    let raw = serde_json::from_str::<&RawValue>(&body).ok();
    let answer: Answer<'_> = wire::object_or_empty(raw);
    Err(match wire::integer(answer.code) {
        Some(code) => codes::error(code, &words(status, answer.message)),
        None => {
            let class = match status {
                401 => ErrorClass::Credentials,
                429 => ErrorClass::Throttled,
                500.. => ErrorClass::Retry,
                _ => ErrorClass::Permanent,
            };
            ProviderError::own(
                class,
                format!("HTTP {status} without a readable answer; check the Twilio URL"),
            )
        }
    })
}
