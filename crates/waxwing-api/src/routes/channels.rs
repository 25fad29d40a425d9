//! Channels of a tenant. Credentials can be written and never read.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::secret::Secret;
use waxwing_core::time::Timestamp;
use waxwing_providers::messaging::meta::{self, ChannelConfig};
use waxwing_store::StoreError;
use waxwing_store::domain::channels::{
    self, ACCESS_TOKEN, APP_SECRET, ChannelKind, ChannelRecord, Credentials, NewChannel,
    VERIFY_TOKEN,
};

use crate::answer::{Success, Warning};
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, IdParam, nullable};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

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

/// A provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Meta's Cloud API.
    Meta,
    /// Twilio.
    Twilio,
    /// 360dialog.
    Dialog360,
    /// MSG91.
    Msg91,
}

impl From<ChannelKind> for ProviderKind {
    fn from(kind: ChannelKind) -> Self {
        match kind {
            ChannelKind::Meta => Self::Meta,
            ChannelKind::Twilio => Self::Twilio,
            ChannelKind::Dialog360 => Self::Dialog360,
            ChannelKind::Msg91 => Self::Msg91,
        }
    }
}

/// A channel: one sending number at one provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelView {
    /// Its id.
    #[schema(value_type = String, example = "chn_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    pub id: ChannelId,
    /// Whose it is.
    #[schema(value_type = String)]
    pub tenant_id: TenantId,
    /// Its provider.
    pub kind: ProviderKind,
    /// A name for people.
    pub name: String,
    /// The provider's id of the number.
    pub phone_number_id: String,
    /// The provider's id of the account.
    pub waba_id: Option<String>,
    /// The number as people write it.
    pub display_phone: Option<String>,
    /// `active`; `broken` when the provider refuses what it sends; `disabled` when it was switched off.
    #[schema(value_type = String, example = "active")]
    pub status: &'static str,
    /// Why it is broken.
    pub status_reason: Option<String>,
    /// Whose secret signs its webhooks: `channel` or `platform`.
    #[schema(value_type = String, example = "platform")]
    pub webhook_secret: &'static str,
    /// The names of the credentials that are set, each with the word `set`.
    #[schema(value_type = BTreeMap<String, String>, example = json!({"accessToken": "set"}))]
    pub credentials: BTreeMap<String, &'static str>,
    /// When a webhook came for it last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_webhook_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<ChannelRecord> for ChannelView {
    fn from(record: ChannelRecord) -> Self {
        Self {
            id: record.channel_id,
            tenant_id: record.tenant_id,
            kind: record.kind.into(),
            name: record.name,
            phone_number_id: record.sender_id,
            waba_id: record.account_id,
            display_phone: record.display_phone,
            status: record.status.as_str(),
            status_reason: record.status_reason,
            webhook_secret: if record.secret_hash.is_some() {
                "channel"
            } else {
                "platform"
            },
            credentials: record
                .credentials
                .names()
                .map(|name| (name.to_owned(), "set"))
                .collect(),
            last_webhook_at: record.last_webhook_at,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
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

/// Credentials of a channel. In a change, what is absent stays and null takes away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsInput {
    /// The token that sends.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    access_token: Option<Option<Secret>>,
    /// The secret of the app that signs webhooks, when it is not the platform's.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    app_secret: Option<Option<Secret>>,
    /// The token of the webhook handshake, when it is not the platform's.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    verify_token: Option<Option<Secret>>,
}

impl CredentialsInput {
    /// The changes by name; an empty secret takes away.
    fn changes(self, checks: &mut Checks) -> Vec<(&'static str, Secret)> {
        let given = [
            (ACCESS_TOKEN, self.access_token),
            (APP_SECRET, self.app_secret),
            (VERIFY_TOKEN, self.verify_token),
        ];
        let mut changes = Vec::new();
        for (name, value) in given {
            match value {
                None => {}
                Some(Some(value)) => {
                    checks.credential(&format!("credentials.{name}"), &value);
                    changes.push((name, value));
                }
                Some(None) if name == ACCESS_TOKEN => {
                    checks.wrong(
                        format!("credentials.{name}"),
                        "can be replaced, but not taken away",
                    );
                }
                Some(None) => changes.push((name, Secret::new(""))),
            }
        }
        changes
    }
}

/// A channel to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateChannel {
    /// Its provider. This version speaks to `meta`.
    #[serde(alias = "provider")]
    #[schema(required, value_type = ProviderKind)]
    kind: Option<ProviderKind>,
    /// A name for people.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// The provider's id of the number, not its digits.
    #[serde(alias = "senderId")]
    #[schema(required, value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "106540352242922")]
    phone_number_id: Option<String>,
    /// The provider's id of the account.
    #[serde(alias = "accountId")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    waba_id: Option<String>,
    /// The number as people write it.
    #[schema(max_length = 200)]
    display_phone: Option<String>,
    /// Its credentials; `accessToken` is needed.
    #[schema(required, value_type = CredentialsInput)]
    credentials: Option<CredentialsInput>,
}

/// Changes of a channel; what is absent stays. Provider and number cannot change: another number is another channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchChannel {
    /// A name for people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The provider's id of the account; null for none.
    #[serde(default, alias = "accountId", deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._-]{1,64}$")]
    waba_id: Option<Option<String>>,
    /// The number as people write it; null for none.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 200)]
    display_phone: Option<Option<String>>,
    /// Credentials to change.
    credentials: Option<CredentialsInput>,
    /// Whether it is switched on. Switched off, its number is free for another channel.
    enabled: Option<bool>,
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
    (state.app.channels_changed)();
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
    (state.app.channels_changed)();
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
    (state.app.channels_changed)();
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
        (state.app.channels_changed)();
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
