//! Conversations of a tenant.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_core::ids::{ConversationId, TenantId};
use waxwing_core::time::Timestamp;
use waxwing_store::StoreError;
use waxwing_store::domain::contacts;
use waxwing_store::domain::conversations::{self, ConversationRow, Filter};
use waxwing_store::domain::crypto::Keyring;

use super::messages::{self, MessageList};
use crate::answer::Success;
use crate::auth::TenantScope;
use crate::errors::{ApiError, ApiResult};
use crate::extract::{ApiQuery, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "conversations";

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_conversations))
        .routes(routes!(get_conversation))
        .routes(routes!(list_conversation_messages))
}

/// A conversation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationView {
    id: String,
    channel_id: String,
    contact_id: String,
    contact: ContactSummary,
    /// `open` or `closed`.
    status: String,
    /// `bot` or `human`.
    mode: String,
    /// What rules and buttons have set; null after the session has ended.
    state: Option<String>,
    /// The template whose buttons are current.
    last_template_key: Option<String>,
    session_expires_at: Option<String>,
    window: WindowView,
    last_message_at: String,
    created_at: String,
}

/// The person of a conversation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactSummary {
    id: String,
    name: Option<String>,
    /// In E.164; null when WhatsApp does not tell it.
    phone: Option<String>,
    user_id: Option<String>,
}

/// The customer service window.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowView {
    /// Whether free-form messages are allowed now.
    open: bool,
    /// Until when; null when the contact never wrote.
    expires_at: Option<String>,
    /// Messages are free of charge until then, since the contact came from an ad; null otherwise.
    free_entry_until: Option<String>,
}

/// A conversation.
#[derive(Serialize, ToSchema)]
pub struct ConversationAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    conversation: ConversationView,
}

/// Conversations.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationList {
    #[schema(value_type = bool)]
    ok: Success,
    conversations: Vec<ConversationView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

impl ConversationView {
    fn open(
        keyring: &Keyring,
        tenant: TenantId,
        row: ConversationRow,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let phone =
            contacts::open_phone(keyring, tenant, row.contact_id, row.phone_sealed.as_deref())?;
        let user_id = contacts::open_user_id(
            keyring,
            tenant,
            row.contact_id,
            row.user_id_sealed.as_deref(),
        )?;
        let name = row.name(keyring, tenant)?;
        // An ended session is cleaned up when the contact writes again; until then it only looks ended.
        let in_session = row.session_expires_at.is_none_or(|end| end > now);
        Ok(Self {
            id: row.id.to_string(),
            channel_id: row.channel_id.to_string(),
            contact_id: row.contact_id.to_string(),
            contact: ContactSummary {
                id: row.contact_id.to_string(),
                name,
                phone: phone.map(|phone| phone.e164()),
                user_id: user_id.map(|user| user.as_str().to_owned()),
            },
            status: row.status,
            mode: row.mode,
            state: row.state.filter(|_| in_session),
            last_template_key: row.last_template_key.filter(|_| in_session),
            session_expires_at: row.session_expires_at.map(Timestamp::rfc3339),
            window: WindowView {
                open: row.window_expires_at.is_some_and(|end| end > now),
                expires_at: row.window_expires_at.map(Timestamp::rfc3339),
                free_entry_until: row.free_entry_until.map(Timestamp::rfc3339),
            },
            last_message_at: row.last_message_at.rfc3339(),
            created_at: row.created_at.rfc3339(),
        })
    }
}

/// What a list of conversations is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct ConversationQuery {
    /// `open` or `closed`.
    status: Option<String>,
    /// `bot` or `human`.
    mode: Option<String>,
    /// One channel.
    channel_id: Option<String>,
    /// One contact.
    contact_id: Option<String>,
}

/// List conversations
#[utoipa::path(
    get,
    path = "/conversations",
    tag = "conversations",
    params(PageQuery, ConversationQuery),
    responses((status = 200, description = "Conversations, the latest first.", body = ConversationList))
)]
async fn list_conversations(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
    ApiQuery(query): ApiQuery<ConversationQuery>,
) -> ApiResult<Json<ConversationList>> {
    let wrong = |field: &str| ApiError::malformed_field(field, "is not an id of its kind");
    let before = page.after::<(Timestamp, Uuid)>(LIST)?;
    let filter = Filter {
        status: query.status,
        mode: query.mode,
        channel_id: query
            .channel_id
            .map(|text| text.parse().map_err(|_| wrong("channelId")))
            .transpose()?,
        contact_id: query
            .contact_id
            .map(|text| text.parse().map_err(|_| wrong("contactId")))
            .transpose()?,
        before: before.map(|(at, id)| (at, ConversationId::from_uuid(id))),
    };
    let (tenant, rows) = (scope.id(), page.rows());
    let mut found = state
        .store
        .read(move |tx| conversations::list(tx, tenant, &filter, rows))
        .await?;
    let next_cursor = page.finish(LIST, &mut found, |row| (row.last_message_at, row.id.uuid()));
    let now = state.now();
    let conversations = found
        .into_iter()
        .map(|row| ConversationView::open(&state.keyring, tenant, row, now))
        .collect::<Result<_, _>>()?;
    Ok(Json(ConversationList {
        ok: Success,
        conversations,
        next_cursor,
    }))
}

async fn find(
    state: &ApiState,
    scope: &TenantScope,
    id: ConversationId,
) -> ApiResult<ConversationRow> {
    let tenant = scope.id();
    let found = state
        .store
        .read(move |tx| conversations::get(tx, tenant, id))
        .await?;
    found.ok_or_else(|| ApiError::not_found("conversation"))
}

/// Read a conversation
#[utoipa::path(
    get,
    path = "/conversations/{id}",
    tag = "conversations",
    params(("id" = String, Path, description = "The id of the conversation")),
    responses((status = 200, description = "The conversation.", body = ConversationAnswer))
)]
async fn get_conversation(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ConversationId>,
) -> ApiResult<Json<ConversationAnswer>> {
    let row = find(&state, &scope, id).await?;
    let conversation = ConversationView::open(&state.keyring, scope.id(), row, state.now())?;
    Ok(Json(ConversationAnswer {
        ok: Success,
        conversation,
    }))
}

/// List the messages of a conversation
#[utoipa::path(
    get,
    path = "/conversations/{id}/messages",
    tag = "conversations",
    params(("id" = String, Path, description = "The id of the conversation"), PageQuery),
    responses((status = 200, description = "Messages, the latest first.", body = MessageList))
)]
async fn list_conversation_messages(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ConversationId>,
    page: Page,
) -> ApiResult<Json<MessageList>> {
    find(&state, &scope, id).await?;
    messages::of_conversation(&state, &scope, page, id).await
}
