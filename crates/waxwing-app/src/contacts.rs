//! What people decide about contacts: that two are one person, or that they are not.

use serde_json::json;
use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::{ContactId, MergeId, OutboxEventId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_store::StoreError;
use waxwing_store::domain::audit::Trail;
use waxwing_store::domain::contacts::merges::{self, Outcome, Reason};
use waxwing_store::domain::outbox::{self, NewOutboxEvent};

use crate::Base;

/// Merges `loser` into `winner` because a person said so. `false` when one of them does not exist, was merged away
/// before, or they are the same.
///
/// # Errors
/// What the database says.
pub async fn merge(
    base: &Base,
    tenant: TenantId,
    winner: ContactId,
    loser: ContactId,
    trail: Trail,
) -> Result<bool, StoreError> {
    let (keyring, now) = (base.keyring.clone(), base.clock.now());
    let (id, event_id) = (MergeId::new(&*base.ids), OutboxEventId::new(&*base.ids));
    base.store
        .write(move |tx| {
            let reason = Reason::ByHand;
            let outcome = merges::merge(tx, &keyring, tenant, id, winner, loser, reason, now)?;
            if outcome != Outcome::Merged {
                return Ok(false);
            }
            let event = DomainEvent::ContactMerged {
                contact_id: winner,
                merged_id: loser,
                reason: reason.as_str().to_owned(),
            };
            emit(tx, tenant, event_id, event, now)?;
            let change = Change::made(json!({ "mergedId": loser.to_string() }));
            trail.record(tx, &Object::one("contact", winner), &change)?;
            Ok(true)
        })
        .await
}

/// Undoes a merge. The contact that had stayed; `None` when there is no such merge or it was undone before.
///
/// # Errors
/// What the database says.
pub async fn part(
    base: &Base,
    tenant: TenantId,
    merge: MergeId,
    trail: Trail,
) -> Result<Option<ContactId>, StoreError> {
    let (now, event_id) = (base.clock.now(), OutboxEventId::new(&*base.ids));
    base.store
        .write(move |tx| {
            let Some((winner, loser)) = merges::undo(tx, tenant, merge, now)? else {
                return Ok(None);
            };
            let event = DomainEvent::ContactParted {
                contact_id: winner,
                parted_id: loser,
            };
            emit(tx, tenant, event_id, event, now)?;
            let change = Change::gone(json!({ "mergedId": loser.to_string() }));
            trail.record(tx, &Object::one("contact", winner), &change)?;
            Ok(Some(winner))
        })
        .await
}

fn emit(
    tx: &mut waxwing_store::Tx<'_>,
    tenant_id: TenantId,
    id: OutboxEventId,
    event: DomainEvent,
    now: waxwing_core::time::Timestamp,
) -> Result<(), StoreError> {
    let event = NewOutboxEvent {
        tenant_id,
        id,
        event,
    };
    outbox::append(tx, &[event], now)
}
