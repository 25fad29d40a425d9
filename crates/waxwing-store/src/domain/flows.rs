//! The rules of a tenant. Each change is a new version of the whole set; older versions stay.

use waxwing_core::flow::FlowSet;
use waxwing_core::ids::{FlowId, TenantId};
use waxwing_core::time::Timestamp;

use super::tenants;
use crate::{Json, StoreError, Tx, Value, params, row, statements};

statements! {
    INSERT_FLOWS [tenant] =
        "INSERT INTO flow_sets (tenant_id, id, version, definition, created_at) VALUES ($1, $2, $3, $4, $5)";
    CURRENT_FLOWS [tenant, scan: "the index is in this order, its last row is the answer"] =
        "SELECT id, version, definition, created_at FROM flow_sets WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1";
    FLOWS_VERSION [tenant, scan: "the index is in this order, its last row is the answer"] =
        "SELECT version FROM flow_sets WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1";
}

row! {
    struct FlowRow { id: FlowId, version: i64, definition: Json<FlowSet>, created_at: Timestamp }
}

/// A stored version of a tenant's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRecord {
    /// Its id.
    pub id: FlowId,
    /// Its number, from 1.
    pub version: i64,
    /// The rules.
    pub set: FlowSet,
    /// When it was put.
    pub created_at: Timestamp,
}

/// Stores a new version of the rules, which is in force at once. `None` when there is no such tenant.
///
/// # Errors
/// What the database says.
pub fn put(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: FlowId,
    set: &FlowSet,
    now: Timestamp,
) -> Result<Option<FlowRecord>, StoreError> {
    if !tenants::bump_config_version(tx, tenant, now)? {
        return Ok(None);
    }
    let version = 1 + tx
        .query_opt::<i64>(&FLOWS_VERSION, &params![tenant])?
        .unwrap_or_default();
    tx.execute(
        &INSERT_FLOWS,
        &params![tenant, id, version, Value::json(set)?, now],
    )?;
    Ok(Some(FlowRecord {
        id,
        version,
        set: set.clone(),
        created_at: now,
    }))
}

/// The rules in force, or `None` when none were ever put.
///
/// # Errors
/// What the database says.
pub fn current(tx: &mut Tx<'_>, tenant: TenantId) -> Result<Option<FlowRecord>, StoreError> {
    let row = tx.query_opt::<FlowRow>(&CURRENT_FLOWS, &params![tenant])?;
    Ok(row.map(|row| FlowRecord {
        id: row.id,
        version: row.version,
        set: row.definition.0,
        created_at: row.created_at,
    }))
}

#[cfg(test)]
mod tests;
