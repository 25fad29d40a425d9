//! The one outbound HTTP client.
//!
//! It tells apart what the sending rules need to know (reliability.md 2): [`HttpOutcome::NotSent`] when no byte of the
//! request can have reached the other side, [`HttpOutcome::Lost`] when that is not sure. It never repeats a request,
//! follows no redirect, uses no proxy, unpacks nothing and reads no more than a bounded answer.
//!
//! What was verified in the libraries below (reqwest 0.13.5, hyper-util 0.1.21, hyper 1.12):
//! - reqwest repeats requests on HTTP/2 refusals by default; that is switched off with `retry::never()`.
//! - hyper-util takes another connection when a pooled one was closed while the request still waited for it. hyper
//!   hands a request back for that only if it never began to write it (`proto/h1/dispatch.rs`, `Client::recv_msg` and
//!   `Envelope::drop`), so no byte can be sent twice; a test below counts them. When the request was begun, the error
//!   carries no request and comes back as [`HttpOutcome::Lost`].
//! - `reqwest::Error::is_connect` is true exactly for errors of the connector: resolving, connecting, the TLS
//!   handshake and the connect time limit. All of that is before the first byte of the request.

pub mod guard;
mod relay;
mod stream;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use tokio::sync::OnceCell;

pub use self::relay::{RelayBody, RelayError};
pub use self::stream::{Download, DownloadError, DownloadLimits, StreamBody};

/// A request, complete but for what HTTP itself adds. `Debug` shows neither the query nor the values of headers.
#[derive(Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// The headers. Values marked as sensitive are hidden in `Debug`.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(http::HeaderName::as_str).collect();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            // A query may hold a secret.
            .field("url", &self.url.split('?').next().unwrap_or_default())
            .field("headers", &names)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

/// How a call ended.
#[derive(Clone)]
pub enum HttpOutcome {
    /// A whole answer came, good or bad.
    Response {
        /// The HTTP status.
        status: u16,
        /// The headers.
        headers: HeaderMap,
        /// The body.
        body: Bytes,
    },
    /// Surely nothing was sent: the name did not resolve, the connection or its TLS handshake failed.
    NotSent(String),
    /// Bytes may have left and no whole answer came: a time limit, a reset, an end in the middle.
    Lost(String),
    /// The answer is larger than [`HttpLimits::answer_bytes`]. The other side has the request.
    TooLarge,
}

impl fmt::Debug for HttpOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response { status, body, .. } => {
                write!(f, "Response({status}, {} bytes)", body.len())
            }
            Self::NotSent(reason) => write!(f, "NotSent({reason})"),
            Self::Lost(reason) => write!(f, "Lost({reason})"),
            Self::TooLarge => f.write_str("TooLarge"),
        }
    }
}

/// What a client may take.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Bytes of an answer's body.
    pub answer_bytes: usize,
    /// How long resolving, connecting and the TLS handshake may take together. Shorter than the deadlines of the
    /// calls, so that a host that cannot be reached is known to have got nothing.
    pub connect_timeout: Duration,
    /// Idle connections kept for each host.
    pub idle_per_host: usize,
    /// How long a connection may be idle before it is closed.
    pub idle_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            answer_bytes: 1024 * 1024,
            connect_timeout: Duration::from_secs(8),
            idle_per_host: 512,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// The client. Clones share their connections.
///
/// It has two halves: plain HTTP, ready at once, and HTTPS, whose root certificates are read when the first such call
/// is made, so that a program that only speaks HTTP starts fast and stays small.
#[derive(Clone)]
pub struct HttpClient {
    limits: Arc<HttpLimits>,
    plain: reqwest::Client,
    secure: Arc<OnceCell<reqwest::Client>>,
    /// For addresses that others name: see [`guard`].
    guarded: Arc<OnceCell<reqwest::Client>>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client with these limits. Reads no files and opens no connections.
    ///
    /// # Panics
    /// Never: all that could fail is fixed at compile time.
    #[must_use]
    pub fn new(limits: HttpLimits) -> Self {
        let plain = build(&limits, rustls::RootCertStore::empty(), false)
            .expect("a client without certificates needs nothing that could fail");
        Self {
            limits: Arc::new(limits),
            plain,
            secure: Arc::new(OnceCell::new()),
            guarded: Arc::new(OnceCell::new()),
        }
    }

    /// Makes the call, once. `deadline` is for everything: connecting, sending and the whole answer.
    pub async fn call(&self, request: HttpRequest, deadline: Duration) -> HttpOutcome {
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
        if !request.body.is_empty() {
            *call.body_mut() = Some(request.body.into());
        }
        match tokio::time::timeout(deadline, self.exchange(client, call)).await {
            Ok(outcome) => outcome,
            // The connector has a shorter limit of its own, so the request may have been written by now.
            Err(_) => HttpOutcome::Lost("no whole answer within the deadline".into()),
        }
    }

    async fn exchange(&self, client: &reqwest::Client, call: reqwest::Request) -> HttpOutcome {
        let mut response = match client.execute(call).await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                return HttpOutcome::NotSent(reason(&error));
            }
            Err(error) => return HttpOutcome::Lost(reason(&error)),
        };
        let most = self.limits.answer_bytes;
        let announced = response.content_length().unwrap_or(0);
        if announced > most as u64 {
            return HttpOutcome::TooLarge;
        }
        let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > most => return HttpOutcome::TooLarge,
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return HttpOutcome::Lost(reason(&error)),
            }
        }
        HttpOutcome::Response {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
        }
    }

    /// The half of the client for a scheme.
    async fn half(&self, scheme: &str) -> Result<&reqwest::Client, String> {
        if scheme == "https" {
            self.with_roots(&self.secure, false).await
        } else {
            Ok(&self.plain)
        }
    }

    /// The client that reaches the public internet only.
    async fn guarded(&self) -> Result<&reqwest::Client, String> {
        self.with_roots(&self.guarded, true).await
    }

    async fn with_roots<'a>(
        &self,
        cell: &'a OnceCell<reqwest::Client>,
        guarded: bool,
    ) -> Result<&'a reqwest::Client, String> {
        cell.get_or_try_init(|| async {
            let limits = Arc::clone(&self.limits);
            // Reads some hundred certificates from files.
            tokio::task::spawn_blocking(move || {
                let mut roots = rustls::RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err("this machine has no root certificates for TLS; install ca-certificates or set SSL_CERT_FILE".to_owned());
                }
                build(&limits, roots, guarded).map_err(|error| reason(&error))
            })
            .await
            .map_err(|_| "the root certificates could not be read".to_owned())?
        })
        .await
    }
}

fn build(
    limits: &HttpLimits,
    roots: rustls::RootCertStore,
    guarded: bool,
) -> Result<reqwest::Client, reqwest::Error> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("ring supports the default versions of TLS")
    .with_root_certificates(roots)
    .with_no_client_auth();
    let mut builder = reqwest::Client::builder();
    if guarded {
        builder = builder.dns_resolver(guard::PublicResolver::of_system());
    }
    builder
        .tls_backend_preconfigured(tls)
        .http1_only()
        .user_agent(concat!("waxwing/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(limits.connect_timeout)
        .pool_max_idle_per_host(limits.idle_per_host)
        .pool_idle_timeout(limits.idle_timeout)
        .build()
}

/// What went wrong, innermost cause last, without the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut words = if error.is_connect() {
        "connection failed".to_owned()
    } else {
        "connection broke".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    let mut last = String::new();
    while let Some(inner) = cause {
        last = inner.to_string();
        cause = inner.source();
    }
    if !last.is_empty() {
        words.push_str(": ");
        words.push_str(&last);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_calls_read_no_certificates() {
        let client = HttpClient::new(HttpLimits::default());
        let request = HttpRequest {
            method: Method::GET,
            url: "http://127.0.0.1:1/".into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let outcome = client.call(request, Duration::from_secs(10)).await;
        assert!(matches!(outcome, HttpOutcome::NotSent(_)), "{outcome:?}");
        assert!(!client.secure.initialized());
    }
}
