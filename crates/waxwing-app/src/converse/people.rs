//! Who the items of a batch are from and which conversations they belong to: duplicates are left out, contacts and
//! conversations found or begun.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use waxwing_core::consent::Marketing;
use waxwing_core::content::Content;
use waxwing_core::identity::{Alias, Identity, ProviderMessageId};
use waxwing_core::ids::{ChannelId, ContactId, ConversationId, MessageId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::step::{Cause, ConversationState};
use waxwing_store::domain::contacts::merges::Reason;
use waxwing_store::domain::contacts::{self, ContactRow, NewContact};
use waxwing_store::domain::conversations::{self, Remembered};
use waxwing_store::domain::marks::{self, Claim, Mark};
use waxwing_store::domain::messages::{self, Answered, NewMessage, Way};
use waxwing_store::{StoreError, Tx};

use super::apply::Writer;
use super::batch::{Echoed, Inbound, Sorted};
use super::calls::Called;
use crate::directory::Channel;

/// The time in which [`Tools::flood`](super::apply::Tools) messages reach the bot.
const FLOOD_TIME: Duration = Duration::from_secs(60);

/// A message (or echo) that may take effect.
pub(super) struct Fresh<'a> {
    pub(super) message_id: MessageId,
    pub(super) replaces: bool,
    pub(super) channel: &'a Arc<Channel>,
    pub(super) person: &'a Identity,
    pub(super) profile_name: Option<&'a str>,
    pub(super) kind: FreshKind<'a>,
}

pub(super) enum FreshKind<'a> {
    Message(&'a Inbound<'a>),
    Echo(&'a Echoed<'a>),
    /// The first news of a call.
    Call(&'a Called<'a>),
}

/// A conversation while the batch works on it.
pub(super) struct Thread {
    pub(super) remembered: Remembered,
    pub(super) is_new: bool,
    /// The customer service window was closed when the batch began.
    pub(super) was_closed: bool,
    pub(super) changed: bool,
    pub(super) name: Option<String>,
    pub(super) phone: Option<String>,
    /// What the contact said about marketing.
    pub(super) marketing: Option<Marketing>,
    /// The tenant blocked the contact.
    pub(super) blocked: bool,
    /// Messages of the last minute, as far as they matter.
    pub(super) recent: u32,
}

impl Writer<'_> {
    /// Leaves out what has taken effect before.
    pub(super) fn claim<'s>(
        &mut self,
        tx: &mut Tx<'_>,
        sorted: &'s Sorted<'_>,
    ) -> Result<Vec<Fresh<'s>>, StoreError> {
        let base = &self.tools.base;
        let count = sorted.messages.len() + sorted.echoes.len() + sorted.calls.len();
        let mut marks = Vec::with_capacity(count);
        let mut items = Vec::with_capacity(marks.capacity());
        for inbound in &sorted.messages {
            let message = inbound.message;
            marks.push(self.mark(
                inbound.channel,
                "message",
                &message.provider_id,
                message.content.is_placeholder(),
            ));
            items.push((
                inbound.channel,
                &message.sender,
                message.profile_name.as_deref(),
                FreshKind::Message(inbound),
            ));
        }
        for echoed in &sorted.echoes {
            marks.push(self.mark(echoed.channel, "echo", &echoed.echo.provider_id, false));
            items.push((
                echoed.channel,
                &echoed.echo.recipient,
                None,
                FreshKind::Echo(echoed),
            ));
        }
        for called in &sorted.calls {
            marks.push(self.mark(called.channel, "call", &called.news.provider_id, false));
            items.push((
                called.channel,
                &called.news.person,
                called.news.profile_name.as_deref(),
                FreshKind::Call(called),
            ));
        }
        let claims = marks::claim(tx, &marks, self.now)?;
        let mut fresh = Vec::with_capacity(items.len());
        for ((mark, claim), (channel, person, profile_name, kind)) in
            marks.into_iter().zip(claims).zip(items)
        {
            let own = mark
                .message_id
                .unwrap_or_else(|| MessageId::new(&*base.ids));
            let (message_id, replaces) = match claim {
                Claim::New => (own, false),
                Claim::Replaces(message_id) => (message_id, true),
                // Further news of a call stand under its id.
                Claim::Duplicate if matches!(kind, FreshKind::Call(_)) => continue,
                Claim::Duplicate => {
                    self.outcome.duplicates += 1;
                    continue;
                }
            };
            fresh.push(Fresh {
                message_id,
                replaces,
                channel,
                person,
                profile_name,
                kind,
            });
        }
        self.outcome.applied += fresh.len() as u64;
        Ok(fresh)
    }

    fn mark(
        &self,
        channel: &Channel,
        kind: &'static str,
        provider_id: &ProviderMessageId,
        placeholder: bool,
    ) -> Mark {
        let base = &self.tools.base;
        Mark {
            tenant_id: channel.tenant_id,
            channel_id: channel.channel_id,
            kind,
            item_hash: marks::item_hash(&base.keyring, channel.tenant_id, provider_id),
            message_id: Some(MessageId::new(&*base.ids)),
            placeholder,
        }
    }

    /// The contact of each item: known, created earlier in this batch, or created now.
    pub(super) fn people(
        &mut self,
        tx: &mut Tx<'_>,
        fresh: &[Fresh<'_>],
    ) -> Result<Vec<Person>, StoreError> {
        let keyring = &self.tools.base.keyring;
        let identities: Vec<_> = fresh
            .iter()
            .map(|item| (item.channel.tenant_id, item.person))
            .collect();
        let known = contacts::find_many(tx, keyring, &identities)?;
        let mut made: HashMap<(TenantId, Alias), ContactId> = HashMap::new();
        let mut new_contacts = Vec::new();
        let mut people = Vec::with_capacity(fresh.len());
        for (item, known) in fresh.iter().zip(known) {
            let tenant = item.channel.tenant_id;
            if let Some(row) = known {
                let other = contacts::learn(
                    tx,
                    keyring,
                    tenant,
                    &row,
                    item.person,
                    item.profile_name,
                    self.now,
                )?;
                if let Some(other) = other {
                    self.merge(tx, tenant, row.id, other, Reason::SameMessage)?;
                }
                let name = match item.profile_name {
                    Some(name) => Some(name.to_owned()),
                    None => row.name(keyring, tenant)?,
                };
                people.push(Person {
                    id: row.id,
                    name,
                    known: Some(row),
                });
                continue;
            }
            let aliases = item.person.aliases();
            let earlier = aliases
                .iter()
                .find_map(|alias| made.get(&(tenant, alias.clone())).copied());
            let id = earlier.unwrap_or_else(|| ContactId::new(&*self.tools.base.ids));
            if earlier.is_none() {
                made.extend(aliases.into_iter().map(|alias| ((tenant, alias), id)));
                new_contacts.push(NewContact {
                    tenant_id: tenant,
                    id,
                    identity: item.person,
                    profile_name: item.profile_name,
                });
                self.emit(tenant, DomainEvent::ContactCreated { contact_id: id });
            }
            people.push(Person {
                id,
                name: item.profile_name.map(Into::into),
                known: None,
            });
        }
        contacts::create_many(tx, keyring, &new_contacts, self.now)?;
        Ok(people)
    }

    /// The conversations of the items, and for each item the place of its own in that list.
    pub(super) fn threads(
        &mut self,
        tx: &mut Tx<'_>,
        fresh: &[Fresh<'_>],
        people: &[Person],
    ) -> Result<(Vec<Thread>, Vec<usize>), StoreError> {
        let keys: Vec<_> = fresh
            .iter()
            .zip(people)
            .map(|(item, person)| (item.channel.tenant_id, item.channel.channel_id, person.id))
            .collect();
        let mut places: HashMap<(TenantId, ChannelId, ContactId), usize> = HashMap::new();
        let mut unique = Vec::new();
        let mut first = Vec::new();
        let index: Vec<usize> = keys
            .iter()
            .enumerate()
            .map(|(position, key)| {
                *places.entry(*key).or_insert_with(|| {
                    unique.push(*key);
                    first.push(position);
                    unique.len() - 1
                })
            })
            .collect();
        let rows = conversations::find_many(tx, &unique)?;
        let mut threads = Vec::with_capacity(unique.len());
        for (((tenant, channel, contact), row), position) in unique.into_iter().zip(rows).zip(first)
        {
            let (id, memory, is_new) = match row {
                Some(row) => (row.id, row.memory()?, false),
                None => (
                    ConversationId::new(&*self.tools.base.ids),
                    ConversationState::default(),
                    true,
                ),
            };
            if is_new {
                let event = DomainEvent::ConversationStarted {
                    conversation_id: id,
                    contact_id: contact,
                };
                self.emit(tenant, event);
            }
            let person = &people[position];
            let was_closed = !memory.window.is_open(self.now);
            threads.push(Thread {
                remembered: Remembered {
                    tenant_id: tenant,
                    id,
                    channel_id: channel,
                    contact_id: contact,
                    memory,
                },
                is_new,
                was_closed,
                changed: false,
                name: person.name.clone(),
                phone: self.phone_of(tenant, person, fresh[position].person)?,
                recent: 0,
                blocked: person
                    .known
                    .as_ref()
                    .is_some_and(|known| known.blocked_at.is_some()),
                marketing: person
                    .known
                    .as_ref()
                    .and_then(|known| Marketing::parse(known.marketing.as_deref()?)),
            });
        }
        self.count_recent(tx, &mut threads)?;
        Ok((threads, index))
    }

    /// How much each contact has written in the last minute.
    fn count_recent(&self, tx: &mut Tx<'_>, threads: &mut [Thread]) -> Result<(), StoreError> {
        let Some(most) = self.tools.flood else {
            return Ok(());
        };
        let known: Vec<_> = threads
            .iter()
            .filter(|thread| !thread.is_new)
            .map(|thread| (thread.remembered.tenant_id, thread.remembered.id))
            .collect();
        let since = self.now.minus(FLOOD_TIME);
        let counts = conversations::heard_since(tx, &known, since, most)?;
        let known = threads.iter_mut().filter(|thread| !thread.is_new);
        for (thread, count) in known.zip(counts) {
            thread.recent = count;
        }
        Ok(())
    }

    fn phone_of(
        &self,
        tenant: TenantId,
        person: &Person,
        identity: &Identity,
    ) -> Result<Option<String>, StoreError> {
        if let Some(phone) = &identity.phone {
            return Ok(Some(phone.e164()));
        }
        let Some(known) = &person.known else {
            return Ok(None);
        };
        Ok(known
            .phone(&self.tools.base.keyring, tenant)?
            .map(|phone| phone.e164()))
    }

    /// For each item the message that it answers, with the template that message came from.
    pub(super) fn tapped(
        &self,
        tx: &mut Tx<'_>,
        fresh: &[Fresh<'_>],
    ) -> Result<Vec<Option<Answered>>, StoreError> {
        let mut places = Vec::new();
        let mut ids = Vec::new();
        for (place, item) in fresh.iter().enumerate() {
            if let FreshKind::Message(inbound) = &item.kind
                && let Some(reply_to) = &inbound.message.reply_to
            {
                places.push(place);
                ids.push((item.channel.tenant_id, item.channel.channel_id, reply_to));
            }
        }
        let mut tapped = vec![None; fresh.len()];
        let found = messages::find_by_provider_ids(tx, &self.tools.base.keyring, &ids)?;
        for (place, found) in places.into_iter().zip(found) {
            tapped[place] = found;
        }
        Ok(tapped)
    }
}

pub(super) struct Person {
    id: ContactId,
    name: Option<String>,
    known: Option<ContactRow>,
}

impl Thread {
    pub(super) fn message(
        &self,
        id: MessageId,
        content: Content,
        way: Way,
        reply_to: Option<MessageId>,
        cause: Option<Cause>,
    ) -> NewMessage {
        NewMessage {
            tenant_id: self.remembered.tenant_id,
            id,
            conversation_id: self.remembered.id,
            contact_id: self.remembered.contact_id,
            channel_id: self.remembered.channel_id,
            content,
            way,
            reply_to,
            cause,
        }
    }

    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let name = self.name.clone().map(|name| ("name".to_owned(), name));
        let phone = self.phone.clone().map(|phone| ("phone".to_owned(), phone));
        name.into_iter().chain(phone).collect()
    }
}
