//! What follows from the end of a send attempt: retry, failure, or a visible unknown.

use std::time::Duration;

use crate::errors::{ErrorClass, ProviderError, SendOutcome, ThrottleScope};
use crate::time::Timestamp;

/// Attempts a message gets when its errors are passing ones (ledger M6).
pub const ATTEMPTS_MAX: u32 = 5;
/// How long a message with an unknown outcome waits for a status before it is resent or held.
pub const UNKNOWN_WAIT: Duration = Duration::from_secs(60);
/// How long later messages of the same contact wait for one with an unknown outcome.
pub const UNKNOWN_LANE_WAIT: Duration = Duration::from_secs(10);
/// How long the whole call to a provider may take.
pub const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// The documented retry on the limit of sender and person is to wait `4^n` seconds (protocols/meta.md 17).
pub const PAIR_BACKOFF: u32 = 4;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Why a message is sent; decides what becomes of an unknown outcome and who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// An answer of the bot to an inbound message.
    Reply,
    /// A message that a person or program asked for through the API.
    Transactional,
    /// One of many: campaigns, broadcasts, marketing.
    Bulk,
}

impl Purpose {
    /// All of them, the first ones first.
    pub const ALL: [Self; 3] = [Self::Reply, Self::Transactional, Self::Bulk];

    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Transactional => "transactional",
            Self::Bulk => "bulk",
        }
    }

    /// Reads the word of [`Purpose::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }

    /// Lower goes first.
    #[must_use]
    pub const fn priority(self) -> i16 {
        match self {
            Self::Reply => 10,
            Self::Transactional => 20,
            Self::Bulk => 50,
        }
    }
}

/// What a tenant wants done with a message whose outcome stayed unknown for [`UNKNOWN_WAIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPolicy {
    /// Replies and transactional messages are sent once more, marked as a possible duplicate.
    #[default]
    ResendOnce,
    /// Nothing is sent again; a person decides.
    Hold,
}

/// What to do with a message after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted: record the provider's id and climb to `sent`.
    Sent,
    /// Back to the queue, due then.
    RetryAt {
        /// When it is due.
        at: Timestamp,
        /// Whether the attempt counts towards the limit.
        counts: bool,
        /// What happened.
        error: ProviderError,
        /// Everything of this scope waits until then.
        pause: Option<ThrottleScope>,
    },
    /// Failed for good: a dead letter.
    Fail(ProviderError),
    /// Back to the queue untouched; the channel stops until somebody mends it.
    StopChannel(ProviderError),
    /// Nobody knows; wait for a status.
    Unknown(ProviderError),
}

/// Decides what follows from `outcome`.
///
/// `attempts` counts the attempts made so far, this one included. `jitter` is a random number in `0.0..1.0`.
#[must_use]
pub fn verdict(outcome: &SendOutcome, attempts: u32, now: Timestamp, jitter: f64) -> Verdict {
    match outcome {
        SendOutcome::Accepted(_) => Verdict::Sent,
        SendOutcome::Rejected(error) => Verdict::Fail(error.clone()),
        SendOutcome::ChannelBroken(error) => Verdict::StopChannel(error.clone()),
        SendOutcome::Unknown(error) => Verdict::Unknown(error.clone()),
        SendOutcome::Retry {
            after,
            attempts_max,
            error,
        } => {
            if attempts >= attempts_max.unwrap_or(ATTEMPTS_MAX).min(ATTEMPTS_MAX) {
                return Verdict::Fail(error.clone());
            }
            let wait = after.unwrap_or_else(|| backoff(attempts, 2, jitter));
            Verdict::RetryAt {
                at: now.plus(wait),
                counts: true,
                error: error.clone(),
                pause: None,
            }
        }
        SendOutcome::Throttled {
            scope,
            after,
            error,
        } => {
            // A number, account or app that is too fast slows down until the message gets through. Too much for one
            // person, or a bad rating, may be about this message.
            let counts = matches!(scope, ThrottleScope::Recipient | ThrottleScope::Quality);
            if counts && attempts >= ATTEMPTS_MAX {
                return Verdict::Fail(error.clone());
            }
            let base = if *scope == ThrottleScope::Recipient {
                PAIR_BACKOFF
            } else {
                2
            };
            let wait = after.unwrap_or_else(|| backoff(attempts, base, jitter));
            Verdict::RetryAt {
                at: now.plus(wait),
                counts,
                error: error.clone(),
                pause: Some(*scope),
            }
        }
    }
}

/// Exponential backoff: `base^(attempts - 1)` seconds, at most five minutes, of which the upper half is random so that
/// messages that failed together do not return together.
#[must_use]
pub fn backoff(attempts: u32, base: u32, jitter: f64) -> Duration {
    let exponent = attempts.saturating_sub(1).min(16);
    let whole = BACKOFF_FIRST
        .saturating_mul(base.saturating_pow(exponent))
        .min(BACKOFF_MAX);
    whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

/// What becomes of a message whose outcome stayed unknown: `true` to send it once more.
#[must_use]
pub fn resend_unknown(purpose: Purpose, policy: UnknownPolicy, already_resent: bool) -> bool {
    policy == UnknownPolicy::ResendOnce && purpose != Purpose::Bulk && !already_resent
}

/// The class in which a message fails when its status webhook says `failed`.
#[must_use]
pub fn asynchronous_failure(error: Option<ProviderError>) -> ProviderError {
    error.unwrap_or_else(|| {
        ProviderError::own(
            ErrorClass::Permanent,
            "the provider reported a failure without a code",
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passing() -> SendOutcome {
        SendOutcome::Retry {
            after: None,
            attempts_max: None,
            error: ProviderError::own(ErrorClass::Retry, "busy"),
        }
    }

    #[test]
    fn five_attempts_then_failure() {
        let now = Timestamp::from_seconds(100);
        for attempts in 1..ATTEMPTS_MAX {
            assert!(
                matches!(
                    verdict(&passing(), attempts, now, 0.5),
                    Verdict::RetryAt { .. }
                ),
                "{attempts}"
            );
        }
        assert!(matches!(
            verdict(&passing(), ATTEMPTS_MAX, now, 0.5),
            Verdict::Fail(_)
        ));
    }

    #[test]
    fn the_provider_decides_the_wait_when_it_says_so() {
        let outcome = SendOutcome::Throttled {
            scope: ThrottleScope::Channel,
            after: Some(Duration::from_secs(120)),
            error: ProviderError::own(ErrorClass::Throttled, "slow down"),
        };
        let Verdict::RetryAt { at, pause, .. } =
            verdict(&outcome, 1, Timestamp::from_seconds(0), 0.0)
        else {
            panic!("a throttled message is retried");
        };
        assert_eq!(
            (at, pause),
            (Timestamp::from_seconds(120), Some(ThrottleScope::Channel))
        );
    }

    #[test]
    fn unknown_is_never_a_retry() {
        let outcome = SendOutcome::Unknown(ProviderError::own(ErrorClass::Unknown, "no answer"));
        assert!(matches!(
            verdict(&outcome, 1, Timestamp::default(), 0.0),
            Verdict::Unknown(_)
        ));
        assert!(resend_unknown(
            Purpose::Reply,
            UnknownPolicy::ResendOnce,
            false
        ));
        assert!(!resend_unknown(
            Purpose::Reply,
            UnknownPolicy::ResendOnce,
            true
        ));
        assert!(!resend_unknown(
            Purpose::Bulk,
            UnknownPolicy::ResendOnce,
            false
        ));
        assert!(!resend_unknown(
            Purpose::Transactional,
            UnknownPolicy::Hold,
            false
        ));
    }

    #[test]
    fn a_storm_of_refusals_costs_no_attempts() {
        let refused = |scope| SendOutcome::Throttled {
            scope,
            after: None,
            error: ProviderError::own(ErrorClass::Throttled, "slow down"),
        };
        let now = Timestamp::from_seconds(0);
        for scope in [
            ThrottleScope::App,
            ThrottleScope::Account,
            ThrottleScope::Channel,
        ] {
            let verdict = verdict(&refused(scope), ATTEMPTS_MAX, now, 0.5);
            assert!(matches!(verdict, Verdict::RetryAt { counts: false, .. }));
        }
        for scope in [ThrottleScope::Recipient, ThrottleScope::Quality] {
            let first = verdict(&refused(scope), 1, now, 0.5);
            assert!(matches!(first, Verdict::RetryAt { counts: true, .. }));
            let last = verdict(&refused(scope), ATTEMPTS_MAX, now, 0.5);
            assert!(matches!(last, Verdict::Fail(_)));
        }
    }

    proptest! {
        #[test]
        fn backoff_is_bounded_and_grows(attempts in 1u32..40, jitter in 0.0f64..1.0) {
            let wait = backoff(attempts, 4, jitter);
            prop_assert!(wait >= Duration::from_millis(500) && wait <= BACKOFF_MAX);
            prop_assert!(backoff(attempts + 1, 4, 0.0) >= backoff(attempts, 4, 0.0));
        }
    }
}
