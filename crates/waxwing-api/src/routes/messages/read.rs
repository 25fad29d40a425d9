//! Telling a contact that their message was read, or that an answer is being written.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use waxwing_core::audit::{Change, Object};
use waxwing_core::errors::{ProviderError, SendOutcome};
use waxwing_core::ids::MessageId;
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::adapter;
use waxwing_store::domain::messages;

use crate::answer::Success;
use crate::auth::TenantScope;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, IdParam};
use crate::state::ApiState;

/// How long the provider may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// When to try again what the provider did not take.
const AGAIN: Duration = Duration::from_secs(5);

/// What to tell.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadInput {
    /// Whether to show that an answer is being written as well, for at most 25 seconds.
    #[serde(default)]
    typing: bool,
}

/// It was told.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadAnswer {
    #[schema(value_type = bool)]
    ok: Success,
}

/// Mark a received message as read
///
/// With `typing` the contact sees that an answer is being written. Twilio knows only that, MSG91 neither.
#[utoipa::path(
    post,
    path = "/messages/{id}/read",
    tag = "messages",
    params(("id" = String, Path, description = "The id of a message that came in.")),
    request_body = ReadInput,
    responses(
        (status = 200, description = "The provider took it.", body = ReadAnswer),
        (status = 422, description = "The message went out, or the provider cannot tell this or refuses it.", body = ErrorBody),
        (status = 503, description = "The provider did not take it now.", body = ErrorBody),
    )
)]
pub async fn mark_read(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MessageId>,
    ApiJson(input): ApiJson<ReadInput>,
) -> ApiResult<Json<ReadAnswer>> {
    let (tenant, keyring) = (scope.id(), state.keyring.clone());
    let found = state.store.read(move |tx| {
        let row = messages::get(tx, &keyring, tenant, id)?;
        let provider_id = messages::provider_id(tx, &keyring, tenant, id)?;
        Ok(row.map(|row| (row.direction, row.channel_id, provider_id)))
    });
    let (direction, channel_id, provider_id) =
        found.await?.ok_or_else(|| ApiError::not_found("message"))?;
    let provider_id = provider_id
        .filter(|_| direction == "IN")
        .ok_or_else(|| ApiError::invalid_field("id", "is no message that a contact sent"))?;
    let directory = state.app.directory.current();
    let channel = directory.channel(channel_id).ok_or_else(|| {
        ApiError::invalid_field("id", "came through a channel that is switched off")
    })?;
    let provider = adapter(channel.kind);
    let endpoints = &state.settings.endpoints;
    let request = provider
        .build_read(&channel.account, endpoints, &provider_id, input.typing)
        .map_err(|error| ApiError::invalid_field("id", error.to_string()))?
        .ok_or_else(|| {
            let text = format!("cannot be told by {}", provider.name());
            ApiError::invalid_field("typing", text)
        })?;
    let object = Object::one("message", id);
    scope.record(&state, object, Change::untold()).await?;
    let answer = state.http.call(request, CALL_TIMEOUT).await;
    if matches!(&answer, HttpOutcome::Response { status, .. } if (200..300).contains(status)) {
        return Ok(Json(ReadAnswer { ok: Success }));
    }
    Err(refusal(provider.interpret_send(&answer)))
}

/// The provider's errors are those of a send.
fn refusal(outcome: SendOutcome) -> ApiError {
    let words = |error: ProviderError| format!("{}: {}", error.class.as_str(), error.message);
    match outcome {
        SendOutcome::Rejected(error) | SendOutcome::ChannelBroken(error) => {
            ApiError::invalid_field("id", words(error))
        }
        SendOutcome::Throttled { after, error, .. } | SendOutcome::Retry { after, error, .. } => {
            ApiError::unavailable(words(error), after.unwrap_or(AGAIN))
        }
        SendOutcome::Unknown(error) => ApiError::unavailable(words(error), AGAIN),
        SendOutcome::Accepted(_) => ApiError::internal(),
    }
}
