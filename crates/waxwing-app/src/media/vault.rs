//! Objects: the bytes of files, sealed, in the object store. Written and read piece by piece.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};
use ring::digest;
use uuid::Uuid;
use waxwing_core::ids::TenantId;
use waxwing_core::media::{SNIFFED_BYTES, sniff};
use waxwing_store::domain::crypto::Keyring;
use waxwing_store::domain::crypto::file::{FileCipher, HEAD, PIECE, SEALED_PIECE, sealed_size};
use waxwing_store::domain::media::Stored;

/// Bytes that are sent to the object store at once: S3 takes no smaller parts but the last, and R2 none of unequal size.
const PART: usize = 5 * 1024 * 1024;
/// Pieces that are read from the object store at once: one megabyte.
const PIECES_AT_ONCE: u64 = 16;

/// What went wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// More bytes than allowed.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// The object store has no such object.
    #[error("the object store does not have the file")]
    Missing,
    /// It does not open: damaged, or sealed under another key.
    #[error("the stored file does not open")]
    Damaged,
    /// The object store does not work.
    #[error("the object store does not work: {0}")]
    Store(String),
}

impl From<object_store::Error> for VaultError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            // Only the kind: the words may hold addresses with secrets.
            other => Self::Store(other.to_string().chars().take(200).collect()),
        }
    }
}

/// The object store and the keys. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    keyring: Keyring,
    objects: Arc<dyn ObjectStore>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.objects)
    }
}

impl Vault {
    /// Objects in a folder, which is made when it is not there. Every file is flushed before it counts.
    ///
    /// # Errors
    /// When the folder cannot be made or used.
    pub fn local(keyring: Keyring, folder: &Path) -> Result<Self, VaultError> {
        std::fs::create_dir_all(folder).map_err(|error| VaultError::Store(error.to_string()))?;
        let objects = LocalFileSystem::new_with_prefix(folder)?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        Ok(Self::new(keyring, Arc::new(objects)))
    }

    /// Objects in memory, for tests.
    #[must_use]
    pub fn in_memory(keyring: Keyring) -> Self {
        Self::new(keyring, Arc::new(object_store::memory::InMemory::new()))
    }

    /// Objects in any object store.
    #[must_use]
    pub fn new(keyring: Keyring, objects: Arc<dyn ObjectStore>) -> Self {
        Self { keyring, objects }
    }

    /// Begins an object, which must have been announced in the database.
    #[must_use]
    pub fn write(&self, tenant: TenantId, object: Uuid, most: u64) -> ObjectWriter {
        let cipher = self.keyring.file_cipher(tenant, object);
        let mut sealed = BytesMut::new();
        sealed.extend_from_slice(&cipher.head());
        ObjectWriter {
            objects: Arc::clone(&self.objects),
            key: key(tenant, object),
            object,
            cipher,
            number: 0,
            piece: Vec::with_capacity(4_096),
            sealed,
            upload: None,
            digest: digest::Context::new(&digest::SHA256),
            beginning: Vec::new(),
            size: 0,
            most,
        }
    }

    /// Opens an object of `size` bytes for reading.
    ///
    /// # Errors
    /// When it is not there or not ours.
    pub async fn read(
        &self,
        tenant: TenantId,
        object: Uuid,
        size: u64,
    ) -> Result<ObjectReader, VaultError> {
        let cipher = self.keyring.file_cipher(tenant, object);
        let key = key(tenant, object);
        let head = self.objects.get_range(&key, 0..HEAD as u64).await?;
        cipher.check_head(&head).map_err(|_| VaultError::Damaged)?;
        Ok(ObjectReader {
            objects: Arc::clone(&self.objects),
            key,
            cipher,
            size,
        })
    }

    /// Takes an object away; nothing happens when it is not there.
    ///
    /// # Errors
    /// When the object store does not work.
    pub async fn delete(&self, tenant: TenantId, object: Uuid) -> Result<(), VaultError> {
        match self.objects.delete(&key(tenant, object)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn key(tenant: TenantId, object: Uuid) -> Key {
    // The last two digits of a UUIDv7 are random: folders fill evenly.
    let name = object.simple().to_string();
    let shelf = name.get(30..).unwrap_or_default().to_owned();
    Key::from_iter([tenant.uuid().simple().to_string(), shelf, name])
}

/// An object while it is written. What is not finished is no object: only its row remains, and goes with the sweep.
pub struct ObjectWriter {
    objects: Arc<dyn ObjectStore>,
    key: Key,
    object: Uuid,
    cipher: FileCipher,
    number: u32,
    /// What is not sealed yet: less than a piece.
    piece: Vec<u8>,
    /// What is not sent yet: less than a part and a piece.
    sealed: BytesMut,
    upload: Option<Box<dyn MultipartUpload>>,
    digest: digest::Context,
    beginning: Vec<u8>,
    size: u64,
    most: u64,
}

impl fmt::Debug for ObjectWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectWriter({} bytes)", self.size)
    }
}

impl ObjectWriter {
    /// The object.
    #[must_use]
    pub fn object(&self) -> Uuid {
        self.object
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// [`VaultError::TooLarge`]; when the object store does not work.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), VaultError> {
        self.size += bytes.len() as u64;
        if self.size > self.most {
            return Err(VaultError::TooLarge(self.most));
        }
        self.digest.update(bytes);
        let wanted = SNIFFED_BYTES - self.beginning.len();
        self.beginning
            .extend_from_slice(&bytes[..wanted.min(bytes.len())]);
        while self.piece.len() + bytes.len() >= PIECE {
            let (now, later) = bytes.split_at(PIECE - self.piece.len());
            self.piece.extend_from_slice(now);
            self.seal(false);
            bytes = later;
            if self.sealed.len() >= PART {
                self.send_part().await?;
            }
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    fn seal(&mut self, last: bool) {
        self.cipher.seal(self.number, last, &mut self.piece);
        self.sealed.extend_from_slice(&self.piece);
        self.piece.clear();
        self.number += 1;
    }

    async fn send_part(&mut self) -> Result<(), VaultError> {
        if self.upload.is_none() {
            self.upload = Some(self.objects.put_multipart(&self.key).await?);
        }
        let part = self.sealed.split_to(PART.min(self.sealed.len())).freeze();
        if let Some(upload) = &mut self.upload {
            upload.put_part(part.into()).await?;
        }
        Ok(())
    }

    /// Ends the object. When this returns, it is durable.
    ///
    /// # Errors
    /// When the object store does not work.
    pub async fn finish(mut self, claimed: Option<&str>) -> Result<Stored, VaultError> {
        self.seal(true);
        while self.upload.is_some() && !self.sealed.is_empty() {
            self.send_part().await?;
        }
        match &mut self.upload {
            Some(upload) => {
                upload.complete().await?;
            }
            None => {
                let whole: Bytes = self.sealed.split().freeze();
                self.objects.put(&self.key, whole.into()).await?;
            }
        }
        let found = sniff(&self.beginning, claimed);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.digest.finish().as_ref());
        Ok(Stored {
            object: self.object,
            mime: found.mime,
            mismatch: found.mismatch,
            size: self.size,
            sha256,
        })
    }

    /// Gives the object up.
    pub async fn abort(self) {
        if let Some(mut upload) = self.upload
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(%error, "an unfinished object is left to the object store");
        }
    }
}

/// An object that can be read.
pub struct ObjectReader {
    objects: Arc<dyn ObjectStore>,
    key: Key,
    cipher: FileCipher,
    size: u64,
}

impl fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectReader({} bytes)", self.size)
    }
}

impl ObjectReader {
    /// The bytes of a range, in pieces of at most a megabyte. A piece that does not open ends the stream with an error.
    #[must_use]
    pub fn stream(self, range: Range<u64>) -> BoxStream<'static, std::io::Result<Bytes>> {
        let range = range.start.min(self.size)..range.end.min(self.size);
        if range.is_empty() {
            return stream::empty().boxed();
        }
        let start = range.start / PIECE as u64;
        stream::try_unfold((self, range, start), |(reader, range, piece)| async move {
            if piece * PIECE as u64 >= range.end {
                return Ok(None);
            }
            let bytes = reader.pieces(piece, &range).await.map_err(|error| {
                tracing::error!(%error, "a stored file cannot be read to its end");
                std::io::Error::other(error)
            })?;
            Ok(Some((bytes, (reader, range, piece + PIECES_AT_ONCE))))
        })
        .boxed()
    }

    /// The part of a range that lies in some pieces from `first` on.
    async fn pieces(&self, first: u64, range: &Range<u64>) -> Result<Bytes, VaultError> {
        let last_of_all = self.size / PIECE as u64;
        let last = ((range.end - 1) / PIECE as u64).min(first + PIECES_AT_ONCE - 1);
        let place = |piece: u64| HEAD as u64 + piece * SEALED_PIECE as u64;
        let until = place(last + 1).min(sealed_size(self.size));
        let sealed = self
            .objects
            .get_range(&self.key, place(first)..until)
            .await?;
        let mut open = Vec::with_capacity(sealed.len());
        for (number, piece) in (first..).zip(sealed.chunks(SEALED_PIECE)) {
            let mut piece = piece.to_vec();
            let index = u32::try_from(number).map_err(|_| VaultError::Damaged)?;
            self.cipher
                .open(index, number == last_of_all, &mut piece)
                .map_err(|_| VaultError::Damaged)?;
            open.extend_from_slice(&piece);
        }
        let offset = first * PIECE as u64;
        let from = usize::try_from(range.start.saturating_sub(offset)).unwrap_or(usize::MAX);
        let to = usize::try_from(range.end - offset)
            .unwrap_or(usize::MAX)
            .min(open.len());
        if from > to {
            return Err(VaultError::Damaged);
        }
        Ok(Bytes::from(open).slice(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt as _;
    use object_store::memory::InMemory;

    const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));

    fn vault(objects: &Arc<InMemory>) -> Vault {
        let keyring = Keyring::for_tests(1);
        Vault::new(keyring, Arc::clone(objects) as Arc<dyn ObjectStore>)
    }

    async fn keep(vault: &Vault, object: u128, bytes: &[u8], at_once: usize) -> Stored {
        let mut writer = vault.write(TENANT, Uuid::from_u128(object), 20_000_000);
        for part in bytes.chunks(at_once) {
            writer.write(part).await.unwrap();
        }
        writer
            .finish(Some("application/octet-stream"))
            .await
            .unwrap()
    }

    async fn get(vault: &Vault, object: u128, size: usize, range: Range<u64>) -> Vec<u8> {
        let reader = vault.read(TENANT, Uuid::from_u128(object), size as u64);
        let pieces: Vec<Bytes> = reader
            .await
            .unwrap()
            .stream(range)
            .try_collect()
            .await
            .unwrap();
        pieces.concat()
    }

    #[tokio::test]
    async fn files_of_every_size_come_back_whole_and_in_parts() {
        let objects = Arc::new(InMemory::new());
        let vault = vault(&objects);
        let sizes = [
            0,
            1,
            PIECE - 1,
            PIECE,
            PIECE + 1,
            3 * PIECE,
            PART,
            2 * PART + 7,
        ];
        for (n, size) in (1..).zip(sizes) {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let stored = keep(&vault, n, &bytes, 10_000).await;
            assert_eq!(stored.size, size as u64);
            assert_eq!(
                stored.sha256,
                digest::digest(&digest::SHA256, &bytes).as_ref()
            );
            let whole = get(&vault, n, size, 0..size as u64).await;
            assert!(whole == bytes, "{size}");
            for (from, to) in [
                (0, 1),
                (PIECE - 1, PIECE + 1),
                (size / 2, size),
                (size, size + 5),
                (1_100_000, 1_200_000),
            ] {
                let found = get(&vault, n, size, from as u64..to as u64).await;
                assert!(
                    found == bytes[from.min(size)..to.min(size)],
                    "{size} {from}..{to}"
                );
            }
            let raw = objects
                .get(&key(TENANT, Uuid::from_u128(n)))
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            assert_eq!(raw.len() as u64, sealed_size(size as u64));
            assert!(
                size < 100 || !raw.windows(50).any(|part| part == &bytes[..50]),
                "it is sealed"
            );
        }
    }

    #[tokio::test]
    async fn what_is_too_large_or_moved_is_refused() {
        let objects = Arc::new(InMemory::new());
        let vault = vault(&objects);
        let mut writer = vault.write(TENANT, Uuid::from_u128(1), 10);
        writer.write(b"0123456789").await.unwrap();
        assert!(matches!(
            writer.write(b"x").await,
            Err(VaultError::TooLarge(10))
        ));
        writer.abort().await;
        assert!(matches!(
            vault.read(TENANT, Uuid::from_u128(1), 10).await,
            Err(VaultError::Missing)
        ));

        keep(&vault, 2, b"hello", 5).await;
        let (from, to) = (
            key(TENANT, Uuid::from_u128(2)),
            key(TENANT, Uuid::from_u128(3)),
        );
        objects.copy(&from, &to).await.unwrap();
        let moved = vault.read(TENANT, Uuid::from_u128(3), 5).await.unwrap();
        assert!(moved.stream(0..5).try_collect::<Vec<_>>().await.is_err());
        vault.delete(TENANT, Uuid::from_u128(2)).await.unwrap();
        vault.delete(TENANT, Uuid::from_u128(2)).await.unwrap();
        assert!(matches!(
            vault.read(TENANT, Uuid::from_u128(2), 5).await,
            Err(VaultError::Missing)
        ));
    }

    #[tokio::test]
    async fn a_folder_holds_objects() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::for_tests(1);
        let vault = Vault::local(keyring, &folder.path().join("media")).unwrap();
        let bytes = vec![7; 2 * PART];
        keep(&vault, 1, &bytes, PART).await;
        assert!(get(&vault, 1, bytes.len(), 0..bytes.len() as u64).await == bytes);
        vault.delete(TENANT, Uuid::from_u128(1)).await.unwrap();
    }
}
