//! Message templates of a tenant: what WhatsApp approves before it is sent.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_app::message_templates::{Edit, ManageError};
use waxwing_core::audit::{Change, Object};
use waxwing_core::errors::ErrorClass;
use waxwing_core::ids::{ChannelId, MessageTemplateId};
use waxwing_core::limits;
use waxwing_core::message_template::lint;
use waxwing_providers::messaging::TemplateFailure;
use waxwing_store::domain::message_templates::{self, Filter, MessageTemplateRecord};

use crate::answer::{Done, Success};
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, ApiQuery, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

use self::form::{
    FindingView, MessageTemplateInput, MessageTemplateView, SubmitInput, SyncInput, violations,
};

pub mod form;

const LIST: &str = "message-templates";
/// Accounts that one call reads.
const ACCOUNTS_MAX: usize = 20;

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_message_templates, create_message_template))
        .routes(routes!(
            get_message_template,
            patch_message_template,
            delete_message_template
        ))
        .routes(routes!(submit_message_template))
        .routes(routes!(sync_message_templates))
}

/// A message template.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageTemplateAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    message_template: MessageTemplateView,
    /// What the linter says.
    findings: Vec<FindingView>,
}

impl MessageTemplateAnswer {
    fn of(record: MessageTemplateRecord) -> Json<Self> {
        let findings = lint::lint(&record.template);
        Json(Self {
            ok: Success,
            message_template: record.into(),
            findings: findings.into_iter().map(Into::into).collect(),
        })
    }
}

/// Message templates.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageTemplateList {
    #[schema(value_type = bool)]
    ok: Success,
    message_templates: Vec<MessageTemplateView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// How the templates of one account were read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountSync {
    /// A channel of the account.
    #[schema(value_type = String)]
    channel_id: ChannelId,
    /// Templates that were not known here.
    created: u32,
    /// Templates of which something changed.
    updated: u32,
    /// Templates that are as they were.
    unchanged: u32,
    /// Templates that the provider has no more.
    deleted: u32,
    /// Templates that could not be read.
    unreadable: u32,
    /// Why they could not be read.
    error: Option<String>,
}

/// How the templates were read.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    accounts: Vec<AccountSync>,
}

/// Refuses everything when message templates are switched off.
pub(super) fn enabled(state: &ApiState) -> ApiResult<()> {
    if state.settings.message_templates {
        return Ok(());
    }
    Err(
        ApiError::forbidden("Message templates are switched off on this server.")
            .hint("The operator sets WHATSAPP_ENABLE_TEMPLATES=on."),
    )
}

/// The answer to what could not be done.
pub(super) fn refused(error: ManageError) -> ApiError {
    match error {
        ManageError::NoChannel => {
            ApiError::invalid_field("channelId", "the tenant has no such active channel")
                .hint("Add a channel, or name one of the tenant's channels.")
        }
        ManageError::NotFound => ApiError::not_found("message template"),
        ManageError::Taken(id) => ApiError::conflict_field(
            "name",
            "is used by another message template of this language and account",
        )
        .hint(format!("It is {id}.")),
        ManageError::Full => ApiError::conflict(format!(
            "The tenant has {} message templates, which is the most.",
            limits::MESSAGE_TEMPLATES
        )),
        ManageError::Busy => {
            ApiError::conflict("The message template is being submitted at this moment.")
        }
        ManageError::Standing { .. } | ManageError::NotPossible(_) => {
            let text = error.to_string();
            let mut sentence: String = text.chars().take(1).flat_map(char::to_uppercase).collect();
            sentence.extend(text.chars().skip(1));
            ApiError::conflict(format!("{sentence}."))
        }
        ManageError::Lint(findings) => {
            let only_warnings = !lint::has_errors(&findings);
            let error = ApiError::invalid(violations(findings));
            if only_warnings {
                error.hint("These are warnings: correct them, or send acceptWarnings=true.")
            } else {
                error.hint("WhatsApp would refuse this message template.")
            }
        }
        ManageError::Provider(error) => provider(&error),
        ManageError::Store(error) => error.into(),
    }
}

/// What the provider said, in its words for people.
fn provider(error: &waxwing_providers::messaging::TemplateError) -> ApiError {
    let words = error.words();
    let code = match (&error.error.code, &error.subcode) {
        (Some(code), Some(subcode)) => format!(" (code {code}, subcode {subcode})"),
        (Some(code), None) => format!(" (code {code})"),
        _ => String::new(),
    };
    let text = format!("The provider says: {words}{code}");
    match error.failure {
        TemplateFailure::Throttled => {
            ApiError::throttled(std::time::Duration::from_secs(60)).hint(text)
        }
        TemplateFailure::Unreachable => {
            ApiError::unavailable(text, std::time::Duration::from_secs(30))
        }
        TemplateFailure::Unknown => ApiError::new(StatusCode::BAD_GATEWAY, text)
            .hint("It may have been done: synchronise before you try again."),
        TemplateFailure::Gone => {
            ApiError::conflict(text).hint("Synchronise: the provider does not have it.")
        }
        TemplateFailure::Exists => {
            ApiError::conflict(text).hint("Synchronise, or choose another name.")
        }
        TemplateFailure::Refused if error.error.class == ErrorClass::Credentials => {
            ApiError::conflict(text).hint(ErrorClass::Credentials.hint())
        }
        TemplateFailure::Refused => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, text),
    }
}

/// What a list of message templates is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct MessageTemplateQuery {
    /// One channel through which they were made.
    channel_id: Option<String>,
    /// One name.
    name: Option<String>,
    /// A status, such as `approved`.
    status: Option<String>,
}

/// List message templates
#[utoipa::path(
    get,
    path = "/message-templates",
    tag = "message templates",
    params(PageQuery, MessageTemplateQuery),
    responses((status = 200, description = "Message templates in the order of their making.", body = MessageTemplateList))
)]
async fn list_message_templates(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
    ApiQuery(query): ApiQuery<MessageTemplateQuery>,
) -> ApiResult<Json<MessageTemplateList>> {
    let channel_id = query
        .channel_id
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| ApiError::malformed_field("channelId", "is not an id of its kind"))?;
    let filter = Filter {
        channel_id,
        name: query.name,
        status: query.status,
    };
    let after = page.after::<Uuid>(LIST)?.map(MessageTemplateId::from_uuid);
    let (tenant, rows) = (scope.id(), page.rows());
    let mut records = state
        .store
        .read(move |tx| message_templates::list(tx, tenant, &filter, after, rows))
        .await?;
    let next_cursor = page.finish(LIST, &mut records, |record| record.id.uuid());
    Ok(Json(MessageTemplateList {
        ok: Success,
        message_templates: records.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

/// Draft a message template
///
/// Stored here only; `findings` says what WhatsApp would refuse about it. `…/submit` hands it in.
#[utoipa::path(
    post,
    path = "/message-templates",
    tag = "message templates",
    request_body = MessageTemplateInput,
    responses(
        (status = 201, description = "The draft.", body = MessageTemplateAnswer),
        (status = 409, description = "The account has one of this name and language.", body = ErrorBody),
    )
)]
async fn create_message_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(input): ApiJson<MessageTemplateInput>,
) -> ApiResult<(StatusCode, Json<MessageTemplateAnswer>)> {
    enabled(&state)?;
    let mut checks = Checks::new();
    let channel = input.channel(&mut checks);
    let template = input.template(None, &mut checks);
    checks.finish()?;
    let template = template.ok_or_else(ApiError::internal)?;
    let made = state
        .app
        .message_templates
        .create(scope.id(), channel, template, scope.trail)
        .await
        .map_err(refused)?;
    Ok((StatusCode::CREATED, MessageTemplateAnswer::of(made)))
}

async fn find(
    state: &ApiState,
    scope: &TenantScope,
    id: MessageTemplateId,
) -> ApiResult<MessageTemplateRecord> {
    let tenant = scope.id();
    let found = state
        .store
        .read(move |tx| message_templates::get(tx, tenant, id));
    found
        .await?
        .ok_or_else(|| ApiError::not_found("message template"))
}

fn object(id: MessageTemplateId) -> Object {
    Object::one("message_template", id)
}

/// Get a message template
#[utoipa::path(
    get,
    path = "/message-templates/{id}",
    tag = "message templates",
    params(("id" = String, Path, description = "The id of the message template.")),
    responses((status = 200, description = "The message template.", body = MessageTemplateAnswer))
)]
async fn get_message_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MessageTemplateId>,
) -> ApiResult<Json<MessageTemplateAnswer>> {
    Ok(MessageTemplateAnswer::of(find(&state, &scope, id).await?))
}

/// Change a message template
///
/// A draft is changed here. One that is approved, rejected or paused is changed at the provider and waits for its
/// approval again; its name and language stay.
#[utoipa::path(
    patch,
    path = "/message-templates/{id}",
    tag = "message templates",
    params(("id" = String, Path, description = "The id of the message template.")),
    request_body = MessageTemplateInput,
    responses(
        (status = 200, description = "The message template after the change.", body = MessageTemplateAnswer),
        (status = 409, description = "It cannot be changed as it stands.", body = ErrorBody),
    )
)]
async fn patch_message_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MessageTemplateId>,
    ApiJson(input): ApiJson<MessageTemplateInput>,
) -> ApiResult<Json<MessageTemplateAnswer>> {
    enabled(&state)?;
    let before = find(&state, &scope, id).await?;
    let mut checks = Checks::new();
    if input
        .channel(&mut checks)
        .is_some_and(|channel| channel != before.channel_id)
    {
        checks.wrong("channelId", "stays");
    }
    let accept_warnings = input.accept_warnings;
    let template = input.template(Some(&before.template), &mut checks);
    checks.finish()?;
    let edit = Edit {
        template: template.ok_or_else(ApiError::internal)?,
        accept_warnings,
    };
    scope.record(&state, object(id), Change::untold()).await?;
    let changed = state
        .app
        .message_templates
        .edit(scope.id(), id, edit)
        .await
        .map_err(refused)?;
    Ok(MessageTemplateAnswer::of(changed))
}

/// How a message template is deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct DeleteQuery {
    /// Agree that the provider deletes all languages of the name, where it cannot delete one.
    #[serde(default)]
    all_languages: bool,
}

/// Delete a message template
///
/// At the provider first. WhatsApp blocks the name of one that was approved for 30 days.
#[utoipa::path(
    delete,
    path = "/message-templates/{id}",
    tag = "message templates",
    params(("id" = String, Path, description = "The id of the message template."), DeleteQuery),
    responses(
        (status = 200, description = "It is gone.", body = Done),
        (status = 409, description = "The provider cannot delete it.", body = ErrorBody),
    )
)]
async fn delete_message_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MessageTemplateId>,
    ApiQuery(query): ApiQuery<DeleteQuery>,
) -> ApiResult<Json<Done>> {
    enabled(&state)?;
    find(&state, &scope, id).await?;
    scope.record(&state, object(id), Change::untold()).await?;
    state
        .app
        .message_templates
        .delete(scope.id(), id, query.all_languages)
        .await
        .map_err(refused)?;
    Ok(Json(Done::default()))
}

/// Submit a message template
///
/// The linter looks at it first: what WhatsApp would refuse is refused here, with the fix; warnings pass with
/// `acceptWarnings`.
#[utoipa::path(
    post,
    path = "/message-templates/{id}/submit",
    tag = "message templates",
    params(("id" = String, Path, description = "The id of the message template.")),
    request_body = SubmitInput,
    responses(
        (status = 200, description = "It was handed in.", body = MessageTemplateAnswer),
        (status = 409, description = "It was handed in before, or exists at the provider.", body = ErrorBody),
        (status = 502, description = "The provider's answer was lost; synchronise.", body = ErrorBody),
    )
)]
async fn submit_message_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MessageTemplateId>,
    ApiJson(input): ApiJson<SubmitInput>,
) -> ApiResult<Json<MessageTemplateAnswer>> {
    enabled(&state)?;
    find(&state, &scope, id).await?;
    scope.record(&state, object(id), Change::untold()).await?;
    let submitted = state
        .app
        .message_templates
        .submit(scope.id(), id, input.accept_warnings)
        .await
        .map_err(refused)?;
    Ok(MessageTemplateAnswer::of(submitted))
}

/// Synchronise message templates
///
/// Reads all templates of the tenant's accounts from their providers. This happens by itself every hour.
#[utoipa::path(
    post,
    path = "/message-templates/sync",
    tag = "message templates",
    request_body = SyncInput,
    responses((status = 200, description = "What was read, by account. An account that could not be read says why.", body = SyncAnswer))
)]
async fn sync_message_templates(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(input): ApiJson<SyncInput>,
) -> ApiResult<Json<SyncAnswer>> {
    enabled(&state)?;
    let channel = input
        .channel_id
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| ApiError::invalid_field("channelId", "is not the id of a channel"))?;
    let all = Object::all("message_template");
    scope.record(&state, all, Change::untold()).await?;
    let templates = &state.app.message_templates;
    let heads = templates
        .accounts(scope.id(), channel)
        .await
        .map_err(refused)?;
    let mut accounts = Vec::new();
    for channel_id in heads.into_iter().take(ACCOUNTS_MAX) {
        let (synced, error) = match templates.sync(scope.id(), channel_id).await {
            Ok(synced) => (synced, None),
            Err(ManageError::Store(error)) => return Err(error.into()),
            Err(error) => (Default::default(), Some(error.to_string())),
        };
        accounts.push(AccountSync {
            channel_id,
            created: synced.created,
            updated: synced.updated,
            unchanged: synced.unchanged,
            deleted: synced.deleted,
            unreadable: synced.unreadable,
            error,
        });
    }
    Ok(Json(SyncAnswer {
        ok: Success,
        accounts,
    }))
}
