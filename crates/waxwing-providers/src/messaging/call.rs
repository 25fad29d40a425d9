//! What the requests of several providers have in common.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use waxwing_core::channel::Credentials;

use crate::http::HttpRequest;
use crate::messaging::adapter::BuildError;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A provider's base URL without the slash at its end; `what` names it in the error.
pub(crate) fn base_url<'a>(url: &'a str, what: &'static str) -> Result<&'a str, BuildError> {
    let base = url.trim_end_matches('/');
    if base.starts_with("https://") || base.starts_with("http://") {
        Ok(base)
    } else {
        Err(BuildError::Channel(what))
    }
}

/// Whether an id is one that can stand in a path: letters, digits and a few signs, not only dots.
pub(crate) fn is_path_part(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        && !text.bytes().all(|byte| byte == b'.')
}

/// The value of a header that holds a credential; `what` names the credential in the error.
pub(crate) fn credential_value(
    credentials: &Credentials,
    name: &str,
    what: &'static str,
) -> Result<HeaderValue, BuildError> {
    let secret = credentials
        .get(name)
        .filter(|secret| !secret.is_empty())
        .ok_or(BuildError::Credential(what))?;
    let mut value =
        HeaderValue::from_str(secret.expose()).map_err(|_| BuildError::Credential(what))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A GET, or with a body a POST of JSON, that one header authenticates.
pub(crate) fn request(
    url: String,
    (name, value): (HeaderName, HeaderValue),
    body: Option<Vec<u8>>,
) -> HttpRequest {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(name, value);
    headers.insert(ACCEPT, JSON);
    if body.is_some() {
        headers.insert(CONTENT_TYPE, JSON);
    }
    HttpRequest {
        method: if body.is_some() {
            Method::POST
        } else {
            Method::GET
        },
        url,
        headers,
        body: Bytes::from(body.unwrap_or_default()),
    }
}
