//! Files: received ones are fetched, uploaded ones are kept, both are shown by signed links and deleted in time.

mod fetch;
pub mod link;
mod s3;
mod sweep;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use waxwing_core::audit::{Change, Object};
use waxwing_core::channel::ChannelKind;
use waxwing_core::content::{Content, MediaKind};
use waxwing_core::ids::{MediaId, TenantId};
use waxwing_core::media::{self as rules, FILE_BYTES, Refusal};
use waxwing_store::domain::audit::Trail;
use waxwing_store::domain::media::{self, MediaRow};
use waxwing_store::{StoreError, Tx};

pub use self::fetch::{FetchOptions, run};
pub use self::s3::S3;
pub use self::vault::{ObjectReader, ObjectWriter, Vault, VaultError};
use crate::Base;

/// Uploads at the same time; each holds some megabytes of memory.
const UPLOADS_MAX: usize = 8;
/// Files that are being read at the same time.
const READERS_MAX: usize = 64;
/// Others may store the same content in between; then the database decides who was first.
const RACES_MAX: u32 = 5;
/// How long a link for a page is good.
pub const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a link for a provider is good: it may fetch the file late.
pub const PROVIDER_LINK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Tells the worker that files may be due.
#[derive(Debug, Clone, Default)]
pub struct MediaSignal(Arc<Notify>);

impl MediaSignal {
    /// Files were added.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is of a type or size that nobody takes.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not what it was said to be.
    #[error("the file is said to be {claimed}, but it is {found}")]
    Mismatch {
        /// What was said.
        claimed: String,
        /// What it is.
        found: String,
    },
    /// Too many are being uploaded.
    #[error("too many files are being uploaded")]
    Busy,
    /// The object store.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The files of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    base: Base,
    vault: Vault,
    keep: Duration,
    uploads: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files")
            .field("vault", &self.vault)
            .finish_non_exhaustive()
    }
}

/// A file that is being uploaded.
#[derive(Debug)]
pub struct Incoming {
    files: Files,
    tenant: TenantId,
    writer: ObjectWriter,
    _place: OwnedSemaphorePermit,
}

/// An uploaded file, as its sender describes it.
#[derive(Debug, Clone, Default)]
pub struct Described {
    /// As what it will be sent; by its type when not given.
    pub kind: Option<MediaKind>,
    /// What it is said to be.
    pub mime: Option<String>,
    /// Its name, not yet cleaned.
    pub filename: Option<String>,
}

impl Files {
    /// Files in a vault, kept for `keep`.
    #[must_use]
    pub fn new(base: Base, vault: Vault, keep: Duration) -> Self {
        Self {
            base,
            vault,
            keep,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    /// How long files are kept.
    #[must_use]
    pub fn keep(&self) -> Duration {
        self.keep
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// [`FileError::Busy`]; what the database says.
    pub async fn upload(&self, tenant: TenantId) -> Result<Incoming, FileError> {
        let place = Arc::clone(&self.uploads)
            .try_acquire_owned()
            .map_err(|_| FileError::Busy)?;
        let object = self.base.ids.next();
        let now = self.base.clock.now();
        self.base
            .store
            .write(move |tx| media::begin_objects(tx, &[(tenant, object)], now))
            .await?;
        Ok(Incoming {
            writer: self.vault.write(tenant, object, FILE_BYTES),
            files: self.clone(),
            tenant,
            _place: place,
        })
    }

    /// Opens the bytes of a file that is stored.
    ///
    /// # Errors
    /// [`FileError::Busy`]; when it is not stored or the object store does not have it.
    pub async fn read(
        &self,
        tenant: TenantId,
        row: &MediaRow,
    ) -> Result<(ObjectReader, OwnedSemaphorePermit), FileError> {
        let place = Arc::clone(&self.readers)
            .try_acquire_owned()
            .map_err(|_| FileError::Busy)?;
        let (Some(object), Some(size)) = (row.object_id, row.size) else {
            return Err(VaultError::Missing.into());
        };
        let size = u64::try_from(size).unwrap_or(0);
        Ok((self.vault.read(tenant, object, size).await?, place))
    }

    /// The path of a link to a file, good for `life`.
    #[must_use]
    pub fn link(&self, tenant: TenantId, id: MediaId, life: Duration) -> String {
        let until = self.base.clock.now().plus(life);
        format!(
            "/media/{}",
            link::encode(&self.base.keyring, tenant, id, until)
        )
    }

    /// The file behind a link; `None` when the link or the file is no longer good.
    ///
    /// # Errors
    /// What the database says.
    pub async fn behind(&self, token: &str) -> Result<Option<(TenantId, MediaRow)>, StoreError> {
        let now = self.base.clock.now();
        let Some((tenant, id)) = link::decode(&self.base.keyring, token, now) else {
            return Ok(None);
        };
        let row = self
            .base
            .store
            .read(move |tx| media::get(tx, tenant, id))
            .await?;
        Ok(row
            .filter(|row| row.status == "stored")
            .map(|row| (tenant, row)))
    }
}

impl Incoming {
    /// Adds bytes.
    ///
    /// # Errors
    /// Too many; when the object store does not work.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        Ok(self.writer.write(bytes).await?)
    }

    /// Ends the upload and adds the file. When this returns, it is durable. Somebody's deed is recorded with it.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn finish(
        self,
        described: Described,
        trail: Option<Trail>,
    ) -> Result<MediaRow, FileError> {
        let (files, tenant) = (self.files, self.tenant);
        let object = self.writer.object();
        let outcome = finish(&files, tenant, self.writer, described, trail).await;
        if outcome.is_err() {
            files.give_up(tenant, object).await;
        }
        outcome
    }

    /// Ends the upload without a file.
    pub async fn abort(self) {
        let object = self.writer.object();
        self.writer.abort().await;
        self.files.give_up(self.tenant, object).await;
    }
}

impl Files {
    /// Best effort: the sweep finds what is left.
    async fn give_up(&self, tenant: TenantId, object: uuid::Uuid) {
        let now = self.base.clock.now();
        let given_up = self
            .base
            .store
            .write(move |tx| media::give_up_object(tx, tenant, object, now));
        if let Err(error) = given_up.await {
            tracing::debug!(%error, "an object is left to the sweep");
        }
    }
}

async fn finish(
    files: &Files,
    tenant: TenantId,
    writer: ObjectWriter,
    described: Described,
    trail: Option<Trail>,
) -> Result<MediaRow, FileError> {
    let stored = writer.finish(described.mime.as_deref()).await?;
    if stored.size == 0 {
        return Err(Refusal::Empty.into());
    }
    if stored.mismatch {
        return Err(FileError::Mismatch {
            claimed: described
                .mime
                .as_deref()
                .map(rules::essence)
                .unwrap_or_default(),
            found: stored.mime,
        });
    }
    let kind = described
        .kind
        .unwrap_or_else(|| rules::kind_of(&stored.mime));
    rules::check(ChannelKind::Meta, kind, &stored.mime, stored.size)?;
    let filename = described
        .filename
        .as_deref()
        .and_then(rules::clean_file_name);
    let id = MediaId::new(&*files.base.ids);
    let mut races = 0;
    loop {
        let (base, stored, filename) = (files.base.clone(), stored.clone(), filename.clone());
        let trail = trail.clone();
        let keep = files.keep;
        let write = move |tx: &mut Tx<'_>| {
            let now = base.clock.now();
            let (keyring, until) = (&base.keyring, now.plus(keep));
            let row = media::add_stored(
                tx,
                keyring,
                tenant,
                id,
                kind,
                filename.as_deref(),
                &stored,
                until,
                now,
            )?;
            if let Some(trail) = &trail {
                let change = Change::made(json!({ "mimeType": stored.mime, "size": stored.size }));
                trail.record(tx, &Object::one("media", id), &change)?;
            }
            Ok(row)
        };
        match files.base.store.write(write).await {
            Err(StoreError::Conflict { .. } | StoreError::Busy) if races < RACES_MAX => races += 1,
            other => return Ok(other?),
        }
    }
}

/// Whether a file of ours can be sent through a channel, and keeps it for as long as the message. For use in the
/// transaction that queues the message.
///
/// # Errors
/// What the database says.
pub(crate) fn check_sendable(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    provider: ChannelKind,
    content: &Content,
    until: waxwing_core::time::Timestamp,
) -> Result<Result<(), String>, StoreError> {
    let Some((kind, named)) = content.media() else {
        return Ok(Ok(()));
    };
    let Some(id) = named.media_id else {
        return Ok(Ok(()));
    };
    let Some(row) = media::get(tx, tenant, id)? else {
        return Ok(Err("names no file of the tenant".to_owned()));
    };
    if let Err(reason) = fits(&row, provider, kind) {
        return Ok(Err(reason));
    }
    media::keep_until(tx, tenant, id, until)?;
    Ok(Ok(()))
}

/// Whether a file is there and a provider takes it as a kind of media.
pub(crate) fn fits(row: &MediaRow, provider: ChannelKind, kind: MediaKind) -> Result<(), String> {
    match row.status.as_str() {
        "stored" => {}
        "pending" => return Err("is still being fetched".to_owned()),
        _ => return Err("could not be fetched".to_owned()),
    }
    let mime = row.mime.as_deref().unwrap_or_default();
    let size = row
        .size
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(0);
    rules::check(provider, kind, mime, size).map_err(|refusal| refusal.to_string())
}
