//! The one classification of what can go wrong with a message, for every provider.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a failure means for the message, the contact and the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// A passing fault; surely not sent. Tried again with backoff.
    Retry,
    /// The provider asks to come back later, at a time of its own.
    Later,
    /// Too fast, for one of several scopes; tried again when the scope allows.
    Throttled,
    /// The customer service window is closed; only a message template gets through.
    WindowClosed,
    /// The person cannot be reached on WhatsApp.
    NotReachable,
    /// The person does not want marketing from this business.
    OptedOut,
    /// WhatsApp limits marketing to this person for now; never repeated blindly.
    MarketingLimited,
    /// The message template is missing, paused or used wrongly.
    Template,
    /// A media file is missing or of a wrong kind.
    Media,
    /// The access token is missing, expired or lacks rights: the channel stops.
    Credentials,
    /// The sender's number or account is blocked, unpaid or not registered: the channel stops.
    ChannelBroken,
    /// The provider refuses this message for good.
    Permanent,
    /// Nobody knows whether the provider accepted it.
    Unknown,
}

impl ErrorClass {
    /// All classes.
    pub const ALL: [Self; 13] = [
        Self::Retry,
        Self::Later,
        Self::Throttled,
        Self::WindowClosed,
        Self::NotReachable,
        Self::OptedOut,
        Self::MarketingLimited,
        Self::Template,
        Self::Media,
        Self::Credentials,
        Self::ChannelBroken,
        Self::Permanent,
        Self::Unknown,
    ];

    /// The word in the API, the store and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Later => "later",
            Self::Throttled => "throttled",
            Self::WindowClosed => "window_closed",
            Self::NotReachable => "not_reachable",
            Self::OptedOut => "opted_out",
            Self::MarketingLimited => "marketing_limited",
            Self::Template => "template",
            Self::Media => "media",
            Self::Credentials => "credentials",
            Self::ChannelBroken => "channel_broken",
            Self::Permanent => "permanent",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word of [`ErrorClass::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }

    /// What a person can do about it, in one sentence.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Retry => {
                "A passing fault at the provider. Retry it; if it stays, look at the provider's status page."
            }
            Self::Later => "The provider asked for a pause. Retry it after some minutes.",
            Self::Throttled => {
                "Sent faster than the provider allows. Retry it later, or spread the sends."
            }
            Self::WindowClosed => {
                "The contact's last message is more than 24 hours old. Send an approved message template instead."
            }
            Self::NotReachable => {
                "The number is not on WhatsApp or cannot receive this. Check the number."
            }
            Self::OptedOut => {
                "The contact opted out of marketing. Send nothing promotional until they opt in again."
            }
            Self::MarketingLimited => {
                "WhatsApp limits marketing to this contact. Wait at least 24 hours."
            }
            Self::Template => {
                "Check the message template: its name, language, status and parameters."
            }
            Self::Media => {
                "Check the media: it must be reachable, of an allowed type and not too large."
            }
            Self::Credentials => {
                "The channel's access token is not accepted. Set a new token, then test the channel."
            }
            Self::ChannelBroken => {
                "The sender's number or account is blocked. Look at it in the provider's console."
            }
            Self::Permanent => {
                "The provider refuses this message. Correct it before sending it again."
            }
            Self::Unknown => {
                "The provider gave no answer, so it may have been sent. Look at the phone or wait for a status first."
            }
        }
    }
}

/// What a provider's rate limit applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottleScope {
    /// Every call of the provider app.
    App,
    /// The business account.
    Account,
    /// The sending number.
    Channel,
    /// This sender to this recipient.
    Recipient,
    /// The sender's quality rating.
    Quality,
}

/// An error that a provider reported, without any personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderError {
    /// What it means.
    pub class: ErrorClass,
    /// The provider's own code, as text; absent when there was no error object.
    pub code: Option<String>,
    /// The provider's own words, with ids and digits that look personal removed.
    pub message: String,
}

impl ProviderError {
    /// An error of our own making, without a provider's code.
    #[must_use]
    pub fn own(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            code: None,
            message: message.into(),
        }
    }
}

/// How one attempt to send ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The provider answered that it accepted the message.
    Accepted(Accepted),
    /// The provider refused for a rate limit; surely not sent.
    Throttled {
        /// What has to slow down.
        scope: ThrottleScope,
        /// How long the provider asked to wait.
        after: Option<Duration>,
        /// The provider's error.
        error: ProviderError,
    },
    /// Surely not sent; worth another attempt.
    Retry {
        /// How long the provider asked to wait.
        after: Option<Duration>,
        /// At most this many attempts in all, when the code deserves fewer than usual.
        attempts_max: Option<u32>,
        /// What happened.
        error: ProviderError,
    },
    /// The provider refused this message for good.
    Rejected(ProviderError),
    /// The channel cannot send at all; surely not sent. The message stays queued.
    ChannelBroken(ProviderError),
    /// Bytes left and no readable answer came: nobody knows. Never sent again blindly.
    Unknown(ProviderError),
}

/// What the provider said when it accepted a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// The provider's id; absent when the answer had none that could be read.
    pub provider_id: Option<crate::identity::ProviderMessageId>,
    /// The ids of the recipient that the answer taught us.
    pub recipient: crate::identity::Identity,
    /// The provider holds it back for now (template pacing).
    pub held: bool,
}
