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
use waxwing_store::domain::users::{self, UserRecord};
use waxwing_store::domain::{second_factors, sessions};

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

/// Whether and how a person may log in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeAccount {
    /// `false` ends all sessions of the person and lets no new ones begin.
    active: Option<bool>,
    /// `false` takes the second factor away from somebody who lost the phone and the recovery codes, and ends all
    /// sessions of the person. Nobody else can turn one on.
    second_factor: Option<bool>,
}

/// Lock or unlock an account, or take its second factor away
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
    let ChangeAccount {
        active,
        second_factor,
    } = input;
    if active.is_none() && second_factor.is_none() {
        return Err(ApiError::invalid_field("active", "is missing"));
    }
    if second_factor == Some(true) {
        return Err(ApiError::invalid_field("secondFactor", "can only be false"));
    }
    let now = state.now();
    let write = state.store.write(move |tx| {
        let there = match active {
            Some(active) => users::set_active(tx, id, active, now)?,
            None => users::get(tx, id)?.is_some(),
        };
        if !there {
            return Ok(false);
        }
        let mut told = json!({});
        if let Some(active) = active {
            told["active"] = active.into();
        }
        if second_factor.is_some() {
            second_factors::remove(tx, id)?;
            told["secondFactor"] = false.into();
        }
        if active == Some(false) || second_factor.is_some() {
            sessions::end_all(tx, id, None)?;
        }
        admin
            .trail
            .record(tx, &Object::one("user", id), &Change::made(told))?;
        Ok(true)
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
