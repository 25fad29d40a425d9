//! Channels of a tenant. Credentials can be written and never read.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_providers::messaging::meta::{self, ChannelConfig};
use waxwing_store::StoreError;
use waxwing_store::domain::channels::{
    self, ACCESS_TOKEN, ChannelKind, ChannelRecord, Credentials, NewChannel,
};

use crate::answer::{Success, Warning};
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

use self::form::{ChannelView, CreateChannel, PatchChannel, ProviderKind};

pub mod form;

const LIST: &str = "channels";
/// How long the provider may take to answer the test of a channel.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_channels, create_channel))
        .routes(routes!(get_channel, patch_channel, delete_channel))
        .routes(routes!(test_channel))
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    channel: ChannelView,
    /// What deserves a look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// Channels.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelList {
    #[schema(value_type = bool)]
    ok: Success,
    channels: Vec<ChannelView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// How a channel did in a test.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelTest {
    /// The provider answered, the token is good and the number may send.
    passed: bool,
    /// The number as the provider shows it.
    display_phone_number: Option<String>,
    /// The name that people see.
    verified_name: Option<String>,
    /// The provider's quality rating.
    quality: Option<String>,
    /// Whether the number may send.
    can_send: Option<String>,
    /// What is wrong or limited, in sentences.
    problems: Vec<String>,
}

/// How a channel did in a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelTestAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    test: ChannelTest,
    channel: ChannelView,
}

/// The error of a write that met a used number.
pub(super) fn number_is_used(field: &str, error: StoreError) -> ApiError {
    match error {
        StoreError::Conflict { constraint } if constraint.contains("channel_routes") => {
            ApiError::conflict_field(field, "belongs to a channel already")
        }
        other => other.into(),
    }
}

/// Says so when no secret can verify the channel's webhooks: every one of them would be refused.
pub(super) fn secret_warning(state: &ApiState, channel: &ChannelRecord) -> Vec<Warning> {
    if channel.secret_hash.is_some() || state.settings.platform_app_secret {
        return Vec::new();
    }
    let text =
        "neither the channel nor the platform (APP_SECRET) has one, so its webhooks are refused";
    vec![Warning::new("appSecret", text)]
}

fn unknown_channel() -> ApiError {
    ApiError::not_found("channel")
}

/// List channels
#[utoipa::path(
    get,
    path = "/channels",
    tag = "channels",
    params(PageQuery),
    responses((status = 200, description = "Channels in the order of their making.", body = ChannelList))
)]
async fn list_channels(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
) -> ApiResult<Json<ChannelList>> {
    let after = page.after::<Uuid>(LIST)?.map(ChannelId::from_uuid);
    let (tenant, keyring, rows) = (scope.id(), state.keyring.clone(), page.rows());
    let mut records = state
        .store
        .read(move |tx| channels::list(tx, &keyring, tenant, after, rows))
        .await?;
    let next_cursor = page.finish(LIST, &mut records, |record| record.channel_id.uuid());
    let channels = records.into_iter().map(Into::into).collect();
    Ok(Json(ChannelList {
        ok: Success,
        channels,
        next_cursor,
    }))
}

/// Create a channel
#[utoipa::path(
    post,
    path = "/channels",
    tag = "channels",
    request_body = CreateChannel,
    responses(
        (status = 201, description = "The channel.", body = ChannelAnswer),
        (status = 409, description = "A channel has this number already.", body = ErrorBody),
    )
)]
async fn create_channel(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(input): ApiJson<CreateChannel>,
) -> ApiResult<(StatusCode, Json<ChannelAnswer>)> {
    let mut checks = Checks::new();
    match input.kind {
        None => checks.wrong("kind", "is missing"),
        Some(ProviderKind::Meta) => {}
        Some(_) => checks.wrong(
            "kind",
            "is a provider that this version does not speak to; it speaks to meta",
        ),
    }
    let sender_id = checks.required("phoneNumberId", input.phone_number_id);
    checks.provider_id("phoneNumberId", &sender_id);
    if let Some(account) = &input.waba_id {
        checks.provider_id("wabaId", account);
    }
    if let Some(phone) = &input.display_phone {
        checks.name("displayPhone", phone);
    }
    let name = input
        .name
        .unwrap_or_else(|| format!("WhatsApp {sender_id}"));
    checks.name("name", &name);
    let given = input.credentials.unwrap_or_default().changes(&mut checks);
    if !given.iter().any(|(name, _)| *name == ACCESS_TOKEN) {
        checks.wrong("credentials.accessToken", "is missing");
    }
    checks.finish()?;

    let mut credentials = Credentials::new();
    for (name, value) in given {
        credentials.set(name, value);
    }
    let new = NewChannel {
        id: ChannelId::new(&*state.ids),
        kind: ChannelKind::Meta,
        name,
        sender_id,
        account_id: input.waba_id,
        display_phone: input.display_phone,
        credentials,
    };
    let (tenant, keyring, now) = (scope.id(), state.keyring.clone(), state.now());
    let made = state
        .store
        .write(move |tx| channels::create(tx, &keyring, tenant, &new, now))
        .await;
    let channel = made.map_err(|error| number_is_used("phoneNumberId", error))?;
    state.channels_changed().await;
    let warnings = secret_warning(&state, &channel);
    Ok((
        StatusCode::CREATED,
        Json(ChannelAnswer {
            ok: Success,
            channel: channel.into(),
            warnings,
        }),
    ))
}

/// Get a channel
#[utoipa::path(
    get,
    path = "/channels/{id}",
    tag = "channels",
    params(("id" = String, Path, description = "The channel's id.")),
    responses((status = 200, description = "The channel.", body = ChannelAnswer))
)]
async fn get_channel(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ChannelId>,
) -> ApiResult<Json<ChannelAnswer>> {
    let channel = find(&state, scope.id(), id).await?;
    let warnings = secret_warning(&state, &channel);
    Ok(Json(ChannelAnswer {
        ok: Success,
        channel: channel.into(),
        warnings,
    }))
}

async fn find(state: &ApiState, tenant: TenantId, id: ChannelId) -> ApiResult<ChannelRecord> {
    let keyring = state.keyring.clone();
    let found = state
        .store
        .read(move |tx| channels::get(tx, &keyring, tenant, id))
        .await?;
    found.ok_or_else(unknown_channel)
}

/// Change a channel
///
/// New credentials end the status `broken`.
#[utoipa::path(
    patch,
    path = "/channels/{id}",
    tag = "channels",
    params(("id" = String, Path, description = "The channel's id.")),
    request_body = PatchChannel,
    responses(
        (status = 200, description = "The channel after the change.", body = ChannelAnswer),
        (status = 409, description = "Switched on again, but another channel has its number now.", body = ErrorBody),
    )
)]
async fn patch_channel(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ChannelId>,
    ApiJson(input): ApiJson<PatchChannel>,
) -> ApiResult<Json<ChannelAnswer>> {
    let mut checks = Checks::new();
    if let Some(name) = &input.name {
        checks.name("name", name);
    }
    if let Some(Some(account)) = &input.waba_id {
        checks.provider_id("wabaId", account);
    }
    if let Some(Some(phone)) = &input.display_phone {
        checks.name("displayPhone", phone);
    }
    let secrets = input.credentials.unwrap_or_default().changes(&mut checks);
    checks.finish()?;
    let (name, account, phone, enabled) = (
        input.name,
        input.waba_id,
        input.display_phone,
        input.enabled,
    );
    let (tenant, keyring, now) = (scope.id(), state.keyring.clone(), state.now());
    let changed = state.store.write(move |tx| {
        channels::update(tx, &keyring, tenant, id, now, |draft| {
            if let Some(name) = &name {
                draft.name.clone_from(name);
            }
            if let Some(account) = &account {
                draft.account_id.clone_from(account);
            }
            if let Some(phone) = &phone {
                draft.display_phone.clone_from(phone);
            }
            for (name, value) in &secrets {
                draft.credentials.set(name, value.clone());
            }
            draft.enabled = enabled.unwrap_or(draft.enabled);
        })
    });
    let changed = changed
        .await
        .map_err(|error| number_is_used("enabled", error))?;
    let channel = changed.ok_or_else(unknown_channel)?;
    state.channels_changed().await;
    let warnings = secret_warning(&state, &channel);
    Ok(Json(ChannelAnswer {
        ok: Success,
        channel: channel.into(),
        warnings,
    }))
}

/// Switch a channel off
///
/// Its conversations stay, its number is free for another channel, and it can be switched on again.
#[utoipa::path(
    delete,
    path = "/channels/{id}",
    tag = "channels",
    params(("id" = String, Path, description = "The channel's id.")),
    responses((status = 200, description = "The channel, switched off.", body = ChannelAnswer))
)]
async fn delete_channel(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ChannelId>,
) -> ApiResult<Json<ChannelAnswer>> {
    let (tenant, keyring, now) = (scope.id(), state.keyring.clone(), state.now());
    let changed = state.store.write(move |tx| {
        channels::update(tx, &keyring, tenant, id, now, |draft| draft.enabled = false)
    });
    let channel = changed.await?.ok_or_else(unknown_channel)?;
    state.channels_changed().await;
    Ok(Json(ChannelAnswer {
        ok: Success,
        channel: channel.into(),
        warnings: Vec::new(),
    }))
}

/// Test a channel
///
/// Asks the provider whether the credentials are good and the number may send. A channel that passes is no longer
/// `broken`. A test that does not pass is an answer, not an error.
#[utoipa::path(
    post,
    path = "/channels/{id}/test",
    tag = "channels",
    params(("id" = String, Path, description = "The channel's id.")),
    responses((status = 200, description = "How it did.", body = ChannelTestAnswer))
)]
async fn test_channel(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ChannelId>,
) -> ApiResult<Json<ChannelTestAnswer>> {
    let mut channel = find(&state, scope.id(), id).await?;
    let test = ask_provider(&state, &channel).await;
    if test.passed && channel.status == channels::ChannelStatus::Broken {
        let (tenant, now) = (scope.id(), state.now());
        state
            .store
            .write(move |tx| channels::set_status(tx, tenant, id, None, now))
            .await?;
        state.channels_changed().await;
        channel = find(&state, tenant, id).await?;
    }
    Ok(Json(ChannelTestAnswer {
        ok: Success,
        test,
        channel: channel.into(),
    }))
}

async fn ask_provider(state: &ApiState, channel: &ChannelRecord) -> ChannelTest {
    let failed = |problem: &str| ChannelTest {
        passed: false,
        display_phone_number: None,
        verified_name: None,
        quality: None,
        can_send: None,
        problems: vec![problem.to_owned()],
    };
    let Some(token) = channel
        .credentials
        .get(ACCESS_TOKEN)
        .filter(|_| channel.kind == ChannelKind::Meta)
    else {
        return failed("The channel has no access token.");
    };
    let config = ChannelConfig {
        phone_number_id: channel.sender_id.clone(),
        access_token: token.clone(),
        graph_url: state.settings.graph_url.clone(),
        api_version: state.settings.graph_version.clone(),
    };
    let Ok(request) = meta::build_check(&config) else {
        return failed("The access token or the phone number id cannot be put into a request.");
    };
    let check = meta::interpret_check(&state.http.call(request, TEST_TIMEOUT).await);
    ChannelTest {
        passed: check.ok,
        display_phone_number: check.display_phone_number,
        verified_name: check.verified_name,
        quality: check.quality,
        can_send: check.can_send,
        problems: check.problems,
    }
}
