//! Webhooks of the providers: handshakes and events.
//!
//! Answers tell a caller nothing: a request that is not authentic is 401 without a body, whatever is wrong with it.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_app::ingest::IngestError;
use waxwing_app::metrics;
use waxwing_core::channel::{ChannelKind, credential};
use waxwing_core::ids::ChannelId;
use waxwing_core::limits;
use waxwing_core::secret::Secret;
use waxwing_core::time::Timestamp;
use waxwing_providers::messaging::Arrival;
use waxwing_providers::messaging::meta::{self, Handshake};
use waxwing_store::domain::channels;

use super::channels::form::{ProviderKind, Webhooks};
use crate::answer::Success;
use crate::auth::TenantScope;
use crate::errors::ApiResult;
use crate::extract::read_body;
use crate::state::ApiState;

/// How long a provider may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// What Twilio likes to get (protocols/twilio.md 3).
const EMPTY_TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";
/// Channels of one answer of the webhook health.
const HEALTH_MAX: u32 = 200;

/// The routes of this module, with whole paths.
pub fn routes() -> OpenApiRouter<ApiState> {
    let meta = || get(verify_webhook).post(receive_webhook);
    let twilio = || get(receive_twilio).post(receive_twilio);
    OpenApiRouter::new()
        .routes(routes!(verify_webhook, receive_webhook))
        .route("/api/whatsapp/webhook", meta())
        .route("/api/webhooks/whatsapp-business", meta())
        .routes(routes!(receive_twilio))
        .route("/api/webhooks/whatsapp/inbound", twilio())
        .route("/api/webhooks/whatsapp/status", twilio())
        .routes(routes!(verify_dialog360, receive_dialog360))
        .routes(routes!(receive_msg91))
}

/// The routes that tell people how webhooks do, with whole paths.
pub fn health_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(webhook_health))
        .route("/api/webhooks/whatsapp/health", get(webhook_health))
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
    answer_handshake(&query.unwrap_or_default(), token)
}

fn answer_handshake(query: &str, token: &Secret) -> Response {
    match meta::handshake(query, token) {
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
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    take(&state, ChannelKind::Meta, None, &uri, &headers, body).await
}

/// Webhook of Twilio
///
/// Messages and statuses. Also at `/api/webhooks/whatsapp/inbound` and `/api/webhooks/whatsapp/status`, and with GET.
#[utoipa::path(
    post,
    path = "/webhook/twilio",
    tag = "webhooks",
    security(()),
    params(("x-twilio-signature" = String, Header, description = "Twilio's signature of the address and the parameters")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Stored.", body = String, content_type = "text/xml"),
        (status = 401, description = "The signature is wrong."),
        (status = 408, description = "The body came too slowly."),
        (status = 413, description = "The body is larger than 4 MiB."),
        (status = 503, description = "It could not be stored; send it again."),
    )
)]
async fn receive_twilio(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let response = take(&state, ChannelKind::Twilio, None, &uri, &headers, body).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let xml = HeaderValue::from_static("text/xml; charset=utf-8");
    ([(header::CONTENT_TYPE, xml)], EMPTY_TWIML).into_response()
}

/// Webhook handshake of 360dialog
///
/// Not part of its documented protocol, but answered as Meta's is, with the channel's `webhookSecret` as the token.
#[utoipa::path(
    get,
    path = "/webhook/dialog360/{channel}",
    tag = "webhooks",
    security(()),
    params(("channel" = String, Path, description = "The channel's id.")),
    responses(
        (status = 200, description = "The challenge.", body = String, content_type = "text/plain"),
        (status = 400, description = "The token is right, the challenge is missing."),
        (status = 403, description = "The token is wrong."),
    )
)]
async fn verify_dialog360(
    State(state): State<ApiState>,
    Path(channel): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let directory = state.app.directory.current();
    let secret = channel
        .parse::<ChannelId>()
        .ok()
        .and_then(|id| directory.channel(id))
        .filter(|channel| channel.kind == ChannelKind::Dialog360)
        .and_then(|channel| channel.account.credentials.get(credential::WEBHOOK_SECRET));
    match secret {
        Some(secret) => answer_handshake(&query.unwrap_or_default(), secret),
        None => StatusCode::FORBIDDEN.into_response(),
    }
}

/// Webhook of 360dialog
#[utoipa::path(
    post,
    path = "/webhook/dialog360/{channel}",
    tag = "webhooks",
    security(()),
    params(
        ("channel" = String, Path, description = "The channel's id."),
        ("authorization" = Option<String>, Header, description = "`Bearer` and the channel's `webhookSecret`; the query parameter `secret` does as well"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(
        (status = 200, description = "Stored."),
        (status = 401, description = "The secret is wrong or the channel unknown."),
        (status = 408, description = "The body came too slowly."),
        (status = 413, description = "The body is larger than 4 MiB."),
        (status = 503, description = "It could not be stored; send it again."),
    )
)]
async fn receive_dialog360(
    State(state): State<ApiState>,
    Path(channel): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    take_named(
        &state,
        ChannelKind::Dialog360,
        &channel,
        &uri,
        &headers,
        body,
    )
    .await
}

/// Webhook of MSG91
#[utoipa::path(
    post,
    path = "/webhook/msg91/{channel}",
    tag = "webhooks",
    security(()),
    params(
        ("channel" = String, Path, description = "The channel's id."),
        ("x-webhook-secret" = Option<String>, Header, description = "The channel's `webhookSecret`; the query parameter `secret` does as well"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(
        (status = 200, description = "Stored. What is not understood is stored, too, and kept aside."),
        (status = 401, description = "The secret is wrong or the channel unknown."),
        (status = 408, description = "The body came too slowly."),
        (status = 413, description = "The body is larger than 4 MiB."),
        (status = 503, description = "It could not be stored; send it again."),
    )
)]
async fn receive_msg91(
    State(state): State<ApiState>,
    Path(channel): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    take_named(&state, ChannelKind::Msg91, &channel, &uri, &headers, body).await
}

async fn take_named(
    state: &ApiState,
    kind: ChannelKind,
    channel: &str,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    match channel.parse::<ChannelId>() {
        Ok(channel) => take(state, kind, Some(channel), uri, headers, body).await,
        Err(_) => not_authentic(kind),
    }
}

async fn take(
    state: &ApiState,
    kind: ChannelKind,
    named: Option<ChannelId>,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let read = read_body(headers, body, limits::WEBHOOK_BODY_BYTES);
    let body = match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Err(_) => return counted(kind, "slow", StatusCode::REQUEST_TIMEOUT),
        Ok(Err(error)) => return counted(kind, "unreadable", error.status()),
        Ok(Ok(body)) => body,
    };
    let arrival = Arrival {
        target: uri.path_and_query().map_or("/", |target| target.as_str()),
        headers,
        body: &body,
    };
    match state.app.ingest.take(kind, named, arrival).await {
        Ok(()) => counted(kind, "accepted", StatusCode::OK),
        Err(IngestError::NotAuthentic) => not_authentic(kind),
        Err(IngestError::Unavailable(error)) => {
            tracing::warn!(%error, "a webhook could not be stored; the provider sends it again");
            let mut response = counted(kind, "unavailable", StatusCode::SERVICE_UNAVAILABLE);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            response
        }
    }
}

fn not_authentic(kind: ChannelKind) -> Response {
    ::metrics::counter!(metrics::INVALID_SIGNATURES, "provider" => kind.as_str()).increment(1);
    counted(kind, "bad_signature", StatusCode::UNAUTHORIZED)
}

fn counted(kind: ChannelKind, result: &'static str, status: StatusCode) -> Response {
    ::metrics::counter!(metrics::WEBHOOK_REQUESTS, "provider" => kind.as_str(), "result" => result)
        .increment(1);
    status.into_response()
}

/// How the webhooks of a channel do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChannelWebhooks {
    /// The channel.
    #[schema(value_type = String)]
    channel: ChannelId,
    /// Its provider.
    kind: ProviderKind,
    /// Its name.
    name: String,
    /// `active`, `broken` or `disabled`.
    status: &'static str,
    /// What the provider has to be told.
    webhooks: Webhooks,
    /// When a webhook came last, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_webhook_at: Option<Timestamp>,
}

/// How webhooks do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct WebhookHealth {
    #[schema(value_type = bool)]
    ok: Success,
    channels: Vec<ChannelWebhooks>,
}

/// Webhooks of the caller's channels
///
/// For each channel what its provider has to be told, and when a webhook came last. At most 200 channels. Also at
/// `/api/webhooks/whatsapp/health`.
#[utoipa::path(
    get,
    path = "/api/webhooks/health",
    tag = "webhooks",
    responses((status = 200, description = "The channels of the caller's own tenant.", body = WebhookHealth))
)]
async fn webhook_health(
    State(state): State<ApiState>,
    scope: TenantScope,
) -> ApiResult<Json<WebhookHealth>> {
    let (tenant, keyring) = (scope.id(), state.keyring.clone());
    let records = state
        .store
        .read(move |tx| channels::list(tx, &keyring, tenant, None, HEALTH_MAX))
        .await?;
    let public_url = state.settings.endpoints.public_url.as_deref();
    let channels = records
        .into_iter()
        .map(|record| ChannelWebhooks {
            channel: record.channel_id,
            kind: record.kind.into(),
            webhooks: Webhooks::of(record.kind, record.channel_id, public_url),
            name: record.name,
            status: record.status.as_str(),
            last_webhook_at: record.last_webhook_at,
        })
        .collect();
    Ok(Json(WebhookHealth {
        ok: Success,
        channels,
    }))
}
