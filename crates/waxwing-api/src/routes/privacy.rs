//! The rights of people: blocking, export and erasure of a contact.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_app::privacy as use_cases;
use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::ContactId;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::contacts;
use waxwing_store::domain::erasure::{self, Reason};

use super::privacy_export;
use crate::answer::{Done, Success};
use crate::auth::TenantScope;
use crate::errors::{ApiError, ApiResult};
use crate::extract::IdParam;
use crate::state::ApiState;

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(block_contact))
        .routes(routes!(unblock_contact))
        .routes(routes!(erase_contact, get_erasure))
        .routes(routes!(export_contact))
}

fn unknown() -> ApiError {
    ApiError::not_found("contact")
}

async fn set_blocked(
    state: &ApiState,
    scope: TenantScope,
    id: ContactId,
    blocked: bool,
) -> ApiResult<Json<Done>> {
    let (tenant, now) = (scope.id(), state.now());
    let write = state.store.write(move |tx| {
        let found = contacts::set_blocked(tx, tenant, id, blocked, now)?;
        if found {
            let object = Object::one("contact", id);
            scope.trail.record(tx, &object, &Change::untold())?;
        }
        Ok(found)
    });
    if write.await? {
        Ok(Json(Done::default()))
    } else {
        Err(unknown())
    }
}

/// Block a contact
///
/// A soft deletion: the contact is not listed, what they write is stored and not answered, nothing is sent to them.
/// `…/unblock` takes it back; `…/erase` deletes for good.
#[utoipa::path(
    delete, path = "/contacts/{id}", tag = "contacts",
    params(("id" = String, Path, description = "The contact's id.")),
    responses((status = 200, description = "The contact is blocked.", body = Done))
)]
async fn block_contact(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ContactId>,
) -> ApiResult<Json<Done>> {
    set_blocked(&state, scope, id, true).await
}

/// Unblock a contact
#[utoipa::path(
    post, path = "/contacts/{id}/unblock", tag = "contacts",
    params(("id" = String, Path, description = "The contact's id.")),
    responses((status = 200, description = "The contact is as before.", body = Done))
)]
async fn unblock_contact(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ContactId>,
) -> ApiResult<Json<Done>> {
    set_blocked(&state, scope, id, false).await
}

/// An erasure.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasureAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    /// When it began: from then on nothing names the contact.
    #[schema(value_type = String, format = DateTime)]
    begun_at: Timestamp,
    /// When the last message and raw webhook was done; null while it goes on.
    #[schema(value_type = Option<String>, format = DateTime)]
    done_at: Option<Timestamp>,
}

async fn standing(
    state: &ApiState,
    scope: &TenantScope,
    id: ContactId,
) -> ApiResult<Json<ErasureAnswer>> {
    let tenant = scope.id();
    let read = state
        .store
        .read(move |tx| erasure::of_contact(tx, tenant, id));
    let erasure = read.await?.ok_or_else(|| ApiError::not_found("erasure"))?;
    Ok(Json(ErasureAnswer {
        ok: Success,
        begun_at: erasure.begun_at,
        done_at: erasure.done_at,
    }))
}

/// Erase a contact
///
/// At once nothing names the contact, and what was queued is cancelled; within a minute the texts and files of their
/// messages and the raw webhooks that name them are gone. Times, statuses and costs of messages stay, and that the
/// contact wanted no marketing, as a keyed hash. It cannot be taken back.
#[utoipa::path(
    post, path = "/contacts/{id}/erase", tag = "contacts",
    params(("id" = String, Path, description = "The contact's id.")),
    responses((status = 202, description = "It has begun; a second time shows how far it is.", body = ErasureAnswer))
)]
async fn erase_contact(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ContactId>,
) -> ApiResult<(StatusCode, Json<ErasureAnswer>)> {
    let trail = Some(scope.trail.clone());
    let base = state.base();
    let begun = use_cases::erase(&base, scope.id(), id, Reason::Request, trail);
    begun.await?.ok_or_else(unknown)?;
    Ok((StatusCode::ACCEPTED, standing(&state, &scope, id).await?))
}

/// How far an erasure is
#[utoipa::path(
    get, path = "/contacts/{id}/erase", tag = "contacts",
    params(("id" = String, Path, description = "The contact's id.")),
    responses((status = 200, description = "When it began and ended.", body = ErasureAnswer))
)]
async fn get_erasure(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ContactId>,
) -> ApiResult<Json<ErasureAnswer>> {
    standing(&state, &scope, id).await
}

/// Export a contact
///
/// All that is known of the contact as a ZIP: `contact.json`, `conversations.json`, `messages.jsonl`, `consents.json` and
/// the files under `media/`.
#[utoipa::path(
    get, path = "/contacts/{id}/export", tag = "contacts",
    params(("id" = String, Path, description = "The contact's id.")),
    responses((status = 200, description = "The archive, streamed.", content_type = "application/zip"))
)]
async fn export_contact(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ContactId>,
) -> ApiResult<Response> {
    privacy_export::of_contact(&state, &scope, id).await
}
