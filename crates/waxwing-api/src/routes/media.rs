//! Files of a tenant: uploading, listing, reading, and the signed links behind which their bytes are.

use std::time::Duration;
use waxwing_core::audit::{Change, Object};

use axum::Json;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Path, Request, State};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_app::media::{Described, FileError, Incoming, LINK_LIFE, VaultError};
use waxwing_core::content::MediaKind;
use waxwing_core::ids::MediaId;
use waxwing_core::media::{FILE_BYTES, INBOUND_LIFE, Refusal, essence};
use waxwing_store::domain::media;

use crate::answer::Success;
use crate::auth::TenantScope;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiQuery, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

use self::view::MediaView;

pub mod serve;
pub mod view;

const LIST: &str = "media";
/// Bytes of an upload with the form around it.
const FORM_BYTES: usize = 101 * 1024 * 1024;
/// How long an upload may be silent.
const SILENCE: Duration = Duration::from_secs(20);
/// Bytes of a field of the form that is not the file.
const FIELD_BYTES: usize = 1_024;

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_media, upload_media))
        .routes(routes!(get_media))
        .routes(routes!(get_media_content))
        .routes(routes!(retry_media))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
}

/// A file.
#[derive(Serialize, ToSchema)]
pub struct MediaAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    media: MediaView,
}

/// Files.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MediaList {
    #[schema(value_type = bool)]
    ok: Success,
    media: Vec<MediaView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// A link to the bytes of a file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    /// Where the bytes are, without a credential.
    url: String,
    /// Until when.
    expires_at: String,
}

/// A file as a form sends it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form")]
pub struct UploadForm {
    /// The file, with its name and type.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// As what it will be sent: `image`, `video`, `audio`, `document` or `sticker`; by its type when not given.
    kind: Option<String>,
}

/// What describes a file that is the whole body.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// Its name.
    filename: Option<String>,
    /// As what it will be sent.
    kind: Option<String>,
}

/// What a list of files is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MediaQuery {
    /// `pending`, `stored` or `failed`.
    status: Option<String>,
}

fn unknown() -> ApiError {
    ApiError::not_found("media")
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> Self {
        let words = |error: &dyn std::fmt::Display| format!("The file is refused: {error}.");
        match error {
            FileError::Refused(refusal @ Refusal::Size { .. }) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, words(&refusal))
                    .hint("With `kind` set to `document` it may have 100 MB.")
            }
            FileError::Refused(refusal @ Refusal::Type { .. }) => {
                Self::unsupported_type(words(&refusal))
                    .hint("With `kind` set to `document` any type is taken.")
            }
            FileError::Refused(refusal @ Refusal::Empty) => {
                Self::invalid_field("file", refusal.to_string())
            }
            error @ FileError::Mismatch { .. } => Self::unsupported_type(words(&error))
                .hint("Name the type that the file has, or application/octet-stream."),
            FileError::Vault(VaultError::TooLarge(most)) => {
                Self::too_large(usize::try_from(most).unwrap_or(usize::MAX))
            }
            FileError::Busy => {
                Self::unavailable("Too many files are on their way.", Duration::from_secs(2))
            }
            FileError::Vault(VaultError::Missing) => unknown(),
            FileError::Vault(error) => {
                tracing::error!(%error, "a file could not be kept or read");
                Self::unavailable("The store of files does not work.", Duration::from_secs(10))
            }
            FileError::Store(error) => error.into(),
        }
    }
}

/// Upload a file
///
/// As a form with the part `file`, or as the whole body with its type under `Content-Type` and its name in the query.
/// The type is read from the bytes; a file that is not what it is said to be is refused. The same content is kept once.
#[utoipa::path(
    post,
    path = "/media",
    tag = "media",
    params(UploadQuery),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "The file is stored.", body = MediaAnswer),
        (status = 413, description = "The file is too large for its kind.", body = ErrorBody),
        (status = 415, description = "WhatsApp does not take the type, or the bytes say another one.", body = ErrorBody),
    )
)]
async fn upload_media(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiQuery(query): ApiQuery<UploadQuery>,
    request: Request,
) -> ApiResult<(StatusCode, Json<MediaAnswer>)> {
    if !state.settings.media {
        return Err(switched_off());
    }
    let kind = query.kind.as_deref().map(kind).transpose()?;
    let mime = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(essence)
        .unwrap_or_default();
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|length| length > FORM_BYTES as u64) {
        return Err(ApiError::too_large(
            usize::try_from(FILE_BYTES).unwrap_or(usize::MAX),
        ));
    }
    let mut described = Described {
        kind,
        mime: None,
        filename: query.filename,
    };
    let incoming = if mime == "multipart/form-data" {
        let form = Multipart::from_request(request, &state)
            .await
            .map_err(|_| ApiError::malformed("The form cannot be read."))?;
        read_form(&state, &scope, form, &mut described).await?
    } else {
        if mime.is_empty()
            || mime == "application/json"
            || mime == "application/x-www-form-urlencoded"
        {
            return Err(ApiError::unsupported_type(
                "The body must be a form with the part `file`, or the file itself under its own type.",
            ));
        }
        described.mime = Some(mime);
        read_whole(&state, &scope, request.into_body()).await?
    };
    let row = incoming
        .finish(described, Some(scope.trail.clone()))
        .await?;
    let media = MediaView::open(&state, scope.id(), &row)?;
    Ok((
        StatusCode::CREATED,
        Json(MediaAnswer { ok: Success, media }),
    ))
}

pub(super) fn switched_off() -> ApiError {
    ApiError::forbidden("Media are switched off on this server.")
        .hint("The operator switches them on with WHATSAPP_ENABLE_MEDIA.")
}

fn kind(word: &str) -> ApiResult<MediaKind> {
    MediaKind::parse(word).ok_or_else(|| {
        ApiError::invalid_field("kind", "must be image, video, audio, document or sticker")
    })
}

/// Where the bytes of an upload come from.
enum Source<'a, 'f> {
    Body(&'a mut Body),
    Field(&'a mut Field<'f>),
}

impl Source<'_, '_> {
    async fn next(&mut self) -> ApiResult<Option<Bytes>> {
        match self {
            Self::Field(field) => field.chunk().await.map_err(|error| broken_form(&error)),
            Self::Body(body) => loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                    Some(Err(_)) => return Err(ApiError::malformed("The upload broke off.")),
                }
            },
        }
    }
}

fn broken_form(error: &MultipartError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::too_large(usize::try_from(FILE_BYTES).unwrap_or(usize::MAX))
    } else {
        ApiError::malformed("The form is broken or ends too early.")
    }
}

/// Writes what comes until its end.
async fn pour(incoming: &mut Incoming, mut source: Source<'_, '_>) -> ApiResult<()> {
    loop {
        let piece = tokio::time::timeout(SILENCE, source.next())
            .await
            .map_err(|_| ApiError::malformed("The upload was silent for too long."))??;
        match piece {
            Some(piece) => incoming.write(&piece).await?,
            None => return Ok(()),
        }
    }
}

async fn read_whole(state: &ApiState, scope: &TenantScope, mut body: Body) -> ApiResult<Incoming> {
    let mut incoming = state.app.files.upload(scope.id()).await?;
    match pour(&mut incoming, Source::Body(&mut body)).await {
        Ok(()) => Ok(incoming),
        Err(error) => {
            incoming.abort().await;
            Err(error)
        }
    }
}

async fn read_form(
    state: &ApiState,
    scope: &TenantScope,
    mut form: Multipart,
    described: &mut Described,
) -> ApiResult<Incoming> {
    let mut file: Option<Incoming> = None;
    let read = read_fields(state, scope, &mut form, described, &mut file).await;
    match (read, file) {
        (Ok(()), Some(file)) => Ok(file),
        (Ok(()), None) => Err(ApiError::invalid_field("file", "is missing")),
        (Err(error), file) => {
            if let Some(file) = file {
                file.abort().await;
            }
            Err(error)
        }
    }
}

async fn read_fields(
    state: &ApiState,
    scope: &TenantScope,
    form: &mut Multipart,
    described: &mut Described,
    file: &mut Option<Incoming>,
) -> ApiResult<()> {
    while let Some(mut field) = tokio::time::timeout(SILENCE, form.next_field())
        .await
        .map_err(|_| ApiError::malformed("The upload was silent for too long."))?
        .map_err(|error| broken_form(&error))?
    {
        match field.name() {
            Some("file") if file.is_some() => {
                return Err(ApiError::invalid_field("file", "is there twice"));
            }
            Some("file") => {
                described.mime = field.content_type().map(essence);
                described.filename = field
                    .file_name()
                    .map(str::to_owned)
                    .or(described.filename.take());
                let incoming = file.insert(state.app.files.upload(scope.id()).await?);
                pour(incoming, Source::Field(&mut field)).await?;
            }
            Some("kind") => {
                let mut word = Vec::new();
                while let Some(piece) = field.chunk().await.map_err(|error| broken_form(&error))? {
                    word.extend_from_slice(&piece);
                    if word.len() > FIELD_BYTES {
                        return Err(ApiError::invalid_field("kind", "is too long"));
                    }
                }
                described.kind = Some(kind(&String::from_utf8_lossy(&word))?);
            }
            _ => {}
        }
    }
    Ok(())
}

/// List files
#[utoipa::path(
    get,
    path = "/media",
    tag = "media",
    params(PageQuery, MediaQuery),
    responses((status = 200, description = "Files, the latest first.", body = MediaList))
)]
async fn list_media(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
    ApiQuery(query): ApiQuery<MediaQuery>,
) -> ApiResult<Json<MediaList>> {
    let before = page.after::<Uuid>(LIST)?.map(MediaId::from_uuid);
    let (tenant, rows) = (scope.id(), page.rows());
    let mut found = state
        .store
        .read(move |tx| media::list(tx, tenant, query.status.clone(), before, rows))
        .await?;
    let next_cursor = page.finish(LIST, &mut found, |row| row.id.uuid());
    let media = found
        .iter()
        .map(|row| MediaView::open(&state, tenant, row))
        .collect::<Result<_, _>>()?;
    Ok(Json(MediaList {
        ok: Success,
        media,
        next_cursor,
    }))
}

/// Read a file's data
#[utoipa::path(
    get,
    path = "/media/{id}",
    tag = "media",
    params(("id" = String, Path, description = "The id of the file")),
    responses((status = 200, description = "The file.", body = MediaAnswer))
)]
async fn get_media(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MediaId>,
) -> ApiResult<Json<MediaAnswer>> {
    one(&state, &scope, id).await
}

async fn one(state: &ApiState, scope: &TenantScope, id: MediaId) -> ApiResult<Json<MediaAnswer>> {
    let tenant = scope.id();
    let row = state
        .store
        .read(move |tx| media::get(tx, tenant, id))
        .await?;
    let media = MediaView::open(state, tenant, &row.ok_or_else(unknown)?)?;
    Ok(Json(MediaAnswer { ok: Success, media }))
}

/// Read a file
///
/// Gives the signed link under which the bytes are; it is good for 15 minutes and needs no credential.
#[utoipa::path(
    get,
    path = "/media/{id}/content",
    tag = "media",
    params(("id" = String, Path, description = "The id of the file")),
    responses(
        (status = 200, description = "The link.", body = LinkAnswer),
        (status = 409, description = "The file is not stored (yet).", body = ErrorBody),
    )
)]
async fn get_media_content(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MediaId>,
) -> ApiResult<Json<LinkAnswer>> {
    let tenant = scope.id();
    let row = state
        .store
        .read(move |tx| media::get(tx, tenant, id))
        .await?;
    if row.ok_or_else(unknown)?.status != "stored" {
        return Err(ApiError::conflict("The file is not stored."));
    }
    let public = state.settings.endpoints.public_url.as_deref();
    let path = state.app.files.link(tenant, id, LINK_LIFE);
    Ok(Json(LinkAnswer {
        ok: Success,
        url: format!("{}{path}", public.unwrap_or_default()),
        expires_at: state.now().plus(LINK_LIFE).rfc3339(),
    }))
}

/// Fetch a file again
///
/// One that was received and could not be fetched.
#[utoipa::path(
    post,
    path = "/media/{id}/retry",
    tag = "media",
    params(("id" = String, Path, description = "The id of the file")),
    responses(
        (status = 202, description = "It is fetched once more.", body = MediaAnswer),
        (status = 409, description = "It did not fail, or it was uploaded.", body = ErrorBody),
    )
)]
async fn retry_media(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MediaId>,
) -> ApiResult<(StatusCode, Json<MediaAnswer>)> {
    let (tenant, now) = (scope.id(), state.now());
    let trail = scope.trail.clone();
    let again = state.store.write(move |tx| {
        let again = media::retry(tx, tenant, id, now.plus(INBOUND_LIFE), now)?;
        if again {
            trail.record(tx, &Object::one("media", id), &Change::untold())?;
        }
        Ok(again)
    });
    let again = again.await?;
    let answer = one(&state, &scope, id).await?;
    if !again {
        return Err(ApiError::conflict(
            "The file is not one that could not be fetched.",
        ));
    }
    Ok((StatusCode::ACCEPTED, answer))
}

/// Whether a request is an upload: it may take longer than others.
pub(crate) fn is_upload(method: &http::Method, route: &str) -> bool {
    method == http::Method::POST && route.ends_with("/media")
}

/// Reads `Range` of one part; `None` when there is none that can be used, an error when it lies outside.
fn range(headers: &HeaderMap, size: u64) -> Result<Option<std::ops::Range<u64>>, ()> {
    let Some(text) = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("bytes="))
    else {
        return Ok(None);
    };
    let Some((from, to)) = text.split_once('-').filter(|_| !text.contains(',')) else {
        return Ok(None);
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => from..to.saturating_add(1).min(size),
        (Some(from), None) if to.trim().is_empty() => from..size,
        (None, Some(last)) if from.trim().is_empty() => size.saturating_sub(last)..size,
        _ => return Ok(None),
    };
    if range.is_empty() {
        Err(())
    } else {
        Ok(Some(range))
    }
}

/// The token of a link.
type Token = Path<String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_one_part_are_read() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, text.parse().unwrap());
            range(&headers, 10)
        };
        assert_eq!(range(&HeaderMap::new(), 10), Ok(None));
        assert_eq!(read("bytes=0-3"), Ok(Some(0..4)));
        assert_eq!(read("bytes=8-"), Ok(Some(8..10)));
        assert_eq!(read("bytes=-3"), Ok(Some(7..10)));
        assert_eq!(read("bytes=-30"), Ok(Some(0..10)));
        assert_eq!(read("bytes=2-300"), Ok(Some(2..10)));
        assert_eq!(read("bytes=10-"), Err(()));
        assert_eq!(read("bytes=-0"), Err(()));
        for ignored in [
            "bytes=3-2",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=a-b",
            "bytes=--1",
            "bytes=",
        ] {
            assert_eq!(read(ignored), Ok(None), "{ignored}");
        }
    }
}
