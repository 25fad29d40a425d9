//! What is stored and shown and changes nothing: groups, a number's past, clicks (protocols/meta.md 7, 9, 10).

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use waxwing_core::event::{Detail, InboundMessage, ItemBody, OtherItem};

use super::content::codes;
use super::person::{bsuid, phone};
use super::{Read, wire};
use crate::messaging::cloud::wire::{Raw, fields};

fields! {
    /// News of a group.
    GroupWire {
        "group_id" => group_id,
        "type" => kind,
        "timestamp" => timestamp,
        "subject" => subject,
        "errors" => errors,
    }
}

fields! {
    /// A piece of a number's past.
    HistoryWire { "metadata" => metadata, "threads" => threads, "errors" => errors }
}

fields! {
    /// Which piece of the past it is.
    HistoryMetadata { "phase" => phase, "chunk_order" => chunk_order, "progress" => progress }
}

fields! {
    /// A conversation of the past.
    ThreadWire { "messages" => messages }
}

fields! {
    /// A contact in the business app.
    SyncWire { "type" => kind, "contact" => contact, "action" => action, "metadata" => metadata }
}

fields! {
    /// The contact itself.
    SyncedContact {
        "full_name" => full_name,
        "phone_number" => phone_number,
        "user_id" => user_id,
    }
}

fields! {
    /// When it was synchronised.
    SyncMetadata { "timestamp" => timestamp }
}

fields! {
    /// A click.
    ActionWire { "action_type" => action_type, "timestamp" => timestamp }
}

fields! {
    /// An event that Meta derived from a conversation.
    AutomaticWire { "id" => id, "event_name" => event_name, "timestamp" => timestamp }
}

/// Collects the facts that are there.
#[derive(Default)]
struct Facts(Map<String, Value>);

impl Facts {
    fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
        self
    }

    fn text(self, name: &str, raw: Raw<'_>) -> Self {
        self.with(name, wire::owned(raw))
    }

    fn at(self, raw: Raw<'_>) -> Self {
        self.with("at", wire::moment(raw).map(|at| at.rfc3339()))
    }

    fn codes(self, raw: Raw<'_>) -> Self {
        let codes = codes(raw);
        self.with("errorCodes", (!codes.is_empty()).then_some(codes))
    }

    fn item(self, what: &str, field: &str, event: Option<String>, id: Option<String>) -> ItemBody {
        ItemBody::Other(OtherItem {
            what: what.to_owned(),
            field: field.to_owned(),
            event,
            id,
            detail: (!self.0.is_empty()).then_some(Detail(Value::Object(self.0))),
        })
    }
}

/// A group was made, changed, left.
pub(super) fn group(raw: &RawValue, field: &str) -> Read {
    let group: GroupWire<'_> = wire::object(raw).ok_or("a group that is not an object")?;
    let facts = Facts::default()
        .text("subject", group.subject)
        .at(group.timestamp)
        .codes(group.errors);
    Ok(Some(facts.item(
        "group",
        field,
        wire::owned(group.kind),
        wire::owned(group.group_id),
    )))
}

/// A piece of a number's past: only counted, its messages stay in the stored request.
pub(super) fn history(raw: &RawValue, field: &str) -> Read {
    let history: HistoryWire<'_> =
        wire::object(raw).ok_or("a piece of history that is not an object")?;
    let metadata: HistoryMetadata<'_> = wire::object_or_empty(history.metadata);
    let threads = wire::list(history.threads);
    let messages: usize = threads
        .iter()
        .filter_map(|thread| wire::object::<ThreadWire<'_>>(thread))
        .map(|thread| wire::list(thread.messages).len())
        .sum();
    let facts = Facts::default()
        .text("phase", metadata.phase)
        .text("chunkOrder", metadata.chunk_order)
        .text("progress", metadata.progress)
        .with("threads", (!threads.is_empty()).then_some(threads.len()))
        .with("messages", (messages > 0).then_some(messages))
        .codes(history.errors);
    Ok(Some(facts.item("history", field, None, None)))
}

/// A message of a number's past that came with its media.
pub(super) fn history_message(message: &InboundMessage) -> ItemBody {
    ItemBody::Other(OtherItem {
        what: "history-message".to_owned(),
        field: "history".to_owned(),
        event: Some(message.content.kind().to_owned()),
        id: Some(message.provider_id.as_str().to_owned()),
        detail: serde_json::to_value(message).ok().map(Detail),
    })
}

/// The business app added or removed a contact.
pub(super) fn contact_sync(raw: &RawValue, field: &str) -> Read {
    let sync: SyncWire<'_> =
        wire::object(raw).ok_or("a synchronised contact that is not an object")?;
    let contact: SyncedContact<'_> = wire::object_or_empty(sync.contact);
    let metadata: SyncMetadata<'_> = wire::object_or_empty(sync.metadata);
    let facts = Facts::default()
        .text("type", sync.kind)
        .text("name", contact.full_name)
        .with(
            "phone",
            phone(contact.phone_number).map(|phone| phone.e164()),
        )
        .with(
            "userId",
            bsuid(contact.user_id).map(|id| id.as_str().to_owned()),
        )
        .at(metadata.timestamp);
    Ok(Some(facts.item(
        "contact-sync",
        field,
        wire::owned(sync.action),
        None,
    )))
}

/// A person clicked in a message.
pub(super) fn user_action(raw: &RawValue, field: &str) -> Read {
    let action: ActionWire<'_> = wire::object(raw).ok_or("an action that is not an object")?;
    Ok(Some(Facts::default().at(action.timestamp).item(
        "user-action",
        field,
        wire::owned(action.action_type),
        None,
    )))
}

/// Meta noticed a lead or a purchase.
pub(super) fn automatic_event(raw: &RawValue, field: &str) -> Read {
    let event: AutomaticWire<'_> = wire::object(raw).ok_or("an event that is not an object")?;
    Ok(Some(Facts::default().at(event.timestamp).item(
        "automatic-event",
        field,
        wire::owned(event.event_name),
        wire::owned(event.id),
    )))
}
