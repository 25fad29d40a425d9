//! The outbox: domain events, written in the transaction of what they tell of.

use waxwing_core::ids::{OutboxEventId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::time::Timestamp;

use crate::{Json, SqlBuilder, StoreError, Tx, Value, inserts, params, row, statements};

inserts! {
    APPEND [tenant] = outbox_events(tenant_id uuid, id uuid, type text, data json, created_at time) "";
}

statements! {
    LIST [tenant] = "SELECT id, type, data, created_at FROM outbox_events WHERE tenant_id = $1 AND id > $2";
}

row! {
    /// An event as the API shows it.
    #[derive(Debug, Clone)]
    pub struct EventRow {
        id: OutboxEventId,
        event_type: String,
        data: Json<serde_json::Value>,
        created_at: Timestamp,
    }
}

/// An event to write.
#[derive(Debug, Clone)]
pub struct NewOutboxEvent {
    /// Whose event.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: OutboxEventId,
    /// What happened.
    pub event: DomainEvent,
}

/// Writes events.
///
/// # Errors
/// What the database says.
pub fn append(
    tx: &mut Tx<'_>,
    events: &[NewOutboxEvent],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = events
        .iter()
        .map(|event| {
            let data = Value::json(&event.event)?;
            Ok(params![
                event.tenant_id,
                event.id,
                event.event.event_type(),
                data,
                now
            ])
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    tx.insert_many(&APPEND, &rows).map(|_| ())
}

/// The events after `after`, oldest first, but none younger than `until`: on PostgreSQL a lower id may become visible
/// after a higher one, so a reader keeps a little behind.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    after: Option<OutboxEventId>,
    event_type: Option<&str>,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), OutboxEventId::uuid);
    let sql = SqlBuilder::new(&LIST, &params![tenant, after])
        .and("created_at <= ?", until)
        .and_some("type = ?", event_type)
        .push(" ORDER BY id LIMIT ?", &[limit.into()]);
    tx.query_dynamic(&sql)
}
