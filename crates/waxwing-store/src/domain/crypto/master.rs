//! Master keys: they wrap the secrets of owners and do nothing else.

use std::sync::Arc;

use ring::{aead, hkdf};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{KeyBytes, OpenError, expand};

const FORMAT: u8 = 1;
const HEADER_LEN: usize = 1 + aead::NONCE_LEN;

/// A master key.
pub struct Master {
    wrap: aead::LessSafeKey,
    id: u32,
}

impl Master {
    /// The master key of 32 secret bytes.
    #[must_use]
    pub fn new(bytes: &KeyBytes) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"waxwing/2").extract(&**bytes);
        let mut id = [0; 4];
        id.copy_from_slice(&expand(&root, &[b"key-id"])[..4]);
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &*expand(&root, &[b"wrap"]))
            .expect("the key has 32 bytes");
        Self {
            wrap: aead::LessSafeKey::new(key),
            id: u32::from_be_bytes(id),
        }
    }

    /// Names the key without telling anything about it.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Wraps a secret for its place: whose, for what, which version.
    #[must_use]
    pub fn wrap(&self, owner: Uuid, purpose: &str, version: u32, secret: &KeyBytes) -> Vec<u8> {
        let mut nonce = [0; aead::NONCE_LEN];
        rand::fill(&mut nonce);
        let mut wrapped = Vec::with_capacity(HEADER_LEN + 32 + aead::MAX_TAG_LEN);
        wrapped.push(FORMAT);
        wrapped.extend_from_slice(&nonce);
        wrapped.extend_from_slice(&**secret);
        let aad = aead::Aad::from(binding(owner, purpose, version));
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let tag = self
            .wrap
            .seal_in_place_separate_tag(nonce, aad, &mut wrapped[HEADER_LEN..])
            .expect("32 bytes are far below the cipher's limit");
        wrapped.extend_from_slice(tag.as_ref());
        wrapped
    }

    /// Unwraps a secret.
    ///
    /// # Errors
    /// Wrapped under another key, for another place, or damaged.
    pub fn unwrap(
        &self,
        owner: Uuid,
        purpose: &str,
        version: u32,
        wrapped: &[u8],
    ) -> Result<KeyBytes, OpenError> {
        if wrapped.len() != HEADER_LEN + 32 + aead::MAX_TAG_LEN || wrapped[0] != FORMAT {
            return Err(OpenError::Format);
        }
        let nonce = aead::Nonce::try_assume_unique_for_key(&wrapped[1..HEADER_LEN])
            .map_err(|_| OpenError::Format)?;
        let mut value = Zeroizing::new(wrapped[HEADER_LEN..].to_vec());
        let aad = aead::Aad::from(binding(owner, purpose, version));
        let open = self
            .wrap
            .open_in_place(nonce, aad, &mut value)
            .map_err(|_| OpenError::Damaged)?;
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(open);
        Ok(secret)
    }
}

fn binding(owner: Uuid, purpose: &str, version: u32) -> Vec<u8> {
    [
        &[FORMAT],
        owner.as_bytes().as_slice(),
        purpose.as_bytes(),
        &[0],
        &version.to_be_bytes(),
    ]
    .concat()
}

/// The master key, and the one before it while secrets may still be wrapped under that. Cheap to clone.
#[derive(Clone)]
pub struct Masters(Arc<(Master, Option<Master>)>);

impl Masters {
    /// The key that wraps, and the one before it.
    #[must_use]
    pub fn new(current: Master, previous: Option<Master>) -> Self {
        Self(Arc::new((current, previous)))
    }

    /// The key that wraps.
    #[must_use]
    pub fn current(&self) -> &Master {
        &self.0.0
    }

    /// The key of an id, if it is here.
    #[must_use]
    pub fn of(&self, id: u32) -> Option<&Master> {
        let (current, previous) = &*self.0;
        [Some(current), previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|master| master.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fresh_key;
    use super::*;

    #[test]
    fn a_secret_unwraps_only_in_its_place_under_its_key() {
        let master = Master::new(&Zeroizing::new([1; 32]));
        let other = Master::new(&Zeroizing::new([2; 32]));
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let secret = fresh_key();
        let wrapped = master.wrap(one, "data", 1, &secret);
        assert_eq!(master.unwrap(one, "data", 1, &wrapped), Ok(secret));
        for wrong in [
            master.unwrap(two, "data", 1, &wrapped),
            master.unwrap(one, "fixed", 1, &wrapped),
            master.unwrap(one, "data", 2, &wrapped),
            other.unwrap(one, "data", 1, &wrapped),
            master.unwrap(one, "data", 1, &wrapped[1..]),
        ] {
            assert!(wrong.is_err());
        }
        let masters = Masters::new(master, Some(other));
        let previous = Master::new(&Zeroizing::new([2; 32])).id();
        assert!(masters.of(previous).is_some() && masters.of(0).is_none());
    }
}
