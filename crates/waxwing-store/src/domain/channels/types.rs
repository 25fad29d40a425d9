//! The words of channels and their credentials.

use std::collections::BTreeMap;

use uuid::Uuid;
use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::secret::Secret;
use zeroize::Zeroizing;

use crate::domain::crypto::{Keyring, Place};
use crate::{Cell, FromColumn, StoreError, Value};

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

/// Seals credentials for the row of their channel.
pub(super) fn seal_credentials(
    credentials: &Credentials,
    keyring: &Keyring,
    tenant: TenantId,
    channel: ChannelId,
) -> Result<Vec<u8>, StoreError> {
    let plain: BTreeMap<&str, &str> = credentials
        .iter()
        .map(|(name, value)| (name, value.expose()))
        .collect();
    let json = serde_json::to_vec(&plain).map(Zeroizing::new);
    let json =
        json.map_err(|_| StoreError::Driver("credentials without a JSON form".to_owned()))?;
    Ok(keyring.seal(tenant, place(&channel.uuid()), &json))
}

/// Opens the credentials of a channel.
pub(super) fn open_credentials(
    keyring: &Keyring,
    tenant: TenantId,
    channel: ChannelId,
    sealed: &[u8],
) -> Result<Credentials, StoreError> {
    let json = keyring.open(tenant, place(&channel.uuid()), sealed)?;
    let plain: Result<BTreeMap<String, Secret>, _> = serde_json::from_slice(&json);
    plain
        .map(|pairs| pairs.into_iter().collect())
        .map_err(|_| StoreError::corrupt("credentials of an unexpected form"))
}

fn place(channel: &Uuid) -> Place<'_> {
    Place::new("channels", "credentials_sealed", channel)
}
