//! Messages of a tenant: sending, listing, reading, taking back.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_app::message_templates::Given;
use waxwing_app::message_templates::Prepared;
use waxwing_app::send::{Outside, SendError, SendRequest};
use waxwing_core::audit::{Change, Object};
use waxwing_core::content::{Content, Violation};
use waxwing_core::delivery::Purpose;
use waxwing_core::ids::{ConversationId, MessageId, OutboxEventId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_store::domain::messages::{self, Filter};
use waxwing_store::domain::outbox::{self, NewOutboxEvent};
use waxwing_store::domain::templates;

use crate::answer::Success;
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, ApiQuery, IdParam};
use crate::page::{Page, PageQuery};
use crate::routes::message_templates;
use crate::state::ApiState;

use self::form::{Envelope, SendForm, TemplateSendForm};
use self::view::MessageView;
use super::media::switched_off;
use super::media::view::{MediaView, named_by};

pub mod form;
pub mod read;
pub mod view;

const LIST: &str = "messages";
const WINDOW_HINT: &str = "Send a message template by /send/template, or name one in `outsideWindow` to be sent in place of this message, or let it wait for the contact with \"outsideWindow\": \"wait\".";

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(send_message))
        .routes(routes!(send_template))
        .routes(routes!(list_messages))
        .routes(routes!(get_message))
        .routes(routes!(cancel_message))
        .routes(routes!(read::mark_read))
}

/// A message.
#[derive(Serialize, ToSchema)]
pub struct MessageAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    message: MessageView,
}

/// Messages.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageList {
    #[schema(value_type = bool)]
    ok: Success,
    messages: Vec<MessageView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

fn unknown() -> ApiError {
    ApiError::not_found("message")
}

/// Send a message
///
/// Queued durably before the answer. Outside of the customer service window, the 24 hours after the contact's last message,
/// WhatsApp delivers only message templates: there a free-form message is refused, or becomes what `outsideWindow` says.
#[utoipa::path(
    post,
    path = "/send",
    tag = "messages",
    request_body = SendForm,
    responses(
        (status = 202, description = "The message is queued.", body = MessageAnswer),
        (status = 409, description = "The idempotency key was used; `existing` is the message.", body = ErrorBody),
        (status = 422, description = "Something in it is wrong, or the customer service window is closed.", body = ErrorBody),
    )
)]
async fn send_message(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(form): ApiJson<SendForm>,
) -> ApiResult<(StatusCode, Json<MessageAnswer>)> {
    let mut checks = Checks::new();
    let content = form.content(&mut checks);
    let fingerprint = fingerprint(&form)?;
    queue(
        &state,
        &scope,
        &form.envelope,
        checks,
        Drafted {
            content,
            template_key: None,
            marketing: false,
        },
        fingerprint,
    )
    .await
}

/// Send a template
///
/// A template of the tenant by its key with variables, or a message template that WhatsApp has approved.
#[utoipa::path(
    post,
    path = "/send/template",
    tag = "messages",
    request_body = TemplateSendForm,
    responses(
        (status = 202, description = "The message is queued.", body = MessageAnswer),
        (status = 409, description = "The idempotency key was used; `existing` is the message.", body = ErrorBody),
        (status = 422, description = "Something in it is wrong, or the customer service window is closed.", body = ErrorBody),
    )
)]
async fn send_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(form): ApiJson<TemplateSendForm>,
) -> ApiResult<(StatusCode, Json<MessageAnswer>)> {
    let mut checks = Checks::new();
    let fingerprint = fingerprint(&form)?;
    let variables = form.variables(&mut checks);
    let mut marketing = false;
    let content = match (&form.template_key, &form.message_template) {
        (Some(key), None) => {
            let (tenant, wanted) = (scope.id(), key.clone());
            let found = state
                .store
                .read(move |tx| templates::get(tx, tenant, &wanted))
                .await?;
            match found
                .map(|record| record.template)
                .filter(|template| template.active)
            {
                None => {
                    checks.wrong("templateKey", "names no active template");
                    None
                }
                Some(template) => match template.render(&variables) {
                    Ok(content) => {
                        checks.extend(content.violations());
                        Some(content)
                    }
                    Err(missing) => {
                        missing.iter().for_each(|name| {
                            checks.wrong(format!("variables.{name}"), "is missing")
                        });
                        None
                    }
                },
            }
        }
        (None, Some(template)) => {
            let given = template.clone().given();
            let prepared = prepared(&state, &scope, &form.envelope, given, "", &mut checks).await?;
            marketing = prepared.as_ref().is_some_and(|prepared| prepared.marketing);
            prepared.map(|prepared| prepared.content)
        }
        _ => {
            checks.wrong("templateKey", "give either templateKey or messageTemplate");
            None
        }
    };
    queue(
        &state,
        &scope,
        &form.envelope,
        checks,
        Drafted {
            content,
            template_key: form.template_key.clone(),
            marketing,
        },
        fingerprint,
    )
    .await
}

/// The content of a send of a message template, checked against what is known of it; `None` when that is not sent.
async fn prepared(
    state: &ApiState,
    scope: &TenantScope,
    envelope: &Envelope,
    given: Given,
    path: &str,
    checks: &mut Checks,
) -> ApiResult<Option<Prepared>> {
    message_templates::enabled(state)?;
    let outcome = state
        .app
        .message_templates
        .prepare(scope.id(), envelope.channel(), given)
        .await;
    match outcome.map_err(message_templates::refused)? {
        Ok(prepared) => {
            checks.extend(prepared.content.violations());
            Ok(Some(prepared))
        }
        Err(found) => {
            let found = found
                .into_iter()
                .map(|one| Violation::new(format!("{path}{}", one.field), one.message));
            checks.extend(found.collect());
            Ok(None)
        }
    }
}

/// What makes two requests with one key the same: everything but the key.
fn fingerprint(form: &impl Serialize) -> ApiResult<Vec<u8>> {
    serde_json::to_vec(form).map_err(|_| ApiError::internal())
}

/// What a request wants sent.
struct Drafted {
    /// `None` when it cannot be sent: the checks say why.
    content: Option<Content>,
    /// The template of the tenant that it comes from.
    template_key: Option<String>,
    /// It is marketing, which not everybody wants.
    marketing: bool,
}

async fn queue(
    state: &ApiState,
    scope: &TenantScope,
    envelope: &Envelope,
    mut checks: Checks,
    drafted: Drafted,
    fingerprint: Vec<u8>,
) -> ApiResult<(StatusCode, Json<MessageAnswer>)> {
    let country = scope.tenant.settings.default_country.as_deref();
    let mut addressed = envelope.read(&mut checks, country, state.now());
    if let Some(given) = envelope.outside_template() {
        let prepared = prepared(state, scope, envelope, given, "outsideWindow.", &mut checks);
        if let Some(prepared) = prepared.await? {
            addressed.outside = Outside::Template(prepared.content);
        }
    }
    checks.finish()?;
    let content = drafted.content.ok_or_else(ApiError::internal)?;
    let kind = content.kind();
    if content.media().is_some() && !state.settings.media {
        return Err(switched_off());
    }
    let request = SendRequest {
        tenant_id: scope.id(),
        channel_id: addressed.channel_id,
        to: addressed.to,
        content,
        template_key: drafted.template_key,
        purpose: if drafted.marketing {
            Purpose::Bulk
        } else {
            addressed.purpose
        },
        idempotency_key: envelope.idempotency_key.clone(),
        fingerprint,
        due_at: addressed.due_at,
        reply_to: addressed.reply_to,
        outside: addressed.outside,
        trail: scope.trail.clone(),
    };
    match state.app.send.queue(request).await {
        Ok(row) => {
            let message = MessageView::open(&state.keyring, scope.id(), row)?;
            let message = with_file(state, scope.id(), message).await?;
            Ok((
                StatusCode::ACCEPTED,
                Json(MessageAnswer {
                    ok: Success,
                    message,
                }),
            ))
        }
        Err(SendError::NoChannel) => Err(ApiError::invalid_field(
            "channelId",
            "the tenant has no such active channel",
        )
        .hint("Add a channel, or name one of the tenant's channels.")),
        Err(SendError::WindowClosed { never_opened }) => {
            let why = if never_opened {
                "cannot be sent: the contact has never written, so the first message must be a message template"
            } else {
                "cannot be sent: the contact's customer service window is closed (24 hours after their last message, or by the provider's word)"
            };
            Err(ApiError::invalid_field("outsideWindow", why).hint(WINDOW_HINT))
        }
        Err(SendError::Blocked) => Err(ApiError::invalid_field("to", "is blocked here")
            .hint("POST …/contacts/{id}/unblock lets messages through again.")),
        Err(SendError::OptedOut) => Err(ApiError::invalid_field(
            "to",
            "wants no marketing messages: the contact opted out",
        )
        .hint("GET …/opt-ins?contactId=… shows when and how.")),
        Err(SendError::Duplicate(id)) => {
            let error =
                ApiError::conflict("The idempotency key was used before for the same request.");
            Err(with_existing(state, scope.id(), id, error).await)
        }
        Err(SendError::KeyReused(id)) => {
            let error =
                ApiError::invalid_field("idempotency_key", "was used before for another request");
            Err(with_existing(state, scope.id(), id, error).await)
        }
        Err(SendError::Media(reason)) => {
            Err(ApiError::invalid_field(format!("{kind}.mediaId"), reason))
        }
        Err(SendError::Store(error)) => Err(error.into()),
    }
}

async fn with_existing(
    state: &ApiState,
    tenant: TenantId,
    id: MessageId,
    error: ApiError,
) -> ApiError {
    match read(state, tenant, id).await {
        Ok(Some(message)) => match serde_json::to_value(message) {
            Ok(message) => error.existing(message),
            Err(_) => error,
        },
        Ok(None) => error,
        Err(failed) => failed,
    }
}

async fn read(state: &ApiState, tenant: TenantId, id: MessageId) -> ApiResult<Option<MessageView>> {
    let keyring = state.keyring.clone();
    let read = state.store.read(move |tx| {
        let row = messages::get(tx, &keyring, tenant, id)?;
        row.map(|row| MessageView::open(&keyring, tenant, row))
            .transpose()
    });
    match read.await? {
        Some(message) => Ok(Some(with_file(state, tenant, message).await?)),
        None => Ok(None),
    }
}

/// The message with the file that it names.
async fn with_file(
    state: &ApiState,
    tenant: TenantId,
    message: MessageView,
) -> ApiResult<MessageView> {
    let mut messages = vec![message];
    with_files(state, tenant, &mut messages).await?;
    messages.pop().ok_or_else(ApiError::internal)
}

async fn with_files(
    state: &ApiState,
    tenant: TenantId,
    messages: &mut [MessageView],
) -> ApiResult<()> {
    let contents = messages.iter().map(|message| &message.content);
    let files = named_by(state, tenant, contents).await?;
    for message in messages {
        if let Some(id) = message.content.get("mediaId").and_then(|id| id.as_str()) {
            let kept = files.get(id).cloned();
            let gone = || MediaView::deleted(id, &message.content);
            message.media = Some(kept.unwrap_or_else(gone));
        }
    }
    Ok(())
}

/// What a list of messages is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct MessageQuery {
    /// `IN` or `OUT`.
    direction: Option<String>,
    /// A status, such as `failed`.
    status: Option<String>,
    /// A kind of content, such as `button_reply`.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    kind: Option<String>,
    /// One conversation.
    conversation_id: Option<String>,
    /// One contact.
    contact_id: Option<String>,
    /// One channel.
    channel_id: Option<String>,
    /// Text that occurs in the message, whatever the case.
    q: Option<String>,
}

impl MessageQuery {
    fn filter(self, page: &Page) -> ApiResult<Filter> {
        let wrong = |field: &str| ApiError::malformed_field(field, "is not an id of its kind");
        let conversation_id = self
            .conversation_id
            .map(|text| text.parse().map_err(|_| wrong("conversationId")))
            .transpose()?;
        let contact_id = self
            .contact_id
            .map(|text| text.parse().map_err(|_| wrong("contactId")))
            .transpose()?;
        let channel_id = self
            .channel_id
            .map(|text| text.parse().map_err(|_| wrong("channelId")))
            .transpose()?;
        if self
            .q
            .as_ref()
            .is_some_and(|text| text.chars().count() > 200)
        {
            return Err(ApiError::malformed_field(
                "q",
                "is longer than 200 characters",
            ));
        }
        Ok(Filter {
            id: None,
            conversation_id,
            contact_id,
            channel_id,
            direction: self.direction.map(|word| word.to_ascii_uppercase()),
            status: self.status,
            kind: self.kind,
            text: self.q.filter(|text| !text.is_empty()),
            before: page.after::<Uuid>(LIST)?.map(MessageId::from_uuid),
        })
    }
}

/// List messages
#[utoipa::path(
    get,
    path = "/messages",
    tag = "messages",
    params(PageQuery, MessageQuery),
    responses((status = 200, description = "Messages, the latest first.", body = MessageList))
)]
async fn list_messages(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
    ApiQuery(query): ApiQuery<MessageQuery>,
) -> ApiResult<Json<MessageList>> {
    let filter = query.filter(&page)?;
    list(&state, &scope, page, filter).await
}

/// A page of messages.
pub(super) async fn list(
    state: &ApiState,
    scope: &TenantScope,
    page: Page,
    filter: Filter,
) -> ApiResult<Json<MessageList>> {
    let (tenant, rows) = (scope.id(), page.rows());
    let keyring = state.keyring.clone();
    let mut found = state
        .store
        .read(move |tx| messages::list(tx, &keyring, tenant, &filter, rows))
        .await?;
    let next_cursor = page.finish(LIST, &mut found, |row| row.id.uuid());
    let mut messages = found
        .into_iter()
        .map(|row| MessageView::open(&state.keyring, tenant, row))
        .collect::<Result<Vec<_>, _>>()?;
    with_files(state, tenant, &mut messages).await?;
    Ok(Json(MessageList {
        ok: Success,
        messages,
        next_cursor,
    }))
}

/// A page of a conversation's messages.
pub(super) async fn of_conversation(
    state: &ApiState,
    scope: &TenantScope,
    page: Page,
    conversation: ConversationId,
) -> ApiResult<Json<MessageList>> {
    let before = page.after::<Uuid>(LIST)?.map(MessageId::from_uuid);
    let filter = Filter {
        conversation_id: Some(conversation),
        before,
        ..Filter::default()
    };
    list(state, scope, page, filter).await
}

/// Read a message
///
/// With every try to send it.
#[utoipa::path(
    get,
    path = "/messages/{id}",
    tag = "messages",
    params(("id" = String, Path, description = "The id of the message")),
    responses((status = 200, description = "The message.", body = MessageAnswer))
)]
async fn get_message(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MessageId>,
) -> ApiResult<Json<MessageAnswer>> {
    let (tenant, keyring) = (scope.id(), state.keyring.clone());
    let (row, attempts) = state
        .store
        .read(move |tx| {
            Ok((
                messages::get(tx, &keyring, tenant, id)?,
                messages::attempts(tx, tenant, id)?,
            ))
        })
        .await?;
    let message = MessageView::open(&state.keyring, tenant, row.ok_or_else(unknown)?)?
        .with_attempts(attempts);
    let message = with_file(&state, tenant, message).await?;
    Ok(Json(MessageAnswer {
        ok: Success,
        message,
    }))
}

/// Take a message back
///
/// Only while it is queued.
#[utoipa::path(
    post,
    path = "/messages/{id}/cancel",
    tag = "messages",
    params(("id" = String, Path, description = "The id of the message")),
    responses(
        (status = 200, description = "The message will not be sent.", body = MessageAnswer),
        (status = 409, description = "It is on its way already.", body = ErrorBody),
    )
)]
async fn cancel_message(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MessageId>,
) -> ApiResult<Json<MessageAnswer>> {
    let (tenant, now) = (scope.id(), state.now());
    let ids = state.ids.clone();
    let cancelled = state
        .store
        .write(move |tx| {
            let Some(conversation_id) = messages::cancel(tx, tenant, id, now)? else {
                return Ok(false);
            };
            let object = Object::one("message", id);
            scope.trail.record(tx, &object, &Change::untold())?;
            let event = DomainEvent::MessageStatusChanged {
                message_id: id,
                conversation_id,
                status: "cancelled".to_owned(),
                error: None,
            };
            let event = NewOutboxEvent {
                tenant_id: tenant,
                id: OutboxEventId::new(&*ids),
                event,
            };
            outbox::append(tx, &[event], now)?;
            Ok(true)
        })
        .await?;
    let message = read(&state, tenant, id).await?.ok_or_else(unknown)?;
    if !cancelled {
        return Err(ApiError::conflict("The message is not queued any more."));
    }
    Ok(Json(MessageAnswer {
        ok: Success,
        message,
    }))
}
