//! Deleting what is too old, in small steps.

use waxwing_core::time::Timestamp;

use crate::{Statement, StoreError, Tx, params, statements};

statements! {
    WEBHOOK_EVENTS [global] = "DELETE FROM webhook_events WHERE id IN \
        (SELECT id FROM webhook_events WHERE received_at < $1 AND state <> 'pending' LIMIT $2)";
    OUTBOX_EVENTS [tenant] = "DELETE FROM outbox_events WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM outbox_events WHERE created_at < $1 LIMIT $2)";
    PARKED_STATUSES [tenant] = "DELETE FROM parked_statuses WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM parked_statuses WHERE parked_at < $1 LIMIT $2)";
    INBOUND_MARKS [tenant] = "DELETE FROM inbound_marks WHERE (tenant_id, channel_id, kind, item_hash) IN \
        (SELECT tenant_id, channel_id, kind, item_hash FROM inbound_marks WHERE seen_at < $1 LIMIT $2)";
    MESSAGES [tenant] = "DELETE FROM messages WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM messages WHERE created_at < $1 AND status NOT IN ('queued', 'sending') LIMIT $2)";
    /// Days, not times.
    MESSAGE_COSTS [tenant] = "DELETE FROM message_costs WHERE (tenant_id, message_id) IN \
        (SELECT tenant_id, message_id FROM message_costs WHERE day < $1 / 86400000000 LIMIT $2)";
    PROVIDER_ASSETS [tenant] = "DELETE FROM provider_assets WHERE (tenant_id, channel_id, key_hash) IN \
        (SELECT tenant_id, channel_id, key_hash FROM provider_assets WHERE expires_at < $1 LIMIT $2)";
    DEAD_LETTERS [tenant] = "DELETE FROM dead_letters WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM dead_letters WHERE created_at < $1 AND resolved_at IS NOT NULL LIMIT $2)";
}

/// What grows with time and is deleted by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aging {
    /// Raw provider requests that were handled or kept aside.
    WebhookEvents,
    /// Domain events.
    OutboxEvents,
    /// Statuses whose message never appeared.
    ParkedStatuses,
    /// Duplicate marks.
    InboundMarks,
    /// Messages that have come to an end, with their attempts and idempotency keys.
    Messages,
    /// Dead letters that were dealt with.
    DeadLetters,
    /// What messages cost.
    MessageCosts,
    /// Things at a provider that are no longer good.
    ProviderAssets,
}

impl Aging {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::WebhookEvents,
        Self::OutboxEvents,
        Self::ParkedStatuses,
        Self::InboundMarks,
        Self::Messages,
        Self::DeadLetters,
        Self::ProviderAssets,
        Self::MessageCosts,
    ];

    /// The table.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::WebhookEvents => "webhook_events",
            Self::OutboxEvents => "outbox_events",
            Self::ParkedStatuses => "parked_statuses",
            Self::InboundMarks => "inbound_marks",
            Self::Messages => "messages",
            Self::DeadLetters => "dead_letters",
            Self::ProviderAssets => "provider_assets",
            Self::MessageCosts => "message_costs",
        }
    }

    fn statement(self) -> &'static Statement {
        match self {
            Self::WebhookEvents => &WEBHOOK_EVENTS,
            Self::OutboxEvents => &OUTBOX_EVENTS,
            Self::ParkedStatuses => &PARKED_STATUSES,
            Self::InboundMarks => &INBOUND_MARKS,
            Self::Messages => &MESSAGES,
            Self::DeadLetters => &DEAD_LETTERS,
            Self::ProviderAssets => &PROVIDER_ASSETS,
            Self::MessageCosts => &MESSAGE_COSTS,
        }
    }
}

/// Deletes at most `limit` rows that are older than `before`; how many it were.
///
/// # Errors
/// What the database says.
pub fn delete_older(
    tx: &mut Tx<'_>,
    what: Aging,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    tx.execute(what.statement(), &params![before, limit])
}
