//! Credentials of programs. Of each only a keyed hash and its first letters are kept.

use uuid::Uuid;
use waxwing_core::access::Role;
use waxwing_core::ids::{ApiKeyId, TenantId};
use waxwing_core::time::Timestamp;

use super::users::read_role;
use crate::{StoreError, Tx, params, row, statements};

statements! {
    COUNT [tenant] = "SELECT count(*) FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL";
    ADD [tenant] = "INSERT INTO api_keys (tenant_id, id, name, role, token_hash, hint, created_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    BY_TOKEN [global] = "SELECT tenant_id, id, name, role, hint, created_at, expires_at, used_at, revoked_at FROM api_keys \
        WHERE token_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";
    LIST [tenant] = "SELECT tenant_id, id, name, role, hint, created_at, expires_at, used_at, revoked_at FROM api_keys \
        WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    GET [tenant] = "SELECT tenant_id, id, name, role, hint, created_at, expires_at, used_at, revoked_at FROM api_keys \
        WHERE tenant_id = $1 AND id = $2";
    USED [tenant] = "UPDATE api_keys SET used_at = $3 WHERE tenant_id = $1 AND id = $2 AND (used_at IS NULL OR used_at < $3)";
    REVOKE [tenant] = "UPDATE api_keys SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
}

/// Keys of a tenant that are good at the same time.
pub const KEYS_MAX: u64 = 100;

row! {
    struct KeyRow {
        tenant_id: TenantId,
        id: ApiKeyId,
        name: String,
        role: String,
        hint: String,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
        used_at: Option<Timestamp>,
        revoked_at: Option<Timestamp>,
    }
}

/// A credential of a program.
#[derive(Debug, Clone)]
pub struct ApiKeyRecord {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id; not the token.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// What the program may do.
    pub role: Role,
    /// Its first letters.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to a few minutes.
    pub used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl KeyRow {
    fn read(self) -> Result<ApiKeyRecord, StoreError> {
        Ok(ApiKeyRecord {
            tenant_id: self.tenant_id,
            id: self.id,
            role: read_role(&self.role)?,
            name: self.name,
            hint: self.hint,
            created_at: self.created_at,
            expires_at: self.expires_at,
            used_at: self.used_at,
            revoked_at: self.revoked_at,
        })
    }
}

/// Keeps a key. `false` when the tenant has as many as it may.
///
/// # Errors
/// What the database says.
pub fn add(tx: &mut Tx<'_>, key: &ApiKeyRecord, token_hash: &[u8]) -> Result<bool, StoreError> {
    if tx.query_one::<u64>(&COUNT, &params![key.tenant_id])? >= KEYS_MAX {
        return Ok(false);
    }
    let values = params![
        key.tenant_id,
        key.id,
        &key.name,
        key.role.as_str(),
        token_hash.to_vec(),
        &key.hint,
        key.created_at,
        key.expires_at
    ];
    tx.execute(&ADD, &values).map(|_| true)
}

/// The key of a token, if it is good.
///
/// # Errors
/// What the database says.
pub fn by_token(
    tx: &mut Tx<'_>,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<ApiKeyRecord>, StoreError> {
    tx.query_opt::<KeyRow>(&BY_TOKEN, &params![token_hash.to_vec(), now])?
        .map(KeyRow::read)
        .transpose()
}

/// Up to `limit` keys of a tenant, revoked ones too, those after `after`.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    after: Option<ApiKeyId>,
    limit: u32,
) -> Result<Vec<ApiKeyRecord>, StoreError> {
    let after = after.map_or(Uuid::nil(), ApiKeyId::uuid);
    let rows = tx.query::<KeyRow>(&LIST, &params![tenant, after, limit])?;
    rows.into_iter().map(KeyRow::read).collect()
}

/// A key.
///
/// # Errors
/// What the database says.
pub fn get(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: ApiKeyId,
) -> Result<Option<ApiKeyRecord>, StoreError> {
    tx.query_opt::<KeyRow>(&GET, &params![tenant, id])?
        .map(KeyRow::read)
        .transpose()
}

/// Notes that a key was used.
///
/// # Errors
/// What the database says.
pub fn used(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&USED, &params![tenant, id, now]).map(|_| ())
}

/// Ends a key; `false` when it has ended, or there is none.
///
/// # Errors
/// What the database says.
pub fn revoke(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&REVOKE, &params![tenant, id, now])? == 1)
}
