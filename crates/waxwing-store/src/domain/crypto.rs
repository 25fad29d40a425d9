//! Sealing of personal data and credentials, and keyed hashes to look them up by.
//!
//! Every value is sealed with AES-256-GCM under a key derived for its tenant, and bound to its place: tenant, table,
//! column and row. A sealed value that is moved anywhere else does not open.

pub mod file;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ring::{aead, hkdf, hmac};
use uuid::Uuid;
use waxwing_core::ids::TenantId;
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + aead::NONCE_LEN;
/// Keys of this many tenants are kept derived; beyond, the cache starts anew.
const CACHED_TENANTS_MAX: usize = 10_000;

/// A value that does not open: damaged, moved, or sealed under another master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short or of an unknown format.
    #[error("a sealed value has an unknown format")]
    Format,
    /// Sealed under a master key that is not configured.
    #[error("a sealed value needs another MASTER_KEY")]
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
        }
    }
}

struct DerivedKeys {
    aead: aead::LessSafeKey,
    index: hmac::Key,
}

/// The master key and what is derived from it. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    id: [u8; KEY_ID_LEN],
    root: hkdf::Prk,
    system: Arc<DerivedKeys>,
    tenants: Mutex<HashMap<TenantId, Arc<DerivedKeys>>>,
}

impl Keyring {
    /// Derives the keys from a master key.
    #[must_use]
    pub fn new(master: &Zeroizing<[u8; 32]>) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"waxwing/1").extract(&**master);
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&expand(&root, &[b"key-id"])[..KEY_ID_LEN]);
        let system = Arc::new(derive(&root, &[b"system"]));
        Self(Arc::new(Inner {
            id,
            root,
            system,
            tenants: Mutex::new(HashMap::new()),
        }))
    }

    /// Names the master key without telling anything about it.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        u32::from_be_bytes(self.0.id)
    }

    /// Seals a value of a tenant.
    #[must_use]
    pub fn seal(&self, tenant: TenantId, place: Place<'_>, value: &[u8]) -> Vec<u8> {
        self.seal_with(&self.tenant(tenant), tenant.uuid(), place, value)
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
        self.open_with(&self.tenant(tenant), tenant.uuid(), place, sealed)
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

    /// Seals a value that belongs to no tenant (raw requests, the key check).
    #[must_use]
    pub fn seal_system(&self, place: Place<'_>, value: &[u8]) -> Vec<u8> {
        self.seal_with(&self.0.system, Uuid::nil(), place, value)
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
        self.open_with(&self.0.system, Uuid::nil(), place, sealed)
    }

    /// The keyed hash by which a tenant's value is looked up: 128 bits of HMAC-SHA256.
    #[must_use]
    pub fn blind(&self, tenant: TenantId, purpose: BlindPurpose, parts: &[&[u8]]) -> Vec<u8> {
        blind_with(&self.tenant(tenant).index, purpose, parts)
    }

    /// The keyed hash of a value that belongs to no tenant.
    #[must_use]
    pub fn blind_system(&self, purpose: BlindPurpose, parts: &[&[u8]]) -> Vec<u8> {
        blind_with(&self.0.system.index, purpose, parts)
    }

    fn tenant(&self, tenant: TenantId) -> Arc<DerivedKeys> {
        let mut cache = self
            .0
            .tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = cache.get(&tenant) {
            return Arc::clone(keys);
        }
        if cache.len() >= CACHED_TENANTS_MAX {
            cache.clear();
        }
        let keys = Arc::new(derive(&self.0.root, &[b"tenant", tenant.uuid().as_bytes()]));
        cache.insert(tenant, Arc::clone(&keys));
        keys
    }

    fn seal_with(
        &self,
        keys: &DerivedKeys,
        owner: Uuid,
        place: Place<'_>,
        value: &[u8],
    ) -> Vec<u8> {
        // The thread's own cryptographic generator, seeded by the system: asking the system for each of some thousands
        // a second costs more than the sealing.
        let mut nonce = [0; aead::NONCE_LEN];
        rand::fill(&mut nonce);
        let mut sealed = Vec::with_capacity(HEADER_LEN + value.len() + aead::MAX_TAG_LEN);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.0.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let aad = aead::Aad::from(binding(owner, place));
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let tag = keys
            .aead
            .seal_in_place_separate_tag(nonce, aad, &mut sealed[HEADER_LEN..])
            .expect("values are far shorter than the cipher's limit");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    fn open_with(
        &self,
        keys: &DerivedKeys,
        owner: Uuid,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if sealed.len() < HEADER_LEN + aead::MAX_TAG_LEN || sealed[0] != FORMAT {
            return Err(OpenError::Format);
        }
        if sealed[1..=KEY_ID_LEN] != self.0.id {
            return Err(OpenError::ForeignKey);
        }
        let nonce = aead::Nonce::try_assume_unique_for_key(&sealed[1 + KEY_ID_LEN..HEADER_LEN])
            .map_err(|_| OpenError::Format)?;
        let mut value = Zeroizing::new(sealed[HEADER_LEN..].to_vec());
        let length = keys
            .aead
            .open_in_place(nonce, aead::Aad::from(binding(owner, place)), &mut value)
            .map_err(|_| OpenError::Damaged)?
            .len();
        value.truncate(length);
        Ok(value)
    }
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

fn derive(root: &hkdf::Prk, info: &[&[u8]]) -> DerivedKeys {
    let with = |purpose: &'static [u8]| expand(root, &[&[purpose], info].concat());
    let data =
        aead::UnboundKey::new(&aead::AES_256_GCM, &*with(b"data/")).expect("the key has 32 bytes");
    DerivedKeys {
        aead: aead::LessSafeKey::new(data),
        index: hmac::Key::new(hmac::HMAC_SHA256, &*with(b"index/")),
    }
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
    let mut context = hmac::Context::with_key(key);
    context.update(purpose.label());
    for part in parts {
        context.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        context.update(part);
    }
    context.sign().as_ref()[..16].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(byte: u8) -> Keyring {
        Keyring::new(&Zeroizing::new([byte; 32]))
    }

    fn tenant(n: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn opens_only_in_its_place_under_its_key() {
        let keys = keyring(1);
        let row = Uuid::from_u128(7);
        let place = Place::new("contacts", "phone_sealed", &row);
        let sealed = keys.seal(tenant(1), place, b"+16505551234");
        assert_eq!(
            &**keys.open(tenant(1), place, &sealed).unwrap(),
            b"+16505551234"
        );
        assert_ne!(
            sealed,
            keys.seal(tenant(1), place, b"+16505551234"),
            "nonces are fresh"
        );

        let other_row = Uuid::from_u128(8);
        assert_eq!(
            keys.open(tenant(2), place, &sealed),
            Err(OpenError::Damaged)
        );
        for elsewhere in [
            Place::new("contacts", "phone_sealed", &other_row),
            Place::new("contacts", "username_sealed", &row),
            Place::new("messages", "phone_sealed", &row),
        ] {
            assert_eq!(
                keys.open(tenant(1), elsewhere, &sealed),
                Err(OpenError::Damaged),
                "{elsewhere:?}"
            );
        }
        assert_eq!(keys.open_system(place, &sealed), Err(OpenError::Damaged));
        assert_eq!(
            keyring(2).open(tenant(1), place, &sealed),
            Err(OpenError::ForeignKey)
        );
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let keys = keyring(1);
        let row = Uuid::nil();
        let place = Place::new("t", "c", &row);
        let sealed = keys.seal(tenant(1), place, b"value");
        for length in 0..sealed.len() {
            assert!(keys.open(tenant(1), place, &sealed[..length]).is_err());
        }
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(keys.open(tenant(1), place, &changed).is_err());
        }
    }

    #[test]
    fn blind_hashes_differ_by_tenant_purpose_and_parts() {
        let keys = keyring(1);
        let hash = |n, purpose, parts: &[&[u8]]| keys.blind(tenant(n), purpose, parts);
        let base = hash(1, BlindPurpose::Alias, &[b"ab", b"c"]);
        assert_eq!(base, hash(1, BlindPurpose::Alias, &[b"ab", b"c"]));
        assert_ne!(base, hash(2, BlindPurpose::Alias, &[b"ab", b"c"]));
        assert_ne!(base, hash(1, BlindPurpose::Mark, &[b"ab", b"c"]));
        assert_ne!(base, hash(1, BlindPurpose::Alias, &[b"a", b"bc"]));
    }
}
