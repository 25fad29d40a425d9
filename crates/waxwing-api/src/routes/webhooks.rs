//! Webhooks of Meta: the handshake and the events.
//!
//! Answers tell a caller nothing: a wrong signature is 401 without a body, whatever is wrong with it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_app::ingest::IngestError;
use waxwing_app::metrics;
use waxwing_core::limits;
use waxwing_providers::messaging::meta::{self, Handshake};

use crate::extract::read_body;
use crate::state::ApiState;

/// How long a provider may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
const SIGNATURE: &str = "x-hub-signature-256";

/// The routes of this module, with whole paths.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(verify_webhook, receive_webhook))
        .route(
            "/api/whatsapp/webhook",
            axum::routing::get(verify_webhook).post(receive_webhook),
        )
        .route(
            "/api/webhooks/whatsapp-business",
            axum::routing::get(verify_webhook).post(receive_webhook),
        )
}

/// Webhook handshake of Meta
///
/// Also at `/api/whatsapp/webhook` and `/api/webhooks/whatsapp-business`.
#[utoipa::path(
    get,
    path = "/whatsapp/webhook",
    tag = "webhooks",
    security(()),
    params(
        ("hub.mode" = Option<String>, Query, description = "`subscribe`"),
        ("hub.challenge" = Option<String>, Query, description = "What to answer with"),
        ("hub.verify_token" = Option<String>, Query, description = "The token that was agreed on"),
    ),
    responses(
        (status = 200, description = "The challenge.", body = String, content_type = "text/plain"),
        (status = 400, description = "The token is right, the challenge is missing."),
        (status = 403, description = "The token is wrong."),
    )
)]
async fn verify_webhook(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Response {
    let Some(token) = &state.app.verify_token else {
        return StatusCode::FORBIDDEN.into_response();
    };
    match meta::handshake(&query.unwrap_or_default(), token) {
        Handshake::Challenge(challenge) => (
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            )],
            challenge,
        )
            .into_response(),
        Handshake::Forbidden => StatusCode::FORBIDDEN.into_response(),
        Handshake::BadRequest => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// Webhook of Meta
///
/// Verified over the raw body, stored durably, then acknowledged. Also at `/api/whatsapp/webhook` and
/// `/api/webhooks/whatsapp-business`.
#[utoipa::path(
    post,
    path = "/whatsapp/webhook",
    tag = "webhooks",
    security(()),
    params(("x-hub-signature-256" = String, Header, description = "`sha256=` and the HMAC-SHA256 of the body in hexadecimal digits")),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(
        (status = 200, description = "Stored. A body that cannot be read is stored, too, and kept aside."),
        (status = 401, description = "The signature is wrong."),
        (status = 408, description = "The body came too slowly."),
        (status = 413, description = "The body is larger than 4 MiB."),
        (status = 503, description = "It could not be stored; send it again."),
    )
)]
async fn receive_webhook(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = read_body(&headers, body, limits::WEBHOOK_BODY_BYTES);
    let body = match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Err(_) => return counted("slow", StatusCode::REQUEST_TIMEOUT),
        Ok(Err(error)) => return counted("unreadable", error.status()),
        Ok(Ok(body)) => body,
    };
    let signatures: Option<Vec<&str>> = headers
        .get_all(SIGNATURE)
        .iter()
        .map(|value| value.to_str().ok())
        .collect();
    match state
        .app
        .ingest
        .meta(&body, &signatures.unwrap_or_default())
        .await
    {
        Ok(()) => counted("accepted", StatusCode::OK),
        Err(IngestError::Signature) => {
            ::metrics::counter!(metrics::INVALID_SIGNATURES, "provider" => "meta").increment(1);
            counted("bad_signature", StatusCode::UNAUTHORIZED)
        }
        Err(IngestError::Unavailable(error)) => {
            tracing::warn!(%error, "a webhook could not be stored; the provider sends it again");
            let mut response = counted("unavailable", StatusCode::SERVICE_UNAVAILABLE);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            response
        }
    }
}

fn counted(result: &'static str, status: StatusCode) -> Response {
    ::metrics::counter!(metrics::WEBHOOK_REQUESTS, "provider" => "meta", "result" => result)
        .increment(1);
    status.into_response()
}
