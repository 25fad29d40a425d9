//! Sample files of template headers at Meta: the resumable upload (protocols/meta.md 14). A session is opened with the
//! size and type of the file, then the bytes go into the session, and the answer is the handle.

use http::{HeaderName, HeaderValue, Method};

use super::request::Caller;
use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, Endpoints};
use crate::messaging::cloud::templates as cloud;
use crate::messaging::template_api::{Sample, TemplateError, read, request, unreadable, word};

/// Meta's word for the app that the access token belongs to, in the place of its id.
const OWN_APP: &str = "app";
const OFFSET: HeaderName = HeaderName::from_static("file_offset");
/// Bytes of the name of a session: it is long and holds a signature.
const SESSION_MAX: usize = 2_048;

/// Opens a session.
pub(super) fn open(
    account: &Account,
    endpoints: &Endpoints,
    sample: Sample<'_>,
) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("file_name", sample.filename)
        .append_pair("file_length", &sample.bytes.to_string())
        .append_pair("file_type", sample.mime)
        .finish();
    let url = caller.object_url(OWN_APP, "app", &format!("/uploads?{query}"))?;
    Ok(request(Method::POST, url, caller.headers()?, None))
}

/// The name of the session.
pub(super) fn opened(answer: &HttpOutcome) -> Result<String, TemplateError> {
    let (status, value) = read(answer)?;
    let value = cloud::checked(status, value)?;
    word(&value["id"])
        .filter(|id| is_session(id))
        .ok_or_else(|| unreadable(status))
}

/// The call that carries the bytes. The token goes by another scheme here.
pub(super) fn fill(
    account: &Account,
    endpoints: &Endpoints,
    session: &str,
) -> Result<HttpRequest, BuildError> {
    if !is_session(session) {
        return Err(BuildError::Content("the name of the upload".to_owned()));
    }
    let caller = Caller::new(account, endpoints)?;
    let url = caller.object_url("x", "upload", "")?;
    let base = url.strip_suffix('x').unwrap_or(&url);
    let mut headers = caller.headers_by("OAuth")?;
    headers.insert(OFFSET, HeaderValue::from_static("0"));
    Ok(request(
        Method::POST,
        format!("{base}{session}"),
        headers,
        None,
    ))
}

/// The handle of the file.
pub(super) fn filled(answer: &HttpOutcome) -> Result<String, TemplateError> {
    let (status, value) = read(answer)?;
    let value = cloud::checked(status, value)?;
    word(&value["h"]).ok_or_else(|| unreadable(status))
}

/// Such as `upload:MTphd…?sig=ARZ…`. It becomes the end of an address, so nothing that would lead elsewhere.
fn is_session(id: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'_' | b'-' | b'=' | b':' | b'?' | b'&' | b'%' | b'.' | b'~' | b'+'
            )
    };
    id.starts_with("upload:")
        && id.len() <= SESSION_MAX
        && id.bytes().all(plain)
        && !id.contains("..")
}
