//! Finding messages by the ids that others know them by.

use waxwing_core::identity::ProviderMessageId;
use waxwing_core::ids::{ChannelId, MessageId, TenantId};

use super::provider_id_hash;
use crate::domain::crypto::Keyring;
use crate::domain::marks;
use crate::{Statement, StoreError, Tx, Value, params, row, statements};

statements! {
    FIND_BY_PROVIDER_ID [tenant] = "SELECT id, template_key FROM messages \
        WHERE tenant_id = $1 AND channel_id = $2 AND provider_id_hash = $3 ORDER BY id LIMIT 1";
    FIND_BY_ALIAS [tenant] = "SELECT id, template_key FROM messages \
        WHERE tenant_id = $1 AND channel_id = $2 AND provider_alias_hash = $3 ORDER BY id LIMIT 1";
    FIND_BY_MARK [tenant] = "SELECT m.id, m.template_key FROM inbound_marks k \
        JOIN messages m ON m.tenant_id = k.tenant_id AND m.id = k.message_id \
        WHERE k.tenant_id = $1 AND k.channel_id = $2 AND k.kind = $3 AND k.item_hash = $4";
    FIND_BY_KEY [tenant] = "SELECT id, request_hash FROM messages WHERE tenant_id = $1 AND idempotency_key = $2";
}

row! {
    /// A message that another one answers.
    #[derive(Debug, Clone)]
    pub struct Answered { id: MessageId, template_key: Option<String> }

    /// The message that took an idempotency key, with the keyed hash of its request.
    #[derive(Debug, Clone)]
    pub struct KeyHolder { id: MessageId, request_hash: Option<Vec<u8>> }
}

/// The messages behind provider ids, with the key of the template each came from.
///
/// # Errors
/// What the database says.
pub fn find_by_provider_ids(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    ids: &[(TenantId, ChannelId, &ProviderMessageId)],
) -> Result<Vec<Option<Answered>>, StoreError> {
    let by_id = |(tenant, channel, id): &(TenantId, ChannelId, &ProviderMessageId)| {
        params![*tenant, *channel, provider_id_hash(keyring, *tenant, id)]
    };
    let mut found: Vec<Option<Answered>> = vec![None; ids.len()];
    fill(tx, &mut found, &FIND_BY_PROVIDER_ID, |place| {
        by_id(&ids[place])
    })?;
    fill(tx, &mut found, &FIND_BY_ALIAS, |place| by_id(&ids[place]))?;
    let missing: Vec<usize> = (0..ids.len())
        .filter(|place| found[*place].is_none())
        .collect();
    let received: Vec<_> = missing.iter().map(|place| ids[*place]).collect();
    let marked = find_by_marks(tx, keyring, "message", &received)?;
    for (place, message) in missing.into_iter().zip(marked) {
        found[place] = message;
    }
    Ok(found)
}

/// The messages that items of a kind became: what was received, and what has a mark in either direction.
///
/// # Errors
/// What the database says.
pub fn find_by_marks(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    kind: &'static str,
    ids: &[(TenantId, ChannelId, &ProviderMessageId)],
) -> Result<Vec<Option<Answered>>, StoreError> {
    let sets: Vec<_> = ids
        .iter()
        .map(|(tenant, channel, id)| {
            params![
                *tenant,
                *channel,
                kind,
                marks::item_hash(keyring, *tenant, id)
            ]
        })
        .collect();
    let rows = tx.query_many(&FIND_BY_MARK, &sets)?;
    Ok(rows
        .into_iter()
        .map(|rows| rows.into_iter().next())
        .collect())
}

/// Looks for those that were not found yet.
fn fill(
    tx: &mut Tx<'_>,
    found: &mut [Option<Answered>],
    statement: &'static Statement,
    key: impl Fn(usize) -> [Value; 3],
) -> Result<(), StoreError> {
    let missing: Vec<usize> = (0..found.len())
        .filter(|place| found[*place].is_none())
        .collect();
    let sets: Vec<_> = missing.iter().map(|place| key(*place)).collect();
    for (place, rows) in missing.into_iter().zip(tx.query_many(statement, &sets)?) {
        found[place] = rows.into_iter().next();
    }
    Ok(())
}

/// The message that took an idempotency key, and the hash of its request.
///
/// # Errors
/// What the database says.
pub fn find_by_idempotency_key(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    key: &str,
) -> Result<Option<KeyHolder>, StoreError> {
    tx.query_opt(&FIND_BY_KEY, &params![tenant, key])
}
