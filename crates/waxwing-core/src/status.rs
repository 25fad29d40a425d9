//! The one status ladder. Statuses arrive in any order and more than once; merging them only climbs.

use serde::{Deserialize, Serialize};

/// The status of an outbound message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// Waits for its turn, its time or a retry.
    Queued,
    /// A worker has claimed it; the provider may or may not have it yet.
    Sending,
    /// The provider accepted it.
    Sent,
    /// It failed for good; the error says why.
    Failed,
    /// It reached the phone.
    Delivered,
    /// The person saw it.
    Read,
    /// Taken back before it was sent.
    Cancelled,
    /// Its time ran out before it was sent.
    Expired,
    /// An inbound message: it has arrived, nothing more can happen to it.
    Received,
}

impl MessageStatus {
    /// All statuses, in ladder order.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Failed,
        Self::Delivered,
        Self::Read,
        Self::Cancelled,
        Self::Expired,
        Self::Received,
    ];

    /// The word in the API and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Received => "received",
        }
    }

    /// Reads the word of [`MessageStatus::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The height on the ladder. `failed` stands above `sent` (a failure after acceptance is normal) and below
    /// `delivered` (a person with several devices can fail on one and receive on the other; protocols/meta.md 6).
    #[must_use]
    pub const fn rank(self) -> i16 {
        match self {
            Self::Queued => 0,
            Self::Sending => 10,
            Self::Sent => 20,
            Self::Failed => 30,
            Self::Delivered => 40,
            Self::Read => 50,
            Self::Cancelled => 60,
            Self::Expired => 61,
            Self::Received => 70,
        }
    }

    /// The status after another one was heard: the higher of the two. Commutative, associative and idempotent, so the
    /// order and number of webhooks do not matter.
    #[must_use]
    pub const fn merge(self, other: Self) -> Self {
        if other.rank() > self.rank() {
            other
        } else {
            self
        }
    }
}

/// What a provider's status webhook says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// The provider accepted and sent it on.
    Sent,
    /// It reached the phone.
    Delivered,
    /// The person saw it.
    Read,
    /// A voice message was played; implies read.
    Played,
    /// It failed.
    Failed,
}

impl DeliveryStatus {
    /// Reads the provider's word; `None` for words that change nothing (`deleted`, unknown ones).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "sent" => Self::Sent,
            "delivered" => Self::Delivered,
            "read" => Self::Read,
            "played" => Self::Played,
            "failed" => Self::Failed,
            _ => return None,
        })
    }

    /// The word in the store and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }

    /// The rung of the ladder that this status reaches.
    #[must_use]
    pub const fn message_status(self) -> MessageStatus {
        match self {
            Self::Sent => MessageStatus::Sent,
            Self::Delivered => MessageStatus::Delivered,
            Self::Read | Self::Played => MessageStatus::Read,
            Self::Failed => MessageStatus::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_status() -> impl Strategy<Value = MessageStatus> {
        proptest::sample::select(MessageStatus::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn merge_is_a_lattice(a in any_status(), b in any_status(), c in any_status()) {
            prop_assert_eq!(a.merge(b), b.merge(a));
            prop_assert_eq!(a.merge(b).merge(c), a.merge(b.merge(c)));
            prop_assert_eq!(a.merge(a), a);
            prop_assert!(a.merge(b).rank() >= a.rank());
        }
    }

    #[test]
    fn words_round_trip_and_ranks_are_distinct() {
        for (index, status) in MessageStatus::ALL.into_iter().enumerate() {
            assert_eq!(MessageStatus::parse(status.as_str()), Some(status));
            assert!(
                MessageStatus::ALL[..index]
                    .iter()
                    .all(|lower| lower.rank() < status.rank())
            );
        }
    }
}
