//! Messages whose outcome nobody knows: what a dead process left, and what becomes of them after a while.

use std::time::Duration;

use serde_json::value::RawValue;
use waxwing_core::channel::ChannelKind;
use waxwing_core::content::Content;
use waxwing_core::delivery::Purpose;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::ids::{
    AttemptId, ChannelId, ContactId, ConversationId, MessageId, NodeId, TenantId,
};
use waxwing_core::settings::TenantSettings;
use waxwing_core::time::Timestamp;

use super::contents;
use super::crypto::Keyring;
use crate::{Json, StoreError, Tx, params, row, statements};

statements! {
    ORPHANS [global] = "UPDATE messages SET outcome_unknown = TRUE, unknown_at = $2, claimed_by = NULL, error_class = 'unknown', \
        error_message = 'the process ended while the message was being sent', updated_at = $2 \
        WHERE claimed_by = $1 AND status = 'sending' RETURNING tenant_id, id, conversation_id";
    UNKNOWN_DUE [global] = "SELECT m.tenant_id, m.id, m.conversation_id, m.channel_id, m.purpose, m.may_be_duplicate, \
        m.attempts, m.attempt_id, t.settings FROM messages m \
        JOIN tenants t ON t.id = m.tenant_id JOIN channels c ON c.tenant_id = m.tenant_id AND c.id = m.channel_id \
        WHERE m.unknown_at <= $1 AND c.kind = $3 ORDER BY m.unknown_at LIMIT $2";
    CLAIM_OF [tenant] = "SELECT m.content, m.contact_id, m.unknown_at, a.started_at, c.phone_sealed, c.user_id_sealed, m.content_sealed FROM messages m \
        JOIN attempts a ON a.tenant_id = $1 AND a.id = m.attempt_id JOIN contacts c ON c.tenant_id = $1 AND c.id = m.contact_id \
        WHERE m.tenant_id = $1 AND m.id = $2 AND m.status = 'sending' AND m.unknown_at IS NOT NULL";
    IS_SENDING [tenant] = "SELECT id FROM messages WHERE tenant_id = $1 AND conversation_id = $2 AND status IN ('queued', 'sending') \
        AND status = 'sending' AND outcome_unknown = FALSE LIMIT 1";
    RESEND [tenant] = "UPDATE messages SET status = 'queued', rank = 0, outcome_unknown = FALSE, unknown_at = NULL, may_be_duplicate = TRUE, due_at = $3, \
        updated_at = $3 WHERE tenant_id = $1 AND id = $2 AND attempt_id = $4 AND status = 'sending' AND outcome_unknown = TRUE";
    HOLD [tenant] = "UPDATE messages SET unknown_at = NULL, updated_at = $3 \
        WHERE tenant_id = $1 AND id = $2 AND attempt_id = $4 AND status = 'sending' AND outcome_unknown = TRUE";
}

row! {
    struct UnknownRow {
        tenant_id: TenantId,
        id: MessageId,
        conversation_id: ConversationId,
        channel_id: ChannelId,
        purpose: Option<String>,
        may_be_duplicate: bool,
        attempts: u32,
        attempt_id: AttemptId,
        settings: Json<TenantSettings>,
    }

    struct ClaimRow {
        content: Json<Box<RawValue>>,
        contact_id: ContactId,
        unknown_at: Timestamp,
        started_at: Timestamp,
        phone_sealed: Option<Vec<u8>>,
        user_id_sealed: Option<Vec<u8>>,
        content_sealed: Option<Vec<u8>>,
    }
}

/// Turns what a dead process was sending into visible unknowns.
///
/// # Errors
/// What the database says.
pub fn recover(
    tx: &mut Tx<'_>,
    dead: NodeId,
    now: Timestamp,
) -> Result<Vec<(TenantId, MessageId, ConversationId)>, StoreError> {
    tx.query(&ORPHANS, &params![dead, now])
}

/// A message whose outcome stayed unknown for too long.
#[derive(Debug, Clone)]
pub struct UnknownMessage {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The message.
    pub message_id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Its channel.
    pub channel_id: ChannelId,
    /// Why it was sent.
    pub purpose: Purpose,
    /// It was sent a second time already.
    pub already_resent: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// The attempt whose outcome is unknown.
    pub attempt_id: AttemptId,
    /// What its tenant wants.
    pub settings: TenantSettings,
}

/// The messages of a kind of channel whose outcome is unknown for at least `wait`.
///
/// # Errors
/// What the database says.
pub fn waiting_for(
    tx: &mut Tx<'_>,
    kind: ChannelKind,
    wait: Duration,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<UnknownMessage>, StoreError> {
    let rows = tx.query::<UnknownRow>(
        &UNKNOWN_DUE,
        &params![now.minus(wait), limit, kind.as_str()],
    )?;
    let message = |row: UnknownRow| UnknownMessage {
        tenant_id: row.tenant_id,
        message_id: row.id,
        conversation_id: row.conversation_id,
        channel_id: row.channel_id,
        purpose: row
            .purpose
            .as_deref()
            .and_then(Purpose::parse)
            .unwrap_or(Purpose::Bulk),
        already_resent: row.may_be_duplicate,
        attempts: row.attempts,
        attempt_id: row.attempt_id,
        settings: row.settings.0,
    };
    Ok(rows.into_iter().map(message).collect())
}

/// What an attempt with an unknown outcome sent, when and to whom. No `Debug`: it holds what people wrote.
#[derive(Clone)]
pub struct Claim {
    /// What it says.
    pub content: Content,
    /// The person.
    pub contact_id: ContactId,
    /// When the attempt started.
    pub started_at: Timestamp,
    /// When its outcome turned unknown.
    pub unknown_at: Timestamp,
    /// The contact's sealed phone.
    pub phone_sealed: Option<Vec<u8>>,
    /// The contact's sealed user id.
    pub user_id_sealed: Option<Vec<u8>>,
}

/// The attempt of a message whose outcome waits to be settled; `None` when it is settled.
///
/// # Errors
/// What the database says.
pub fn claim_of(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
) -> Result<Option<Claim>, StoreError> {
    let rows = tx.query::<ClaimRow>(&CLAIM_OF, &params![tenant, id])?;
    let Some(row) = rows.into_iter().next() else {
        return Ok(None);
    };
    let (open, sealed) = ((&*row.content.0, None), row.content_sealed.as_deref());
    let (content, _) = contents::read(keyring, tenant, id, open, sealed)?;
    Ok(Some(Claim {
        content,
        contact_id: row.contact_id,
        started_at: row.started_at,
        unknown_at: row.unknown_at,
        phone_sealed: row.phone_sealed,
        user_id_sealed: row.user_id_sealed,
    }))
}

/// Whether a message of the conversation is on its way at this moment.
///
/// # Errors
/// What the database says.
pub fn is_sending(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    conversation: ConversationId,
) -> Result<bool, StoreError> {
    tx.query::<MessageId>(&IS_SENDING, &params![tenant, conversation])
        .map(|rows| !rows.is_empty())
}

/// Sends a message once more after an attempt with an unknown outcome. `false` when that was settled in between.
///
/// # Errors
/// What the database says.
pub fn resend(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageId,
    attempt: AttemptId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    tx.execute(&RESEND, &params![tenant, id, now, attempt])
        .map(|changed| changed > 0)
}

/// Leaves a message to a person after an attempt with an unknown outcome. `false` when that was settled in between.
///
/// # Errors
/// What the database says.
pub fn hold(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageId,
    attempt: AttemptId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    tx.execute(&HOLD, &params![tenant, id, now, attempt])
        .map(|changed| changed > 0)
}

/// The error of a message whose outcome nobody knows.
#[must_use]
pub fn error(message: &str) -> ProviderError {
    ProviderError::own(ErrorClass::Unknown, message)
}
