//! Logins of people, and links with which they set a new password. Of the tokens only keyed hashes are kept.

use waxwing_core::account::{SESSION_IDLE, SESSION_LIFE};
use waxwing_core::ids::{SessionId, TenantId, UserId};
use waxwing_core::time::Timestamp;

use crate::{StoreError, Tx, params, row, statements};

statements! {
    ADD [global] = "INSERT INTO sessions (id, token_hash, user_id, kind, tenant_id, created_at, seen_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7)";
    BY_TOKEN [global] = "SELECT s.id, s.user_id, s.kind, s.tenant_id, s.created_at, s.seen_at FROM sessions s \
        JOIN users u ON u.id = s.user_id AND u.status = 'active' \
        WHERE s.token_hash = $1 AND s.expires_at > $2 AND s.seen_at > $3";
    OF_USER [global] = "SELECT id, user_id, kind, tenant_id, created_at, seen_at FROM sessions \
        WHERE user_id = $1 AND expires_at > $2 AND seen_at > $3 ORDER BY id DESC LIMIT $4";
    SEEN [global] = "UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2";
    SET_TENANT [global] = "UPDATE sessions SET tenant_id = $2 WHERE id = $1";
    END [global] = "DELETE FROM sessions WHERE user_id = $1 AND id = $2";
    END_OTHERS [global] = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
    DELETE_OLD [global] = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 LIMIT $2)";
    PUT_RESET [global] = "INSERT INTO password_resets (user_id, token_hash, expires_at) VALUES ($1, $2, $3) \
        ON CONFLICT (user_id) DO UPDATE SET token_hash = excluded.token_hash, expires_at = excluded.expires_at";
    /// Whoever deletes it has used it.
    TAKE_RESET [global] = "DELETE FROM password_resets WHERE token_hash = $1 AND expires_at > $2 RETURNING user_id";
    DELETE_OLD_RESETS [global] = "DELETE FROM password_resets WHERE user_id IN \
        (SELECT user_id FROM password_resets WHERE expires_at < $1 LIMIT $2)";
}

row! {
    struct SessionRow {
        id: SessionId,
        user_id: UserId,
        kind: String,
        tenant_id: Option<TenantId>,
        created_at: Timestamp,
        seen_at: Timestamp,
    }
}

/// Sessions of one user that are shown.
const SHOWN_MAX: u32 = 100;

/// Whose a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// A browser's: the token is in a cookie, which the browser sends whoever made it call.
    Browser,
    /// A program's: the token is in a header that only the program sets.
    Bearer,
}

impl SessionKind {
    /// The word in the store and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Bearer => "bearer",
        }
    }
}

/// A session.
#[derive(Debug, Clone, Copy)]
pub struct SessionRecord {
    /// The id; not the token.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// A browser's or a program's.
    pub kind: SessionKind,
    /// The tenant of the routes that name none.
    pub tenant_id: Option<TenantId>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was used last, to a few minutes.
    pub seen_at: Timestamp,
}

impl SessionRow {
    fn read(self) -> Result<SessionRecord, StoreError> {
        let kind = match self.kind.as_str() {
            "browser" => SessionKind::Browser,
            "bearer" => SessionKind::Bearer,
            _ => return Err(StoreError::corrupt("a session of an unknown kind")),
        };
        Ok(SessionRecord {
            id: self.id,
            user_id: self.user_id,
            kind,
            tenant_id: self.tenant_id,
            created_at: self.created_at,
            seen_at: self.seen_at,
        })
    }
}

/// Begins a session.
///
/// # Errors
/// What the database says.
pub fn begin(
    tx: &mut Tx<'_>,
    session: &SessionRecord,
    token_hash: &[u8],
) -> Result<(), StoreError> {
    let values = params![
        session.id,
        token_hash.to_vec(),
        session.user_id,
        session.kind.as_str(),
        session.tenant_id,
        session.created_at,
        session.created_at.plus(SESSION_LIFE)
    ];
    tx.execute(&ADD, &values).map(|_| ())
}

/// The session of a token, if it is not over and its user may log in.
///
/// # Errors
/// What the database says.
pub fn by_token(
    tx: &mut Tx<'_>,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<SessionRecord>, StoreError> {
    let values = params![token_hash.to_vec(), now, now.minus(SESSION_IDLE)];
    tx.query_opt::<SessionRow>(&BY_TOKEN, &values)?
        .map(SessionRow::read)
        .transpose()
}

/// The sessions of a user, the latest first.
///
/// # Errors
/// What the database says.
pub fn of_user(
    tx: &mut Tx<'_>,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<SessionRecord>, StoreError> {
    let values = params![user, now, now.minus(SESSION_IDLE), SHOWN_MAX];
    let rows = tx.query::<SessionRow>(&OF_USER, &values)?;
    rows.into_iter().map(SessionRow::read).collect()
}

/// Notes that a session was used.
///
/// # Errors
/// What the database says.
pub fn seen(tx: &mut Tx<'_>, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(&SEEN, &params![id, now]).map(|_| ())
}

/// Changes the tenant of a session.
///
/// # Errors
/// What the database says.
pub fn set_tenant(tx: &mut Tx<'_>, id: SessionId, tenant: TenantId) -> Result<(), StoreError> {
    tx.execute(&SET_TENANT, &params![id, tenant]).map(|_| ())
}

/// Ends one session of a user; `false` when there is none.
///
/// # Errors
/// What the database says.
pub fn end(tx: &mut Tx<'_>, user: UserId, id: SessionId) -> Result<bool, StoreError> {
    Ok(tx.execute(&END, &params![user, id])? == 1)
}

/// Ends all sessions of a user, or all but one; how many it were.
///
/// # Errors
/// What the database says.
pub fn end_all(tx: &mut Tx<'_>, user: UserId, but: Option<SessionId>) -> Result<u64, StoreError> {
    let but = but.map_or(uuid::Uuid::nil(), SessionId::uuid);
    tx.execute(&END_OTHERS, &params![user, but])
}

/// Keeps the hash of a link with which a user sets a new password. An earlier link ends.
///
/// # Errors
/// What the database says.
pub fn put_reset(
    tx: &mut Tx<'_>,
    user: UserId,
    token_hash: &[u8],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&PUT_RESET, &params![user, token_hash.to_vec(), expires_at])
        .map(|_| ())
}

/// Uses up a link; the user whose password it sets, or `None` when it is not good (any more).
///
/// # Errors
/// What the database says.
pub fn take_reset(
    tx: &mut Tx<'_>,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<UserId>, StoreError> {
    tx.query_opt::<UserId>(&TAKE_RESET, &params![token_hash.to_vec(), now])
}

/// Deletes up to `limit` sessions and as many links that were over at `before`; how many it were.
///
/// # Errors
/// What the database says.
pub fn delete_over(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    tx.execute(&DELETE_OLD_RESETS, &params![before, limit])?;
    tx.execute(&DELETE_OLD, &params![before, limit])
}
