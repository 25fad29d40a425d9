//! Channels: the sending numbers of tenants, their sealed credentials, and which number belongs to whom.
//!
//! A channel that is not disabled has exactly one row in `channel_routes`, which is how two tenants are kept from
//! having the same number. Every change of a channel raises the epoch `channels`, by which nodes notice it.

mod types;

use uuid::Uuid;
use waxwing_core::channel::{ChannelKind, ChannelLimits, Credentials};
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::secret::Secret;
use waxwing_core::time::Timestamp;

pub use self::types::ChannelStatus;
use self::types::{open_credentials, seal_credentials};
use super::crypto::{BlindPurpose, Keyring};
use super::keys;
use crate::{Json, StoreError, Tx, Value, params, row, statements};

statements! {
    INSERT_CHANNEL [tenant] =
        "INSERT INTO channels (tenant_id, id, kind, name, sender_id, account_id, display_phone, credentials_sealed, \
         secret_hash, status, paused_until, circuit_until, limits, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'active', 0, 0, '{}', $10, $10)";
    FIND_CHANNEL [tenant] =
        "SELECT tenant_id, id, kind, name, sender_id, account_id, display_phone, credentials_sealed, secret_hash, status, \
         status_reason, paused_until, circuit_until, limits, last_webhook_at, created_at, updated_at FROM channels \
         WHERE tenant_id = $1 AND id = $2";
    LOCK_CHANNEL [tenant] =
        "SELECT tenant_id, id, kind, name, sender_id, account_id, display_phone, credentials_sealed, secret_hash, status, \
         status_reason, paused_until, circuit_until, limits, last_webhook_at, created_at, updated_at FROM channels \
         WHERE tenant_id = $1 AND id = $2 {lock}";
    LIST_CHANNELS [tenant] =
        "SELECT tenant_id, id, kind, name, sender_id, account_id, display_phone, credentials_sealed, secret_hash, status, \
         status_reason, paused_until, circuit_until, limits, last_webhook_at, created_at, updated_at FROM channels \
         WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    ALL_CHANNELS [global, scan: "the directory of all nodes is all channels; read when one changed"] =
        "SELECT tenant_id, id, kind, name, sender_id, account_id, display_phone, credentials_sealed, secret_hash, status, \
         status_reason, paused_until, circuit_until, limits, last_webhook_at, created_at, updated_at FROM channels \
         WHERE status <> 'disabled'";
    UPDATE_CHANNEL [tenant] =
        "UPDATE channels SET name = $3, account_id = $4, display_phone = $5, credentials_sealed = $6, secret_hash = $7, \
         status = $8, status_reason = $9, updated_at = $10, limits = $11 WHERE tenant_id = $1 AND id = $2";
    SET_STATUS [tenant] =
        "UPDATE channels SET status = $3, status_reason = $4, updated_at = $5 \
         WHERE tenant_id = $1 AND id = $2 AND status <> 'disabled'";
    NOTE_WEBHOOK [tenant] = "UPDATE channels SET last_webhook_at = $3 WHERE tenant_id = $1 AND id = $2";
    INSERT_ROUTE [tenant] =
        "INSERT INTO channel_routes (kind, sender_id, tenant_id, channel_id, account_id) VALUES ($1, $2, $3, $4, $5)";
    UPDATE_ROUTE [tenant] =
        "UPDATE channel_routes SET account_id = $5 \
         WHERE kind = $1 AND sender_id = $2 AND tenant_id = $3 AND channel_id = $4";
    DELETE_ROUTE [tenant] =
        "DELETE FROM channel_routes WHERE kind = $1 AND sender_id = $2 AND tenant_id = $3 AND channel_id = $4";
    RESOLVE_SENDER [global] =
        "SELECT tenant_id, channel_id FROM channel_routes WHERE kind = $1 AND sender_id = $2";
    RESOLVE_ACCOUNT [global] =
        "SELECT tenant_id, channel_id FROM channel_routes WHERE kind = $1 AND account_id = $2 LIMIT 2";
    BUMP_EPOCH [global] = "UPDATE epochs SET value = value + 1 WHERE name = 'channels'";
    EPOCH [global] = "SELECT value FROM epochs WHERE name = 'channels'";
}

row! {
    struct ChannelRow {
        tenant_id: TenantId,
        id: ChannelId,
        kind: ChannelKind,
        name: String,
        sender_id: String,
        account_id: Option<String>,
        display_phone: Option<String>,
        credentials_sealed: Vec<u8>,
        secret_hash: Option<Vec<u8>>,
        status: ChannelStatus,
        status_reason: Option<String>,
        paused_until: Timestamp,
        circuit_until: Timestamp,
        limits: Json<ChannelLimits>,
        last_webhook_at: Option<Timestamp>,
        created_at: Timestamp,
        updated_at: Timestamp,
    }
}

/// A channel with its credentials opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRecord {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its id.
    pub channel_id: ChannelId,
    /// Its provider.
    pub kind: ChannelKind,
    /// A name for people.
    pub name: String,
    /// The provider's id of the sending number (Meta: the phone number id).
    pub sender_id: String,
    /// The provider's id of the account (Meta: the WhatsApp Business Account).
    pub account_id: Option<String>,
    /// The number as people write it.
    pub display_phone: Option<String>,
    /// Whether it works.
    pub status: ChannelStatus,
    /// Why it does not.
    pub status_reason: Option<String>,
    /// Nothing is sent before this moment.
    pub paused_until: Timestamp,
    /// The provider failed too often: it is left alone until this moment, then tried with one message. Zero when it works.
    pub circuit_until: Timestamp,
    /// How fast it may send.
    pub limits: ChannelLimits,
    /// When a webhook came for it last.
    pub last_webhook_at: Option<Timestamp>,
    /// Its credentials.
    pub credentials: Credentials,
    /// Names the secret that signs its webhooks: [`secret_hash`] of its app secret, `None` when the platform's signs.
    pub secret_hash: Option<Vec<u8>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl ChannelRow {
    fn open(self, keyring: &Keyring) -> Result<ChannelRecord, StoreError> {
        Ok(ChannelRecord {
            credentials: open_credentials(
                keyring,
                self.tenant_id,
                self.id,
                &self.credentials_sealed,
            )?,
            tenant_id: self.tenant_id,
            channel_id: self.id,
            kind: self.kind,
            name: self.name,
            sender_id: self.sender_id,
            account_id: self.account_id,
            display_phone: self.display_phone,
            status: self.status,
            status_reason: self.status_reason,
            paused_until: self.paused_until,
            circuit_until: self.circuit_until,
            limits: self.limits.0,
            last_webhook_at: self.last_webhook_at,
            secret_hash: self.secret_hash,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// A channel to be made.
#[derive(Debug, Clone)]
pub struct NewChannel {
    /// Its id.
    pub id: ChannelId,
    /// Its provider.
    pub kind: ChannelKind,
    /// A name for people.
    pub name: String,
    /// The provider's id of the sending number.
    pub sender_id: String,
    /// The provider's id of the account.
    pub account_id: Option<String>,
    /// The number as people write it.
    pub display_phone: Option<String>,
    /// Its credentials.
    pub credentials: Credentials,
}

/// What a change of a channel may touch. Kind and number stay: another number is another channel.
#[derive(Debug, Clone)]
pub struct ChannelDraft {
    /// A name for people.
    pub name: String,
    /// The provider's id of the account.
    pub account_id: Option<String>,
    /// The number as people write it.
    pub display_phone: Option<String>,
    /// Its credentials.
    pub credentials: Credentials,
    /// How fast it may send.
    pub limits: ChannelLimits,
    /// Whether it is switched on.
    pub enabled: bool,
}

/// The name of a webhook secret: a keyed hash that is the same for the same secret in every tenant.
#[must_use]
pub fn secret_hash(keyring: &Keyring, secret: &Secret) -> Vec<u8> {
    keyring.blind_system(BlindPurpose::Secret, &[secret.expose().as_bytes()])
}

fn own_secret_hash(
    keyring: &Keyring,
    kind: ChannelKind,
    credentials: &Credentials,
) -> Option<Vec<u8>> {
    credentials
        .get(kind.webhook_credential())
        .map(|secret| secret_hash(keyring, secret))
}

/// Makes a channel, switched on.
///
/// # Errors
/// What the database says; [`StoreError::Conflict`] when a channel of any tenant has the number.
pub fn create(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    new: &NewChannel,
    now: Timestamp,
) -> Result<ChannelRecord, StoreError> {
    let sealed = seal_credentials(&new.credentials, keyring, tenant, new.id)?;
    let secret_hash = own_secret_hash(keyring, new.kind, &new.credentials);
    tx.execute(
        &INSERT_CHANNEL,
        &params![
            tenant,
            new.id,
            new.kind,
            &new.name,
            &new.sender_id,
            new.account_id.clone(),
            new.display_phone.clone(),
            sealed,
            secret_hash.clone(),
            now,
        ],
    )?;
    tx.execute(
        &INSERT_ROUTE,
        &params![
            new.kind,
            &new.sender_id,
            tenant,
            new.id,
            new.account_id.clone()
        ],
    )?;
    tx.execute(&BUMP_EPOCH, &[])?;
    Ok(ChannelRecord {
        tenant_id: tenant,
        channel_id: new.id,
        kind: new.kind,
        name: new.name.clone(),
        sender_id: new.sender_id.clone(),
        account_id: new.account_id.clone(),
        display_phone: new.display_phone.clone(),
        status: ChannelStatus::Active,
        status_reason: None,
        paused_until: Timestamp::default(),
        circuit_until: Timestamp::default(),
        limits: ChannelLimits::default(),
        last_webhook_at: None,
        credentials: new.credentials.clone(),
        secret_hash,
        created_at: now,
        updated_at: now,
    })
}

/// Makes the channel, or brings the tenant's channel with this number up to what is given: for channels that the
/// settings of the process describe. A channel that is as described already is not touched.
///
/// # Errors
/// What the database says; [`StoreError::Conflict`] when a channel of another tenant has the number.
pub fn ensure(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    new: &NewChannel,
    now: Timestamp,
) -> Result<ChannelRecord, StoreError> {
    let existing = match by_sender(tx, new.kind, &new.sender_id)? {
        Some((owner, channel)) if owner == tenant => get(tx, keyring, tenant, channel)?,
        _ => None,
    };
    let Some(existing) = existing else {
        return create(tx, keyring, tenant, new, now);
    };
    let account_id = new
        .account_id
        .clone()
        .or_else(|| existing.account_id.clone());
    if existing.credentials == new.credentials && existing.account_id == account_id {
        return Ok(existing);
    }
    let changed = update(tx, keyring, tenant, existing.channel_id, now, |draft| {
        draft.credentials = new.credentials.clone();
        draft.account_id.clone_from(&account_id);
    })?;
    Ok(changed.unwrap_or(existing))
}

/// A channel, or `None` when the tenant has none with this id.
///
/// # Errors
/// What the database says; [`StoreError::Corrupt`] when its credentials do not open.
pub fn get(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    channel: ChannelId,
) -> Result<Option<ChannelRecord>, StoreError> {
    tx.query_opt::<ChannelRow>(&FIND_CHANNEL, &params![tenant, channel])?
        .map(|row| row.open(keyring))
        .transpose()
}

/// Up to `limit` channels in the order of their making, those after `after`.
///
/// # Errors
/// What the database says; [`StoreError::Corrupt`] when credentials do not open.
pub fn list(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    after: Option<ChannelId>,
    limit: u32,
) -> Result<Vec<ChannelRecord>, StoreError> {
    let after = after.map_or(Uuid::nil(), ChannelId::uuid);
    let rows = tx.query::<ChannelRow>(&LIST_CHANNELS, &params![tenant, after, limit])?;
    rows.into_iter().map(|row| row.open(keyring)).collect()
}

/// All channels that are not disabled, of all tenants. One whose credentials do not open is left out and reported as
/// an id of the second list, so that it cannot stop the others.
///
/// # Errors
/// What the database says.
pub fn load_directory(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
) -> Result<(Vec<ChannelRecord>, Vec<ChannelId>), StoreError> {
    let mut opened = Vec::new();
    let mut sealed = Vec::new();
    for row in tx.query::<ChannelRow>(&ALL_CHANNELS, &[])? {
        let id = row.id;
        // Another node may have made the tenant a moment ago.
        if keys::ensure(tx, keyring, row.tenant_id).is_err() {
            sealed.push(id);
            continue;
        }
        match row.open(keyring) {
            Ok(record) => opened.push(record),
            Err(_) => sealed.push(id),
        }
    }
    Ok((opened, sealed))
}

/// Changes a channel: `change` edits the draft of its present form. New credentials end the status `broken`.
/// Switching it off frees its number, switching it on takes it again. `None` when the tenant has no such channel.
///
/// # Errors
/// What the database says; [`StoreError::Conflict`] when it is switched on and another channel has its number.
pub fn update(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    channel: ChannelId,
    now: Timestamp,
    change: impl Fn(&mut ChannelDraft),
) -> Result<Option<ChannelRecord>, StoreError> {
    let Some(row) = tx.query_opt::<ChannelRow>(&LOCK_CHANNEL, &params![tenant, channel])? else {
        return Ok(None);
    };
    let mut record = row.open(keyring)?;
    let was_enabled = record.status != ChannelStatus::Disabled;
    let mut draft = ChannelDraft {
        name: record.name,
        account_id: record.account_id,
        display_phone: record.display_phone,
        credentials: record.credentials.clone(),
        limits: record.limits,
        enabled: was_enabled,
    };
    change(&mut draft);
    if !draft.enabled {
        (record.status, record.status_reason) = (ChannelStatus::Disabled, None);
    } else if !was_enabled || draft.credentials != record.credentials {
        (record.status, record.status_reason) = (ChannelStatus::Active, None);
    }
    record.name = draft.name;
    record.account_id = draft.account_id;
    record.display_phone = draft.display_phone;
    record.credentials = draft.credentials;
    record.limits = draft.limits;
    record.secret_hash = own_secret_hash(keyring, record.kind, &record.credentials);
    record.updated_at = now;
    tx.execute(
        &UPDATE_CHANNEL,
        &params![
            tenant,
            channel,
            &record.name,
            record.account_id.clone(),
            record.display_phone.clone(),
            seal_credentials(&record.credentials, keyring, tenant, channel)?,
            record.secret_hash.clone(),
            record.status,
            record.status_reason.clone(),
            now,
            Value::json(&record.limits)?,
        ],
    )?;
    let route = params![
        record.kind,
        &record.sender_id,
        tenant,
        channel,
        record.account_id.clone()
    ];
    match (was_enabled, draft.enabled) {
        (true, true) => tx.execute(&UPDATE_ROUTE, &route)?,
        (true, false) => tx.execute(&DELETE_ROUTE, &route[..4])?,
        (false, true) => tx.execute(&INSERT_ROUTE, &route)?,
        (false, false) => 0,
    };
    tx.execute(&BUMP_EPOCH, &[])?;
    Ok(Some(record))
}

/// Switches a channel off. `false` when the tenant has no such channel.
///
/// # Errors
/// What the database says; [`StoreError::Corrupt`] when its credentials do not open.
pub fn disable(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    channel: ChannelId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(update(tx, keyring, tenant, channel, now, |draft| {
        draft.enabled = false
    })?
    .is_some())
}

/// Notes that a channel works (`broken` is `None`) or why it does not. A disabled channel stays as it is. `false` when
/// nothing was changed.
///
/// # Errors
/// What the database says.
pub fn set_status(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    broken: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let status = if broken.is_some() {
        ChannelStatus::Broken
    } else {
        ChannelStatus::Active
    };
    let changed = tx.execute(&SET_STATUS, &params![tenant, channel, status, broken, now])? == 1;
    if changed {
        tx.execute(&BUMP_EPOCH, &[])?;
    }
    Ok(changed)
}

/// Notes that a webhook came for channels. The directory does not hold this: the epoch stays.
///
/// # Errors
/// What the database says.
pub fn note_webhooks(
    tx: &mut Tx<'_>,
    channels: &[(TenantId, ChannelId)],
    at: Timestamp,
) -> Result<(), StoreError> {
    let sets: Vec<_> = channels
        .iter()
        .map(|(tenant, channel)| params![*tenant, *channel, at])
        .collect();
    tx.execute_many(&NOTE_WEBHOOK, &sets).map(|_| ())
}

/// Whose channel has this number.
///
/// # Errors
/// What the database says.
pub fn by_sender(
    tx: &mut Tx<'_>,
    kind: ChannelKind,
    sender_id: &str,
) -> Result<Option<(TenantId, ChannelId)>, StoreError> {
    tx.query_opt(&RESOLVE_SENDER, &params![kind, sender_id])
}

/// The channel of an account, when exactly one has it: an event about an account with several numbers belongs to none
/// of them.
///
/// # Errors
/// What the database says.
pub fn by_account(
    tx: &mut Tx<'_>,
    kind: ChannelKind,
    account_id: &str,
) -> Result<Option<(TenantId, ChannelId)>, StoreError> {
    let mut found: Vec<(TenantId, ChannelId)> =
        tx.query(&RESOLVE_ACCOUNT, &params![kind, account_id])?;
    Ok(if found.len() == 1 { found.pop() } else { None })
}

/// A number that rises with every change of any channel.
///
/// # Errors
/// What the database says.
pub fn epoch(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    tx.query_one(&EPOCH, &[])
}

#[cfg(test)]
mod tests;
