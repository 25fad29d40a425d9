//! Dead letters of a tenant, and webhook requests that were kept aside.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_app::dead_letters::Retried;
use waxwing_core::errors::ErrorClass;
use waxwing_core::ids::{DeadLetterId, WebhookEventId};
use waxwing_core::time::Timestamp;
use waxwing_store::domain::dead_letters::{self, DeadLetterRow};
use waxwing_store::domain::inbox::{self, QuarantinedEvent};

use crate::answer::{Done, Success};
use crate::auth::{PlatformAdmin, TenantScope};
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiQuery, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "dead-letters";
const EVENT_LIST: &str = "webhook-events";

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_dead_letters))
        .routes(routes!(retry_dead_letter))
}

/// The routes of this module, relative to `/api`, for the platform admin.
pub fn platform_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_quarantined_events))
        .routes(routes!(retry_quarantined_event))
}

/// Something that failed for good.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    id: String,
    /// `message` or `webhook_item`.
    kind: String,
    message_id: Option<String>,
    webhook_event_id: Option<String>,
    /// The place of the item in its webhook request.
    item_index: Option<i64>,
    /// What the error means.
    class: String,
    /// The provider's code.
    code: Option<String>,
    /// Why it failed.
    reason: String,
    /// What to do.
    hint: &'static str,
    created_at: String,
    resolved_at: Option<String>,
    resolution: Option<String>,
}

impl From<DeadLetterRow> for DeadLetterView {
    fn from(row: DeadLetterRow) -> Self {
        let hint = if row.kind == "webhook_item" {
            "The item could not be read. Retry it after an update; the raw request is kept."
        } else {
            ErrorClass::parse(&row.error_class).map_or("", ErrorClass::hint)
        };
        Self {
            id: row.id.to_string(),
            kind: row.kind,
            message_id: row.message_id.map(|id| id.to_string()),
            webhook_event_id: row.webhook_event_id.map(|id| id.to_string()),
            item_index: row.item_index,
            class: row.error_class,
            code: row.error_code,
            reason: row.error_message,
            hint,
            created_at: row.created_at.rfc3339(),
            resolved_at: row.resolved_at.map(Timestamp::rfc3339),
            resolution: row.resolution,
        }
    }
}

/// Dead letters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterList {
    #[schema(value_type = bool)]
    ok: Success,
    dead_letters: Vec<DeadLetterView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// What a list of dead letters is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterQuery {
    /// `true` to see those that were dealt with, too.
    #[serde(default)]
    resolved: bool,
}

/// List dead letters
#[utoipa::path(
    get,
    path = "/dead-letters",
    tag = "dead letters",
    params(PageQuery, DeadLetterQuery),
    responses((status = 200, description = "Dead letters, the latest first.", body = DeadLetterList))
)]
async fn list_dead_letters(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
    ApiQuery(query): ApiQuery<DeadLetterQuery>,
) -> ApiResult<Json<DeadLetterList>> {
    let before = page.after::<Uuid>(LIST)?.map(DeadLetterId::from_uuid);
    let (tenant, rows) = (scope.id(), page.rows());
    let read = state
        .store
        .read(move |tx| dead_letters::list(tx, tenant, query.resolved, before, rows));
    let mut found = read.await?;
    let next_cursor = page.finish(LIST, &mut found, |row| row.id.uuid());
    let dead_letters = found.into_iter().map(Into::into).collect();
    Ok(Json(DeadLetterList {
        ok: Success,
        dead_letters,
        next_cursor,
    }))
}

/// Retry a dead letter
///
/// A message goes back into the queue; the webhook request of an item is handled once more.
#[utoipa::path(
    post,
    path = "/dead-letters/{id}/retry",
    tag = "dead letters",
    params(("id" = String, Path, description = "The id of the dead letter")),
    responses(
        (status = 200, description = "It is tried again.", body = Done),
        (status = 409, description = "There is nothing left to retry.", body = ErrorBody),
    )
)]
async fn retry_dead_letter(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<DeadLetterId>,
) -> ApiResult<Json<Done>> {
    match state
        .app
        .dead_letters
        .retry(scope.id(), id, scope.trail)
        .await?
    {
        None => Err(ApiError::not_found("dead letter")),
        Some(Retried::Nothing) => Err(ApiError::conflict("There is nothing left to retry.")
            .hint("The message was settled in the meantime, or the raw request has been deleted.")),
        Some(Retried::Message(_) | Retried::WebhookItem) => Ok(Json(Done::default())),
    }
}

/// A webhook request that was kept aside.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedEventView {
    id: String,
    provider: String,
    /// Why.
    reason: Option<String>,
    received_at: String,
    /// How often a process ended while it handled the request.
    crashes: i64,
}

impl From<QuarantinedEvent> for QuarantinedEventView {
    fn from(row: QuarantinedEvent) -> Self {
        Self {
            id: row.id.to_string(),
            provider: row.provider,
            reason: row.reason,
            received_at: row.received_at.rfc3339(),
            crashes: row.crashes,
        }
    }
}

/// Webhook requests that were kept aside.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedEventList {
    #[schema(value_type = bool)]
    ok: Success,
    webhook_events: Vec<QuarantinedEventView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// List webhook requests that were kept aside
///
/// Requests that cannot be read, or name a number that nobody has. They belong to no tenant.
#[utoipa::path(
    get,
    path = "/webhook-events",
    tag = "dead letters",
    params(PageQuery),
    responses((status = 200, description = "Requests, the latest first.", body = QuarantinedEventList))
)]
async fn list_quarantined_events(
    State(state): State<ApiState>,
    _: PlatformAdmin,
    page: Page,
) -> ApiResult<Json<QuarantinedEventList>> {
    let before = page
        .after::<Uuid>(EVENT_LIST)?
        .map(WebhookEventId::from_uuid);
    let rows = page.rows();
    let mut found = state
        .store
        .read(move |tx| inbox::quarantined(tx, before, rows))
        .await?;
    let next_cursor = page.finish(EVENT_LIST, &mut found, |row| row.id.uuid());
    let webhook_events = found.into_iter().map(Into::into).collect();
    Ok(Json(QuarantinedEventList {
        ok: Success,
        webhook_events,
        next_cursor,
    }))
}

/// Handle a webhook request once more
///
/// For example after its number got a channel. What took effect before does not again.
#[utoipa::path(
    post,
    path = "/webhook-events/{id}/retry",
    tag = "dead letters",
    params(("id" = String, Path, description = "The id of the request")),
    responses((status = 200, description = "It is handled again.", body = Done))
)]
async fn retry_quarantined_event(
    State(state): State<ApiState>,
    admin: PlatformAdmin,
    IdParam(id): IdParam<WebhookEventId>,
) -> ApiResult<Json<Done>> {
    if state
        .app
        .dead_letters
        .requeue_event(id, admin.trail)
        .await?
    {
        return Ok(Json(Done::default()));
    }
    Err(ApiError::not_found("webhook event"))
}
