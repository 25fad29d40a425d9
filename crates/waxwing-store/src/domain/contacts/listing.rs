//! Contacts as the API shows them.

use waxwing_core::identity::Alias;
use waxwing_core::ids::{ContactId, TenantId};
use waxwing_core::time::Timestamp;

use super::alias_key;
use crate::domain::contents;
use crate::domain::crypto::Keyring;
use crate::{SqlBuilder, StoreError, Tx, Value, params, row, statements};

statements! {
    GET [tenant] = "SELECT id, profile_name, phone_sealed, user_id_sealed, marketing, marketing_at, merged_into, blocked_at, erased_at, created_at, updated_at, profile_name_sealed \
        FROM contacts WHERE tenant_id = $1 AND id = $2";
    LIST [tenant] = "SELECT id, profile_name, phone_sealed, user_id_sealed, marketing, marketing_at, merged_into, blocked_at, erased_at, created_at, updated_at, profile_name_sealed \
        FROM contacts WHERE tenant_id = $1 AND merged_into IS NULL AND erased_at IS NULL";
    SET_BLOCKED [tenant] = "UPDATE contacts SET blocked_at = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2 AND erased_at IS NULL";
    BY_ALIAS [tenant] = "SELECT contact_id FROM contact_aliases WHERE tenant_id = $1 AND kind = $2 AND value_hash = $3";
}

row! {
    /// A contact. No `Debug`: it holds a name.
    #[derive(Clone)]
    pub struct ContactRecord {
        id: ContactId,
        profile_name: Option<String>,
        phone_sealed: Option<Vec<u8>>,
        user_id_sealed: Option<Vec<u8>>,
        marketing: Option<String>,
        marketing_at: Option<Timestamp>,
        merged_into: Option<ContactId>,
        blocked_at: Option<Timestamp>,
        erased_at: Option<Timestamp>,
        created_at: Timestamp,
        updated_at: Timestamp,
        profile_name_sealed: Option<Vec<u8>>,
    }
}

impl ContactRecord {
    /// The name that the person gave themselves.
    ///
    /// # Errors
    /// When the stored value does not open.
    pub fn name(&self, keyring: &Keyring, tenant: TenantId) -> Result<Option<String>, StoreError> {
        let sealed = self.profile_name_sealed.as_deref();
        contents::read_name(keyring, tenant, self.id, self.profile_name.clone(), sealed)
    }
}

/// What a list of contacts is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The one that this id leads to.
    pub alias: Option<Alias>,
    /// Those that are blocked, or those that are not.
    pub blocked: bool,
    /// Only those made before this one, for paging.
    pub before: Option<ContactId>,
}

/// Contacts, the latest first. Those that were merged into another are left out.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<ContactRecord>, StoreError> {
    let mut sql = SqlBuilder::new(&LIST, &params![tenant]);
    if let Some(alias) = &filter.alias {
        let key = alias_key(keyring, tenant, alias);
        let Some(contact) = tx.query_opt::<ContactId>(&BY_ALIAS, &key)? else {
            return Ok(Vec::new());
        };
        sql = sql.push(" AND id = ?", &[contact.into()]);
    }
    // Whoever asks for one person gets it either way.
    if filter.alias.is_none() {
        sql = sql.push(
            if filter.blocked {
                " AND blocked_at IS NOT NULL"
            } else {
                " AND blocked_at IS NULL"
            },
            &[],
        );
    }
    if let Some(before) = filter.before {
        sql = sql.push(" AND id < ?", &[before.into()]);
    }
    tx.query_dynamic(&sql.push(" ORDER BY id DESC LIMIT ?", &[Value::from(limit)]))
}

/// Blocks a contact at a moment, or lets it in again. `false` when the tenant has no such contact.
///
/// # Errors
/// What the database says.
pub fn set_blocked(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: ContactId,
    blocked: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let since = blocked.then_some(now);
    Ok(tx.execute(&SET_BLOCKED, &params![tenant, id, since, now])? == 1)
}

/// One contact, also one that was merged into another.
///
/// # Errors
/// What the database says.
pub fn record(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: ContactId,
) -> Result<Option<ContactRecord>, StoreError> {
    tx.query_opt(&GET, &params![tenant, id])
}
