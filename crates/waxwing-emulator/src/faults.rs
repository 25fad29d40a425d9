//! Faults by script: which request, webhook or status is disturbed, and how.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::ids::{mix, share};
use crate::provider::Provider;

/// A list of rules. The first rule that matches an event acts on it.
///
/// ```
/// let script: waxwing_emulator::FaultScript = serde_json::from_str(
///     r#"{"rules":[
///         {"on":"send","match":{"every":20},"do":"lose_answer"},
///         {"on":"send","match":{"nth":[3]},"do":{"error":{"code":130429,"status":429,"retry_after":1}}},
///         {"on":"webhook","match":{"probability":0.1},"do":{"duplicate":{"times":1,"after_ms":20}}}
///     ]}"#,
/// )?;
/// assert_eq!(script.rules.len(), 3);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultScript {
    /// Seed of the probabilities; the emulator's own seed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Rules, first match wins.
    #[serde(default)]
    pub rules: Vec<FaultRule>,
}

impl FaultScript {
    /// A script of one rule.
    #[must_use]
    pub fn one(on: FaultPoint, when: FaultMatch, act: Fault) -> Self {
        Self {
            seed: None,
            rules: vec![FaultRule { on, when, act }],
        }
    }

    /// Adds a rule behind the others.
    #[must_use]
    pub fn and(mut self, on: FaultPoint, when: FaultMatch, act: Fault) -> Self {
        self.rules.push(FaultRule { on, when, act });
        self
    }
}

/// One rule of a script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Where it applies.
    pub on: FaultPoint,
    /// Which events it picks; without conditions, all of them.
    #[serde(default, rename = "match")]
    pub when: FaultMatch,
    /// What happens.
    #[serde(rename = "do")]
    pub act: Fault,
}

/// The points that can be disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultPoint {
    /// A request to send a message, after the provider's own validation.
    Send,
    /// A webhook that carries a user's message.
    Webhook,
    /// One status of a message.
    Status,
}

/// Conditions; all that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultMatch {
    /// Only these events, counted from 1 over those that fulfil `provider`, `to` and `type`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nth: Vec<u64>,
    /// Every n-th event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Share of events, 0 to 1; reproducible from the seed and the event's count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Only numbers of this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// The user: digits of the phone, or the business-scoped id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Message type in Meta's words (`text`, …) or, for statuses, the status (`sent`, …).
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl FaultMatch {
    /// Matches everything.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Matches the n-th event, from 1.
    #[must_use]
    pub fn nth(n: u64) -> Self {
        Self {
            nth: vec![n],
            ..Self::default()
        }
    }

    /// Matches every n-th event.
    #[must_use]
    pub fn every(n: u64) -> Self {
        Self {
            every: Some(n),
            ..Self::default()
        }
    }

    /// Matches a share of the events.
    #[must_use]
    pub fn probability(share: f64) -> Self {
        Self {
            probability: Some(share),
            ..Self::default()
        }
    }

    /// Matches events of one user.
    #[must_use]
    pub fn to(user: impl Into<String>) -> Self {
        Self {
            to: Some(user.into()),
            ..Self::default()
        }
    }

    /// Matches events of one provider's numbers.
    #[must_use]
    pub fn provider(provider: Provider) -> Self {
        Self {
            provider: Some(provider),
            ..Self::default()
        }
    }

    /// Matches one message type or status.
    #[must_use]
    pub fn kind(kind: impl Into<String>) -> Self {
        Self {
            kind: Some(kind.into()),
            ..Self::default()
        }
    }
}

/// What is done to an event. "Accepted" means: the message goes out and its statuses follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Send: accepted, then the connection is closed without an answer.
    LoseAnswer,
    /// Send: accepted, then silence; the connection stays open.
    NeverAnswer,
    /// Send: accepted, and the answer waits until the first status was delivered (5 s at most).
    StatusFirst,
    /// Send: the answer waits. Webhook and status: delivered later, so that others overtake it.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Send: refused with the provider's error of this code.
    Error {
        /// The provider's code.
        code: i64,
        /// HTTP status in place of the documented one.
        #[serde(default)]
        status: Option<u16>,
        /// Seconds in a `Retry-After` header.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// Send: refused with an error of 360dialog's or MSG91's own family, which has no codes; Meta's numbers answer the
    /// text alone, and Twilio takes the message.
    OwnError {
        /// HTTP status. With 200, MSG91's `hasError` says that it is an error.
        status: u16,
        /// The sentence in it.
        text: String,
    },
    /// Send: accepted, and answered with the provider's error of this code all the same; MSG91, whose errors have no codes,
    /// answers as usual.
    ErrorAccepted {
        /// The provider's code.
        code: i64,
        /// HTTP status in place of the documented one.
        #[serde(default)]
        status: Option<u16>,
    },
    /// Send, Twilio: a `queued` callback arrives late, behind those of later stages.
    LateQueued {
        /// Milliseconds after acceptance.
        after_ms: u64,
    },
    /// Send: an error object with HTTP 200.
    ErrorWith200 {
        /// The provider's code.
        code: i64,
    },
    /// Send: a gateway's HTML page with status 502.
    Html502 {
        /// Whether the message was taken before the gateway gave up.
        #[serde(default)]
        accepted: bool,
    },
    /// Send: a status without body.
    Empty {
        /// HTTP status, 500 when absent.
        #[serde(default = "five_hundred")]
        status: u16,
        /// Whether the message was taken.
        #[serde(default)]
        accepted: bool,
    },
    /// Send: accepted, and the answer's JSON breaks off in the middle.
    TruncatedJson,
    /// Send: accepted, and the answer is JSON of another shape.
    WrongJson,
    /// Send: refused with a redirect.
    Redirect {
        /// Where to.
        location: String,
        /// HTTP status, 302 when absent.
        #[serde(default = "three_o_two")]
        status: u16,
    },
    /// Send: not accepted, the connection is reset.
    ResetBefore,
    /// Send: accepted, connection reset in the middle of the answer.
    ResetInside,
    /// Send: accepted, connection reset before the answer.
    ResetAfter,
    /// Send: accepted, the answer's body comes byte by byte.
    Drip {
        /// Milliseconds between two bytes.
        ms: u64,
    },
    /// Send: accepted, the answer is padded to this many bytes.
    Huge {
        /// Size of the body.
        bytes: u64,
    },
    /// Send: accepted, the answer is a small gzip body that unpacks to 64 MiB.
    GzipBomb,
    /// Send: accepted, the answer has no `messages`.
    NoMessageId,
    /// Send: accepted, the answer's contact has no `wa_id`.
    NoWaId,
    /// Send: accepted, no status ever.
    Swallow,
    /// Send: accepted, then `failed` with this code. Status: this status becomes `failed`.
    Fail {
        /// The provider's code.
        code: i64,
    },
    /// Send: accepted with `message_status: held_for_quality_assessment`; statuses after the delay.
    Held {
        /// Milliseconds until released.
        ms: u64,
    },
    /// Webhook and status: delivered again.
    Duplicate {
        /// Number of further deliveries.
        times: u32,
        /// Milliseconds until each of them.
        #[serde(default)]
        after_ms: u64,
        /// Wrap the copies in another envelope than the original.
        #[serde(default)]
        other_envelope: bool,
    },
    /// Webhook and status: never delivered.
    Drop,
    /// Webhook: first an `unsupported` placeholder with 131060, the real message later under the same id.
    Ghost {
        /// Milliseconds between the two.
        after_ms: u64,
    },
    /// Webhook: the user's phone is withheld in this message; needs a user with a business-scoped id.
    WithoutPhone,
    /// Webhook: before this message the user changes to another number.
    NumberChange {
        /// Digits of the new number.
        to: String,
    },
    /// Webhook: signed with another secret.
    WrongSignature,
}

impl Fault {
    /// Whether the sender surely gets a complete answer with the message id.
    pub(crate) const fn answers(&self) -> bool {
        !matches!(
            self,
            Self::LoseAnswer
                | Self::NeverAnswer
                | Self::ErrorAccepted { .. }
                | Self::Html502 { .. }
                | Self::Empty { .. }
                | Self::TruncatedJson
                | Self::WrongJson
                | Self::ResetInside
                | Self::ResetAfter
                | Self::Drip { .. }
                | Self::Huge { .. }
                | Self::GzipBomb
                | Self::NoMessageId
        )
    }
}

const fn five_hundred() -> u16 {
    500
}

const fn three_o_two() -> u16 {
    302
}

/// A script in force, with the counts of its rules.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    seed: u64,
    rules: Vec<(FaultRule, AtomicU64)>,
}

impl Faults {
    pub(crate) fn new(script: FaultScript, seed: u64) -> Self {
        let seed = script.seed.unwrap_or(seed);
        Self {
            seed,
            rules: script
                .rules
                .into_iter()
                .map(|rule| (rule, AtomicU64::new(0)))
                .collect(),
        }
    }

    /// The fault for one event. Every rule of this point counts the events that fit its `provider`, `to` and `type`,
    /// whether or not an earlier rule acted, so that rules can be read on their own.
    pub(crate) fn pick(
        &self,
        on: FaultPoint,
        provider: Provider,
        users: &[&str],
        kind: &str,
    ) -> Option<&Fault> {
        let mut found = None;
        for (index, (rule, count)) in self.rules.iter().enumerate() {
            let when = &rule.when;
            if rule.on != on
                || when.provider.is_some_and(|p| p != provider)
                || when.to.as_deref().is_some_and(|to| !users.contains(&to))
                || when.kind.as_deref().is_some_and(|k| k != kind)
            {
                continue;
            }
            let n = count.fetch_add(1, Ordering::Relaxed) + 1;
            let hit = (when.nth.is_empty() || when.nth.contains(&n))
                && when
                    .every
                    .is_none_or(|every| every != 0 && n.is_multiple_of(every))
                && when.probability.is_none_or(|p| {
                    let index = u64::try_from(index).unwrap_or(0);
                    share(mix(self.seed ^ mix(index.wrapping_mul(0x1_0000_0001) ^ n))) < p
                });
            if hit && found.is_none() {
                found = Some(&rule.act);
            }
        }
        found
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultMatch, FaultPoint, FaultScript, Faults};
    use crate::Provider;

    fn hits(when: FaultMatch, n: usize) -> Vec<bool> {
        let faults = Faults::new(
            FaultScript::one(FaultPoint::Send, when, Fault::LoseAnswer),
            9,
        );
        (0..n)
            .map(|_| {
                faults
                    .pick(FaultPoint::Send, Provider::Meta, &["1650"], "text")
                    .is_some()
            })
            .collect()
    }

    #[test]
    fn counts_and_shares() {
        assert_eq!(hits(FaultMatch::nth(2), 4), [false, true, false, false]);
        assert_eq!(hits(FaultMatch::every(2), 4), [false, true, false, true]);
        assert_eq!(hits(FaultMatch::to("1651"), 2), [false, false]);
        assert_eq!(hits(FaultMatch::kind("text"), 1), [true]);
        assert_eq!(hits(FaultMatch::provider(Provider::Meta), 1), [true]);
        assert_eq!(hits(FaultMatch::provider(Provider::Twilio), 1), [false]);
        let share = hits(FaultMatch::probability(0.1), 10_000);
        let hit = share.iter().filter(|hit| **hit).count();
        assert!((800..1200).contains(&hit), "{hit}");
        assert_eq!(
            share,
            hits(FaultMatch::probability(0.1), 10_000),
            "the same seed picks the same events"
        );
    }

    #[test]
    fn first_rule_wins_and_later_rules_still_count() {
        let script = FaultScript::one(FaultPoint::Send, FaultMatch::nth(1), Fault::LoseAnswer).and(
            FaultPoint::Send,
            FaultMatch::nth(2),
            Fault::NeverAnswer,
        );
        let faults = Faults::new(script, 1);
        assert_eq!(
            faults.pick(FaultPoint::Send, Provider::Meta, &[], "text"),
            Some(&Fault::LoseAnswer)
        );
        assert_eq!(
            faults.pick(FaultPoint::Send, Provider::Meta, &[], "text"),
            Some(&Fault::NeverAnswer)
        );
        assert_eq!(
            faults.pick(FaultPoint::Webhook, Provider::Meta, &[], "text"),
            None
        );
    }

    #[test]
    fn scripts_refuse_unknown_words() {
        let bad = r#"{"rules":[{"on":"send","match":{"nht":[1]},"do":"lose_answer"}]}"#;
        assert!(serde_json::from_str::<FaultScript>(bad).is_err());
        let good = r#"{"rules":[{"on":"status","match":{"type":"delivered"},"do":{"duplicate":{"times":2}}}]}"#;
        let script: FaultScript = serde_json::from_str(good).unwrap();
        assert_eq!(
            serde_json::from_str::<FaultScript>(&serde_json::to_string(&script).unwrap()).unwrap(),
            script
        );
    }
}
