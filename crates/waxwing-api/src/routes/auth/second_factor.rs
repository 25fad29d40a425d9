//! A second factor: one-time codes of an authenticator app.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_app::accounts::AccountError;
use waxwing_core::secret::Secret;

use super::{password, refuse};
use crate::address::ClientAddress;
use crate::answer::{Done, Success};
use crate::auth::Person;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::ApiJson;
use crate::state::ApiState;

/// The routes of this module, relative to `/api`.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(confirm))
        .routes(routes!(remove))
}

/// The password once more.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeginSecondFactor {
    /// The password of the person.
    #[schema(required, value_type = String, format = Password, write_only)]
    password: Option<Secret>,
}

/// What goes into an authenticator app.
#[derive(Serialize, ToSchema)]
pub struct SecondFactorSecret {
    #[schema(value_type = bool)]
    ok: Success,
    /// The secret, to be typed: Base32.
    secret: String,
    /// The same as an `otpauth:` address, to be shown as a QR code.
    url: String,
}

/// Begin to set a second factor up
///
/// It is not asked for before `…/confirm`. Begun again, the earlier secret is forgotten.
#[utoipa::path(
    post, path = "/auth/second-factor", tag = "accounts", request_body = BeginSecondFactor,
    responses(
        (status = 200, description = "The secret, shown this once.", body = SecondFactorSecret),
        (status = 409, description = "There is one already; it has to be removed first.", body = ErrorBody),
        (status = 429, description = "Too many tries.", body = ErrorBody),
    )
)]
async fn begin(
    State(state): State<ApiState>,
    Person { session, trail }: Person,
    ClientAddress(from): ClientAddress,
    ApiJson(input): ApiJson<BeginSecondFactor>,
) -> ApiResult<Json<SecondFactorSecret>> {
    let mut checks = Checks::new();
    let password = password(&mut checks, "password", input.password, None);
    checks.finish()?;
    let accounts = &state.app.accounts;
    let begun = accounts
        .begin_second_factor(session, password, from, trail)
        .await
        .map_err(refuse_inside)?;
    Ok(Json(SecondFactorSecret {
        ok: Success,
        secret: begun.secret.expose().to_owned(),
        url: begun.url.expose().to_owned(),
    }))
}

/// A first code.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfirmSecondFactor {
    /// Six digits from the app.
    #[schema(required, value_type = String, write_only, example = "287082")]
    code: Option<Secret>,
}

/// Words for the day the phone is lost.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryCodes {
    #[schema(value_type = bool)]
    ok: Success,
    /// Each is good once in place of a code.
    recovery_codes: Vec<String>,
}

/// Turn the second factor on
///
/// From now on a login needs a code. All other sessions of the person end.
#[utoipa::path(
    post, path = "/auth/second-factor/confirm", tag = "accounts", request_body = ConfirmSecondFactor,
    responses(
        (status = 200, description = "It is on; the recovery codes, shown this once.", body = RecoveryCodes),
        (status = 429, description = "Too many tries.", body = ErrorBody),
    )
)]
async fn confirm(
    State(state): State<ApiState>,
    Person { session, trail }: Person,
    ClientAddress(from): ClientAddress,
    ApiJson(input): ApiJson<ConfirmSecondFactor>,
) -> ApiResult<Json<RecoveryCodes>> {
    let mut checks = Checks::new();
    let code = password(&mut checks, "code", input.code, None);
    checks.finish()?;
    let accounts = &state.app.accounts;
    let codes = accounts
        .confirm_second_factor(session, code, from, trail)
        .await
        .map_err(refuse_inside)?;
    Ok(Json(RecoveryCodes {
        ok: Success,
        recovery_codes: codes.iter().map(|code| code.expose().to_owned()).collect(),
    }))
}

/// The password and a code.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveSecondFactor {
    /// The password of the person.
    #[schema(required, value_type = String, format = Password, write_only)]
    password: Option<Secret>,
    /// A code of the app, or a recovery code.
    #[schema(required, value_type = String, write_only)]
    code: Option<Secret>,
}

/// Turn the second factor off
///
/// All other sessions of the person end. For somebody who lost everything, the platform admin does it at
/// `/api/accounts/{id}`.
#[utoipa::path(
    post, path = "/auth/second-factor/remove", tag = "accounts", request_body = RemoveSecondFactor,
    responses(
        (status = 200, description = "It is off.", body = Done),
        (status = 404, description = "There is none.", body = ErrorBody),
        (status = 429, description = "Too many tries.", body = ErrorBody),
    )
)]
async fn remove(
    State(state): State<ApiState>,
    Person { session, trail }: Person,
    ClientAddress(from): ClientAddress,
    ApiJson(input): ApiJson<RemoveSecondFactor>,
) -> ApiResult<Json<Done>> {
    let mut checks = Checks::new();
    let password = password(&mut checks, "password", input.password, None);
    checks.finish()?;
    let accounts = &state.app.accounts;
    let removed = accounts
        .remove_second_factor(session, password, input.code, from, trail)
        .await
        .map_err(refuse_inside)?;
    if removed {
        Ok(Json(Done::default()))
    } else {
        Err(ApiError::not_found("second factor"))
    }
}

/// Somebody who is logged in is not told that they are not: the field is wrong.
fn refuse_inside(error: AccountError) -> ApiError {
    match error {
        AccountError::WrongLogin => ApiError::invalid_field("password", "is wrong"),
        AccountError::CodeMissing => ApiError::invalid_field("code", "is missing"),
        AccountError::WrongCode => ApiError::invalid_field("code", "is wrong or was used before"),
        other => refuse(other),
    }
}
