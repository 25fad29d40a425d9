//! Messages, statuses, echoes and what persons change about themselves (protocols/meta.md 4 to 7 and 9).

use std::borrow::Cow;

use serde_json::value::RawValue;
use waxwing_core::event::{
    Echo, InboundMessage, ItemBody, Preference, Pricing, StatusUpdate, SystemNotice, UserIdUpdate,
};
use waxwing_core::identity::Identity;
use waxwing_core::status::DeliveryStatus;

use super::content::{MessageWire, codes, message_id};
use super::person::{Ids, People, bsuid, phone};
use super::{Read, wire};
use super::{activity, call};
use crate::messaging::cloud::outcome;
use crate::messaging::cloud::wire::{Raw, fields};

fields! {
    /// What a message answers.
    ContextWire {
        "id" => id,
        "forwarded" => forwarded,
        "frequently_forwarded" => frequently_forwarded,
        "referred_product" => referred_product,
    }
}

fields! {
    /// A notice of WhatsApp. `new_wa_id` is the name in old payloads.
    SystemWire {
        "type" => kind,
        "wa_id" => wa_id,
        "new_wa_id" => new_wa_id,
        "user_id" => user_id,
    }
}

fields! {
    /// A status. Several properties are documented or recorded under more than one name.
    StatusWire {
        "id" => id,
        "status" => status,
        "type" => kind,
        "timestamp" => timestamp,
        "recipient_id" => recipient_id,
        "recipient_type" => recipient_type,
        "recipient_user_id" => recipient_user_id,
        "parent_recipient_user_id" => parent_recipient_user_id,
        "recipient_parent_user_id" => recipient_parent_user_id,
        "parent_user_id" => parent_user_id,
        "recipient_participant_id" => recipient_participant_id,
        "participant_recipient_id" => participant_recipient_id,
        "recipient_participant_user_id" => participant_user_id,
        "participant_recipient_user_id" => participant_user_id_too,
        "recipient_participant_parent_user_id" => participant_parent_user_id,
        "errors" => errors,
        "pricing" => pricing,
        "biz_opaque_callback_data" => callback_data,
    }
}

fields! {
    /// What a message costs.
    PricingWire {
        "pricing_model" => model,
        "type" => kind,
        "category" => category,
        "billable" => billable,
    }
}

fields! {
    /// A wish about marketing.
    PreferenceWire {
        "wa_id" => wa_id,
        "user_id" => user_id,
        "parent_user_id" => parent_user_id,
        "category" => category,
        "value" => value,
        "timestamp" => timestamp,
    }
}

fields! {
    /// A change of a user id.
    UserIdUpdateWire { "wa_id" => wa_id, "user_id" => user_id, "timestamp" => timestamp }
}

fields! {
    /// The id before and after.
    IdChange { "previous" => previous, "current" => current }
}

/// A message of a person, or a notice of WhatsApp in the form of one.
pub(super) fn message(raw: &RawValue, people: &People<'_>, field: &str) -> Read {
    let wire: MessageWire<'_> = wire::object(raw).ok_or("a message that is not an object")?;
    let provider_id = message_id(wire.id).ok_or("a message without an id")?;
    let (sender, profile_name) = people.sender(Ids {
        id: wire.from,
        user_id: wire.from_user_id,
        parent_user_id: wire.from_parent_user_id,
    });
    if wire.is_system() {
        return Ok(Some(system(&wire, provider_id, sender)));
    }
    if !sender.is_usable() {
        return Err("a message without a usable sender");
    }
    let context: ContextWire<'_> = wire::object_or_empty(wire.context);
    let message = InboundMessage {
        provider_id,
        sender,
        profile_name,
        sent_at: wire::moment(wire.timestamp),
        content: wire.content(),
        reply_to: message_id(context.id),
        target: wire.target(),
        forwarded: wire::flag(context.forwarded).unwrap_or_default()
            || wire::flag(context.frequently_forwarded).unwrap_or_default(),
        referral: wire::value(wire.referral),
        product: wire::value(context.referred_product),
        origin: wire::owned(wire.origin),
        further: false,
        group_id: wire::owned(wire.group_id),
        codes: wire.codes(),
    };
    // Media of a number's past: they are nobody's news (protocols/meta.md 9).
    if field == "history" {
        return Ok(Some(activity::history_message(&message)));
    }
    Ok(Some(ItemBody::Message(Box::new(message))))
}

fn system(
    wire: &MessageWire<'_>,
    provider_id: waxwing_core::identity::ProviderMessageId,
    mut sender: Identity,
) -> ItemBody {
    let notice: SystemWire<'_> = wire::object_or_empty(wire.system);
    let new_phone = phone(notice.wa_id).or_else(|| phone(notice.new_wa_id));
    let new_user_id = bsuid(notice.user_id);
    // In one recorded payload the sender already is the new number: then the old one is not known.
    if new_phone.is_some() && sender.phone == new_phone {
        sender.phone = None;
    }
    if new_user_id.is_some() && sender.user_id == new_user_id {
        sender.user_id = None;
    }
    ItemBody::System(Box::new(SystemNotice {
        provider_id,
        sender,
        subtype: wire::owned(notice.kind).unwrap_or_default(),
        new_phone,
        new_user_id,
        at: wire::moment(wire.timestamp),
    }))
}

/// News of a message of ours, or of a call of ours.
pub(super) fn status(raw: &RawValue, people: &People<'_>, field: &str) -> Read {
    let wire: StatusWire<'_> = wire::object(raw).ok_or("a status that is not an object")?;
    let provider_id = message_id(wire.id).ok_or("a status without an id")?;
    let word = wire::owned(wire.status).ok_or("a status without a word")?;
    let to_group = wire::text(wire.recipient_type).as_deref() == Some("group");
    let recipient = if to_group {
        Ids {
            id: wire
                .recipient_participant_id
                .or(wire.participant_recipient_id),
            user_id: wire.participant_user_id.or(wire.participant_user_id_too),
            parent_user_id: wire.participant_parent_user_id,
        }
    } else {
        Ids {
            id: wire.recipient_id,
            user_id: wire.recipient_user_id,
            parent_user_id: wire
                .parent_recipient_user_id
                .or(wire.recipient_parent_user_id)
                .or(wire.parent_user_id),
        }
    };
    let status = StatusUpdate {
        alias: None,
        provider_id,
        status: DeliveryStatus::parse(&word),
        word,
        at: wire::moment(wire.timestamp),
        recipient: recipient.identity(),
        group_id: if to_group {
            wire::owned(wire.recipient_id)
        } else {
            None
        },
        error: wire::list(wire.errors)
            .into_iter()
            .find_map(outcome::webhook_error),
        codes: codes(wire.errors),
        callback_data: wire::owned(wire.callback_data),
        pricing: pricing(wire.pricing),
    };
    if field == "calls" || wire::text(wire.kind).as_deref() == Some("call") {
        return call::status(status, people.sender(recipient));
    }
    Ok(Some(ItemBody::Status(Box::new(status))))
}

fn pricing(raw: Raw<'_>) -> Option<Pricing> {
    let pricing: PricingWire<'_> = wire::object(raw?)?;
    let kind = wire::text(pricing.kind);
    Some(Pricing {
        model: wire::owned(pricing.model),
        // Announced as going away; the kind says the same.
        billable: wire::flag(pricing.billable).or(kind.as_ref().map(|kind| kind == "regular")),
        kind: kind.map(Cow::into_owned),
        category: wire::owned(pricing.category),
    })
}

/// A message of our side that did not go through Waxwing.
pub(super) fn echo(raw: &RawValue) -> Read {
    let wire: MessageWire<'_> = wire::object(raw).ok_or("an echo that is not an object")?;
    let provider_id = message_id(wire.id).ok_or("an echo without an id")?;
    let recipient = Ids {
        id: wire.to,
        user_id: wire.to_user_id,
        parent_user_id: wire.to_parent_user_id,
    }
    .identity();
    if !recipient.is_usable() {
        return Err("an echo without a usable recipient");
    }
    Ok(Some(ItemBody::Echo(Box::new(Echo {
        provider_id,
        recipient,
        sent_at: wire::moment(wire.timestamp),
        content: wire.content(),
        target: wire.target(),
    }))))
}

/// What a person wants to receive.
pub(super) fn preference(raw: &RawValue) -> Read {
    let wire: PreferenceWire<'_> = wire::object(raw).ok_or("a preference that is not an object")?;
    let sender = Ids {
        id: wire.wa_id,
        user_id: wire.user_id,
        parent_user_id: wire.parent_user_id,
    }
    .identity();
    if !sender.is_usable() {
        return Err("a preference of nobody");
    }
    Ok(Some(ItemBody::Preference(Preference {
        sender,
        category: wire::owned(wire.category).ok_or("a preference without a category")?,
        value: wire::owned(wire.value).ok_or("a preference without a value")?,
        at: wire::moment(wire.timestamp),
    })))
}

/// A person has another user id now.
pub(super) fn user_id_update(raw: &RawValue) -> Read {
    let wire: UserIdUpdateWire<'_> =
        wire::object(raw).ok_or("a user id update that is not an object")?;
    let ids: IdChange<'_> = wire::object_or_empty(wire.user_id);
    let update = UserIdUpdate {
        phone: phone(wire.wa_id),
        previous: bsuid(ids.previous),
        current: bsuid(ids.current),
        at: wire::moment(wire.timestamp),
    };
    if update.current.is_none() {
        return Err("a user id update without a new id");
    }
    Ok(Some(ItemBody::UserIdUpdate(update)))
}
