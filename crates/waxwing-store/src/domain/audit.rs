//! The audit log: entries with a proof each, in one chain for each tenant.
//!
//! A [`Trail`] is made for a request and records one entry in the transaction of what it tells of. [`chain`] gives new
//! entries their number and their link a moment later, so that writers do not wait for each other. Proofs and links are
//! keyed: whoever can write into the database but has no keys can neither change, add, move nor drop an entry without
//! [`verify`] telling which. What was cut off together with the end of the chain is found by a checkpoint that was kept
//! elsewhere.

pub mod verify;

use std::fmt;
use std::net::IpAddr;

use serde_json::Value as Json;
use uuid::Uuid;
use waxwing_core::audit::{Actor, Change, Deed, Object};
use waxwing_core::ids::{AuditEntryId, TenantId};
use waxwing_core::time::Timestamp;

use super::crypto::{BlindPurpose, Keyring, Place};
use crate::{SqlBuilder, StoreError, Tx, inserts, params, row, statements};

inserts! {
    ADD [tenant] = audit_entries(tenant_id uuid, book text, id uuid, at time, actor text, address text, action text, object text,
        object_id text, change_sealed bytes, proof bytes) "";
}

statements! {
    UNLINKED_CHAINS [global, scan: "the partial index holds what the last seconds wrote"] =
        "SELECT DISTINCT tenant_id, book FROM audit_entries WHERE seq IS NULL LIMIT $1";
    UNLINKED [tenant] = "SELECT id, proof FROM audit_entries WHERE tenant_id = $1 AND book = $2 AND seq IS NULL ORDER BY id LIMIT $3";
    BEGIN_CHAIN [tenant] = "INSERT INTO audit_heads (tenant_id, book, seq, link, proof, first_seq, first_link, first_proof) \
        VALUES ($1, $2, 0, $3, $4, 0, $3, $4) ON CONFLICT (tenant_id, book) DO NOTHING";
    HEAD [tenant] = "SELECT seq, link, proof, first_seq, first_link, first_proof FROM audit_heads \
        WHERE tenant_id = $1 AND book = $2 {lock}";
    SEEN_HEAD [tenant] = "SELECT seq, link, proof, first_seq, first_link, first_proof FROM audit_heads \
        WHERE tenant_id = $1 AND book = $2";
    LISTED [tenant] = "SELECT id, at, actor, address, action, object, object_id, change_sealed, proof, seq, link FROM audit_entries \
        WHERE tenant_id = $1 AND book = $2";
    LINK [tenant] = "UPDATE audit_entries SET seq = $3, link = $4 WHERE tenant_id = $1 AND id = $2";
    SET_HEAD [tenant] = "UPDATE audit_heads SET seq = $3, link = $4, proof = $5 WHERE tenant_id = $1 AND book = $2";
    SET_FIRST [tenant] = "UPDATE audit_heads SET first_seq = $3, first_link = $4, first_proof = $5 WHERE tenant_id = $1 AND book = $2";
    OLD_CHAINS [global] = "SELECT h.tenant_id FROM audit_heads h WHERE h.tenant_id > $1 AND h.book = 'audit' AND EXISTS \
        (SELECT 1 FROM audit_entries e WHERE e.tenant_id = h.tenant_id AND e.book = 'audit' AND e.id < $2) ORDER BY h.tenant_id LIMIT $3";
    OLDEST [tenant] = "SELECT seq, link, at FROM audit_entries WHERE tenant_id = $1 AND book = $2 AND seq > $3 ORDER BY seq LIMIT $4";
    DELETE_UP_TO [tenant] = "DELETE FROM audit_entries WHERE tenant_id = $1 AND book = $2 AND seq <= $3";
    HEADS [global] = "SELECT tenant_id, book, seq, link FROM audit_heads WHERE (tenant_id, book) > ($1, $2) ORDER BY tenant_id, book LIMIT $3";
}

row! {
    struct UnlinkedRow { id: Uuid, proof: Vec<u8> }

    struct HeadRow { seq: i64, link: Vec<u8>, proof: Vec<u8>, first_seq: i64, first_link: Vec<u8>, first_proof: Vec<u8> }

    struct OldRow { seq: i64, link: Vec<u8>, at: Timestamp }

    struct CheckpointRow { tenant_id: Uuid, book: String, seq: i64, link: Vec<u8> }

    struct EntryRow {
        id: AuditEntryId,
        at: Timestamp,
        actor: String,
        address: Option<String>,
        action: String,
        object: String,
        object_id: Option<String>,
        change_sealed: Option<Vec<u8>>,
        proof: Vec<u8>,
        seq: Option<i64>,
        link: Option<Vec<u8>>,
    }
}

/// What is told: each is a chain of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Book {
    /// Who did what.
    Audit,
    /// Who agreed to what.
    Consent,
}

impl Book {
    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Consent => "consent",
        }
    }

    /// Reads the word of [`Book::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Audit, Self::Consent]
            .into_iter()
            .find(|book| book.as_str() == word)
    }

    const fn purpose(self) -> BlindPurpose {
        match self {
            Self::Audit => BlindPurpose::Audit,
            Self::Consent => BlindPurpose::Consent,
        }
    }
}

/// Whose chain: an owner and a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    owner: Uuid,
    book: Book,
}

impl Chain {
    /// What is told about a tenant, or about the platform.
    #[must_use]
    pub fn new(tenant: Option<TenantId>, book: Book) -> Self {
        Self {
            owner: tenant.map_or(Uuid::nil(), TenantId::uuid),
            book,
        }
    }

    fn tenant(self) -> Option<TenantId> {
        (!self.owner.is_nil()).then(|| TenantId::from_uuid(self.owner))
    }
}

/// Where a request comes from and what it asks for, before it is known who asks.
#[derive(Clone)]
pub struct Origin {
    id: AuditEntryId,
    at: Timestamp,
    address: IpAddr,
    action: &'static str,
    keyring: Keyring,
}

impl Origin {
    /// A request from an address.
    #[must_use]
    pub const fn new(
        id: AuditEntryId,
        at: Timestamp,
        address: IpAddr,
        action: &'static str,
        keyring: Keyring,
    ) -> Self {
        Self {
            id,
            at,
            address,
            action,
            keyring,
        }
    }

    /// The client's address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The trail of the request, now that it is known who asks, and in which tenant; `None` for what belongs to the
    /// platform.
    #[must_use]
    pub fn by(&self, actor: Actor, tenant: Option<TenantId>) -> Trail {
        let deed = Deed {
            tenant,
            at: self.at,
            actor,
            address: Some(self.address),
            action: self.action,
        };
        Trail::new(self.id, Book::Audit, deed, self.keyring.clone())
    }
}

/// Records one entry: what a request does.
#[derive(Clone)]
pub struct Trail {
    id: AuditEntryId,
    book: Book,
    deed: Deed,
    keyring: Keyring,
}

impl Trail {
    /// The trail of a deed.
    #[must_use]
    pub const fn new(id: AuditEntryId, book: Book, deed: Deed, keyring: Keyring) -> Self {
        Self {
            id,
            book,
            deed,
            keyring,
        }
    }

    /// Who does it.
    #[must_use]
    pub const fn deed(&self) -> &Deed {
        &self.deed
    }

    /// Writes the entry, in the transaction of what it tells of.
    ///
    /// # Errors
    /// What the database says.
    pub fn record(
        &self,
        tx: &mut Tx<'_>,
        object: &Object,
        change: &Change,
    ) -> Result<(), StoreError> {
        let chain = Chain::new(self.deed.tenant, self.book);
        let owner = chain.owner;
        let row = self.id.uuid();
        let change = written(change)?;
        let sealed = change
            .as_ref()
            .map(|text| self.keyring.seal_of(owner, place(&row), text.as_bytes()));
        let actor = self.deed.actor.to_string();
        let address = self.deed.address.map(|address| address.to_string());
        let told = Told {
            id: row,
            at: self.deed.at,
            actor: &actor,
            address: address.as_deref(),
            action: self.deed.action,
            object: object.kind,
            object_id: object.id.as_deref(),
            change: change.as_deref(),
        };
        let proof = told.proof(&self.keyring, chain);
        let values = params![
            owner,
            self.book.as_str(),
            row,
            self.deed.at,
            &actor,
            address.as_deref(),
            self.deed.action,
            object.kind,
            object.id.as_deref(),
            sealed,
            proof
        ];
        tx.insert_many(&ADD, &[values]).map(|_| ())
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail")
            .field("deed", &self.deed)
            .finish_non_exhaustive()
    }
}

/// Before and after as one text; `None` when nothing is told.
fn written(change: &Change) -> Result<Option<String>, StoreError> {
    if change.before.is_none() && change.after.is_none() {
        return Ok(None);
    }
    let both = serde_json::json!({ "before": change.before, "after": change.after });
    Ok(Some(both.to_string()))
}

fn place(row: &Uuid) -> Place<'_> {
    Place::new("audit_entries", "change_sealed", row)
}

/// All that an entry says.
struct Told<'a> {
    id: Uuid,
    at: Timestamp,
    actor: &'a str,
    address: Option<&'a str>,
    action: &'a str,
    object: &'a str,
    object_id: Option<&'a str>,
    change: Option<&'a str>,
}

impl Told<'_> {
    fn proof(&self, keyring: &Keyring, chain: Chain) -> Vec<u8> {
        let at = self.at.micros().to_be_bytes();
        // What is absent is not the same as what is empty.
        let maybe = |text: Option<&str>| {
            text.map_or_else(Vec::new, |text| [b"+", text.as_bytes()].concat())
        };
        let (address, object_id, change) = (
            maybe(self.address),
            maybe(self.object_id),
            maybe(self.change),
        );
        let parts: [&[u8]; 10] = [
            b"entry",
            chain.owner.as_bytes(),
            self.id.as_bytes(),
            &at,
            self.actor.as_bytes(),
            &address,
            self.action.as_bytes(),
            self.object.as_bytes(),
            &object_id,
            &change,
        ];
        keyring
            .prove(chain.owner, chain.book.purpose(), &parts)
            .to_vec()
    }
}

/// The link of an entry: hangs on the link before it.
fn link(keyring: &Keyring, chain: Chain, before: &[u8], seq: i64, proof: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 4] = [b"link", before, &seq.to_be_bytes(), proof];
    keyring
        .prove(chain.owner, chain.book.purpose(), &parts)
        .to_vec()
}

/// The proof of an end of a chain.
fn end_proof(keyring: &Keyring, chain: Chain, end: &[u8], seq: i64, link: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 3] = [end, &seq.to_be_bytes(), link];
    keyring
        .prove(chain.owner, chain.book.purpose(), &parts)
        .to_vec()
}

const HEAD_END: &[u8] = b"head";
const FIRST_END: &[u8] = b"first";
/// Chains and entries of one step of [`chain`].
const CHAINS_AT_ONCE: u32 = 50;
const ENTRIES_AT_ONCE: u32 = 200;

/// Gives entries that have none their number and their link; how many it were. Called again and again.
///
/// # Errors
/// What the database says.
pub fn chain(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<usize, StoreError> {
    let waiting: Vec<(Uuid, String)> = tx.query(&UNLINKED_CHAINS, &params![CHAINS_AT_ONCE])?;
    let mut linked = 0;
    for (owner, book) in waiting {
        let known = owner.is_nil() || keyring.knows(TenantId::from_uuid(owner));
        let Some(book) = Book::parse(&book).filter(|_| known) else {
            continue;
        };
        linked += link_new(tx, keyring, Chain { owner, book })?;
    }
    Ok(linked)
}

fn link_new(tx: &mut Tx<'_>, keyring: &Keyring, chain: Chain) -> Result<usize, StoreError> {
    let (owner, book) = (chain.owner, chain.book.as_str());
    let begun = end_proof(keyring, chain, HEAD_END, 0, &[]);
    tx.execute(&BEGIN_CHAIN, &params![owner, book, Vec::<u8>::new(), begun])?;
    let head: HeadRow = tx.query_one(&HEAD, &params![owner, book])?;
    let values = params![owner, book, ENTRIES_AT_ONCE];
    let rows: Vec<UnlinkedRow> = tx.query(&UNLINKED, &values)?;
    let (mut seq, mut last) = (head.seq, head.link);
    let mut sets = Vec::with_capacity(rows.len());
    for row in &rows {
        seq += 1;
        last = link(keyring, chain, &last, seq, &row.proof);
        sets.push(params![owner, row.id, seq, last.clone()]);
    }
    tx.execute_many(&LINK, &sets)?;
    let proof = end_proof(keyring, chain, HEAD_END, seq, &last);
    tx.execute(&SET_HEAD, &params![owner, book, seq, last, proof])?;
    Ok(rows.len())
}

/// The end of a chain at a moment. Kept elsewhere, it shows later that nothing was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose chain.
    pub chain: Chain,
    /// The number of the last entry.
    pub seq: u64,
    /// Its link.
    pub link: Vec<u8>,
}

impl Checkpoint {
    /// Whose chain it is, in words: the tenant or `platform`, and the book.
    #[must_use]
    pub fn names(&self) -> (String, &'static str) {
        let tenant = self.chain.tenant().map(|tenant| tenant.to_string());
        let tenant = tenant.unwrap_or_else(|| "platform".to_owned());
        (tenant, self.chain.book.as_str())
    }
}

/// The ends of chains behind `after`.
///
/// # Errors
/// What the database says.
pub fn checkpoints(
    tx: &mut Tx<'_>,
    after: Option<Chain>,
    limit: u32,
) -> Result<Vec<Checkpoint>, StoreError> {
    let (owner, book) = after.map_or((Uuid::nil(), ""), |chain| {
        (chain.owner, chain.book.as_str())
    });
    let rows: Vec<CheckpointRow> = tx.query(&HEADS, &params![owner, book, limit])?;
    let point = |row: CheckpointRow| {
        Some(Checkpoint {
            chain: Chain {
                owner: row.tenant_id,
                book: Book::parse(&row.book)?,
            },
            seq: u64::try_from(row.seq).ok()?,
            link: row.link,
        })
    };
    Ok(rows.into_iter().filter_map(point).collect())
}

/// Tenants behind `after` whose audit log has entries that are older than `before`.
///
/// # Errors
/// What the database says.
pub fn chains_with_older(
    tx: &mut Tx<'_>,
    before: Uuid,
    after: Option<TenantId>,
    limit: u32,
) -> Result<Vec<TenantId>, StoreError> {
    let after = after.map_or(Uuid::nil(), TenantId::uuid);
    tx.query(&OLD_CHAINS, &params![after, before, limit])
}

/// Deletes up to `limit` entries from the beginning of a tenant's audit log that are older than `before`; how many it
/// were. The beginning of what is left is proven anew.
///
/// # Errors
/// What the database says.
pub fn delete_older(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let chain = Chain::new(Some(tenant), Book::Audit);
    let (owner, book) = (chain.owner, chain.book.as_str());
    let Some(head) = tx.query_opt::<HeadRow>(&HEAD, &params![owner, book])? else {
        return Ok(0);
    };
    let values = params![owner, book, head.first_seq, limit];
    let oldest: Vec<OldRow> = tx.query(&OLDEST, &values)?;
    let old = oldest.into_iter().take_while(|row| row.at < before);
    let Some(last) = old.last() else {
        return Ok(0);
    };
    let proof = end_proof(keyring, chain, FIRST_END, last.seq, &last.link);
    tx.execute(
        &SET_FIRST,
        &params![owner, book, last.seq, last.link, proof],
    )?;
    tx.execute(&DELETE_UP_TO, &params![owner, book, last.seq])
}

/// An entry.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditEntryId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// From where.
    pub address: Option<String>,
    /// What.
    pub action: String,
    /// What it was done to.
    pub object: String,
    /// Which one.
    pub object_id: Option<String>,
    /// How it was and how it is.
    pub change: Option<Json>,
    /// Its number; `None` for a moment.
    pub seq: Option<i64>,
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this actor.
    pub actor: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// About this kind of object.
    pub object: Option<String>,
    /// About this object.
    pub object_id: Option<String>,
    /// Before this one.
    pub before: Option<AuditEntryId>,
}

/// Up to `limit` entries, the latest first.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    chain: Chain,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let owner = chain.owner;
    let sql = SqlBuilder::new(&LISTED, &params![owner, chain.book.as_str()])
        .and_some("actor = ?", filter.actor.as_deref())
        .and_some("action = ?", filter.action.as_deref())
        .and_some("object = ?", filter.object.as_deref())
        .and_some("object_id = ?", filter.object_id.as_deref())
        .and_some("id < ?", filter.before)
        .push(" ORDER BY id DESC LIMIT ?", &params![limit]);
    let rows: Vec<EntryRow> = tx.query_dynamic(&sql)?;
    rows.into_iter()
        .map(|row| row.open(keyring, owner))
        .collect()
}

impl EntryRow {
    fn change(&self, keyring: &Keyring, owner: Uuid) -> Result<Option<String>, StoreError> {
        let Some(sealed) = &self.change_sealed else {
            return Ok(None);
        };
        let open = keyring.open_of(owner, place(&self.id.uuid()), sealed)?;
        String::from_utf8(open.to_vec())
            .map(Some)
            .map_err(|_| StoreError::corrupt("a change that is no text"))
    }

    fn open(self, keyring: &Keyring, owner: Uuid) -> Result<AuditEntry, StoreError> {
        let change = self.change(keyring, owner)?;
        let change = change.map(|text| serde_json::from_str(&text)).transpose();
        Ok(AuditEntry {
            id: self.id,
            at: self.at,
            actor: self.actor,
            address: self.address,
            action: self.action,
            object: self.object,
            object_id: self.object_id,
            change: change.map_err(|_| StoreError::corrupt("a change that is no JSON"))?,
            seq: self.seq,
        })
    }
}

#[cfg(test)]
mod tests;
