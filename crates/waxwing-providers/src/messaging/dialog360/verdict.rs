//! What an answer means. Two families of errors come in the same place: 360dialog's own, known by status and words
//! only, and Meta's, passed through (protocols/360dialog.md 7).

use serde_json::value::RawValue;
use waxwing_core::errors::{ErrorClass, ProviderError, SendOutcome, ThrottleScope};

use crate::http::HttpOutcome;
use crate::messaging::cloud::outcome as cloud;
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::text;
use crate::messaging::cloud::wire::{self, fields};

/// Code of the old hosts: the window is closed (from memory, protocols/360dialog.md 6).
const OLD_WINDOW_CLOSED: i64 = 470;
/// Code of the old hosts: nobody on WhatsApp (from memory, protocols/360dialog.md 6).
const OLD_NOT_A_USER: i64 = 1_013;

fields! {
    /// An answer, good or bad.
    Answer { "meta" => meta, "errors" => errors, "error" => error, "messages" => messages }
}

fields! {
    /// The frame of 360dialog's own errors.
    MetaWire {
        "success" => success,
        "http_code" => http_code,
        "developer_message" => developer_message,
        "360dialog_trace_id" => trace_id,
    }
}

fields! {
    /// An error of the old hosts.
    OldError { "code" => code, "title" => title, "details" => details }
}

fields! {
    /// A message in the answer.
    AnswerMessage { "id" => id }
}

fields! {
    /// Meta's error, as far as it tells that it is Meta's.
    MetasError { "code" => code, "message" => message }
}

/// What became of a send. Any 2xx with an id is accepted; 200 and 201 are both seen.
pub(super) fn interpret(answer: &HttpOutcome) -> SendOutcome {
    let HttpOutcome::Response {
        status,
        headers,
        body,
    } = answer
    else {
        return cloud::interpret(answer);
    };
    let body = text::readable(body);
    let Some(read) = serde_json::from_str::<&RawValue>(&body)
        .ok()
        .and_then(wire::object::<Answer<'_>>)
    else {
        return match status {
            429 => cloud::interpret(answer),
            // Whatever has no JSON comes from a gateway, which may have passed the request on.
            _ => cloud::unknown(&format!("HTTP {status} without a readable answer")),
        };
    };
    let message: AnswerMessage<'_> =
        wire::object_or_empty(wire::list(read.messages).first().copied());
    if (200..300).contains(status) && wire::text(message.id).is_some() {
        return cloud::interpret(answer);
    }
    old_error(*status, headers, &read)
        .or_else(|| own_error(*status, headers, &read))
        .unwrap_or_else(|| cloud::interpret(answer))
}

/// The error in the answer to any other call, for people to read; `None` when there is none.
pub(super) fn error(answer: &HttpOutcome) -> Option<ProviderError> {
    let HttpOutcome::Response {
        status,
        headers,
        body,
    } = answer
    else {
        return None;
    };
    let body = text::readable(body);
    let read: Answer<'_> = wire::object(serde_json::from_str(&body).ok()?)?;
    let outcome = old_error(*status, headers, &read)
        .or_else(|| own_error(*status, headers, &read))
        .or_else(|| cloud::refusal(*status, headers, read.error?))?;
    match outcome {
        SendOutcome::Accepted(_) => None,
        SendOutcome::Throttled { error, .. }
        | SendOutcome::Retry { error, .. }
        | SendOutcome::Rejected(error)
        | SendOutcome::ChannelBroken(error)
        | SendOutcome::Unknown(error) => Some(error),
    }
}

/// An error of the old hosts: a list beside `meta`.
fn old_error(status: u16, headers: &http::HeaderMap, answer: &Answer<'_>) -> Option<SendOutcome> {
    let first = wire::list(answer.errors).first().copied()?;
    let error: OldError<'_> = wire::object(first)?;
    let code = wire::integer(error.code)?;
    let class = match code {
        OLD_WINDOW_CLOSED => ErrorClass::WindowClosed,
        OLD_NOT_A_USER => ErrorClass::NotReachable,
        _ => return cloud::refusal(status, headers, first),
    };
    let words = wire::text(error.title)
        .or_else(|| wire::text(error.details))
        .unwrap_or_else(|| "the provider gave no reason".into());
    Some(SendOutcome::Rejected(ProviderError {
        class,
        code: Some(code.to_string()),
        message: scrub(&words),
    }))
}

/// An error of 360dialog's own. There are no codes in this family, so status and words decide, the words loosely.
fn own_error(status: u16, headers: &http::HeaderMap, answer: &Answer<'_>) -> Option<SendOutcome> {
    let meta: MetaWire<'_> = wire::object_or_empty(answer.meta);
    let metas: MetasError<'_> = wire::object_or_empty(answer.error);
    if wire::integer(metas.code).is_some() {
        return None;
    }
    let words = wire::text(meta.developer_message)
        .or_else(|| wire::text(answer.error))
        .or_else(|| wire::text(metas.message));
    let refused = wire::flag(meta.success) == Some(false) || answer.error.is_some();
    if words.is_none() && !refused {
        return None;
    }
    let status = match status {
        // The frame may say what the status line does not.
        200..=299 if !refused => return None,
        200..=299 => wire::integer(meta.http_code)
            .and_then(|code| u16::try_from(code).ok())
            .filter(|code| *code >= 300)
            .unwrap_or(status),
        status => status,
    };
    let words = words.unwrap_or_else(|| "the provider gave no reason".into());
    let lower = words.to_lowercase();
    let speaks_of = |any: &[&str]| any.iter().any(|word| lower.contains(word));
    let error = |class| ProviderError::own(class, with_trace(scrub(&words), &meta));
    let throttled = || SendOutcome::Throttled {
        scope: ThrottleScope::Channel,
        after: cloud::retry_after(headers),
        error: error(ErrorClass::Throttled),
    };
    Some(match status {
        401 => SendOutcome::ChannelBroken(error(ErrorClass::Credentials)),
        403 => SendOutcome::ChannelBroken(error(ErrorClass::ChannelBroken)),
        429 => throttled(),
        500 | 503 => SendOutcome::Retry {
            after: cloud::retry_after(headers),
            attempts_max: None,
            error: error(ErrorClass::Retry),
        },
        400..=499 if status != 408 => {
            if speaks_of(&["api_key", "api key", "apikey"]) {
                SendOutcome::ChannelBroken(error(ErrorClass::Credentials))
            } else if speaks_of(&["rate limit", "too many", "request rate"]) {
                throttled()
            } else if speaks_of(&[
                "account is disabled",
                "account disabled",
                "payment",
                "blocked",
            ]) {
                SendOutcome::ChannelBroken(error(ErrorClass::ChannelBroken))
            } else {
                SendOutcome::Rejected(error(ErrorClass::Permanent))
            }
        }
        // Gateways give up on requests that they have handed on.
        _ => SendOutcome::Unknown(error(ErrorClass::Unknown)),
    })
}

/// The words with 360dialog's trace id, which its support asks for. It names no person.
fn with_trace(mut words: String, meta: &MetaWire<'_>) -> String {
    let trace = wire::text(meta.trace_id).filter(|id| {
        (8..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    });
    if let Some(trace) = trace {
        words.push_str(" (trace ");
        words.push_str(&trace);
        words.push(')');
    }
    words
}
