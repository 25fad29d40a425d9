//! New keys in place of old ones, while everything runs.
//!
//! Secrets that are wrapped under an earlier master key are wrapped anew at once: nothing that is sealed changes. A new
//! data key is first made known to all nodes, then sealed with, then every value that an older one sealed is written
//! anew, and the older ones are destroyed. Each step is a transaction that also says how far it got, so whatever happens
//! to the process, its successor goes on from there.

use std::time::Duration;

use uuid::Uuid;
use waxwing_core::time::Timestamp;

use super::{DATA, KeyRow, PAGE_ROWS, unwrap};
use crate::domain::crypto::{Keyring, Place, fresh_key, sealed_version};
use crate::{Statement, StoreError, Tx, params, row, statements};

statements! {
    /// The owners whose keys are not being replaced yet.
    IDLE [global] = "SELECT k.owner FROM data_keys k WHERE k.state = 'current' AND k.purpose = 'data' AND k.owner > $1 \
        AND NOT EXISTS (SELECT 1 FROM key_rotations r WHERE r.owner = k.owner) ORDER BY k.owner LIMIT $2";
    NEXT_VERSION [global] = "SELECT max(version) + 1 FROM data_keys WHERE owner = $1 AND purpose = 'data'";
    ADD [global] = "INSERT INTO data_keys (owner, purpose, version, state, wrapped, wrapped_by, created_at) \
        VALUES ($1, 'data', $2, 'next', $3, $4, $5)";
    BEGIN [global] = "INSERT INTO key_rotations (owner, version, place, after, rewritten, since) VALUES ($1, $2, 0, $3, 0, $4) \
        ON CONFLICT (owner) DO NOTHING";
    RUNNING [global, scan: "owners whose keys are being replaced: few, and for a short time"] =
        "SELECT owner, version, place, after, rewritten, since FROM key_rotations ORDER BY owner LIMIT $1";
    COUNT [global, scan: "as above"] = "SELECT count(*) FROM key_rotations";
    NEXT [global] = "SELECT version FROM data_keys WHERE owner = $1 AND purpose = 'data' AND state = 'next'";
    RETIRE [global] = "UPDATE data_keys SET state = 'old' WHERE owner = $1 AND purpose = 'data' AND state = 'current'";
    PROMOTE [global] = "UPDATE data_keys SET state = 'current' WHERE owner = $1 AND purpose = 'data' AND state = 'next'";
    PROGRESS [global] = "UPDATE key_rotations SET place = $2, after = $3, rewritten = $4, since = $5 WHERE owner = $1";
    DROP_OLD [global] = "DELETE FROM data_keys WHERE owner = $1 AND purpose = 'data' AND state = 'old'";
    END [global] = "DELETE FROM key_rotations WHERE owner = $1";
    /// All secrets are looked at: each is a few bytes, and this is asked for by hand.
    FOREIGN [global, scan: "once for each rotation"] = "SELECT owner, purpose, version, state, wrapped, wrapped_by FROM data_keys \
        WHERE wrapped_by <> $1 AND state <> 'destroyed' LIMIT $2";
    FOREIGN_COUNT [global, scan: "asked for by hand"] = "SELECT count(*) FROM data_keys WHERE wrapped_by <> $1 AND state <> 'destroyed'";
    REWRAP [global] = "UPDATE data_keys SET wrapped = $4, wrapped_by = $5 WHERE owner = $1 AND purpose = $2 AND version = $3";

    CHANNELS [tenant] = "SELECT id, credentials_sealed FROM channels WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_CHANNELS [tenant] = "UPDATE channels SET credentials_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND credentials_sealed = $3";
    PHONES [tenant] = "SELECT id, phone_sealed FROM contacts WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_PHONES [tenant] = "UPDATE contacts SET phone_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND phone_sealed = $3";
    USER_IDS [tenant] = "SELECT id, user_id_sealed FROM contacts WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_USER_IDS [tenant] = "UPDATE contacts SET user_id_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND user_id_sealed = $3";
    USERNAMES [tenant] = "SELECT id, username_sealed FROM contacts WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_USERNAMES [tenant] = "UPDATE contacts SET username_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND username_sealed = $3";
    PROVIDER_IDS [tenant] = "SELECT id, provider_id_sealed FROM messages WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_PROVIDER_IDS [tenant] = "UPDATE messages SET provider_id_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND provider_id_sealed = $3";
    PARKED [tenant] = "SELECT id, update_sealed FROM parked_statuses WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_PARKED [tenant] = "UPDATE parked_statuses SET update_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND update_sealed = $3";
    SOURCES [tenant] = "SELECT id, source_sealed FROM media WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_SOURCES [tenant] = "UPDATE media SET source_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND source_sealed = $3";
    FILENAMES [tenant] = "SELECT id, filename_sealed FROM media WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_FILENAMES [tenant] = "UPDATE media SET filename_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND filename_sealed = $3";
    NEEDLES [tenant] = "SELECT id, needles_sealed FROM erasures WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_NEEDLES [tenant] = "UPDATE erasures SET needles_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND needles_sealed = $3";
    CONTENTS [tenant] = "SELECT id, content_sealed FROM messages WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_CONTENTS [tenant] = "UPDATE messages SET content_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND content_sealed = $3";
    NAMES [tenant] = "SELECT id, profile_name_sealed FROM contacts WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_NAMES [tenant] = "UPDATE contacts SET profile_name_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND profile_name_sealed = $3";
    CHANGES [tenant] = "SELECT id, change_sealed FROM audit_entries WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    SET_CHANGES [tenant] = "UPDATE audit_entries SET change_sealed = $4 WHERE tenant_id = $1 AND id = $2 AND change_sealed = $3";
    BODIES [global] = "SELECT id, body_sealed FROM webhook_events WHERE id > $1 ORDER BY id LIMIT $2";
    FACTORS [global] = "SELECT user_id, secret_sealed FROM second_factors WHERE user_id > $1 ORDER BY user_id LIMIT $2";
    SET_FACTORS [global] = "UPDATE second_factors SET secret_sealed = $3 WHERE user_id = $1 AND secret_sealed = $2";
    SET_BODIES [global] = "UPDATE webhook_events SET body_sealed = $3 WHERE id = $1 AND body_sealed = $2";
}

row! {
    struct RotationRow { owner: Uuid, version: u32, place: i64, after: Uuid, rewritten: i64, since: Timestamp }

    struct SealedRow { id: Uuid, sealed: Option<Vec<u8>> }
}

/// How long a change of keys is given to reach every node: each looks once a second.
pub const SPREAD: Duration = Duration::from_secs(10);

/// A sealed column.
struct SealedColumn {
    table: &'static str,
    column: &'static str,
    select: &'static Statement,
    update: &'static Statement,
    /// Rows of one transaction: a few milliseconds, a few megabytes.
    batch: u32,
    /// Whether its rows are bound to their owner: those of the inbox have none.
    owned: bool,
}

const fn column(
    table: &'static str,
    column: &'static str,
    select: &'static Statement,
    update: &'static Statement,
) -> SealedColumn {
    SealedColumn {
        table,
        column,
        select,
        update,
        batch: 200,
        owned: true,
    }
}

const CHANGES_COLUMN: SealedColumn =
    column("audit_entries", "change_sealed", &CHANGES, &SET_CHANGES);

/// The sealed columns of tenants.
const OF_TENANTS: &[SealedColumn] = &[
    column("channels", "credentials_sealed", &CHANNELS, &SET_CHANNELS),
    column("contacts", "phone_sealed", &PHONES, &SET_PHONES),
    column("contacts", "user_id_sealed", &USER_IDS, &SET_USER_IDS),
    column("contacts", "username_sealed", &USERNAMES, &SET_USERNAMES),
    column(
        "messages",
        "provider_id_sealed",
        &PROVIDER_IDS,
        &SET_PROVIDER_IDS,
    ),
    column("messages", "content_sealed", &CONTENTS, &SET_CONTENTS),
    column("contacts", "profile_name_sealed", &NAMES, &SET_NAMES),
    column("parked_statuses", "update_sealed", &PARKED, &SET_PARKED),
    column("media", "source_sealed", &SOURCES, &SET_SOURCES),
    column("media", "filename_sealed", &FILENAMES, &SET_FILENAMES),
    column("erasures", "needles_sealed", &NEEDLES, &SET_NEEDLES),
    CHANGES_COLUMN,
];

/// Those of the platform.
const OF_PLATFORM: &[SealedColumn] = &[
    CHANGES_COLUMN,
    SealedColumn {
        table: "second_factors",
        column: "secret_sealed",
        select: &FACTORS,
        update: &SET_FACTORS,
        batch: 200,
        owned: false,
    },
    SealedColumn {
        table: "webhook_events",
        column: "body_sealed",
        select: &BODIES,
        update: &SET_BODIES,
        batch: 8,
        owned: false,
    },
];

fn columns(owner: Uuid) -> &'static [SealedColumn] {
    if owner.is_nil() {
        OF_PLATFORM
    } else {
        OF_TENANTS
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Owners whose keys are being replaced: tenants, and the platform itself.
    pub owners: u64,
    /// Secrets that are wrapped under an earlier master key.
    pub foreign: u64,
}

/// How far it is.
///
/// # Errors
/// What the database says.
pub fn standing(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<Standing, StoreError> {
    let current = i64::from(keyring.masters().current().id());
    Ok(Standing {
        owners: tx.query_one(&COUNT, &[])?,
        foreign: tx.query_one(&FOREIGN_COUNT, &params![current])?,
    })
}

/// Makes new data keys for owners behind `after`, a page of them; the last one, or `None` when all have some.
///
/// # Errors
/// What the database says.
pub fn begin(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    after: Option<Uuid>,
    now: Timestamp,
) -> Result<Option<Uuid>, StoreError> {
    let master = keyring.masters().current();
    let mut owners: Vec<Uuid> = tx.query(&IDLE, &params![after.unwrap_or_default(), PAGE_ROWS])?;
    if after.is_none() {
        owners.insert(0, Uuid::nil());
    }
    for owner in &owners {
        let version: u32 = tx.query_one(&NEXT_VERSION, &params![*owner])?;
        if tx.execute(&BEGIN, &params![*owner, version, Uuid::nil(), now])? == 0 {
            continue;
        }
        let wrapped = master.wrap(*owner, DATA, version, &fresh_key());
        let values = params![*owner, version, wrapped, i64::from(master.id()), now];
        tx.execute(&ADD, &values)?;
    }
    if !owners.is_empty() {
        tx.execute(&super::BUMP, &[])?;
    }
    Ok(owners.last().copied().filter(|last| !last.is_nil()))
}

/// Wraps secrets of earlier master keys under the present one; how many are done, and how many could not be, because
/// their master key is not here.
///
/// # Errors
/// What the database says.
pub fn rewrap(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<(u64, u64), StoreError> {
    let masters = keyring.masters();
    let master = masters.current();
    let by = i64::from(master.id());
    let rows: Vec<KeyRow> = tx.query(&FOREIGN, &params![by, PAGE_ROWS])?;
    let (mut done, mut lost) = (0, 0);
    for row in rows {
        let Some(secret) = unwrap(masters, &row) else {
            lost += 1;
            continue;
        };
        let wrapped = master.wrap(row.owner, &row.purpose, row.version, &secret);
        let values = params![row.owner, &row.purpose, row.version, wrapped, by];
        done += tx.execute(&REWRAP, &values)?;
    }
    Ok((done, lost))
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing is to do, or not yet.
    Waits,
    /// Something; the next step may follow at once.
    Did,
}

/// Rotations that are looked at together.
const AT_ONCE: u32 = 100;

/// Takes the next step of each owner whose keys are being replaced. The keyring knows all keys that the database has.
///
/// # Errors
/// What the database says; when a value does not open.
pub fn step(tx: &mut Tx<'_>, keyring: &Keyring, now: Timestamp) -> Result<Step, StoreError> {
    let rotations: Vec<RotationRow> = tx.query(&RUNNING, &params![AT_ONCE])?;
    for rotation in rotations {
        if rotation.since.plus(SPREAD) > now {
            continue;
        }
        return one(tx, keyring, &rotation, now).map(|()| Step::Did);
    }
    Ok(Step::Waits)
}

fn one(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    rotation: &RotationRow,
    now: Timestamp,
) -> Result<(), StoreError> {
    let owner = rotation.owner;
    if tx.query_opt::<u32>(&NEXT, &params![owner])?.is_some() {
        tx.execute(&RETIRE, &params![owner])?;
        tx.execute(&PROMOTE, &params![owner])?;
        tx.execute(&super::BUMP, &[])?;
        return progress(tx, rotation, 0, Uuid::nil(), 0, now);
    }
    let place = usize::try_from(rotation.place).unwrap_or(usize::MAX);
    let Some(column) = columns(owner).get(place) else {
        if rotation.rewritten > 0 {
            // Whoever sealed while the key was changed may have written behind this pass: another one looks.
            return progress(tx, rotation, 0, Uuid::nil(), 0, rotation.since);
        }
        tx.execute(&DROP_OLD, &params![owner])?;
        tx.execute(&END, &params![owner])?;
        return tx.execute(&super::BUMP, &[]).map(|_| ());
    };
    let skipped = usize::from(!column.owned);
    let values = params![owner, rotation.after, column.batch];
    let rows: Vec<SealedRow> = tx.query(column.select, &values[skipped..])?;
    let mut rewritten = 0;
    for row in &rows {
        let old = row.sealed.as_ref();
        let Some(sealed) = old.filter(|one| sealed_version(one) != Some(rotation.version)) else {
            continue;
        };
        let place = Place::new(column.table, column.column, &row.id);
        let open = keyring.open_of(owner, place, sealed)?;
        let new = keyring.seal_of(owner, place, &open);
        if sealed_version(&new) != Some(rotation.version) {
            return Err(StoreError::Refused(
                "the new key has not reached this process yet",
            ));
        }
        let values = params![owner, row.id, sealed.clone(), new];
        // Somebody may have written another value meanwhile, under the new key.
        tx.execute(column.update, &values[skipped..])?;
        rewritten += 1;
    }
    let full = rows.len() == column.batch as usize;
    let (place, after) = match rows.last() {
        Some(last) if full => (rotation.place, last.id),
        _ => (rotation.place + 1, Uuid::nil()),
    };
    let rewritten = rotation.rewritten + rewritten;
    progress(tx, rotation, place, after, rewritten, rotation.since)
}

fn progress(
    tx: &mut Tx<'_>,
    rotation: &RotationRow,
    place: i64,
    after: Uuid,
    rewritten: i64,
    since: Timestamp,
) -> Result<(), StoreError> {
    let values = params![rotation.owner, place, after, rewritten, since];
    tx.execute(&PROGRESS, &values).map(|_| ())
}

#[cfg(test)]
mod tests;
