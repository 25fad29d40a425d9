//! Signed links: the bytes of a file for whoever has the link, with headers that let it do nothing.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_core::media::{extension, is_shown_inline};
use waxwing_store::domain::media::{MediaRow, open_name};

use super::{Path, Token, range};
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::state::ApiState;

/// A page made of a file may show it, and nothing else: no script, no form, no other origin.
const CSP: &str = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

/// The routes of this module, with whole paths.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(serve_media))
}

/// The bytes of a file
///
/// Behind a signed link. Pictures, sound and films may be shown in a page, everything else is an attachment. Takes one
/// `Range`.
#[utoipa::path(
    get,
    path = "/media/{token}",
    tag = "media",
    security(()),
    params(("token" = String, Path, description = "The signed part of the link")),
    responses(
        (status = 200, description = "The file.", body = String, content_type = "*/*"),
        (status = 206, description = "The part that was asked for.", body = String, content_type = "*/*"),
        (status = 404, description = "The link is wrong or its time is over.", body = ErrorBody),
        (status = 416, description = "The file has no such part.", body = ErrorBody),
        (status = 503, description = "Too many files are being read, or their store is away.", body = ErrorBody),
    )
)]
async fn serve_media(
    State(state): State<ApiState>,
    Path(token): Token,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (tenant, row) = state
        .app
        .files
        .behind(&token)
        .await?
        .ok_or_else(|| ApiError::not_found("file"))?;
    let size = row
        .size
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(0);
    let Ok(part) = range(&headers, size) else {
        let refused = ApiError::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            format!("The file has {size} bytes."),
        );
        let mut response = refused.into_response();
        put(
            response.headers_mut(),
            header::CONTENT_RANGE,
            &format!("bytes */{size}"),
        );
        return Ok(response);
    };
    let name = open_name(
        &state.keyring,
        tenant,
        row.id,
        row.filename_sealed.as_deref(),
    )?;
    let (reader, reading) = state.app.files.read(tenant, &row).await?;
    let served = part.clone().unwrap_or(0..size);
    let length = served.end - served.start;
    // The place among the readers is given back with the last byte.
    let bytes = reader.stream(served.clone()).map(move |piece| {
        let _ = &reading;
        piece
    });
    let mut response = Response::new(Body::from_stream(bytes));
    if part.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{size}", served.start, served.end - 1);
        put(response.headers_mut(), header::CONTENT_RANGE, &text);
    }
    let (kind, disposition) = shown(&row, name.as_deref());
    let headers = response.headers_mut();
    put(headers, header::CONTENT_TYPE, &kind);
    put(headers, header::CONTENT_DISPOSITION, &disposition);
    put(headers, header::CONTENT_LENGTH, &length.to_string());
    put(headers, header::ACCEPT_RANGES, "bytes");
    put(headers, header::CONTENT_SECURITY_POLICY, CSP);
    put(headers, header::CACHE_CONTROL, "private, no-store");
    headers.insert(
        header::HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    Ok(response)
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The type and the disposition that a file is served with.
fn shown(row: &MediaRow, name: Option<&str>) -> (String, String) {
    let mime = row.mime.as_deref().unwrap_or("application/octet-stream");
    let family = mime.split('/').next().unwrap_or_default();
    let fits = match row.kind.as_str() {
        "sticker" => family == "image",
        kind => family == kind,
    };
    let inline = fits && !row.mismatch && is_shown_inline(mime);
    let runs =
        family == "text" && mime != "text/plain" && mime != "text/csv" && mime != "text/vcard"
            || mime.ends_with("xml")
            || mime.contains("javascript")
            || mime == "application/wasm";
    let kind = if runs || mime.parse::<HeaderValue>().is_err() {
        "application/octet-stream"
    } else {
        mime
    };
    let usual = format!("file.{}", extension(mime));
    let word = if inline { "inline" } else { "attachment" };
    (kind.to_owned(), disposition(word, name.unwrap_or(&usual)))
}

/// RFC 6266: a plain name for old clients, and the real one.
fn disposition(word: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') => c,
            _ => '_',
        })
        .collect();
    let mut exact = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            exact.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(exact, "%{byte:02X}");
        }
    }
    format!("{word}; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_header() {
        assert_eq!(
            disposition("attachment", "a b.pdf"),
            "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf"
        );
        let hostile = disposition("inline", "ä\"\r\nx: y;.jpg");
        assert_eq!(
            hostile,
            "inline; filename=\"____x_ y_.jpg\"; filename*=UTF-8''%C3%A4%22%0D%0Ax%3A%20y%3B.jpg"
        );
    }
}
