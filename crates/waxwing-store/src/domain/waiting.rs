//! Looking for messages that are due: tenant by tenant, channel by channel, the urgent ones first.

use std::collections::HashSet;

use waxwing_core::delivery::Purpose;
use waxwing_core::ids::{ChannelId, ConversationId, MessageId, TenantId};
use waxwing_core::time::Timestamp;

use super::queue::{Hint, lane_cutoff};
use crate::{StoreError, Tx, params, row, statements};

statements! {
    /// Tenants with messages that wait: a loose scan of the queue's index.
    TENANTS_WAITING [global, scan: "the recursive part walks the partial index one tenant at a time"] =
        "WITH RECURSIVE waiting(tenant_id) AS ( \
           SELECT (SELECT tenant_id FROM messages WHERE status = 'queued' AND tenant_id > $2 ORDER BY tenant_id LIMIT 1) \
           UNION ALL \
           SELECT (SELECT m.tenant_id FROM messages m WHERE m.status = 'queued' AND m.tenant_id > waiting.tenant_id \
                   ORDER BY m.tenant_id LIMIT 1) FROM waiting WHERE waiting.tenant_id IS NOT NULL \
         ) SELECT tenant_id FROM waiting WHERE tenant_id IS NOT NULL LIMIT $1";
    /// The channels of a tenant with messages that wait, likewise.
    CHANNELS_WAITING [tenant, scan: "the recursive part walks the partial index one channel at a time"] =
        "WITH RECURSIVE waiting(channel_id) AS ( \
           SELECT (SELECT channel_id FROM messages WHERE tenant_id = $1 AND status = 'queued' ORDER BY channel_id LIMIT 1) \
           UNION ALL \
           SELECT (SELECT m.channel_id FROM messages m WHERE m.tenant_id = $1 AND m.status = 'queued' AND m.channel_id > waiting.channel_id \
                   ORDER BY m.channel_id LIMIT 1) FROM waiting WHERE waiting.channel_id IS NOT NULL \
         ) SELECT channel_id FROM waiting WHERE channel_id IS NOT NULL LIMIT $2";
    /// `OFFSET 0` keeps PostgreSQL from turning the look into the lane into a join: made while the table was empty, that
    /// plan compared every waiting message with every other (1.4 s instead of 2 ms at 6,000).
    DUE [tenant] = "SELECT m.id, m.conversation_id, m.channel_id, m.priority FROM messages m \
        WHERE m.tenant_id = $1 AND m.channel_id = $4 AND m.priority = $5 AND m.status = 'queued' AND m.due_at <= $2 \
        AND NOT EXISTS (SELECT 1 FROM messages e WHERE e.tenant_id = $1 AND e.conversation_id = m.conversation_id AND e.id < m.id \
          AND e.status IN ('queued', 'sending') AND (e.waits_for IS NULL OR e.due_at <= $2) \
          AND (e.status = 'queued' OR e.outcome_unknown = FALSE OR e.unknown_at > $3) LIMIT 1 OFFSET 0) \
        AND EXISTS (SELECT 1 FROM channels c WHERE c.tenant_id = $1 AND c.id = m.channel_id AND c.status = 'active' AND c.paused_until <= $2) \
        ORDER BY m.due_at, m.id LIMIT $6";
    NEXT_DUE [tenant] = "SELECT due_at FROM messages WHERE tenant_id = $1 AND channel_id = $2 AND priority = $3 AND status = 'queued' \
        AND due_at > $4 AND due_at <= $5 ORDER BY due_at LIMIT 1";
    DEPTH [global, scan: "counts the partial index of what waits"] = "SELECT count(*) FROM messages WHERE status = 'queued'";
    OLDEST [tenant, scan: "the index is in this order, its first row is the answer"] = "SELECT due_at FROM messages \
        WHERE tenant_id = $1 AND channel_id = $2 AND priority = $3 AND status = 'queued' AND due_at <= $4 ORDER BY due_at LIMIT 1";
}

row! {
    /// A message that may be claimed.
    struct DueRow {
        id: MessageId,
        conversation_id: ConversationId,
        channel_id: ChannelId,
        priority: i64,
    }
}

/// Tenants of one look for due messages.
const TENANTS_LOOKED_AT: u32 = 1_000;
/// Channels of a tenant of one look.
const CHANNELS_LOOKED_AT: u32 = 64;
/// About how many messages one look brings.
const HINTS_LOOKED_FOR: u32 = 4_096;

/// What a look for due messages found.
#[derive(Debug, Clone)]
pub struct Due {
    /// The messages.
    pub hints: Vec<Hint>,
    /// Where the next look begins.
    pub last: Option<TenantId>,
    /// There may be more than these.
    pub more: bool,
    /// Namely of these channels.
    pub cut: Vec<ChannelId>,
    /// When the next message of the tenants that were looked at is due, if that is before the next look.
    pub next_at: Option<Timestamp>,
}

/// Messages that are due and first in their conversation: of the tenants after `after`, at most `TENANTS_LOOKED_AT`, with
/// equal parts for each of their channels, the urgent ones first. Channels and priorities of which the caller has `enough` are
/// left out.
/// The last tenant that was looked at is where the next look begins, `None` at the end. `until` is when the caller looks
/// again in any case.
///
/// # Errors
/// What the database says.
pub fn due(
    tx: &mut Tx<'_>,
    after: Option<TenantId>,
    enough: &HashSet<(ChannelId, i64)>,
    now: Timestamp,
    until: Timestamp,
) -> Result<Due, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), TenantId::uuid);
    let waiting = tx.query::<TenantId>(&TENANTS_WAITING, &params![TENANTS_LOOKED_AT, after])?;
    let wanted = channels_waiting(tx, &waiting)?;
    let part =
        (HINTS_LOOKED_FOR / u32::try_from(wanted.len().max(1)).unwrap_or(u32::MAX)).clamp(8, 1_024);
    let mut sets = Vec::with_capacity(wanted.len() * Purpose::ALL.len());
    let mut tenants = Vec::with_capacity(sets.capacity());
    let mut later = Vec::with_capacity(sets.capacity());
    for (tenant, channel) in &wanted {
        for priority in Purpose::ALL.map(Purpose::priority) {
            later.push(params![*tenant, *channel, priority, now, until]);
            if !enough.contains(&(*channel, i64::from(priority))) {
                tenants.push(*tenant);
                let cutoff = lane_cutoff(now);
                sets.push(params![*tenant, now, cutoff, *channel, priority, part]);
            }
        }
    }
    let rows = tx.query_many::<DueRow>(&DUE, &sets)?;
    let next_at = tx
        .query_many::<Timestamp>(&NEXT_DUE, &later)?
        .into_iter()
        .flatten()
        .min();
    let full = waiting.len() == TENANTS_LOOKED_AT as usize;
    let last = waiting.last().copied().filter(|_| full);
    let cut: Vec<_> = rows
        .iter()
        .filter(|rows| rows.len() >= part as usize)
        .filter_map(|rows| rows.first().map(|row| row.channel_id))
        .collect();
    let hint = |tenant_id: TenantId| {
        move |row: DueRow| Hint {
            tenant_id,
            conversation_id: row.conversation_id,
            channel_id: row.channel_id,
            message_id: row.id,
            priority: row.priority,
        }
    };
    let hints = tenants
        .into_iter()
        .zip(rows)
        .flat_map(|(tenant, rows)| rows.into_iter().map(hint(tenant)))
        .collect();
    Ok(Due {
        hints,
        last,
        more: !cut.is_empty() || last.is_some(),
        cut,
        next_at,
    })
}

fn channels_waiting(
    tx: &mut Tx<'_>,
    tenants: &[TenantId],
) -> Result<Vec<(TenantId, ChannelId)>, StoreError> {
    let sets: Vec<_> = tenants
        .iter()
        .map(|tenant| params![*tenant, CHANNELS_LOOKED_AT])
        .collect();
    let rows = tx.query_many::<ChannelId>(&CHANNELS_WAITING, &sets)?;
    let pairs = tenants
        .iter()
        .zip(rows)
        .flat_map(|(tenant, channels)| channels.into_iter().map(|channel| (*tenant, channel)));
    Ok(pairs.collect())
}

/// How many messages wait, over all tenants, and since when the first one is due among the first tenants.
///
/// # Errors
/// What the database says.
pub fn depth(tx: &mut Tx<'_>, now: Timestamp) -> Result<(u64, Option<Timestamp>), StoreError> {
    let depth = tx.query_one::<u64>(&DEPTH, &[])?;
    let tenants = tx.query::<TenantId>(&TENANTS_WAITING, &params![100, uuid::Uuid::nil()])?;
    let sets: Vec<_> = channels_waiting(tx, &tenants)?
        .into_iter()
        .flat_map(|(tenant, channel)| {
            Purpose::ALL.map(|purpose| params![tenant, channel, purpose.priority(), now])
        })
        .collect();
    let oldest = tx
        .query_many::<Timestamp>(&OLDEST, &sets)?
        .into_iter()
        .flatten()
        .min();
    Ok((depth, oldest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::crypto::Keyring;
    use crate::domain::queue::tests::{NOW, queued};
    use crate::store_test;
    use std::time::Duration;

    store_test!(a_look_says_when_the_next_message_is_due, |db| async move {
        let keyring = Keyring::for_tests(7);
        db.store()
            .write(move |tx| queued(tx, &keyring, 2))
            .await
            .unwrap();
        let look = |now: Timestamp, seconds| {
            db.store().read(move |tx| {
                let until = now.plus(Duration::from_secs(seconds));
                let due = due(tx, None, &HashSet::new(), now, until)?;
                Ok((due.hints.len(), due.next_at))
            })
        };
        let before = Timestamp::from_seconds(90);
        assert_eq!(look(before, 9).await.unwrap(), (0, None));
        assert_eq!(look(before, 10).await.unwrap(), (0, Some(NOW)));
        assert_eq!(look(NOW, 10).await.unwrap(), (2, None));
    });
}
