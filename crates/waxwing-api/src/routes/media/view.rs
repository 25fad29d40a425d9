//! How a file looks in the API.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use waxwing_app::media::LINK_LIFE;
use waxwing_core::errors::ErrorClass;
use waxwing_core::ids::{MediaId, TenantId};
use waxwing_store::StoreError;
use waxwing_store::domain::media::{self, MediaRow, open_name};

use crate::state::ApiState;

/// A file.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MediaView {
    id: String,
    /// `pending` while it is being fetched, then `stored` or `failed`; `deleted` in a message whose file is no longer kept.
    status: String,
    /// `image`, `video`, `audio`, `document` or `sticker`.
    kind: String,
    /// What the bytes say it is; what the provider said, while it is pending.
    mime_type: Option<String>,
    /// It was said to be something else; it is never shown in a page.
    type_mismatch: bool,
    /// Bytes.
    size: Option<i64>,
    /// The SHA-256 of the bytes in hexadecimal digits.
    sha256: Option<String>,
    filename: Option<String>,
    /// Where the bytes are, without a credential, for 15 minutes; null until it is stored.
    url: Option<String>,
    /// Why it could not be fetched, or why not yet.
    error: Option<MediaError>,
    /// The message that it came with; null for an upload.
    message_id: Option<String>,
    channel_id: Option<String>,
    /// Null once it is deleted, as are the two below.
    created_at: Option<String>,
    updated_at: Option<String>,
    /// When it is deleted.
    expires_at: Option<String>,
}

/// Why there is no file.
#[derive(Clone, Serialize, ToSchema)]
pub struct MediaError {
    /// What the error means.
    class: String,
    /// What happened.
    message: String,
    /// What to do.
    hint: &'static str,
}

impl MediaView {
    /// The view of a row; opens what is sealed and signs a link.
    ///
    /// # Errors
    /// When a sealed value does not open.
    pub fn open(state: &ApiState, tenant: TenantId, row: &MediaRow) -> Result<Self, StoreError> {
        let name = open_name(
            &state.keyring,
            tenant,
            row.id,
            row.filename_sealed.as_deref(),
        )?;
        let public = state.settings.endpoints.public_url.as_deref();
        let url = (row.status == "stored").then(|| {
            let path = state.app.files.link(tenant, row.id, LINK_LIFE);
            format!("{}{path}", public.unwrap_or_default())
        });
        let error = row.error_class.clone().map(|class| MediaError {
            hint: match ErrorClass::parse(&class) {
                Some(ErrorClass::Media) => {
                    "The file cannot be had any more. Ask the contact to send it again."
                }
                Some(other) => other.hint(),
                None => "",
            },
            class,
            message: row.error_message.clone().unwrap_or_default(),
        });
        Ok(Self {
            id: row.id.to_string(),
            status: row.status.clone(),
            kind: row.kind.clone(),
            mime_type: row.mime.clone(),
            type_mismatch: row.mismatch,
            size: row.size,
            sha256: row.sha256.as_deref().map(hex::encode),
            filename: name,
            url,
            error,
            message_id: row.message_id.map(|id| id.to_string()),
            channel_id: row.channel_id.map(|id| id.to_string()),
            created_at: Some(row.created_at.rfc3339()),
            updated_at: Some(row.updated_at.rfc3339()),
            expires_at: Some(row.expires_at.rfc3339()),
        })
    }

    /// The view of a file that a message names and that is no longer kept.
    #[must_use]
    pub fn deleted(id: &str, content: &serde_json::Value) -> Self {
        let word = |name: &str| content.get(name)?.as_str().map(str::to_owned);
        Self {
            id: id.to_owned(),
            status: "deleted".to_owned(),
            kind: word("type").unwrap_or_default(),
            mime_type: word("mimeType"),
            type_mismatch: false,
            size: None,
            sha256: None,
            filename: None,
            url: None,
            error: Some(MediaError {
                class: ErrorClass::Media.as_str().to_owned(),
                message: "its time of retention is over".to_owned(),
                hint: "Files are deleted after WHATSAPP_MESSAGE_RETENTION_DAYS, at the earliest after 90 days.",
            }),
            message_id: None,
            channel_id: None,
            created_at: None,
            updated_at: None,
            expires_at: None,
        }
    }
}

/// The files that contents of messages name, by id.
///
/// # Errors
/// What the database says; when a sealed value does not open.
pub async fn named_by<'a>(
    state: &ApiState,
    tenant: TenantId,
    contents: impl Iterator<Item = &'a serde_json::Value>,
) -> Result<BTreeMap<String, MediaView>, StoreError> {
    let ids: Vec<MediaId> = contents
        .filter_map(|content| content.get("mediaId")?.as_str()?.parse().ok())
        .collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = state
        .store
        .read(move |tx| media::get_many(tx, tenant, &ids))
        .await?;
    rows.into_iter()
        .map(|(id, row)| Ok((id.to_string(), MediaView::open(state, tenant, &row)?)))
        .collect()
}
