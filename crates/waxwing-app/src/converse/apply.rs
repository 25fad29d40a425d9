//! The transaction of a batch.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;
use waxwing_core::consent::ConsentSource;
use waxwing_core::content::Content;
use waxwing_core::delivery::{Purpose, asynchronous_failure};
use waxwing_core::errors::ErrorClass;
use waxwing_core::ids::{DeadLetterId, MessageId, NodeId, OutboxEventId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::rates::RateCard;
use waxwing_core::status::MessageStatus;
use waxwing_core::step::{Cause, Context, Effect, step};
use waxwing_core::time::Timestamp;
use waxwing_store::domain::conversations;
use waxwing_store::domain::dead_letters::{self, DeadItem, DeadMessage};
use waxwing_store::domain::gate::{self, RefusedOutside};
use waxwing_store::domain::media::{self, NewMedia};
use waxwing_store::domain::messages::{self, Answered, NewMessage, Way};
use waxwing_store::domain::nodes::{self, Lease};
use waxwing_store::domain::outbox::{self, NewOutboxEvent};
use waxwing_store::domain::queue::{self, Hint};
use waxwing_store::domain::statuses::{self, Applied, Incoming, Update};
use waxwing_store::domain::{channels, inbox};
use waxwing_store::{StoreError, Tx};

use super::batch::{Event, Heard, Inbound, Sorted, Status};
use super::people::{Fresh, FreshKind, Thread};
use crate::consent::Said;
use crate::deliver::{Attempts, Claimer, DeliverySignal, Direct, Taken};
use crate::directory::Directory;
use crate::message_templates::{self, Fault};
use crate::tenants::{Config, ConfigCache};
use crate::{Base, callback};

/// The directory that the batch was sorted with is older than the database's.
pub(super) const STALE_DIRECTORY: StoreError =
    StoreError::Refused("the channel directory has changed");

/// The requests at hand are not the oldest ones of their partition (any more).
pub(super) const NOT_THE_FRONT: StoreError =
    StoreError::Refused("other requests of the partition come first");

/// What a transaction handles.
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    /// They were not read from this partition but handed over by ingest: others may come first.
    pub(super) handed_over: Option<u16>,
}

/// What a batch did, for wake-ups and metrics.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) hints: Vec<Hint>,
    /// Replies that are claimed already.
    pub(super) taken: Vec<Taken>,
    pub(super) applied: u64,
    pub(super) duplicates: u64,
    pub(super) dead: u64,
    pub(super) stored_only: u64,
    pub(super) quarantined: Vec<String>,
    pub(super) statuses: Vec<(&'static str, &'static str)>,
    pub(super) settled_unknown: u64,
    pub(super) events: Vec<&'static str>,
    pub(super) files: usize,
}

/// What the transaction works with besides the batch.
pub(super) struct Tools {
    pub(super) base: Base,
    pub(super) configs: ConfigCache,
    pub(super) heard: Heard,
    pub(super) rates: Arc<RateCard>,
    /// Claims and sends replies for this process.
    pub(super) delivery: DeliverySignal,
    pub(super) node: NodeId,
    /// Messages of a contact that reach the bot within a minute; `None` for all.
    pub(super) flood: Option<u32>,
    /// How long received files are kept; `None` when they are not fetched.
    pub(super) files: Option<std::time::Duration>,
}

/// Commits the effects of a batch. Replies that can go out at once are claimed with it: their attempts are `attempts`.
///
/// # Errors
/// [`STALE_DIRECTORY`], [`NOT_THE_FRONT`]; [`StoreError::Refused`] when the lease is lost; what the database says.
pub(super) fn apply(
    tx: &mut Tx<'_>,
    tools: &Tools,
    lease: &Lease,
    directory: &Directory,
    batch: &Batch,
    attempts: &Attempts,
) -> Result<Outcome, StoreError> {
    let now = tools.base.clock.now();
    nodes::fence(tx, lease)?;
    if channels::epoch(tx)? != directory.epoch {
        return Err(STALE_DIRECTORY);
    }
    if let Some(partition) = batch.handed_over {
        let count = u32::try_from(batch.events.len()).unwrap_or(u32::MAX);
        let front = inbox::front(tx, partition, count)?;
        if !front.iter().eq(batch.events.iter().map(|event| &event.id)) {
            return Err(NOT_THE_FRONT);
        }
    }
    let sorted = Sorted::new(&batch.events, directory);
    let mut writer = Writer {
        tools,
        now,
        outcome: Outcome::default(),
        outbox: Vec::new(),
        directory,
        replies: Vec::new(),
        files: Vec::new(),
    };
    writer.outcome.stored_only = sorted.stored_only;
    channels::note_webhooks(tx, &tools.heard.due(&sorted.heard, now), now)?;
    writer.messages(tx, &sorted)?;
    writer.calls(tx, &sorted.calls)?;
    writer.notices(tx, &sorted.notices)?;
    writer.statuses(tx, &sorted.statuses)?;
    writer.accounts(tx, &sorted.accounts)?;
    writer.dead_items(tx, &sorted)?;
    writer.outcome.quarantined = sorted
        .finished
        .iter()
        .filter_map(|finished| finished.quarantine.clone())
        .collect();
    outbox::append(tx, &writer.outbox, now)?;
    inbox::finish(tx, &sorted.finished, now)?;
    writer.claim_replies(tx, attempts)?;
    Ok(writer.outcome)
}

pub(super) struct Writer<'a> {
    pub(super) tools: &'a Tools,
    pub(super) now: Timestamp,
    pub(super) outcome: Outcome,
    outbox: Vec<NewOutboxEvent>,
    directory: &'a Directory,
    replies: Vec<Hint>,
    /// Files to fetch.
    pub(super) files: Vec<NewMedia>,
}

impl Writer<'_> {
    fn messages(&mut self, tx: &mut Tx<'_>, sorted: &Sorted<'_>) -> Result<(), StoreError> {
        let fresh = self.claim(tx, sorted)?;
        if fresh.is_empty() {
            return Ok(());
        }
        let contacts = self.people(tx, &fresh)?;
        let (mut threads, index) = self.threads(tx, &fresh, &contacts)?;
        let tapped = self.tapped(tx, &fresh)?;
        let tenants = distinct(fresh.iter().map(|item| item.channel.tenant_id));
        let configs = self.tools.configs.current(tx, &tenants)?;

        let mut new_messages = Vec::with_capacity(fresh.len() * 2);
        for ((item, thread), replied) in fresh.iter().zip(index).zip(tapped) {
            let thread = &mut threads[thread];
            let config = &configs[&item.channel.tenant_id];
            self.one(tx, item, thread, config, replied, &mut new_messages)?;
        }
        let (created, updated): (Vec<Thread>, Vec<Thread>) =
            threads.into_iter().partition(|thread| thread.is_new);
        let opened: Vec<_> = updated
            .iter()
            .filter(|thread| thread.was_closed && thread.remembered.memory.window.is_open(self.now))
            .map(|thread| (thread.remembered.tenant_id, thread.remembered.id))
            .collect();
        let created: Vec<_> = created
            .into_iter()
            .map(|thread| thread.remembered)
            .collect();
        let updated: Vec<_> = updated
            .into_iter()
            .filter(|thread| thread.changed)
            .map(|thread| thread.remembered)
            .collect();
        conversations::create_many(tx, &created, self.now)?;
        conversations::remember_many(tx, &updated, self.now)?;
        self.outcome
            .hints
            .extend(gate::release(tx, &opened, self.now)?);
        let keyring = &self.tools.base.keyring;
        messages::add_many(tx, keyring, &new_messages, self.now)?;
        self.outcome.files = self.files.len();
        media::add_many(tx, keyring, &self.files, self.now)
    }

    fn one(
        &mut self,
        tx: &mut Tx<'_>,
        item: &Fresh<'_>,
        thread: &mut Thread,
        config: &Config,
        replied: Option<Answered>,
        new_messages: &mut Vec<NewMessage>,
    ) -> Result<(), StoreError> {
        let (reply_to, tapped_template) = replied.map_or((None, None), |answered| {
            (Some(answered.id), answered.template_key)
        });
        let inbound = match &item.kind {
            FreshKind::Message(inbound) => inbound,
            FreshKind::Call(called) => {
                new_messages.push(self.first_of_call(item, called, thread));
                return Ok(());
            }
            FreshKind::Echo(echoed) => {
                let sent_at = echoed.echo.sent_at.unwrap_or(echoed.event.received_at);
                let way = Way::Echo {
                    provider_id: echoed.echo.provider_id.clone(),
                    sent_at,
                };
                let content = self.with_file(item, &echoed.echo.content);
                new_messages.push(thread.message(item.message_id, content, way, None, None));
                return Ok(());
            }
        };
        let message = inbound.message;
        let variables = thread.variables();
        let context = Context {
            now: self.now,
            session_ttl: config.settings.session_ttl(),
            conversation: &thread.remembered.memory,
            templates: &config.templates,
            flows: &config.flows,
            tapped_template: tapped_template.as_deref(),
            blocked: thread.blocked,
            flooding: self.tools.flood.is_some_and(|most| thread.recent >= most),
            marketing: thread.marketing,
            consent: &config.settings.consent,
            variables: &variables,
        };
        thread.recent += 1;
        let mut reply = None;
        let mut cause = None;
        let mut wished = None;
        for effect in step(&context, message) {
            match effect {
                Effect::ExpireSession { state } => {
                    let conversation_id = thread.remembered.id;
                    self.emit(
                        item.channel.tenant_id,
                        DomainEvent::SessionExpired {
                            conversation_id,
                            state,
                        },
                    );
                }
                Effect::Remember(memory) => {
                    thread.remembered.memory = memory;
                    thread.changed = true;
                }
                Effect::Reply {
                    template_key,
                    content,
                } => reply = Some((template_key, content)),
                Effect::Because(because) => cause = Some(because),
                Effect::Consent(wish) => wished = Some(wish),
            }
        }
        self.store_inbound(
            tx,
            item,
            inbound,
            thread,
            reply_to,
            cause.as_ref().filter(|_| reply.is_none()),
            new_messages,
        )?;
        if let Some(wish) = wished {
            let received = inbound.event.received_at;
            let said = Said {
                marketing: wish.marketing,
                source: ConsentSource::Keyword,
                at: message.sent_at.unwrap_or(received).min(received),
                by: None,
                evidence: json!({ "word": wish.word, "messageId": item.message_id.to_string() }),
            };
            let contact = thread.remembered.contact_id;
            self.consent(tx, item.channel.tenant_id, contact, &said)?;
            thread.marketing = Some(wish.marketing);
        }
        if let Some((template_key, content)) = reply {
            self.queue_reply(item, thread, template_key, content, cause, new_messages);
        }
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the pieces of one row, each from another source"
    )]
    fn store_inbound(
        &mut self,
        tx: &mut Tx<'_>,
        item: &Fresh<'_>,
        inbound: &Inbound<'_>,
        thread: &Thread,
        reply_to: Option<MessageId>,
        cause: Option<&Cause>,
        new_messages: &mut Vec<NewMessage>,
    ) -> Result<(), StoreError> {
        let message = inbound.message;
        let tenant = item.channel.tenant_id;
        let content = self.with_file(item, &message.content);
        if item.replaces {
            let keyring = &self.tools.base.keyring;
            let id = item.message_id;
            messages::replace_content(tx, keyring, tenant, id, &content, cause, self.now)?;
        } else {
            let received = inbound.event.received_at;
            let sent_at = message.sent_at.unwrap_or(received).min(received);
            let way = Way::In {
                provider_id: message.provider_id.clone(),
                sent_at,
            };
            new_messages.push(thread.message(
                item.message_id,
                content,
                way,
                reply_to,
                cause.cloned(),
            ));
        }
        self.emit(
            tenant,
            DomainEvent::MessageReceived {
                message_id: item.message_id,
                conversation_id: thread.remembered.id,
                contact_id: thread.remembered.contact_id,
                kind: message.content.kind().to_owned(),
            },
        );
        Ok(())
    }

    fn queue_reply(
        &mut self,
        item: &Fresh<'_>,
        thread: &Thread,
        template_key: Option<String>,
        content: Content,
        cause: Option<Cause>,
        new_messages: &mut Vec<NewMessage>,
    ) {
        let message_id = MessageId::new(&*self.tools.base.ids);
        let way = Way::Out {
            purpose: Purpose::Reply,
            template_key,
            idempotency_key: Some(format!("auto-reply:{}", item.message_id)),
            request_hash: None,
            due_at: self.now,
            waits_for: None,
            outside_window: None,
        };
        new_messages.push(thread.message(message_id, content, way, None, cause));
        self.replies.push(Hint {
            tenant_id: item.channel.tenant_id,
            conversation_id: thread.remembered.id,
            channel_id: item.channel.channel_id,
            message_id,
            priority: i64::from(Purpose::Reply.priority()),
        });
    }

    /// Claims what may go out now; the rest waits in the queue.
    fn claim_replies(&mut self, tx: &mut Tx<'_>, attempts: &Attempts) -> Result<(), StoreError> {
        let tools = self.tools;
        let claimer = Claimer {
            base: &tools.base,
            directory: self.directory,
            node: tools.node,
        };
        let Direct { taken, hints } =
            tools
                .delivery
                .claim_now(tx, &claimer, &self.replies, attempts)?;
        self.outcome.hints.extend(hints);
        self.outcome.taken = taken;
        Ok(())
    }

    fn statuses(&mut self, tx: &mut Tx<'_>, updates: &[Status<'_>]) -> Result<(), StoreError> {
        let base = &self.tools.base;
        let incoming: Vec<Incoming> = updates
            .iter()
            .filter_map(|status| incoming_status(base, &self.tools.rates, status))
            .collect();
        self.outcome.stored_only += (updates.len() - incoming.len()) as u64;
        if incoming.is_empty() {
            return Ok(());
        }
        let applied = statuses::apply(tx, &base.keyring, &incoming, self.now)?;
        let again = self.refused_outside(tx, &incoming, &applied)?;
        let mut settled = Vec::new();
        let mut lanes = Vec::new();
        let mut failed = Vec::new();
        for (status, applied) in incoming.iter().zip(applied) {
            let word = status.update.status.as_str();
            let Applied::Moved {
                message_id,
                conversation_id,
                status: rung,
                settled_unknown,
            } = applied
            else {
                let result = if applied == Applied::Parked {
                    "parked"
                } else {
                    "unmoved"
                };
                self.outcome.statuses.push((word, result));
                continue;
            };
            self.outcome.statuses.push((word, "moved"));
            if settled_unknown {
                self.outcome.settled_unknown += 1;
                settled.push((status.tenant_id, message_id));
                lanes.push((status.tenant_id, conversation_id));
            }
            if again.contains(&(status.tenant_id, message_id)) {
                continue;
            }
            let error = (rung == MessageStatus::Failed)
                .then(|| asynchronous_failure(status.update.error.clone()));
            if let Some(error) = &error {
                self.opted_out(tx, status.tenant_id, message_id, error)?;
                self.template_fault(tx, status, message_id, error)?;
                failed.push(DeadMessage {
                    tenant_id: status.tenant_id,
                    id: DeadLetterId::new(&*base.ids),
                    message_id,
                    error: error.clone(),
                });
            }
            self.emit(
                status.tenant_id,
                DomainEvent::MessageStatusChanged {
                    message_id,
                    conversation_id,
                    status: rung.as_str().to_owned(),
                    error,
                },
            );
        }
        dead_letters::resolve_messages(tx, &settled, "settled by a status", self.now)?;
        dead_letters::add_messages(tx, &failed, self.now)?;
        self.outcome.hints.extend(
            queue::next_in_lanes(tx, &lanes, self.now)?
                .into_iter()
                .map(|(hint, _)| hint),
        );
        Ok(())
    }

    /// Closes windows in which the provider refused messages; those that go back to the queue have not failed.
    fn refused_outside(
        &mut self,
        tx: &mut Tx<'_>,
        incoming: &[Incoming],
        applied: &[Applied],
    ) -> Result<HashSet<(TenantId, MessageId)>, StoreError> {
        let refused = incoming
            .iter()
            .zip(applied)
            .filter_map(|(status, applied)| match applied {
                Applied::Moved {
                    message_id,
                    conversation_id,
                    status: MessageStatus::Failed,
                    ..
                } if status
                    .update
                    .error
                    .as_ref()
                    .is_some_and(|error| error.class == ErrorClass::WindowClosed) =>
                {
                    Some(RefusedOutside {
                        tenant_id: status.tenant_id,
                        message_id: *message_id,
                        conversation_id: *conversation_id,
                    })
                }
                _ => None,
            });
        let hints = gate::refused_by_provider(tx, &refused.collect::<Vec<_>>(), self.now)?;
        let again = hints.iter().map(|hint| (hint.tenant_id, hint.message_id));
        let again = again.collect();
        self.outcome.hints.extend(hints);
        Ok(again)
    }

    /// A send that failed after all may show that its template is paused or gone.
    fn template_fault(
        &mut self,
        tx: &mut Tx<'_>,
        status: &Incoming,
        message_id: MessageId,
        error: &waxwing_core::errors::ProviderError,
    ) -> Result<(), StoreError> {
        let Some(code) = message_templates::fault_code(error) else {
            return Ok(());
        };
        let Some(channel) = self.directory.channel(status.channel_id) else {
            return Ok(());
        };
        let Some(message) =
            messages::get(tx, &self.tools.base.keyring, status.tenant_id, message_id)?
        else {
            return Ok(());
        };
        let text = |name: &str| message.content.0[name].as_str().map(str::to_owned);
        if let (Some("message_template"), Some(name), Some(language)) =
            (text("type").as_deref(), text("name"), text("language"))
        {
            let fault = Fault {
                tenant_id: status.tenant_id,
                channels: self.directory.siblings(channel),
                name,
                language,
                code: code.to_owned(),
                reason: error.message.clone(),
            };
            if let Some(event) = message_templates::revealed(tx, &fault, self.now)? {
                self.emit(status.tenant_id, event);
            }
        }
        Ok(())
    }

    fn dead_items(&mut self, tx: &mut Tx<'_>, sorted: &Sorted<'_>) -> Result<(), StoreError> {
        let items: Vec<_> = sorted
            .dead
            .iter()
            .map(|dead| DeadItem {
                tenant_id: dead.channel.tenant_id,
                id: DeadLetterId::new(&*self.tools.base.ids),
                webhook_event_id: dead.event,
                index: dead.index,
                reason: dead.reason.clone(),
            })
            .collect();
        self.outcome.dead += items.len() as u64;
        dead_letters::add_items(tx, &items, self.now)
    }

    pub(super) fn emit(&mut self, tenant_id: TenantId, event: DomainEvent) {
        self.outcome.events.push(event.event_type());
        self.outbox.push(NewOutboxEvent {
            tenant_id,
            id: OutboxEventId::new(&*self.tools.base.ids),
            event,
        });
    }
}

fn incoming_status(base: &Base, rates: &RateCard, status: &Status<'_>) -> Option<Incoming> {
    let update = status.update;
    let tenant_id = status.channel.tenant_id;
    let received = status.event.received_at;
    let data = update.callback_data.as_deref();
    let at = update.at.unwrap_or(received).min(received);
    let pricing = update.pricing.as_ref();
    Some(Incoming {
        tenant_id,
        channel_id: status.channel.channel_id,
        provider_id: update.provider_id.clone(),
        alias: update.alias.clone(),
        attempt_id: data.and_then(|data| callback::decode(&base.keyring, tenant_id, data)),
        update: Update {
            status: update.status?,
            at: at.micros(),
            error: update.error.clone(),
            charge: pricing.and_then(|pricing| rates.charge(pricing, &update.recipient, at)),
            pricing: update.pricing.clone(),
        },
        parked_id: base.ids.next(),
    })
}

fn distinct(tenants: impl Iterator<Item = TenantId>) -> Vec<TenantId> {
    let mut list: Vec<TenantId> = tenants.collect();
    list.sort_unstable();
    list.dedup();
    list
}
