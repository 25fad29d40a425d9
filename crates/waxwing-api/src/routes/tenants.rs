//! Tenants: registration and reading. For the platform admin.

use crate::trail::Requested;
use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_app::privacy;
use waxwing_core::audit::{Actor, Change, Object};
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::secret::Secret;
use waxwing_core::settings::TenantSettings;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::channels::{self, NewChannel};
use waxwing_store::domain::keys;
use waxwing_store::domain::tenants::{self, DEFAULT_TENANT, TenantRecord};

use super::channels::form::ChannelView;
use super::channels::view;
use super::channels::{number_is_used, secret_warning};
use super::settings::SettingsView;
use crate::answer::{Done, Success, Warning};
use crate::auth::{DEFAULT_TENANT_WORD, PlatformAdmin, TenantScope};
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, ApiQuery};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "tenants";

/// The routes of this module, relative to `/api`.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_tenants))
        .routes(routes!(register_tenant))
        .routes(routes!(get_tenant, erase_tenant))
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantView {
    /// Its id.
    #[schema(value_type = String, example = "tnt_00000000000070008000000000000001")]
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Whether it is the default tenant.
    pub is_default: bool,
    /// What it has set.
    pub settings: SettingsView,
    /// Rises with every change of its templates, flows and settings.
    pub config_version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it, its templates or its flows were changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The channel that was made with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelView>,
}

impl From<TenantRecord> for TenantView {
    fn from(record: TenantRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            is_default: record.id == DEFAULT_TENANT,
            settings: record.settings.into(),
            config_version: record.config_version,
            created_at: record.created_at,
            updated_at: record.updated_at,
            channel: None,
        }
    }
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    tenant: TenantView,
    /// What deserves a look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// Tenants.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantList {
    #[schema(value_type = bool)]
    ok: Success,
    tenants: Vec<TenantView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// A tenant to be registered with its first channel, a number of Meta's Cloud API.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterTenant {
    /// Its name.
    #[schema(required, value_type = String, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Meta's id of the number, not its digits.
    #[schema(required, value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "106540352242922")]
    phone_number_id: Option<String>,
    /// The token that sends.
    #[schema(required, value_type = String, format = Password, write_only, min_length = 1)]
    access_token: Option<Secret>,
    /// Meta's id of the WhatsApp Business Account.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    waba_id: Option<String>,
    /// The secret of the Meta app that signs webhooks, when it is not the platform's.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    app_secret: Option<Secret>,
    /// The token of the webhook handshake, when it is not the platform's.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    verify_token: Option<Secret>,
    /// The number as people write it.
    #[schema(max_length = 200)]
    display_phone: Option<String>,
}

/// Register a tenant
///
/// Makes a tenant and its first channel in one step.
#[utoipa::path(
    post,
    path = "/tenants/register",
    tag = "tenants",
    request_body = RegisterTenant,
    responses(
        (status = 201, description = "The tenant and its channel, under `tenant.channel`.", body = TenantAnswer),
        (status = 409, description = "A channel has this number already.", body = crate::errors::ErrorBody),
    )
)]
async fn register_tenant(
    State(state): State<ApiState>,
    _: PlatformAdmin,
    Requested(origin): Requested,
    ApiJson(input): ApiJson<RegisterTenant>,
) -> ApiResult<(StatusCode, Json<TenantAnswer>)> {
    let mut checks = Checks::new();
    let name = checks.required("name", input.name);
    checks.name("name", &name);
    let sender_id = checks.required("phoneNumberId", input.phone_number_id);
    checks.provider_id("phoneNumberId", &sender_id);
    if let Some(account) = &input.waba_id {
        checks.provider_id("wabaId", account);
    }
    if let Some(phone) = &input.display_phone {
        checks.name("displayPhone", phone);
    }
    let mut credentials = Credentials::new();
    if input.access_token.is_none() {
        checks.wrong("accessToken", "is missing");
    }
    for (name, value) in [
        (credential::ACCESS_TOKEN, input.access_token),
        (credential::APP_SECRET, input.app_secret),
        (credential::VERIFY_TOKEN, input.verify_token),
    ] {
        if let Some(value) = value {
            checks.credential(name, &value);
            credentials.set(name, value);
        }
    }
    checks.finish()?;

    let tenant = TenantId::new(&*state.ids);
    let channel = NewChannel {
        id: ChannelId::new(&*state.ids),
        kind: ChannelKind::Meta,
        name: name.clone(),
        sender_id,
        account_id: input.waba_id,
        display_phone: input.display_phone,
        credentials,
    };
    let (now, keyring) = (state.now(), state.keyring.clone());
    let made = state.store.write(move |tx| {
        let record = tenants::create(tx, tenant, name.trim(), &TenantSettings::default(), now)?;
        keys::make(tx, &keyring, tenant, now)?;
        let channel = channels::create(tx, &keyring, tenant, &channel, now)?;
        let change = Change::made(json!({ "channelId": channel.channel_id.to_string() }));
        origin.by(Actor::PlatformAdmin, Some(tenant)).record(
            tx,
            &Object::one("tenant", tenant),
            &change,
        )?;
        Ok((record, channel))
    });
    let (record, channel) = made
        .await
        .map_err(|error| number_is_used("phoneNumberId", error))?;
    state.channels_changed().await;
    tracing::info!(tenant = %tenant, channel = %channel.channel_id, "a tenant was registered");
    let warnings = secret_warning(&state, &channel);
    let tenant = TenantView {
        channel: Some(view(&state, channel)),
        ..record.into()
    };
    Ok((
        StatusCode::CREATED,
        Json(TenantAnswer {
            ok: Success,
            tenant,
            warnings,
        }),
    ))
}

/// List tenants
#[utoipa::path(
    get,
    path = "/tenants",
    tag = "tenants",
    params(PageQuery),
    responses((status = 200, description = "Tenants in the order of their making.", body = TenantList))
)]
async fn list_tenants(
    State(state): State<ApiState>,
    _: PlatformAdmin,
    page: Page,
) -> ApiResult<Json<TenantList>> {
    let after = page.after::<Uuid>(LIST)?.map(TenantId::from_uuid);
    let rows = page.rows();
    let mut records = state
        .store
        .read(move |tx| tenants::list(tx, after, rows))
        .await?;
    let next_cursor = page.finish(LIST, &mut records, |record| record.id.uuid());
    let tenants = records.into_iter().map(Into::into).collect();
    Ok(Json(TenantList {
        ok: Success,
        tenants,
        next_cursor,
    }))
}

/// Get a tenant
#[utoipa::path(
    get,
    path = "/tenants/{tenant}",
    tag = "tenants",
    responses((status = 200, description = "The tenant.", body = TenantAnswer))
)]
async fn get_tenant(scope: TenantScope) -> Json<TenantAnswer> {
    Json(TenantAnswer {
        ok: Success,
        tenant: scope.tenant.into(),
        warnings: Vec::new(),
    })
}

/// That the caller means it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EraseQuery {
    /// The name of the tenant, to show that it is this one.
    name: Option<String>,
}

/// Erase a tenant
///
/// At once nobody gets in, its numbers are free and its keys are destroyed: nothing sealed of it opens again, wherever
/// copies are. Its rows and files go in the background. It cannot be taken back.
#[utoipa::path(
    delete,
    path = "/tenants/{tenant}",
    tag = "tenants",
    params(("tenant" = String, Path, description = "The tenant's id."), EraseQuery),
    responses(
        (status = 202, description = "It has begun.", body = Done),
        (status = 409, description = "It is the default tenant, which stays.", body = ErrorBody),
        (status = 422, description = "The name is not the tenant's.", body = ErrorBody),
    )
)]
async fn erase_tenant(
    State(state): State<ApiState>,
    admin: PlatformAdmin,
    Path(tenant): Path<String>,
    ApiQuery(query): ApiQuery<EraseQuery>,
) -> ApiResult<(StatusCode, Json<Done>)> {
    let unknown = || ApiError::not_found("tenant");
    if tenant == DEFAULT_TENANT_WORD {
        return Err(ApiError::conflict("The default tenant stays."));
    }
    let id: TenantId = tenant.parse().map_err(|_| unknown())?;
    if id == tenants::DEFAULT_TENANT {
        return Err(ApiError::conflict("The default tenant stays."));
    }
    let found = state.store.read(move |tx| tenants::get(tx, id));
    let record = found.await?.ok_or_else(unknown)?;
    if query.name.as_deref() != Some(record.name.as_str()) {
        return Err(ApiError::invalid_field(
            "name",
            "must be the name of the tenant",
        ));
    }
    let begun = privacy::erase_tenant(&state.base(), id, admin.trail).await?;
    if !begun {
        return Err(unknown());
    }
    state.channels_changed().await;
    tracing::warn!(tenant = %id, "a tenant is being erased");
    Ok((StatusCode::ACCEPTED, Json(Done::default())))
}
