//! Running processes and the leases they hold.
//!
//! A lease has a token that rises with every change of holder. Whoever writes under a lease checks the token in the
//! same transaction ([`fence`]), so that a holder that slept through its expiry changes nothing.

use waxwing_core::ids::NodeId;
use waxwing_core::time::Timestamp;

use crate::{StoreError, Tx, params, row, statements};

statements! {
    BY_NAME [global] = "SELECT id FROM nodes WHERE name = $1";
    ADD [global] = "INSERT INTO nodes (id, name, role, started_at, seen_at) VALUES ($1, $2, $3, $4, $4)";
    SEEN [global] = "UPDATE nodes SET seen_at = $2 WHERE id = $1";
    REMOVE [global] = "DELETE FROM nodes WHERE id = $1";
    SILENT [global, scan: "there are as many rows as running processes"] = "SELECT id FROM nodes WHERE seen_at < $1";
    WORKERS [global, scan: "there are as many rows as running processes"] =
        "SELECT count(*) FROM nodes WHERE role <> 'web' AND seen_at >= $1";
    ENSURE_LEASE [global] = "INSERT INTO leases (name, holder, token, expires_at) VALUES ($1, NULL, 0, 0) \
        ON CONFLICT (name) DO NOTHING";
    ACQUIRE [global] = "UPDATE leases SET holder = $2, token = token + 1, expires_at = $3 \
        WHERE name = $1 AND (holder IS NULL OR expires_at < $4) RETURNING token";
    RENEW [global] = "UPDATE leases SET expires_at = $4 WHERE name = $1 AND holder = $2 AND token = $3";
    RELEASE [global] = "UPDATE leases SET holder = NULL WHERE name = $1 AND holder = $2 AND token = $3";
    RELEASE_ALL [global, scan: "there are as many rows as leases: a handful"] =
        "UPDATE leases SET holder = NULL WHERE holder = $1";
    FENCE [global] = "SELECT token FROM leases WHERE name = $1 AND holder = $2 AND token = $3 {lock}";
}

row! {
    /// The id of a process.
    #[derive(Debug, Clone)]
    pub struct NodeRow { id: NodeId }
}

/// Announces a process. A process of the same name must have ended (the lock in its data directory sees to that): its
/// leases are released, and its id is returned so that its claims can be recovered.
///
/// # Errors
/// What the database says.
pub fn register(
    tx: &mut Tx<'_>,
    id: NodeId,
    name: &str,
    role: &str,
    now: Timestamp,
) -> Result<Option<NodeId>, StoreError> {
    let before = tx
        .query_opt::<NodeRow>(&BY_NAME, &params![name])?
        .map(|row| row.id);
    if let Some(before) = before {
        remove(tx, before)?;
    }
    tx.execute(&ADD, &params![id, name, role, now])?;
    Ok(before)
}

/// Says that a process lives.
///
/// # Errors
/// What the database says.
pub fn seen(tx: &mut Tx<'_>, id: NodeId, now: Timestamp) -> Result<bool, StoreError> {
    tx.execute(&SEEN, &params![id, now])
        .map(|changed| changed > 0)
}

/// Forgets a process and releases its leases.
///
/// # Errors
/// What the database says.
pub fn remove(tx: &mut Tx<'_>, id: NodeId) -> Result<(), StoreError> {
    tx.execute(&RELEASE_ALL, &params![id])?;
    tx.execute(&REMOVE, &params![id]).map(|_| ())
}

/// The processes that were silent since a moment.
///
/// # Errors
/// What the database says.
pub fn silent_since(tx: &mut Tx<'_>, moment: Timestamp) -> Result<Vec<NodeId>, StoreError> {
    Ok(tx
        .query::<NodeRow>(&SILENT, &params![moment])?
        .into_iter()
        .map(|row| row.id)
        .collect())
}

/// How many processes with workers were seen since a moment.
///
/// # Errors
/// What the database says.
pub fn workers_since(tx: &mut Tx<'_>, moment: Timestamp) -> Result<u32, StoreError> {
    tx.query_one(&WORKERS, &params![moment])
}

/// A lease that this process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub name: String,
    /// Who holds it.
    pub holder: NodeId,
    /// Rises with every change of holder.
    pub token: i64,
}

/// Takes a lease that is free or has expired; `None` when somebody holds it.
///
/// # Errors
/// What the database says.
pub fn acquire(
    tx: &mut Tx<'_>,
    name: &str,
    holder: NodeId,
    until: Timestamp,
    now: Timestamp,
) -> Result<Option<Lease>, StoreError> {
    tx.execute(&ENSURE_LEASE, &params![name])?;
    let token = tx.query_opt::<i64>(&ACQUIRE, &params![name, holder, until, now])?;
    Ok(token.map(|token| Lease {
        name: name.to_owned(),
        holder,
        token,
    }))
}

/// Prolongs a lease; `false` when it is lost.
///
/// # Errors
/// What the database says.
pub fn renew(tx: &mut Tx<'_>, lease: &Lease, until: Timestamp) -> Result<bool, StoreError> {
    tx.execute(
        &RENEW,
        &params![lease.name.as_str(), lease.holder, lease.token, until],
    )
    .map(|changed| changed > 0)
}

/// Gives a lease back.
///
/// # Errors
/// What the database says.
pub fn release(tx: &mut Tx<'_>, lease: &Lease) -> Result<(), StoreError> {
    tx.execute(
        &RELEASE,
        &params![lease.name.as_str(), lease.holder, lease.token],
    )
    .map(|_| ())
}

/// Makes the transaction void unless the lease is still held: call it first in every write under the lease.
///
/// # Errors
/// [`StoreError::Refused`] when the lease is lost.
pub fn fence(tx: &mut Tx<'_>, lease: &Lease) -> Result<(), StoreError> {
    let held = tx.query_opt::<i64>(
        &FENCE,
        &params![lease.name.as_str(), lease.holder, lease.token],
    )?;
    held.map(|_| ())
        .ok_or(StoreError::Refused("the lease was lost"))
}
