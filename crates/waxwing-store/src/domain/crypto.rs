//! Sealing of personal data and credentials, and keyed hashes to look them up by.
//!
//! Every value is sealed with AES-256-GCM under a data key of its tenant, and bound to its place: tenant, table, column
//! and row. A sealed value that is moved anywhere else does not open. The tenants' secrets are in the database, wrapped
//! under the master key ([`master`]).

pub mod file;
pub mod master;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ring::{aead, hkdf, hmac};
use uuid::Uuid;
use waxwing_core::ids::TenantId;
use zeroize::Zeroizing;

pub use self::master::{Master, Masters};

const FORMAT: u8 = 1;
const VERSION_LEN: usize = 4;
const HEADER_LEN: usize = 1 + VERSION_LEN + aead::NONCE_LEN;
/// Keys of this many tenants are kept derived; beyond, the cache starts anew.
const CACHED_TENANTS_MAX: usize = 10_000;

/// A value that does not open: damaged, moved, or sealed under another master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short or of an unknown format.
    #[error("a sealed value has an unknown format")]
    Format,
    /// Sealed under a key that is not here, or not any more.
    #[error("a sealed value needs a key that is not here")]
    ForeignKey,
    /// Changed, or moved from another place.
    #[error("a sealed value is damaged or belongs to another row")]
    Damaged,
}

impl From<OpenError> for crate::StoreError {
    fn from(error: OpenError) -> Self {
        Self::corrupt(error.to_string())
    }
}

/// The place of a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The primary key of the row without the tenant.
    pub row: &'a [u8],
}

impl<'a> Place<'a> {
    /// The place of a column in a row whose key is one id.
    #[must_use]
    pub fn new(table: &'static str, column: &'static str, row: &'a Uuid) -> Self {
        Self {
            table,
            column,
            row: row.as_bytes(),
        }
    }
}

/// What a blind index is for. Different purposes give different hashes of the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlindPurpose {
    /// Aliases of contacts.
    Alias,
    /// Message ids of providers.
    ProviderId,
    /// Keys of what has taken effect.
    Mark,
    /// Secrets that sign webhooks.
    Secret,
    /// Bodies of requests with an idempotency key.
    Request,
    /// What things at a provider are made of.
    Asset,
    /// Links to files that need no credential.
    Link,
    /// Tokens of sessions, API keys, invitations and links for new passwords.
    Token,
    /// Entries of the audit log and their chain.
    Audit,
    /// Entries of the consent ledger and their chain.
    Consent,
}

impl BlindPurpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Alias => b"alias",
            Self::ProviderId => b"provider-id",
            Self::Mark => b"mark",
            Self::Secret => b"secret",
            Self::Request => b"request",
            Self::Asset => b"asset",
            Self::Link => b"link",
            Self::Token => b"token",
            Self::Audit => b"audit",
            Self::Consent => b"consent",
        }
    }
}

/// The 32 secret bytes of a key.
pub type KeyBytes = Zeroizing<[u8; 32]>;

/// The secrets of an owner: a tenant, or the platform itself.
#[derive(Clone)]
pub struct Secrets {
    /// Hashes that are looked up, and files: it never changes.
    pub fixed: KeyBytes,
    /// Sealed columns, by version.
    pub data: Vec<(u32, KeyBytes)>,
    /// The version that seals.
    pub current: u32,
}

impl Secrets {
    /// Fresh secrets, of version 1.
    #[must_use]
    pub fn fresh() -> Self {
        Self {
            fixed: fresh_key(),
            data: vec![(1, fresh_key())],
            current: 1,
        }
    }
}

/// 32 bytes of the system's generator.
///
/// # Panics
/// When the system's random generator does not work.
#[must_use]
pub fn fresh_key() -> KeyBytes {
    let mut key = Zeroizing::new([0; 32]);
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut *key)
        .expect("the system's random generator works");
    key
}

struct OwnerKeys {
    fixed: hkdf::Prk,
    index: hmac::Key,
    data: Vec<(u32, aead::LessSafeKey)>,
    current: u32,
}

impl OwnerKeys {
    fn new(secrets: &Secrets) -> Self {
        let fixed = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &*secrets.fixed);
        let cipher = |key: &KeyBytes| {
            let key = aead::UnboundKey::new(&aead::AES_256_GCM, &**key);
            aead::LessSafeKey::new(key.expect("the key has 32 bytes"))
        };
        Self {
            index: hmac::Key::new(hmac::HMAC_SHA256, &*expand(&fixed, &[b"index"])),
            fixed,
            data: secrets
                .data
                .iter()
                .map(|(version, key)| (*version, cipher(key)))
                .collect(),
            current: secrets.current,
        }
    }

    fn version(&self, version: u32) -> Option<&aead::LessSafeKey> {
        let found = self.data.iter().find(|(known, _)| *known == version);
        found.map(|(_, key)| key)
    }
}

/// The keys of all owners. Cheap to clone.
///
/// Keys of a tenant are there before anything of the tenant is touched: all are read at start, those of a new tenant
/// are put in where it is made ([`crate::domain::keys::make`]) and read where another node's tenant is first seen
/// ([`crate::domain::keys::ensure`]).
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    masters: Masters,
    secrets: RwLock<HashMap<Uuid, Secrets>>,
    derived: Mutex<HashMap<Uuid, Arc<OwnerKeys>>>,
    system: RwLock<Arc<OwnerKeys>>,
    /// The tenants that want what people write sealed.
    sealing: RwLock<HashSet<Uuid>>,
    /// Tests need no database to have keys of every tenant.
    #[cfg(any(test, feature = "testing"))]
    for_tests: Option<u8>,
}

impl Keyring {
    /// A keyring with the platform's own keys.
    #[must_use]
    pub fn new(masters: Masters, system: &Secrets) -> Self {
        Self(Arc::new(Inner {
            masters,
            secrets: RwLock::default(),
            derived: Mutex::default(),
            system: RwLock::new(Arc::new(OwnerKeys::new(system))),
            sealing: RwLock::default(),
            #[cfg(any(test, feature = "testing"))]
            for_tests: None,
        }))
    }

    /// A keyring that has keys of every tenant without a database.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn for_tests(byte: u8) -> Self {
        let masters = Masters::new(Master::new(&Zeroizing::new([byte; 32])), None);
        let mut keyring = Self::new(masters, &Secrets::of_test(byte, Uuid::nil()));
        if let Some(inner) = Arc::get_mut(&mut keyring.0) {
            inner.for_tests = Some(byte);
        }
        keyring
    }

    /// The master keys under which the owners' secrets are wrapped.
    #[must_use]
    pub fn masters(&self) -> &Masters {
        &self.0.masters
    }

    /// Takes the secrets of an owner in, in place of those that it has.
    pub fn install(&self, owner: Uuid, secrets: &Secrets) {
        if owner.is_nil() {
            let keys = Arc::new(OwnerKeys::new(secrets));
            *self
                .0
                .system
                .write()
                .unwrap_or_else(PoisonError::into_inner) = keys;
            return;
        }
        let mut all = self
            .0
            .secrets
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(owner, secrets.clone());
        self.derived().remove(&owner);
    }

    /// Forgets the secrets of a tenant whose keys were destroyed. What this process still seals for it opens nowhere.
    pub fn destroy(&self, tenant: TenantId) {
        self.install(tenant.uuid(), &Secrets::fresh());
    }

    /// Takes in which tenants want what people write sealed, in place of what was known.
    pub fn set_sealing(&self, tenants: impl IntoIterator<Item = TenantId>) {
        let tenants = tenants.into_iter().map(TenantId::uuid).collect();
        *self
            .0
            .sealing
            .write()
            .unwrap_or_else(PoisonError::into_inner) = tenants;
    }

    /// Takes in what one tenant wants.
    pub fn set_sealing_of(&self, tenant: TenantId, wanted: bool) {
        let mut all = self
            .0
            .sealing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if wanted {
            all.insert(tenant.uuid());
        } else {
            all.remove(&tenant.uuid());
        }
    }

    /// Whether a tenant wants what people write sealed.
    #[must_use]
    pub fn seals_content(&self, tenant: TenantId) -> bool {
        self.0
            .sealing
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&tenant.uuid())
    }

    /// Whether the keys of a tenant are here.
    #[must_use]
    pub fn knows(&self, tenant: TenantId) -> bool {
        #[cfg(any(test, feature = "testing"))]
        if self.0.for_tests.is_some() {
            return true;
        }
        let all = self
            .0
            .secrets
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        all.contains_key(&tenant.uuid())
    }

    /// The tenants whose keys are here.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let all = self
            .0
            .secrets
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        all.keys().copied().map(TenantId::from_uuid).collect()
    }

    /// Seals a value of a tenant.
    ///
    /// # Panics
    /// When the keys of the tenant are not here: whoever handles a tenant has seen to it before.
    #[must_use]
    pub fn seal(&self, tenant: TenantId, place: Place<'_>, value: &[u8]) -> Vec<u8> {
        seal_with(&self.keys(tenant), tenant.uuid(), place, value)
    }

    /// Opens a value of a tenant.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        &self,
        tenant: TenantId,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let keys = self.find(tenant).ok_or(OpenError::ForeignKey)?;
        open_with(&keys, tenant.uuid(), place, sealed)
    }

    /// Opens a text of a tenant.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_text(
        &self,
        tenant: TenantId,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<String, OpenError> {
        let bytes = self.open(tenant, place, sealed)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| OpenError::Damaged)
    }

    /// Seals a value that belongs to no tenant (raw requests).
    #[must_use]
    pub fn seal_system(&self, place: Place<'_>, value: &[u8]) -> Vec<u8> {
        seal_with(&self.system(), Uuid::nil(), place, value)
    }

    /// Opens a value that belongs to no tenant.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_system(
        &self,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        open_with(&self.system(), Uuid::nil(), place, sealed)
    }

    /// Seals a value of an owner, a tenant or the platform, under its current version.
    #[must_use]
    pub fn seal_of(&self, owner: Uuid, place: Place<'_>, value: &[u8]) -> Vec<u8> {
        if owner.is_nil() {
            self.seal_system(place, value)
        } else {
            self.seal(TenantId::from_uuid(owner), place, value)
        }
    }

    /// Opens a value of an owner.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_of(
        &self,
        owner: Uuid,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if owner.is_nil() {
            self.open_system(place, sealed)
        } else {
            self.open(TenantId::from_uuid(owner), place, sealed)
        }
    }

    /// The keyed hash by which a tenant's value is looked up: 128 bits of HMAC-SHA256.
    ///
    /// # Panics
    /// As [`Keyring::seal`].
    #[must_use]
    pub fn blind(&self, tenant: TenantId, purpose: BlindPurpose, parts: &[&[u8]]) -> Vec<u8> {
        blind_with(&self.keys(tenant).index, purpose, parts)
    }

    /// The keyed hash of a value that belongs to no tenant.
    #[must_use]
    pub fn blind_system(&self, purpose: BlindPurpose, parts: &[&[u8]]) -> Vec<u8> {
        blind_with(&self.system().index, purpose, parts)
    }

    /// A keyed proof of 256 bits that an owner's record is as it was written.
    #[must_use]
    pub fn prove(&self, owner: Uuid, purpose: BlindPurpose, parts: &[&[u8]]) -> [u8; 32] {
        let keys = if owner.is_nil() {
            self.system()
        } else {
            self.keys(TenantId::from_uuid(owner))
        };
        let mut proof = [0; 32];
        proof.copy_from_slice(tag_with(&keys.index, purpose, parts).as_ref());
        proof
    }

    fn system(&self) -> Arc<OwnerKeys> {
        Arc::clone(&self.0.system.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn derived(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<OwnerKeys>>> {
        self.0
            .derived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self, tenant: TenantId) -> Arc<OwnerKeys> {
        self.find(tenant)
            .expect("the keys of a tenant are read before anything of it is touched")
    }

    fn find(&self, tenant: TenantId) -> Option<Arc<OwnerKeys>> {
        let owner = tenant.uuid();
        if let Some(keys) = self.derived().get(&owner) {
            return Some(Arc::clone(keys));
        }
        let all = self
            .0
            .secrets
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let secrets = all.get(&owner).cloned();
        #[cfg(any(test, feature = "testing"))]
        let secrets =
            secrets.or_else(|| self.0.for_tests.map(|byte| Secrets::of_test(byte, owner)));
        let keys = Arc::new(OwnerKeys::new(&secrets?));
        let mut derived = self.derived();
        if derived.len() >= CACHED_TENANTS_MAX {
            derived.clear();
        }
        derived.insert(owner, Arc::clone(&keys));
        drop(all);
        Some(keys)
    }
}

#[cfg(any(test, feature = "testing"))]
impl Secrets {
    fn of_test(byte: u8, owner: Uuid) -> Self {
        let root = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &[byte; 32]);
        Self {
            fixed: expand(&root, &[b"fixed", owner.as_bytes()]),
            data: vec![(1, expand(&root, &[b"data", owner.as_bytes()]))],
            current: 1,
        }
    }
}

/// The version of the key that sealed a value; `None` for what is no sealed value.
#[must_use]
pub fn sealed_version(sealed: &[u8]) -> Option<u32> {
    let (format, rest) = sealed.split_first()?;
    let version = rest.first_chunk::<VERSION_LEN>()?;
    (*format == FORMAT).then(|| u32::from_be_bytes(*version))
}

fn seal_with(keys: &OwnerKeys, owner: Uuid, place: Place<'_>, value: &[u8]) -> Vec<u8> {
    // The thread's own cryptographic generator, seeded by the system: asking the system for each of some thousands
    // a second costs more than the sealing.
    let mut nonce = [0; aead::NONCE_LEN];
    rand::fill(&mut nonce);
    let mut sealed = Vec::with_capacity(HEADER_LEN + value.len() + aead::MAX_TAG_LEN);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&keys.current.to_be_bytes());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(value);
    let aad = aead::Aad::from(binding(owner, place));
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let tag = keys
        .version(keys.current)
        .expect("the current version is one of the versions")
        .seal_in_place_separate_tag(nonce, aad, &mut sealed[HEADER_LEN..])
        .expect("values are far shorter than the cipher's limit");
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

fn open_with(
    keys: &OwnerKeys,
    owner: Uuid,
    place: Place<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    if sealed.len() < HEADER_LEN + aead::MAX_TAG_LEN {
        return Err(OpenError::Format);
    }
    let version = sealed_version(sealed).ok_or(OpenError::Format)?;
    let key = keys.version(version).ok_or(OpenError::ForeignKey)?;
    let nonce = aead::Nonce::try_assume_unique_for_key(&sealed[1 + VERSION_LEN..HEADER_LEN])
        .map_err(|_| OpenError::Format)?;
    let mut value = Zeroizing::new(sealed[HEADER_LEN..].to_vec());
    let length = key
        .open_in_place(nonce, aead::Aad::from(binding(owner, place)), &mut value)
        .map_err(|_| OpenError::Damaged)?
        .len();
    value.truncate(length);
    Ok(value)
}

struct Len32;

impl hkdf::KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

fn expand(root: &hkdf::Prk, info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    root.expand(info, Len32)
        .and_then(|okm| okm.fill(&mut *key))
        .expect("32 bytes are within the limit of HKDF");
    key
}

/// The associated data: format, owner, table, column, row. Table and column hold no zero byte, so the parts cannot
/// run into each other.
fn binding(owner: Uuid, place: Place<'_>) -> Vec<u8> {
    [
        &[FORMAT],
        owner.as_bytes().as_slice(),
        place.table.as_bytes(),
        &[0],
        place.column.as_bytes(),
        &[0],
        place.row,
    ]
    .concat()
}

fn blind_with(key: &hmac::Key, purpose: BlindPurpose, parts: &[&[u8]]) -> Vec<u8> {
    tag_with(key, purpose, parts).as_ref()[..16].to_vec()
}

fn tag_with(key: &hmac::Key, purpose: BlindPurpose, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(purpose.label());
    for part in parts {
        context.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests;
