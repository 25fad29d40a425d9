//! The secrets of owners in the database: wrapped under a master key, read at start, made with their tenant.
//!
//! The platform's own secrets are looked at before anything is served, so that a wrong master key is told at start and
//! never by a row that does not open.

pub mod rotation;

use std::collections::BTreeMap;

use uuid::Uuid;
use waxwing_core::ids::TenantId;
use waxwing_core::time::Timestamp;

use super::crypto::{KeyBytes, Keyring, Masters, Secrets};
use crate::{StoreError, Tx, params, row, statements};

statements! {
    // The only row of its table: whoever holds it is alone at a first start.
    TURN [global] = "SELECT value FROM epochs WHERE name = 'channels' {lock}";
    OF [global] = "SELECT owner, purpose, version, state, wrapped, wrapped_by FROM data_keys WHERE owner = $1";
    PAGE [global] = "SELECT owner, purpose, version, state, wrapped, wrapped_by FROM data_keys \
        WHERE (owner, purpose, version) > ($1, $2, $3) ORDER BY owner, purpose, version LIMIT $4";
    ADD [global] = "INSERT INTO data_keys (owner, purpose, version, state, wrapped, wrapped_by, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (owner, purpose, version) DO NOTHING";
    WITHOUT_KEYS [global] = "SELECT t.id FROM tenants t WHERE t.id > $1 \
        AND NOT EXISTS (SELECT 1 FROM data_keys k WHERE k.owner = t.id) ORDER BY t.id LIMIT $2";
    DESTROY [global] = "DELETE FROM data_keys WHERE owner = $1";
    /// Tells other nodes that the keys are gone, and not only made too recently to be seen.
    TOMBSTONE [global] = "INSERT INTO data_keys (owner, purpose, version, state, wrapped, wrapped_by, created_at) \
        VALUES ($1, 'fixed', 0, 'destroyed', $2, 0, $3)";
    SEALING [global] = "SELECT id FROM tenants WHERE content_sealed_since IS NOT NULL AND id > $1 ORDER BY id LIMIT $2";
    EPOCH [global] = "SELECT value FROM epochs WHERE name = 'keys'";
    /// All nodes look at it every second, and read all keys again when it has changed.
    BUMP [global] = "UPDATE epochs SET value = value + 1 WHERE name = 'keys'";
}

row! {
    struct KeyRow { owner: Uuid, purpose: String, version: u32, state: String, wrapped: Vec<u8>, wrapped_by: i64 }
}

const FIXED: &str = "fixed";
const DATA: &str = "data";
const DESTROYED: &str = "destroyed";
/// Keys that are read at once.
const PAGE_ROWS: u32 = 1_000;

/// How a master key fits the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFit {
    /// Nothing was ever sealed here.
    Unused,
    /// What is sealed here opens under it.
    Right,
    /// The database was sealed under another key.
    Wrong,
}

/// Whether the secrets of the database unwrap under these keys.
///
/// # Errors
/// What the database says.
pub fn fit(tx: &mut Tx<'_>, masters: &Masters) -> Result<KeyFit, StoreError> {
    let rows: Vec<KeyRow> = tx.query(&OF, &params![Uuid::nil()])?;
    if rows.is_empty() {
        return Ok(KeyFit::Unused);
    }
    let opens = rows.iter().all(|row| unwrap(masters, row).is_some());
    Ok(if opens { KeyFit::Right } else { KeyFit::Wrong })
}

/// The keyring of the database: reads the secrets of all owners, and makes those of the platform in a database that was
/// never sealed. `None` when the master key is not the right one. Of two processes that start at the same moment with
/// different keys, one gets `None`.
///
/// # Errors
/// What the database says.
pub fn adopt(
    tx: &mut Tx<'_>,
    masters: &Masters,
    now: Timestamp,
) -> Result<Option<Keyring>, StoreError> {
    tx.query_one::<i64>(&TURN, &[])?;
    if fit(tx, masters)? == KeyFit::Unused {
        add(tx, masters, Uuid::nil(), &Secrets::fresh(), now)?;
    }
    let Some(keyring) = open(tx, masters)? else {
        return Ok(None);
    };
    let mut after = Uuid::nil();
    loop {
        let tenants: Vec<TenantId> = tx.query(&WITHOUT_KEYS, &params![after, PAGE_ROWS])?;
        for tenant in &tenants {
            make(tx, &keyring, *tenant, now)?;
        }
        match tenants.last() {
            Some(last) if tenants.len() == PAGE_ROWS as usize => after = last.uuid(),
            _ => break,
        }
    }
    Ok(Some(keyring))
}

/// The keyring of a database that was sealed under one of these master keys; `None` for every other.
///
/// # Errors
/// What the database says.
pub fn open(tx: &mut Tx<'_>, masters: &Masters) -> Result<Option<Keyring>, StoreError> {
    let rows: Vec<KeyRow> = tx.query(&OF, &params![Uuid::nil()])?;
    let Some(system) = secrets(masters, &rows) else {
        return Ok(None);
    };
    let keyring = Keyring::new(masters.clone(), &system);
    refresh(tx, &keyring)?;
    Ok(Some(keyring))
}

/// Makes the secrets of a tenant, unless it has some, and puts them into the keyring. In the transaction that makes the
/// tenant.
///
/// # Errors
/// What the database says.
pub fn make(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    now: Timestamp,
) -> Result<(), StoreError> {
    add(tx, keyring.masters(), tenant.uuid(), &Secrets::fresh(), now)?;
    load(tx, keyring, tenant.uuid())
}

/// Sees to it that the keys of a tenant are in the keyring: another node may have made it.
///
/// # Errors
/// What the database says.
pub fn ensure(tx: &mut Tx<'_>, keyring: &Keyring, tenant: TenantId) -> Result<(), StoreError> {
    if keyring.knows(tenant) {
        return Ok(());
    }
    load(tx, keyring, tenant.uuid())
}

/// Reads the secrets of all owners again: new ones come, new versions count, and those of erased tenants are forgotten.
///
/// # Errors
/// What the database says.
pub fn refresh(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<(), StoreError> {
    let mut all: BTreeMap<Uuid, Vec<KeyRow>> = BTreeMap::new();
    let mut after = (Uuid::nil(), String::new(), 0);
    loop {
        let values = params![after.0, &after.1, after.2, PAGE_ROWS];
        let rows: Vec<KeyRow> = tx.query(&PAGE, &values)?;
        let full = rows.len() == PAGE_ROWS as usize;
        if let Some(last) = rows.last() {
            after = (last.owner, last.purpose.clone(), last.version);
        }
        for row in rows {
            all.entry(row.owner).or_default().push(row);
        }
        if !full {
            break;
        }
    }
    for (owner, rows) in &all {
        if rows.iter().any(|row| row.state == DESTROYED) {
            keyring.destroy(TenantId::from_uuid(*owner));
            continue;
        }
        match secrets(keyring.masters(), rows) {
            Some(secrets) => keyring.install(*owner, &secrets),
            // This process keeps what it has; it has to be started with the new master key.
            None => tracing::warn!("secrets are wrapped under a master key that is not here"),
        }
    }
    keyring.set_sealing(sealing(tx)?);
    Ok(())
}

/// The tenants that want what people write sealed.
fn sealing(tx: &mut Tx<'_>) -> Result<Vec<TenantId>, StoreError> {
    let mut all: Vec<TenantId> = Vec::new();
    loop {
        let after = all.last().map_or(Uuid::nil(), |last| last.uuid());
        let page: Vec<TenantId> = tx.query(&SEALING, &params![after, PAGE_ROWS])?;
        let full = page.len() == PAGE_ROWS as usize;
        all.extend(page);
        if !full {
            return Ok(all);
        }
    }
}

/// Tells all nodes that keys, or who wants what sealed, have changed.
///
/// # Errors
/// What the database says.
pub fn changed(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.execute(&BUMP, &[]).map(|_| ())
}

/// Destroys the secrets of a tenant: nothing that was sealed for it opens again, wherever copies of it are.
///
/// # Errors
/// What the database says.
pub fn destroy(tx: &mut Tx<'_>, tenant: TenantId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(&DESTROY, &params![tenant])?;
    tx.execute(&TOMBSTONE, &params![tenant, Vec::<u8>::new(), now])?;
    tx.execute(&BUMP, &[]).map(|_| ())
}

/// Changes with every change of keys that other nodes have to hear of.
///
/// # Errors
/// What the database says.
pub fn epoch(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    tx.query_one(&EPOCH, &[])
}

fn load(tx: &mut Tx<'_>, keyring: &Keyring, owner: Uuid) -> Result<(), StoreError> {
    let rows: Vec<KeyRow> = tx.query(&OF, &params![owner])?;
    let secrets = secrets(keyring.masters(), &rows).ok_or_else(foreign)?;
    keyring.install(owner, &secrets);
    Ok(())
}

fn foreign() -> StoreError {
    StoreError::corrupt("the secrets of a tenant do not unwrap under the master key")
}

fn add(
    tx: &mut Tx<'_>,
    masters: &Masters,
    owner: Uuid,
    secrets: &Secrets,
    now: Timestamp,
) -> Result<(), StoreError> {
    let master = masters.current();
    let mut put = |purpose: &str, version: u32, secret: &KeyBytes| {
        let wrapped = master.wrap(owner, purpose, version, secret);
        let by = i64::from(master.id());
        let values = params![owner, purpose, version, "current", wrapped, by, now];
        tx.execute(&ADD, &values).map(|_| ())
    };
    put(FIXED, 1, &secrets.fixed)?;
    for (version, secret) in &secrets.data {
        put(DATA, *version, secret)?;
    }
    Ok(())
}

fn unwrap(masters: &Masters, row: &KeyRow) -> Option<KeyBytes> {
    let master = masters.of(u32::try_from(row.wrapped_by).ok()?)?;
    master
        .unwrap(row.owner, &row.purpose, row.version, &row.wrapped)
        .ok()
}

/// The secrets of the rows of one owner; `None` when one does not unwrap, or one is missing.
fn secrets(masters: &Masters, rows: &[KeyRow]) -> Option<Secrets> {
    let mut fixed = None;
    let (mut data, mut current) = (Vec::new(), None);
    for row in rows {
        let secret = unwrap(masters, row)?;
        if row.purpose == FIXED {
            fixed = Some(secret);
            continue;
        }
        if row.state == "current" {
            current = Some(row.version);
        }
        data.push((row.version, secret));
    }
    Some(Secrets {
        fixed: fixed?,
        data,
        current: current?,
    })
}

#[cfg(test)]
mod tests {
    use waxwing_core::settings::TenantSettings;
    use zeroize::Zeroizing;

    use super::super::crypto::{Master, Place};
    use super::super::tenants;
    use super::*;
    use crate::store_test;

    pub(super) fn masters(byte: u8) -> Masters {
        Masters::new(Master::new(&Zeroizing::new([byte; 32])), None)
    }

    pub(super) fn now() -> Timestamp {
        Timestamp::from_seconds(1_795_219_200)
    }

    const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));

    store_test!(only_the_first_key_fits, |db| async move {
        let fits = |byte| db.store().read(move |tx| fit(tx, &masters(byte)));
        let adopts = |byte| {
            db.store()
                .write(move |tx| Ok(adopt(tx, &masters(byte), now())?.is_some()))
        };
        assert_eq!(fits(1).await, Ok(KeyFit::Unused));
        assert_eq!(adopts(1).await, Ok(true));
        assert_eq!(adopts(1).await, Ok(true));
        assert_eq!(fits(1).await, Ok(KeyFit::Right));
        assert_eq!(adopts(2).await, Ok(false));
        assert_eq!(fits(2).await, Ok(KeyFit::Wrong));
    });

    store_test!(of_two_first_keys_one_fits, |db| async move {
        let adopts = |byte| {
            db.store()
                .write(move |tx| Ok(adopt(tx, &masters(byte), now())?.is_some()))
        };
        let (one, two) = tokio::join!(adopts(1), adopts(2));
        assert_ne!(one.unwrap(), two.unwrap());
    });

    store_test!(
        a_tenants_keys_are_found_again_until_they_are_destroyed,
        |db| {
            async move {
                let made = db.store().write(|tx| {
                    let settings = TenantSettings::default();
                    tenants::create(tx, TENANT, "T", &settings, now())?;
                    let first = adopt(tx, &masters(1), now())?.unwrap();
                    let second = adopt(tx, &masters(1), now())?.unwrap();
                    let row = Uuid::from_u128(7);
                    let place = Place::new("contacts", "phone_sealed", &row);
                    let sealed = first.seal(TENANT, place, b"+1");
                    assert_eq!(&**second.open(TENANT, place, &sealed).unwrap(), b"+1");

                    // Another node made a tenant; this one has not heard of it.
                    let other = TenantId::from_uuid(Uuid::from_u128(0xb));
                    tenants::create(tx, other, "O", &settings, now())?;
                    make(tx, &first, other, now())?;
                    assert!(!second.knows(other));
                    ensure(tx, &second, other)?;
                    let hash = |keys: &Keyring| {
                        keys.blind(other, super::super::crypto::BlindPurpose::Alias, &[b"x"])
                    };
                    assert_eq!(hash(&first), hash(&second));
                    // A second making changes nothing.
                    make(tx, &first, other, now())?;
                    assert_eq!(hash(&first), hash(&second));

                    destroy(tx, TENANT, now())?;
                    refresh(tx, &second)?;
                    assert!(second.open(TENANT, place, &sealed).is_err());
                    Ok(())
                });
                assert_eq!(made.await, Ok(()));
            }
        }
    );
}
