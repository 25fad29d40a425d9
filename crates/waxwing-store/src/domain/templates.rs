//! Templates of a tenant.

use std::collections::BTreeSet;

use uuid::Uuid;
use waxwing_core::ids::{TemplateId, TenantId};
use waxwing_core::limits;
use waxwing_core::template::{Template, key_from_name};
use waxwing_core::time::Timestamp;

use super::tenants;
use crate::{Json, StoreError, Tx, Value, params, row, statements};

statements! {
    INSERT_TEMPLATE [tenant] =
        "INSERT INTO templates (tenant_id, id, key, active, version, definition, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, 1, $5, $6, $6) ON CONFLICT (tenant_id, key) DO NOTHING";
    FIND_TEMPLATE [tenant] =
        "SELECT id, version, definition, created_at, updated_at FROM templates WHERE tenant_id = $1 AND key = $2";
    LIST_TEMPLATES [tenant] =
        "SELECT id, version, definition, created_at, updated_at FROM templates \
         WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    TEMPLATE_KEYS [tenant] = "SELECT key FROM templates WHERE tenant_id = $1";
    UPDATE_TEMPLATE [tenant] =
        "UPDATE templates SET active = $3, definition = $4, version = version + 1, updated_at = $5 \
         WHERE tenant_id = $1 AND key = $2";
    DELETE_TEMPLATE [tenant] = "DELETE FROM templates WHERE tenant_id = $1 AND key = $2";
}

row! {
    struct TemplateRow {
        id: TemplateId,
        version: i64,
        definition: Json<Template>,
        created_at: Timestamp,
        updated_at: Timestamp,
    }
}

/// A stored template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRecord {
    /// Its id.
    pub id: TemplateId,
    /// Counts its changes, from 1.
    pub version: i64,
    /// What it says.
    pub template: Template,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl From<TemplateRow> for TemplateRecord {
    fn from(row: TemplateRow) -> Self {
        Self {
            id: row.id,
            version: row.version,
            template: row.definition.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// What came of making a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It was stored.
    Created(Box<TemplateRecord>),
    /// The tenant has another template with this key. Nothing was changed.
    KeyTaken,
    /// The tenant has [`limits::TEMPLATES`] templates. Nothing was changed.
    Full,
    /// There is no such tenant.
    NoTenant,
}

/// Stores a new template. With `generate` its key is made from its name, with a number behind when that is used;
/// otherwise its own key is taken.
///
/// # Errors
/// What the database says.
pub fn create(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: TemplateId,
    template: &Template,
    generate: bool,
    now: Timestamp,
) -> Result<Creation, StoreError> {
    if !tenants::bump_config_version(tx, tenant, now)? {
        return Ok(Creation::NoTenant);
    }
    let used = keys(tx, tenant)?;
    if used.len() >= limits::TEMPLATES {
        return Ok(Creation::Full);
    }
    let mut template = template.clone();
    if generate {
        template.key = free_key(&key_from_name(&template.name), &used);
    }
    let definition = Value::json(&template)?;
    let inserted = tx.execute(
        &INSERT_TEMPLATE,
        &params![tenant, id, &template.key, template.active, definition, now],
    )?;
    if inserted == 0 {
        return Ok(Creation::KeyTaken);
    }
    Ok(Creation::Created(Box::new(TemplateRecord {
        id,
        version: 1,
        template,
        created_at: now,
        updated_at: now,
    })))
}

/// `base`, or `base_2`, `base_3` … that is not used. [`key_from_name`] leaves room for the number.
fn free_key(base: &str, used: &BTreeSet<String>) -> String {
    let numbered = (2..).map(|n| format!("{base}_{n}"));
    std::iter::once(base.to_owned())
        .chain(numbered)
        .find(|key| !used.contains(key))
        .expect("the numbers do not end")
}

/// A template by key, or `None` when the tenant has none.
///
/// # Errors
/// What the database says.
pub fn get(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    key: &str,
) -> Result<Option<TemplateRecord>, StoreError> {
    Ok(tx
        .query_opt::<TemplateRow>(&FIND_TEMPLATE, &params![tenant, key])?
        .map(Into::into))
}

/// Up to `limit` templates in the order of their making, those after `after`.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    after: Option<TemplateId>,
    limit: u32,
) -> Result<Vec<TemplateRecord>, StoreError> {
    let after = after.map_or(Uuid::nil(), TemplateId::uuid);
    let rows = tx.query::<TemplateRow>(&LIST_TEMPLATES, &params![tenant, after, limit])?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// All templates of a tenant, at most [`limits::TEMPLATES`].
///
/// # Errors
/// What the database says.
pub fn all(tx: &mut Tx<'_>, tenant: TenantId) -> Result<Vec<TemplateRecord>, StoreError> {
    list(
        tx,
        tenant,
        None,
        u32::try_from(limits::TEMPLATES).unwrap_or(u32::MAX),
    )
}

/// The keys of all templates of a tenant.
///
/// # Errors
/// What the database says.
pub fn keys(tx: &mut Tx<'_>, tenant: TenantId) -> Result<BTreeSet<String>, StoreError> {
    Ok(tx
        .query::<String>(&TEMPLATE_KEYS, &params![tenant])?
        .into_iter()
        .collect())
}

/// Replaces the template that has this one's key; its version rises by one. `None` when the tenant has none.
///
/// # Errors
/// What the database says.
pub fn put(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    template: &Template,
    now: Timestamp,
) -> Result<Option<TemplateRecord>, StoreError> {
    let definition = Value::json(template)?;
    tenants::bump_config_version(tx, tenant, now)?;
    tx.execute(
        &UPDATE_TEMPLATE,
        &params![tenant, &template.key, template.active, definition, now],
    )?;
    get(tx, tenant, &template.key)
}

/// Deletes a template; `false` when the tenant has none with this key.
///
/// # Errors
/// What the database says.
pub fn delete(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    key: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    tenants::bump_config_version(tx, tenant, now)?;
    Ok(tx.execute(&DELETE_TEMPLATE, &params![tenant, key])? == 1)
}

#[cfg(test)]
mod tests;
