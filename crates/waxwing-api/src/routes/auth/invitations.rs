//! How somebody becomes a member of a tenant by invitation.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_core::secret::Secret;

use super::{Held, LoginAnswer, began, password, refuse};
use crate::check::Checks;
use crate::errors::{ApiResult, ErrorBody};
use crate::extract::ApiJson;
use crate::state::ApiState;
use crate::trail::Requested;

/// The routes of this module, relative to `/api`.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(accept_invitation))
}

/// An invitation taken up.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Accept {
    /// The token of the invitation.
    #[schema(required, value_type = String, write_only)]
    token: Option<Secret>,
    /// The password: of the account that the address has, else the one of the account that is made.
    #[schema(required, value_type = String, format = Password, write_only, min_length = 12, max_length = 128)]
    password: Option<Secret>,
    /// For an account with a second factor: six digits from the app, or a recovery code.
    #[schema(value_type = Option<String>, write_only)]
    code: Option<Secret>,
    /// The person's name, for a new account.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// How the session is held.
    #[serde(default)]
    session: Held,
}

/// Take an invitation up
#[utoipa::path(
    post, path = "/auth/invitations/accept", tag = "accounts", security(()), request_body = Accept,
    responses(
        (status = 200, description = "The person is a member and logged in.", body = LoginAnswer),
        (status = 401, description = "The address has an account, and the password or the code is not its own.", body = ErrorBody),
        (status = 429, description = "Too many tries.", body = ErrorBody),
        (status = 503, description = "The database is away or busy.", body = ErrorBody),
    )
)]
async fn accept_invitation(
    State(state): State<ApiState>,
    Requested(origin): Requested,
    ApiJson(input): ApiJson<Accept>,
) -> ApiResult<Response> {
    let mut checks = Checks::new();
    let token = password(&mut checks, "token", input.token, None);
    checks.finish()?;
    let invitation = state
        .app
        .accounts
        .invitation(&token)
        .await
        .map_err(refuse)?;
    let mut checks = Checks::new();
    let password = password(
        &mut checks,
        "password",
        input.password,
        Some(&invitation.email),
    );
    let name = input
        .name
        .unwrap_or_else(|| invitation.email.as_str().to_owned());
    checks.name("name", &name);
    checks.finish()?;
    let accept = state.app.accounts.accept(
        invitation,
        name.trim().to_owned(),
        (password, input.code),
        origin,
        input.session.kind(),
    );
    let opened = accept.await.map_err(refuse)?;
    began(&state, StatusCode::OK, opened, input.session, None).await
}
