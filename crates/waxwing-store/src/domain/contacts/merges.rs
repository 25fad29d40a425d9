//! Two contacts that turn out to be one person, and the way back.
//!
//! A merge moves what leads to a contact (its aliases) and its threads; it rewrites no message, so it is as quick for a
//! contact with a long history as for a new one. What it moved is on record, so it can be undone. A thread stays with
//! the contact that was merged away when the other one has a thread on the same channel; it is closed then.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use waxwing_core::ids::{ChannelId, ContactId, ConversationId, MergeId, TenantId};
use waxwing_core::time::Timestamp;

use super::{ContactRow, SealedIdentity};
use crate::domain::contents;
use crate::domain::crypto::Keyring;
use crate::{Json, StoreError, Tx, Value, params, row, statements};

statements! {
    LOCK [tenant] = "SELECT id, profile_name, phone_sealed, user_id_sealed, merged_into, profile_name_sealed FROM contacts WHERE tenant_id = $1 AND id = $2 {lock}";
    ALIASES [tenant] = "SELECT kind, value_hash FROM contact_aliases WHERE tenant_id = $1 AND contact_id = $2";
    MOVE_ALIAS [tenant] = "UPDATE contact_aliases SET contact_id = $4 WHERE tenant_id = $1 AND kind = $2 AND value_hash = $3 AND contact_id = $5";
    THREADS [tenant] = "SELECT id, channel_id FROM conversations WHERE tenant_id = $1 AND contact_id = $2";
    MOVE_THREAD [tenant] = "UPDATE conversations SET contact_id = $3, updated_at = $5 WHERE tenant_id = $1 AND id = $2 AND contact_id = $4";
    CLOSE_THREAD [tenant] = "UPDATE conversations SET status = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    SET_MERGED [tenant] = "UPDATE contacts SET merged_into = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    LEND [tenant] = "UPDATE contacts SET phone_sealed = COALESCE(phone_sealed, $3), user_id_sealed = COALESCE(user_id_sealed, $4), \
        profile_name = CASE WHEN profile_name_sealed IS NULL THEN COALESCE(profile_name, $5) END, \
        profile_name_sealed = CASE WHEN profile_name IS NULL THEN COALESCE(profile_name_sealed, $7) END, updated_at = $6 WHERE tenant_id = $1 AND id = $2";
    /// The latest wish about marketing is the one person's. It stays when the merge is undone: nobody unsays an opt-out.
    LEND_WISH [tenant] = "UPDATE contacts SET marketing = (SELECT o.marketing FROM contacts o WHERE o.tenant_id = $1 AND o.id = $3), \
        marketing_at = (SELECT o.marketing_at FROM contacts o WHERE o.tenant_id = $1 AND o.id = $3) \
        WHERE tenant_id = $1 AND id = $2 AND EXISTS (SELECT 1 FROM contacts o WHERE o.tenant_id = $1 AND o.id = $3 \
        AND o.marketing IS NOT NULL AND (contacts.marketing_at IS NULL OR o.marketing_at > contacts.marketing_at))";
    TAKE_BACK_PHONE [tenant] = "UPDATE contacts SET phone_sealed = NULL WHERE tenant_id = $1 AND id = $2";
    TAKE_BACK_USER_ID [tenant] = "UPDATE contacts SET user_id_sealed = NULL WHERE tenant_id = $1 AND id = $2";
    RECORD [tenant] = "INSERT INTO contact_merges (tenant_id, id, winner_id, loser_id, reason, moved, merged_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    FIND [tenant] = "SELECT winner_id, loser_id, moved FROM contact_merges WHERE tenant_id = $1 AND id = $2 AND undone_at IS NULL {lock}";
    UNDO [tenant] = "UPDATE contact_merges SET undone_at = $3 WHERE tenant_id = $1 AND id = $2";
    UNDONE [tenant] = "SELECT count(*) FROM contact_merges WHERE tenant_id = $1 AND undone_at IS NOT NULL \
        AND ((winner_id = $2 AND loser_id = $3) OR (winner_id = $3 AND loser_id = $2))";
    OF_CONTACT [tenant] = "SELECT id, winner_id, loser_id, reason, merged_at, undone_at FROM contact_merges \
        WHERE tenant_id = $1 AND winner_id = $2 ORDER BY id DESC LIMIT $3";
}

row! {
    struct LockedRow {
        id: ContactId,
        profile_name: Option<String>,
        phone_sealed: Option<Vec<u8>>,
        user_id_sealed: Option<Vec<u8>>,
        merged_into: Option<ContactId>,
        profile_name_sealed: Option<Vec<u8>>,
    }

    /// A merge.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct MergeRow {
        id: MergeId,
        winner_id: ContactId,
        loser_id: ContactId,
        reason: String,
        merged_at: Timestamp,
        undone_at: Option<Timestamp>,
    }
}

/// What a merge moved, for the way back.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Moved {
    /// Kind and hexadecimal hash.
    aliases: Vec<(String, String)>,
    threads: Vec<Uuid>,
    closed: Vec<Uuid>,
    lent_phone: bool,
    lent_user_id: bool,
}

/// Why two contacts become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// One message carried the ids of both.
    SameMessage,
    /// WhatsApp told of a change of number or user id.
    Provider,
    /// A person said so.
    ByHand,
}

impl Reason {
    /// The word in the store and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameMessage => "same_message",
            Self::Provider => "provider",
            Self::ByHand => "by_hand",
        }
    }
}

/// What became of a wish to merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// They are one now.
    Merged,
    /// One of them does not exist or was merged away before.
    NotThere,
    /// Each has a phone or a user id of its own that contradicts the other's; only a person may decide.
    Contradicts,
    /// They were one and were parted by hand; only a person may decide.
    Parted,
}

/// Merges `loser` into `winner`. Except by hand, contacts that contradict each other or that were parted before stay
/// as they are.
///
/// # Errors
/// What the database says.
#[expect(clippy::too_many_arguments, reason = "one row of the record")]
pub fn merge(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    id: MergeId,
    winner: ContactId,
    loser: ContactId,
    reason: Reason,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let Some((into, from)) = lock_both(tx, tenant, winner, loser)? else {
        return Ok(Outcome::NotThere);
    };
    if reason != Reason::ByHand {
        let both =
            |one: &Option<Vec<u8>>, other: &Option<Vec<u8>>| one.is_some() && other.is_some();
        if both(&into.phone_sealed, &from.phone_sealed)
            || both(&into.user_id_sealed, &from.user_id_sealed)
        {
            return Ok(Outcome::Contradicts);
        }
        if tx.query_one::<i64>(&UNDONE, &params![tenant, winner, loser])? > 0 {
            return Ok(Outcome::Parted);
        }
    }
    let mut moved = Moved::default();
    for (kind, hash) in tx.query::<(String, Vec<u8>)>(&ALIASES, &params![tenant, loser])? {
        tx.execute(
            &MOVE_ALIAS,
            &params![tenant, &kind, hash.clone(), winner, loser],
        )?;
        moved.aliases.push((kind, hex::encode(hash)));
    }
    let taken: Vec<ChannelId> = tx
        .query::<(ConversationId, ChannelId)>(&THREADS, &params![tenant, winner])?
        .into_iter()
        .map(|(_, channel)| channel)
        .collect();
    for (thread, channel) in
        tx.query::<(ConversationId, ChannelId)>(&THREADS, &params![tenant, loser])?
    {
        if taken.contains(&channel) {
            tx.execute(&CLOSE_THREAD, &params![tenant, thread, "closed", now])?;
            moved.closed.push(thread.uuid());
        } else {
            tx.execute(&MOVE_THREAD, &params![tenant, thread, winner, loser, now])?;
            moved.threads.push(thread.uuid());
        }
    }
    lend(tx, keyring, tenant, &into, &from, &mut moved, now)?;
    tx.execute(&LEND_WISH, &params![tenant, winner, loser])?;
    tx.execute(&SET_MERGED, &params![tenant, loser, Some(winner), now])?;
    let record = params![
        tenant,
        id,
        winner,
        loser,
        reason.as_str(),
        Value::json(&moved)?,
        now
    ];
    tx.execute(&RECORD, &record)?;
    Ok(Outcome::Merged)
}

/// Both contacts, locked in the order of their ids so that two merges wait for each other instead of blocking. `None`
/// when they are one, or one of them is not there any more.
fn lock_both(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    winner: ContactId,
    loser: ContactId,
) -> Result<Option<(LockedRow, LockedRow)>, StoreError> {
    if winner == loser {
        return Ok(None);
    }
    let (first, second) = (winner.min(loser), winner.max(loser));
    let first = tx.query_opt::<LockedRow>(&LOCK, &params![tenant, first])?;
    let second = tx.query_opt::<LockedRow>(&LOCK, &params![tenant, second])?;
    let (Some(first), Some(second)) = (first, second) else {
        return Ok(None);
    };
    if first.merged_into.is_some() || second.merged_into.is_some() {
        return Ok(None);
    }
    Ok(Some(if first.id == winner {
        (first, second)
    } else {
        (second, first)
    }))
}

/// Gives the winner the ids that it lacks, sealed for its own row.
fn lend(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    into: &LockedRow,
    from: &LockedRow,
    moved: &mut Moved,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = ContactRow {
        id: from.id,
        profile_name: from.profile_name.clone(),
        phone_sealed: from.phone_sealed.clone(),
        user_id_sealed: from.user_id_sealed.clone(),
        marketing: None,
        blocked_at: None,
        profile_name_sealed: from.profile_name_sealed.clone(),
    };
    let identity = waxwing_core::identity::Identity {
        phone: row.phone(keyring, tenant)?,
        user_id: row.user_id(keyring, tenant)?,
        ..Default::default()
    };
    moved.lent_phone = into.phone_sealed.is_none() && identity.phone.is_some();
    moved.lent_user_id = into.user_id_sealed.is_none() && identity.user_id.is_some();
    let sealed = SealedIdentity::new(keyring, tenant, into.id, &identity);
    let name = row.name(keyring, tenant)?;
    let (name, name_sealed) = contents::store_name(keyring, tenant, into.id, name.as_deref());
    let lent = params![
        tenant,
        into.id,
        sealed.phone,
        sealed.user_id,
        name,
        now,
        name_sealed
    ];
    tx.execute(&LEND, &lent).map(|_| ())
}

/// Undoes a merge: what it moved goes back. The contacts that are apart again, winner first; `None` when there is no
/// such merge or it was undone before.
///
/// # Errors
/// What the database says.
pub fn undo(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MergeId,
    now: Timestamp,
) -> Result<Option<(ContactId, ContactId)>, StoreError> {
    let found = tx.query_opt::<(ContactId, ContactId, Json<Moved>)>(&FIND, &params![tenant, id])?;
    let Some((winner, loser, Json(moved))) = found else {
        return Ok(None);
    };
    for (kind, hash) in &moved.aliases {
        let hash = hex::decode(hash).map_err(|_| StoreError::corrupt("a merge names no alias"))?;
        tx.execute(&MOVE_ALIAS, &params![tenant, kind, hash, loser, winner])?;
    }
    for thread in &moved.threads {
        let thread = ConversationId::from_uuid(*thread);
        tx.execute(&MOVE_THREAD, &params![tenant, thread, loser, winner, now])?;
    }
    for thread in &moved.closed {
        let thread = ConversationId::from_uuid(*thread);
        tx.execute(&CLOSE_THREAD, &params![tenant, thread, "open", now])?;
    }
    if moved.lent_phone {
        tx.execute(&TAKE_BACK_PHONE, &params![tenant, winner])?;
    }
    if moved.lent_user_id {
        tx.execute(&TAKE_BACK_USER_ID, &params![tenant, winner])?;
    }
    tx.execute(
        &SET_MERGED,
        &params![tenant, loser, Option::<ContactId>::None, now],
    )?;
    tx.execute(&UNDO, &params![tenant, id, now])?;
    Ok(Some((winner, loser)))
}

/// The latest merges into a contact.
///
/// # Errors
/// What the database says.
pub fn of_contact(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    contact: ContactId,
    limit: u32,
) -> Result<Vec<MergeRow>, StoreError> {
    tx.query(&OF_CONTACT, &params![tenant, contact, limit])
}
