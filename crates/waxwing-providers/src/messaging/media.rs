//! Files at a messaging provider: how a received one is fetched, how one of ours gets there. Pure, like
//! [`Messaging`](super::Messaging): steps as plain data, the application makes the calls and streams the bytes.

mod cloud;
mod link;

use std::time::Duration;

use bytes::Bytes;
use waxwing_core::channel::ChannelKind;
use waxwing_core::content::Media;
use waxwing_core::errors::{ErrorClass, ProviderError, SendOutcome};

use super::adapter::{Account, BuildError, Endpoints};
use crate::http::{HttpOutcome, HttpRequest};

/// What is called next to get a file.
#[derive(Debug, Clone)]
pub enum FetchStep {
    /// A small call to the provider's API, whose answer [`MediaApi::located`] reads.
    Ask(HttpRequest),
    /// The bytes, or a redirect for [`MediaApi::redirected`]. Credentials are in it only for hosts of the provider.
    Download(HttpRequest),
}

/// How many failed reads of files a provider stands before it blocks the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadGuard {
    /// Failed reads after which we stop by ourselves.
    pub failures: usize,
    /// Within this time.
    pub within: Duration,
    /// For this long.
    pub rest: Duration,
}

/// A file that goes to a provider.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    /// Its type.
    pub mime: &'a str,
    /// A name with an ending that fits the type: the provider looks at it (protocols/meta.md 14).
    pub filename: &'a str,
    /// A text that does not occur in the file: letters and digits.
    pub boundary: &'a str,
}

/// The call that uploads a file: the bytes of the file stand between two pieces of the body.
#[derive(Debug, Clone)]
pub struct UploadCall {
    /// The request without its body.
    pub request: HttpRequest,
    /// What stands before the file.
    pub before: Bytes,
    /// What stands behind it.
    pub after: Bytes,
}

/// Files at a messaging provider.
pub trait MediaApi: std::fmt::Debug + Send + Sync {
    /// Which one.
    fn kind(&self) -> ChannelKind;

    /// The first step to the file of a message that came in.
    ///
    /// # Errors
    /// A [`BuildError`] when the message names no file that can be fetched, or the channel is not usable.
    fn fetch(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        media: &Media,
    ) -> Result<FetchStep, BuildError>;

    /// What follows from the answer to [`FetchStep::Ask`].
    ///
    /// # Errors
    /// Why there is no file; [`is_passing`] tells whether to ask again.
    fn located(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _answer: &HttpOutcome,
    ) -> Result<FetchStep, ProviderError> {
        Err(ProviderError::own(
            ErrorClass::Permanent,
            "this provider is not asked where a file is",
        ))
    }

    /// What follows when the file is elsewhere: `Location` of the answer to a call of `from`.
    ///
    /// # Errors
    /// When that is not a place of files.
    fn redirected(
        &self,
        endpoints: &Endpoints,
        from: &str,
        location: &str,
    ) -> Result<FetchStep, ProviderError>;

    /// Builds the call that gives the provider a file; `None` when it fetches files by link instead.
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable.
    fn upload(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _file: Upload<'_>,
    ) -> Result<Option<UploadCall>, BuildError> {
        Ok(None)
    }

    /// The provider's id of an uploaded file.
    ///
    /// # Errors
    /// How an attempt to send ends without the file. Uploading sends nothing, so it is never [`SendOutcome::Unknown`].
    fn uploaded(&self, _answer: &HttpOutcome) -> Result<String, Box<SendOutcome>> {
        Err(Box::new(SendOutcome::Rejected(ProviderError::own(
            ErrorClass::Permanent,
            "this provider takes no files",
        ))))
    }

    /// When to stop reading for a while.
    fn read_guard(&self) -> Option<ReadGuard> {
        None
    }
}

/// The files of a kind of channel.
#[must_use]
pub fn media_api(kind: ChannelKind) -> &'static dyn MediaApi {
    match kind {
        ChannelKind::Meta => &cloud::META,
        ChannelKind::Dialog360 => &cloud::DIALOG360,
        ChannelKind::Twilio => &link::TwilioFiles,
        ChannelKind::Msg91 => &link::Msg91Files,
    }
}

/// The provider's own origin as the operator set it: files may come from there although it is inside (the emulator, a
/// proxy). Other channels' origins are not excepted.
#[must_use]
pub fn own_origin(kind: ChannelKind, endpoints: &Endpoints) -> Option<&str> {
    match kind {
        ChannelKind::Meta => Some(&endpoints.graph_url),
        ChannelKind::Twilio => endpoints.twilio_url.as_deref(),
        ChannelKind::Dialog360 => Some(&endpoints.dialog360_url),
        ChannelKind::Msg91 => Some(&endpoints.msg91_url),
    }
}

/// Whether asking again may help.
#[must_use]
pub const fn is_passing(class: ErrorClass) -> bool {
    matches!(
        class,
        ErrorClass::Retry
            | ErrorClass::Later
            | ErrorClass::Throttled
            | ErrorClass::Unknown
            | ErrorClass::Credentials
            | ErrorClass::ChannelBroken
    )
}

/// What the HTTP status of a download means; `None` for one that brings the file. `with_credentials` says whether the
/// request carried any: a link that admits by itself is refused when its time is over.
#[must_use]
pub fn download_error(status: u16, with_credentials: bool) -> Option<ProviderError> {
    let (class, message) = match status {
        200 => return None,
        401 | 403 if !with_credentials => (
            ErrorClass::Media,
            "the link to the file no longer works; the provider may have deleted the file",
        ),
        401 | 403 => (
            ErrorClass::Credentials,
            "the provider does not let this channel read the file",
        ),
        404 | 410 => (ErrorClass::Media, "the provider no longer has the file"),
        408 | 425 | 500.. => (ErrorClass::Retry, "the provider could not give the file"),
        429 => (
            ErrorClass::Throttled,
            "the provider asks to read files more slowly",
        ),
        _ => (
            ErrorClass::Permanent,
            "the provider refuses to give the file",
        ),
    };
    Some(ProviderError {
        code: Some(status.to_string()),
        ..ProviderError::own(class, message)
    })
}

fn wrong_place(words: &str) -> ProviderError {
    ProviderError::own(ErrorClass::Media, words)
}
