//! Webhook bodies to canonical items: the envelope is split here, each kind of item has a module of its own.

mod account;
mod activity;
mod call;
mod content;
mod envelope;
mod message;
mod person;

pub use envelope::Unreadable;
pub(crate) use envelope::{peek, top};
use serde_json::value::RawValue;
use waxwing_core::content::Content;
use waxwing_core::event::{BrokenItem, InboundItem, ItemBody, OtherItem, Parsed, Route};
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::time::Timestamp;

use crate::messaging::cloud::outcome;
use crate::messaging::cloud::text;
use crate::messaging::cloud::wire::{self, ITEMS_MAX, Raw};
use envelope::{Change, Envelope, Metadata, Values};
use person::People;

/// Reads a webhook body.
pub(crate) fn parse(body: &[u8]) -> Result<Parsed, Unreadable> {
    let text = text::readable(body);
    let envelope = Envelope::read(&text)?;
    let mut items = Items::default();
    for change in &envelope.changes {
        read_change(change, &mut items);
    }
    Ok(items.parsed)
}

/// Reads one message of a person, in Meta's form; `contacts` may say more about who sent it.
pub(crate) fn message_item(message: &RawValue, contacts: wire::Raw<'_>) -> Read {
    message::message(message, &People::read(contacts), "messages")
}

/// What a message in Meta's form says, and the message that it is about.
pub(crate) fn content_of(message: &RawValue) -> Option<(Content, Option<ProviderMessageId>)> {
    let message: content::MessageWire<'_> = wire::object(message)?;
    Some((message.content(), message.target()))
}

/// The items so far. Good and broken ones share the count.
#[derive(Default)]
pub(crate) struct Items {
    pub(crate) parsed: Parsed,
    next: u32,
}

/// What became of one item: nothing to tell, something good, or the reason why it is broken.
pub(crate) type Read = Result<Option<ItemBody>, &'static str>;

impl Items {
    /// One item more, or the reason why it is broken. Over [`ITEMS_MAX`] nothing more is kept.
    pub(crate) fn push(&mut self, route: &Route, read: Read) {
        let index = self.next;
        let read = match index as usize {
            full if full > ITEMS_MAX => return,
            ITEMS_MAX => Err("more items than one request may have; the rest was not read"),
            _ => read,
        };
        match read {
            Ok(None) => return,
            Ok(Some(body)) => self.parsed.items.push(InboundItem {
                index,
                route: route.clone(),
                body,
            }),
            Err(reason) => self.parsed.broken.push(BrokenItem {
                index,
                route: route.clone(),
                reason: reason.to_owned(),
            }),
        }
        self.next += 1;
    }

    fn each<'a>(
        &mut self,
        route: &Route,
        list: Raw<'a>,
        mut read: impl FnMut(&'a RawValue) -> Read,
    ) {
        for raw in wire::list(list) {
            self.push(route, read(raw));
        }
    }
}

fn read_change(change: &Change<'_>, items: &mut Items) {
    let mut route = Route {
        sender_id: None,
        account_id: change.account_id.clone(),
        ..Route::default()
    };
    let Some(values) = wire::object::<Values<'_>>(change.value) else {
        items.push(&route, Err("a change whose value is not an object"));
        return;
    };
    let metadata: Metadata<'_> = wire::object_or_empty(values.metadata);
    route.sender_id = wire::owned(metadata.phone_number_id);
    if let Some(account) = envelope::partner_account(&values) {
        route.account_id = Some(account);
    }
    let field = change.field.as_deref().unwrap_or_default();
    let before = items.next;
    read_conversation(&values, field, &route, items);
    read_activity(&values, field, &route, items);
    // A list that is there and empty says nothing, whatever stands around it.
    if items.next == before && !values.has_list() {
        read_account(&values, field, change.at, &route, items);
    }
}

/// Messages, statuses, notices about the number, echoes, wishes and new ids.
fn read_conversation(values: &Values<'_>, field: &str, route: &Route, items: &mut Items) {
    let people = People::read(values.contacts);
    items.each(route, values.messages, |raw| {
        message::message(raw, &people, field)
    });
    items.each(route, values.statuses, |raw| {
        message::status(raw, &people, field)
    });
    items.each(route, values.errors, |raw| {
        let error = outcome::webhook_error(raw).ok_or("a notice that is not an object")?;
        Ok(Some(ItemBody::ValueError(error)))
    });
    items.each(route, values.message_echoes, message::echo);
    items.each(route, values.user_preferences, message::preference);
    items.each(route, values.user_id_update, message::user_id_update);
}

/// Calls, and what is only stored and shown: groups, history, contacts of the phone, clicks.
fn read_activity(values: &Values<'_>, field: &str, route: &Route, items: &mut Items) {
    if values.calls.is_some() {
        call::read(values, route, items);
    }
    items.each(route, values.groups, |raw| activity::group(raw, field));
    items.each(route, values.history, |raw| activity::history(raw, field));
    items.each(route, values.state_sync, |raw| {
        activity::contact_sync(raw, field)
    });
    items.each(route, values.user_actions, |raw| {
        activity::user_action(raw, field)
    });
    items.each(route, values.automatic_events, |raw| {
        activity::automatic_event(raw, field)
    });
}

/// Events of the account and its templates, and everything that nobody knows yet.
fn read_account(
    values: &Values<'_>,
    field: &str,
    at: Option<Timestamp>,
    route: &Route,
    items: &mut Items,
) {
    if let Some(news) = account::template(values, field, at) {
        items.push(route, Ok(Some(ItemBody::Template(news))));
    } else if field != "messages" || account::event(values).is_some() {
        let other = OtherItem {
            what: "other".to_owned(),
            field: field.to_owned(),
            event: account::event(values),
            id: None,
            detail: account::detail(values),
        };
        items.push(route, Ok(Some(ItemBody::Other(other))));
    }
}
