//! People and programs that use the API: accounts, logins, invitations, API keys.

mod login;
pub mod passwords;
pub mod second_factor;
pub mod throttle;
pub mod tokens;
pub mod totp;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use waxwing_core::access::Role;
use waxwing_core::account::{Email, INVITATION_LIFE, RESET_LIFE};
use waxwing_core::audit::{Actor, Change, Object};
use waxwing_core::ids::{ApiKeyId, InvitationId, SessionId, TenantId, UserId};
use waxwing_core::secret::Secret;
use waxwing_core::settings::TenantSettings;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::api_keys::{self, ApiKeyRecord};
use waxwing_store::domain::audit::{Origin, Trail};
use waxwing_store::domain::invitations::{self, InvitationRecord};
use waxwing_store::domain::keys;
use waxwing_store::domain::sessions::{self, SessionKind, SessionRecord};
use waxwing_store::domain::tenants::{self, TenantRecord};
use waxwing_store::domain::users::{self, NewUser};
use waxwing_store::{StoreError, Tx};

use self::passwords::{Ending, Passwords};
use self::throttle::Throttle;
use self::tokens::TokenKind;
use crate::Base;

/// Letters of an API key that are kept to know it by.
const HINT: usize = 8;
/// That a session or a key was used is written down at most this often.
const SEEN_EVERY: Duration = Duration::from_secs(5 * 60);

/// Why something about accounts was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Address or password is wrong, or the account is disabled: which of them is not told.
    #[error("the address or the password is wrong")]
    WrongLogin,
    /// The password is right, and the person has to give a code of the second factor as well.
    #[error("a code of the second factor is needed")]
    CodeMissing,
    /// The code is wrong, or was used before.
    #[error("the code is wrong or was used before")]
    WrongCode,
    /// There is a second factor already.
    #[error("there is a second factor already")]
    HasSecondFactor,
    /// Too many tries; as long as that.
    #[error("too many tries")]
    TooFast(Duration),
    /// Another account has the address.
    #[error("the address is used")]
    EmailTaken,
    /// The link or invitation was used, taken back, or is too old.
    #[error("the link is not good any more")]
    StaleLink,
    /// The person is a member already.
    #[error("the person is a member already")]
    Member,
    /// There are as many as there may be.
    #[error("there are as many as there may be")]
    Full,
    /// The process ends.
    #[error(transparent)]
    Ending(#[from] Ending),
    /// What the database says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A session that has begun, with its token.
pub struct Opened {
    /// The token, to be shown once.
    pub token: Secret,
    /// The session.
    pub session: SessionRecord,
}

/// Whom a credential names.
#[derive(Debug, Clone, Copy)]
pub enum Known {
    /// A person, with the session.
    User(SessionRecord),
    /// A program.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// Its tenant.
        tenant_id: TenantId,
        /// What it may do.
        role: Role,
    },
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    base: Base,
    passwords: Passwords,
    throttle: Arc<Throttle>,
}

/// A person who makes an account.
pub struct NewAccount {
    /// The address.
    pub email: Email,
    /// The name.
    pub name: String,
    /// The password, checked.
    pub password: Secret,
}

impl Accounts {
    /// The use cases of this process.
    #[must_use]
    pub fn new(base: Base) -> Self {
        Self {
            base,
            passwords: Passwords::default(),
            throttle: Arc::default(),
        }
    }

    fn session(&self, user: UserId, kind: SessionKind, tenant: Option<TenantId>) -> Opened {
        let now = self.base.clock.now();
        Opened {
            token: TokenKind::Session.fresh(),
            session: SessionRecord {
                id: SessionId::new(&*self.base.ids),
                user_id: user,
                kind,
                tenant_id: tenant,
                created_at: now,
                seen_at: now,
            },
        }
    }

    /// Lets one place do only so much work of hashing without having proven who it is.
    fn slowly(&self, from: IpAddr) -> Result<(), AccountError> {
        match self.throttle.try_unknown(from, Instant::now()) {
            None => Ok(()),
            Some(wait) => Err(AccountError::TooFast(wait)),
        }
    }

    fn hash(&self, kind: TokenKind, token: &str) -> Vec<u8> {
        // What is no token of the kind has the hash of none.
        kind.hash(&self.base.keyring, token).unwrap_or_default()
    }

    /// Makes an account with a tenant that it owns, and logs in.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`], [`AccountError::TooFast`]; what the database says.
    pub async fn register(
        &self,
        account: NewAccount,
        tenant_name: String,
        origin: Origin,
        kind: SessionKind,
    ) -> Result<(Opened, TenantRecord), AccountError> {
        self.slowly(origin.address())?;
        let password_hash = self.passwords.hash(account.password).await?;
        let (user, tenant) = (UserId::new(&*self.base.ids), TenantId::new(&*self.base.ids));
        let opened = self.session(user, kind, Some(tenant));
        let hash = self.hash(TokenKind::Session, opened.token.expose());
        let (now, session) = (self.base.clock.now(), opened.session);
        let (email, name) = (account.email, account.name);
        let keyring = self.base.keyring.clone();
        let made = self.base.store.write(move |tx| {
            add(tx, user, &email, &name, &password_hash, now)?;
            let settings = TenantSettings::default();
            let record = tenants::create(tx, tenant, &tenant_name, &settings, now)?;
            keys::make(tx, &keyring, tenant, now)?;
            users::join(tx, tenant, user, Role::Owner, now)?;
            sessions::begin(tx, &session, &hash)?;
            let trail = origin.by(Actor::User(user), Some(tenant));
            trail.record(tx, &Object::one("tenant", tenant), &Change::untold())?;
            Ok(record)
        });
        Ok((opened, made.await.map_err(taken)?))
    }

    /// Makes an account without a tenant.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`]; what the database says.
    pub async fn add(&self, account: NewAccount) -> Result<UserId, AccountError> {
        let password_hash = self.passwords.hash(account.password).await?;
        let user = UserId::new(&*self.base.ids);
        let now = self.base.clock.now();
        let (email, name) = (account.email, account.name);
        let made = self
            .base
            .store
            .write(move |tx| add(tx, user, &email, &name, &password_hash, now));
        made.await.map_err(taken)?;
        Ok(user)
    }

    /// Changes the password of a person who knows the present one; all other sessions of the person end.
    ///
    /// # Errors
    /// [`AccountError::WrongLogin`], [`AccountError::TooFast`]; what the database says.
    pub async fn change_password(
        &self,
        session: SessionRecord,
        present: Secret,
        new: Secret,
        from: IpAddr,
        trail: Trail,
    ) -> Result<(), AccountError> {
        let id = self.check_own(&session, present, from).await?.id;
        let password_hash = self.passwords.hash(new).await?;
        let now = self.base.clock.now();
        let write = self.base.store.write(move |tx| {
            users::set_password(tx, id, &password_hash, now)?;
            trail.record(tx, &Object::one("user", id), &Change::untold())?;
            sessions::end_all(tx, id, Some(session.id)).map(|_| ())
        });
        Ok(write.await?)
    }

    /// Makes a link with which a person sets a new password.
    ///
    /// # Errors
    /// What the database says.
    pub async fn reset_link(
        &self,
        user: UserId,
        trail: Trail,
    ) -> Result<(Secret, Timestamp), AccountError> {
        let token = TokenKind::PasswordReset.fresh();
        let hash = self.hash(TokenKind::PasswordReset, token.expose());
        let until = self.base.clock.now().plus(RESET_LIFE);
        let write = self.base.store.write(move |tx| {
            trail.record(tx, &Object::one("user", user), &Change::untold())?;
            sessions::put_reset(tx, user, &hash, until)
        });
        write.await?;
        Ok((token, until))
    }

    /// Sets a new password with such a link; all sessions of the person end.
    ///
    /// # Errors
    /// [`AccountError::StaleLink`], [`AccountError::TooFast`]; what the database says.
    pub async fn reset_password(
        &self,
        token: Secret,
        new: Secret,
        origin: Origin,
    ) -> Result<(), AccountError> {
        self.slowly(origin.address())?;
        let hash = self.hash(TokenKind::PasswordReset, token.expose());
        let password_hash = self.passwords.hash(new).await?;
        let now = self.base.clock.now();
        let write = self.base.store.write(move |tx| {
            let Some(user) = sessions::take_reset(tx, &hash, now)? else {
                return Ok(false);
            };
            users::set_password(tx, user, &password_hash, now)?;
            let trail = origin.by(Actor::User(user), None);
            trail.record(tx, &Object::one("user", user), &Change::untold())?;
            sessions::end_all(tx, user, None)?;
            Ok(true)
        });
        if write.await? {
            Ok(())
        } else {
            Err(AccountError::StaleLink)
        }
    }

    /// Invites a person to a tenant; the token of the invitation. An earlier one to the same address ends.
    ///
    /// # Errors
    /// [`AccountError::Member`], [`AccountError::Full`]; what the database says.
    pub async fn invite(
        &self,
        tenant: TenantId,
        email: Email,
        role: Role,
        trail: Trail,
    ) -> Result<(Secret, InvitationRecord), AccountError> {
        let token = TokenKind::Invitation.fresh();
        let hash = self.hash(TokenKind::Invitation, token.expose());
        let now = self.base.clock.now();
        let invitation = InvitationRecord {
            tenant_id: tenant,
            id: InvitationId::new(&*self.base.ids),
            email,
            role,
            created_at: now,
            expires_at: now.plus(INVITATION_LIFE),
        };
        let put = invitation.clone();
        let write = self.base.store.write(move |tx| {
            if let Some(user) = users::by_email(tx, &put.email)?
                && users::role(tx, tenant, user.id)?.is_some()
            {
                return Ok(Err(AccountError::Member));
            }
            if !invitations::put(tx, &put, &hash)? {
                return Ok(Err(AccountError::Full));
            }
            let change = Change::made(json!({ "role": put.role.as_str() }));
            trail.record(tx, &Object::one("invitation", put.id), &change)?;
            Ok(Ok(()))
        });
        write.await??;
        Ok((token, invitation))
    }

    /// The open invitation of a token.
    ///
    /// # Errors
    /// [`AccountError::StaleLink`]; what the database says.
    pub async fn invitation(&self, token: &Secret) -> Result<InvitationRecord, AccountError> {
        let hash = self.hash(TokenKind::Invitation, token.expose());
        let now = self.base.clock.now();
        let read = self
            .base
            .store
            .read(move |tx| invitations::by_token(tx, &hash, now));
        read.await?.ok_or(AccountError::StaleLink)
    }

    /// Takes an invitation up: whoever has an account proves it as at a login, others make one with the password.
    ///
    /// # Errors
    /// [`AccountError::StaleLink`], those of [`Accounts::login`]; what the database says.
    pub async fn accept(
        &self,
        invitation: InvitationRecord,
        name: String,
        (password, code): (Secret, Option<Secret>),
        origin: Origin,
        kind: SessionKind,
    ) -> Result<Opened, AccountError> {
        let email = invitation.email.clone();
        let read = self.base.store.read(move |tx| users::by_email(tx, &email));
        let present = read.await?;
        let (user, password_hash) = match present {
            Some(user) => {
                self.check(&invitation.email, password, code, origin.address())
                    .await?;
                (user.id, None)
            }
            None => (
                UserId::new(&*self.base.ids),
                Some(self.passwords.hash(password).await?),
            ),
        };
        let opened = self.session(user, kind, Some(invitation.tenant_id));
        let hash = self.hash(TokenKind::Session, opened.token.expose());
        let (now, session) = (self.base.clock.now(), opened.session);
        let write = self.base.store.write(move |tx| {
            if !invitations::take(tx, invitation.tenant_id, invitation.id)? {
                return Ok(false);
            }
            if let Some(password_hash) = &password_hash {
                add(tx, user, &invitation.email, &name, password_hash, now)?;
            }
            users::join(tx, invitation.tenant_id, user, invitation.role, now)?;
            let trail = origin.by(Actor::User(user), Some(invitation.tenant_id));
            let change = Change::made(json!({ "role": invitation.role.as_str() }));
            trail.record(tx, &Object::one("user", user), &change)?;
            sessions::begin(tx, &session, &hash)?;
            Ok(true)
        });
        if write.await.map_err(taken)? {
            Ok(opened)
        } else {
            Err(AccountError::StaleLink)
        }
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// [`AccountError::Full`]; what the database says.
    pub async fn make_key(
        &self,
        tenant: TenantId,
        name: String,
        role: Role,
        expires_at: Option<Timestamp>,
        trail: Trail,
    ) -> Result<(Secret, ApiKeyRecord), AccountError> {
        let token = TokenKind::ApiKey.fresh();
        let hash = self.hash(TokenKind::ApiKey, token.expose());
        let key = ApiKeyRecord {
            tenant_id: tenant,
            id: ApiKeyId::new(&*self.base.ids),
            name,
            role,
            hint: token.expose().chars().take(HINT).collect(),
            created_at: self.base.clock.now(),
            expires_at,
            used_at: None,
            revoked_at: None,
        };
        let put = key.clone();
        let write = self.base.store.write(move |tx| {
            let added = api_keys::add(tx, &put, &hash)?;
            if added {
                let change = Change::made(json!({ "role": put.role.as_str(), "name": put.name }));
                trail.record(tx, &Object::one("api_key", put.id), &change)?;
            }
            Ok(added)
        });
        if write.await? {
            Ok((token, key))
        } else {
            Err(AccountError::Full)
        }
    }

    /// Whom a token names now: sessions and keys that have ended name nobody from the next request on.
    ///
    /// # Errors
    /// What the database says.
    pub async fn known(&self, token: &str) -> Result<Option<Known>, StoreError> {
        let now = self.base.clock.now();
        let keyring = &self.base.keyring;
        let session = TokenKind::Session.hash(keyring, token);
        let key = TokenKind::ApiKey.hash(keyring, token);
        if session.is_none() && key.is_none() {
            return Ok(None);
        }
        let read = self.base.store.read(move |tx| {
            if let Some(hash) = &session {
                let found = sessions::by_token(tx, hash, now)?;
                return Ok(found.map(|session| (Known::User(session), Some(session.seen_at))));
            }
            let found = match &key {
                Some(hash) => api_keys::by_token(tx, hash, now)?,
                None => None,
            };
            Ok(found.map(|key| {
                let known = Known::ApiKey {
                    id: key.id,
                    tenant_id: key.tenant_id,
                    role: key.role,
                };
                (known, key.used_at)
            }))
        });
        let Some((known, seen)) = read.await? else {
            return Ok(None);
        };
        if seen.is_none_or(|seen| seen.plus(SEEN_EVERY) <= now) {
            self.note_use(known, now).await?;
        }
        Ok(Some(known))
    }

    async fn note_use(&self, known: Known, now: Timestamp) -> Result<(), StoreError> {
        let write = move |tx: &mut Tx<'_>| match known {
            Known::User(session) => sessions::seen(tx, session.id, now),
            Known::ApiKey { id, tenant_id, .. } => api_keys::used(tx, tenant_id, id, now),
        };
        self.base.store.write(write).await
    }
}

fn add(
    tx: &mut Tx<'_>,
    id: UserId,
    email: &Email,
    name: &str,
    password_hash: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let user = NewUser {
        id,
        email,
        name,
        password_hash,
    };
    users::add(tx, &user, now)
}

/// The only thing that can be there already is the address, or the membership that it leads to.
fn taken(error: StoreError) -> AccountError {
    match error {
        StoreError::Conflict { .. } => AccountError::EmailTaken,
        error => AccountError::Store(error),
    }
}
