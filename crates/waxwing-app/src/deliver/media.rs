//! Files of ours on their way to a provider: uploaded once and then named by the provider's id, or named by a link that
//! the provider fetches.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use waxwing_core::content::Content;
use waxwing_core::delivery::SEND_DEADLINE;
use waxwing_core::errors::{ErrorClass, ProviderError, SendOutcome};
use waxwing_core::ids::MediaId;
use waxwing_core::media::{UPLOAD_LIFE, extension};
use waxwing_providers::http::StreamBody;
use waxwing_providers::messaging::media::{MediaApi, Upload, UploadCall, media_api};
use waxwing_store::domain::media::{self, MediaRow};

use super::assets::Asset;
use super::sender::{NotTried, Sender};
use crate::directory::Channel;
use crate::media::{FileError, PROVIDER_LINK_LIFE, VaultError, fits};
use crate::metrics;

/// Files that are uploaded at the same time.
pub(super) const UPLOADS_MAX: usize = 4;
/// How long an upload may take: the largest file at half a megabyte a second.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(200);

/// A content whose file the provider can get.
pub(super) struct Prepared {
    pub(super) content: Content,
    /// The uploaded file, to be forgotten when the provider no longer knows it.
    pub(super) asset: Option<Asset>,
}

/// What is to be sent, or how the attempt ends without it.
pub(super) type Outcome<T> = Result<Result<T, Box<SendOutcome>>, NotTried>;

impl Sender {
    /// The content with its file named as the provider wants it; `None` when it has no file of ours.
    pub(super) async fn prepare(
        &self,
        channel: &Channel,
        content: &Content,
    ) -> Outcome<Option<Prepared>> {
        let Some((kind, named)) = content.media() else {
            return Ok(Ok(None));
        };
        let Some(id) = named.media_id else {
            return Ok(Ok(None));
        };
        let tenant = channel.tenant_id;
        let row = self
            .base
            .store
            .read(move |tx| media::get(tx, tenant, id))
            .await?;
        let Some(row) = row else {
            return Ok(refused("the file is no longer kept"));
        };
        if let Err(reason) = fits(&row, channel.kind, kind) {
            return Ok(refused(&format!("the file {reason}")));
        }
        let own_name = media::open_name(
            &self.base.keyring,
            tenant,
            id,
            row.filename_sealed.as_deref(),
        )?;
        let name = named.filename.clone().or(own_name);
        let mime = row.mime.clone().unwrap_or_default();
        let mut prepared = Prepared {
            content: content.clone(),
            asset: None,
        };
        let api = media_api(channel.kind);
        let boundary = format!("waxwing{}", self.base.ids.next().simple());
        let usual = format!("file.{}", extension(&mime));
        let upload = Upload {
            mime: &mime,
            // The ending has to fit the type, whatever the file is called (protocols/meta.md 14).
            filename: &usual,
            boundary: &boundary,
        };
        let call = match api.upload(&channel.account, &self.endpoints, upload) {
            Ok(call) => call,
            Err(error) => return Ok(refused(&error.to_string())),
        };
        let (provider_id, link) = match call {
            Some(call) => match self.uploaded(api, channel, id, &row, call).await? {
                Ok(asset) => {
                    let reference = asset.reference.clone();
                    prepared.asset = Some(asset);
                    (Some(reference), None)
                }
                Err(outcome) => return Ok(Err(outcome)),
            },
            None => match &self.endpoints.public_url {
                Some(public) => {
                    let path = self.files.link(tenant, id, PROVIDER_LINK_LIFE);
                    (None, Some(format!("{public}{path}")))
                }
                None => {
                    return Ok(refused(
                        "the provider fetches files by link, so PUBLIC_URL has to be set",
                    ));
                }
            },
        };
        if let Some(media) = prepared.content.media_mut() {
            media.media_id = None;
            media.id = provider_id;
            media.link = link;
            media.filename = name;
            media.mime_type = Some(mime);
        }
        Ok(Ok(Some(prepared)))
    }

    /// The file at the provider: known there, or uploaded now.
    async fn uploaded(
        &self,
        api: &dyn MediaApi,
        channel: &Channel,
        id: MediaId,
        row: &MediaRow,
        call: UploadCall,
    ) -> Outcome<Asset> {
        let key = self.asset_key(channel.tenant_id, &made_of(row));
        if let Some(reference) = self.known_asset(channel, &key).await? {
            return Ok(Ok(Asset {
                key,
                reference,
                is_new: false,
            }));
        }
        let Ok(_place) = Arc::clone(&self.uploads).acquire_owned().await else {
            return Err(NotTried::Stale);
        };
        let provider = channel.kind.as_str();
        let count = |result: &'static str| {
            ::metrics::counter!(metrics::MEDIA_UPLOADS, "provider" => provider, "result" => result)
                .increment(1);
        };
        let (reader, _reading) = match self.files.read(channel.tenant_id, row).await {
            Ok(open) => open,
            Err(FileError::Vault(VaultError::Missing | VaultError::Damaged)) => {
                tracing::error!(media = %id, "a stored file cannot be read");
                return Ok(refused("the stored file cannot be read"));
            }
            Err(FileError::Store(error)) => return Err(error.into()),
            Err(_) => return Ok(Err(Box::new(later("the object store does not work")))),
        };
        let size = row
            .size
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0);
        let length = size + call.before.len() as u64 + call.after.len() as u64;
        let before = stream::iter([Ok(call.before)]);
        let after = stream::iter([Ok(call.after)]);
        let body = before.chain(reader.stream(0..size)).chain(after).boxed();
        let body = StreamBody::new(body, length);
        let deadline = UPLOAD_DEADLINE.max(SEND_DEADLINE);
        let answer = self.client.send(call.request, body, deadline).await;
        let reference = match api.uploaded(&answer) {
            Ok(reference) => reference,
            Err(outcome) => {
                count("failed");
                return Ok(Err(outcome));
            }
        };
        count("uploaded");
        self.keep_asset(channel, &key, &reference, UPLOAD_LIFE)
            .await?;
        Ok(Ok(Asset {
            key,
            reference,
            is_new: true,
        }))
    }
}

/// Equal files of a channel are one upload.
fn made_of(row: &MediaRow) -> String {
    let hash: String = row
        .sha256
        .iter()
        .flatten()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("media:{hash}:{}", row.mime.as_deref().unwrap_or_default())
}

fn refused<T>(message: &str) -> Result<T, Box<SendOutcome>> {
    let error = ProviderError::own(ErrorClass::Media, message);
    Err(Box::new(SendOutcome::Rejected(error)))
}

fn later(message: &str) -> SendOutcome {
    SendOutcome::Retry {
        after: None,
        attempts_max: None,
        error: ProviderError::own(ErrorClass::Retry, message),
    }
}
