//! The words of message templates: status, quality, category. The one place where providers' words become ours.

use serde::{Deserialize, Serialize};

/// Where a message template stands at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateStatus {
    /// Only here; the provider has not seen it.
    Draft,
    /// Handed in; WhatsApp looks at it.
    Pending,
    /// It can be sent.
    Approved,
    /// WhatsApp refused it.
    Rejected,
    /// People did not like it, or it is being paced; it cannot be sent for a while.
    Paused,
    /// Paused too often; it cannot be sent any more.
    Disabled,
    /// Its refusal is being looked at again.
    InAppeal,
    /// It goes when the last message that uses it has arrived.
    PendingDeletion,
    /// The provider does not have it (any more).
    Deleted,
    /// Nobody used it for long.
    Archived,
    /// The account has too many.
    LimitExceeded,
}

impl TemplateStatus {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Draft,
        Self::Pending,
        Self::Approved,
        Self::Rejected,
        Self::Paused,
        Self::Disabled,
        Self::InAppeal,
        Self::PendingDeletion,
        Self::Deleted,
        Self::Archived,
        Self::LimitExceeded,
    ];

    /// The word in the API and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::InAppeal => "in_appeal",
            Self::PendingDeletion => "pending_deletion",
            Self::Deleted => "deleted",
            Self::Archived => "archived",
            Self::LimitExceeded => "limit_exceeded",
        }
    }

    /// Reads the word of [`TemplateStatus::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the provider sends it.
    #[must_use]
    pub const fn can_be_sent(self) -> bool {
        matches!(self, Self::Approved)
    }

    /// Whether it can be handed in as a new one.
    #[must_use]
    pub const fn can_be_submitted(self) -> bool {
        matches!(self, Self::Draft | Self::Deleted)
    }

    /// Whether its components can be changed at the provider (protocols/meta.md 15).
    #[must_use]
    pub const fn can_be_edited(self) -> bool {
        matches!(self, Self::Approved | Self::Rejected | Self::Paused)
    }

    /// Why a template in this status cannot be sent, and what to do; `None` when it can.
    #[must_use]
    pub const fn why_not_sent(self) -> Option<&'static str> {
        Some(match self {
            Self::Approved => return None,
            Self::Draft => "is a draft; submit it and wait for its approval",
            Self::Pending => "is waiting for its approval",
            Self::Rejected => "was rejected; correct it and submit it again",
            Self::Paused => {
                "is paused by WhatsApp because of its quality or its pace; wait until it is active again, or use another"
            }
            Self::Disabled => "was disabled by WhatsApp; make a new one with another name",
            Self::InAppeal => "was rejected and is in appeal",
            Self::PendingDeletion => "is being deleted",
            Self::Deleted => "was deleted at the provider",
            Self::Archived => "is archived by WhatsApp; take it out of the archive first",
            Self::LimitExceeded => "is over the number of templates that the account may have",
        })
    }

    /// The status that a provider's word stands for, when the template had `self` before. Meta writes upper case,
    /// 360dialog lower case, Twilio words of its own for approvals, MSG91 either. A word that says something else about
    /// the template (`FLAGGED`, `LOCKED`) or that nobody knows leaves it where it is: `None`.
    #[must_use]
    pub fn after(self, word: &str) -> Option<Self> {
        let word = word.trim().to_ascii_lowercase();
        Some(match word.as_str() {
            "approved" | "active" | "enabled" | "reinstated" | "unarchived" | "unpaused" => {
                Self::Approved
            }
            "pending" | "submitted" | "received" | "created" | "in_review" => Self::Pending,
            "rejected" | "failed" => Self::Rejected,
            "paused" => Self::Paused,
            "disabled" => Self::Disabled,
            "in_appeal" => Self::InAppeal,
            "pending_deletion" => Self::PendingDeletion,
            "deleted" => Self::Deleted,
            "archived" => Self::Archived,
            "limit_exceeded" => Self::LimitExceeded,
            // Twilio: it exists there, but was never handed in.
            "unsubmitted" => Self::Draft,
            _ => return None,
        })
    }

    /// The status that a refused send reveals, by the provider's code (protocols/meta.md 18, protocols/twilio.md 10).
    /// `None` when the code says nothing about the template itself, such as wrong parameters.
    #[must_use]
    pub fn revealed_by(code: &str) -> Option<Self> {
        Some(match code {
            // Does not exist in that language, or is not approved yet. Twilio: no such ContentSid, or none of the account.
            "132001" | "20404" | "21655" | "63027" => Self::Deleted,
            "132015" | "63041" => Self::Paused,
            "132016" => Self::Disabled,
            _ => return None,
        })
    }
}

/// How people like a message template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateQuality {
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// Well.
    Green,
    /// Some blocked or reported it.
    Yellow,
    /// Many did; it will be paused.
    Red,
}

impl TemplateQuality {
    const ALL: [Self; 4] = [Self::Unknown, Self::Green, Self::Yellow, Self::Red];

    /// The word in the API and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }

    /// Reads a provider's word or ours; what is not known is [`TemplateQuality::Unknown`].
    #[must_use]
    pub fn read(word: &str) -> Self {
        let is = |quality: &Self| quality.as_str().eq_ignore_ascii_case(word.trim());
        Self::ALL.into_iter().find(is).unwrap_or_default()
    }
}

/// What a message template is for; decides about price and rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TemplateCategory {
    /// Offers and everything that is not one of the others.
    Marketing,
    /// About something that the person ordered, booked or asked for.
    Utility,
    /// One-time codes.
    Authentication,
}

impl TemplateCategory {
    const ALL: [Self; 3] = [Self::Marketing, Self::Utility, Self::Authentication];

    /// Meta's word, used in the API and in the store too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "MARKETING",
            Self::Utility => "UTILITY",
            Self::Authentication => "AUTHENTICATION",
        }
    }

    /// Reads Meta's word in any case. `TRANSACTIONAL` is what `UTILITY` was called before.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.trim();
        if word.eq_ignore_ascii_case("TRANSACTIONAL") {
            return Some(Self::Utility);
        }
        let is = |category: &Self| category.as_str().eq_ignore_ascii_case(word);
        Self::ALL.into_iter().find(is)
    }

    /// How many seconds a message of this category may be kept for a phone that is off (protocols/meta.md 15). `-1`
    /// stands for 30 days.
    #[must_use]
    pub const fn ttl_seconds(self) -> std::ops::RangeInclusive<i64> {
        match self {
            Self::Authentication => 30..=900,
            Self::Utility => 30..=43_200,
            Self::Marketing => 43_200..=2_592_000,
        }
    }
}

/// A language code as WhatsApp's API writes it: webhooks have `en-US` where the API has `en_US`.
#[must_use]
pub fn fold_language(code: &str) -> String {
    code.trim().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_all_providers_become_ours() {
        let cases = [
            ("APPROVED", Some(TemplateStatus::Approved)),
            ("approved", Some(TemplateStatus::Approved)),
            ("REINSTATED", Some(TemplateStatus::Approved)),
            ("UNARCHIVED", Some(TemplateStatus::Approved)),
            ("PENDING", Some(TemplateStatus::Pending)),
            ("submitted", Some(TemplateStatus::Pending)),
            ("received", Some(TemplateStatus::Pending)),
            ("unsubmitted", Some(TemplateStatus::Draft)),
            ("REJECTED", Some(TemplateStatus::Rejected)),
            ("PAUSED", Some(TemplateStatus::Paused)),
            ("disabled", Some(TemplateStatus::Disabled)),
            ("IN_APPEAL", Some(TemplateStatus::InAppeal)),
            ("PENDING_DELETION", Some(TemplateStatus::PendingDeletion)),
            ("DELETED", Some(TemplateStatus::Deleted)),
            ("ARCHIVED", Some(TemplateStatus::Archived)),
            ("LIMIT_EXCEEDED", Some(TemplateStatus::LimitExceeded)),
            ("FLAGGED", None),
            ("LOCKED", None),
            ("a word of next year", None),
        ];
        for (word, expected) in cases {
            assert_eq!(TemplateStatus::Pending.after(word), expected, "{word}");
        }
    }

    #[test]
    fn only_approved_ones_are_sent_and_all_others_say_why() {
        for status in TemplateStatus::ALL {
            assert_eq!(TemplateStatus::parse(status.as_str()), Some(status));
            assert_eq!(status.can_be_sent(), status.why_not_sent().is_none());
        }
        assert_eq!(
            TemplateStatus::revealed_by("132015"),
            Some(TemplateStatus::Paused)
        );
        assert_eq!(TemplateStatus::revealed_by("132000"), None);
    }

    #[test]
    fn categories_and_qualities_are_read_in_any_case() {
        assert_eq!(
            TemplateCategory::parse("utility"),
            Some(TemplateCategory::Utility)
        );
        assert_eq!(
            TemplateCategory::parse("Transactional"),
            Some(TemplateCategory::Utility)
        );
        assert_eq!(TemplateCategory::parse("OTP"), None);
        assert_eq!(TemplateQuality::read("GREEN"), TemplateQuality::Green);
        assert_eq!(TemplateQuality::read("?"), TemplateQuality::Unknown);
        assert_eq!(fold_language("en-US"), "en_US");
    }
}
