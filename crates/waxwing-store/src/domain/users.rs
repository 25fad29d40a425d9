//! People who log in, and what they are in which tenant.

use uuid::Uuid;
use waxwing_core::access::Role;
use waxwing_core::account::Email;
use waxwing_core::ids::{TenantId, UserId};
use waxwing_core::time::Timestamp;

use crate::{StoreError, Tx, params, row, statements};

statements! {
    ADD [global] = "INSERT INTO users (id, email, name, password_hash, status, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, 'active', $5, $5)";
    BY_EMAIL [global] = "SELECT id, email, name, password_hash, status, created_at FROM users WHERE email = $1";
    BY_ID [global] = "SELECT id, email, name, password_hash, status, created_at FROM users WHERE id = $1";
    LIST [global] = "SELECT id, email, name, password_hash, status, created_at FROM users WHERE id > $1 ORDER BY id LIMIT $2";
    SET_PASSWORD [global] = "UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1";
    SET_STATUS [global] = "UPDATE users SET status = $2, updated_at = $3 WHERE id = $1";
    ANY [global, scan: "the first row is the answer"] = "SELECT id FROM users LIMIT 1";
    JOIN [tenant] = "INSERT INTO memberships (tenant_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)";
    ROLE [tenant] = "SELECT role FROM memberships WHERE tenant_id = $1 AND user_id = $2";
    /// The owners are looked at together, so that two changes at once cannot take the last two.
    OWNERS [tenant] = "SELECT user_id FROM memberships WHERE tenant_id = $1 AND role = 'owner' ORDER BY user_id {lock}";
    SET_ROLE [tenant] = "UPDATE memberships SET role = $3 WHERE tenant_id = $1 AND user_id = $2";
    LEAVE [tenant] = "DELETE FROM memberships WHERE tenant_id = $1 AND user_id = $2";
    MEMBERS [tenant] = "SELECT u.id, u.email, u.name, u.status, m.role, m.created_at FROM memberships m \
        JOIN users u ON u.id = m.user_id WHERE m.tenant_id = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3";
    MEMBER [tenant] = "SELECT u.id, u.email, u.name, u.status, m.role, m.created_at FROM memberships m \
        JOIN users u ON u.id = m.user_id WHERE m.tenant_id = $1 AND m.user_id = $2";
    TENANTS_OF [global] = "SELECT m.tenant_id, t.name, m.role FROM memberships m JOIN tenants t ON t.id = m.tenant_id \
        WHERE m.user_id = $1 ORDER BY m.tenant_id LIMIT $2";
}

row! {
    struct UserRow { id: UserId, email: String, name: String, password_hash: String, status: String, created_at: Timestamp }

    struct MemberRow { id: UserId, email: String, name: String, status: String, role: String, created_at: Timestamp }

    struct TenantRow { tenant_id: TenantId, name: String, role: String }
}

/// Tenants of one user that are shown.
const TENANTS_MAX: u32 = 200;

/// A person who logs in. No `Debug`: it holds what only the login may see.
#[derive(Clone)]
pub struct UserRecord {
    /// The id.
    pub id: UserId,
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
    /// The PHC string of the password.
    pub password_hash: String,
    /// Whether the person may log in.
    pub active: bool,
    /// When the account was made.
    pub created_at: Timestamp,
}

impl From<UserRow> for UserRecord {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            password_hash: row.password_hash,
            active: row.status == "active",
            created_at: row.created_at,
        }
    }
}

/// A person of a tenant.
#[derive(Clone)]
pub struct Member {
    /// The person.
    pub id: UserId,
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
    /// Whether the person may log in.
    pub active: bool,
    /// What the person is in the tenant.
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
}

impl MemberRow {
    fn read(self) -> Result<Member, StoreError> {
        Ok(Member {
            id: self.id,
            email: self.email,
            name: self.name,
            active: self.status == "active",
            role: read_role(&self.role)?,
            since: self.created_at,
        })
    }
}

/// A tenant of a person.
#[derive(Debug, Clone)]
pub struct TenantOf {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: String,
    /// What the person is there.
    pub role: Role,
}

/// A person to be added.
pub struct NewUser<'a> {
    /// The id.
    pub id: UserId,
    /// The address.
    pub email: &'a Email,
    /// The name.
    pub name: &'a str,
    /// The PHC string of the password.
    pub password_hash: &'a str,
}

pub(super) fn read_role(word: &str) -> Result<Role, StoreError> {
    Role::parse(word).ok_or_else(|| StoreError::corrupt("a role that nobody knows"))
}

/// Adds a person.
///
/// # Errors
/// [`StoreError::Conflict`] when the address is used; what the database says.
pub fn add(tx: &mut Tx<'_>, user: &NewUser<'_>, now: Timestamp) -> Result<(), StoreError> {
    let values = params![
        user.id,
        user.email.as_str(),
        user.name,
        user.password_hash,
        now
    ];
    tx.execute(&ADD, &values).map(|_| ())
}

/// The person with an address.
///
/// # Errors
/// What the database says.
pub fn by_email(tx: &mut Tx<'_>, email: &Email) -> Result<Option<UserRecord>, StoreError> {
    let row = tx.query_opt::<UserRow>(&BY_EMAIL, &params![email.as_str()])?;
    Ok(row.map(Into::into))
}

/// A person.
///
/// # Errors
/// What the database says.
pub fn get(tx: &mut Tx<'_>, id: UserId) -> Result<Option<UserRecord>, StoreError> {
    Ok(tx
        .query_opt::<UserRow>(&BY_ID, &params![id])?
        .map(Into::into))
}

/// Up to `limit` people in the order of their making, those after `after`.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<UserRecord>, StoreError> {
    let after = after.map_or(Uuid::nil(), UserId::uuid);
    let rows = tx.query::<UserRow>(&LIST, &params![after, limit])?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Whether anybody has an account.
///
/// # Errors
/// What the database says.
pub fn any(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    Ok(tx.query_opt::<UserId>(&ANY, &[])?.is_some())
}

/// Sets a password. `false` when there is no such person.
///
/// # Errors
/// What the database says.
pub fn set_password(
    tx: &mut Tx<'_>,
    id: UserId,
    password_hash: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&SET_PASSWORD, &params![id, password_hash, now])? == 1)
}

/// Lets a person log in or not. `false` when there is no such person.
///
/// # Errors
/// What the database says.
pub fn set_active(
    tx: &mut Tx<'_>,
    id: UserId,
    active: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let word = if active { "active" } else { "disabled" };
    Ok(tx.execute(&SET_STATUS, &params![id, word, now])? == 1)
}

/// Makes a person a member of a tenant.
///
/// # Errors
/// [`StoreError::Conflict`] when the person is one already; what the database says.
pub fn join(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    user: UserId,
    role: Role,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&JOIN, &params![tenant, user, role.as_str(), now])
        .map(|_| ())
}

/// What a person is in a tenant.
///
/// # Errors
/// What the database says.
pub fn role(tx: &mut Tx<'_>, tenant: TenantId, user: UserId) -> Result<Option<Role>, StoreError> {
    tx.query_opt::<String>(&ROLE, &params![tenant, user])?
        .map(|word| read_role(&word))
        .transpose()
}

/// A person of a tenant.
///
/// # Errors
/// What the database says.
pub fn member(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<Member>, StoreError> {
    tx.query_opt::<MemberRow>(&MEMBER, &params![tenant, user])?
        .map(MemberRow::read)
        .transpose()
}

/// Up to `limit` people of a tenant, those after `after`.
///
/// # Errors
/// What the database says.
pub fn members(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<Member>, StoreError> {
    let after = after.map_or(Uuid::nil(), UserId::uuid);
    let rows = tx.query::<MemberRow>(&MEMBERS, &params![tenant, after, limit])?;
    rows.into_iter().map(MemberRow::read).collect()
}

/// The tenants of a person, the oldest first.
///
/// # Errors
/// What the database says.
pub fn tenants_of(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<TenantOf>, StoreError> {
    tx.query::<TenantRow>(&TENANTS_OF, &params![user, TENANTS_MAX])?
        .into_iter()
        .map(|row| {
            Ok(TenantOf {
                tenant_id: row.tenant_id,
                name: row.name,
                role: read_role(&row.role)?,
            })
        })
        .collect()
}

/// What became of a change of somebody's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// It is changed.
    Changed,
    /// The person is no member.
    Missing,
    /// A tenant keeps its last owner.
    LastOwner,
    /// The caller may not do that to somebody of this role.
    NotAllowed,
}

/// Gives a member another role, or none. `allowed` says whether the caller may do that to somebody of the present role.
///
/// # Errors
/// What the database says.
pub fn change_membership(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    user: UserId,
    role: Option<Role>,
    allowed: impl Fn(Role) -> bool,
) -> Result<Membership, StoreError> {
    let owners = tx.query::<UserId>(&OWNERS, &params![tenant])?;
    let Some(present) = self::role(tx, tenant, user)? else {
        return Ok(Membership::Missing);
    };
    if !allowed(present) {
        return Ok(Membership::NotAllowed);
    }
    if role != Some(Role::Owner) && owners == [user] {
        return Ok(Membership::LastOwner);
    }
    match role {
        Some(role) => tx.execute(&SET_ROLE, &params![tenant, user, role.as_str()])?,
        None => tx.execute(&LEAVE, &params![tenant, user])?,
    };
    Ok(Membership::Changed)
}

#[cfg(test)]
mod tests;
