//! Fetching the files of messages that came in (protocols/twilio.md 6). Pure: the application calls, and keeps requests
//! to strangers' hosts away from inner networks.

use bytes::Bytes;
use http::{HeaderMap, Method};
use reqwest::Url;

use super::request::Caller;
use crate::http::HttpRequest;
use crate::messaging::adapter::{Account, BuildError, Endpoints};

/// A request for a file.
#[derive(Debug, Clone)]
pub struct MediaFetch {
    /// The request.
    pub request: HttpRequest,
    /// Whether the host is Twilio's. Any other may be one of an inner network that a forger named: its address has to be
    /// checked before the call.
    pub trusted: bool,
}

/// The host that [`Endpoints::twilio_url`] replaces.
const API_HOST: &str = "api.twilio.com";

/// Builds the request for the file at `link`, the link of a media message that came in.
///
/// The account's credentials go with it only to hosts under `twilio.com` over https, and to
/// [`Endpoints::twilio_url`], which also stands for `api.twilio.com` when it is set. The answer is a redirect; it is for
/// [`media_redirect`].
///
/// # Errors
/// A [`BuildError`] when the link is none of http(s), names a user, or the channel is not usable.
pub fn media_request(
    account: &Account,
    endpoints: &Endpoints,
    link: &str,
) -> Result<MediaFetch, BuildError> {
    let mut url = readable(link)?;
    let ours = own(endpoints);
    if let Some(ours) = &ours
        && url.scheme() == "https"
        && url.host_str() == Some(API_HOST)
    {
        let mut moved = ours.clone();
        moved.set_path(&format!(
            "{}{}",
            ours.path().trim_end_matches('/'),
            url.path()
        ));
        moved.set_query(url.query());
        url = moved;
    }
    let at_twilio = url.scheme() == "https" && is_under(&url, "twilio.com");
    let trusted = at_twilio || ours.is_some_and(|ours| ours.origin() == url.origin());
    let headers = if trusted {
        Caller::new(account, endpoints)?.headers()?
    } else {
        HeaderMap::new()
    };
    Ok(fetch(url, headers, trusted))
}

/// Builds the request that follows a redirect from `from` to `location`, which is what `Location` said. It never has
/// credentials: the place where the files are is not the place that knows the account.
///
/// # Errors
/// A [`BuildError`] when the place is none of http(s), names a user, or leaves https.
pub fn media_redirect(
    endpoints: &Endpoints,
    from: &str,
    location: &str,
) -> Result<MediaFetch, BuildError> {
    let from = readable(from)?;
    let url = from.join(location).map_err(|_| WRONG)?;
    let url = readable(url.as_str())?;
    if from.scheme() == "https" && url.scheme() != "https" {
        return Err(WRONG);
    }
    let at_twilio = url.scheme() == "https"
        && (is_under(&url, "twiliocdn.com") || is_under(&url, "twilio.com"));
    let trusted = at_twilio || own(endpoints).is_some_and(|ours| ours.origin() == url.origin());
    Ok(fetch(url, HeaderMap::new(), trusted))
}

const WRONG: BuildError = BuildError::Channel("media link");

fn readable(link: &str) -> Result<Url, BuildError> {
    let url = Url::parse(link).map_err(|_| WRONG)?;
    let plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    if matches!(url.scheme(), "https" | "http") && plain {
        Ok(url)
    } else {
        Err(WRONG)
    }
}

fn own(endpoints: &Endpoints) -> Option<Url> {
    Url::parse(endpoints.twilio_url.as_deref()?).ok()
}

fn is_under(url: &Url, domain: &str) -> bool {
    url.host_str().is_some_and(|host| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn fetch(url: Url, headers: HeaderMap, trusted: bool) -> MediaFetch {
    MediaFetch {
        request: HttpRequest {
            method: Method::GET,
            url: url.into(),
            headers,
            body: Bytes::new(),
        },
        trusted,
    }
}
