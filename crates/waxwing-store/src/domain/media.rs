//! Files: what they are, whose, and the jobs that fetch them.
//!
//! An object in the object store has a row before its first byte (`writing`), belongs to files when its content is
//! complete (`stored`), and is taken away after its row says so (`deleting`). Its id is never used twice, so whoever
//! deletes it late harms nobody. The same content is kept once for each tenant.

pub mod objects;

use std::collections::BTreeMap;

use uuid::Uuid;
use waxwing_core::content::{Media, MediaKind};
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::ids::{ChannelId, MediaId, MessageId, NodeId, TenantId};
use waxwing_core::time::Timestamp;

pub use self::objects::{
    begin_objects, deleting, forget_objects, give_up_object, mark_lost, totals,
};
use self::objects::{orphan, settle};
use super::crypto::{Keyring, Place};
use crate::{SqlBuilder, StoreError, Tx, inserts, params, row, statements};

inserts! {
    ADD [tenant] = media(tenant_id uuid, id uuid, kind text, channel_id uuid, message_id uuid, source_sealed bytes,
        filename_sealed bytes, status text, mime text, mismatch bool, attempts small, due_at time, give_up_at time,
        created_at time, updated_at time, expires_at time) "";
}

statements! {
    DUE [global] = "SELECT tenant_id, id FROM media WHERE status = 'pending' AND due_at <= $1 ORDER BY due_at, tenant_id, id LIMIT $2";
    CLAIM [tenant] = "UPDATE media SET claim_id = $3, attempts = attempts + 1, due_at = $4, updated_at = $5, claimed_by = $6 \
        WHERE tenant_id = $1 AND id = $2 AND status = 'pending' AND due_at <= $5 \
        RETURNING tenant_id, id, kind, channel_id, message_id, source_sealed, mime, attempts, give_up_at, claim_id";
    STORED [tenant] = "UPDATE media SET status = 'stored', object_id = $4, mime = $5, mismatch = $6, size = $7, sha256 = $8, claim_id = NULL, claimed_by = NULL, \
        error_class = NULL, error_message = NULL, updated_at = $9 \
        WHERE tenant_id = $1 AND id = $2 AND claim_id = $3 AND status = 'pending'";
    AGAIN [tenant] = "UPDATE media SET claim_id = NULL, claimed_by = NULL, attempts = attempts - $4, due_at = $5, error_class = $6, error_message = $7, updated_at = $8 \
        WHERE tenant_id = $1 AND id = $2 AND claim_id = $3 AND status = 'pending'";
    FAILED [tenant] = "UPDATE media SET status = 'failed', claim_id = NULL, claimed_by = NULL, error_class = $4, error_message = $5, updated_at = $6 \
        WHERE tenant_id = $1 AND id = $2 AND claim_id = $3 AND status = 'pending'";
    ADD_STORED [tenant] = "INSERT INTO media (tenant_id, id, kind, filename_sealed, status, mime, mismatch, size, sha256, object_id, attempts, \
        due_at, give_up_at, created_at, updated_at, expires_at) VALUES ($1, $2, $3, $4, 'stored', $5, $6, $7, $8, $9, 0, $10, $10, $10, $10, $11)";
    LIST [tenant] = "SELECT id, kind, channel_id, message_id, filename_sealed, status, mime, mismatch, size, sha256, object_id, error_class, \
        error_message, attempts, created_at, updated_at, expires_at FROM media WHERE tenant_id = $1";
    GET [tenant] = "SELECT id, kind, channel_id, message_id, filename_sealed, status, mime, mismatch, size, sha256, object_id, error_class, \
        error_message, attempts, created_at, updated_at, expires_at FROM media WHERE tenant_id = $1 AND id = $2";
    KEEP_LONGER [tenant] = "UPDATE media SET expires_at = $3 WHERE tenant_id = $1 AND id = $2 AND expires_at < $3";
    RETRY [tenant] = "UPDATE media SET status = 'pending', attempts = 0, due_at = $3, give_up_at = $4, updated_at = $3 \
        WHERE tenant_id = $1 AND id = $2 AND status = 'failed' AND source_sealed IS NOT NULL";
    RELEASE [global] = "UPDATE media SET claim_id = NULL, claimed_by = NULL, attempts = attempts - 1, due_at = $2, updated_at = $2 \
        WHERE claimed_by = $1 AND status = 'pending' RETURNING tenant_id, id";
    DELETE_EXPIRED [tenant] = "DELETE FROM media WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM media WHERE expires_at < $1 ORDER BY expires_at LIMIT $2) RETURNING tenant_id, object_id";
}

row! {
    struct ClaimRow {
        tenant_id: TenantId,
        id: MediaId,
        kind: String,
        channel_id: Option<ChannelId>,
        message_id: Option<MessageId>,
        source_sealed: Option<Vec<u8>>,
        mime: Option<String>,
        attempts: u32,
        give_up_at: Timestamp,
        claim_id: Uuid,
    }

    /// A file as the API shows it. No `Debug`: its name is a person's.
    #[derive(Clone)]
    pub struct MediaRow {
        id: MediaId,
        kind: String,
        channel_id: Option<ChannelId>,
        message_id: Option<MessageId>,
        filename_sealed: Option<Vec<u8>>,
        status: String,
        mime: Option<String>,
        mismatch: bool,
        size: Option<i64>,
        sha256: Option<Vec<u8>>,
        object_id: Option<Uuid>,
        error_class: Option<String>,
        error_message: Option<String>,
        attempts: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
        expires_at: Timestamp,
    }
}

/// A file to fetch.
#[derive(Clone)]
pub struct NewMedia {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: MediaId,
    /// As what it came.
    pub kind: MediaKind,
    /// Through which channel.
    pub channel_id: ChannelId,
    /// With which message.
    pub message_id: MessageId,
    /// What the provider said about it: id or link, type, name.
    pub media: Media,
    /// When there is no use in trying any longer.
    pub give_up_at: Timestamp,
    /// Kept until then.
    pub expires_at: Timestamp,
}

/// A file that is claimed for an attempt to fetch it.
#[derive(Clone)]
pub struct Claimed {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: MediaId,
    /// The object that the attempt may write.
    pub object: Uuid,
    /// As what it came.
    pub kind: MediaKind,
    /// Through which channel.
    pub channel_id: ChannelId,
    /// With which message.
    pub message_id: Option<MessageId>,
    /// Where it is: the provider's id or a link.
    pub source: Media,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// When there is no use in trying any longer.
    pub give_up_at: Timestamp,
}

/// A file whose bytes are complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The object that was written.
    pub object: Uuid,
    /// What it is.
    pub mime: String,
    /// It was said to be something else.
    pub mismatch: bool,
    /// Bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

fn place<'a>(column: &'static str, id: &'a Uuid) -> Place<'a> {
    Place::new("media", column, id)
}

fn seal_name(
    keyring: &Keyring,
    tenant: TenantId,
    id: MediaId,
    name: Option<&str>,
) -> Option<Vec<u8>> {
    let row = id.uuid();
    name.map(|name| keyring.seal(tenant, place("filename_sealed", &row), name.as_bytes()))
}

/// Opens the name of a file.
///
/// # Errors
/// When the stored value does not open.
pub fn open_name(
    keyring: &Keyring,
    tenant: TenantId,
    id: MediaId,
    sealed: Option<&[u8]>,
) -> Result<Option<String>, StoreError> {
    let row = id.uuid();
    Ok(sealed
        .map(|sealed| keyring.open_text(tenant, place("filename_sealed", &row), sealed))
        .transpose()?)
}

/// Adds files that are to be fetched, due at once.
///
/// # Errors
/// What the database says.
pub fn add_many(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    media: &[NewMedia],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = media
        .iter()
        .map(|new| {
            let row = new.id.uuid();
            let source = Media {
                id: new.media.id.clone(),
                link: new.media.link.clone(),
                mime_type: new.media.mime_type.clone(),
                ..Media::default()
            };
            let source = serde_json::to_vec(&source)
                .map_err(|_| StoreError::corrupt("the source of a file cannot be written"))?;
            Ok(params![
                new.tenant_id,
                new.id,
                new.kind.as_str(),
                new.channel_id,
                new.message_id,
                keyring.seal(new.tenant_id, place("source_sealed", &row), &source),
                seal_name(
                    keyring,
                    new.tenant_id,
                    new.id,
                    new.media.filename.as_deref()
                ),
                "pending",
                new.media
                    .mime_type
                    .as_deref()
                    .map(waxwing_core::media::essence),
                false,
                0i16,
                now,
                new.give_up_at,
                now,
                now,
                new.expires_at
            ])
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    tx.insert_many(&ADD, &rows).map(|_| ())
}

/// Files that are due, the longest waiting first.
///
/// # Errors
/// What the database says.
pub fn due(
    tx: &mut Tx<'_>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<(TenantId, MediaId)>, StoreError> {
    tx.query(&DUE, &params![now, limit])
}

/// Claims files until `lease_until`, each with the id of an object that was never used. Those that are no longer due
/// are left out. An attempt that says nothing until then is taken for dead.
///
/// # Errors
/// What the database says.
pub fn claim(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    wanted: &[(TenantId, MediaId, Uuid)],
    node: NodeId,
    lease_until: Timestamp,
    now: Timestamp,
) -> Result<Vec<Claimed>, StoreError> {
    let sets: Vec<_> = wanted
        .iter()
        .map(|(tenant, id, object)| params![*tenant, *id, *object, lease_until, now, node])
        .collect();
    let mut claimed = Vec::new();
    for row in tx
        .query_many::<ClaimRow>(&CLAIM, &sets)?
        .into_iter()
        .flatten()
    {
        let Some((channel_id, source)) = open_source(keyring, &row) else {
            // One that does not open must not keep the others from being claimed.
            let error = ProviderError::own(
                ErrorClass::Permanent,
                "the record of the file does not open",
            );
            let values = params![
                row.tenant_id,
                row.id,
                row.claim_id,
                error.class.as_str(),
                error.message,
                now
            ];
            tx.execute(&FAILED, &values)?;
            continue;
        };
        claimed.push(Claimed {
            tenant_id: row.tenant_id,
            id: row.id,
            object: row.claim_id,
            kind: MediaKind::parse(&row.kind).unwrap_or(MediaKind::Document),
            channel_id,
            message_id: row.message_id,
            source,
            attempts: row.attempts,
            give_up_at: row.give_up_at,
        });
    }
    let objects: Vec<_> = claimed
        .iter()
        .map(|one| (one.tenant_id, one.object))
        .collect();
    begin_objects(tx, &objects, now)?;
    Ok(claimed)
}

fn open_source(keyring: &Keyring, row: &ClaimRow) -> Option<(ChannelId, Media)> {
    let key = row.id.uuid();
    let sealed = row.source_sealed.as_deref()?;
    let source = keyring
        .open(row.tenant_id, place("source_sealed", &key), sealed)
        .ok()?;
    let mut source: Media = serde_json::from_slice(&source).ok()?;
    source.mime_type = source.mime_type.or_else(|| row.mime.clone());
    Some((row.channel_id?, source))
}

/// Takes back what a process had claimed that is dead or ends; how many files it were.
///
/// # Errors
/// What the database says.
pub fn release(tx: &mut Tx<'_>, node: NodeId, now: Timestamp) -> Result<usize, StoreError> {
    let released: Vec<(TenantId, MediaId)> = tx.query(&RELEASE, &params![node, now])?;
    Ok(released.len())
}

/// Records that a claimed file is complete. `false` when the claim is no longer good; the object is given up then.
///
/// # Errors
/// [`StoreError::Conflict`] when the same content was stored at the same moment: try again. What the database says.
pub fn stored(
    tx: &mut Tx<'_>,
    claimed: &Claimed,
    stored: &Stored,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let tenant = claimed.tenant_id;
    let object = settle(tx, tenant, stored, now)?;
    let row = params![
        tenant,
        claimed.id,
        claimed.object,
        object,
        stored.mime.as_str(),
        stored.mismatch,
        i64::try_from(stored.size).unwrap_or(i64::MAX),
        stored.sha256.to_vec(),
        now
    ];
    let recorded = tx.execute(&STORED, &row)? == 1;
    if !recorded {
        orphan(tx, tenant, object, now)?;
    }
    Ok(recorded)
}

/// Adds an uploaded file.
///
/// # Errors
/// [`StoreError::Conflict`] when the same content was stored at the same moment: try again. What the database says.
#[expect(clippy::too_many_arguments, reason = "the columns of one row")]
pub fn add_stored(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    id: MediaId,
    kind: MediaKind,
    filename: Option<&str>,
    stored: &Stored,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<MediaRow, StoreError> {
    let object = settle(tx, tenant, stored, now)?;
    let row = params![
        tenant,
        id,
        kind.as_str(),
        seal_name(keyring, tenant, id, filename),
        stored.mime.as_str(),
        stored.mismatch,
        i64::try_from(stored.size).unwrap_or(i64::MAX),
        stored.sha256.to_vec(),
        object,
        now,
        expires_at
    ];
    tx.execute(&ADD_STORED, &row)?;
    get(tx, tenant, id)?.ok_or_else(|| StoreError::corrupt("a file that was just written is gone"))
}

/// An attempt ended without the file, for a passing reason. `counts` tells whether it counts as an attempt.
///
/// # Errors
/// What the database says.
pub fn again(
    tx: &mut Tx<'_>,
    claimed: &Claimed,
    error: &ProviderError,
    counts: bool,
    due_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    give_up_object(tx, claimed.tenant_id, claimed.object, now)?;
    let row = params![
        claimed.tenant_id,
        claimed.id,
        claimed.object,
        i16::from(!counts),
        due_at,
        error.class.as_str(),
        error.message.as_str(),
        now
    ];
    tx.execute(&AGAIN, &row).map(|_| ())
}

/// There will be no file. `false` when the claim is no longer good.
///
/// # Errors
/// What the database says.
pub fn failed(
    tx: &mut Tx<'_>,
    claimed: &Claimed,
    error: &ProviderError,
    now: Timestamp,
) -> Result<bool, StoreError> {
    give_up_object(tx, claimed.tenant_id, claimed.object, now)?;
    let row = params![
        claimed.tenant_id,
        claimed.id,
        claimed.object,
        error.class.as_str(),
        error.message.as_str(),
        now
    ];
    Ok(tx.execute(&FAILED, &row)? == 1)
}

/// Has a file that failed fetched once more; `false` when it did not fail or there is nothing to fetch it from.
///
/// # Errors
/// What the database says.
pub fn retry(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MediaId,
    give_up_at: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&RETRY, &params![tenant, id, now, give_up_at])? == 1)
}

/// One file.
///
/// # Errors
/// What the database says.
pub fn get(tx: &mut Tx<'_>, tenant: TenantId, id: MediaId) -> Result<Option<MediaRow>, StoreError> {
    tx.query_opt(&GET, &params![tenant, id])
}

/// Files by id; those that the tenant does not have are left out.
///
/// # Errors
/// What the database says.
pub fn get_many(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    ids: &[MediaId],
) -> Result<BTreeMap<MediaId, MediaRow>, StoreError> {
    let sets: Vec<_> = ids.iter().map(|id| params![tenant, *id]).collect();
    let rows = tx.query_many::<MediaRow>(&GET, &sets)?;
    Ok(rows
        .into_iter()
        .flatten()
        .map(|row| (row.id, row))
        .collect())
}

/// Files, the latest first.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    status: Option<String>,
    before: Option<MediaId>,
    limit: u32,
) -> Result<Vec<MediaRow>, StoreError> {
    let sql = SqlBuilder::new(&LIST, &params![tenant])
        .and_some("status = ?", status)
        .and_some("id < ?", before)
        .push(" ORDER BY id DESC LIMIT ?", &[limit.into()]);
    tx.query_dynamic(&sql)
}

/// Keeps a file at least until then, because a message uses it.
///
/// # Errors
/// What the database says.
pub fn keep_until(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MediaId,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&KEEP_LONGER, &params![tenant, id, expires_at])
        .map(|_| ())
}

/// Deletes at most `limit` files whose time is over, and marks the content that no other file has; how many files it
/// were.
///
/// # Errors
/// What the database says.
pub fn delete_expired(tx: &mut Tx<'_>, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
    let gone: Vec<(TenantId, Option<Uuid>)> = tx.query(&DELETE_EXPIRED, &params![now, limit])?;
    let mut objects: Vec<_> = gone
        .iter()
        .filter_map(|(tenant, object)| object.map(|object| (*tenant, object)))
        .collect();
    objects.sort_unstable();
    objects.dedup();
    for (tenant, object) in objects {
        orphan(tx, tenant, object, now)?;
    }
    Ok(gone.len() as u64)
}

#[cfg(test)]
mod tests;
