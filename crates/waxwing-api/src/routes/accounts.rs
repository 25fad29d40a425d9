//! All accounts of the platform. For the platform admin.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::UserId;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::sessions;
use waxwing_store::domain::users::{self, UserRecord};

use super::users::{ResetLink, reset_link};
use crate::answer::{Done, Success};
use crate::auth::PlatformAdmin;
use crate::errors::{ApiError, ApiResult};
use crate::extract::{ApiJson, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "accounts";

/// The routes of this module, relative to `/api`.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_accounts))
        .routes(routes!(change_account))
        .routes(routes!(make_link))
}

/// An account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    #[schema(value_type = String)]
    id: UserId,
    email: String,
    name: String,
    /// Whether the person may log in.
    active: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<UserRecord> for AccountView {
    fn from(user: UserRecord) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            active: user.active,
            created_at: user.created_at,
        }
    }
}

/// Accounts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountList {
    #[schema(value_type = bool)]
    ok: Success,
    accounts: Vec<AccountView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// List accounts
#[utoipa::path(
    get, path = "/accounts", tag = "accounts", params(PageQuery),
    responses((status = 200, description = "Accounts in the order of their making.", body = AccountList))
)]
async fn list_accounts(
    State(state): State<ApiState>,
    _: PlatformAdmin,
    page: Page,
) -> ApiResult<Json<AccountList>> {
    let after = page.after::<Uuid>(LIST)?.map(UserId::from_uuid);
    let rows = page.rows();
    let read = state.store.read(move |tx| users::list(tx, after, rows));
    let mut found = read.await?;
    let next_cursor = page.finish(LIST, &mut found, |user| user.id.uuid());
    Ok(Json(AccountList {
        ok: Success,
        accounts: found.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

/// Whether a person may log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAccount {
    /// `false` ends all sessions of the person and lets no new ones begin.
    #[schema(required, value_type = bool)]
    active: Option<bool>,
}

/// Lock or unlock an account
#[utoipa::path(
    patch, path = "/accounts/{id}", tag = "accounts", request_body = ChangeAccount,
    params(("id" = String, Path, description = "The id of the person")),
    responses((status = 200, description = "It is changed.", body = Done))
)]
async fn change_account(
    State(state): State<ApiState>,
    admin: PlatformAdmin,
    IdParam(id): IdParam<UserId>,
    ApiJson(input): ApiJson<ChangeAccount>,
) -> ApiResult<Json<Done>> {
    let active = input
        .active
        .ok_or_else(|| ApiError::invalid_field("active", "is missing"))?;
    let now = state.now();
    let write = state.store.write(move |tx| {
        let there = users::set_active(tx, id, active, now)?;
        if there && !active {
            sessions::end_all(tx, id, None)?;
        }
        if there {
            let change = Change::made(json!({ "active": active }));
            admin.trail.record(tx, &Object::one("user", id), &change)?;
        }
        Ok(there)
    });
    if write.await? {
        return Ok(Json(Done::default()));
    }
    Err(ApiError::not_found("account"))
}

/// Make a link for a new password
///
/// Waxwing sends no mail: give the token to the person in another way.
#[utoipa::path(
    post, path = "/accounts/{id}/password-reset", tag = "accounts",
    params(("id" = String, Path, description = "The id of the person")),
    responses((status = 200, description = "The token; an earlier one ends.", body = ResetLink))
)]
async fn make_link(
    State(state): State<ApiState>,
    admin: PlatformAdmin,
    IdParam(id): IdParam<UserId>,
) -> ApiResult<Json<ResetLink>> {
    if state
        .store
        .read(move |tx| users::get(tx, id))
        .await?
        .is_none()
    {
        return Err(ApiError::not_found("account"));
    }
    reset_link(&state, id, admin.trail).await
}
