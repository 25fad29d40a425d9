//! What stands around every route: request ids, spans, security headers, panics and time limits.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::errors::ApiError;
use crate::routes::media::is_upload;
use crate::state::ApiState;

/// How long a request of the API may take.
pub const API_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an upload may take: the largest file at a little more than 100 KB a second.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(15 * 60);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX: usize = 128;
const CSP: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Puts the layers of the API around routes: request id and span, time limit, panics.
pub fn api(router: Router<ApiState>, state: &ApiState) -> Router<ApiState> {
    router
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| {
            panicked(panic.as_ref())
        }))
        .layer(middleware::from_fn(limit_time))
        .layer(middleware::from_fn_with_state(state.clone(), trace))
}

/// Puts the layers of webhooks around routes: panics only. A webhook has its own limits and is counted, not logged.
pub fn webhooks(router: Router<ApiState>) -> Router<ApiState> {
    router.layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| {
        panicked(panic.as_ref())
    }))
}

/// Puts the security headers on every answer.
pub fn outer<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(middleware::map_response(secure))
}

async fn secure(mut response: Response) -> Response {
    const FIXED: [(HeaderName, HeaderValue); 5] = [
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000; includeSubDomains"),
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.insert(name, value);
    }
    // Files are served with a stricter one of their own.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(CSP));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Gives the request an id, the caller's if it has a usable one, and a span that names it. The span holds the route,
/// never the address: paths and queries may hold what a log must not.
async fn trace(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers()).unwrap_or_else(|| {
        let id = state.ids.next().simple().to_string();
        HeaderValue::from_str(&id).expect("hexadecimal digits are a header value")
    });
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        route,
        tenant = tracing::field::Empty,
    );
    let started = state.clock.now();
    let work = async move {
        let mut response = next.run(request).await;
        let status = response.status().as_u16();
        let micros =
            u64::try_from(state.clock.now().since(started).as_micros()).unwrap_or(u64::MAX);
        if response.status().is_server_error() {
            tracing::warn!(status, micros, "answered");
        } else {
            tracing::info!(status, micros, "answered");
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    };
    work.instrument(span).await
}

/// The caller's request id, if it is one that a log line can hold.
fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let usable = (1..=REQUEST_ID_MAX).contains(&value.len()) && value.as_bytes().iter().all(plain);
    usable.then(|| value.clone())
}

async fn limit_time(request: Request, next: Next) -> Response {
    let upload = request
        .extensions()
        .get::<MatchedPath>()
        .is_some_and(|route| is_upload(request.method(), route.as_str()));
    let limit = if upload { UPLOAD_TIMEOUT } else { API_TIMEOUT };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a request took longer than it may");
            ApiError::unavailable(
                "The request took too long and was given up.",
                Duration::from_secs(5),
            )
            .hint("What it was to change may or may not be changed. Read before you try again.")
            .into_response()
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    // Formatted panic messages may quote data; only fixed ones go to the log.
    let fixed = panic
        .downcast_ref::<&str>()
        .copied()
        .unwrap_or("(text withheld)");
    tracing::error!(
        panic = fixed,
        formatted = text.is_some(),
        "a handler panicked"
    );
    ApiError::internal().into_response()
}
