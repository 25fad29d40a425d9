//! Calls (protocols/meta.md 10): that one rings or ended comes as a call, what became of one of ours also as a status.

use serde_json::value::RawValue;
use waxwing_core::call::{Call, CallNews, CallState};
use waxwing_core::event::{ItemBody, Route, StatusUpdate};
use waxwing_core::identity::Identity;

use super::content::{codes, message_id};
use super::envelope::Values;
use super::person::{Ids, People, phone};
use super::{Items, Read, wire};
use crate::messaging::cloud::wire::{Raw, fields};

fields! {
    /// A call.
    CallWire {
        "id" => id,
        "event" => event,
        "direction" => direction,
        "status" => status,
        "from" => from,
        "from_user_id" => from_user_id,
        "from_parent_user_id" => from_parent_user_id,
        "to" => to,
        "to_user_id" => to_user_id,
        "to_parent_user_id" => to_parent_user_id,
        "timestamp" => timestamp,
        "start_time" => start_time,
        "end_time" => end_time,
        "duration" => duration,
        "biz_opaque_callback_data" => callback_data,
        "errors" => errors,
    }
}

fields! {
    /// The number that the value is about.
    OwnNumber { "display_phone_number" => display }
}

/// Reads the calls of a value.
pub(super) fn read(values: &Values<'_>, route: &Route, items: &mut Items) {
    let people = People::read(values.contacts);
    let own: OwnNumber<'_> = wire::object_or_empty(values.metadata);
    items.each(route, values.calls, |raw| call(raw, &people, own.display));
}

/// A call began or ended.
fn call(raw: &RawValue, people: &People<'_>, own: Raw<'_>) -> Read {
    let wire: CallWire<'_> = wire::object(raw).ok_or("a call that is not an object")?;
    let provider_id = message_id(wire.id).ok_or("a call without an id")?;
    let word = wire::owned(wire.event).ok_or("a call without an event")?;
    let own = phone(own);
    let is_own = |raw: Raw<'_>| own.is_some() && phone(raw) == own;
    let by_contact = match wire::text(wire.direction).as_deref() {
        Some("USER_INITIATED") => true,
        Some("BUSINESS_INITIATED") => false,
        _ => !is_own(wire.from),
    };
    let from = Ids {
        id: wire.from,
        user_id: wire.from_user_id,
        parent_user_id: wire.from_parent_user_id,
    };
    let to = Ids {
        id: wire.to,
        user_id: wire.to_user_id,
        parent_user_id: wire.to_parent_user_id,
    };
    let mut person = if by_contact { from } else { to };
    // In a recorded payload our own number stands in the person's place.
    if is_own(person.id) {
        person.id = None;
    }
    let (person, profile_name) = people.sender(person);
    if !person.is_usable() {
        return Err("a call of nobody");
    }
    let mut call = Call {
        started_at: wire::moment(wire.start_time),
        duration_seconds: wire::integer(wire.duration).and_then(|time| u64::try_from(time).ok()),
        codes: codes(wire.errors),
        ..Call::new(CallState::Ringing)
    };
    let at = wire::moment(wire.timestamp);
    if word == "terminate" {
        let failed = wire::text(wire.status).is_some_and(|word| word == "FAILED");
        call.ended_at = wire::moment(wire.end_time).or(at);
        call = call.ended(by_contact, failed);
    }
    Ok(Some(ItemBody::Call(Box::new(CallNews {
        provider_id,
        word,
        by_contact,
        person,
        profile_name,
        at,
        call,
        callback_data: wire::owned(wire.callback_data),
    }))))
}

/// What became of a call of ours, in the form of a status.
pub(super) fn status(
    status: StatusUpdate,
    (person, profile_name): (Identity, Option<String>),
) -> Read {
    if !person.is_usable() {
        return Err("a call of nobody");
    }
    let mut call = Call::new(match status.word.as_str() {
        "ACCEPTED" => CallState::Accepted,
        "REJECTED" => CallState::Rejected,
        _ => CallState::Ringing,
    });
    match call.state {
        CallState::Accepted => call.started_at = status.at,
        CallState::Rejected => call.ended_at = status.at,
        _ => {}
    }
    call.codes = status.codes;
    Ok(Some(ItemBody::Call(Box::new(CallNews {
        provider_id: status.provider_id,
        word: status.word,
        by_contact: false,
        person,
        profile_name,
        at: status.at,
        call,
        callback_data: status.callback_data,
    }))))
}
