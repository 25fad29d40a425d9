//! HTTP answers, plain and broken.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::faults::Fault;
use crate::hub::Hub;
use crate::ids::trace;
use crate::meta::errors::GraphError;

/// The body of an answer.
pub(crate) enum Body {
    /// All at once.
    Full(Bytes),
    /// Byte by byte.
    Drip {
        rest: Bytes,
        every: Duration,
        sleep: Pin<Box<Sleep>>,
    },
    /// A beginning and then blanks.
    Padded { head: Bytes, left: u64 },
    /// A beginning and then a broken connection.
    Cut { head: Bytes, spent: bool },
}

const BLANKS: [u8; 16 * 1024] = [b' '; 16 * 1024];

/// Ends a connection in the middle of a body.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was broken on purpose")
    }
}

impl std::error::Error for BrokenOff {}

impl From<Infallible> for BrokenOff {
    fn from(value: Infallible) -> Self {
        match value {}
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut *self {
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Drip { rest, every, sleep } => {
                if rest.is_empty() {
                    return Poll::Ready(None);
                }
                std::task::ready!(sleep.as_mut().poll(cx));
                *sleep = Box::pin(tokio::time::sleep(*every));
                Poll::Ready(Some(Ok(Frame::data(rest.split_to(1)))))
            }
            Self::Padded { head, left } => {
                if !head.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(head)))));
                }
                if *left == 0 {
                    return Poll::Ready(None);
                }
                let n = (*left).min(BLANKS.len() as u64);
                *left -= n;
                let n = usize::try_from(n).unwrap_or(BLANKS.len());
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&BLANKS[..n])))))
            }
            Self::Cut { head, spent } => {
                if *spent {
                    return Poll::Ready(Some(Err(BrokenOff)));
                }
                *spent = true;
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(head)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Drip { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Self::Padded { head, left } => SizeHint::with_exact(head.len() as u64 + left),
            Self::Cut { .. } => SizeHint::default(),
        }
    }
}

/// A connection that ends without a complete answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Abort {
    /// Closed in good order.
    Close,
    /// Reset.
    Reset,
    /// Left open in silence.
    Silence,
}

/// An answer, and whether the connection is reset when its body breaks off.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    pub(crate) reset: bool,
}

impl Answer {
    pub(crate) fn plain(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(Body::Full(body.into()));
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if !content_type.is_empty() {
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Self {
            response,
            reset: false,
        }
    }

    /// A JSON answer of the Graph API with Meta's headers.
    pub(crate) fn json(hub: &Hub, version: &str, status: u16, body: Vec<u8>) -> Self {
        let mut answer = Self::plain(status, "application/json; charset=UTF-8", body);
        let headers = answer.response.headers_mut();
        let version = HeaderValue::from_str(version).unwrap_or(HeaderValue::from_static("v25.0"));
        headers.insert(HeaderName::from_static("facebook-api-version"), version);
        let id =
            |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap_or(HeaderValue::from_static("A"));
        headers.insert(
            HeaderName::from_static("x-fb-trace-id"),
            id(&trace::<11>(&hub.rng)),
        );
        headers.insert(
            HeaderName::from_static("x-fb-request-id"),
            id(&trace::<23>(&hub.rng)),
        );
        headers.insert(
            HeaderName::from_static("x-fb-rev"),
            HeaderValue::from_static("1019544279"),
        );
        answer
    }

    /// Any serialisable value as a Graph answer.
    pub(crate) fn value(hub: &Hub, version: &str, value: &serde_json::Value) -> Self {
        Self::json(
            hub,
            version,
            200,
            serde_json::to_vec(value).unwrap_or_default(),
        )
    }

    pub(crate) fn success(hub: &Hub, version: &str) -> Self {
        Self::json(hub, version, 200, br#"{"success":true}"#.to_vec())
    }

    /// An error object.
    pub(crate) fn error(hub: &Hub, version: &str, error: &GraphError) -> Self {
        let mut answer = Self::json(hub, version, error.status, error.body(&hub.rng));
        for (name, value) in error.headers.into_iter().flatten() {
            if let (Ok(name), Ok(value)) = (
                HeaderName::try_from(name.as_str()),
                HeaderValue::try_from(value.as_str()),
            ) {
                answer.response.headers_mut().insert(name, value);
            }
        }
        answer
    }

    fn with_body(mut self, body: Body) -> Self {
        *self.response.body_mut() = body;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.response.headers_mut().insert(name, value);
        }
        self
    }
}

const GATEWAY: &str = "<html><body><h1>502 Bad Gateway</h1></body></html>";

/// The answer of a fault that refuses the message; `None` when the fault accepts it. `error` makes the provider's answer
/// for a code, with another HTTP status than the usual one if there is one.
pub(crate) fn refusal(
    fault: &Fault,
    error: impl FnOnce(i64, Option<u16>) -> Answer,
) -> Option<Result<Answer, Abort>> {
    Some(match fault {
        Fault::Error {
            code,
            status,
            retry_after,
        } => {
            let answer = error(*code, *status);
            Ok(match retry_after {
                Some(seconds) => answer.header(RETRY_AFTER, &seconds.to_string()),
                None => answer,
            })
        }
        Fault::ErrorWith200 { code } => Ok(error(*code, Some(200))),
        Fault::Html502 { accepted: false } => Ok(Answer::plain(502, "text/html", GATEWAY)),
        Fault::Empty {
            status,
            accepted: false,
        } => Ok(Answer::plain(*status, "", "")),
        Fault::Redirect { location, status } => {
            Ok(Answer::plain(*status, "", "").header(LOCATION, location))
        }
        Fault::ResetBefore => Err(Abort::Reset),
        _ => return None,
    })
}

/// The answer of an accepted message, as disturbed by a fault. `plain` wraps a body as the provider does.
pub(crate) fn accepted(
    body: Vec<u8>,
    fault: Option<&Fault>,
    plain: impl Fn(Vec<u8>) -> Answer,
) -> Result<Answer, Abort> {
    let Some(fault) = fault else {
        return Ok(plain(body));
    };
    Ok(match fault {
        Fault::LoseAnswer => return Err(Abort::Close),
        Fault::NeverAnswer => return Err(Abort::Silence),
        Fault::ResetAfter => return Err(Abort::Reset),
        Fault::Html502 { .. } => Answer::plain(502, "text/html", GATEWAY),
        Fault::Empty { status, .. } => Answer::plain(*status, "", ""),
        Fault::TruncatedJson => {
            let half = body.len() / 2;
            plain(body[..half].to_vec())
        }
        Fault::WrongJson => plain(br#"[{"ok":1},"messages"]"#.to_vec()),
        Fault::ResetInside => {
            let length = body.len();
            let mut answer = plain(Vec::new());
            answer
                .response
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(length));
            answer.reset = true;
            answer.with_body(Body::Cut {
                head: Bytes::from(body).slice(..length / 2),
                spent: false,
            })
        }
        Fault::Drip { ms } => {
            let every = Duration::from_millis(*ms);
            let sleep = Box::pin(tokio::time::sleep(every));
            plain(Vec::new()).with_body(Body::Drip {
                rest: body.into(),
                every,
                sleep,
            })
        }
        Fault::Huge { bytes } => {
            let left = bytes.saturating_sub(body.len() as u64);
            plain(Vec::new()).with_body(Body::Padded {
                head: body.into(),
                left,
            })
        }
        Fault::GzipBomb => {
            plain(include_bytes!("../data/bomb.gz").to_vec()).header(CONTENT_ENCODING, "gzip")
        }
        _ => plain(body),
    })
}
