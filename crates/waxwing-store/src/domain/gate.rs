//! The last gate before a send: what a closed customer service window does to a message, and what opens and closes it.

use waxwing_core::consent::{Marketing, may_send};
use waxwing_core::content::Content;
use waxwing_core::delivery::Purpose;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::ids::{AttemptId, ChannelId, ConversationId, MessageId, TenantId};
use waxwing_core::status::MessageStatus;
use waxwing_core::time::Timestamp;
use waxwing_core::window::{self, Gate, OutsideWindow, SERVICE_WINDOW, Window};

use super::contents;
use super::crypto::Keyring;
use super::queue::Hint;
use crate::{StoreError, Tx, params, statements};

statements! {
    LOCK_WINDOW [tenant] = "SELECT window_expires_at FROM conversations WHERE tenant_id = $1 AND id = $2 {lock}";
    WAIT [tenant] = "UPDATE messages SET status = 'queued', rank = 0, attempts = attempts - 1, claimed_by = NULL, attempt_id = NULL, \
        waits_for = 'window', due_at = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3";
    INSTEAD [tenant] = "UPDATE messages SET kind = $4, body = $5, content = $6, updated_at = $7, content_sealed = $8 \
        WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3";
    END [tenant] = "UPDATE messages SET status = $4, rank = $5, attempts = attempts - 1, claimed_by = NULL, attempt_id = NULL, failed_at = $6, \
        error_class = $7, error_code = NULL, error_message = $8, updated_at = $6 WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3";
    RELEASE [tenant] = "UPDATE messages SET waits_for = NULL, due_at = $3, updated_at = $3 WHERE tenant_id = $1 AND conversation_id = $2 \
        AND status IN ('queued', 'sending') AND status = 'queued' AND waits_for IN ('window', 'portfolio_limit') RETURNING id, channel_id, priority";
    /// Not when the contact has written after the message was sent: then the refusal is about an earlier window.
    CLOSE_WINDOW [tenant] = "UPDATE conversations SET window_expires_at = $4, updated_at = $4 WHERE tenant_id = $1 AND id = $2 AND window_expires_at > $4 \
        AND window_expires_at - $5 <= (SELECT COALESCE(m.sent_at, $4) FROM messages m WHERE m.tenant_id = $1 AND m.id = $3)";
    ONCE_MORE [tenant] = "UPDATE messages SET status = 'queued', rank = 0, due_at = $3, outcome_unknown = FALSE, unknown_at = NULL, claimed_by = NULL, \
        attempt_id = NULL, provider_id_sealed = NULL, provider_id_hash = NULL, sent_at = NULL, failed_at = NULL, updated_at = $3 \
        WHERE tenant_id = $1 AND id = $2 AND status = 'failed' AND outside_window IS NOT NULL AND kind <> 'message_template' \
        RETURNING channel_id, priority";
}

/// What the gate did with a message that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It waits for the contact to write.
    Waits,
    /// It waits until its account may write to more people (see [`portfolio`](super::portfolio)).
    Limited,
    /// It waited long enough: `expired`.
    Expired,
    /// It failed: the customer service window is closed.
    Failed,
    /// It failed: it is marketing, and the contact opted out.
    OptedOut,
    /// It failed: the tenant blocked the contact.
    Blocked,
    /// It failed: what it says does not open any more.
    Unreadable,
}

/// A message that did not pass the gate.
#[derive(Debug, Clone)]
pub struct HeldMessage {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The message.
    pub message_id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// What became of it.
    pub held: Held,
}

impl Held {
    /// The error of a message that fails at the gate.
    #[must_use]
    pub fn refusal(self) -> ProviderError {
        match self {
            Self::OptedOut => ProviderError::own(
                ErrorClass::OptedOut,
                "the contact wants no marketing messages",
            ),
            Self::Blocked => {
                ProviderError::own(ErrorClass::Permanent, "the contact is blocked here")
            }
            Self::Unreadable => ProviderError::own(
                ErrorClass::Permanent,
                "what it says cannot be read any more",
            ),
            _ => ProviderError::own(
                ErrorClass::WindowClosed,
                "the customer service window is closed",
            ),
        }
    }
}

/// A message that was just claimed.
pub(super) struct AtGate<'a> {
    pub(super) tenant_id: TenantId,
    pub(super) message_id: MessageId,
    pub(super) conversation_id: ConversationId,
    pub(super) attempt_id: AttemptId,
    pub(super) purpose: Purpose,
    pub(super) content: &'a mut Content,
    pub(super) outside: Option<&'a OutsideWindow>,
    pub(super) window_expires_at: Option<Timestamp>,
    pub(super) marketing: Option<Marketing>,
    pub(super) blocked: bool,
}

/// Lets a claimed message pass, perhaps as another one, or takes its claim back. `None`: it passes.
pub(super) fn pass(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    message: AtGate<'_>,
    now: Timestamp,
) -> Result<Option<Held>, StoreError> {
    let opens = |expires_at| Window {
        expires_at,
        free_entry_until: None,
    };
    if message.blocked {
        end(tx, &message, Held::Blocked, now)?;
        return Ok(Some(Held::Blocked));
    }
    if !may_send(message.purpose, message.marketing) {
        end(tx, &message, Held::OptedOut, now)?;
        return Ok(Some(Held::OptedOut));
    }
    let first = opens(message.window_expires_at);
    // A reply follows the message that it answers. When that one came late, the provider says so.
    if message.purpose == Purpose::Reply {
        return Ok(None);
    }
    if window::gate(message.content, first, message.outside, now) == Gate::Send {
        return Ok(None);
    }
    // Rare enough to look again under a lock: whoever opens the window now either sees the message waiting or is seen.
    let (tenant, id, attempt) = (message.tenant_id, message.message_id, message.attempt_id);
    let locked =
        tx.query_opt::<Option<Timestamp>>(&LOCK_WINDOW, &params![tenant, message.conversation_id])?;
    let held = match window::gate(
        message.content,
        opens(locked.flatten()),
        message.outside,
        now,
    ) {
        Gate::Send => return Ok(None),
        Gate::Instead(template) => {
            let said = contents::store(keyring, tenant, id, template, message.outside)?;
            let values = params![
                tenant,
                id,
                attempt,
                template.kind(),
                said.body,
                said.content,
                now,
                said.sealed
            ];
            tx.execute(&INSTEAD, &values)?;
            *message.content = template.clone();
            return Ok(None);
        }
        Gate::Wait(until) => {
            tx.execute(&WAIT, &params![tenant, id, attempt, until, now])?;
            return Ok(Some(Held::Waits));
        }
        Gate::Expire => Held::Expired,
        Gate::Refuse => Held::Failed,
    };
    end(tx, &message, held, now)?;
    Ok(Some(held))
}

/// Ends a message that does not pass.
fn end(
    tx: &mut Tx<'_>,
    message: &AtGate<'_>,
    held: Held,
    now: Timestamp,
) -> Result<(), StoreError> {
    let claim = (message.tenant_id, message.message_id, message.attempt_id);
    end_claim(tx, claim, held, now)
}

/// Ends a message that was claimed.
pub(super) fn end_claim(
    tx: &mut Tx<'_>,
    (tenant, id, attempt): (TenantId, MessageId, AttemptId),
    held: Held,
    now: Timestamp,
) -> Result<(), StoreError> {
    let status = match held {
        Held::Expired => MessageStatus::Expired,
        _ => MessageStatus::Failed,
    };
    let error = held.refusal();
    let values = params![
        tenant,
        id,
        attempt,
        status.as_str(),
        status.rank(),
        now,
        error.class.as_str(),
        error.message
    ];
    tx.execute(&END, &values).map(|_| ())
}

/// Releases the messages that waited for the contacts of these conversations to write.
///
/// # Errors
/// What the database says.
pub fn release(
    tx: &mut Tx<'_>,
    opened: &[(TenantId, ConversationId)],
    now: Timestamp,
) -> Result<Vec<Hint>, StoreError> {
    let sets: Vec<_> = opened
        .iter()
        .map(|(tenant, conversation)| params![*tenant, *conversation, now])
        .collect();
    let rows = tx.query_many::<(MessageId, ChannelId, i64)>(&RELEASE, &sets)?;
    let hints = opened
        .iter()
        .zip(rows)
        .flat_map(|((tenant_id, conversation_id), rows)| {
            rows.into_iter()
                .map(|(message_id, channel_id, priority)| Hint {
                    tenant_id: *tenant_id,
                    conversation_id: *conversation_id,
                    channel_id,
                    message_id,
                    priority,
                })
        });
    Ok(hints.collect())
}

/// A message that the provider refused because the window is closed, whatever our clock says.
#[derive(Debug, Clone, Copy)]
pub struct RefusedOutside {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The message; it stands at `failed`.
    pub message_id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
}

/// Closes the windows in which messages were refused. Those whose sender chose what happens outside of the window go
/// back to the queue and to the gate: they are returned, and have not failed.
///
/// # Errors
/// What the database says.
pub fn refused_by_provider(
    tx: &mut Tx<'_>,
    refused: &[RefusedOutside],
    now: Timestamp,
) -> Result<Vec<Hint>, StoreError> {
    let span = i64::try_from(SERVICE_WINDOW.as_micros()).unwrap_or(i64::MAX);
    let close: Vec<_> = refused
        .iter()
        .map(|message| {
            params![
                message.tenant_id,
                message.conversation_id,
                message.message_id,
                now,
                span
            ]
        })
        .collect();
    tx.execute_many(&CLOSE_WINDOW, &close)?;
    let sets: Vec<_> = refused
        .iter()
        .map(|message| params![message.tenant_id, message.message_id, now])
        .collect();
    let rows = tx.query_many::<(ChannelId, i64)>(&ONCE_MORE, &sets)?;
    let hints = refused.iter().zip(rows).flat_map(|(message, rows)| {
        rows.into_iter().map(|(channel_id, priority)| Hint {
            tenant_id: message.tenant_id,
            conversation_id: message.conversation_id,
            channel_id,
            message_id: message.message_id,
            priority,
        })
    });
    Ok(hints.collect())
}

#[cfg(test)]
mod tests;
