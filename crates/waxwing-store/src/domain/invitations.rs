//! Invitations of people to tenants.

use uuid::Uuid;
use waxwing_core::access::Role;
use waxwing_core::account::Email;
use waxwing_core::ids::{InvitationId, TenantId};
use waxwing_core::time::Timestamp;

use super::users::read_role;
use crate::{StoreError, Tx, params, row, statements};

statements! {
    COUNT [tenant] = "SELECT count(*) FROM invitations WHERE tenant_id = $1";
    /// A new invitation to the same address takes the place of the old one.
    PUT [tenant] = "INSERT INTO invitations (tenant_id, id, email, role, token_hash, created_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, email) DO UPDATE SET id = excluded.id, role = excluded.role, \
        token_hash = excluded.token_hash, created_at = excluded.created_at, expires_at = excluded.expires_at";
    LIST [tenant] = "SELECT tenant_id, id, email, role, created_at, expires_at FROM invitations \
        WHERE tenant_id = $1 AND id > $2 AND expires_at > $4 ORDER BY id LIMIT $3";
    BY_TOKEN [global] = "SELECT tenant_id, id, email, role, created_at, expires_at FROM invitations \
        WHERE token_hash = $1 AND expires_at > $2";
    /// Whoever deletes it has used it.
    TAKE [tenant] = "DELETE FROM invitations WHERE tenant_id = $1 AND id = $2";
    DELETE_OLD [tenant] = "DELETE FROM invitations WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM invitations WHERE expires_at < $1 LIMIT $2)";
}

/// Open invitations of a tenant.
pub const INVITATIONS_MAX: u64 = 200;

row! {
    struct InvitationRow {
        tenant_id: TenantId,
        id: InvitationId,
        email: String,
        role: String,
        created_at: Timestamp,
        expires_at: Timestamp,
    }
}

/// An invitation.
#[derive(Debug, Clone)]
pub struct InvitationRecord {
    /// To which tenant.
    pub tenant_id: TenantId,
    /// Its id; not the token.
    pub id: InvitationId,
    /// Whom.
    pub email: Email,
    /// As what.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

impl InvitationRow {
    fn read(self) -> Result<InvitationRecord, StoreError> {
        Ok(InvitationRecord {
            tenant_id: self.tenant_id,
            id: self.id,
            email: Email::parse(&self.email)
                .ok_or_else(|| StoreError::corrupt("an invitation without an address"))?,
            role: read_role(&self.role)?,
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

/// Keeps an invitation. `false` when the tenant has as many open ones as it may.
///
/// # Errors
/// What the database says.
pub fn put(
    tx: &mut Tx<'_>,
    invitation: &InvitationRecord,
    token_hash: &[u8],
) -> Result<bool, StoreError> {
    if tx.query_one::<u64>(&COUNT, &params![invitation.tenant_id])? >= INVITATIONS_MAX {
        return Ok(false);
    }
    let values = params![
        invitation.tenant_id,
        invitation.id,
        invitation.email.as_str(),
        invitation.role.as_str(),
        token_hash.to_vec(),
        invitation.created_at,
        invitation.expires_at
    ];
    tx.execute(&PUT, &values).map(|_| true)
}

/// Up to `limit` open invitations of a tenant, those after `after`.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    after: Option<InvitationId>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<InvitationRecord>, StoreError> {
    let after = after.map_or(Uuid::nil(), InvitationId::uuid);
    let rows = tx.query::<InvitationRow>(&LIST, &params![tenant, after, limit, now])?;
    rows.into_iter().map(InvitationRow::read).collect()
}

/// The invitation of a token, if it is good.
///
/// # Errors
/// What the database says.
pub fn by_token(
    tx: &mut Tx<'_>,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<InvitationRecord>, StoreError> {
    tx.query_opt::<InvitationRow>(&BY_TOKEN, &params![token_hash.to_vec(), now])?
        .map(InvitationRow::read)
        .transpose()
}

/// Uses an invitation up, or takes it back; `false` when there is none.
///
/// # Errors
/// What the database says.
pub fn take(tx: &mut Tx<'_>, tenant: TenantId, id: InvitationId) -> Result<bool, StoreError> {
    Ok(tx.execute(&TAKE, &params![tenant, id])? == 1)
}

/// Deletes up to `limit` invitations that were over at `before`; how many it were.
///
/// # Errors
/// What the database says.
pub fn delete_over(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    tx.execute(&DELETE_OLD, &params![before, limit])
}
