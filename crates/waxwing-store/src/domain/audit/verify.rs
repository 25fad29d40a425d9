//! Whether a chain is whole: walked from its first entry to its last.

use std::time::Duration;

use waxwing_core::ids::AuditEntryId;
use waxwing_core::time::Timestamp;

use super::{
    Chain, Checkpoint, EntryRow, FIRST_END, HEAD_END, HeadRow, SEEN_HEAD, Told, end_proof, link,
};
use crate::domain::crypto::Keyring;
use crate::{StoreError, Tx, params, statements};

statements! {
    ENTRIES [tenant] = "SELECT id, at, actor, address, action, object, object_id, change_sealed, proof, seq, link FROM audit_entries \
        WHERE tenant_id = $1 AND book = $2 AND seq > $3 ORDER BY seq LIMIT $4";
    UNLINKED [tenant] = "SELECT id, at, actor, address, action, object, object_id, change_sealed, proof, seq, link FROM audit_entries \
        WHERE tenant_id = $1 AND book = $2 AND seq IS NULL ORDER BY id LIMIT $3";
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The entry is not as it was written.
    Changed(AuditEntryId),
    /// The entry does not belong where it stands: it was moved, or the one before it was exchanged.
    Misplaced(AuditEntryId),
    /// Entries from this number on are missing, up to where the chain goes on.
    Missing(u64),
    /// There are entries, but no proven end of their chain.
    NoEnd,
    /// The chain no longer holds what a checkpoint saw.
    Cut,
}

/// The state of a walk through a chain.
#[derive(Debug, Clone)]
pub struct Walk {
    chain: Chain,
    now: Timestamp,
    seq: i64,
    link: Vec<u8>,
    end: (i64, Vec<u8>),
    checkpoint: Option<Checkpoint>,
    /// Entries that were looked at.
    pub entries: u64,
}

/// What a step of a walk found.
#[derive(Debug, Clone)]
pub enum Found {
    /// It goes on from here.
    More(Walk),
    /// The chain is whole; this is its end.
    Whole(Walk),
    /// It is not.
    Broken(Fault),
}

/// New entries get their place in the chain within seconds; what has none after this time had one.
const LINKED_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Entries of one step.
const STEP: u32 = 500;

/// Begins a walk through a chain at the moment `now`. `checkpoint` is what the chain
/// must still hold.
///
/// # Errors
/// What the database says.
pub fn begin(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    chain: Chain,
    checkpoint: Option<Checkpoint>,
    now: Timestamp,
) -> Result<Found, StoreError> {
    let (owner, book) = (chain.owner, chain.book.as_str());
    let Some(head) = tx.query_opt::<HeadRow>(&SEEN_HEAD, &params![owner, book])? else {
        let any: Vec<EntryRow> = tx.query(&ENTRIES, &params![owner, book, 0, 1])?;
        if !any.is_empty() || checkpoint.is_some_and(|point| point.seq > 0) {
            return Ok(Found::Broken(Fault::NoEnd));
        }
        let walk = Walk {
            chain,
            now,
            seq: 0,
            link: Vec::new(),
            end: (0, Vec::new()),
            checkpoint: None,
            entries: 0,
        };
        return finish(tx, keyring, walk);
    };
    let proven = head.proof == end_proof(keyring, chain, HEAD_END, head.seq, &head.link);
    // A chain that was never shortened begins at nothing, which needs no proof.
    let first = head.first_seq == 0 && head.first_link.is_empty()
        || head.first_proof
            == end_proof(keyring, chain, FIRST_END, head.first_seq, &head.first_link);
    if !proven || !first {
        return Ok(Found::Broken(Fault::NoEnd));
    }
    let end_seq = u64::try_from(head.seq).unwrap_or_default();
    if checkpoint.as_ref().is_some_and(|point| point.seq > end_seq) {
        return Ok(Found::Broken(Fault::Cut));
    }
    Ok(Found::More(Walk {
        chain,
        now,
        seq: head.first_seq,
        link: head.first_link,
        end: (head.seq, head.link),
        checkpoint,
        entries: 0,
    }))
}

/// Goes on.
///
/// # Errors
/// What the database says.
pub fn step(tx: &mut Tx<'_>, keyring: &Keyring, mut walk: Walk) -> Result<Found, StoreError> {
    let values = params![walk.chain.owner, walk.chain.book.as_str(), walk.seq, STEP];
    let rows: Vec<EntryRow> = tx.query(&ENTRIES, &values)?;
    let full = rows.len() == STEP as usize;
    for row in rows {
        let seq = row.seq.unwrap_or_default();
        // What was written after the walk began is for the next one.
        if seq > walk.end.0 {
            return finish(tx, keyring, walk);
        }
        let next = u64::try_from(walk.seq + 1).unwrap_or_default();
        if seq != walk.seq + 1 {
            return Ok(Found::Broken(Fault::Missing(next)));
        }
        if !is_as_written(keyring, walk.chain, &row) {
            return Ok(Found::Broken(Fault::Changed(row.id)));
        }
        let expected = link(keyring, walk.chain, &walk.link, seq, &row.proof);
        if row.link.as_ref() != Some(&expected) {
            return Ok(Found::Broken(Fault::Misplaced(row.id)));
        }
        let point = walk.checkpoint.as_ref().filter(|point| point.seq == next);
        if point.is_some_and(|point| point.link != expected) {
            return Ok(Found::Broken(Fault::Cut));
        }
        (walk.seq, walk.link) = (seq, expected);
        walk.entries += 1;
    }
    if full {
        return Ok(Found::More(walk));
    }
    finish(tx, keyring, walk)
}

fn finish(tx: &mut Tx<'_>, keyring: &Keyring, mut walk: Walk) -> Result<Found, StoreError> {
    if walk.seq < walk.end.0 {
        let next = u64::try_from(walk.seq + 1).unwrap_or_default();
        return Ok(Found::Broken(Fault::Missing(next)));
    }
    if walk.link != walk.end.1 {
        return Ok(Found::Broken(Fault::NoEnd));
    }
    // Those that are not in the chain yet have a proof of their own.
    let rows: Vec<EntryRow> = tx.query(
        &UNLINKED,
        &params![walk.chain.owner, walk.chain.book.as_str(), STEP],
    )?;
    for row in rows {
        if !is_as_written(keyring, walk.chain, &row) {
            return Ok(Found::Broken(Fault::Changed(row.id)));
        }
        // Somebody took it out of the chain.
        if row.at.plus(LINKED_WITHIN) < walk.now {
            return Ok(Found::Broken(Fault::Misplaced(row.id)));
        }
        walk.entries += 1;
    }
    Ok(Found::Whole(walk))
}

impl Walk {
    /// The end of the chain that was walked.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            chain: self.chain,
            seq: u64::try_from(self.end.0).unwrap_or_default(),
            link: self.end.1.clone(),
        }
    }
}

fn is_as_written(keyring: &Keyring, chain: Chain, row: &EntryRow) -> bool {
    let Ok(change) = row.change(keyring, chain.owner) else {
        return false;
    };
    let told = Told {
        id: row.id.uuid(),
        at: row.at,
        actor: &row.actor,
        address: row.address.as_deref(),
        action: &row.action,
        object: &row.object,
        object_id: row.object_id.as_deref(),
        change: change.as_deref(),
    };
    told.proof(keyring, chain) == row.proof
}
