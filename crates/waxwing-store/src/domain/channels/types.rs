//! The words of channels and their credentials.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::secret::Secret;
use zeroize::Zeroizing;

use crate::domain::crypto::{Keyring, Place};
use crate::{Cell, FromColumn, StoreError, Value};

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

    /// The word in the store and in the API.
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
}

impl From<ChannelKind> for Value {
    fn from(kind: ChannelKind) -> Self {
        Self::from(kind.as_str())
    }
}

impl FromColumn for ChannelKind {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            Cell::Text(text) => {
                Self::parse(text).ok_or_else(|| StoreError::corrupt("an unknown kind of channel"))
            }
            other => Err(other.mismatch("a kind of channel")),
        }
    }
}

/// Whether a channel works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelStatus {
    /// It sends and receives.
    Active,
    /// It receives, but the provider refuses what it sends; a person has to mend it.
    Broken,
    /// It was switched off. Its number is free for another channel.
    Disabled,
}

impl ChannelStatus {
    /// The word in the store and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Broken => "broken",
            Self::Disabled => "disabled",
        }
    }
}

impl From<ChannelStatus> for Value {
    fn from(status: ChannelStatus) -> Self {
        Self::from(status.as_str())
    }
}

impl FromColumn for ChannelStatus {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        let Cell::Text(text) = cell else {
            return Err(cell.mismatch("a status of a channel"));
        };
        [Self::Active, Self::Broken, Self::Disabled]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| StoreError::corrupt("an unknown status of a channel"))
    }
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

    pub(super) fn seal(
        &self,
        keyring: &Keyring,
        tenant: TenantId,
        channel: ChannelId,
    ) -> Result<Vec<u8>, StoreError> {
        let plain: BTreeMap<&str, &str> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        let json = serde_json::to_vec(&plain).map(Zeroizing::new);
        let json =
            json.map_err(|_| StoreError::Driver("credentials without a JSON form".to_owned()))?;
        Ok(keyring.seal(tenant, place(&channel.uuid()), &json))
    }

    pub(super) fn open(
        keyring: &Keyring,
        tenant: TenantId,
        channel: ChannelId,
        sealed: &[u8],
    ) -> Result<Self, StoreError> {
        let json = keyring.open(tenant, place(&channel.uuid()), sealed)?;
        let plain = serde_json::from_slice(&json);
        plain
            .map(Self)
            .map_err(|_| StoreError::corrupt("credentials of an unexpected form"))
    }
}

fn place(channel: &Uuid) -> Place<'_> {
    Place::new("channels", "credentials_sealed", channel)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
