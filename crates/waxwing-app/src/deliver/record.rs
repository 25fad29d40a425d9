//! Recording how attempts ended: one transaction for all that ended at the same time.

use std::collections::{HashMap, HashSet};

use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::ids::{DeadLetterId, MessageId, OutboxEventId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::channels;
use waxwing_store::domain::dead_letters::{self, DeadMessage};
use waxwing_store::domain::gate::{self, RefusedOutside};
use waxwing_store::domain::messages::provider_id_hash;
use waxwing_store::domain::outbox::{self, NewOutboxEvent};
use waxwing_store::domain::queue::{self, End, Hint, Record};
use waxwing_store::domain::statuses::{self, Identified};
use waxwing_store::{Batcher, BatcherOptions, StoreError, Tx};

use crate::Base;
use crate::consent;
use crate::message_templates::{self, Fault};

/// The end of an attempt, with the reason for which its channel stops, if it does.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) record: Record,
    pub(super) stop_channel: Option<ProviderError>,
    /// The circuit of its channel opened until then, or, with `None`, closed.
    pub(super) circuit: Option<Option<Timestamp>>,
    /// The template that the send has shown to be something else than was thought.
    pub(super) fault: Option<Fault>,
}

/// What a recorded end leads to.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorded {
    /// The next message of the conversation, when it is due.
    pub(super) next: Option<Hint>,
}

/// Starts the batcher on the present runtime.
pub(super) fn start(base: &Base) -> Batcher<Ended, Recorded> {
    let options = BatcherOptions {
        max_batch: 256,
        capacity: 4_096,
        bulk: false,
    };
    let write = base.clone();
    Batcher::start(base.store.clone(), options, move |tx, ended: &[Ended]| {
        record(tx, &write, ended)
    })
}

/// Records the end of an attempt that became known in another way than by its answer.
pub(crate) fn settle(tx: &mut Tx<'_>, base: &Base, record: Record) -> Result<(), StoreError> {
    let ended = Ended {
        record,
        stop_channel: None,
        circuit: None,
        fault: None,
    };
    self::record(tx, base, &[ended]).map(|_| ())
}

fn record(tx: &mut Tx<'_>, base: &Base, ended: &[Ended]) -> Result<Vec<Recorded>, StoreError> {
    let now = base.clock.now();
    let records: Vec<Record> = ended.iter().map(|ended| ended.record.clone()).collect();
    let moved = queue::record(tx, &base.keyring, &records, now)?;
    let mut events = Vec::new();
    let mut dead = Vec::new();
    let mut identified = Vec::new();
    for ((ended, record), moved) in ended.iter().zip(&records).zip(moved) {
        if let Some(open_until) = ended.circuit {
            queue::note_circuit(tx, record.tenant_id, record.channel_id, open_until)?;
        }
        if let Some(error) = &ended.stop_channel
            && channels::set_status(
                tx,
                record.tenant_id,
                record.channel_id,
                Some(&reason(error)),
                now,
            )?
        {
            let event = DomainEvent::ChannelBroken {
                channel_id: record.channel_id,
                error: error.clone(),
            };
            events.push(outbox_event(base, record.tenant_id, event));
        }
        if let End::Sent {
            provider_id: Some(id),
        } = &record.end
        {
            identified.push(Identified {
                tenant_id: record.tenant_id,
                channel_id: record.channel_id,
                message_id: record.message_id,
                provider_id_hash: provider_id_hash(&base.keyring, record.tenant_id, id),
            });
        }
        if let Some(fault) = &ended.fault
            && let Some(event) = message_templates::revealed(tx, fault, now)?
        {
            events.push(outbox_event(base, record.tenant_id, event));
        }
        if !moved {
            continue;
        }
        if let End::Failed(error) = &record.end {
            if error.class == ErrorClass::OptedOut {
                let (tenant, message) = (record.tenant_id, record.message_id);
                let code = error.code.as_deref();
                events.extend(consent::refused_by_provider(
                    tx, base, tenant, message, code, now,
                )?);
            }
            dead.push(dead_message(
                base,
                record.tenant_id,
                record.message_id,
                error.clone(),
            ));
        }
        if let Some(event) = status_event(record) {
            events.push(outbox_event(base, record.tenant_id, event));
        }
    }
    statuses_that_waited(tx, base, &identified, &records, &mut events, &mut dead)?;
    refused_outside(tx, &records, &mut events, &mut dead, now)?;
    dead_letters::add_messages(tx, &dead, now)?;
    outbox::append(tx, &events, now)?;
    let lanes: Vec<_> = records
        .iter()
        .map(|record| (record.tenant_id, record.conversation_id))
        .collect();
    let next: HashMap<_, _> = queue::next_in_lanes(tx, &lanes, now)?
        .into_iter()
        .filter(|(_, due_at)| *due_at <= now)
        .map(|(hint, _)| ((hint.tenant_id, hint.conversation_id), hint))
        .collect();
    let recorded = lanes.iter().map(|lane| Recorded {
        next: next.get(lane).copied(),
    });
    Ok(recorded.collect())
}

/// Closes windows in which the provider refused messages; those that go back to the queue have not failed.
fn refused_outside(
    tx: &mut Tx<'_>,
    records: &[Record],
    events: &mut Vec<NewOutboxEvent>,
    dead: &mut Vec<DeadMessage>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let refused: Vec<_> = dead
        .iter()
        .filter(|message| message.error.class == ErrorClass::WindowClosed)
        .filter_map(|message| {
            let record = records
                .iter()
                .find(|record| record.message_id == message.message_id)?;
            Some(RefusedOutside {
                tenant_id: record.tenant_id,
                message_id: record.message_id,
                conversation_id: record.conversation_id,
            })
        })
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let again = gate::refused_by_provider(tx, &refused, now)?;
    let again: HashSet<_> = again.iter().map(|hint| hint.message_id).collect();
    dead.retain(|message| !again.contains(&message.message_id));
    events.retain(|event| {
        !matches!(&event.event, DomainEvent::MessageStatusChanged { message_id, status, .. }
            if status == "failed" && again.contains(message_id))
    });
    Ok(())
}

/// Applies statuses that came before the answer of their send.
fn statuses_that_waited(
    tx: &mut Tx<'_>,
    base: &Base,
    identified: &[Identified],
    records: &[Record],
    events: &mut Vec<NewOutboxEvent>,
    dead: &mut Vec<DeadMessage>,
) -> Result<(), StoreError> {
    let now = base.clock.now();
    for (tenant_id, message_id, update) in statuses::unpark(tx, &base.keyring, identified, now)? {
        let rung = update.status.message_status();
        let failed = rung == waxwing_core::status::MessageStatus::Failed;
        let error = failed.then(|| waxwing_core::delivery::asynchronous_failure(update.error));
        if let Some(error) = &error {
            dead.push(dead_message(base, tenant_id, message_id, error.clone()));
        }
        let Some(record) = records
            .iter()
            .find(|record| record.message_id == message_id)
        else {
            continue;
        };
        let event = DomainEvent::MessageStatusChanged {
            message_id,
            conversation_id: record.conversation_id,
            status: rung.as_str().to_owned(),
            error,
        };
        events.push(outbox_event(base, tenant_id, event));
    }
    Ok(())
}

fn status_event(record: &Record) -> Option<DomainEvent> {
    let (status, error) = match &record.end {
        End::Sent { .. } => ("sent", None),
        End::Failed(error) => ("failed", Some(error.clone())),
        End::Unknown(error) => ("outcome_unknown", Some(error.clone())),
        End::Retry { .. } => return None,
    };
    Some(DomainEvent::MessageStatusChanged {
        message_id: record.message_id,
        conversation_id: record.conversation_id,
        status: status.to_owned(),
        error,
    })
}

/// Why a channel stops, for people.
fn reason(error: &ProviderError) -> String {
    match &error.code {
        Some(code) => format!("{} (code {code})", error.message),
        None => error.message.clone(),
    }
}

fn dead_message(
    base: &Base,
    tenant_id: TenantId,
    message_id: MessageId,
    error: ProviderError,
) -> DeadMessage {
    DeadMessage {
        tenant_id,
        id: DeadLetterId::new(&*base.ids),
        message_id,
        error,
    }
}

fn outbox_event(base: &Base, tenant_id: TenantId, event: DomainEvent) -> NewOutboxEvent {
    NewOutboxEvent {
        tenant_id,
        id: OutboxEventId::new(&*base.ids),
        event,
    }
}
