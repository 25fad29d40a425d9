//! The check that the process has the master key that the database was sealed under.
//!
//! A sealed constant is kept for the key. It is looked at before anything is served, so that a wrong key is told at
//! start and never by a row that does not open.

use uuid::Uuid;
use waxwing_core::time::Timestamp;

use super::crypto::{Keyring, Place};
use crate::{StoreError, Tx, params, row, statements};

statements! {
    // The only row of its table: whoever holds it is alone at a first start.
    TURN [global] = "SELECT value FROM epochs WHERE name = 'channels' {lock}";
    CHECKS [global, scan: "there are as many rows as master keys: one"] = "SELECT key_id, check_sealed FROM key_checks";
    ADD_CHECK [global] = "INSERT INTO key_checks (key_id, check_sealed, created_at) VALUES ($1, $2, $3)";
}

row! {
    struct CheckRow { key_id: i64, check_sealed: Vec<u8> }
}

/// What is sealed. It says nothing; only whether it opens counts.
const CONSTANT: &[u8] = b"waxwing key check";

/// How a master key fits the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFit {
    /// Nothing was ever sealed here.
    Unused,
    /// The database was sealed under this key.
    Right,
    /// The database was sealed under another key.
    Wrong,
}

/// Whether the key is the one that the database was sealed under.
///
/// # Errors
/// What the database says.
pub fn fit(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<KeyFit, StoreError> {
    let checks: Vec<CheckRow> = tx.query(&CHECKS, &[])?;
    if checks.is_empty() {
        return Ok(KeyFit::Unused);
    }
    let right = checks.iter().all(|check| {
        check.key_id == i64::from(keyring.key_id())
            && keyring
                .open_system(place(&Uuid::nil()), &check.check_sealed)
                .is_ok_and(|plain| plain.as_slice() == CONSTANT)
    });
    Ok(if right { KeyFit::Right } else { KeyFit::Wrong })
}

/// Takes the key for a database that was never sealed, and says how it fits one that was. Of two processes that start
/// at the same moment with different keys, one gets [`KeyFit::Wrong`].
///
/// # Errors
/// What the database says.
pub fn adopt(tx: &mut Tx<'_>, keyring: &Keyring, now: Timestamp) -> Result<KeyFit, StoreError> {
    tx.query_one::<i64>(&TURN, &[])?;
    let fit = fit(tx, keyring)?;
    if fit == KeyFit::Unused {
        let sealed = keyring.seal_system(place(&Uuid::nil()), CONSTANT);
        tx.execute(
            &ADD_CHECK,
            &params![i64::from(keyring.key_id()), sealed, now],
        )?;
        return Ok(KeyFit::Right);
    }
    Ok(fit)
}

fn place(row: &Uuid) -> Place<'_> {
    Place::new("key_checks", "check_sealed", row)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::store_test;

    fn key(byte: u8) -> Keyring {
        Keyring::new(&Zeroizing::new([byte; 32]))
    }

    store_test!(only_the_first_key_fits, |db| async move {
        let now = Timestamp::from_seconds(1_795_219_200);
        let fits = |byte| db.store().read(move |tx| fit(tx, &key(byte)));
        let adopts = |byte| db.store().write(move |tx| adopt(tx, &key(byte), now));
        assert_eq!(fits(1).await, Ok(KeyFit::Unused));
        assert_eq!(adopts(1).await, Ok(KeyFit::Right));
        assert_eq!(adopts(1).await, Ok(KeyFit::Right));
        assert_eq!(fits(1).await, Ok(KeyFit::Right));
        assert_eq!(adopts(2).await, Ok(KeyFit::Wrong));
        assert_eq!(fits(2).await, Ok(KeyFit::Wrong));
    });

    store_test!(of_two_first_keys_one_fits, |db| async move {
        let now = Timestamp::from_seconds(1_795_219_200);
        let adopts = |byte| db.store().write(move |tx| adopt(tx, &key(byte), now));
        let (one, two) = tokio::join!(adopts(1), adopts(2));
        let fits = [one.unwrap(), two.unwrap()];
        assert!(
            fits.contains(&KeyFit::Right) && fits.contains(&KeyFit::Wrong),
            "{fits:?}"
        );
    });
}
