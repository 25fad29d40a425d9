//! Messages that did not pass the last gate: what has ended for good is told.

use waxwing_core::ids::{DeadLetterId, OutboxEventId};
use waxwing_core::outbox::DomainEvent;
use waxwing_store::domain::dead_letters::{self, DeadMessage};
use waxwing_store::domain::gate::{Held, HeldMessage};
use waxwing_store::domain::outbox::{self, NewOutboxEvent};
use waxwing_store::domain::queue::{self, Hint};
use waxwing_store::{StoreError, Tx};

use crate::{Base, metrics};

/// Writes dead letters and events of messages that failed or expired at the gate, in the transaction that found it. The
/// answer is what may go in their place: the next messages of their conversations.
pub(super) fn tell(
    tx: &mut Tx<'_>,
    base: &Base,
    held: &[HeldMessage],
) -> Result<Vec<Hint>, StoreError> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let now = base.clock.now();
    let mut dead = Vec::new();
    let mut events = Vec::new();
    for message in held {
        ::metrics::counter!(metrics::HELD_AT_GATE, "result" => word(message.held)).increment(1);
        let (status, error) = match message.held {
            Held::Waits | Held::Limited => continue,
            Held::Expired => ("expired", None),
            Held::Failed | Held::OptedOut | Held::Blocked | Held::Unreadable => {
                ("failed", Some(message.held.refusal()))
            }
        };
        if let Some(error) = &error {
            dead.push(DeadMessage {
                tenant_id: message.tenant_id,
                id: DeadLetterId::new(&*base.ids),
                message_id: message.message_id,
                error: error.clone(),
            });
        }
        events.push(NewOutboxEvent {
            tenant_id: message.tenant_id,
            id: OutboxEventId::new(&*base.ids),
            event: DomainEvent::MessageStatusChanged {
                message_id: message.message_id,
                conversation_id: message.conversation_id,
                status: status.to_owned(),
                error,
            },
        });
    }
    dead_letters::add_messages(tx, &dead, now)?;
    outbox::append(tx, &events, now)?;
    let lanes: Vec<_> = held
        .iter()
        .map(|message| (message.tenant_id, message.conversation_id))
        .collect();
    let next = queue::next_in_lanes(tx, &lanes, now)?;
    Ok(next
        .into_iter()
        .filter(|(_, due_at)| *due_at <= now)
        .map(|(hint, _)| hint)
        .collect())
}

const fn word(held: Held) -> &'static str {
    match held {
        Held::Waits => "waits",
        Held::Limited => "limited",
        Held::Expired => "expired",
        Held::Failed => "failed",
        Held::OptedOut => "opted_out",
        Held::Blocked => "blocked",
        Held::Unreadable => "unreadable",
    }
}
