//! Calls on the timeline: the first news of a call makes its entry, later ones move it forward.

use std::sync::Arc;

use waxwing_core::call::{Call, CallNews};
use waxwing_core::content::Content;
use waxwing_core::ids::{ContactId, ConversationId, MessageId};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::messages::{self, NewMessage, Way};
use waxwing_store::{StoreError, Tx};

use super::apply::Writer;
use super::batch::Event;
use super::people::{Fresh, Thread};
use crate::directory::Channel;

/// News of a call with its channel.
pub(super) struct Called<'a> {
    pub(super) event: &'a Event,
    pub(super) channel: &'a Arc<Channel>,
    pub(super) news: &'a CallNews,
}

impl Called<'_> {
    /// When it happened; never later than we heard of it.
    fn at(&self) -> Timestamp {
        let received = self.event.received_at;
        self.news.at.unwrap_or(received).min(received)
    }
}

impl Writer<'_> {
    /// The entry of a call that was not known. A call of the contact opens the customer service window, answered or not
    /// (protocols/meta.md 17).
    pub(super) fn first_of_call(
        &mut self,
        item: &Fresh<'_>,
        called: &Called<'_>,
        thread: &mut Thread,
    ) -> NewMessage {
        let news = called.news;
        let provider_id = news.provider_id.clone();
        let sent_at = called.at();
        let way = if news.by_contact {
            let began = news.call.started_at.map_or(sent_at, |at| at.min(sent_at));
            let window = &mut thread.remembered.memory.window;
            *window = window.after(began, false);
            Way::In {
                provider_id,
                sent_at,
            }
        } else {
            Way::Echo {
                provider_id,
                sent_at,
            }
        };
        thread.changed = true;
        let content = Content::Call(news.call.clone());
        let remembered = &thread.remembered;
        let event = changed(
            item.message_id,
            (remembered.id, remembered.contact_id),
            news.by_contact,
            &news.call,
        );
        self.emit(item.channel.tenant_id, event);
        thread.message(item.message_id, content, way, None, None)
    }

    /// Moves calls forward by news of them. What is told twice, or too late, changes nothing.
    pub(super) fn calls(
        &mut self,
        tx: &mut Tx<'_>,
        calls: &[Called<'_>],
    ) -> Result<(), StoreError> {
        for called in calls {
            let (tenant, channel) = (called.channel.tenant_id, called.channel.channel_id);
            let key = [(tenant, channel, &called.news.provider_id)];
            let keyring = &self.tools.base.keyring;
            let found = messages::find_by_marks(tx, keyring, "call", &key)?;
            // None once its time of retention is over.
            let Some(answered) = found.into_iter().flatten().next() else {
                self.outcome.stored_only += 1;
                continue;
            };
            let Some(row) = messages::get(tx, keyring, tenant, answered.id)? else {
                continue;
            };
            let Ok(Content::Call(known)) = serde_json::from_value(row.content.0) else {
                continue;
            };
            let call = known.clone().with(&called.news.call);
            if call == known {
                continue;
            }
            let content = Content::Call(call.clone());
            messages::replace_content(tx, keyring, tenant, row.id, &content, None, self.now)?;
            self.outcome.applied += 1;
            let by_contact = row.direction == "IN";
            let thread = (row.conversation_id, row.contact_id);
            if call.state != known.state {
                self.emit(tenant, changed(row.id, thread, by_contact, &call));
            }
        }
        Ok(())
    }
}

fn changed(
    message_id: MessageId,
    (conversation_id, contact_id): (ConversationId, ContactId),
    by_contact: bool,
    call: &Call,
) -> DomainEvent {
    DomainEvent::CallChanged {
        message_id,
        conversation_id,
        contact_id,
        by_contact,
        state: call.state,
        duration_seconds: call.duration_seconds,
    }
}
