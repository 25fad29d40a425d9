//! The send queue: outbound messages that wait, are claimed, sent and recorded.
//!
//! A claim is a conditional update, so two workers never have the same message. The attempt is on record before the
//! first byte leaves; what a dead worker left behind is therefore either `queued` (surely not sent) or `sending` with
//! an attempt (unknown).

use serde_json::value::RawValue;
use waxwing_core::consent::Marketing;
use waxwing_core::content::Content;
use waxwing_core::delivery::{Purpose, UNKNOWN_LANE_WAIT};
use waxwing_core::errors::ProviderError;
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::ids::{
    AttemptId, ChannelId, ContactId, ConversationId, MessageId, NodeId, TenantId,
};
use waxwing_core::time::Timestamp;
use waxwing_core::window::{OutsideWindow, Window, needs_window};

use super::contents;
use super::crypto::Keyring;
use super::gate::{self, AtGate, Held, HeldMessage};
use super::messages::{self, provider_id_hash, seal_provider_id};
use super::portfolio;
pub use super::waiting::{Due, depth, due};
use crate::{Engine, Json, StoreError, Tx, Value, inserts, params, row, statements};

inserts! {
    ADD_ATTEMPTS [tenant] = attempts(tenant_id uuid, id uuid, message_id uuid, number small, started_at time) "";
}

statements! {
    NEXT_IN_LANE [tenant] = "SELECT id, channel_id, priority, due_at FROM messages WHERE tenant_id = $1 AND conversation_id = $2 AND status IN ('queued', 'sending') AND status = 'queued' \
        AND (waits_for IS NULL OR due_at <= $3) ORDER BY id LIMIT 1";
    CLAIM [tenant] = "UPDATE messages SET status = 'sending', rank = 10, claimed_by = $3, attempt_id = $4, attempts = attempts + 1, waits_for = NULL, updated_at = $5, \
          order_uncertain = EXISTS (SELECT 1 FROM messages u WHERE u.tenant_id = $1 AND u.conversation_id = messages.conversation_id \
            AND u.id < $2 AND u.status IN ('queued', 'sending') AND u.status = 'sending' AND u.unknown_at IS NOT NULL) \
        WHERE tenant_id = $1 AND id = $2 AND status = 'queued' AND due_at <= $5 \
        AND NOT EXISTS (SELECT 1 FROM messages e WHERE e.tenant_id = $1 AND e.conversation_id = messages.conversation_id AND e.id < $2 \
          AND e.status IN ('queued', 'sending') AND (e.waits_for IS NULL OR e.due_at <= $5) \
          AND (e.status = 'queued' OR e.outcome_unknown = FALSE OR e.unknown_at > $6) LIMIT 1 OFFSET 0) \
        AND EXISTS (SELECT 1 FROM channels c WHERE c.tenant_id = $1 AND c.id = messages.channel_id AND c.status = 'active' AND c.paused_until <= $5) \
        RETURNING id, conversation_id, contact_id, channel_id, content, purpose, attempts, attempt_id, reply_to, may_be_duplicate, outside_window, content_sealed";
    RECIPIENT [tenant] = "SELECT c.phone_sealed, c.user_id_sealed, v.window_expires_at, c.marketing, c.blocked_at FROM contacts c \
        JOIN conversations v ON v.tenant_id = $1 AND v.id = $3 WHERE c.tenant_id = $1 AND c.id = $2";
    SENT [tenant] = "UPDATE messages SET status = 'sent', rank = 20, sent_at = COALESCE(sent_at, $4), provider_id_sealed = COALESCE(provider_id_sealed, $5), \
        provider_id_hash = COALESCE(provider_id_hash, $6), claimed_by = NULL, outcome_unknown = FALSE, unknown_at = NULL, error_class = NULL, error_code = NULL, \
        error_message = NULL, updated_at = $4 WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3 AND rank < 20";
    /// A status was faster than the answer: the ladder stays, the id is kept.
    SENT_LATE [tenant] = "UPDATE messages SET sent_at = COALESCE(sent_at, $4), provider_id_sealed = COALESCE(provider_id_sealed, $5), \
        provider_id_hash = COALESCE(provider_id_hash, $6), claimed_by = NULL, updated_at = $4 \
        WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3";
    RETRY [tenant] = "UPDATE messages SET status = 'queued', rank = 0, due_at = $4, attempts = attempts - $5, claimed_by = NULL, outcome_unknown = FALSE, \
        unknown_at = NULL, error_class = $6, error_code = $7, error_message = $8, updated_at = $9 \
        WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3 AND status = 'sending'";
    FAILED [tenant] = "UPDATE messages SET status = 'failed', rank = 30, failed_at = $4, claimed_by = NULL, outcome_unknown = FALSE, unknown_at = NULL, \
        error_class = $5, error_code = $6, error_message = $7, updated_at = $4 \
        WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3 AND rank < 20";
    UNKNOWN [tenant] = "UPDATE messages SET outcome_unknown = TRUE, unknown_at = $4, claimed_by = NULL, error_class = $5, error_code = $6, error_message = $7, \
        updated_at = $4 WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3 AND status = 'sending'";
    FINISH_ATTEMPT [tenant] = "UPDATE attempts SET finished_at = $3, outcome = $4, error_class = $5, error_code = $6, error_message = $7 \
        WHERE tenant_id = $1 AND id = $2";
    PAUSE_CHANNEL [tenant] = "UPDATE channels SET paused_until = $3 WHERE tenant_id = $1 AND id = $2 AND paused_until < $3";
    OPEN_CIRCUIT [tenant] = "UPDATE channels SET paused_until = CASE WHEN paused_until < $3 THEN $3 ELSE paused_until END, circuit_until = $3 \
        WHERE tenant_id = $1 AND id = $2";
    CLOSE_CIRCUIT [tenant] = "UPDATE channels SET paused_until = 0, circuit_until = 0 WHERE tenant_id = $1 AND id = $2 AND circuit_until > 0";
    RELEASE [tenant] = "UPDATE messages SET status = 'queued', rank = 0, attempts = attempts - 1, claimed_by = NULL, attempt_id = NULL, updated_at = $4 \
        WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3 AND status = 'sending' AND outcome_unknown = FALSE";
    FORGET_ATTEMPT [tenant] = "DELETE FROM attempts WHERE tenant_id = $1 AND id = $2 AND finished_at IS NULL";
    RETRY_FAILED [tenant] = "UPDATE messages SET status = 'queued', rank = 0, due_at = $3, attempts = 0, outcome_unknown = FALSE, unknown_at = NULL, \
        may_be_duplicate = CASE WHEN outcome_unknown THEN TRUE ELSE may_be_duplicate END, provider_id_sealed = NULL, provider_id_hash = NULL, \
        error_class = NULL, error_code = NULL, error_message = NULL, failed_at = NULL, sent_at = NULL, updated_at = $3 \
        WHERE tenant_id = $1 AND id = $2 AND (status = 'failed' OR (status = 'sending' AND outcome_unknown = TRUE)) RETURNING conversation_id, channel_id, priority";
}

row! {
    struct ClaimRow {
        id: MessageId,
        conversation_id: ConversationId,
        contact_id: ContactId,
        channel_id: ChannelId,
        content: Json<Box<RawValue>>,
        purpose: Option<String>,
        attempts: u32,
        attempt_id: AttemptId,
        reply_to: Option<MessageId>,
        may_be_duplicate: bool,
        outside_window: Option<Json<OutsideWindow>>,
        content_sealed: Option<Vec<u8>>,
    }

    struct RecipientRow {
        phone_sealed: Option<Vec<u8>>,
        user_id_sealed: Option<Vec<u8>>,
        window_expires_at: Option<Timestamp>,
        marketing: Option<String>,
        blocked_at: Option<Timestamp>,
    }
}

/// A hint that a message may be due: where the delivery worker looks next. The database decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hint {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its conversation: messages of one conversation go out in order.
    pub conversation_id: ConversationId,
    /// Its channel, which decides how fast it may go.
    pub channel_id: ChannelId,
    /// The message.
    pub message_id: MessageId,
    /// Lower goes first.
    pub priority: i64,
}

pub(super) fn lane_cutoff(now: Timestamp) -> Timestamp {
    now.minus(UNKNOWN_LANE_WAIT)
}

/// The next waiting messages of conversations, due or not, with their due times. What waits for its time or for the
/// window is not meant.
///
/// # Errors
/// What the database says.
pub fn next_in_lanes(
    tx: &mut Tx<'_>,
    lanes: &[(TenantId, ConversationId)],
    now: Timestamp,
) -> Result<Vec<(Hint, Timestamp)>, StoreError> {
    let sets: Vec<_> = lanes
        .iter()
        .map(|(tenant, conversation)| params![*tenant, *conversation, now])
        .collect();
    let rows = tx.query_many::<(MessageId, ChannelId, i64, Timestamp)>(&NEXT_IN_LANE, &sets)?;
    let hints = lanes
        .iter()
        .zip(rows)
        .flat_map(|((tenant_id, conversation_id), rows)| {
            rows.into_iter()
                .map(|(message_id, channel_id, priority, due_at)| {
                    let hint = Hint {
                        tenant_id: *tenant_id,
                        conversation_id: *conversation_id,
                        channel_id,
                        message_id,
                        priority,
                    };
                    (hint, due_at)
                })
        });
    Ok(hints.collect())
}

/// A message that this worker has to send now. No `Debug`: it holds what people wrote.
#[derive(Clone)]
pub struct Claimed {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The message.
    pub message_id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// The person.
    pub contact_id: ContactId,
    /// The channel.
    pub channel_id: ChannelId,
    /// What it says.
    pub content: Content,
    /// Why it is sent.
    pub purpose: Purpose,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// This attempt.
    pub attempt_id: AttemptId,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// It is sent for a second time after an unknown outcome.
    pub may_be_duplicate: bool,
    /// The contact's sealed phone.
    pub phone_sealed: Option<Vec<u8>>,
    /// The contact's sealed user id.
    pub user_id_sealed: Option<Vec<u8>>,
}

/// What became of messages that were to be claimed.
#[derive(Clone, Default)]
pub struct Claims {
    /// These are to be sent.
    pub claimed: Vec<Claimed>,
    /// These did not pass the gate.
    pub held: Vec<HeldMessage>,
}

/// Claims messages, lets them pass the gate and records an attempt for each. Those that are not due, not first in their
/// conversation, or claimed by somebody else are left out.
///
/// # Errors
/// What the database says.
pub fn claim(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    hints: &[(Hint, AttemptId)],
    node: NodeId,
    now: Timestamp,
) -> Result<Claims, StoreError> {
    // In the order of `messages::lock`: two nodes that want the same messages wait instead of blocking each other.
    let mut hints = hints.to_vec();
    hints.sort_unstable_by_key(|(hint, _)| (hint.tenant_id, hint.message_id));
    let sets: Vec<_> = hints
        .iter()
        .map(|(hint, attempt)| {
            params![
                hint.tenant_id,
                hint.message_id,
                node,
                *attempt,
                now,
                lane_cutoff(now)
            ]
        })
        .collect();
    let mut rows = Vec::with_capacity(hints.len());
    for ((hint, _), found) in hints.iter().zip(tx.query_many::<ClaimRow>(&CLAIM, &sets)?) {
        rows.extend(found.into_iter().map(|row| (hint.tenant_id, row)));
    }
    let recipients: Vec<_> = rows
        .iter()
        .map(|(tenant, row)| params![*tenant, row.contact_id, row.conversation_id])
        .collect();
    let recipients = tx.query_many::<RecipientRow>(&RECIPIENT, &recipients)?;
    let (mut claims, mut first) = (Claims::default(), Vec::new());
    for ((tenant_id, row), recipient) in rows.into_iter().zip(recipients) {
        let recipient = recipient
            .into_iter()
            .next()
            .ok_or_else(|| StoreError::corrupt("a message without its contact"))?;
        let outside = row.outside_window.as_ref().map(|choice| choice.0.clone());
        let (open, sealed) = ((&*row.content.0, outside), row.content_sealed.as_deref());
        let read = contents::read(keyring, tenant_id, row.id, open, sealed);
        // One that cannot be read holds nobody else up.
        let Ok((mut content, outside)) = read else {
            let claim = (tenant_id, row.id, row.attempt_id);
            gate::end_claim(tx, claim, Held::Unreadable, now)?;
            claims.held.push(HeldMessage {
                tenant_id,
                message_id: row.id,
                conversation_id: row.conversation_id,
                held: Held::Unreadable,
            });
            continue;
        };
        let at_gate = AtGate {
            tenant_id,
            message_id: row.id,
            conversation_id: row.conversation_id,
            attempt_id: row.attempt_id,
            purpose: row.purpose(),
            content: &mut content,
            outside: outside.as_ref(),
            window_expires_at: recipient.window_expires_at,
            marketing: recipient.marketing.as_deref().and_then(Marketing::parse),
            blocked: recipient.blocked_at.is_some(),
        };
        match gate::pass(tx, keyring, at_gate, now)? {
            None => {
                if begins(row.purpose(), &content, recipient.window_expires_at, now) {
                    first.push(row.id);
                }
                claims
                    .claimed
                    .push(row.claimed(tenant_id, content, recipient));
            }
            Some(held) => claims.held.push(HeldMessage {
                tenant_id,
                message_id: row.id,
                conversation_id: row.conversation_id,
                held,
            }),
        }
    }
    portfolio::hold(tx, &mut claims, &first, now)?;
    let attempts: Vec<_> = claims
        .claimed
        .iter()
        .map(|claimed| {
            params![
                claimed.tenant_id,
                claimed.attempt_id,
                claimed.message_id,
                claimed.attempts,
                now
            ]
        })
        .collect();
    tx.insert_many(&ADD_ATTEMPTS, &attempts)?;
    Ok(claims)
}

/// Whether the business begins a conversation with this message.
fn begins(
    purpose: Purpose,
    content: &Content,
    window_expires_at: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    let window = Window {
        expires_at: window_expires_at,
        free_entry_until: None,
    };
    purpose != Purpose::Reply && !needs_window(content) && !window.is_open(now)
}

impl ClaimRow {
    fn purpose(&self) -> Purpose {
        let known = self.purpose.as_deref().and_then(Purpose::parse);
        known.unwrap_or(Purpose::Transactional)
    }

    fn claimed(self, tenant_id: TenantId, content: Content, recipient: RecipientRow) -> Claimed {
        let purpose = self.purpose();
        Claimed {
            tenant_id,
            message_id: self.id,
            conversation_id: self.conversation_id,
            contact_id: self.contact_id,
            channel_id: self.channel_id,
            content,
            purpose,
            attempts: self.attempts,
            attempt_id: self.attempt_id,
            reply_to: self.reply_to,
            may_be_duplicate: self.may_be_duplicate,
            phone_sealed: recipient.phone_sealed,
            user_id_sealed: recipient.user_id_sealed,
        }
    }
}

/// Takes claims back whose commit may or may not have happened. Only for attempts that surely sent nothing: those that
/// the caller never got. The answer is how many there were.
///
/// # Errors
/// What the database says.
pub fn release(
    tx: &mut Tx<'_>,
    claims: &[(Hint, AttemptId)],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let messages: Vec<_> = claims
        .iter()
        .map(|(hint, attempt)| params![hint.tenant_id, hint.message_id, *attempt, now])
        .collect();
    let attempts: Vec<_> = claims
        .iter()
        .map(|(hint, attempt)| params![hint.tenant_id, *attempt])
        .collect();
    let released = tx.execute_many(&RELEASE, &messages)?;
    tx.execute_many(&FORGET_ATTEMPT, &attempts)?;
    Ok(released.iter().sum())
}

/// How an attempt ended, to be recorded.
#[derive(Debug, Clone)]
pub struct Record {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The message.
    pub message_id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Its channel.
    pub channel_id: ChannelId,
    /// The attempt. A record of an attempt that is no longer the message's current one changes only the attempt.
    pub attempt_id: AttemptId,
    /// What follows.
    pub end: End,
}

/// What follows from an attempt.
#[derive(Debug, Clone)]
pub enum End {
    /// Accepted.
    Sent {
        /// The provider's id, when the answer had one.
        provider_id: Option<ProviderMessageId>,
    },
    /// Back to the queue.
    Retry {
        /// Due then.
        due_at: Timestamp,
        /// Whether the attempt counts.
        counts: bool,
        /// Why.
        error: ProviderError,
        /// The whole channel waits that long.
        pause_channel: bool,
    },
    /// Failed for good.
    Failed(ProviderError),
    /// Nobody knows.
    Unknown(ProviderError),
}

impl End {
    const fn word(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Retry { .. } => "retry",
            Self::Failed(_) => "failed",
            Self::Unknown(_) => "unknown",
        }
    }

    const fn error(&self) -> Option<&ProviderError> {
        match self {
            Self::Sent { .. } => None,
            Self::Retry { error, .. } | Self::Failed(error) | Self::Unknown(error) => Some(error),
        }
    }
}

fn error_values(error: Option<&ProviderError>) -> [Value; 3] {
    [
        error.map(|error| error.class.as_str()).into(),
        error.and_then(|error| error.code.clone()).into(),
        error.map(|error| error.message.clone()).into(),
    ]
}

/// Records the ends of attempts. The answer says for each whether the message moved because of it.
///
/// # Errors
/// What the database says.
pub fn record(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    records: &[Record],
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    let ids = records
        .iter()
        .map(|record| (record.tenant_id, record.message_id));
    // SQLite has one writer: nobody to wait for.
    if tx.engine() == Engine::Postgres {
        messages::lock(tx, ids)?;
    }
    let attempts: Vec<Vec<Value>> = records
        .iter()
        .map(|record| {
            let start = params![record.tenant_id, record.attempt_id, now, record.end.word()];
            start
                .into_iter()
                .chain(error_values(record.end.error()))
                .collect()
        })
        .collect();
    tx.execute_many(&FINISH_ATTEMPT, &attempts)?;

    let mut moved = vec![false; records.len()];
    let mut groups = [&SENT, &RETRY, &FAILED, &UNKNOWN].map(Group::new);
    for (index, record) in records.iter().enumerate() {
        let key = params![record.tenant_id, record.message_id, record.attempt_id];
        let (group, rest) = end_values(keyring, record, now);
        groups[group].indexes.push(index);
        groups[group]
            .sets
            .push(key.into_iter().chain(rest).collect());
    }
    let mut late = Vec::new();
    for group in groups {
        let counts = tx.execute_many(group.statement, &group.sets)?;
        for ((index, count), set) in group.indexes.into_iter().zip(counts).zip(group.sets) {
            moved[index] = count > 0;
            if count == 0 && matches!(records[index].end, End::Sent { .. }) {
                late.push(set);
            }
        }
    }
    tx.execute_many(&SENT_LATE, &late)?;
    let pauses: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.end {
            End::Retry {
                due_at,
                pause_channel: true,
                ..
            } => Some(params![record.tenant_id, record.channel_id, *due_at]),
            _ => None,
        })
        .collect();
    tx.execute_many(&PAUSE_CHANNEL, &pauses)?;
    Ok(moved)
}

/// Notes that the circuit of a channel opened, until when, or closed: so that every node holds its messages, and people
/// see why.
///
/// # Errors
/// What the database says.
pub fn note_circuit(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    open_until: Option<Timestamp>,
) -> Result<(), StoreError> {
    match open_until {
        Some(until) => tx.execute(&OPEN_CIRCUIT, &params![tenant, channel, until]),
        None => tx.execute(&CLOSE_CIRCUIT, &params![tenant, channel]),
    }
    .map(|_| ())
}

/// Records that end alike: which ones, and the values of each.
struct Group {
    statement: &'static crate::Statement,
    indexes: Vec<usize>,
    sets: Vec<Vec<Value>>,
}

impl Group {
    const fn new(statement: &'static crate::Statement) -> Self {
        Self {
            statement,
            indexes: Vec::new(),
            sets: Vec::new(),
        }
    }
}

/// The group of a record, and the values that follow the key of its statement.
fn end_values(keyring: &Keyring, record: &Record, now: Timestamp) -> (usize, Vec<Value>) {
    let failed = |error| {
        [now.into()]
            .into_iter()
            .chain(error_values(Some(error)))
            .collect()
    };
    match &record.end {
        End::Sent { provider_id } => {
            let id = provider_id.as_ref();
            let sealed =
                id.map(|id| seal_provider_id(keyring, record.tenant_id, record.message_id, id));
            let hash = id.map(|id| provider_id_hash(keyring, record.tenant_id, id));
            (0, params![now, sealed, hash].to_vec())
        }
        End::Retry {
            due_at,
            counts,
            error,
            ..
        } => {
            let first = params![*due_at, i16::from(!*counts)].into_iter();
            (
                1,
                first
                    .chain(error_values(Some(error)))
                    .chain([now.into()])
                    .collect(),
            )
        }
        End::Failed(error) => (2, failed(error)),
        End::Unknown(error) => (3, failed(error)),
    }
}

/// Puts a failed message, or one whose outcome is unknown, back into the queue because a person wants it.
///
/// # Errors
/// What the database says.
pub fn retry_by_hand(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageId,
    now: Timestamp,
) -> Result<Option<Hint>, StoreError> {
    let row =
        tx.query_opt::<(ConversationId, ChannelId, i64)>(&RETRY_FAILED, &params![tenant, id, now])?;
    Ok(row.map(|(conversation_id, channel_id, priority)| Hint {
        tenant_id: tenant,
        conversation_id,
        channel_id,
        message_id: id,
        priority,
    }))
}

#[cfg(test)]
pub(super) mod tests;
