//! Meta's error codes and what they mean for us, as data: `codes.json` holds each code with its class and the words
//! for its retry (protocols/meta.md 18, sources in the file).

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use waxwing_core::errors::{ErrorClass, ThrottleScope};

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// What to do about it.
    pub(crate) class: Class,
    /// How long to wait at least, where the table says so.
    pub(crate) wait: Option<Duration>,
    /// Attempts in all, where the table allows fewer than usual.
    pub(crate) attempts_max: Option<u32>,
}

/// The classes of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    /// The token or its rights.
    Auth,
    /// The number or account.
    ChannelBroken,
    /// Too many calls of the app.
    ThrottledApp,
    /// Too many calls for the account.
    ThrottledAccount,
    /// Too much through the number.
    ThrottledChannel,
    /// Too much to this person.
    ThrottledRecipient,
    /// Too much for the number's quality.
    ThrottledQuality,
    /// No free text now.
    WindowClosed,
    /// The person cannot be reached.
    Undeliverable,
    /// The person refused marketing.
    OptedOut,
    /// Marketing is limited for the person.
    MarketingLimited,
    /// The message template.
    Template,
    /// A media file.
    Media,
    /// Refused for good.
    Permanent,
    /// A passing fault.
    Transient,
    /// Perhaps a passing fault.
    TransientFew,
    /// Comes right by itself, later.
    RetryLater,
    /// Only a notice.
    Info,
}

impl Class {
    /// The class in the words of the core.
    pub(crate) const fn error_class(self) -> ErrorClass {
        match self {
            Self::Auth => ErrorClass::Credentials,
            Self::ChannelBroken => ErrorClass::ChannelBroken,
            Self::ThrottledApp
            | Self::ThrottledAccount
            | Self::ThrottledChannel
            | Self::ThrottledRecipient
            | Self::ThrottledQuality => ErrorClass::Throttled,
            Self::WindowClosed => ErrorClass::WindowClosed,
            Self::Undeliverable => ErrorClass::NotReachable,
            Self::OptedOut => ErrorClass::OptedOut,
            Self::MarketingLimited => ErrorClass::MarketingLimited,
            Self::Template => ErrorClass::Template,
            Self::Media => ErrorClass::Media,
            Self::Permanent | Self::Info => ErrorClass::Permanent,
            Self::Transient | Self::TransientFew => ErrorClass::Retry,
            Self::RetryLater => ErrorClass::Later,
        }
    }

    /// What has to slow down, for the throttling classes.
    pub(crate) const fn scope(self) -> Option<ThrottleScope> {
        match self {
            Self::ThrottledApp => Some(ThrottleScope::App),
            Self::ThrottledAccount => Some(ThrottleScope::Account),
            Self::ThrottledChannel => Some(ThrottleScope::Channel),
            Self::ThrottledRecipient => Some(ThrottleScope::Recipient),
            Self::ThrottledQuality => Some(ThrottleScope::Quality),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct File {
    codes: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    code: i64,
    class: Class,
    retry: String,
}

static TABLE: LazyLock<HashMap<i64, Meaning>> = LazyLock::new(|| {
    let file: File = serde_json::from_str(include_str!("codes.json"))
        .expect("the embedded table is valid; a test reads it");
    file.codes
        .into_iter()
        .map(|row| {
            let meaning = Meaning {
                class: row.class,
                wait: wait(&row.retry),
                attempts_max: attempts_max(&row.retry),
            };
            (row.code, meaning)
        })
        .collect()
});

/// What a code means; `None` for a code that the table does not have.
pub(crate) fn meaning(code: i64) -> Option<Meaning> {
    // Permissions are the whole range 200 to 299, 200 stands for it.
    let code = if (200..300).contains(&code) {
        200
    } else {
        code
    };
    TABLE.get(&code).copied()
}

/// The wait behind a retry word. `details` says that the error's own text names a time, as words: ten minutes then.
fn wait(word: &str) -> Option<Duration> {
    const MINUTE: u64 = 60;
    let seconds = match word {
        "5min" => 5 * MINUTE,
        "10min" | "details" => 10 * MINUTE,
        "hours" => 60 * MINUTE,
        "24h" => 24 * 60 * MINUTE,
        "72h" => 72 * 60 * MINUTE,
        "30d" => 30 * 24 * 60 * MINUTE,
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

fn attempts_max(word: &str) -> Option<u32> {
    match word {
        "once" => Some(2),
        "twice" => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_every_retry_word_is_known() {
        let raw: serde_json::Value = serde_json::from_str(include_str!("codes.json")).unwrap();
        let rows = raw["codes"].as_array().unwrap();
        assert!(rows.len() > 90, "{}", rows.len());
        let words = raw["retryWords"].as_object().unwrap();
        for row in rows {
            let code = row["code"].as_i64().unwrap();
            assert!(meaning(code).is_some(), "{code}");
            let word = row["retry"].as_str().unwrap();
            assert!(words.contains_key(word), "{code}: {word}");
            let retried = !matches!(word, "no" | "backoff" | "4^n");
            assert_eq!(
                retried,
                wait(word).is_some() || attempts_max(word).is_some(),
                "{code}: {word}"
            );
        }
    }

    #[test]
    fn the_rows_that_matter_most() {
        let cases = [
            (190, ErrorClass::Credentials),
            (299, ErrorClass::Credentials),
            (131_031, ErrorClass::ChannelBroken),
            (131_056, ErrorClass::Throttled),
            (131_047, ErrorClass::WindowClosed),
            (131_026, ErrorClass::NotReachable),
            (131_050, ErrorClass::OptedOut),
            (131_049, ErrorClass::MarketingLimited),
            (132_015, ErrorClass::Template),
            (131_053, ErrorClass::Media),
            (131_009, ErrorClass::Permanent),
            (131_000, ErrorClass::Retry),
            (134_101, ErrorClass::Later),
        ];
        for (code, class) in cases {
            assert_eq!(
                meaning(code).map(|found| found.class.error_class()),
                Some(class),
                "{code}"
            );
        }
        assert_eq!(meaning(300), None);
        assert_eq!(meaning(139_999), None);
    }
}
