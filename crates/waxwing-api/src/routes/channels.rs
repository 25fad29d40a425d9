//! Channels of a tenant. Credentials can be written and never read.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use waxwing_core::audit::{Change, Object};
use waxwing_store::{StoreError, Tx};

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_app::directory::account_of;
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::secret::Secret;
use waxwing_providers::messaging::adapter;
use waxwing_store::domain::channel_health;
use waxwing_store::domain::channels::{self, ChannelRecord, NewChannel};

use crate::answer::{Success, Warning};
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

use self::form::{ChannelView, CreateChannel, MadeSecret, PatchChannel};

pub mod form;
mod signup;

const LIST: &str = "channels";
/// How long the provider may take to answer the test of a channel.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_channels, create_channel))
        .routes(routes!(get_channel, patch_channel, delete_channel))
        .routes(routes!(test_channel))
        .merge(signup::routes())
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    channel: ChannelView,
    /// The secret that was made because none was given; shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<MadeSecret>,
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

/// Says so when nothing can authenticate the channel's webhooks: every one of them would be refused.
pub(super) fn secret_warning(state: &ApiState, channel: &ChannelRecord) -> Vec<Warning> {
    let wanted = channel.kind.webhook_credential();
    let mut warnings = Vec::new();
    if channel.kind == ChannelKind::Meta {
        if channel.secret_hash.is_none() && !state.settings.platform_app_secret {
            let text = "neither the channel nor the platform (APP_SECRET) has one, so its webhooks are refused";
            warnings.push(Warning::new(wanted, text));
        }
    } else if channel.secret_hash.is_none() {
        warnings.push(Warning::new(
            wanted,
            "is not set, so its webhooks are refused",
        ));
    }
    if channel.kind == ChannelKind::Twilio && state.settings.endpoints.public_url.is_none() {
        let text =
            "PUBLIC_URL is not set: Twilio signs the address of its webhooks, so they are refused";
        warnings.push(Warning::new("webhooks", text));
    }
    warnings
}

/// A channel as its tenant sees it.
pub(super) fn view(state: &ApiState, channel: ChannelRecord) -> ChannelView {
    ChannelView::new(
        channel,
        state.settings.endpoints.public_url.as_deref(),
        state.now(),
    )
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
    let known = state
        .store
        .read(move |tx| channel_health::all(tx, tenant))
        .await?;
    let mut known: HashMap<_, _> = known.into_iter().map(|row| (row.channel_id, row)).collect();
    let next_cursor = page.finish(LIST, &mut records, |record| record.channel_id.uuid());
    let channels = records
        .into_iter()
        .map(|record| {
            let health = known.remove(&record.channel_id);
            ChannelView {
                health: health.map(Into::into),
                ..view(&state, record)
            }
        })
        .collect();
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
    let id = ChannelId::new(&*state.ids);
    // Without a kind the rest is checked as the commonest one's.
    let kind = input.kind.map_or(ChannelKind::Meta, ChannelKind::from);
    if input.kind.is_none() {
        checks.wrong("kind", "is missing");
    }
    let (sender_id, display_phone) = input.sender(kind, id, &mut checks);
    if let Some(account) = &input.waba_id {
        checks.provider_id("wabaId", account);
    }
    if let Some(phone) = &display_phone {
        checks.name("displayPhone", phone);
    }
    let name = input.name.unwrap_or_else(|| {
        let shown = display_phone.as_deref().unwrap_or(kind.as_str());
        format!("WhatsApp {shown}")
    });
    checks.name("name", &name);
    let given = input
        .credentials
        .unwrap_or_default()
        .changes(kind, &mut checks);
    let needed = kind.sending_credential();
    if !given.iter().any(|(name, _)| *name == needed) {
        checks.wrong(format!("credentials.{needed}"), "is missing");
    }
    checks.finish()?;

    let mut credentials: Credentials = given
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let mut secret = None;
    if kind.is_named_by_address() && credentials.get(credential::WEBHOOK_SECRET).is_none() {
        let fresh = fresh_secret();
        secret = Some(MadeSecret::new(&fresh));
        credentials.set(credential::WEBHOOK_SECRET, fresh);
    }
    let new = NewChannel {
        id,
        kind,
        name,
        sender_id,
        account_id: input.waba_id,
        display_phone,
        credentials,
    };
    let (tenant, keyring, now) = (scope.id(), state.keyring.clone(), state.now());
    let made = state.store.write(move |tx| {
        let made = channels::create(tx, &keyring, tenant, &new, now)?;
        let change = Change::made(told(&made));
        scope
            .trail
            .record(tx, &Object::one("channel", id), &change)?;
        Ok(made)
    });
    let channel = made
        .await
        .map_err(|error| number_is_used("phoneNumberId", error))?;
    state.channels_changed().await;
    let warnings = secret_warning(&state, &channel);
    Ok((
        StatusCode::CREATED,
        Json(ChannelAnswer {
            ok: Success,
            channel: view(&state, channel),
            made: secret,
            warnings,
        }),
    ))
}

/// What the audit log tells of a channel: no credentials.
fn told(channel: &ChannelRecord) -> Value {
    json!({
        "kind": channel.kind.as_str(), "name": channel.name, "phoneNumberId": channel.sender_id,
        "wabaId": channel.account_id, "status": channel.status.as_str(), "limits": channel.limits,
    })
}

fn record(
    tx: &mut Tx<'_>,
    scope: &TenantScope,
    before: Option<ChannelRecord>,
    after: Option<&ChannelRecord>,
    credentials: bool,
) -> Result<(), StoreError> {
    let (Some(before), Some(after)) = (before, after) else {
        return Ok(());
    };
    let mut change = Change::of(told(&before), told(after));
    if let Some(after) = change.after.as_mut().filter(|_| credentials) {
        after["credentials"] = json!("changed");
    }
    let object = Object::one("channel", after.channel_id);
    scope.trail.record(tx, &object, &change)
}

/// A secret that nobody can guess.
fn fresh_secret() -> Secret {
    let mut bytes = [0; 24];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system's random generator works");
    Secret::new(hex::encode(bytes))
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
    let tenant = scope.id();
    let health = state
        .store
        .read(move |tx| channel_health::get(tx, tenant, id))
        .await?;
    Ok(Json(ChannelAnswer {
        ok: Success,
        channel: ChannelView {
            health: health.map(Into::into),
            ..view(&state, channel)
        },
        made: None,
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
    let kind = find(&state, scope.id(), id).await?.kind;
    if kind == ChannelKind::Twilio && input.waba_id.is_some() {
        checks.wrong(
            "wabaId",
            "belongs to the number: another account is another channel",
        );
    }
    let secrets = input
        .credentials
        .unwrap_or_default()
        .changes(kind, &mut checks);
    let limits = input.limits.unwrap_or_default();
    limits.check(&mut checks);
    checks.finish()?;
    let (name, account, phone, enabled) = (
        input.name,
        input.waba_id,
        input.display_phone,
        input.enabled,
    );
    let (tenant, keyring, now) = (scope.id(), state.keyring.clone(), state.now());
    let changed = state.store.write(move |tx| {
        let before = channels::get(tx, &keyring, tenant, id)?;
        let changed = channels::update(tx, &keyring, tenant, id, now, |draft| {
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
            draft.limits = limits.over(draft.limits);
            draft.enabled = enabled.unwrap_or(draft.enabled);
        })?;
        record(tx, &scope, before, changed.as_ref(), !secrets.is_empty())?;
        Ok(changed)
    });
    let changed = changed
        .await
        .map_err(|error| number_is_used("enabled", error))?;
    let channel = changed.ok_or_else(unknown_channel)?;
    state.channels_changed().await;
    let warnings = secret_warning(&state, &channel);
    Ok(Json(ChannelAnswer {
        ok: Success,
        channel: view(&state, channel),
        made: None,
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
        let before = channels::get(tx, &keyring, tenant, id)?;
        let changed =
            channels::update(tx, &keyring, tenant, id, now, |draft| draft.enabled = false)?;
        record(tx, &scope, before, changed.as_ref(), false)?;
        Ok(changed)
    });
    let channel = changed.await?.ok_or_else(unknown_channel)?;
    state.channels_changed().await;
    Ok(Json(ChannelAnswer {
        ok: Success,
        channel: view(&state, channel),
        made: None,
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
    scope
        .record(&state, Object::one("channel", id), Change::untold())
        .await?;
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
        channel: view(&state, channel),
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
    let provider = adapter(channel.kind);
    let account = account_of(channel);
    let request = match provider.build_check(&account, &state.settings.endpoints) {
        Ok(request) => request,
        Err(error) => return failed(&error.to_string()),
    };
    let answer = state.http.call(request, TEST_TIMEOUT).await;
    let check = provider.interpret_check(&account, &answer);
    ChannelTest {
        passed: check.ok,
        display_phone_number: check.display_phone_number,
        verified_name: check.verified_name,
        quality: check.quality,
        can_send: check.can_send,
        problems: check.problems,
    }
}
