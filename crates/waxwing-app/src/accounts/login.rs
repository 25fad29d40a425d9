//! Who somebody is: address, password and, where there is one, the second factor.

use std::net::IpAddr;
use std::time::Instant;

use waxwing_core::account::Email;
use waxwing_core::audit::{Actor, Change, Object};
use waxwing_core::secret::Secret;
use waxwing_store::domain::audit::Origin;
use waxwing_store::domain::crypto::BlindPurpose;
use waxwing_store::domain::sessions::{self, SessionKind};
use waxwing_store::domain::users::{self, UserRecord};

use super::throttle::AccountKey;
use super::tokens::TokenKind;
use super::{AccountError, Accounts, Opened};
use crate::metrics;

impl Accounts {
    /// Checks address and password, and the code of the second factor of who has one, and begins a session. The first
    /// tenant of the person is the session's.
    ///
    /// # Errors
    /// [`AccountError::WrongLogin`], [`AccountError::CodeMissing`], [`AccountError::WrongCode`], [`AccountError::TooFast`];
    /// what the database says.
    pub async fn login(
        &self,
        email: Email,
        password: Secret,
        code: Option<Secret>,
        origin: Origin,
        kind: SessionKind,
    ) -> Result<Opened, AccountError> {
        let user = self.check(&email, password, code, origin.address()).await?;
        let read = self
            .base
            .store
            .read(move |tx| users::tenants_of(tx, user.id));
        let tenant = read.await?.first().map(|of| of.tenant_id);
        let opened = self.session(user.id, kind, tenant);
        let hash = self.hash(TokenKind::Session, opened.token.expose());
        let session = opened.session;
        let begin = self.base.store.write(move |tx| {
            let trail = origin.by(Actor::User(session.user_id), None);
            let object = Object::one("session", session.id);
            trail.record(tx, &object, &Change::untold())?;
            sessions::begin(tx, &session, &hash)
        });
        begin.await?;
        Ok(opened)
    }

    /// The person of an address, a password and, where there is a second factor, a code of it. Only all of it together
    /// counts as a good try: whoever has the password alone may not try codes as often as they like.
    pub(super) async fn check(
        &self,
        email: &Email,
        password: Secret,
        code: Option<Secret>,
        from: IpAddr,
    ) -> Result<UserRecord, AccountError> {
        let account = self.account_key(email.as_str());
        let checked = async {
            let user = self.check_password(email, password, &account, from).await?;
            self.check_code(&user, code).await?;
            Ok(user)
        };
        let checked: Result<UserRecord, AccountError> = checked.await;
        if checked.is_ok() {
            self.throttle.succeeded(&account, from, Instant::now());
        }
        count(&checked);
        checked
    }

    /// The person of an address and a password. The try counts as failed until it is said to be good.
    pub(super) async fn check_password(
        &self,
        email: &Email,
        password: Secret,
        account: &AccountKey,
        from: IpAddr,
    ) -> Result<UserRecord, AccountError> {
        if let Some(wait) = self.throttle.try_now(account, from, Instant::now()) {
            return Err(AccountError::TooFast(wait));
        }
        let wanted = email.clone();
        let read = self.base.store.read(move |tx| users::by_email(tx, &wanted));
        let user = read.await?.filter(|user| user.active);
        let phc = user.as_ref().map(|user| user.password_hash.clone());
        let right = self.passwords.is(password, phc).await?;
        if !right {
            // Whose account somebody is after, as far as there is one; never the address that was typed.
            let after = user.as_ref().map(|user| user.id.to_string());
            tracing::warn!(
                user = after.as_deref().unwrap_or("none"),
                "a password was wrong"
            );
        }
        user.filter(|_| right).ok_or(AccountError::WrongLogin)
    }

    pub(super) fn account_key(&self, email: &str) -> AccountKey {
        let parts: [&[u8]; 2] = [b"login", email.as_bytes()];
        self.base.keyring.blind_system(BlindPurpose::Token, &parts)
    }
}

/// Counts a try to log in.
fn count(checked: &Result<UserRecord, AccountError>) {
    let result = match checked {
        Ok(_) => "good",
        Err(AccountError::WrongLogin) => "wrong",
        Err(AccountError::CodeMissing) => "code_missing",
        Err(AccountError::WrongCode) => "wrong_code",
        Err(AccountError::TooFast(_)) => "too_fast",
        // Nothing was decided about the login.
        Err(_) => return,
    };
    ::metrics::counter!(metrics::LOGINS, "result" => result).increment(1);
}
