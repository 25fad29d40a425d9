//! The inbox: raw provider requests, durable before they are acknowledged.

use waxwing_core::channel::ChannelKind;
use waxwing_core::ids::{ChannelId, WebhookEventId};
use waxwing_core::time::Timestamp;

use super::crypto::{BlindPurpose, Keyring, OpenError, Place};
use crate::{StoreError, Tx, inserts, params, row, statements};

/// Requests of one sending number are always in one partition, and one node at a time handles a partition, so that a
/// conversation has one lane. Four is enough to keep several nodes busy and cheap to look through on one.
pub const PARTITIONS: u16 = 4;

inserts! {
    APPEND [global] = webhook_events(id uuid, provider text, partition small, partition_mask small, channel_id uuid, query text, state text, reason text, body_sealed bytes,
        body_hash bytes, secret_hash bytes, crashes small, received_at time) "";
}

statements! {
    PENDING [global] = "SELECT id, provider, channel_id, query, body_sealed, secret_hash, received_at, crashes, partition, partition_mask FROM webhook_events \
        WHERE partition = $1 AND state = 'pending' AND id > $2 ORDER BY id LIMIT $3";
    FRONT [global] = "SELECT id FROM webhook_events WHERE partition = $1 AND state = 'pending' ORDER BY id LIMIT $2";
    FINISH [global] = "UPDATE webhook_events SET state = $2, reason = $3, finished_at = $4 WHERE id = $1 AND state = 'pending'";
    COUNT_CRASH [global] = "UPDATE webhook_events SET crashes = crashes + 1 WHERE id = $1 AND state = 'pending'";
    QUARANTINED [global] = "SELECT id, provider, reason, received_at, crashes FROM webhook_events \
        WHERE state = 'quarantined' AND id < $1 ORDER BY id DESC LIMIT $2";
    REQUEUE [global] = "UPDATE webhook_events SET state = 'pending', reason = NULL, crashes = 0, finished_at = NULL \
        WHERE id = $1 AND state <> 'pending'";
    FIND [global] = "SELECT id, provider, channel_id, query, body_sealed, secret_hash, received_at, crashes, partition, partition_mask FROM webhook_events WHERE id = $1";
    OLDEST_PENDING [global] = "SELECT received_at FROM webhook_events WHERE partition = $1 AND state = 'pending' \
        ORDER BY id LIMIT 1";
}

/// A request to append.
#[derive(Clone)]
pub struct NewEvent {
    /// Its id; rises with the order of arrival.
    pub id: WebhookEventId,
    /// Which provider's protocol it speaks.
    pub provider: ChannelKind,
    /// The channel that its address names.
    pub channel_id: Option<ChannelId>,
    /// The part of its query string that reading it needs.
    pub query: String,
    /// See [`PARTITIONS`].
    pub partition: u16,
    /// The partitions of all items of the request, a bit for each. A request for several has a row in each.
    pub partition_mask: u16,
    /// Why it is kept aside at once; `None` for requests that wait to be handled.
    pub quarantine: Option<&'static str>,
    /// The sealed body; see [`seal_body`].
    pub body_sealed: Vec<u8>,
    /// Keyed hash of the body.
    pub body_hash: Vec<u8>,
    /// Which secret its signature matched.
    pub secret_hash: Vec<u8>,
    /// When it came.
    pub received_at: Timestamp,
}

impl NewEvent {
    /// The request as [`pending`] reads it once it is appended.
    #[must_use]
    pub fn appended(&self) -> PendingEvent {
        PendingEvent {
            id: self.id,
            provider: self.provider,
            channel_id: self.channel_id,
            query: self.query.clone(),
            body_sealed: self.body_sealed.clone(),
            secret_hash: self.secret_hash.clone(),
            received_at: self.received_at,
            crashes: 0,
            partition: u32::from(self.partition),
            partition_mask: u32::from(self.partition_mask),
        }
    }
}

row! {
    /// A request that waits to be handled.
    #[derive(Clone)]
    pub struct PendingEvent {
        id: WebhookEventId,
        provider: ChannelKind,
        channel_id: Option<ChannelId>,
        query: String,
        body_sealed: Vec<u8>,
        secret_hash: Vec<u8>,
        received_at: Timestamp,
        crashes: i64,
        partition: u32,
        partition_mask: u32,
    }

    /// A request that was kept aside.
    #[derive(Debug, Clone)]
    pub struct QuarantinedEvent {
        id: WebhookEventId,
        provider: String,
        reason: Option<String>,
        received_at: Timestamp,
        crashes: i64,
    }
}

fn place(id: &uuid::Uuid) -> Place<'_> {
    Place::new("webhook_events", "body_sealed", id)
}

/// Seals a raw body for its row.
#[must_use]
pub fn seal_body(keyring: &Keyring, id: WebhookEventId, body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (
        keyring.seal_system(place(&id.uuid()), body),
        keyring.blind_system(BlindPurpose::Request, &[body]),
    )
}

/// Opens the raw body of a request.
///
/// # Errors
/// When it was sealed under another key or is damaged.
pub fn open_body(keyring: &Keyring, event: &PendingEvent) -> Result<Vec<u8>, OpenError> {
    keyring
        .open_system(place(&event.id.uuid()), &event.body_sealed)
        .map(|body| body.to_vec())
}

/// Appends requests. After the commit they are safe and may be acknowledged.
///
/// # Errors
/// What the database says.
pub fn append(tx: &mut Tx<'_>, events: &[NewEvent]) -> Result<(), StoreError> {
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            let state = if event.quarantine.is_some() {
                "quarantined"
            } else {
                "pending"
            };
            params![
                event.id,
                event.provider,
                event.partition,
                event.partition_mask,
                event.channel_id,
                &event.query,
                state,
                event.quarantine,
                event.body_sealed.clone(),
                event.body_hash.clone(),
                event.secret_hash.clone(),
                0i64,
                event.received_at
            ]
        })
        .collect();
    tx.insert_many(&APPEND, &rows).map(|_| ())
}

/// The oldest requests of a partition that wait, after the id `after`.
///
/// # Errors
/// What the database says.
pub fn pending(
    tx: &mut Tx<'_>,
    partition: u16,
    after: Option<WebhookEventId>,
    limit: u32,
) -> Result<Vec<PendingEvent>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), WebhookEventId::uuid);
    tx.query(&PENDING, &params![partition, after, limit])
}

/// The ids of the oldest requests of a partition that wait.
///
/// # Errors
/// What the database says.
pub fn front(
    tx: &mut Tx<'_>,
    partition: u16,
    limit: u32,
) -> Result<Vec<WebhookEventId>, StoreError> {
    tx.query(&FRONT, &params![partition, limit])
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The request.
    pub id: WebhookEventId,
    /// Why it is kept aside; `None` when everything in it took effect.
    pub quarantine: Option<String>,
}

/// Ends requests in the transaction of their effects.
///
/// # Errors
/// [`StoreError::Refused`] when one of them was ended by somebody else in between; nothing may take effect then.
pub fn finish(tx: &mut Tx<'_>, events: &[Finished], now: Timestamp) -> Result<(), StoreError> {
    let sets: Vec<_> = events
        .iter()
        .map(|event| {
            let state = if event.quarantine.is_some() {
                "quarantined"
            } else {
                "done"
            };
            params![event.id, state, event.quarantine.clone(), now]
        })
        .collect();
    if tx.execute_many(&FINISH, &sets)?.contains(&0) {
        return Err(StoreError::Refused(
            "a webhook event was finished by another worker",
        ));
    }
    Ok(())
}

/// Notes that a request is about to be handled alone, after a process died with it pending. The number of such
/// attempts, this one included.
///
/// # Errors
/// What the database says.
pub fn count_crash(tx: &mut Tx<'_>, id: WebhookEventId) -> Result<(), StoreError> {
    tx.execute(&COUNT_CRASH, &params![id]).map(|_| ())
}

/// The requests that were kept aside, newest first, before the id `before`.
///
/// # Errors
/// What the database says.
pub fn quarantined(
    tx: &mut Tx<'_>,
    before: Option<WebhookEventId>,
    limit: u32,
) -> Result<Vec<QuarantinedEvent>, StoreError> {
    let before = before.map_or(uuid::Uuid::max(), WebhookEventId::uuid);
    tx.query(&QUARANTINED, &params![before, limit])
}

/// Lets a request be handled once more. What already took effect is protected by its marks. `false` when there is no
/// such request or it waits already.
///
/// # Errors
/// What the database says.
pub fn requeue(tx: &mut Tx<'_>, id: WebhookEventId) -> Result<bool, StoreError> {
    tx.execute(&REQUEUE, &params![id])
        .map(|changed| changed > 0)
}

/// One request.
///
/// # Errors
/// What the database says.
pub fn find(tx: &mut Tx<'_>, id: WebhookEventId) -> Result<Option<PendingEvent>, StoreError> {
    tx.query_opt(&FIND, &params![id])
}

/// When the oldest waiting request of any partition came.
///
/// # Errors
/// What the database says.
pub fn oldest_pending(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    let sets: Vec<_> = (0..PARTITIONS)
        .map(|partition| params![partition])
        .collect();
    let found = tx.query_many::<Timestamp>(&OLDEST_PENDING, &sets)?;
    Ok(found.into_iter().flatten().min())
}
