//! Channels: which provider a sending number is at, and its credentials by name.

use std::collections::BTreeMap;
use std::fmt;

use crate::secret::Secret;

/// The provider of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelKind {
    /// Meta's Cloud API.
    Meta,
    /// Twilio.
    Twilio,
    /// 360dialog.
    Dialog360,
    /// MSG91.
    Msg91,
}

impl ChannelKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Meta, Self::Twilio, Self::Dialog360, Self::Msg91];

    /// The word in the store, in the API and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Twilio => "twilio",
            Self::Dialog360 => "dialog360",
            Self::Msg91 => "msg91",
        }
    }

    /// Reads the word of [`ChannelKind::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The name of the credential that authenticates the provider's webhooks towards us.
    #[must_use]
    pub const fn webhook_credential(self) -> &'static str {
        match self {
            Self::Meta => credential::APP_SECRET,
            Self::Twilio => credential::AUTH_TOKEN,
            Self::Dialog360 | Self::Msg91 => credential::WEBHOOK_SECRET,
        }
    }

    /// The name of the credential without which nothing can be sent.
    #[must_use]
    pub const fn sending_credential(self) -> &'static str {
        match self {
            Self::Meta => credential::ACCESS_TOKEN,
            Self::Twilio => credential::AUTH_TOKEN,
            Self::Dialog360 => credential::API_KEY,
            Self::Msg91 => credential::AUTH_KEY,
        }
    }

    /// The names of all credentials that a channel of this kind may have.
    #[must_use]
    pub const fn credentials(self) -> &'static [&'static str] {
        match self {
            Self::Meta => &[
                credential::ACCESS_TOKEN,
                credential::APP_SECRET,
                credential::VERIFY_TOKEN,
                credential::REGISTRATION_PIN,
            ],
            Self::Twilio => &[
                credential::AUTH_TOKEN,
                credential::SECONDARY_AUTH_TOKEN,
                credential::API_KEY_SID,
                credential::API_KEY_SECRET,
                credential::MESSAGING_SERVICE_SID,
                credential::SHARED_KEYS,
            ],
            Self::Dialog360 => &[credential::API_KEY, credential::WEBHOOK_SECRET],
            Self::Msg91 => &[credential::AUTH_KEY, credential::WEBHOOK_SECRET],
        }
    }

    /// Stands for the provider's id of a number while nobody has told it (360dialog: the key alone is enough to send).
    #[must_use]
    pub fn unknown_sender(name: &str) -> String {
        format!("{UNKNOWN_SENDER}{name}")
    }

    /// Whether a sender id is one of [`ChannelKind::unknown_sender`].
    #[must_use]
    pub fn is_unknown_sender(sender_id: &str) -> bool {
        sender_id.starts_with(UNKNOWN_SENDER)
    }

    /// Whether the address of a webhook names the channel, because the provider does not sign what it sends
    /// (protocols/360dialog.md 4, protocols/msg91.md 4).
    #[must_use]
    pub const fn is_named_by_address(self) -> bool {
        matches!(self, Self::Dialog360 | Self::Msg91)
    }
}

/// How fast a channel may send, where that is not the provider's usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChannelLimits {
    /// Messages a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_second: Option<u32>,
    /// Calls to the provider at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Messages to one contact that may go at once; after them one in six seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact_burst: Option<u32>,
}

/// Not a form that any provider gives to an id.
const UNKNOWN_SENDER: &str = "unknown:";

/// The names of credentials.
pub mod credential {
    /// Meta: the token that sends.
    pub const ACCESS_TOKEN: &str = "accessToken";
    /// Meta: signs the webhooks of the app.
    pub const APP_SECRET: &str = "appSecret";
    /// Meta: the token of the webhook handshake.
    pub const VERIFY_TOKEN: &str = "verifyToken";
    /// Meta: the six digits with which the number is registered, its second factor at WhatsApp.
    pub const REGISTRATION_PIN: &str = "registrationPin";
    /// Twilio: sends, and signs webhooks.
    pub const AUTH_TOKEN: &str = "authToken";
    /// Twilio: the other token while they are being exchanged; accepted in signatures.
    pub const SECONDARY_AUTH_TOKEN: &str = "secondaryAuthToken";
    /// Twilio: an API key that sends in place of the auth token.
    pub const API_KEY_SID: &str = "apiKeySid";
    /// Twilio: the secret of the API key.
    pub const API_KEY_SECRET: &str = "apiKeySecret";
    /// Twilio: the messaging service that chooses the number to send from; no secret, but kept with them.
    pub const MESSAGING_SERVICE_SID: &str = "messagingServiceSid";
    /// Twilio: shared keys that sign webhooks, as a JSON object of key id and secret. While any is set, a request that is
    /// not signed with one of them is refused.
    pub const SHARED_KEYS: &str = "sharedKeys";
    /// 360dialog: the key of the number.
    pub const API_KEY: &str = "apiKey";
    /// MSG91: the key of the account.
    pub const AUTH_KEY: &str = "authKey";
    /// 360dialog and MSG91: the header of our own making that authenticates their webhooks.
    pub const WEBHOOK_SECRET: &str = "webhookSecret";
}

/// The credentials of a channel by name, such as `accessToken`. Their values never show.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials(BTreeMap<String, Secret>);

impl Credentials {
    /// No credentials.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more credential.
    #[must_use]
    pub fn with(mut self, name: &str, value: Secret) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a credential; an empty value takes it away.
    pub fn set(&mut self, name: &str, value: Secret) {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// A credential.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// The names of the credentials that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Names and values, for the cipher.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl FromIterator<(String, Secret)> for Credentials {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(pairs: I) -> Self {
        let mut credentials = Self::new();
        for (name, value) in pairs {
            credentials.set(&name, value);
        }
        credentials
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_knows_its_credentials() {
        for kind in ChannelKind::ALL {
            assert_eq!(ChannelKind::parse(kind.as_str()), Some(kind));
            let known = kind.credentials();
            assert!(known.contains(&kind.webhook_credential()));
            assert!(known.contains(&kind.sending_credential()));
        }
    }

    #[test]
    fn values_do_not_show() {
        let credentials = Credentials::new().with(credential::API_KEY, Secret::new("topsecret"));
        assert!(!format!("{credentials:?}").contains("topsecret"));
        let gone = credentials
            .clone()
            .with(credential::API_KEY, Secret::new(""));
        assert_eq!(gone.names().count(), 0);
        let pairs = credentials
            .iter()
            .map(|(name, value)| (name.to_owned(), value.clone()));
        assert_eq!(pairs.collect::<Credentials>(), credentials);
    }
}
