//! New passwords: by whoever knows the present one, or with a link.

use crate::trail::Requested;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_app::accounts::AccountError;
use waxwing_core::account::Email;
use waxwing_core::secret::Secret;

use super::{password, person, refuse};
use crate::address::ClientAddress;
use crate::answer::Done;
use crate::auth::Person;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::ApiJson;
use crate::state::ApiState;

/// The routes of this module, relative to `/api`.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(change_password))
        .routes(routes!(reset_password))
}

/// The present password and a new one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePassword {
    /// The present one.
    #[schema(required, value_type = String, format = Password, write_only)]
    password: Option<Secret>,
    /// The new one, of at least 12 characters.
    #[schema(required, value_type = String, format = Password, write_only, min_length = 12, max_length = 128)]
    new_password: Option<Secret>,
}

/// Change the password
///
/// All other sessions of the person end.
#[utoipa::path(
    post, path = "/auth/password", tag = "accounts", request_body = ChangePassword,
    responses(
        (status = 200, description = "The new password is set.", body = Done),
        (status = 429, description = "Too many tries.", body = ErrorBody),
    )
)]
async fn change_password(
    State(state): State<ApiState>,
    Person { session, trail }: Person,
    ClientAddress(from): ClientAddress,
    ApiJson(input): ApiJson<ChangePassword>,
) -> ApiResult<Json<Done>> {
    let (user, _) = person(&state, session.user_id).await?;
    let email = Email::parse(&user.email);
    let mut checks = Checks::new();
    let present = password(&mut checks, "password", input.password, None);
    let new = password(
        &mut checks,
        "newPassword",
        input.new_password,
        email.as_ref(),
    );
    checks.finish()?;
    let changed = state
        .app
        .accounts
        .change_password(session, present, new, from, trail);
    match changed.await {
        Err(AccountError::WrongLogin) => Err(ApiError::invalid_field("password", "is wrong")),
        Err(error) => Err(refuse(error)),
        Ok(()) => Ok(Json(Done::default())),
    }
}

/// A link's token and a new password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetPassword {
    /// The token of the link.
    #[schema(required, value_type = String, write_only)]
    token: Option<Secret>,
    /// The new password, of at least 12 characters.
    #[schema(required, value_type = String, format = Password, write_only, min_length = 12, max_length = 128)]
    password: Option<Secret>,
}

/// Set a new password with a link
///
/// Links are made by people who manage the tenant, and by the platform admin. One works once, for an hour; with it all
/// sessions of the person end.
#[utoipa::path(
    post, path = "/auth/password-reset", tag = "accounts", security(()), request_body = ResetPassword,
    responses(
        (status = 200, description = "The password is set; log in with it.", body = Done),
        (status = 429, description = "Too many tries; wait `Retry-After` seconds.", body = ErrorBody),
        (status = 503, description = "The database is away or busy.", body = ErrorBody),
    )
)]
async fn reset_password(
    State(state): State<ApiState>,
    Requested(origin): Requested,
    ApiJson(input): ApiJson<ResetPassword>,
) -> ApiResult<Json<Done>> {
    let mut checks = Checks::new();
    let token = password(&mut checks, "token", input.token, None);
    // Whose it is is not known yet: nothing is compared with the address.
    let nobody = Email::parse("nobody@localhost");
    let new = password(&mut checks, "password", input.password, nobody.as_ref());
    checks.finish()?;
    state
        .app
        .accounts
        .reset_password(token, new, origin)
        .await
        .map_err(refuse)?;
    Ok(Json(Done::default()))
}
