//! Contacts as the API shows them.

use waxwing_core::identity::Alias;
use waxwing_core::ids::{ContactId, TenantId};
use waxwing_core::time::Timestamp;

use super::alias_key;
use crate::domain::crypto::Keyring;
use crate::{SqlBuilder, StoreError, Tx, Value, params, row, statements};

statements! {
    GET [tenant] = "SELECT id, profile_name, phone_sealed, user_id_sealed, marketing, marketing_at, merged_into, created_at, updated_at \
        FROM contacts WHERE tenant_id = $1 AND id = $2";
    LIST [tenant] = "SELECT id, profile_name, phone_sealed, user_id_sealed, marketing, marketing_at, merged_into, created_at, updated_at \
        FROM contacts WHERE tenant_id = $1 AND merged_into IS NULL";
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
        created_at: Timestamp,
        updated_at: Timestamp,
    }
}

/// What a list of contacts is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The one that this id leads to.
    pub alias: Option<Alias>,
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
    if let Some(before) = filter.before {
        sql = sql.push(" AND id < ?", &[before.into()]);
    }
    tx.query_dynamic(&sql.push(" ORDER BY id DESC LIMIT ?", &[Value::from(limit)]))
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
