//! How many people a business may write to first within a day (protocols/meta.md 17): counted by account, over all of
//! its tenants and numbers, in the transaction that claims a message.
//!
//! A person counts for the hour of the first message and the 24 hours after it, so never for less than the provider
//! counts. What is beyond the limit waits until somebody counts no longer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use waxwing_core::account_news::people_a_day;
use waxwing_core::ids::{ChannelId, MessageId, TenantId};
use waxwing_core::time::Timestamp;

use super::gate::{Held, HeldMessage};
use super::queue::{Claimed, Claims};
use crate::{StoreError, Tx, params, statements};

statements! {
    LIMIT [tenant] = "SELECT c.kind, COALESCE(c.account_id, c.sender_id), h.messaging_limit FROM channels c \
        JOIN channel_health h ON h.tenant_id = $1 AND h.channel_id = $2 WHERE c.tenant_id = $1 AND c.id = $2 AND h.messaging_limit IS NOT NULL";
    /// The row stays locked until the commit: two nodes never count the same place twice.
    LOCK [global] = "INSERT INTO portfolios (id, counted_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET counted_at = $2";
    COUNTED [global] = "SELECT CAST(COALESCE(SUM(people), 0) AS BIGINT), MIN(hour) FROM portfolio_hours WHERE portfolio_id = $1 AND hour >= $2";
    KNOWN [global] = "SELECT hour FROM portfolio_people WHERE portfolio_id = $1 AND contact_id = $2 AND hour > $3";
    COUNT_PERSON [global] = "INSERT INTO portfolio_people (portfolio_id, contact_id, hour) VALUES ($1, $2, $3) \
        ON CONFLICT (portfolio_id, contact_id) DO UPDATE SET hour = $3";
    COUNT_HOUR [global] = "INSERT INTO portfolio_hours (portfolio_id, hour, people) VALUES ($1, $2, $3) \
        ON CONFLICT (portfolio_id, hour) DO UPDATE SET people = portfolio_hours.people + $3";
    FORGET_HOURS [global] = "DELETE FROM portfolio_hours WHERE portfolio_id = $1 AND hour < $2";
    WAIT [tenant] = "UPDATE messages SET status = 'queued', rank = 0, attempts = attempts - 1, claimed_by = NULL, attempt_id = NULL, \
        waits_for = 'portfolio_limit', due_at = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2 AND attempt_id = $3";
}

const HOUR_MICROS: i64 = 3_600 * 1_000_000;
/// A person counts in the hour of the message and so many after it.
const HOURS: i64 = 24;
/// What waits looks again this often: the limit may have been raised.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

/// The hour of a moment, since 1970.
#[must_use]
pub const fn hour(at: Timestamp) -> i64 {
    at.micros().div_euclid(HOUR_MICROS)
}

/// Takes back the claims of messages that begin a conversation for which their account has no place left. `first` names
/// the claimed messages that begin one.
///
/// # Errors
/// What the database says.
pub(super) fn hold(
    tx: &mut Tx<'_>,
    claims: &mut Claims,
    first: &[MessageId],
    now: Timestamp,
) -> Result<(), StoreError> {
    if first.is_empty() {
        return Ok(());
    }
    let mut by_channel: BTreeMap<(TenantId, ChannelId), Vec<usize>> = BTreeMap::new();
    for (place, claimed) in claims.claimed.iter().enumerate() {
        if first.contains(&claimed.message_id) {
            let key = (claimed.tenant_id, claimed.channel_id);
            by_channel.entry(key).or_default().push(place);
        }
    }
    let channels: Vec<_> = by_channel.keys().map(|(t, c)| params![*t, *c]).collect();
    let limits = tx.query_many::<(String, String, String)>(&LIMIT, &channels)?;
    // In the order of their names, so that two nodes never wait for each other in a circle.
    let mut portfolios: BTreeMap<String, (u32, Vec<usize>)> = BTreeMap::new();
    for (places, rows) in by_channel.into_values().zip(limits) {
        let Some((kind, account, word)) = rows.into_iter().next() else {
            continue;
        };
        let Some(limit) = people_a_day(&word) else {
            continue;
        };
        let portfolio = portfolios
            .entry(format!("{kind}:{account}"))
            .or_insert((limit, Vec::new()));
        portfolio.0 = portfolio.0.min(limit);
        portfolio.1.extend(places);
    }
    let mut waits: BTreeMap<MessageId, Timestamp> = BTreeMap::new();
    for (portfolio, (limit, places)) in portfolios {
        let people: Vec<&Claimed> = places.iter().map(|place| &claims.claimed[*place]).collect();
        waits.extend(count(tx, &portfolio, limit, &people, now)?);
    }
    let all = std::mem::take(&mut claims.claimed);
    for claimed in all {
        let Some(until) = waits.get(&claimed.message_id) else {
            claims.claimed.push(claimed);
            continue;
        };
        let (tenant_id, message_id) = (claimed.tenant_id, claimed.message_id);
        tx.execute(
            &WAIT,
            &params![tenant_id, message_id, claimed.attempt_id, *until, now],
        )?;
        claims.held.push(HeldMessage {
            tenant_id,
            message_id,
            conversation_id: claimed.conversation_id,
            held: Held::Limited,
        });
    }
    Ok(())
}

/// Counts the people of messages as far as there is room; the others, and until when they have to wait.
fn count(
    tx: &mut Tx<'_>,
    portfolio: &str,
    limit: u32,
    messages: &[&Claimed],
    now: Timestamp,
) -> Result<Vec<(MessageId, Timestamp)>, StoreError> {
    tx.execute(&LOCK, &params![portfolio, now])?;
    let (this_hour, limit) = (hour(now), i64::from(limit));
    let counts_from = this_hour - HOURS;
    let (mut people, oldest) =
        tx.query_one::<(i64, Option<i64>)>(&COUNTED, &params![portfolio, counts_from])?;
    let known: Vec<_> = messages
        .iter()
        .map(|message| params![portfolio, message.contact_id, counts_from])
        .collect();
    let known = tx.query_many::<i64>(&KNOWN, &known)?;
    let mut counted = BTreeSet::new();
    let mut waits = Vec::new();
    let free_at = (oldest.unwrap_or(this_hour) + HOURS + 1) * HOUR_MICROS;
    let until = Timestamp::from_micros(free_at).min(now.plus(LOOK_AGAIN));
    for (message, known) in messages.iter().zip(known) {
        if !known.is_empty() || counted.contains(&message.contact_id) {
            continue;
        }
        if people < limit {
            people += 1;
            counted.insert(message.contact_id);
        } else {
            waits.push((message.message_id, until));
        }
    }
    let new: Vec<_> = counted
        .iter()
        .map(|contact| params![portfolio, *contact, this_hour])
        .collect();
    tx.execute_many(&COUNT_PERSON, &new)?;
    if !new.is_empty() {
        let new = i64::try_from(new.len()).unwrap_or(i64::MAX);
        tx.execute(&COUNT_HOUR, &params![portfolio, this_hour, new])?;
        tx.execute(&FORGET_HOURS, &params![portfolio, counts_from])?;
    }
    Ok(waits)
}

#[cfg(test)]
mod tests;
