//! What providers tell about numbers: quality, throughput, limits, alerts, and when their templates were read last.

use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::time::Timestamp;

use crate::{StoreError, Tx, params, row, statements};

statements! {
    FIND [tenant] = "SELECT channel_id, quality, throughput, messaging_limit, alert, alerted_at, templates_synced_at, \
        templates_error, updated_at FROM channel_health WHERE tenant_id = $1 AND channel_id = $2";
    LIST [tenant] = "SELECT channel_id, quality, throughput, messaging_limit, alert, alerted_at, templates_synced_at, \
        templates_error, updated_at FROM channel_health WHERE tenant_id = $1";
    ENSURE [tenant] = "INSERT INTO channel_health (tenant_id, channel_id, updated_at) VALUES ($1, $2, $3) \
        ON CONFLICT (tenant_id, channel_id) DO NOTHING";
    NOTE [tenant] = "UPDATE channel_health SET quality = COALESCE($3, quality), throughput = COALESCE($4, throughput), \
        messaging_limit = COALESCE($5, messaging_limit), updated_at = $6 WHERE tenant_id = $1 AND channel_id = $2";
    ALERT [tenant] = "UPDATE channel_health SET alert = $3, alerted_at = $4, updated_at = $5 \
        WHERE tenant_id = $1 AND channel_id = $2";
    SYNCED [tenant] = "UPDATE channel_health SET templates_synced_at = $3, templates_error = $4, updated_at = $3 \
        WHERE tenant_id = $1 AND channel_id = $2";
    FORGET_SYNC [tenant] = "UPDATE channel_health SET templates_synced_at = NULL WHERE tenant_id = $1 AND channel_id = $2";
    DISPLAY_PHONE [tenant] = "SELECT display_phone FROM channels WHERE tenant_id = $1 AND id = $2";
    SYNC_TIMES [global, scan: "one row for each channel; looked at once a minute by one node"] =
        "SELECT channel_id, templates_synced_at FROM channel_health WHERE templates_synced_at IS NOT NULL";
}

row! {
    /// What is known of a number.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct HealthRow {
        channel_id: ChannelId,
        quality: Option<String>,
        throughput: Option<i64>,
        messaging_limit: Option<String>,
        alert: Option<String>,
        alerted_at: Option<Timestamp>,
        templates_synced_at: Option<Timestamp>,
        templates_error: Option<String>,
        updated_at: Timestamp,
    }
}

/// News of a number; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthNews {
    /// The provider's word for its quality, in lower case.
    pub quality: Option<String>,
    /// How many messages a second it may send.
    pub throughput: Option<i64>,
    /// The provider's word for how many people a day it may write to.
    pub messaging_limit: Option<String>,
}

/// What is known of a channel's number.
///
/// # Errors
/// What the database says.
pub fn get(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
) -> Result<Option<HealthRow>, StoreError> {
    tx.query_opt(&FIND, &params![tenant, channel])
}

/// What is known of all numbers of a tenant.
///
/// # Errors
/// What the database says.
pub fn all(tx: &mut Tx<'_>, tenant: TenantId) -> Result<Vec<HealthRow>, StoreError> {
    tx.query(&LIST, &params![tenant])
}

/// Notes news of a number; `true` when they are news.
///
/// # Errors
/// What the database says.
pub fn note(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    news: &HealthNews,
    now: Timestamp,
) -> Result<bool, StoreError> {
    tx.execute(&ENSURE, &params![tenant, channel, now])?;
    let Some(before) = get(tx, tenant, channel)? else {
        return Ok(false);
    };
    let differs = |new: &Option<String>, old: &Option<String>| new.is_some() && new != old;
    let changed = differs(&news.quality, &before.quality)
        || differs(&news.messaging_limit, &before.messaging_limit)
        || (news.throughput.is_some() && news.throughput != before.throughput);
    if changed {
        let set = params![
            tenant,
            channel,
            news.quality.clone(),
            news.throughput,
            news.messaging_limit.clone(),
            now
        ];
        tx.execute(&NOTE, &set)?;
    }
    Ok(changed)
}

/// Notes what is wrong with a number, or that nothing is any more; `true` when that is news.
///
/// # Errors
/// What the database says.
pub fn alert(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    alert: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    tx.execute(&ENSURE, &params![tenant, channel, now])?;
    let before = get(tx, tenant, channel)?;
    if before.is_none_or(|before| before.alert.as_deref() == alert) {
        return Ok(false);
    }
    let at = alert.map(|_| now);
    tx.execute(&ALERT, &params![tenant, channel, alert, at, now])?;
    Ok(true)
}

/// Notes that the templates of a channel's account were read, or why they could not be.
///
/// # Errors
/// What the database says.
pub fn templates_synced(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&ENSURE, &params![tenant, channel, now])?;
    tx.execute(&SYNCED, &params![tenant, channel, now, error])
        .map(|_| ())
}

/// Notes that the templates of a channel's account have to be read again.
///
/// # Errors
/// What the database says.
pub fn forget_sync(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
) -> Result<(), StoreError> {
    tx.execute(&FORGET_SYNC, &params![tenant, channel])
        .map(|_| ())
}

/// The number of a channel as people write it, without opening its credentials.
///
/// # Errors
/// What the database says.
pub fn display_phone(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
) -> Result<Option<String>, StoreError> {
    let found: Option<Option<String>> = tx.query_opt(&DISPLAY_PHONE, &params![tenant, channel])?;
    Ok(found.flatten())
}

/// When the templates of each channel's account were read last.
///
/// # Errors
/// What the database says.
pub fn sync_times(tx: &mut Tx<'_>) -> Result<Vec<(ChannelId, Timestamp)>, StoreError> {
    tx.query(&SYNC_TIMES, &[])
}

#[cfg(test)]
mod tests;
