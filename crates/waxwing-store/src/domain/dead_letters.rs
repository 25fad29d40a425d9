//! Dead letters: what failed for good, explained and retryable by hand.

use waxwing_core::errors::ProviderError;
use waxwing_core::ids::{DeadLetterId, MessageId, TenantId, WebhookEventId};
use waxwing_core::time::Timestamp;

use crate::{SqlBuilder, StoreError, Tx, params, row, statements};

statements! {
    ADD_MESSAGE [tenant] = "INSERT INTO dead_letters (tenant_id, id, kind, message_id, error_class, error_code, \
        error_message, created_at) VALUES ($1, $2, 'message', $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    ADD_ITEM [tenant] = "INSERT INTO dead_letters (tenant_id, id, kind, webhook_event_id, item_index, error_class, \
        error_message, created_at) VALUES ($1, $2, 'webhook_item', $3, $4, 'permanent', $5, $6) \
        ON CONFLICT (tenant_id, webhook_event_id, item_index) WHERE webhook_event_id IS NOT NULL \
        DO UPDATE SET resolved_at = NULL, resolution = NULL, error_message = excluded.error_message";
    LIST [tenant] = "SELECT id, kind, message_id, webhook_event_id, item_index, error_class, error_code, error_message, \
        created_at, resolved_at, resolution FROM dead_letters WHERE tenant_id = $1";
    RESOLVE [tenant] = "UPDATE dead_letters SET resolved_at = $3, resolution = $4 \
        WHERE tenant_id = $1 AND id = $2 AND resolved_at IS NULL RETURNING message_id, webhook_event_id";
    RESOLVE_MESSAGE [tenant] = "UPDATE dead_letters SET resolved_at = $3, resolution = $4 \
        WHERE tenant_id = $1 AND message_id = $2 AND resolved_at IS NULL";
}

row! {
    /// What a dead letter is about: one of the two.
    #[derive(Debug, Clone)]
    pub struct About { message_id: Option<MessageId>, webhook_event_id: Option<WebhookEventId> }

    /// A dead letter as the API shows it.
    #[derive(Debug, Clone)]
    pub struct DeadLetterRow {
        id: DeadLetterId,
        kind: String,
        message_id: Option<MessageId>,
        webhook_event_id: Option<WebhookEventId>,
        item_index: Option<i64>,
        error_class: String,
        error_code: Option<String>,
        error_message: String,
        created_at: Timestamp,
        resolved_at: Option<Timestamp>,
        resolution: Option<String>,
    }
}

/// A message that failed for good, or whose outcome stays unknown.
#[derive(Debug, Clone)]
pub struct DeadMessage {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The id of the dead letter.
    pub id: DeadLetterId,
    /// The message.
    pub message_id: MessageId,
    /// Why.
    pub error: ProviderError,
}

/// Adds failed messages. One that has an open dead letter already keeps it.
///
/// # Errors
/// What the database says.
pub fn add_messages(
    tx: &mut Tx<'_>,
    letters: &[DeadMessage],
    now: Timestamp,
) -> Result<(), StoreError> {
    let sets: Vec<_> = letters
        .iter()
        .map(|letter| {
            params![
                letter.tenant_id,
                letter.id,
                letter.message_id,
                letter.error.class.as_str(),
                letter.error.code.clone(),
                letter.error.message.clone(),
                now
            ]
        })
        .collect();
    tx.execute_many(&ADD_MESSAGE, &sets).map(|_| ())
}

/// An item of a webhook that could not be handled.
#[derive(Debug, Clone)]
pub struct DeadItem {
    /// The tenant of its channel.
    pub tenant_id: TenantId,
    /// The id of the dead letter.
    pub id: DeadLetterId,
    /// The request that held it.
    pub webhook_event_id: WebhookEventId,
    /// Its place in the request.
    pub index: u32,
    /// Why.
    pub reason: String,
}

/// Adds items that could not be handled. One that is there already is open again.
///
/// # Errors
/// What the database says.
pub fn add_items(tx: &mut Tx<'_>, items: &[DeadItem], now: Timestamp) -> Result<(), StoreError> {
    let sets: Vec<_> = items
        .iter()
        .map(|item| {
            params![
                item.tenant_id,
                item.id,
                item.webhook_event_id,
                item.index,
                item.reason.clone(),
                now
            ]
        })
        .collect();
    tx.execute_many(&ADD_ITEM, &sets).map(|_| ())
}

/// Dead letters, the latest first; resolved ones only when asked for.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    resolved: bool,
    before: Option<DeadLetterId>,
    limit: u32,
) -> Result<Vec<DeadLetterRow>, StoreError> {
    let mut sql = SqlBuilder::new(&LIST, &params![tenant]).and_some("id < ?", before);
    if !resolved {
        sql = sql.push(" AND resolved_at IS NULL", &[]);
    }
    tx.query_dynamic(&sql.push(" ORDER BY id DESC LIMIT ?", &[limit.into()]))
}

/// One dead letter.
///
/// # Errors
/// What the database says.
pub fn get(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: DeadLetterId,
) -> Result<Option<DeadLetterRow>, StoreError> {
    let sql = SqlBuilder::new(&LIST, &params![tenant]).and("id = ?", id);
    Ok(tx.query_dynamic(&sql)?.pop())
}

/// Marks an open dead letter as dealt with; what it was about, or `None` when it was not open.
///
/// # Errors
/// What the database says.
pub fn resolve(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: DeadLetterId,
    resolution: &str,
    now: Timestamp,
) -> Result<Option<About>, StoreError> {
    tx.query_opt(&RESOLVE, &params![tenant, id, now, resolution])
}

/// Marks the open dead letters of messages as dealt with, because a status or an answer settled them.
///
/// # Errors
/// What the database says.
pub fn resolve_messages(
    tx: &mut Tx<'_>,
    messages: &[(TenantId, MessageId)],
    resolution: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sets: Vec<_> = messages
        .iter()
        .map(|(tenant, message)| params![*tenant, *message, now, resolution])
        .collect();
    tx.execute_many(&RESOLVE_MESSAGE, &sets).map(|_| ())
}
