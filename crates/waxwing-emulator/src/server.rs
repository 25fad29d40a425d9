//! The listener: connections, bodies, dispatch, and connections that end badly on purpose.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answer::{Abort, Answer, Body, BrokenOff};
use crate::dialog360::serve::KEY;
use crate::hub::Hub;
use crate::meta::errors::GraphError;
use crate::meta::graph;

/// Most connections at once; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 8192;
/// Largest body of a JSON call.
const MAX_JSON: usize = 1 << 20;
/// Largest file from the phone page, with the base64 around it: 16 MB.
const MAX_PHONE_MEDIA: usize = 22 << 20;
/// Largest upload: Meta's 100 MB for documents and the form around it.
const MAX_UPLOAD: usize = 101 << 20;
/// How long a connection is kept open in silence.
const SILENCE: Duration = Duration::from_secs(600);

/// A stream that can be told to end with a reset.
struct Stream {
    tcp: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Fails only for a socket that is dead already.
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

/// Accepts connections for ever; dropping the future ends all of them.
pub(crate) async fn run(hub: Arc<Hub>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((tcp, _)) => {
                // A latency tweak; the connection works without it.
                let _ = tcp.set_nodelay(true);
                connections.spawn(connection(Arc::clone(&hub), tcp));
            }
            // Out of file descriptors, mostly: let others finish.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn connection(hub: Arc<Hub>, tcp: TcpStream) {
    let reset = Arc::new(AtomicBool::new(false));
    let stream = Stream {
        tcp,
        reset: Arc::clone(&reset),
    };
    let service = service_fn(move |request| {
        let hub = Arc::clone(&hub);
        let reset = Arc::clone(&reset);
        async move { answer(&hub, &reset, request).await }
    });
    // A connection that breaks is the sender's business, often on purpose.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        // Longer than any client keeps idle connections, so that no call meets a closing one by chance.
        .header_read_timeout(Duration::from_secs(600))
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    hub: &Arc<Hub>,
    reset: &AtomicBool,
    request: Request<Incoming>,
) -> Result<Response<Body>, BrokenOff> {
    match dispatch(hub, request).await {
        Ok(answer) => {
            if answer.reset {
                reset.store(true, Ordering::Relaxed);
            }
            Ok(answer.response)
        }
        Err(Abort::Close) => Err(BrokenOff),
        Err(Abort::Reset) => {
            reset.store(true, Ordering::Relaxed);
            Err(BrokenOff)
        }
        Err(Abort::Silence) => {
            tokio::time::sleep(SILENCE).await;
            Err(BrokenOff)
        }
    }
}

/// A Graph call, taken apart.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) version: &'a str,
    /// First segment behind the version.
    pub(crate) id: &'a str,
    /// Second segment, empty if absent.
    pub(crate) edge: &'a str,
    pub(crate) query: &'a str,
    pub(crate) content_type: &'a str,
    /// Where an upload goes on.
    pub(crate) file_offset: &'a str,
    pub(crate) body: Bytes,
}

impl Call<'_> {
    /// A decoded query parameter.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        param(self.query, name)
    }
}

/// Reads one parameter of a query string.
pub(crate) fn param(query: &str, name: &str) -> Option<String> {
    let url = reqwest::Url::parse("http://localhost/")
        .ok()
        .map(|mut url| {
            url.set_query(Some(query));
            url
        })?;
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn text<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers
        .get(name)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("")
}

async fn dispatch(hub: &Arc<Hub>, request: Request<Incoming>) -> Result<Answer, Abort> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or("");
    if path == "/" || path == "/phone" || path.starts_with("/phone/") {
        let limit = if path == "/phone/api/media" {
            MAX_PHONE_MEDIA
        } else {
            MAX_JSON
        };
        let body = match read(body, limit).await {
            Ok(body) => body,
            Err(answer) => return Ok(answer),
        };
        let trusted = crate::phone_api::trusted(
            &head.method,
            text(&head, "sec-fetch-site"),
            text(&head, "content-type"),
        );
        return Ok(crate::phone_api::serve(hub, &head.method, path, query, trusted, &body).await);
    }
    let for_dialog360 = crate::dialog360::serve::claims(head.headers.contains_key(KEY), path);
    if for_dialog360 || crate::msg91::serve::claims(path) {
        return resold(hub, &head, body, for_dialog360).await;
    }
    if crate::twilio::serve::claims(path) {
        let body = match read(body, MAX_JSON).await {
            Ok(body) => body,
            Err(answer) => return Ok(answer),
        };
        let request = crate::twilio::serve::Request {
            method: &head.method,
            path,
            query,
            authorization: text(&head, "authorization"),
            body: &body,
        };
        return crate::twilio::serve::serve(hub, &request).await;
    }
    graph_call(hub, &head, body).await
}

/// Everything else is Meta's.
async fn graph_call(hub: &Arc<Hub>, head: &Parts, body: Incoming) -> Result<Answer, Abort> {
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or("");
    let mut segments = path.split('/').skip(1).filter(|s| !s.is_empty());
    let first = segments.next().unwrap_or("");
    let versioned = first.starts_with('v') && first[1..].starts_with(|c: char| c.is_ascii_digit());
    let (version, id) = if versioned {
        (first, segments.next().unwrap_or(""))
    } else {
        ("v25.0", first)
    };
    let edge = segments.next().unwrap_or("");
    if head.method == Method::GET && (id, edge) == ("oauth", "access_token") {
        return Ok(hub.exchange_code(version, query));
    }
    let content_type = text(head, "content-type");
    let limit = if edge == "media" || id.starts_with("upload:") {
        MAX_UPLOAD
    } else {
        MAX_JSON
    };
    let body = match read(body, limit).await {
        Ok(body) => body,
        Err(answer) => return Ok(answer),
    };
    let token = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| {
            v.strip_prefix("Bearer ")
                .or_else(|| v.strip_prefix("OAuth "))
                .map(str::trim)
        });
    let from_query = if token.is_none() {
        param(query, "access_token")
    } else {
        None
    };
    let token = token.or(from_query.as_deref());
    let call = Call {
        method: &head.method,
        version,
        id,
        edge,
        query,
        content_type,
        file_offset: text(head, "file_offset"),
        body,
    };
    let Some(token) = token.filter(|t| !t.is_empty()) else {
        return Ok(Answer::error(hub, version, &GraphError::of(104)));
    };
    // The hot path: the number's own token, no search over all numbers.
    if edge == "messages"
        && head.method == Method::POST
        && let Some(number) = hub.number(id)
        && let Some(line) = number.meta()
        && line.config.access_token == token
    {
        return crate::meta::send::messages(hub, &number, line, version, &call.body, false).await;
    }
    graph::serve(hub, &call, token).await
}

/// A call to 360dialog or MSG91.
async fn resold(
    hub: &Arc<Hub>,
    head: &Parts,
    body: Incoming,
    for_dialog360: bool,
) -> Result<Answer, Abort> {
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or("");
    let header = |name| text(head, name);
    let upload = for_dialog360 && path == "/media";
    let body = match read(body, if upload { MAX_UPLOAD } else { MAX_JSON }).await {
        Ok(body) => body,
        Err(answer) => return Ok(answer),
    };
    if for_dialog360 {
        let call = crate::dialog360::serve::Request {
            method: &head.method,
            path,
            query,
            key: header(KEY),
            content_type: header("content-type"),
            body,
        };
        return crate::dialog360::serve::serve(hub, &call).await;
    }
    let call = crate::msg91::serve::Request {
        method: &head.method,
        path,
        query,
        key: header("authkey"),
        body,
    };
    crate::msg91::serve::serve(hub, &call).await
}

async fn read(body: Incoming, limit: usize) -> Result<Bytes, Answer> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Answer::plain(413, "text/plain", "")),
        Err(_) => Err(Answer::plain(400, "text/plain", "")),
    }
}
