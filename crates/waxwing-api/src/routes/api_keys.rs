//! Credentials of programs.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_core::access::Role;
use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::ApiKeyId;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::api_keys::{self, ApiKeyRecord};

use super::auth::refuse;
use crate::answer::{Done, Success};
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "api-keys";

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_api_keys))
        .routes(routes!(make_api_key))
        .routes(routes!(revoke_api_key))
}

/// A credential of a program, without its token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyView {
    #[schema(value_type = String)]
    id: ApiKeyId,
    /// What it is for.
    name: String,
    /// What the program may do.
    role: &'static str,
    /// The first letters of the token.
    hint: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// To a few minutes; null when it was never used.
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

impl From<ApiKeyRecord> for ApiKeyView {
    fn from(key: ApiKeyRecord) -> Self {
        Self {
            id: key.id,
            name: key.name,
            role: key.role.as_str(),
            hint: key.hint,
            created_at: key.created_at,
            expires_at: key.expires_at,
            used_at: key.used_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// API keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyList {
    #[schema(value_type = bool)]
    ok: Success,
    api_keys: Vec<ApiKeyView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// List API keys
#[utoipa::path(
    get, path = "/api-keys", tag = "users", params(PageQuery),
    responses((status = 200, description = "Keys in the order of their making, revoked ones too.", body = ApiKeyList))
)]
async fn list_api_keys(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
) -> ApiResult<Json<ApiKeyList>> {
    let after = page.after::<Uuid>(LIST)?.map(ApiKeyId::from_uuid);
    let (tenant, rows) = (scope.id(), page.rows());
    let read = state
        .store
        .read(move |tx| api_keys::list(tx, tenant, after, rows));
    let mut found = read.await?;
    let next_cursor = page.finish(LIST, &mut found, |key| key.id.uuid());
    Ok(Json(ApiKeyList {
        ok: Success,
        api_keys: found.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

/// An API key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MakeApiKey {
    /// What it is for.
    #[schema(required, value_type = String, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// `owner`, `manager`, `sales`, `operations`, `field_staff` or `viewer`: what the program may do.
    #[schema(required, value_type = String, example = "operations")]
    role: Option<Role>,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// An API key that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    api_key: ApiKeyView,
    /// For `Authorization: Bearer`. Shown once: only a hash of it is kept.
    token: String,
}

/// Make an API key
///
/// Nobody makes a key that may do more than they may.
#[utoipa::path(
    post, path = "/api-keys", tag = "users", request_body = MakeApiKey,
    responses(
        (status = 201, description = "The key and its token.", body = ApiKeyAnswer),
        (status = 409, description = "The tenant has as many as it may have.", body = ErrorBody),
    )
)]
async fn make_api_key(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(input): ApiJson<MakeApiKey>,
) -> ApiResult<(StatusCode, Json<ApiKeyAnswer>)> {
    let mut checks = Checks::new();
    let name = checks.required("name", input.name);
    checks.name("name", &name);
    if input.role.is_none() {
        checks.wrong("role", "is missing");
    }
    if input.expires_at.is_some_and(|at| at <= state.now()) {
        checks.wrong("expiresAt", "is over");
    }
    checks.finish()?;
    let role = input.role.ok_or_else(ApiError::internal)?;
    if !scope.role.may_grant(role) {
        return Err(ApiError::forbidden(
            "Only an owner may make a key of an owner.",
        ));
    }
    let name = name.trim().to_owned();
    let made = state
        .app
        .accounts
        .make_key(scope.id(), name, role, input.expires_at, scope.trail);
    let (token, key) = made.await.map_err(refuse)?;
    Ok((
        StatusCode::CREATED,
        Json(ApiKeyAnswer {
            ok: Success,
            api_key: key.into(),
            token: token.expose().to_owned(),
        }),
    ))
}

/// Revoke an API key
///
/// It opens nothing from the next request on. It stays in the list.
#[utoipa::path(
    delete, path = "/api-keys/{id}", tag = "users",
    params(("id" = String, Path, description = "The id of the key, not its token")),
    responses((status = 200, description = "It is revoked.", body = Done))
)]
async fn revoke_api_key(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ApiKeyId>,
) -> ApiResult<Json<Done>> {
    let (tenant, own, now) = (scope.id(), scope.role, state.now());
    let write = state.store.write(move |tx| {
        let Some(key) = api_keys::get(tx, tenant, id)? else {
            return Ok(None);
        };
        if !own.may_grant(key.role) {
            return Ok(Some(false));
        }
        api_keys::revoke(tx, tenant, id, now)?;
        let object = Object::one("api_key", id);
        scope.trail.record(tx, &object, &Change::untold())?;
        Ok(Some(true))
    });
    match write.await? {
        Some(true) => Ok(Json(Done::default())),
        Some(false) => Err(ApiError::forbidden(
            "Only an owner may revoke a key of an owner.",
        )),
        None => Err(ApiError::not_found("API key")),
    }
}
