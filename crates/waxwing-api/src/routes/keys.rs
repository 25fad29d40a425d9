//! The keys under which everything is sealed: how they stand, and their replacement. For the platform admin.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_app::keys;
use waxwing_core::audit::{Change, Object};

use crate::answer::Success;
use crate::auth::{PlatformAdmin, record};
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::state::ApiState;

/// The routes of this module, relative to `/api`.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(show_keys))
        .routes(routes!(rotate_keys))
}

/// How the keys stand.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeysAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    /// Tenants whose data keys are being replaced; the platform's own count as one.
    rotating: u64,
    /// Secrets that are still wrapped under an earlier master key.
    under_earlier_master_key: u64,
}

/// Show how the keys stand
#[utoipa::path(
    get, path = "/keys", tag = "keys",
    responses((status = 200, description = "Nothing is under way when both numbers are 0.", body = KeysAnswer))
)]
async fn show_keys(State(state): State<ApiState>, _: PlatformAdmin) -> ApiResult<Json<KeysAnswer>> {
    let standing = keys::standing(&state.base()).await?;
    Ok(Json(KeysAnswer {
        ok: Success,
        rotating: standing.owners,
        under_earlier_master_key: standing.foreign,
    }))
}

/// Replace the keys
///
/// Secrets are wrapped under the present master key at once. Every tenant gets a new data key; what is sealed is written
/// anew in the background, while everything runs, and the old keys are destroyed when nothing needs them.
#[utoipa::path(
    post, path = "/keys/rotate", tag = "keys",
    responses(
        (status = 202, description = "It has begun, or goes on.", body = KeysAnswer),
        (status = 409, description = "Some secrets are wrapped under a master key that this server does not have.", body = ErrorBody),
    )
)]
async fn rotate_keys(
    State(state): State<ApiState>,
    admin: PlatformAdmin,
) -> ApiResult<(StatusCode, Json<KeysAnswer>)> {
    record(&state, &admin.trail, Object::all("keys"), Change::untold()).await?;
    let begun = keys::begin(&state.base()).await?;
    if begun.lost > 0 {
        return Err(ApiError::conflict(
            "Some secrets are wrapped under a master key that this server does not have.",
        )
        .hint("Set MASTER_KEY_PREVIOUS to the master key before this one and start again."));
    }
    tracing::info!(
        rewrapped = begun.rewrapped,
        owners = begun.standing.owners,
        "keys are being replaced"
    );
    Ok((
        StatusCode::ACCEPTED,
        Json(KeysAnswer {
            ok: Success,
            rotating: begun.standing.owners,
            under_earlier_master_key: begun.standing.foreign,
        }),
    ))
}
