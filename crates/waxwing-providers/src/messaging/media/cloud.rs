//! Files at Meta, and at 360dialog, which passes Meta's API on (protocols/meta.md 14, protocols/360dialog.md 3).

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::Url;
use serde_json::value::RawValue;
use waxwing_core::channel::{ChannelKind, credential};
use waxwing_core::content::Media;
use waxwing_core::errors::{ErrorClass, ProviderError, SendOutcome};

use super::{FetchStep, MediaApi, ReadGuard, Upload, UploadCall, wrong_place};
use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, Endpoints};
use crate::messaging::cloud::outcome;
use crate::messaging::cloud::wire::{self, fields};

/// Hosts on which Meta keeps files.
const META_HOSTS: [&str; 3] = ["fbsbx.com", "fbcdn.net", "whatsapp.net"];
/// The code under which an id leads nowhere: the file is gone, or the token may not see it.
const NO_SUCH_OBJECT: &str = "100";
const KEY: HeaderName = HeaderName::from_static("d360-api-key");

pub(super) static META: CloudFiles = CloudFiles(ChannelKind::Meta);
pub(super) static DIALOG360: CloudFiles = CloudFiles(ChannelKind::Dialog360);

/// The Cloud API's files at one of its speakers.
#[derive(Debug)]
pub(super) struct CloudFiles(ChannelKind);

fields! {
    /// Where a file is.
    Located { "url" => url }
}

fields! {
    /// The answer to an upload.
    Uploaded { "id" => id }
}

impl CloudFiles {
    const fn is_meta(&self) -> bool {
        matches!(self.0, ChannelKind::Meta)
    }

    fn base<'a>(&self, endpoints: &'a Endpoints) -> &'a str {
        if self.is_meta() {
            &endpoints.graph_url
        } else {
            &endpoints.dialog360_url
        }
        .trim_end_matches('/')
    }

    fn headers(&self, account: &Account) -> Result<HeaderMap, BuildError> {
        let (name, credential, words, prefix) = if self.is_meta() {
            (
                AUTHORIZATION,
                credential::ACCESS_TOKEN,
                "access token",
                "Bearer ",
            )
        } else {
            (KEY, credential::API_KEY, "API key", "")
        };
        let secret = account
            .credentials
            .get(credential)
            .filter(|secret| !secret.is_empty())
            .ok_or(BuildError::Credential(words))?;
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose()))
            .map_err(|_| BuildError::Credential(words))?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(name, value)]))
    }

    fn get(&self, account: &Account, url: String) -> Result<HttpRequest, BuildError> {
        Ok(HttpRequest {
            method: Method::GET,
            url,
            headers: self.headers(account)?,
            body: Bytes::new(),
        })
    }

    /// The address from which the bytes come with our credentials, or why nothing is called.
    fn place(&self, endpoints: &Endpoints, url: &str) -> Result<String, ProviderError> {
        let mut url =
            Url::parse(url).map_err(|_| wrong_place("the provider named no place of the file"))?;
        let base = Url::parse(self.base(endpoints))
            .map_err(|_| wrong_place("the channel's address is not usable"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong_place("the provider named a place with credentials"));
        }
        if url.origin() == base.origin() {
            return Ok(url.into());
        }
        let at_meta = url.scheme() == "https"
            && url.port().is_none()
            && url
                .host_str()
                .is_some_and(|host| META_HOSTS.iter().any(|zone| is_under(host, zone)));
        if !at_meta {
            return Err(wrong_place(
                "the provider named a place that is not its own",
            ));
        }
        if self.is_meta() {
            return Ok(url.into());
        }
        // Meta's host does not know 360dialog's key: the same path stands at 360dialog's.
        let moved = url.set_scheme(base.scheme()).is_ok()
            && url.set_host(base.host_str()).is_ok()
            && url.set_port(base.port()).is_ok();
        if moved {
            Ok(url.into())
        } else {
            Err(wrong_place("the channel's address is not usable"))
        }
    }
}

impl MediaApi for CloudFiles {
    fn kind(&self) -> ChannelKind {
        self.0
    }

    /// The bytes are asked for by the id alone: an address in a webhook is five minutes old at best.
    fn fetch(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        media: &Media,
    ) -> Result<FetchStep, BuildError> {
        let id = media
            .id
            .as_deref()
            .filter(|id| is_id(id))
            .ok_or(BuildError::NoMedia)?;
        let base = self.base(endpoints);
        let url = if self.is_meta() {
            let number = &account.sender_id;
            if !is_id(number) {
                return Err(BuildError::Channel("phone number id"));
            }
            let version = &endpoints.graph_version;
            format!("{base}/{version}/{id}?phone_number_id={number}")
        } else {
            format!("{base}/{id}")
        };
        self.get(account, url).map(FetchStep::Ask)
    }

    fn located(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        answer: &HttpOutcome,
    ) -> Result<FetchStep, ProviderError> {
        if let HttpOutcome::Response {
            status: 200, body, ..
        } = answer
            && let Ok(raw) = serde_json::from_slice::<&RawValue>(body)
            && let Some(located) = wire::object::<Located<'_>>(raw)
            && let Some(url) = wire::text(located.url)
        {
            let url = self.place(endpoints, &url)?;
            let request = self
                .get(account, url)
                .map_err(|error| ProviderError::own(ErrorClass::Credentials, error.to_string()))?;
            return Ok(FetchStep::Download(request));
        }
        Err(match outcome::interpret(answer) {
            SendOutcome::Rejected(error) | SendOutcome::ChannelBroken(error)
                if error.code.as_deref() == Some(NO_SUCH_OBJECT) =>
            {
                ProviderError {
                    class: ErrorClass::Media,
                    ..error
                }
            }
            SendOutcome::Rejected(error) | SendOutcome::ChannelBroken(error) => error,
            SendOutcome::Throttled { error, .. }
            | SendOutcome::Retry { error, .. }
            | SendOutcome::Unknown(error) => ProviderError {
                class: ErrorClass::Retry,
                ..error
            },
            SendOutcome::Accepted(_) => ProviderError::own(
                ErrorClass::Retry,
                "the provider's answer about the file could not be read",
            ),
        })
    }

    /// Neither redirects where credentials are needed.
    fn redirected(
        &self,
        _endpoints: &Endpoints,
        _from: &str,
        _location: &str,
    ) -> Result<FetchStep, ProviderError> {
        Err(wrong_place("the provider sent us to another place"))
    }

    fn upload(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        file: Upload<'_>,
    ) -> Result<Option<UploadCall>, BuildError> {
        let base = self.base(endpoints);
        let url = if self.is_meta() {
            let number = &account.sender_id;
            if !is_id(number) {
                return Err(BuildError::Channel("phone number id"));
            }
            format!("{base}/{}/{number}/media", endpoints.graph_version)
        } else {
            format!("{base}/media")
        };
        let plain = |text: &str| {
            text.bytes()
                .all(|byte| matches!(byte, b' '..=b'~') && byte != b'"')
        };
        let name: String = file
            .filename
            .chars()
            .map(|c| {
                if matches!(c, '"' | '\\') || c.is_control() {
                    '_'
                } else {
                    c
                }
            })
            .collect();
        if !plain(file.mime)
            || !file
                .boundary
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(BuildError::Content(
                "the file has no usable type".to_owned(),
            ));
        }
        let (boundary, mime) = (file.boundary, file.mime);
        let before = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\n{mime}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: {mime}\r\n\r\n"
        );
        let mut headers = self.headers(account)?;
        let form = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"))
            .map_err(|_| BuildError::Content("the file has no usable type".to_owned()))?;
        headers.insert(CONTENT_TYPE, form);
        Ok(Some(UploadCall {
            request: HttpRequest {
                method: Method::POST,
                url,
                headers,
                body: Bytes::new(),
            },
            before: before.into(),
            after: format!("\r\n--{boundary}--\r\n").into(),
        }))
    }

    fn uploaded(&self, answer: &HttpOutcome) -> Result<String, Box<SendOutcome>> {
        if let HttpOutcome::Response { status, body, .. } = answer
            && (200..300).contains(status)
            && let Ok(raw) = serde_json::from_slice::<&RawValue>(body)
            && let Some(uploaded) = wire::object::<Uploaded<'_>>(raw)
            && let Some(id) = wire::owned(uploaded.id)
            && is_id(&id)
        {
            return Ok(id);
        }
        Err(Box::new(match outcome::interpret(answer) {
            // Nothing was sent to anybody, so it may be tried again.
            SendOutcome::Unknown(error) => SendOutcome::Retry {
                after: None,
                attempts_max: None,
                error: ProviderError {
                    class: ErrorClass::Retry,
                    ..error
                },
            },
            SendOutcome::Accepted(_) => SendOutcome::Retry {
                after: None,
                attempts_max: None,
                error: ProviderError::own(
                    ErrorClass::Retry,
                    "the provider took the file and gave no id for it",
                ),
            },
            other => other,
        }))
    }

    /// 360dialog blocks a number for 30 minutes after 20 failed reads within 60 (protocols/360dialog.md 3). Other nodes
    /// and earlier processes count as well, so we stop far below.
    fn read_guard(&self) -> Option<ReadGuard> {
        (!self.is_meta()).then_some(ReadGuard {
            failures: 6,
            within: Duration::from_secs(60 * 60),
            rest: Duration::from_secs(31 * 60),
        })
    }
}

/// Whether a text is an id as providers make them: nothing of it changes a path.
fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_under(host: &str, zone: &str) -> bool {
    host.strip_suffix(zone)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
