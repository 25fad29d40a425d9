//! What an answer means (protocols/msg91.md 1 and 6). HTTP 200 says nothing by itself, and Meta's codes stand inside
//! texts.

use std::borrow::Cow;

use http::HeaderMap;
use serde_json::json;
use serde_json::value::RawValue;
use waxwing_core::errors::{Accepted, ErrorClass, ProviderError, SendOutcome, ThrottleScope};
use waxwing_core::identity::{Identity, ProviderMessageId};

use crate::http::HttpOutcome;
use crate::messaging::cloud::outcome as cloud;
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::wire::{self, fields};
use crate::messaging::cloud::{codes, text};

/// Words of a text that are looked at.
const WORDS_MAX: usize = 200;

fields! {
    /// An answer, good or bad.
    Answer {
        "status" => status,
        "hasError" => has_error,
        "errors" => errors,
        "data" => data,
        "message" => message,
        "code" => code,
        "request_id" => request_id,
    }
}

/// What became of a send. Accepted only when everything that has to be there is there.
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
    let read = serde_json::from_str::<&RawValue>(&body)
        .ok()
        .and_then(wire::object::<Answer<'_>>);
    let Some(read) = read else {
        return refused_by_status(*status, headers, "").unwrap_or_else(|| match status {
            400..=499 if *status != 408 => SendOutcome::Rejected(ProviderError::own(
                ErrorClass::Permanent,
                format!("HTTP {status} without a readable answer; check the MSG91 URL"),
            )),
            _ => cloud::unknown(&format!("HTTP {status} without a readable answer")),
        });
    };
    let words = words(&read);
    if let Some(outcome) = refused_by_status(*status, headers, &words) {
        return outcome;
    }
    match status {
        200..=299 => {}
        400..=499 if *status != 408 => return refused(*status, headers, &read, &words),
        _ => return cloud::unknown(&format!("HTTP {status}; MSG91 may have it")),
    }
    if is_refusal(&read) {
        return refused(*status, headers, &read, &words);
    }
    let request_id = wire::text(read.request_id).and_then(|id| ProviderMessageId::parse(&id));
    match (request_id, wire::text(read.status).as_deref()) {
        (Some(id), Some("success")) => SendOutcome::Accepted(Accepted {
            provider_id: Some(id),
            recipient: Identity::default(),
            held: false,
        }),
        _ => cloud::unknown("the answer was not one of the sending endpoint"),
    }
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
    let top = serde_json::from_str::<&RawValue>(&body)
        .ok()
        .filter(|top| top.get().starts_with(['{', '[']));
    let read: Answer<'_> = wire::object_or_empty(top);
    let words = words(&read);
    let outcome = refused_by_status(*status, headers, &words).or_else(|| {
        ((200..500).contains(status) && is_refusal(&read))
            .then(|| refused(*status, headers, &read, &words))
    });
    match outcome {
        Some(
            SendOutcome::ChannelBroken(error)
            | SendOutcome::Throttled { error, .. }
            | SendOutcome::Retry { error, .. }
            | SendOutcome::Rejected(error)
            | SendOutcome::Unknown(error),
        ) => Some(error),
        Some(SendOutcome::Accepted(_)) => None,
        None if (200..300).contains(status) && top.is_some() => None,
        None => Some(ProviderError::own(
            if *status >= 500 {
                ErrorClass::Retry
            } else {
                ErrorClass::Permanent
            },
            format!("HTTP {status} without a readable answer; check the MSG91 URL"),
        )),
    }
}

/// Whether an answer says that nothing was done.
fn is_refusal(answer: &Answer<'_>) -> bool {
    wire::flag(answer.has_error) == Some(true)
        || wire::text(answer.status).is_some_and(|word| !word.eq_ignore_ascii_case("success"))
}

/// Errors that the status alone tells.
fn refused_by_status(status: u16, headers: &HeaderMap, words: &str) -> Option<SendOutcome> {
    let error = |class, otherwise: &str| {
        let words = if words.is_empty() { otherwise } else { words };
        ProviderError::own(class, scrub(words))
    };
    match status {
        401 | 403 => Some(SendOutcome::ChannelBroken(error(
            ErrorClass::Credentials,
            "MSG91 does not accept the auth key",
        ))),
        // From memory: the key is bound to other addresses.
        418 => Some(SendOutcome::ChannelBroken(error(
            ErrorClass::Credentials,
            "MSG91 does not accept the auth key from this address",
        ))),
        429 => Some(throttled(
            headers,
            error(ErrorClass::Throttled, "too many requests"),
        )),
        _ => None,
    }
}

/// The limit is shared by all senders of a key.
fn throttled(headers: &HeaderMap, error: ProviderError) -> SendOutcome {
    SendOutcome::Throttled {
        scope: ThrottleScope::Account,
        after: cloud::retry_after(headers),
        error,
    }
}

/// A refusal in words: by Meta's code when one stands in them, else by what they speak of.
fn refused(status: u16, headers: &HeaderMap, answer: &Answer<'_>, words: &str) -> SendOutcome {
    // Small numbers that Meta does not have are HTTP's.
    if let Some(code) =
        code_in(words).filter(|code| *code >= 100_000 || codes::meaning(*code).is_some())
        && let Some(outcome) = as_metas(status, headers, code, words)
    {
        return outcome;
    }
    let words = if words.is_empty() {
        "the provider gave no reason"
    } else {
        words
    };
    let lower = words.to_lowercase();
    let speaks_of = |any: &[&str]| any.iter().any(|word| lower.contains(word));
    let error = |class| ProviderError::own(class, scrub(words));
    let code = wire::integer(answer.code);
    if matches!(code, Some(401 | 418)) || speaks_of(&["unauthorized", "authkey", "whitelist"]) {
        SendOutcome::ChannelBroken(error(ErrorClass::Credentials))
    } else if code == Some(429) || speaks_of(&["too many", "rate limit"]) {
        throttled(headers, error(ErrorClass::Throttled))
    } else if speaks_of(&["not integrated", "insufficient", "balance"]) {
        SendOutcome::ChannelBroken(error(ErrorClass::ChannelBroken))
    } else {
        SendOutcome::Rejected(error(class_of_words(&lower)))
    }
}

/// The class of a text that has no code.
fn class_of_words(lower: &str) -> ErrorClass {
    let speaks_of = |any: &[&str]| any.iter().any(|word| lower.contains(word));
    // A closed window may be told with the advice to send a template.
    if speaks_of(&["re-engagement", "24 hour", "24-hour"]) {
        ErrorClass::WindowClosed
    } else if speaks_of(&["valid whatsapp user", "not on whatsapp", "undeliverable"]) {
        ErrorClass::NotReachable
    } else if speaks_of(&["template"]) {
        ErrorClass::Template
    } else {
        ErrorClass::Permanent
    }
}

/// What Meta's code means, from Meta's table.
fn as_metas(status: u16, headers: &HeaderMap, code: i64, words: &str) -> Option<SendOutcome> {
    let error = json!({ "code": code, "message": words }).to_string();
    // Only the code counts: with a status of 500 an unknown one would look like a passing fault.
    cloud::refusal(status.min(499), headers, serde_json::from_str(&error).ok()?)
}

/// The reason of a failed message, and Meta's code in it.
pub(super) fn reason(words: &str) -> (ProviderError, Option<i64>) {
    let code = code_in(words);
    let class = code.and_then(codes::meaning).map_or_else(
        || class_of_words(&words.to_lowercase()),
        |meaning| meaning.class.error_class(),
    );
    let error = ProviderError {
        class,
        code: code.map(|code| code.to_string()),
        message: scrub(words),
    };
    (error, code)
}

/// Meta's code in a text: the digits at its beginning (`131047: …`, `(#131047) …`), else the first number that looks
/// like a code of WhatsApp and is one.
fn code_in(words: &str) -> Option<i64> {
    let digits = |text: &str| {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        text[..end].parse::<i64>().ok().filter(|_| end <= 6)
    };
    let start = words.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '(' | '#'));
    let leading = digits(start).filter(|code| {
        let rest = start.trim_start_matches(|c: char| c.is_ascii_digit());
        // `24 hours have passed` begins with no code.
        *code >= 100_000 || rest.trim_start().starts_with([':', ')', '-']) || rest.is_empty()
    });
    leading.or_else(|| {
        words
            .split(|c: char| !c.is_ascii_digit())
            .take(WORDS_MAX)
            .filter(|word| word.len() == 6)
            .filter_map(|word| word.parse().ok())
            .find(|code| codes::meaning(*code).is_some())
    })
}

/// What an answer says about itself: `errors` may be a text, a list or an object of lists.
fn words(answer: &Answer<'_>) -> String {
    let said = wire::owned(answer.errors)
        .or_else(|| {
            let mut found = Vec::new();
            collect(&wire::value(answer.errors)?, &mut found);
            (!found.is_empty()).then(|| found.join(" "))
        })
        .or_else(|| wire::owned(answer.message))
        .or_else(|| wire::text(answer.data).map(Cow::into_owned));
    said.unwrap_or_default()
}

/// The texts in a value, at most ten.
fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
    const TEXTS_MAX: usize = 10;
    match value {
        serde_json::Value::String(text) if found.len() < TEXTS_MAX => found.push(text.clone()),
        serde_json::Value::Number(number) if found.len() < TEXTS_MAX => {
            found.push(number.to_string());
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
        serde_json::Value::Object(map) => map.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}
