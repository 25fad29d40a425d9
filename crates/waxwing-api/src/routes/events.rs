//! Domain events of a tenant, to be read with a cursor.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_core::ids::OutboxEventId;
use waxwing_store::domain::outbox::{self, EventRow};

use crate::answer::Success;
use crate::auth::TenantScope;
use crate::errors::ApiResult;
use crate::extract::ApiQuery;
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "events";
/// Events this young are not shown yet: one with a lower id may still become visible, and a reader with a cursor
/// would never see it.
const SETTLING: Duration = Duration::from_millis(500);

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list_events))
}

/// A domain event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    id: String,
    /// What happened, such as `message.received`.
    #[serde(rename = "type")]
    event_type: String,
    /// To what.
    #[schema(value_type = Object)]
    data: serde_json::Value,
    created_at: String,
}

impl From<EventRow> for EventView {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.id.to_string(),
            event_type: row.event_type,
            data: row.data.0,
            created_at: row.created_at.rfc3339(),
        }
    }
}

/// Domain events.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    #[schema(value_type = bool)]
    ok: Success,
    events: Vec<EventView>,
    /// The `cursor` of the next page; null when these are all for now.
    next_cursor: Option<String>,
}

/// What a list of events is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// One type, such as `message.failed`.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    event_type: Option<String>,
}

/// List events
///
/// The oldest first. Keep the last id or cursor and ask again for what came after. Events are kept for 7 days.
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(PageQuery, EventQuery),
    responses((status = 200, description = "Events, the oldest first.", body = EventList))
)]
async fn list_events(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
    ApiQuery(query): ApiQuery<EventQuery>,
) -> ApiResult<Json<EventList>> {
    let after = page.after::<Uuid>(LIST)?.map(OutboxEventId::from_uuid);
    let (tenant, rows, until) = (scope.id(), page.rows(), state.now().minus(SETTLING));
    let read = state
        .store
        .read(move |tx| outbox::list(tx, tenant, after, query.event_type.as_deref(), until, rows));
    let mut found = read.await?;
    let next_cursor = page.finish(LIST, &mut found, |row| row.id.uuid());
    let events = found.into_iter().map(Into::into).collect();
    Ok(Json(EventList {
        ok: Success,
        events,
        next_cursor,
    }))
}
