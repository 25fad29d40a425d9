//! Messages whose outcome nobody knows: what a dead process left, and what becomes of them after a while.

use std::time::Duration;

use waxwing_core::delivery::Purpose;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::ids::{ChannelId, ConversationId, MessageId, NodeId, TenantId};
use waxwing_core::settings::TenantSettings;
use waxwing_core::time::Timestamp;

use crate::{Json, StoreError, Tx, params, row, statements};

statements! {
    ORPHANS [global] = "UPDATE messages SET outcome_unknown = TRUE, unknown_at = $2, claimed_by = NULL, error_class = 'unknown', \
        error_message = 'the process ended while the message was being sent', updated_at = $2 \
        WHERE claimed_by = $1 AND status = 'sending' RETURNING tenant_id, id, conversation_id";
    UNKNOWN_DUE [global] = "SELECT m.tenant_id, m.id, m.conversation_id, m.channel_id, m.purpose, m.may_be_duplicate, t.settings FROM messages m \
        JOIN tenants t ON t.id = m.tenant_id WHERE m.unknown_at <= $1 ORDER BY m.unknown_at LIMIT $2";
    RESEND [tenant] = "UPDATE messages SET status = 'queued', rank = 0, outcome_unknown = FALSE, unknown_at = NULL, may_be_duplicate = TRUE, due_at = $3, \
        updated_at = $3 WHERE tenant_id = $1 AND id = $2 AND status = 'sending' AND outcome_unknown = TRUE";
    HOLD [tenant] = "UPDATE messages SET unknown_at = NULL, updated_at = $3 \
        WHERE tenant_id = $1 AND id = $2 AND status = 'sending' AND outcome_unknown = TRUE";
}

row! {
    struct UnknownRow {
        tenant_id: TenantId,
        id: MessageId,
        conversation_id: ConversationId,
        channel_id: ChannelId,
        purpose: Option<String>,
        may_be_duplicate: bool,
        settings: Json<TenantSettings>,
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
    /// What its tenant wants.
    pub settings: TenantSettings,
}

/// The messages whose outcome is unknown for at least `wait`.
///
/// # Errors
/// What the database says.
pub fn waiting_for(
    tx: &mut Tx<'_>,
    wait: Duration,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<UnknownMessage>, StoreError> {
    let rows = tx.query::<UnknownRow>(&UNKNOWN_DUE, &params![now.minus(wait), limit])?;
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
        settings: row.settings.0,
    };
    Ok(rows.into_iter().map(message).collect())
}

/// Sends a message with an unknown outcome once more. `false` when a status settled it in between.
///
/// # Errors
/// What the database says.
pub fn resend(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    tx.execute(&RESEND, &params![tenant, id, now])
        .map(|changed| changed > 0)
}

/// Leaves a message with an unknown outcome to a person. `false` when a status settled it in between.
///
/// # Errors
/// What the database says.
pub fn hold(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    tx.execute(&HOLD, &params![tenant, id, now])
        .map(|changed| changed > 0)
}

/// The error of a message whose outcome nobody knows.
#[must_use]
pub fn error(message: &str) -> ProviderError {
    ProviderError::own(ErrorClass::Unknown, message)
}
