//! Objects of the object store, as the database knows them.

use uuid::Uuid;
use waxwing_core::ids::TenantId;
use waxwing_core::time::Timestamp;

use super::Stored;
use crate::{StoreError, Tx, inserts, params, statements};

inserts! {
    BEGIN_OBJECTS [tenant] = media_objects(tenant_id uuid, id uuid, state text, size int, changed_at time) "";
}

statements! {
    /// Whoever refers to an object holds its row until the end of the transaction, and so does whoever takes it away.
    TOUCH_CONTENT [tenant] = "UPDATE media_objects SET changed_at = $3 WHERE tenant_id = $1 AND sha256 = $2 AND state = 'stored' RETURNING id";
    KEEP_OBJECT [tenant] = "UPDATE media_objects SET state = 'stored', sha256 = $3, size = $4, changed_at = $5 \
        WHERE tenant_id = $1 AND id = $2 AND state = 'writing'";
    GIVE_UP_OBJECT [tenant] = "UPDATE media_objects SET state = 'deleting', changed_at = $3 \
        WHERE tenant_id = $1 AND id = $2 AND state = 'writing'";
    LOCK_OBJECT [tenant] = "SELECT id FROM media_objects WHERE tenant_id = $1 AND id = $2 AND state = 'stored' {lock}";
    ORPHAN [tenant] = "UPDATE media_objects SET state = 'deleting', changed_at = $3 WHERE tenant_id = $1 AND id = $2 AND state = 'stored' \
        AND NOT EXISTS (SELECT 1 FROM media m WHERE m.tenant_id = $1 AND m.object_id = $2)";
    LOST_OBJECTS [tenant] = "UPDATE media_objects SET state = 'deleting' WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM media_objects WHERE state <> 'stored' AND changed_at < $1 AND state = 'writing' LIMIT $2)";
    DELETING [global] = "SELECT tenant_id, id FROM media_objects WHERE state <> 'stored' AND changed_at <= $1 AND state = 'deleting' ORDER BY changed_at, tenant_id, id LIMIT $2";
    FORGET_OBJECT [tenant] = "DELETE FROM media_objects WHERE tenant_id = $1 AND id = $2 AND state = 'deleting'";
    TOTALS [global, scan: "once an hour"] = "SELECT count(*), CAST(COALESCE(sum(size), 0) AS BIGINT) FROM media_objects WHERE state = 'stored'";
    WAITING [global, scan: "counts the partial index of what waits"] = "SELECT count(*) FROM media WHERE status = 'pending'";
}

/// Announces objects that are about to be written.
///
/// # Errors
/// What the database says.
pub fn begin_objects(
    tx: &mut Tx<'_>,
    objects: &[(TenantId, Uuid)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows: Vec<_> = objects
        .iter()
        .map(|(tenant, id)| params![*tenant, *id, "writing", 0i64, now])
        .collect();
    tx.insert_many(&BEGIN_OBJECTS, &rows).map(|_| ())
}

/// The object that holds some content, kept from being taken away until the end of the transaction. `None` when the
/// tenant has no such content.
///
/// # Errors
/// What the database says.
pub fn hold_content(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    sha256: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Uuid>, StoreError> {
    tx.query_opt(&TOUCH_CONTENT, &params![tenant, sha256.to_vec(), now])
}

/// The object under which content stands from now on: the one that has it already, or the one that was just written.
/// In the first case the new one is given up.
pub(super) fn settle(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    stored: &Stored,
    now: Timestamp,
) -> Result<Uuid, StoreError> {
    if let Some(known) = hold_content(tx, tenant, &stored.sha256, now)? {
        give_up_object(tx, tenant, stored.object, now)?;
        return Ok(known);
    }
    let size = i64::try_from(stored.size).unwrap_or(i64::MAX);
    let kept = tx.execute(
        &KEEP_OBJECT,
        &params![tenant, stored.object, stored.sha256.to_vec(), size, now],
    )?;
    if kept == 0 {
        return Err(StoreError::Refused("the object was taken away in between"));
    }
    Ok(stored.object)
}

/// An object that was begun will not be used.
///
/// # Errors
/// What the database says.
pub fn give_up_object(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    object: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&GIVE_UP_OBJECT, &params![tenant, object, now])
        .map(|_| ())
}

/// Marks an object that no file has. The lock comes first, in a statement of its own: on PostgreSQL the look for files
/// then sees those of transactions that held the lock before.
pub(super) fn orphan(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    object: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    if tx
        .query_opt::<Uuid>(&LOCK_OBJECT, &params![tenant, object])?
        .is_some()
    {
        tx.execute(&ORPHAN, &params![tenant, object, now])?;
    }
    Ok(())
}

/// Marks at most `limit` objects that were begun before `before` and never finished; how many it were.
///
/// # Errors
/// What the database says.
pub fn mark_lost(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    tx.execute(&LOST_OBJECTS, &params![before, limit])
}

/// Objects that are to be taken away from the object store.
///
/// # Errors
/// What the database says.
pub fn deleting(
    tx: &mut Tx<'_>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<(TenantId, Uuid)>, StoreError> {
    tx.query(&DELETING, &params![now, limit])
}

/// Forgets objects that the object store no longer has.
///
/// # Errors
/// What the database says.
pub fn forget_objects(tx: &mut Tx<'_>, objects: &[(TenantId, Uuid)]) -> Result<(), StoreError> {
    let sets: Vec<_> = objects
        .iter()
        .map(|(tenant, id)| params![*tenant, *id])
        .collect();
    tx.execute_many(&FORGET_OBJECT, &sets).map(|_| ())
}

/// How many objects there are, their bytes, and how many files wait to be fetched.
///
/// # Errors
/// What the database says.
pub fn totals(tx: &mut Tx<'_>) -> Result<(i64, i64, i64), StoreError> {
    let (count, bytes) = tx.query_one::<(i64, i64)>(&TOTALS, &[])?;
    Ok((count, bytes, tx.query_one::<i64>(&WAITING, &[])?))
}
