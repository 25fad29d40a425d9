//! What is deleted by age: the rules, what is due, and a run by hand. For the platform admin.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_app::retention::Due;
use waxwing_core::audit::{Change, Object};

use crate::answer::Success;
use crate::auth::{PlatformAdmin, record};
use crate::errors::ApiResult;
use crate::extract::ApiQuery;
use crate::state::ApiState;

/// The routes of this module, relative to `/api`.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(show_retention))
        .routes(routes!(run_retention))
}

/// A rule.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleView {
    /// What it is about.
    table: &'static str,
    /// How long it is kept; null for what says itself until when it is good.
    kept_days: Option<u64>,
    /// Rows that are due, or that a run deleted.
    rows: u64,
}

impl From<Due> for RuleView {
    fn from(due: Due) -> Self {
        let days = due.kept.as_secs() / 86_400;
        Self {
            table: due.table,
            kept_days: (days > 0).then_some(days),
            rows: due.rows,
        }
    }
}

/// The rules.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    /// Whether something was deleted.
    deleted: bool,
    rules: Vec<RuleView>,
}

impl RetentionAnswer {
    fn new(deleted: bool, rules: Vec<Due>) -> Json<Self> {
        Json(Self {
            ok: Success,
            deleted,
            rules: rules.into_iter().map(Into::into).collect(),
        })
    }
}

/// Show what is due
///
/// Counts and deletes nothing.
#[utoipa::path(
    get, path = "/platform/retention", tag = "retention",
    responses((status = 200, description = "The rules, and how many rows are due under each.", body = RetentionAnswer))
)]
async fn show_retention(
    State(state): State<ApiState>,
    _: PlatformAdmin,
) -> ApiResult<Json<RetentionAnswer>> {
    let due = state.app.retention.due().await?;
    Ok(RetentionAnswer::new(false, due))
}

/// How to run.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct RunQuery {
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

/// Delete what is due
///
/// This happens by itself every hour. A run that takes longer than a request may goes on by itself.
#[utoipa::path(
    post, path = "/platform/retention/run", tag = "retention", params(RunQuery),
    responses((status = 200, description = "What was deleted, by rule.", body = RetentionAnswer))
)]
async fn run_retention(
    State(state): State<ApiState>,
    admin: PlatformAdmin,
    ApiQuery(query): ApiQuery<RunQuery>,
) -> ApiResult<Json<RetentionAnswer>> {
    let change = Change::made(serde_json::json!({ "dryRun": query.dry_run }));
    record(&state, &admin.trail, Object::all("retention"), change).await?;
    if query.dry_run {
        let due = state.app.retention.due().await?;
        return Ok(RetentionAnswer::new(false, due));
    }
    let (retention, stop) = (state.app.retention.clone(), state.app.stop.clone());
    // Whoever asked may go away; what was begun is finished.
    let run = tokio::spawn(async move { retention.run(&stop).await });
    let done = run
        .await
        .map_err(|_| crate::errors::ApiError::internal())??;
    Ok(RetentionAnswer::new(true, done))
}
