//! Sealing of files, piece by piece, so that neither writing nor reading needs a whole one in memory.
//!
//! A file is a head of 8 bytes and pieces of 64 KiB, the last one shorter (perhaps empty), each with its tag. The key is
//! derived for the one object, so the nonce can be the piece's number with a mark on the last: pieces cannot be left
//! out, moved, or taken from another object, and a file cannot be cut off.

use ring::aead;
use uuid::Uuid;
use waxwing_core::ids::TenantId;

use super::{Keyring, OpenError, expand};

/// Bytes of a piece before it is sealed.
pub const PIECE: usize = 64 * 1024;
/// Bytes of a piece when it is sealed.
pub const SEALED_PIECE: usize = PIECE + TAG;
/// Bytes of the head.
pub const HEAD: usize = 8;
const TAG: usize = 16;
const MAGIC: [u8; HEAD] = *b"WXFILE01";

/// The cipher of one object.
pub struct FileCipher(aead::LessSafeKey);

impl std::fmt::Debug for FileCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileCipher")
    }
}

impl Keyring {
    /// The cipher of an object. It must seal no more than one file: the caller never uses an object's id twice.
    #[must_use]
    pub fn file_cipher(&self, tenant: TenantId, object: Uuid) -> FileCipher {
        let keys = self.keys(tenant);
        let bytes = expand(&keys.fixed, &[b"file", object.as_bytes()]);
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &*bytes).expect("the key has 32 bytes");
        FileCipher(aead::LessSafeKey::new(key))
    }
}

/// Bytes of the sealed form of a file of `size` bytes.
#[must_use]
pub const fn sealed_size(size: u64) -> u64 {
    // The last piece is never full, so that it can be told from the others without knowing the size.
    let pieces = size / PIECE as u64 + 1;
    HEAD as u64 + size + pieces * TAG as u64
}

impl FileCipher {
    /// The head of the sealed file.
    #[must_use]
    pub const fn head(&self) -> [u8; HEAD] {
        MAGIC
    }

    /// Checks the head of a sealed file.
    ///
    /// # Errors
    /// Of another format.
    pub fn check_head(&self, head: &[u8]) -> Result<(), OpenError> {
        if head == MAGIC {
            Ok(())
        } else {
            Err(OpenError::Format)
        }
    }

    /// Seals a piece in place and puts its tag behind it.
    ///
    /// # Panics
    /// When the piece is longer than [`PIECE`].
    pub fn seal(&self, number: u32, last: bool, piece: &mut Vec<u8>) {
        assert!(piece.len() <= PIECE, "a piece has at most {PIECE} bytes");
        self.0
            .seal_in_place_append_tag(nonce(number, last), aead::Aad::empty(), piece)
            .expect("a piece is far shorter than the cipher's limit");
    }

    /// Opens a piece in place.
    ///
    /// # Errors
    /// When it is damaged or does not belong here.
    pub fn open(&self, number: u32, last: bool, piece: &mut Vec<u8>) -> Result<(), OpenError> {
        let length = self
            .0
            .open_in_place(nonce(number, last), aead::Aad::empty(), piece)
            .map_err(|_| OpenError::Damaged)?
            .len();
        piece.truncate(length);
        Ok(())
    }
}

fn nonce(number: u32, last: bool) -> aead::Nonce {
    let mut bytes = [0; aead::NONCE_LEN];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[4] = u8::from(last);
    aead::Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(master: u8, tenant: u128, object: u128) -> FileCipher {
        Keyring::for_tests(master).file_cipher(
            TenantId::from_uuid(Uuid::from_u128(tenant)),
            Uuid::from_u128(object),
        )
    }

    #[test]
    fn a_piece_opens_only_in_its_place() {
        let ours = cipher(1, 1, 1);
        let mut sealed = b"hello".to_vec();
        ours.seal(3, false, &mut sealed);
        let opens = |cipher: &FileCipher, number, last| {
            let mut piece = sealed.clone();
            cipher.open(number, last, &mut piece).map(|()| piece)
        };
        assert_eq!(opens(&ours, 3, false).unwrap(), b"hello");
        assert!(opens(&ours, 3, true).is_err(), "cut off");
        assert!(opens(&ours, 2, false).is_err(), "moved");
        for other in [cipher(1, 1, 2), cipher(1, 2, 1), cipher(2, 1, 1)] {
            assert!(opens(&other, 3, false).is_err());
        }
        for position in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[position] ^= 1;
            assert!(ours.open(3, false, &mut damaged).is_err());
        }
        assert!(ours.open(3, false, &mut Vec::new()).is_err());
    }

    #[test]
    fn heads_and_sizes() {
        let ours = cipher(1, 1, 1);
        assert_eq!(ours.check_head(&ours.head()), Ok(()));
        assert_eq!(ours.check_head(b"WXF"), Err(OpenError::Format));
        assert_eq!(ours.check_head(b"PNG\0\0\0\0\0"), Err(OpenError::Format));
        assert_eq!(sealed_size(0), 8 + 16);
        assert_eq!(sealed_size(PIECE as u64 - 1), 8 + PIECE as u64 - 1 + 16);
        assert_eq!(sealed_size(PIECE as u64), 8 + PIECE as u64 + 32);
    }
}
