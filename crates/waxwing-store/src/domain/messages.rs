//! Messages: writing them and showing them. What the send queue does with them stands in [`super::queue`], what status
//! webhooks do in [`super::statuses`].

use std::collections::{BTreeMap, BTreeSet};

use waxwing_core::content::Content;
use waxwing_core::delivery::Purpose;
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::ids::{AttemptId, ChannelId, ContactId, ConversationId, MessageId, TenantId};
use waxwing_core::status::MessageStatus;
use waxwing_core::step::Cause;
use waxwing_core::time::Timestamp;
use waxwing_core::window::OutsideWindow;

use super::contents;
use super::crypto::{BlindPurpose, Keyring, Place};
use crate::{Json, SqlBuilder, StoreError, Tx, Value, inserts, params, row, statements};

pub(super) mod find;

pub use find::{Answered, KeyHolder, find_by_idempotency_key, find_by_marks, find_by_provider_ids};

inserts! {
    ADD [tenant] = messages(tenant_id uuid, id uuid, conversation_id uuid, contact_id uuid, channel_id uuid,
        direction text, kind text, status text, rank small, purpose text, body text, content json, content_sealed bytes, template_key text,
        cause json, reply_to uuid, idempotency_key text, request_hash bytes, provider_id_sealed bytes,
        provider_id_hash bytes, attempts small, priority small, due_at time, waits_for text,
        outside_window json, outcome_unknown bool, may_be_duplicate bool, order_uncertain bool, provider_at time, created_at time,
        updated_at time) "";
}

statements! {
    REPLACE_CONTENT [tenant] = "UPDATE messages SET kind = $3, body = $4, content = $5, cause = $6, updated_at = $7, content_sealed = $8 \
        WHERE tenant_id = $1 AND id = $2";
    PROVIDER_ID [tenant] = "SELECT provider_id_sealed FROM messages WHERE tenant_id = $1 AND id = $2";
    LIST [tenant] = "SELECT m.id, m.conversation_id, m.contact_id, m.channel_id, m.direction, m.kind, m.status, m.body, \
        m.content, m.template_key, m.cause, m.reply_to, m.idempotency_key, m.provider_id_sealed, m.attempts, m.due_at, \
        m.outcome_unknown, m.may_be_duplicate, m.order_uncertain, m.error_class, m.error_code, m.error_message, \
        m.pricing, m.waits_for, m.outside_window, m.provider_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at, m.created_at, m.updated_at, \
        c.phone_sealed, c.user_id_sealed, m.purpose, m.content_sealed FROM messages m \
        JOIN contacts c ON c.tenant_id = m.tenant_id AND c.id = m.contact_id WHERE m.tenant_id = $1";
    ATTEMPTS [tenant] = "SELECT id, number, started_at, finished_at, outcome, error_class, error_code, error_message \
        FROM attempts WHERE tenant_id = $1 AND message_id = $2 ORDER BY id";
    LOCK [tenant] = "SELECT id, conversation_id, rank, attempt_id, outcome_unknown FROM messages \
        WHERE tenant_id = $1 AND id = $2 {lock}";
    CANCEL [tenant] = "UPDATE messages SET status = 'cancelled', rank = 60, updated_at = $3 \
        WHERE tenant_id = $1 AND id = $2 AND status = 'queued' RETURNING conversation_id";
}

/// A message to write.
#[derive(Clone)]
pub struct NewMessage {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// The person.
    pub contact_id: ContactId,
    /// The channel.
    pub channel_id: ChannelId,
    /// What it says.
    pub content: Content,
    /// In or out, with what each needs.
    pub way: Way,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Why it was sent, or why an inbound one got no answer.
    pub cause: Option<Cause>,
}

/// In or out.
#[derive(Clone)]
pub enum Way {
    /// From the contact.
    In {
        /// The provider's id.
        provider_id: ProviderMessageId,
        /// When it was sent.
        sent_at: Timestamp,
    },
    /// To the contact, sent by something else than Waxwing: an echo.
    Echo {
        /// The provider's id.
        provider_id: ProviderMessageId,
        /// When it was sent.
        sent_at: Timestamp,
    },
    /// To the contact: it waits in the queue.
    Out {
        /// Why it is sent.
        purpose: Purpose,
        /// The template it comes from.
        template_key: Option<String>,
        /// At most one message of the tenant has this key.
        idempotency_key: Option<String>,
        /// Keyed hash of the request behind the key.
        request_hash: Option<Vec<u8>>,
        /// Not before.
        due_at: Timestamp,
        /// Why it waits, when it does not have to go at once.
        waits_for: Option<WaitsFor>,
        /// What becomes of it outside of the customer service window; without it, it fails there.
        outside_window: Option<OutsideWindow>,
    },
}

/// Why a queued message waits. Before it is due it does not hold up later messages of its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// Its time has not come.
    Time,
    /// The customer service window is closed; the next message of the contact releases it.
    Window,
}

impl WaitsFor {
    /// The word in the store and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Window => "window",
        }
    }
}

/// The keyed hash by which a provider's message id is looked up.
#[must_use]
pub fn provider_id_hash(keyring: &Keyring, tenant: TenantId, id: &ProviderMessageId) -> Vec<u8> {
    keyring.blind(tenant, BlindPurpose::ProviderId, &[id.as_str().as_bytes()])
}

/// Seals a provider's message id for a message's row.
#[must_use]
pub fn seal_provider_id(
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
    value: &ProviderMessageId,
) -> Vec<u8> {
    let row = id.uuid();
    keyring.seal(
        tenant,
        Place::new("messages", "provider_id_sealed", &row),
        value.as_str().as_bytes(),
    )
}

/// Opens a provider's message id.
///
/// # Errors
/// When the stored value does not open.
pub fn open_provider_id(
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
    sealed: &[u8],
) -> Result<ProviderMessageId, StoreError> {
    let row = id.uuid();
    let text = keyring.open_text(
        tenant,
        Place::new("messages", "provider_id_sealed", &row),
        sealed,
    )?;
    ProviderMessageId::parse(&text)
        .ok_or_else(|| StoreError::corrupt("a message has an empty provider id"))
}

/// Writes messages.
///
/// # Errors
/// [`StoreError::Conflict`] when an idempotency key is taken.
pub fn add_many(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    messages: &[NewMessage],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = messages
        .iter()
        .map(|message| row_of(keyring, message, now))
        .collect::<Result<Vec<_>, _>>()?;
    tx.insert_many(&ADD, &rows).map(|_| ())
}

fn row_of(
    keyring: &Keyring,
    message: &NewMessage,
    now: Timestamp,
) -> Result<[Value; 31], StoreError> {
    let tenant = message.tenant_id;
    let (direction, status) = match message.way {
        Way::In { .. } => ("IN", MessageStatus::Received),
        Way::Echo { .. } => ("OUT", MessageStatus::Sent),
        Way::Out { .. } => ("OUT", MessageStatus::Queued),
    };
    let provider = match &message.way {
        Way::In {
            provider_id,
            sent_at,
        }
        | Way::Echo {
            provider_id,
            sent_at,
        } => Some((provider_id, *sent_at)),
        Way::Out { .. } => None,
    };
    // Statuses name what was sent. What was received is found by its mark: one index less for each message.
    let sent = match &message.way {
        Way::Echo { provider_id, .. } => Some(provider_id),
        Way::In { .. } | Way::Out { .. } => None,
    };
    let (purpose, template_key, idempotency_key, request_hash, due_at) = match &message.way {
        Way::In { .. } | Way::Echo { .. } => (None, None, None, None, now),
        Way::Out {
            purpose,
            template_key,
            idempotency_key,
            request_hash,
            due_at,
            ..
        } => (
            Some(*purpose),
            template_key.clone(),
            idempotency_key.clone(),
            request_hash.clone(),
            *due_at,
        ),
    };
    let (waits_for, outside_window) = match &message.way {
        Way::In { .. } | Way::Echo { .. } => (None, None),
        Way::Out {
            waits_for,
            outside_window,
            ..
        } => (*waits_for, outside_window.as_ref()),
    };
    let said = contents::store(
        keyring,
        tenant,
        message.id,
        &message.content,
        outside_window,
    )?;
    let cause = message.cause.as_ref().map(Value::json).transpose()?;
    Ok(params![
        tenant,
        message.id,
        message.conversation_id,
        message.contact_id,
        message.channel_id,
        direction,
        message.content.kind(),
        status.as_str(),
        status.rank(),
        purpose.map(Purpose::as_str),
        said.body,
        said.content,
        said.sealed,
        template_key,
        cause.unwrap_or(Value::Null),
        message.reply_to,
        idempotency_key,
        request_hash,
        provider.map(|(id, _)| seal_provider_id(keyring, tenant, message.id, id)),
        sent.map(|id| provider_id_hash(keyring, tenant, id)),
        0i16,
        purpose.map_or(0, Purpose::priority),
        due_at,
        waits_for.map(WaitsFor::as_str),
        said.outside_window,
        false,
        false,
        false,
        provider.map(|(_, at)| at),
        now,
        now
    ])
}

/// Puts the real content into a message that was a placeholder, or the new version into one that was edited.
///
/// # Errors
/// What the database says.
pub fn replace_content(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
    content: &Content,
    cause: Option<&Cause>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let cause = cause.map(Value::json).transpose()?.unwrap_or(Value::Null);
    let said = contents::store(keyring, tenant, id, content, None)?;
    let values = params![
        tenant,
        id,
        content.kind(),
        said.body,
        said.content,
        cause,
        now,
        said.sealed
    ];
    tx.execute(&REPLACE_CONTENT, &values).map(|_| ())
}

/// The provider's id of a message.
///
/// # Errors
/// What the database says; when the stored value does not open.
pub fn provider_id(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
) -> Result<Option<ProviderMessageId>, StoreError> {
    let sealed = tx
        .query_opt::<Option<Vec<u8>>>(&PROVIDER_ID, &params![tenant, id])?
        .flatten();
    sealed
        .map(|sealed| open_provider_id(keyring, tenant, id, &sealed))
        .transpose()
}

row! {
    /// Where an outbound message stands.
    #[derive(Debug, Clone)]
    pub struct Standing {
        id: MessageId,
        conversation_id: ConversationId,
        rank: i64,
        attempt_id: Option<AttemptId>,
        outcome_unknown: bool,
    }

    /// A message as the API shows it. No `Debug`: it holds what people wrote.
    #[derive(Clone)]
    pub struct MessageRow {
        id: MessageId,
        conversation_id: ConversationId,
        contact_id: ContactId,
        channel_id: ChannelId,
        direction: String,
        kind: String,
        status: String,
        body: Option<String>,
        content: Json<serde_json::Value>,
        template_key: Option<String>,
        cause: Option<Json<serde_json::Value>>,
        reply_to: Option<MessageId>,
        idempotency_key: Option<String>,
        provider_id_sealed: Option<Vec<u8>>,
        attempts: i64,
        due_at: Timestamp,
        outcome_unknown: bool,
        may_be_duplicate: bool,
        order_uncertain: bool,
        error_class: Option<String>,
        error_code: Option<String>,
        error_message: Option<String>,
        pricing: Option<Json<serde_json::Value>>,
        waits_for: Option<String>,
        outside_window: Option<Json<OutsideWindow>>,
        provider_at: Option<Timestamp>,
        sent_at: Option<Timestamp>,
        delivered_at: Option<Timestamp>,
        read_at: Option<Timestamp>,
        failed_at: Option<Timestamp>,
        created_at: Timestamp,
        updated_at: Timestamp,
        phone_sealed: Option<Vec<u8>>,
        user_id_sealed: Option<Vec<u8>>,
        purpose: Option<String>,
        content_sealed: Option<Vec<u8>>,
    }

    /// One try to send a message.
    #[derive(Debug, Clone)]
    pub struct AttemptRow {
        id: AttemptId,
        number: i64,
        started_at: Timestamp,
        finished_at: Option<Timestamp>,
        outcome: Option<String>,
        error_class: Option<String>,
        error_code: Option<String>,
        error_message: Option<String>,
    }
}

/// What a list of messages is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// One message.
    pub id: Option<MessageId>,
    /// One thread.
    pub conversation_id: Option<ConversationId>,
    /// One person.
    pub contact_id: Option<ContactId>,
    /// One channel.
    pub channel_id: Option<ChannelId>,
    /// `IN` or `OUT`.
    pub direction: Option<String>,
    /// A status of the ladder.
    pub status: Option<String>,
    /// A kind of content.
    pub kind: Option<String>,
    /// Text that occurs in the body. What is sealed is not found.
    pub text: Option<String>,
    /// Only those before this one, for paging.
    pub before: Option<MessageId>,
}

/// Messages, the latest first.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<MessageRow>, StoreError> {
    let pattern = filter.text.as_deref().map(like_pattern);
    let sql = SqlBuilder::new(&LIST, &params![tenant])
        .and_some("m.id = ?", filter.id)
        .and_some("m.conversation_id = ?", filter.conversation_id)
        .and_some("m.contact_id = ?", filter.contact_id)
        .and_some("m.channel_id = ?", filter.channel_id)
        .and_some("m.direction = ?", filter.direction.clone())
        .and_some("m.status = ?", filter.status.clone())
        .and_some("m.kind = ?", filter.kind.clone())
        .and_some("lower(m.body) LIKE ? ESCAPE '!'", pattern)
        .and_some("m.id < ?", filter.before)
        .push(" ORDER BY m.id DESC LIMIT ?", &[limit.into()]);
    let mut rows: Vec<MessageRow> = tx.query_dynamic(&sql)?;
    for row in &mut rows {
        let Some(sealed) = row.content_sealed.take() else {
            continue;
        };
        let shown = contents::show(keyring, tenant, row.id, &sealed)?;
        row.body = shown.body;
        row.content = Json(shown.content);
        row.outside_window = shown.outside_window.map(Json);
    }
    Ok(rows)
}

fn like_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// One message.
///
/// # Errors
/// What the database says.
pub fn get(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
) -> Result<Option<MessageRow>, StoreError> {
    Ok(list(
        tx,
        keyring,
        tenant,
        &Filter {
            id: Some(id),
            ..Filter::default()
        },
        1,
    )?
    .pop())
}

/// The tries to send a message, in order.
///
/// # Errors
/// What the database says.
pub fn attempts(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageId,
) -> Result<Vec<AttemptRow>, StoreError> {
    tx.query(&ATTEMPTS, &params![tenant, id])
}

/// Locks messages until the end of the transaction and says where each stands; those that do not exist are left out.
///
/// Whoever changes several messages in one transaction locks them here first. The order is always the same, so that two
/// such transactions wait for each other instead of blocking each other: PostgreSQL notices a deadlock only after a
/// second.
///
/// # Errors
/// What the database says.
pub fn lock(
    tx: &mut Tx<'_>,
    messages: impl IntoIterator<Item = (TenantId, MessageId)>,
) -> Result<BTreeMap<(TenantId, MessageId), Standing>, StoreError> {
    let ordered: BTreeSet<_> = messages.into_iter().collect();
    let sets: Vec<_> = ordered
        .iter()
        .map(|(tenant, id)| params![*tenant, *id])
        .collect();
    let rows = tx.query_many::<Standing>(&LOCK, &sets)?;
    let standings = ordered.into_iter().zip(rows);
    Ok(standings
        .filter_map(|(key, rows)| rows.into_iter().next().map(|standing| (key, standing)))
        .collect())
}

/// Takes a message back that still waits. `None` when it does not wait (any more).
///
/// # Errors
/// What the database says.
pub fn cancel(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageId,
    now: Timestamp,
) -> Result<Option<ConversationId>, StoreError> {
    tx.query_opt(&CANCEL, &params![tenant, id, now])
}
