//! Bodies that are too large for memory: downloads piece by piece, and uploads from a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::guard::{self, Checked, Refused};
use super::{HttpClient, HttpOutcome, HttpRequest, reason};

/// What a download may take.
#[derive(Debug, Clone, Copy)]
pub struct DownloadLimits {
    /// Bytes of the body.
    pub bytes: u64,
    /// For everything.
    pub deadline: Duration,
    /// Between two pieces.
    pub silence: Duration,
}

/// Why a download ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownloadError {
    /// The address is not one that may be called.
    #[error("the address is refused: {0}")]
    Refused(#[from] Refused),
    /// More bytes than [`DownloadLimits::bytes`].
    #[error("it is too large")]
    TooLarge,
    /// No connection, a break, or silence; worth another try.
    #[error("{0}")]
    Broke(String),
}

/// An answer whose body is still coming.
pub struct Download {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// How many bytes are to come, when the other side says so.
    pub length: Option<u64>,
    response: reqwest::Response,
    left: u64,
    until: Instant,
    silence: Duration,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("status", &self.status)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Download {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When it breaks off, is silent for too long, or is larger than allowed.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, DownloadError> {
        let patience = self
            .silence
            .min(self.until.saturating_duration_since(Instant::now()));
        let piece = tokio::time::timeout(patience, self.response.chunk())
            .await
            .map_err(|_| DownloadError::Broke("no more bytes within the time limit".to_owned()))?
            .map_err(|error| DownloadError::Broke(reason(&error)))?;
        let Some(piece) = piece else {
            return Ok(None);
        };
        self.left = self
            .left
            .checked_sub(piece.len() as u64)
            .ok_or(DownloadError::TooLarge)?;
        Ok(Some(piece))
    }
}

impl HttpClient {
    /// Makes a call whose answer is read piece by piece. An address outside is called through a client that resolves and
    /// connects only to the public internet. Redirects are not followed: the caller looks at each.
    ///
    /// # Errors
    /// See [`DownloadError`].
    pub async fn open(
        &self,
        request: HttpRequest,
        address: &Checked,
        limits: DownloadLimits,
    ) -> Result<Download, DownloadError> {
        let client = if address.trusted {
            self.half(address.url.scheme()).await
        } else {
            self.guarded().await
        };
        let client = client.map_err(DownloadError::Broke)?;
        let mut call = reqwest::Request::new(request.method, address.url.clone());
        *call.headers_mut() = request.headers;
        if !request.body.is_empty() {
            *call.body_mut() = Some(request.body.into());
        }
        let until = Instant::now() + limits.deadline;
        let first = limits
            .deadline
            .min(self.limits.connect_timeout + limits.silence);
        let mut response = tokio::time::timeout(first, client.execute(call))
            .await
            .map_err(|_| DownloadError::Broke("no answer within the time limit".to_owned()))?
            .map_err(|error| {
                if guard::leads_inside(&error) {
                    DownloadError::Refused(Refused::Inside)
                } else {
                    DownloadError::Broke(reason(&error))
                }
            })?;
        let length = response.content_length();
        if length.is_some_and(|length| length > limits.bytes) && response.status().is_success() {
            return Err(DownloadError::TooLarge);
        }
        Ok(Download {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            length,
            response,
            left: limits.bytes,
            until,
            silence: limits.silence,
        })
    }

    /// Makes a call whose body comes from a stream of known length, once. The answer is read whole, as by
    /// [`HttpClient::call`].
    pub async fn send(
        &self,
        request: HttpRequest,
        body: StreamBody,
        deadline: Duration,
    ) -> HttpOutcome {
        let url = match reqwest::Url::parse(&request.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            _ => return HttpOutcome::NotSent("the URL is not an HTTP URL".into()),
        };
        let client = match self.half(url.scheme()).await {
            Ok(client) => client,
            Err(reason) => return HttpOutcome::NotSent(reason),
        };
        let mut call = reqwest::Request::new(request.method, url);
        *call.headers_mut() = request.headers;
        *call.body_mut() = Some(reqwest::Body::wrap(body));
        match tokio::time::timeout(deadline, self.exchange(client, call)).await {
            Ok(outcome) => outcome,
            Err(_) => HttpOutcome::Lost("no whole answer within the deadline".into()),
        }
    }
}

/// The body of a request that is not in memory.
pub struct StreamBody {
    /// The lock is never taken: it only makes the stream shareable, as the client wants it.
    pieces: Mutex<BoxStream<'static, std::io::Result<Bytes>>>,
    left: u64,
}

impl StreamBody {
    /// A body of exactly `length` bytes; the call fails when the stream gives fewer or more.
    #[must_use]
    pub fn new(pieces: BoxStream<'static, std::io::Result<Bytes>>, length: u64) -> Self {
        Self {
            pieces: Mutex::new(pieces),
            left: length,
        }
    }
}

impl fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamBody({} bytes)", self.left)
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let wrong = || std::io::Error::other("the body has another length than was said");
        let pieces = self
            .pieces
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let piece = std::task::ready!(pieces.as_mut().poll_next(cx));
        Poll::Ready(match piece {
            Some(Ok(piece)) => match self.left.checked_sub(piece.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Some(Ok(Frame::data(piece)))
                }
                None => Some(Err(wrong())),
            },
            Some(Err(error)) => Some(Err(error)),
            None if self.left > 0 => Some(Err(wrong())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
