//! Calls: one entry on a conversation's timeline for each, which moves forward with what the provider tells
//! (protocols/meta.md 10). Waxwing does not take part in the call itself.

use serde::{Deserialize, Serialize};

use crate::identity::{Identity, ProviderMessageId};
use crate::time::Timestamp;

/// Error codes that are kept of one call.
const CODES_MAX: usize = 8;

/// How far a call has come. The order is the ladder: news of a call only ever move it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// It rings.
    Ringing,
    /// It was answered.
    Accepted,
    /// It ended and nobody had answered.
    Missed,
    /// It could not be made.
    Failed,
    /// The called one did not want it.
    Rejected,
    /// Both talked, and it ended.
    Completed,
}

impl CallState {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Accepted => "accepted",
            Self::Missed => "missed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Completed => "completed",
        }
    }
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// How far it has come.
    pub state: CallState,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How long both talked, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u64>,
    /// The provider's error codes, each once, in ascending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<i64>,
}

impl Call {
    /// A call of which nothing but its state is known.
    #[must_use]
    pub const fn new(state: CallState) -> Self {
        Self {
            state,
            started_at: None,
            ended_at: None,
            duration_seconds: None,
            codes: Vec::new(),
        }
    }

    /// A call that has ended. Meta gives start and duration only of a call that was answered; `failed` is its word for
    /// all others and also what it says of a contact's call that nobody took.
    #[must_use]
    pub fn ended(mut self, by_contact: bool, failed: bool) -> Self {
        let talked =
            self.started_at.is_some() || self.duration_seconds.is_some_and(|time| time > 0);
        self.state = if talked {
            CallState::Completed
        } else if failed && (!by_contact || !self.codes.is_empty()) {
            CallState::Failed
        } else {
            CallState::Missed
        };
        self
    }

    /// What is known after news of the same call. Their order does not matter, nor whether they come twice.
    #[must_use]
    pub fn with(mut self, news: &Self) -> Self {
        self.state = self.state.max(news.state);
        self.started_at = match (self.started_at, news.started_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.ended_at = self.ended_at.max(news.ended_at);
        self.duration_seconds = self.duration_seconds.max(news.duration_seconds);
        self.codes.extend(&news.codes);
        self.codes.sort_unstable();
        self.codes.dedup();
        self.codes.truncate(CODES_MAX);
        self
    }
}

/// News of a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallNews {
    /// The provider's id of the call.
    pub provider_id: ProviderMessageId,
    /// The provider's word for what happened.
    pub word: String,
    /// Whether the contact called us, or we them.
    pub by_contact: bool,
    /// The contact.
    pub person: Identity,
    /// The name the person gave themselves, at most 200 characters.
    pub profile_name: Option<String>,
    /// When it happened.
    pub at: Option<Timestamp>,
    /// What is known of the call now.
    pub call: Call,
    /// The data that whoever placed the call gave with it.
    pub callback_data: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn how_a_call_ends() {
        let rang = || Call::new(CallState::Ringing);
        let talked = || Call {
            duration_seconds: Some(12),
            ..rang()
        };
        let broken = || Call {
            codes: vec![138_000],
            ..rang()
        };
        let cases = [
            (talked().ended(true, false), CallState::Completed),
            (talked().ended(false, true), CallState::Completed),
            (rang().ended(true, false), CallState::Missed),
            (rang().ended(true, true), CallState::Missed),
            (rang().ended(false, true), CallState::Failed),
            (broken().ended(true, true), CallState::Failed),
        ];
        for (number, (call, state)) in cases.into_iter().enumerate() {
            assert_eq!(call.state, state, "case {number}");
        }
    }

    #[test]
    fn a_call_survives_the_store() {
        let call = Call {
            state: CallState::Completed,
            started_at: Some(at(1_000)),
            ended_at: Some(at(1_090)),
            duration_seconds: Some(90),
            codes: vec![7],
        };
        let json = serde_json::to_value(&call).unwrap();
        assert_eq!(json["state"], "completed");
        assert_eq!(serde_json::from_value::<Call>(json).unwrap(), call);
    }

    fn any_call() -> impl Strategy<Value = Call> {
        let state = prop::sample::select(vec![
            CallState::Ringing,
            CallState::Accepted,
            CallState::Missed,
            CallState::Failed,
            CallState::Rejected,
            CallState::Completed,
        ]);
        let time = || prop::option::of((0i64..1_000).prop_map(at));
        let codes = prop::collection::btree_set(0i64..4, 0..3);
        (state, time(), time(), prop::option::of(0u64..100), codes).prop_map(
            |(state, started_at, ended_at, duration_seconds, codes)| Call {
                state,
                started_at,
                ended_at,
                duration_seconds,
                codes: codes.into_iter().collect(),
            },
        )
    }

    proptest! {
        #[test]
        fn neither_order_nor_repetition_matters(one in any_call(), two in any_call(), three in any_call()) {
            let forth = one.clone().with(&two).with(&three);
            prop_assert_eq!(&three.clone().with(&one).with(&two), &forth);
            prop_assert_eq!(&forth.clone().with(&two), &forth);
            prop_assert!(forth.state >= one.state);
        }
    }
}
