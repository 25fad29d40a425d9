//! The archive of all that is known of a contact, streamed while it is made.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::{ContactId, MediaId, MessageId, TenantId};
use waxwing_store::domain::audit::{self, Book, Chain, Filter as AuditFilter};
use waxwing_store::domain::messages::{self, Filter};
use waxwing_store::domain::{contacts, conversations, media};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::messages::view::MessageView;
use crate::auth::TenantScope;
use crate::errors::{ApiError, ApiResult};
use crate::state::ApiState;

/// Pieces that wait for a slow client.
const PIECES: usize = 8;
/// Messages that are read at once.
const MESSAGES_AT_ONCE: u32 = 200;
/// Entries of the consent ledger, and conversations, of one contact at most.
const ENTRIES_MAX: u32 = 10_000;

/// What goes into the archive.
enum Part {
    /// A file begins.
    File(String),
    /// Its bytes.
    Bytes(Bytes),
}

/// Bytes on their way to the client.
struct Outward(mpsc::Sender<std::io::Result<Bytes>>);

impl std::io::Write for Outward {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let piece = Ok(Bytes::copy_from_slice(bytes));
        self.0
            .blocking_send(piece)
            .map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The archive of a contact.
///
/// # Errors
/// 404 for a contact that is not there; what the database says before the first byte.
pub async fn of_contact(
    state: &ApiState,
    scope: &TenantScope,
    id: ContactId,
) -> ApiResult<Response> {
    let tenant = scope.id();
    let found = state
        .store
        .read(move |tx| contacts::record(tx, tenant, id))
        .await?;
    found.ok_or_else(|| ApiError::not_found("contact"))?;
    let object = Object::one("contact", id);
    scope.record(state, object, Change::untold()).await?;

    let (parts, mut wanted) = mpsc::channel::<Part>(PIECES);
    let (outward, pieces) = mpsc::channel::<std::io::Result<Bytes>>(PIECES);
    let state = state.clone();
    tokio::spawn(async move {
        if let Err(error) = gather(&state, tenant, id, &parts).await {
            tracing::warn!(%error, "an export broke off");
        }
    });
    tokio::task::spawn_blocking(move || {
        let mut archive = ZipWriter::new_stream(Outward(outward.clone()));
        let written = write(&mut archive, &mut wanted);
        if let Err(error) = written.and_then(|()| archive.finish().map(|_| ())) {
            // The client sees that the archive breaks off.
            let _ = outward.blocking_send(Err(std::io::Error::other(error)));
        }
    });
    let mut response = Body::from_stream(stream::unfold(pieces, async |mut pieces| {
        pieces.recv().await.map(|piece| (piece, pieces))
    }))
    .into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/zip");
    headers.insert(header::CONTENT_TYPE, kind);
    let name = format!("attachment; filename=\"{id}.zip\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn write(
    archive: &mut ZipWriter<zip::write::StreamWriter<Outward>>,
    wanted: &mut mpsc::Receiver<Part>,
) -> zip::result::ZipResult<()> {
    // Texts are short and files are compressed already.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .large_file(true);
    while let Some(part) = wanted.blocking_recv() {
        match part {
            Part::File(name) => archive.start_file(name, options)?,
            Part::Bytes(bytes) => std::io::Write::write_all(archive, &bytes)?,
        }
    }
    Ok(())
}

/// The client has gone, or the database does not answer.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the client has gone")]
    Gone,
    #[error("{0}")]
    Failed(String),
}

type Out = mpsc::Sender<Part>;

async fn file(out: &Out, name: impl Into<String>) -> Result<(), Broken> {
    let sent = out.send(Part::File(name.into())).await;
    sent.map_err(|_| Broken::Gone)
}

async fn bytes(out: &Out, bytes: impl Into<Bytes>) -> Result<(), Broken> {
    let sent = out.send(Part::Bytes(bytes.into())).await;
    sent.map_err(|_| Broken::Gone)
}

fn failed(error: impl std::fmt::Display) -> Broken {
    Broken::Failed(error.to_string())
}

async fn gather(
    state: &ApiState,
    tenant: TenantId,
    id: ContactId,
    out: &Out,
) -> Result<(), Broken> {
    let keyring = state.keyring.clone();
    let read = state.store.read(move |tx| {
        let record = contacts::record(tx, tenant, id)?;
        let phone = contacts::get(tx, tenant, id)?;
        let (phone, user_id) = match phone {
            Some(row) => (row.phone(&keyring, tenant)?, row.user_id(&keyring, tenant)?),
            None => (None, None),
        };
        let filter = AuditFilter {
            object: Some("contact".to_owned()),
            object_id: Some(id.to_string()),
            ..AuditFilter::default()
        };
        let ledger = Chain::new(Some(tenant), Book::Consent);
        let consents = audit::list(tx, &keyring, ledger, &filter, ENTRIES_MAX)?;
        let filter = conversations::Filter {
            contact_id: Some(id),
            ..conversations::Filter::default()
        };
        let threads = conversations::list(tx, tenant, &filter, ENTRIES_MAX)?;
        let name = record
            .as_ref()
            .map(|record| record.name(&keyring, tenant))
            .transpose()?
            .flatten();
        Ok((record, (name, phone, user_id), consents, threads))
    });
    let (record, (name, phone, user_id), consents, threads) = read.await.map_err(failed)?;
    let record = record.ok_or(Broken::Gone)?;
    file(out, "contact.json").await?;
    let contact = json!({
        "id": record.id.to_string(), "name": name, "phone": phone.map(|phone| phone.e164()),
        "userId": user_id.map(|id| id.as_str().to_owned()), "marketing": record.marketing,
        "createdAt": record.created_at.rfc3339(), "updatedAt": record.updated_at.rfc3339(),
    });
    bytes(out, pretty(&contact)).await?;
    file(out, "consents.json").await?;
    let consents: Vec<_> = consents
        .iter()
        .map(|entry| json!({"at": entry.at.rfc3339(), "by": entry.actor, "action": entry.action, "change": entry.change}))
        .collect();
    bytes(out, pretty(&json!(consents))).await?;
    file(out, "conversations.json").await?;
    let shown: Vec<_> = threads
        .iter()
        .map(|thread| json!({"id": thread.id.to_string(), "status": thread.status, "createdAt": thread.created_at.rfc3339()}))
        .collect();
    bytes(out, pretty(&json!(shown))).await?;
    let files = texts(state, tenant, id, out).await?;
    for id in files {
        one_file(state, tenant, id, out).await?;
    }
    Ok(())
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// The messages, a line each; the files that they name.
async fn texts(
    state: &ApiState,
    tenant: TenantId,
    contact: ContactId,
    out: &Out,
) -> Result<Vec<MediaId>, Broken> {
    file(out, "messages.jsonl").await?;
    let mut files = Vec::new();
    let mut before: Option<MessageId> = None;
    loop {
        let keyring = state.keyring.clone();
        let read = state.store.read(move |tx| {
            let filter = Filter {
                contact_id: Some(contact),
                before,
                ..Filter::default()
            };
            let rows = messages::list(tx, &keyring, tenant, &filter, MESSAGES_AT_ONCE)?;
            let last = rows.last().map(|row| row.id);
            let views = rows
                .into_iter()
                .map(|row| MessageView::open(&keyring, tenant, row))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((views, last))
        });
        let (views, last) = read.await.map_err(failed)?;
        let mut lines = String::new();
        for view in &views {
            let shown = serde_json::to_value(view).map_err(failed)?;
            if let Some(id) = shown["content"]["mediaId"]
                .as_str()
                .and_then(|id| id.parse().ok())
            {
                files.push(id);
            }
            lines.push_str(&shown.to_string());
            lines.push('\n');
        }
        bytes(out, lines).await?;
        before = last;
        if before.is_none() {
            return Ok(files);
        }
    }
}

async fn one_file(
    state: &ApiState,
    tenant: TenantId,
    id: MediaId,
    out: &Out,
) -> Result<(), Broken> {
    let read = state.store.read(move |tx| media::get(tx, tenant, id));
    let Some(row) = read
        .await
        .map_err(failed)?
        .filter(|row| row.status == "stored")
    else {
        return Ok(());
    };
    let mime = row.mime.as_deref().unwrap_or_default();
    file(
        out,
        format!("media/{id}.{}", waxwing_core::media::extension(mime)),
    )
    .await?;
    let (reader, reading) = state.app.files.read(tenant, &row).await.map_err(failed)?;
    let size = u64::try_from(row.size.unwrap_or_default()).unwrap_or_default();
    let mut pieces = reader.stream(0..size);
    while let Some(piece) = pieces.next().await {
        bytes(out, piece.map_err(failed)?).await?;
    }
    drop(reading);
    Ok(())
}
