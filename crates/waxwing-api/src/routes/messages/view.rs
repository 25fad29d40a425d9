//! How a message looks in the API.

use crate::routes::media::view::MediaView;
use serde::Serialize;
use utoipa::ToSchema;
use waxwing_core::errors::ErrorClass;
use waxwing_core::ids::TenantId;
use waxwing_store::StoreError;
use waxwing_store::domain::contacts;
use waxwing_store::domain::crypto::Keyring;
use waxwing_store::domain::messages::{AttemptRow, MessageRow, open_provider_id};

/// A message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    id: String,
    conversation_id: String,
    contact_id: String,
    channel_id: String,
    /// `IN` or `OUT`.
    direction: String,
    /// The kind of content, such as `text` or `interactive_button`.
    #[serde(rename = "type")]
    kind: String,
    /// What a person reads.
    body: Option<String>,
    /// All of it.
    #[schema(value_type = Object)]
    pub(super) content: serde_json::Value,
    /// The file of a media message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media: Option<MediaView>,
    /// `queued`, `sending`, `sent`, `delivered`, `read`, `failed`, `cancelled`, `expired`; `received` for inbound ones.
    status: String,
    /// How often it was tried.
    attempts: i64,
    /// The provider's id.
    provider_message_id: Option<String>,
    idempotency_key: Option<String>,
    /// Who it is for: a phone number in E.164, or a user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Who it is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Why it failed or waits.
    error: Option<MessageError>,
    /// The provider gave no answer: it may have been sent.
    outcome_unknown: bool,
    /// It was sent a second time after an unknown outcome.
    may_be_duplicate: bool,
    /// It went out while an earlier message of the conversation had an unknown outcome.
    order_uncertain: bool,
    template_key: Option<String>,
    /// Why it was sent, or why it got no answer.
    #[schema(value_type = Option<Object>)]
    cause: Option<serde_json::Value>,
    /// The message that it answers.
    reply_to: Option<String>,
    /// What it costs, as the provider says.
    #[schema(value_type = Option<Object>)]
    pricing: Option<serde_json::Value>,
    /// When it is due, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    /// What it waits for, while it is queued: `time` for its `sendAt`, `window` for the contact to write,
    /// `portfolio_limit` since the account has written to as many people within a day as its provider allows. `dueAt` is
    /// then when it goes, expires, or is looked at again.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    /// What becomes of it while the customer service window is closed: `wait` or `template`; absent when it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    outside_window: Option<&'static str>,
    /// When an inbound message was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    written_at: Option<String>,
    sent_at: Option<String>,
    delivered_at: Option<String>,
    read_at: Option<String>,
    failed_at: Option<String>,
    created_at: String,
    updated_at: String,
    /// Each try to send it; only when one message is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_log: Option<Vec<AttemptView>>,
}

/// Why a message failed or waits.
#[derive(Serialize, ToSchema)]
pub struct MessageError {
    /// The provider's code.
    code: Option<String>,
    /// What the error means.
    class: String,
    /// The provider's words.
    message: String,
    /// What to do.
    hint: &'static str,
}

/// One try to send a message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    id: String,
    number: i64,
    started_at: String,
    finished_at: Option<String>,
    /// `sent`, `retry`, `failed` or `unknown`; null while it runs.
    outcome: Option<String>,
    error: Option<MessageError>,
}

fn error(
    class: Option<String>,
    code: Option<String>,
    message: Option<String>,
) -> Option<MessageError> {
    let class = class?;
    let hint = ErrorClass::parse(&class).map_or("", ErrorClass::hint);
    Some(MessageError {
        code,
        class,
        message: message.unwrap_or_default(),
        hint,
    })
}

impl MessageView {
    /// The view of a row; opens what is sealed.
    ///
    /// # Errors
    /// When a sealed value does not open.
    pub fn open(keyring: &Keyring, tenant: TenantId, row: MessageRow) -> Result<Self, StoreError> {
        let provider_id = row
            .provider_id_sealed
            .as_deref()
            .map(|sealed| open_provider_id(keyring, tenant, row.id, sealed));
        let phone =
            contacts::open_phone(keyring, tenant, row.contact_id, row.phone_sealed.as_deref())?;
        let person = match phone {
            Some(phone) => Some(phone.e164()),
            None => contacts::open_user_id(
                keyring,
                tenant,
                row.contact_id,
                row.user_id_sealed.as_deref(),
            )?
            .map(|user| user.as_str().to_owned()),
        };
        let outbound = row.direction == "OUT";
        let (to, from) = if outbound {
            (person, None)
        } else {
            (None, person)
        };
        let text = |id: Option<waxwing_core::time::Timestamp>| {
            id.map(waxwing_core::time::Timestamp::rfc3339)
        };
        Ok(Self {
            id: row.id.to_string(),
            conversation_id: row.conversation_id.to_string(),
            contact_id: row.contact_id.to_string(),
            channel_id: row.channel_id.to_string(),
            due_at: (row.status == "queued").then(|| row.due_at.rfc3339()),
            waits_for: row.waits_for.filter(|_| row.status == "queued"),
            outside_window: row.outside_window.map(|choice| choice.0.as_str()),
            direction: row.direction,
            kind: row.kind,
            body: row.body,
            content: row.content.0,
            media: None,
            status: row.status,
            attempts: row.attempts,
            provider_message_id: provider_id.transpose()?.map(|id| id.as_str().to_owned()),
            idempotency_key: row.idempotency_key,
            to,
            from,
            error: error(row.error_class, row.error_code, row.error_message),
            outcome_unknown: row.outcome_unknown,
            may_be_duplicate: row.may_be_duplicate,
            order_uncertain: row.order_uncertain,
            template_key: row.template_key,
            cause: row.cause.map(|cause| cause.0),
            reply_to: row.reply_to.map(|id| id.to_string()),
            pricing: row.pricing.map(|pricing| pricing.0),
            written_at: if outbound {
                None
            } else {
                text(row.provider_at)
            },
            sent_at: text(row.sent_at),
            delivered_at: text(row.delivered_at),
            read_at: text(row.read_at),
            failed_at: text(row.failed_at),
            created_at: row.created_at.rfc3339(),
            updated_at: row.updated_at.rfc3339(),
            attempt_log: None,
        })
    }

    /// Adds the tries to send it.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<AttemptRow>) -> Self {
        let view = |row: AttemptRow| AttemptView {
            id: row.id.to_string(),
            number: row.number,
            started_at: row.started_at.rfc3339(),
            finished_at: row.finished_at.map(waxwing_core::time::Timestamp::rfc3339),
            outcome: row.outcome,
            error: error(row.error_class, row.error_code, row.error_message),
        };
        self.attempt_log = Some(attempts.into_iter().map(view).collect());
        self
    }
}
