//! Twilio's error codes and what they mean for us, as data: `codes.json` holds each code with a class and retry advice
//! (protocols/twilio.md 10). Codes come in answers to a send and in status callbacks.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use waxwing_core::errors::{ErrorClass, ProviderError, ThrottleScope};

const MINUTES: Duration = Duration::from_secs(10 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The class in the words of the core.
    pub(super) class: ErrorClass,
    /// What has to slow down, for a rate limit.
    pub(super) scope: Option<ThrottleScope>,
    /// How long to wait at least, where another attempt makes sense only later.
    pub(super) wait: Option<Duration>,
    /// Attempts in all, where another attempt makes sense but few do.
    pub(super) attempts_max: Option<u32>,
}

/// The classes of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Class {
    Auth,
    Account,
    Config,
    Conflict,
    Content,
    Expired,
    InvalidRecipient,
    Media,
    NotOnWhatsapp,
    OptOut,
    Otp,
    Policy,
    RateLimited,
    RestrictedUser,
    Template,
    Transient,
    Unknown,
    Unreachable,
    /// About our webhook, in Twilio's debugger. Never about a message.
    Webhook,
    WindowClosed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Advice {
    Never,
    AfterFix,
    Backoff,
    Later,
    UseTemplate,
    #[serde(rename = "-")]
    None,
}

#[derive(Deserialize)]
struct Row {
    code: i64,
    class: Class,
    retry: Advice,
}

static TABLE: LazyLock<HashMap<i64, Meaning>> = LazyLock::new(|| {
    let rows: Vec<Row> = serde_json::from_str(include_str!("codes.json"))
        .expect("the embedded table is valid; a test reads it");
    rows.iter().map(|row| (row.code, row.meaning())).collect()
});

impl Row {
    fn meaning(&self) -> Meaning {
        let class = self.error_class();
        let later = self.retry == Advice::Later;
        let few = matches!(
            class,
            ErrorClass::Later | ErrorClass::Template | ErrorClass::Media
        );
        Meaning {
            class,
            scope: (class == ErrorClass::Throttled).then(|| self.scope()),
            wait: match self.code {
                // The limit of a day.
                63_038 => Some(HOUR),
                _ => later.then_some(MINUTES),
            },
            attempts_max: (later && few).then_some(3),
        }
    }

    fn error_class(&self) -> ErrorClass {
        match self.class {
            Class::Auth => ErrorClass::Credentials,
            Class::Account => ErrorClass::ChannelBroken,
            Class::Config => match self.code {
                // Settings that matter for this recipient only: a country, a trial, the sandbox. The channel goes on.
                21_408 | 21_608 | 21_612 | 63_015 => ErrorClass::Permanent,
                // Sending names nothing but the account, so the account is what is missing.
                20_404 => ErrorClass::ChannelBroken,
                _ if self.retry == Advice::Never => ErrorClass::Permanent,
                _ => ErrorClass::ChannelBroken,
            },
            Class::InvalidRecipient
            | Class::NotOnWhatsapp
            | Class::Unreachable
            | Class::RestrictedUser => ErrorClass::NotReachable,
            Class::OptOut => ErrorClass::OptedOut,
            // Meta chose not to deliver this marketing message to this person now.
            Class::Policy if self.code == 63_049 => ErrorClass::MarketingLimited,
            Class::Conflict
            | Class::Content
            | Class::Expired
            | Class::Otp
            | Class::Policy
            | Class::Webhook => ErrorClass::Permanent,
            Class::Media => ErrorClass::Media,
            Class::RateLimited => ErrorClass::Throttled,
            Class::Template => ErrorClass::Template,
            Class::Transient => ErrorClass::Retry,
            Class::Unknown => ErrorClass::Later,
            Class::WindowClosed => ErrorClass::WindowClosed,
        }
    }

    fn scope(&self) -> ThrottleScope {
        match self.code {
            // Calls at the same time, messages of the account, messages of a day.
            20_429 | 63_017 | 63_038 => ThrottleScope::Account,
            _ => ThrottleScope::Channel,
        }
    }
}

/// What a code means; `None` for a code that the table does not have.
pub(super) fn meaning(code: i64) -> Option<Meaning> {
    TABLE.get(&code).copied()
}

/// The error of a code. Twilio says that the codes of one situation may change, so an unknown one is kept as it is and
/// taken for final.
pub(super) fn error(code: i64, words: &str) -> ProviderError {
    ProviderError {
        class: meaning(code).map_or(ErrorClass::Permanent, |meaning| meaning.class),
        code: Some(code.to_string()),
        message: if words.is_empty() {
            "the provider gave no reason".to_owned()
        } else {
            words.to_owned()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete() {
        let rows: Vec<Row> = serde_json::from_str(include_str!("codes.json")).unwrap();
        assert_eq!(rows.len(), 116);
        assert_eq!(TABLE.len(), rows.len(), "a code occurs twice");
        for row in rows {
            let meaning = meaning(row.code).unwrap();
            let code = row.code;
            assert_eq!(
                meaning.scope.is_some(),
                row.class == Class::RateLimited,
                "{code}"
            );
            assert_eq!(meaning.wait.is_some(), row.retry == Advice::Later, "{code}");
            let advice = match row.retry {
                Advice::Backoff => {
                    matches!(meaning.class, ErrorClass::Retry | ErrorClass::Throttled)
                }
                Advice::UseTemplate => meaning.class == ErrorClass::WindowClosed,
                Advice::Never if code == 20_404 => meaning.class == ErrorClass::ChannelBroken,
                Advice::Never => !matches!(
                    meaning.class,
                    ErrorClass::Retry
                        | ErrorClass::Throttled
                        | ErrorClass::Later
                        | ErrorClass::ChannelBroken
                ),
                Advice::AfterFix | Advice::Later | Advice::None => true,
            };
            assert!(advice, "{code}: {meaning:?}");
        }
    }

    #[test]
    fn the_rows_that_matter_most() {
        let cases = [
            (20_003, ErrorClass::Credentials),
            (63_001, ErrorClass::Credentials),
            (20_005, ErrorClass::ChannelBroken),
            (30_002, ErrorClass::ChannelBroken),
            (63_020, ErrorClass::ChannelBroken),
            (63_007, ErrorClass::ChannelBroken),
            (20_404, ErrorClass::ChannelBroken),
            (21_608, ErrorClass::Permanent),
            (63_015, ErrorClass::Permanent),
            (63_016, ErrorClass::WindowClosed),
            (63_027, ErrorClass::Template),
            (21_656, ErrorClass::Template),
            (21_610, ErrorClass::OptedOut),
            (63_014, ErrorClass::OptedOut),
            (63_024, ErrorClass::NotReachable),
            (63_003, ErrorClass::NotReachable),
            (21_211, ErrorClass::NotReachable),
            (63_032, ErrorClass::NotReachable),
            (63_018, ErrorClass::Throttled),
            (20_429, ErrorClass::Throttled),
            (63_049, ErrorClass::MarketingLimited),
            (63_013, ErrorClass::Permanent),
            (63_012, ErrorClass::Retry),
            (63_019, ErrorClass::Media),
            (21_617, ErrorClass::Permanent),
            (30_008, ErrorClass::Later),
            (63_999, ErrorClass::Permanent),
        ];
        for (code, class) in cases {
            assert_eq!(error(code, "").class, class, "{code}");
        }
        assert_eq!(meaning(63_999), None);
        assert_eq!(meaning(20_429).unwrap().scope, Some(ThrottleScope::Account));
        assert_eq!(meaning(63_018).unwrap().scope, Some(ThrottleScope::Channel));
    }
}
