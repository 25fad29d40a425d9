//! What status webhooks do to messages: find them, climb the ladder, or wait parked.

use serde::{Deserialize, Serialize};
use waxwing_core::errors::ProviderError;
use waxwing_core::event::Pricing;
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::ids::{AttemptId, ChannelId, ConversationId, MessageId, TenantId};
use waxwing_core::rates::Charge;
use waxwing_core::status::{DeliveryStatus, MessageStatus};
use waxwing_core::time::Timestamp;

use super::costs::{self, Charged};
use super::crypto::{Keyring, Place};
use super::messages::{self, Standing, provider_id_hash, seal_provider_id};
use crate::{StoreError, Tx, Value, params, statements};

statements! {
    BY_PROVIDER_ID [tenant] = "SELECT id FROM messages \
        WHERE tenant_id = $1 AND channel_id = $2 AND provider_id_hash = $3 AND direction = 'OUT' ORDER BY id LIMIT 1";
    BY_ALIAS [tenant] = "SELECT id FROM messages \
        WHERE tenant_id = $1 AND channel_id = $2 AND provider_alias_hash = $3 AND direction = 'OUT' ORDER BY id LIMIT 1";
    /// Whatever the channel: a pool of numbers chooses another one of the tenant's, and the attempt's id is proof enough.
    BY_ATTEMPT [tenant] = "SELECT message_id FROM attempts WHERE tenant_id = $1 AND id = $2";
    APPLY [tenant] = "UPDATE messages SET \
        status = CASE WHEN $4 > rank THEN $3 ELSE status END, \
        error_class = CASE WHEN $4 > rank THEN $9 ELSE error_class END, \
        error_code = CASE WHEN $4 > rank THEN $10 ELSE error_code END, \
        error_message = CASE WHEN $4 > rank THEN $11 ELSE error_message END, \
        rank = CASE WHEN $4 > rank THEN $4 ELSE rank END, \
        sent_at = COALESCE(sent_at, $5), delivered_at = COALESCE(delivered_at, $6), read_at = COALESCE(read_at, $7), \
        failed_at = COALESCE(failed_at, $8), pricing = COALESCE($12, pricing), \
        provider_id_sealed = COALESCE(provider_id_sealed, $13), provider_id_hash = COALESCE(provider_id_hash, $14), \
        provider_alias_hash = COALESCE(provider_alias_hash, $16), claimed_by = NULL, outcome_unknown = FALSE, unknown_at = NULL, updated_at = $15 \
        WHERE tenant_id = $1 AND id = $2";
    PARK [tenant] = "INSERT INTO parked_statuses (tenant_id, id, channel_id, provider_id_hash, update_sealed, parked_at) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    PARKED_FOR [tenant] = "SELECT id, update_sealed FROM parked_statuses \
        WHERE tenant_id = $1 AND channel_id = $2 AND provider_id_hash = $3 ORDER BY id";
    UNPARK [tenant] = "DELETE FROM parked_statuses WHERE tenant_id = $1 AND id = $2";
    PARKED_SINCE [global] = "SELECT tenant_id, channel_id, provider_id_hash FROM parked_statuses \
        WHERE parked_at >= $1 ORDER BY parked_at LIMIT $2";
}

/// What a status webhook says, ready to be applied.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Update {
    /// What happened.
    pub status: DeliveryStatus,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Why it failed.
    pub error: Option<ProviderError>,
    /// How the provider classes its price.
    pub pricing: Option<Pricing>,
    /// What it costs, by the rate card.
    #[serde(default)]
    pub charge: Option<Charge>,
}

impl Update {
    /// Providers charge what was delivered (protocols/meta.md 6: counted once, on delivered; `read` implies it).
    fn charged(
        &self,
        tenant_id: TenantId,
        channel_id: ChannelId,
        message_id: MessageId,
    ) -> Option<Charged> {
        let delivered = matches!(
            self.status,
            DeliveryStatus::Delivered | DeliveryStatus::Read | DeliveryStatus::Played
        );
        let charge = self.charge.clone().filter(|_| delivered)?;
        Some(Charged {
            tenant_id,
            message_id,
            channel_id,
            charge,
        })
    }
}

/// A status webhook for one message.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The tenant of the channel.
    pub tenant_id: TenantId,
    /// The channel.
    pub channel_id: ChannelId,
    /// The provider's id of the message.
    pub provider_id: ProviderMessageId,
    /// Another id of the provider for the same message.
    pub alias: Option<ProviderMessageId>,
    /// The attempt that the callback data names, checked.
    pub attempt_id: Option<AttemptId>,
    /// What it says.
    pub update: Update,
    /// The id under which it is parked when its message is not known.
    pub parked_id: uuid::Uuid,
}

/// What a status did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The message climbed to this rung.
    Moved {
        /// The message.
        message_id: MessageId,
        /// Its conversation.
        conversation_id: ConversationId,
        /// Where it stands now.
        status: MessageStatus,
        /// Its outcome was unknown until now.
        settled_unknown: bool,
    },
    /// Heard before, or lower than what is known.
    Unmoved,
    /// The message is not known (yet).
    Parked,
}

/// Applies statuses in order.
///
/// # Errors
/// What the database says.
pub fn apply(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    statuses: &[Incoming],
    now: Timestamp,
) -> Result<Vec<Applied>, StoreError> {
    let hashes: Vec<Vec<u8>> = statuses
        .iter()
        .map(|status| provider_id_hash(keyring, status.tenant_id, &status.provider_id))
        .collect();
    let targets = find(tx, keyring, statuses, &hashes)?;
    let found = statuses.iter().zip(&targets);
    let keys = found.filter_map(|(status, id)| id.map(|id| (status.tenant_id, id)));
    let mut standings = messages::lock(tx, keys)?;

    let mut applied = Vec::with_capacity(statuses.len());
    let mut sets = Vec::new();
    let mut charged = Vec::new();
    for ((status, id), hash) in statuses.iter().zip(targets).zip(hashes) {
        let standing = id.and_then(|id| standings.get_mut(&(status.tenant_id, id)));
        let Some(standing) = standing else {
            park(tx, keyring, status, hash, now)?;
            applied.push(Applied::Parked);
            continue;
        };
        let stale_failure = status.update.status == DeliveryStatus::Failed
            && status
                .attempt_id
                .is_some_and(|attempt| standing.attempt_id != Some(attempt));
        if stale_failure {
            applied.push(Applied::Unmoved);
            continue;
        }
        charged.extend(
            status
                .update
                .charged(status.tenant_id, status.channel_id, standing.id),
        );
        let sealed = seal_provider_id(keyring, status.tenant_id, standing.id, &status.provider_id);
        let alias = status.alias.as_ref();
        sets.push(apply_values(
            status.tenant_id,
            standing.id,
            &status.update,
            Some((sealed, hash)),
            alias.map(|alias| provider_id_hash(keyring, status.tenant_id, alias)),
            now,
        )?);
        applied.push(climb(standing, status.update.status.message_status()));
    }
    tx.execute_many(&APPLY, &sets)?;
    costs::add_many(tx, &charged)?;
    Ok(applied)
}

/// The messages that statuses are about: by the provider's ids, else by the attempt that the callback data names.
fn find(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    statuses: &[Incoming],
    hashes: &[Vec<u8>],
) -> Result<Vec<Option<MessageId>>, StoreError> {
    let by_id: Vec<_> = statuses
        .iter()
        .zip(hashes)
        .map(|(status, hash)| params![status.tenant_id, status.channel_id, hash.clone()])
        .collect();
    let found = tx.query_many::<MessageId>(&BY_PROVIDER_ID, &by_id)?;
    let mut targets: Vec<_> = found
        .into_iter()
        .map(|rows| rows.first().copied())
        .collect();
    let mut aliased = Vec::new();
    let mut by_alias = Vec::new();
    for (place, status) in statuses.iter().enumerate() {
        if let (None, Some(alias)) = (targets[place], &status.alias) {
            aliased.push(place);
            let hash = provider_id_hash(keyring, status.tenant_id, alias);
            by_alias.push(params![status.tenant_id, status.channel_id, hash]);
        }
    }
    for (place, rows) in aliased
        .into_iter()
        .zip(tx.query_many::<MessageId>(&BY_ALIAS, &by_alias)?)
    {
        targets[place] = rows.first().copied();
    }
    let mut places = Vec::new();
    let mut by_attempt = Vec::new();
    for (place, status) in statuses.iter().enumerate() {
        if let (None, Some(attempt)) = (targets[place], status.attempt_id) {
            places.push(place);
            by_attempt.push(params![status.tenant_id, attempt]);
        }
    }
    let found = tx.query_many::<MessageId>(&BY_ATTEMPT, &by_attempt)?;
    for (place, rows) in places.into_iter().zip(found) {
        targets[place] = rows.first().copied();
    }
    Ok(targets)
}

/// Moves a message up to a rung, if that is higher. The next status of the same batch starts from there.
fn climb(standing: &mut Standing, rung: MessageStatus) -> Applied {
    if i64::from(rung.rank()) <= standing.rank {
        return Applied::Unmoved;
    }
    standing.rank = i64::from(rung.rank());
    Applied::Moved {
        message_id: standing.id,
        conversation_id: standing.conversation_id,
        status: rung,
        settled_unknown: std::mem::take(&mut standing.outcome_unknown),
    }
}

fn apply_values(
    tenant: TenantId,
    id: MessageId,
    update: &Update,
    provider: Option<(Vec<u8>, Vec<u8>)>,
    alias: Option<Vec<u8>>,
    now: Timestamp,
) -> Result<Vec<Value>, StoreError> {
    let rung = update.status.message_status();
    let at = |status: DeliveryStatus| (update.status == status).then_some(update.at);
    let read = at(DeliveryStatus::Read).or(at(DeliveryStatus::Played));
    let (sealed, hash) = provider.unzip();
    Ok(params![
        tenant,
        id,
        rung.as_str(),
        rung.rank(),
        at(DeliveryStatus::Sent),
        at(DeliveryStatus::Delivered),
        read,
        at(DeliveryStatus::Failed),
        update.error.as_ref().map(|error| error.class.as_str()),
        update.error.as_ref().and_then(|error| error.code.clone()),
        update.error.as_ref().map(|error| error.message.clone()),
        update
            .pricing
            .as_ref()
            .map(Value::json)
            .transpose()?
            .unwrap_or(Value::Null),
        sealed,
        hash,
        now,
        alias
    ]
    .to_vec())
}

fn park(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    status: &Incoming,
    hash: Vec<u8>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = serde_json::to_vec(&status.update)
        .map_err(|_| StoreError::Driver("a status without JSON".into()))?;
    let place = Place::new("parked_statuses", "update_sealed", &status.parked_id);
    let sealed = keyring.seal(status.tenant_id, place, &text);
    let values = params![
        status.tenant_id,
        status.parked_id,
        status.channel_id,
        hash,
        sealed,
        now
    ];
    tx.execute(&PARK, &values).map(|_| ())
}

/// A message whose provider id has become known.
#[derive(Debug, Clone)]
pub struct Identified {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its channel.
    pub channel_id: ChannelId,
    /// The message.
    pub message_id: MessageId,
    /// Its provider id, hashed.
    pub provider_id_hash: Vec<u8>,
}

/// Applies the statuses that waited for these messages; for each that waited, its message and what it said.
///
/// # Errors
/// What the database says; when a parked status does not open.
pub fn unpark(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    identified: &[Identified],
    now: Timestamp,
) -> Result<Vec<(TenantId, MessageId, Update)>, StoreError> {
    let sets: Vec<_> = identified
        .iter()
        .map(|message| {
            params![
                message.tenant_id,
                message.channel_id,
                message.provider_id_hash.clone()
            ]
        })
        .collect();
    let mut applied = Vec::new();
    let mut updates = Vec::new();
    let mut gone = Vec::new();
    let mut charged = Vec::new();
    for (message, rows) in identified
        .iter()
        .zip(tx.query_many::<(uuid::Uuid, Vec<u8>)>(&PARKED_FOR, &sets)?)
    {
        for (id, sealed) in rows {
            let place = Place::new("parked_statuses", "update_sealed", &id);
            let text = keyring.open(message.tenant_id, place, &sealed)?;
            let update: Update = serde_json::from_slice(&text)
                .map_err(|_| StoreError::corrupt("a parked status of another form"))?;
            updates.push(apply_values(
                message.tenant_id,
                message.message_id,
                &update,
                None,
                None,
                now,
            )?);
            gone.push(params![message.tenant_id, id]);
            charged.extend(update.charged(
                message.tenant_id,
                message.channel_id,
                message.message_id,
            ));
            applied.push((message.tenant_id, message.message_id, update));
        }
    }
    messages::lock(tx, applied.iter().map(|(tenant, id, _)| (*tenant, *id)))?;
    tx.execute_many(&APPLY, &updates)?;
    tx.execute_many(&UNPARK, &gone)?;
    costs::add_many(tx, &charged)?;
    Ok(applied)
}

/// Parked statuses whose message is known by now: a status and the answer of its send were written at the same moment
/// and did not see each other. At most `limit`, parked since `since`.
///
/// # Errors
/// What the database says.
pub fn matchable(
    tx: &mut Tx<'_>,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<Identified>, StoreError> {
    let parked =
        tx.query::<(TenantId, ChannelId, Vec<u8>)>(&PARKED_SINCE, &params![since, limit])?;
    let sets: Vec<_> = parked
        .iter()
        .map(|(tenant, channel, hash)| params![*tenant, *channel, hash.clone()])
        .collect();
    let found = tx.query_many::<MessageId>(&BY_PROVIDER_ID, &sets)?;
    let identified =
        parked
            .into_iter()
            .zip(found)
            .filter_map(|((tenant_id, channel_id, hash), rows)| {
                let message_id = *rows.first()?;
                Some(Identified {
                    tenant_id,
                    channel_id,
                    message_id,
                    provider_id_hash: hash,
                })
            });
    Ok(identified.collect())
}
