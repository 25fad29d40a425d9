//! Tenants, their settings, and the version that tells caches to read again.

use std::collections::BTreeMap;

use uuid::Uuid;
use waxwing_core::flow::FlowSet;
use waxwing_core::ids::TenantId;
use waxwing_core::settings::TenantSettings;
use waxwing_core::template::Template;
use waxwing_core::time::Timestamp;

use super::{flows, keys, templates};
use crate::{Json, StoreError, Tx, Value, params, row, statements};

/// The default tenant: the platform admin's own, and the owner of the channel that the settings describe. Its id is
/// fixed, so that every node makes the same one.
pub const DEFAULT_TENANT: TenantId =
    TenantId::from_uuid(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001));

/// The name that the default tenant gets when it is made.
pub const DEFAULT_TENANT_NAME: &str = "Default";

statements! {
    INSERT_TENANT [global] =
        "INSERT INTO tenants (id, name, settings, config_version, created_at, updated_at) VALUES ($1, $2, $3, 1, $4, $4)";
    ENSURE_TENANT [global] =
        "INSERT INTO tenants (id, name, settings, config_version, created_at, updated_at) VALUES ($1, $2, $3, 1, $4, $4) \
         ON CONFLICT (id) DO NOTHING";
    FIND_TENANT [global] =
        "SELECT id, name, settings, config_version, created_at, updated_at FROM tenants WHERE id = $1 AND erasing_since IS NULL";
    LOCK_TENANT [global] =
        "SELECT id, name, settings, config_version, created_at, updated_at FROM tenants WHERE id = $1 AND erasing_since IS NULL {lock}";
    LIST_TENANTS [global] =
        "SELECT id, name, settings, config_version, created_at, updated_at FROM tenants \
         WHERE id > $1 AND erasing_since IS NULL ORDER BY id LIMIT $2";
    UPDATE_TENANT [global] =
        "UPDATE tenants SET name = $2, settings = $3, config_version = config_version + 1, updated_at = $4 WHERE id = $1";
    SEAL_CONTENT [global] = "UPDATE tenants SET content_sealed_since = $2 WHERE id = $1";
    BUMP_CONFIG [global] =
        "UPDATE tenants SET config_version = config_version + 1, updated_at = $2 WHERE id = $1";
    CONFIG_VERSION [global] = "SELECT config_version FROM tenants WHERE id = $1";
}

row! {
    #[derive(Debug, Clone)]
    struct TenantRow {
        id: TenantId,
        name: String,
        settings: Json<TenantSettings>,
        config_version: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// What it has set.
    pub settings: TenantSettings,
    /// Rises with every change of its templates, flows and settings.
    pub config_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it, its templates or its flows were changed last.
    pub updated_at: Timestamp,
}

impl From<TenantRow> for TenantRecord {
    fn from(row: TenantRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            settings: row.settings.0,
            config_version: row.config_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// All that the conversation workers need to know of a tenant.
#[derive(Debug, Clone)]
pub struct TenantConfig {
    /// The version under which to keep it.
    pub config_version: i64,
    /// The settings.
    pub settings: TenantSettings,
    /// The templates by key, inactive ones included.
    pub templates: BTreeMap<String, Template>,
    /// The current rules; empty when none were ever put.
    pub flows: FlowSet,
    /// The version of the rules, 0 when none were ever put.
    pub flows_version: i64,
}

/// Makes a tenant.
///
/// # Errors
/// What the database says; [`StoreError::Conflict`] when the id is used.
pub fn create(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    name: &str,
    settings: &TenantSettings,
    now: Timestamp,
) -> Result<TenantRecord, StoreError> {
    tx.execute(
        &INSERT_TENANT,
        &params![tenant, name, Value::json(settings)?, now],
    )?;
    if settings.encrypt_content {
        seal_content(tx, tenant, true, now)?;
    }
    Ok(TenantRecord {
        id: tenant,
        name: name.to_owned(),
        settings: settings.clone(),
        config_version: 1,
        created_at: now,
        updated_at: now,
    })
}

/// Tells all nodes whether what people write in a tenant is sealed.
fn seal_content(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    wanted: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&SEAL_CONTENT, &params![tenant, wanted.then_some(now)])?;
    keys::changed(tx)
}

/// Makes the default tenant unless it is there. Existing settings stay.
///
/// # Errors
/// What the database says.
pub fn ensure_default(
    tx: &mut Tx<'_>,
    settings: &TenantSettings,
    now: Timestamp,
) -> Result<TenantRecord, StoreError> {
    tx.execute(
        &ENSURE_TENANT,
        &params![
            DEFAULT_TENANT,
            DEFAULT_TENANT_NAME,
            Value::json(settings)?,
            now
        ],
    )?;
    tx.query_one::<TenantRow>(&FIND_TENANT, &params![DEFAULT_TENANT])
        .map(Into::into)
}

/// A tenant, or `None` when there is none with this id.
///
/// # Errors
/// What the database says.
pub fn get(tx: &mut Tx<'_>, tenant: TenantId) -> Result<Option<TenantRecord>, StoreError> {
    Ok(tx
        .query_opt::<TenantRow>(&FIND_TENANT, &params![tenant])?
        .map(Into::into))
}

/// Up to `limit` tenants in the order of their making, those after `after`.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    after: Option<TenantId>,
    limit: u32,
) -> Result<Vec<TenantRecord>, StoreError> {
    let after = after.map_or(Uuid::nil(), TenantId::uuid);
    Ok(tx
        .query::<TenantRow>(&LIST_TENANTS, &params![after, limit])?
        .into_iter()
        .map(Into::into)
        .collect())
}

/// Changes the name and settings of a tenant. `change` sees the present record and edits name and settings; changes of
/// one tenant wait for each other. `None` when there is no such tenant.
///
/// # Errors
/// What the database says.
pub fn update(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    now: Timestamp,
    change: impl Fn(&mut String, &mut TenantSettings),
) -> Result<Option<TenantRecord>, StoreError> {
    let Some(row) = tx.query_opt::<TenantRow>(&LOCK_TENANT, &params![tenant])? else {
        return Ok(None);
    };
    let mut record = TenantRecord::from(row);
    let sealed = record.settings.encrypt_content;
    change(&mut record.name, &mut record.settings);
    if record.settings.encrypt_content != sealed {
        seal_content(tx, tenant, record.settings.encrypt_content, now)?;
    }
    tx.execute(
        &UPDATE_TENANT,
        &params![tenant, &record.name, Value::json(&record.settings)?, now],
    )?;
    record.config_version += 1;
    record.updated_at = now;
    Ok(Some(record))
}

/// Tells every cache that the tenant's templates, flows or settings changed. Holds the tenant's row until the commit,
/// so it is also the lock under which templates and flows change: call it first. `false` when there is no such tenant.
///
/// # Errors
/// What the database says.
pub fn bump_config_version(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&BUMP_CONFIG, &params![tenant, now])? == 1)
}

/// The version of a tenant's configuration, or `None` when there is no such tenant.
///
/// # Errors
/// What the database says.
pub fn config_version(tx: &mut Tx<'_>, tenant: TenantId) -> Result<Option<i64>, StoreError> {
    tx.query_opt(&CONFIG_VERSION, &params![tenant])
}

/// Settings, templates and rules of a tenant. The version is read before the rest: under concurrent changes the
/// content may be newer than the version says, never older, so that a cache reads once too often at worst.
///
/// # Errors
/// What the database says.
pub fn load_tenant_config(
    tx: &mut Tx<'_>,
    tenant: TenantId,
) -> Result<Option<TenantConfig>, StoreError> {
    let Some(record) = get(tx, tenant)? else {
        return Ok(None);
    };
    let templates = templates::all(tx, tenant)?
        .into_iter()
        .map(|record| (record.template.key.clone(), record.template));
    let templates = templates.collect();
    let (flows_version, flows) =
        flows::current(tx, tenant)?.map_or_else(Default::default, |flow| (flow.version, flow.set));
    Ok(Some(TenantConfig {
        config_version: record.config_version,
        settings: record.settings,
        templates,
        flows,
        flows_version,
    }))
}

/// The config versions of tenants: one small row each, so that a batch can tell whether what it keeps is current.
///
/// # Errors
/// What the database says.
pub fn config_versions(
    tx: &mut Tx<'_>,
    tenants: &[TenantId],
) -> Result<Vec<Option<i64>>, StoreError> {
    let sets: Vec<_> = tenants.iter().map(|tenant| params![*tenant]).collect();
    Ok(tx
        .query_many::<i64>(&CONFIG_VERSION, &sets)?
        .into_iter()
        .map(|rows| rows.into_iter().next())
        .collect())
}

#[cfg(test)]
mod tests;
