//! Things that exist at a provider and are used by many messages: made once, then found here by what they are made of.

use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::time::Timestamp;

use super::crypto::{BlindPurpose, Keyring};
use crate::{StoreError, Tx, params, statements};

statements! {
    FIND [tenant] = "SELECT reference FROM provider_assets WHERE tenant_id = $1 AND channel_id = $2 AND key_hash = $3 AND expires_at > $4";
    KEEP [tenant] = "INSERT INTO provider_assets (tenant_id, channel_id, key_hash, reference, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6) \
        ON CONFLICT (tenant_id, channel_id, key_hash) DO UPDATE SET reference = excluded.reference, created_at = excluded.created_at, \
        expires_at = excluded.expires_at";
    FORGET [tenant] = "DELETE FROM provider_assets WHERE tenant_id = $1 AND channel_id = $2 AND key_hash = $3";
}

/// The name of an asset: a keyed hash of what it is made of, which may be what a tenant wrote.
#[must_use]
pub fn key_hash(keyring: &Keyring, tenant: TenantId, key: &str) -> Vec<u8> {
    keyring.blind(tenant, BlindPurpose::Asset, &[key.as_bytes()])
}

/// The provider's id of an asset that is still good.
///
/// # Errors
/// What the database says.
pub fn find(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    key_hash: &[u8],
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    tx.query_opt(&FIND, &params![tenant, channel, key_hash.to_vec(), now])
}

/// Keeps the provider's id of an asset until it is no longer good. Of two that were made at the same time the later
/// one stays.
///
/// # Errors
/// What the database says.
pub fn keep(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    key_hash: &[u8],
    reference: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let row = params![
        tenant,
        channel,
        key_hash.to_vec(),
        reference,
        now,
        expires_at
    ];
    tx.execute(&KEEP, &row).map(|_| ())
}

/// Forgets an asset that the provider no longer knows.
///
/// # Errors
/// What the database says.
pub fn forget(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    key_hash: &[u8],
) -> Result<(), StoreError> {
    tx.execute(&FORGET, &params![tenant, channel, key_hash.to_vec()])
        .map(|_| ())
}
