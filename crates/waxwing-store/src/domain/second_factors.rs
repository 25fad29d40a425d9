//! Second factors of people: a shared secret, sealed, and recovery codes as keyed hashes.

use uuid::Uuid;
use waxwing_core::ids::UserId;
use waxwing_core::time::Timestamp;
use zeroize::Zeroizing;

use super::crypto::{Keyring, Place};
use crate::{StoreError, Tx, params, row, statements};

statements! {
    /// One that was never confirmed makes room for a fresh one.
    PUT [global] = "INSERT INTO second_factors (user_id, secret_sealed, used_step, created_at) VALUES ($1, $2, 0, $3) \
        ON CONFLICT (user_id) DO UPDATE SET secret_sealed = excluded.secret_sealed, created_at = excluded.created_at \
        WHERE second_factors.confirmed_at IS NULL";
    OF [global] = "SELECT secret_sealed, confirmed_at FROM second_factors WHERE user_id = $1";
    /// Whoever changes it has used the code: two at once cannot.
    USE_STEP [global] = "UPDATE second_factors SET used_step = $2 WHERE user_id = $1 AND used_step < $2";
    CONFIRM [global] = "UPDATE second_factors SET confirmed_at = $2 WHERE user_id = $1 AND confirmed_at IS NULL";
    ADD_CODE [global] = "INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)";
    USE_CODE [global] = "DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2";
    REMOVE [global] = "DELETE FROM second_factors WHERE user_id = $1";
}

row! {
    struct FactorRow { secret_sealed: Vec<u8>, confirmed_at: Option<Timestamp> }
}

fn place(user: &Uuid) -> Place<'_> {
    Place::new("second_factors", "secret_sealed", user)
}

/// A second factor. No `Debug`: it holds the secret.
pub struct SecondFactor {
    /// The shared secret.
    pub secret: Zeroizing<Vec<u8>>,
    /// Whether the person proved to have it, and has to give codes.
    pub confirmed: bool,
}

/// Keeps a fresh secret that is to be confirmed. `false` when the person has a confirmed one, which stays.
///
/// # Errors
/// What the database says.
pub fn put(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    user: UserId,
    secret: &[u8],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sealed = keyring.seal_system(place(&user.uuid()), secret);
    Ok(tx.execute(&PUT, &params![user, sealed, now])? == 1)
}

/// The second factor of a person.
///
/// # Errors
/// What the database says; [`StoreError::Corrupt`] for a secret that does not open.
pub fn of(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    user: UserId,
) -> Result<Option<SecondFactor>, StoreError> {
    let Some(row) = tx.query_opt::<FactorRow>(&OF, &params![user])? else {
        return Ok(None);
    };
    let secret = keyring
        .open_system(place(&user.uuid()), &row.secret_sealed)
        .map_err(|error| StoreError::corrupt(error.to_string()))?;
    Ok(Some(SecondFactor {
        secret,
        confirmed: row.confirmed_at.is_some(),
    }))
}

/// Whether a person has to give codes.
///
/// # Errors
/// What the database says.
pub fn is_on(tx: &mut Tx<'_>, user: UserId) -> Result<bool, StoreError> {
    let row = tx.query_opt::<FactorRow>(&OF, &params![user])?;
    Ok(row.is_some_and(|row| row.confirmed_at.is_some()))
}

/// Uses the code of a step of time. `false` when that or a newer one was used before.
///
/// # Errors
/// What the database says.
pub fn use_step(tx: &mut Tx<'_>, user: UserId, step: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(&USE_STEP, &params![user, step])? == 1)
}

/// From now on the person has to give codes. `false` when that is so already, or there is none.
///
/// # Errors
/// What the database says.
pub fn confirm(
    tx: &mut Tx<'_>,
    user: UserId,
    code_hashes: &[Vec<u8>],
    now: Timestamp,
) -> Result<bool, StoreError> {
    if tx.execute(&CONFIRM, &params![user, now])? == 0 {
        return Ok(false);
    }
    for hash in code_hashes {
        tx.execute(&ADD_CODE, &params![user, hash.clone()])?;
    }
    Ok(true)
}

/// Uses a recovery code. `false` when there is none of that hash.
///
/// # Errors
/// What the database says.
pub fn use_code(tx: &mut Tx<'_>, user: UserId, hash: &[u8]) -> Result<bool, StoreError> {
    Ok(tx.execute(&USE_CODE, &params![user, hash.to_vec()])? == 1)
}

/// Takes the second factor and its recovery codes away. `false` when there is none.
///
/// # Errors
/// What the database says.
pub fn remove(tx: &mut Tx<'_>, user: UserId) -> Result<bool, StoreError> {
    Ok(tx.execute(&REMOVE, &params![user])? == 1)
}

#[cfg(test)]
mod tests {
    use waxwing_core::account::Email;

    use super::*;
    use crate::domain::users::{self, NewUser};
    use crate::store_test;

    const ADA: UserId = UserId::from_uuid(Uuid::from_u128(1));

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_795_219_200)
    }

    fn ada(tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let email = Email::parse("ada@example.com").unwrap();
        let new = NewUser {
            id: ADA,
            email: &email,
            name: "Ada",
            password_hash: "phc",
        };
        users::add(tx, &new, now())
    }

    store_test!(
        a_secret_is_replaced_until_it_is_confirmed,
        |db| async move {
            let keyring = Keyring::for_tests(1);
            db.store()
                .write(move |tx| {
                    ada(tx)?;
                    assert!(!is_on(tx, ADA)? && of(tx, &keyring, ADA)?.is_none());
                    assert!(put(tx, &keyring, ADA, b"first", now())?);
                    assert!(put(tx, &keyring, ADA, b"second", now())?);
                    assert!(!is_on(tx, ADA)?);
                    assert!(confirm(tx, ADA, &[vec![1], vec![2]], now())?);
                    assert!(!confirm(tx, ADA, &[vec![3]], now())?);
                    assert!(!put(tx, &keyring, ADA, b"third", now())?);
                    let factor = of(tx, &keyring, ADA)?.unwrap();
                    assert!(factor.confirmed && factor.secret.as_slice() == b"second");
                    assert!(remove(tx, ADA)? && !remove(tx, ADA)?);
                    assert!(!use_code(tx, ADA, &[1])?, "codes go with it");
                    Ok(())
                })
                .await
                .unwrap();
        }
    );

    store_test!(codes_work_once_and_never_backwards, |db| async move {
        let keyring = Keyring::for_tests(1);
        db.store()
            .write(move |tx| {
                ada(tx)?;
                assert!(!use_step(tx, ADA, 7)?, "there is no factor");
                put(tx, &keyring, ADA, b"secret", now())?;
                confirm(tx, ADA, &[vec![1]], now())?;
                assert!(use_step(tx, ADA, 7)?);
                assert!(!use_step(tx, ADA, 7)? && !use_step(tx, ADA, 6)?);
                assert!(use_step(tx, ADA, 8)?);
                assert!(use_code(tx, ADA, &[1])? && !use_code(tx, ADA, &[1])?);
                Ok(())
            })
            .await
            .unwrap();
    });
}
