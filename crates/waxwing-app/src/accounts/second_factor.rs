//! The second factor of a person: setting it up, proving it, taking it away.

use std::net::IpAddr;
use std::time::Instant;

use waxwing_core::account::Email;
use waxwing_core::audit::{Change, Object};
use waxwing_core::secret::Secret;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::audit::Trail;
use waxwing_store::domain::crypto::{BlindPurpose, Keyring};
use waxwing_store::domain::second_factors::{self, SecondFactor};
use waxwing_store::domain::sessions::{self, SessionRecord};
use waxwing_store::domain::users::{self, UserRecord};
use waxwing_store::{StoreError, Tx};

use super::totp::{self, Given};
use super::{AccountError, Accounts};

/// A second factor that is to be confirmed.
pub struct Enrolment {
    /// The letters to type into an authenticator app.
    pub secret: Secret,
    /// The same as an address that the app reads from a picture.
    pub url: Secret,
}

impl Accounts {
    /// Begins to set a second factor up, for a person who knows the password.
    ///
    /// # Errors
    /// [`AccountError::WrongLogin`], [`AccountError::TooFast`]; [`AccountError::HasSecondFactor`]; what the database says.
    pub async fn begin_second_factor(
        &self,
        session: SessionRecord,
        password: Secret,
        from: IpAddr,
        trail: Trail,
    ) -> Result<Enrolment, AccountError> {
        let user = self.check_own(&session, password, from).await?;
        let secret = totp::fresh_secret();
        let enrolment = Enrolment {
            secret: totp::letters(&secret),
            url: totp::url(&secret, &user.email),
        };
        let (keyring, now) = (self.base.keyring.clone(), self.base.clock.now());
        let write = self.base.store.write(move |tx| {
            let put = second_factors::put(tx, &keyring, user.id, &secret, now)?;
            if put {
                trail.record(tx, &Object::one("user", user.id), &Change::untold())?;
            }
            Ok(put)
        });
        if write.await? {
            Ok(enrolment)
        } else {
            Err(AccountError::HasSecondFactor)
        }
    }

    /// Turns the second factor on with a first code; the answer is the recovery codes. All other sessions of the person
    /// end.
    ///
    /// # Errors
    /// [`AccountError::WrongCode`], [`AccountError::TooFast`]; what the database says.
    pub async fn confirm_second_factor(
        &self,
        session: SessionRecord,
        code: Secret,
        from: IpAddr,
        trail: Trail,
    ) -> Result<Vec<Secret>, AccountError> {
        let user = self.own(&session).await?;
        let account = self.account_key(&user.email);
        if let Some(wait) = self.throttle.try_now(&account, from, Instant::now()) {
            return Err(AccountError::TooFast(wait));
        }
        let codes = totp::fresh_recovery_codes();
        let hash = |code| recovery_hash(&self.base.keyring, code);
        let hashes: Vec<Vec<u8>> = codes.iter().map(hash).collect();
        let (keyring, now) = (self.base.keyring.clone(), self.base.clock.now());
        let write = self.base.store.write(move |tx| {
            let Some(factor) = second_factors::of(tx, &keyring, user.id)? else {
                return Ok(false);
            };
            let Given::Code(given) = totp::read(&code) else {
                return Ok(false);
            };
            let right = use_code_of_app(tx, &user, &factor, given, now)?
                && second_factors::confirm(tx, user.id, &hashes, now)?;
            if right {
                trail.record(tx, &Object::one("user", user.id), &Change::untold())?;
                sessions::end_all(tx, user.id, Some(session.id))?;
            }
            Ok(right)
        });
        if !write.await? {
            return Err(AccountError::WrongCode);
        }
        self.throttle.succeeded(&account, from, Instant::now());
        Ok(codes)
    }

    /// Takes the second factor away, for a person who has it and knows the password. All other sessions of the person
    /// end. `false` when there is none.
    ///
    /// # Errors
    /// [`AccountError::WrongLogin`], [`AccountError::WrongCode`], [`AccountError::TooFast`]; what the database says.
    pub async fn remove_second_factor(
        &self,
        session: SessionRecord,
        password: Secret,
        code: Option<Secret>,
        from: IpAddr,
        trail: Trail,
    ) -> Result<bool, AccountError> {
        let user = self.own(&session).await?;
        let email = Email::parse(&user.email).ok_or(AccountError::WrongLogin)?;
        let user = self.check(&email, password, code, from).await?;
        let write = self.base.store.write(move |tx| {
            let removed = second_factors::remove(tx, user.id)?;
            if removed {
                trail.record(tx, &Object::one("user", user.id), &Change::untold())?;
                sessions::end_all(tx, user.id, Some(session.id))?;
            }
            Ok(removed)
        });
        Ok(write.await?)
    }

    /// The person of a session.
    async fn own(&self, session: &SessionRecord) -> Result<UserRecord, AccountError> {
        let id = session.user_id;
        let read = self.base.store.read(move |tx| users::get(tx, id));
        read.await?.ok_or(AccountError::WrongLogin)
    }

    /// The person of a session, who gave the password once more.
    pub(super) async fn check_own(
        &self,
        session: &SessionRecord,
        password: Secret,
        from: IpAddr,
    ) -> Result<UserRecord, AccountError> {
        let user = self.own(session).await?;
        let email = Email::parse(&user.email).ok_or(AccountError::WrongLogin)?;
        let account = self.account_key(&user.email);
        let user = self
            .check_password(&email, password, &account, from)
            .await?;
        self.throttle.succeeded(&account, from, Instant::now());
        Ok(user)
    }

    /// The second step of a login: nothing to do for who has no second factor, else a code that was never used.
    pub(super) async fn check_code(
        &self,
        user: &UserRecord,
        code: Option<Secret>,
    ) -> Result<(), AccountError> {
        let given = code.as_ref().map(totp::read);
        let (keyring, now, user) = (
            self.base.keyring.clone(),
            self.base.clock.now(),
            user.clone(),
        );
        let write = self.base.store.write(move |tx| {
            let Some(factor) = second_factors::of(tx, &keyring, user.id)? else {
                return Ok(Ok(()));
            };
            if !factor.confirmed {
                return Ok(Ok(()));
            }
            let Some(given) = &given else {
                return Ok(Err(AccountError::CodeMissing));
            };
            let right = match given {
                Given::Code(code) => use_code_of_app(tx, &user, &factor, *code, now)?,
                Given::Recovery(code) => {
                    second_factors::use_code(tx, user.id, &recovery_hash(&keyring, code))?
                }
                Given::Neither => false,
            };
            if !right {
                tracing::warn!(user = %user.id, "a code was wrong");
            }
            Ok(if right {
                Ok(())
            } else {
                Err(AccountError::WrongCode)
            })
        });
        write.await?
    }
}

/// The hash by which a recovery code is kept, however it was typed.
fn recovery_hash(keyring: &Keyring, code: &Secret) -> Vec<u8> {
    let bare = totp::bare(code);
    let parts: [&[u8]; 2] = [b"recovery", bare.expose().as_bytes()];
    keyring.blind_system(BlindPurpose::Token, &parts)
}

/// Whether it is a code of the person's app that was not used yet; then it is used.
fn use_code_of_app(
    tx: &mut Tx<'_>,
    user: &UserRecord,
    factor: &SecondFactor,
    given: u32,
    now: Timestamp,
) -> Result<bool, StoreError> {
    match totp::step_of(&factor.secret, given, now) {
        Some(step) => second_factors::use_step(tx, user.id, step),
        None => Ok(false),
    }
}
