//! A batch: requests opened and parsed, sorted into what each item wants.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use waxwing_core::channel::ChannelKind;
use waxwing_core::event::{InboundItem, InboundMessage, ItemBody, Parsed, Route, StatusUpdate};
use waxwing_core::ids::{ChannelId, TenantId, WebhookEventId};
use waxwing_core::time::Timestamp;
use waxwing_providers::messaging::{Recorded, adapter};
use waxwing_store::domain::crypto::Keyring;
use waxwing_store::domain::inbox::{self, Finished, PendingEvent};

use super::account::{self, AccountHeard};
use super::calls::Called;
use super::notices::{Notice, NoticeKind};
use crate::directory::{Channel, Directory};
use crate::ingest::handles;

/// A request, opened and parsed.
pub(super) struct Event {
    pub(super) id: WebhookEventId,
    pub(super) received_at: Timestamp,
    kind: ChannelKind,
    /// The channel that its address names.
    named: Option<ChannelId>,
    secret_hash: Vec<u8>,
    partition: u16,
    mask: u16,
    parsed: Result<Parsed, String>,
}

impl Event {
    /// Opens and parses a request. What cannot be read is kept with its reason.
    pub(super) fn open(keyring: &Keyring, pending: &PendingEvent) -> Self {
        let parsed = match inbox::open_body(keyring, pending) {
            Err(error) => Err(error.to_string()),
            Ok(body) => read(pending.provider, &pending.query, &body),
        };
        Self {
            id: pending.id,
            received_at: pending.received_at,
            kind: pending.provider,
            named: pending.channel_id,
            secret_hash: pending.secret_hash.clone(),
            partition: u16::try_from(pending.partition).unwrap_or_default(),
            mask: u16::try_from(pending.partition_mask).unwrap_or_default(),
            parsed,
        }
    }
}

/// Reads a request of a provider.
pub(super) fn read(kind: ChannelKind, query: &str, body: &[u8]) -> Result<Parsed, String> {
    adapter(kind)
        .parse(Recorded { query, body })
        .map_err(|unreadable| unreadable.to_string())
}

/// A message with the channel it came through.
pub(super) struct Inbound<'a> {
    pub(super) event: &'a Event,
    pub(super) channel: &'a Arc<Channel>,
    pub(super) message: &'a InboundMessage,
}

/// A status with its channel.
pub(super) struct Status<'a> {
    pub(super) event: &'a Event,
    pub(super) channel: &'a Arc<Channel>,
    pub(super) update: &'a StatusUpdate,
}

/// An echo with its channel.
pub(super) struct Echoed<'a> {
    pub(super) event: &'a Event,
    pub(super) channel: &'a Arc<Channel>,
    pub(super) echo: &'a waxwing_core::event::Echo,
}

/// An item of a known channel that cannot be handled.
pub(super) struct Dead<'a> {
    pub(super) event: WebhookEventId,
    pub(super) channel: &'a Arc<Channel>,
    pub(super) index: u32,
    pub(super) reason: String,
}

/// What the items of a batch want, by kind, in order of arrival.
#[derive(Default)]
pub(super) struct Sorted<'a> {
    pub(super) messages: Vec<Inbound<'a>>,
    pub(super) statuses: Vec<Status<'a>>,
    pub(super) echoes: Vec<Echoed<'a>>,
    pub(super) calls: Vec<Called<'a>>,
    pub(super) notices: Vec<Notice<'a>>,
    pub(super) dead: Vec<Dead<'a>>,
    pub(super) accounts: Vec<AccountHeard<'a>>,
    pub(super) finished: Vec<Finished>,
    /// Items that are only kept in the raw request.
    pub(super) stored_only: u64,
    /// The channels of all items.
    pub(super) heard: BTreeSet<(TenantId, ChannelId)>,
}

impl<'a> Sorted<'a> {
    /// Sorts the items of requests. An item whose channel is unknown, or whose request was signed with another
    /// channel's secret, keeps its request in quarantine; its neighbours are not affected.
    pub(super) fn new(events: &'a [Event], directory: &'a Directory) -> Self {
        let mut sorted = Self::default();
        for event in events {
            let quarantine = match &event.parsed {
                Err(reason) => Some(reason.clone()),
                Ok(parsed) => sorted.add(event, parsed, directory),
            };
            sorted.finished.push(Finished {
                id: event.id,
                quarantine,
            });
        }
        sorted
    }

    fn add(
        &mut self,
        event: &'a Event,
        parsed: &'a Parsed,
        directory: &'a Directory,
    ) -> Option<String> {
        let mut quarantine = None;
        for item in &parsed.items {
            if self.add_of_account(event, item, directory) {
                continue;
            }
            match resolve(event, &item.route, directory) {
                Resolved::NotMine => {}
                Resolved::Refused(reason) if matters(item) => quarantine = Some(reason.to_owned()),
                Resolved::Refused(_) => self.stored_only += 1,
                Resolved::Channel(channel) => {
                    self.heard.insert((channel.tenant_id, channel.channel_id));
                    self.add_item(event, item, channel);
                }
            }
        }
        for broken in &parsed.broken {
            match resolve(event, &broken.route, directory) {
                Resolved::NotMine => {}
                Resolved::Refused(reason) => {
                    quarantine = Some(format!("{reason}; {}", broken.reason))
                }
                Resolved::Channel(channel) => self.dead.push(Dead {
                    event: event.id,
                    channel,
                    index: broken.index,
                    reason: broken.reason.clone(),
                }),
            }
        }
        quarantine
    }

    /// Takes an item that is about an account and not about one number of it. It is every tenant's that has a channel
    /// there whose secret signed the request.
    fn add_of_account(
        &mut self,
        event: &'a Event,
        item: &'a InboundItem,
        directory: &'a Directory,
    ) -> bool {
        if account::of_account(item).is_none() {
            return false;
        }
        if !handles(event.partition, event.mask, &item.route) {
            return true;
        }
        let named = event.named.and_then(|named| directory.channel(named));
        let mut channels: Vec<Arc<Channel>> = match (named, &item.route) {
            (Some(named), _) => vec![Arc::clone(named)],
            (None, route) => match (&route.sender_id, &route.account_id) {
                (None, Some(account)) => directory.of_account(event.kind, account).to_vec(),
                _ => directory
                    .resolve(event.kind, route)
                    .cloned()
                    .into_iter()
                    .collect(),
            },
        };
        channels.retain(|channel| channel.secret_hash == event.secret_hash);
        if channels.is_empty() {
            self.stored_only += 1;
        }
        for (tenant_id, channels) in account::by_tenant(&channels) {
            self.heard
                .extend(channels.iter().map(|channel| (tenant_id, *channel)));
            self.accounts
                .extend(account::of_account(item).map(|item| AccountHeard {
                    tenant_id,
                    channels,
                    item,
                }));
        }
        true
    }

    fn add_item(&mut self, event: &'a Event, item: &'a InboundItem, channel: &'a Arc<Channel>) {
        match &item.body {
            ItemBody::Message(message) if message.sender.is_usable() => {
                self.messages.push(Inbound {
                    event,
                    channel,
                    message,
                });
            }
            ItemBody::Message(_) => self.dead.push(Dead {
                event: event.id,
                channel,
                index: item.index,
                reason: "the message names no sender".to_owned(),
            }),
            ItemBody::Status(update) => self.statuses.push(Status {
                event,
                channel,
                update,
            }),
            ItemBody::Echo(echo) if echo.recipient.is_usable() => {
                self.echoes.push(Echoed {
                    event,
                    channel,
                    echo,
                });
            }
            ItemBody::Call(news) => self.calls.push(Called {
                event,
                channel,
                news,
            }),
            ItemBody::ValueError(error) => {
                tracing::warn!(
                    channel = %channel.channel_id,
                    tenant = %channel.tenant_id,
                    class = error.class.as_str(),
                    code = error.code.as_deref().unwrap_or("none"),
                    "the provider reports a problem of the number"
                );
                self.stored_only += 1;
            }
            ItemBody::System(system) => {
                self.notice(event, channel, NoticeKind::System(system));
            }
            ItemBody::UserIdUpdate(update) => {
                self.notice(event, channel, NoticeKind::UserId(update));
            }
            ItemBody::Preference(preference) => {
                self.notice(event, channel, NoticeKind::Preference(preference));
            }
            ItemBody::Echo(_) | ItemBody::Template(_) | ItemBody::Other(_) => self.stored_only += 1,
        }
    }
}

impl<'a> Sorted<'a> {
    fn notice(&mut self, event: &'a Event, channel: &'a Arc<Channel>, kind: NoticeKind<'a>) {
        self.notices.push(Notice {
            event,
            channel,
            kind,
        });
    }
}

/// The last webhook of a channel is written down at most this often.
const HEARD_EVERY: Duration = Duration::from_secs(60);
/// Channels that are remembered; beyond, starting over costs one write each.
const HEARD_MAX: usize = 100_000;

/// When the last webhook of each channel was written down.
#[derive(Default)]
pub(super) struct Heard(Mutex<HashMap<ChannelId, Timestamp>>);

impl Heard {
    /// Those of the channels whose last webhook has to be written down again.
    pub(super) fn due(
        &self,
        heard: &BTreeSet<(TenantId, ChannelId)>,
        now: Timestamp,
    ) -> Vec<(TenantId, ChannelId)> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() >= HEARD_MAX {
            written.clear();
        }
        heard
            .iter()
            .copied()
            .filter(|(_, channel)| {
                let due = written
                    .get(channel)
                    .is_none_or(|at| at.plus(HEARD_EVERY) <= now);
                if due {
                    written.insert(*channel, now);
                }
                due
            })
            .collect()
    }
}

/// Whether an item of an unknown channel is worth a person's look. News about accounts that nobody here has are not.
fn matters(item: &InboundItem) -> bool {
    matches!(
        item.body,
        ItemBody::Message(_)
            | ItemBody::Status(_)
            | ItemBody::Echo(_)
            | ItemBody::System(_)
            | ItemBody::Call(_)
    )
}

enum Resolved<'a> {
    Channel(&'a Arc<Channel>),
    NotMine,
    Refused(&'static str),
}

/// The channel of an item that came to the address of a channel. That address may serve all numbers of the account; an
/// item that names no number, and any while the channel's own number is not known, belong to the channel of the
/// address.
fn addressed<'a>(
    event: &Event,
    named: ChannelId,
    route: &Route,
    directory: &'a Directory,
) -> Option<&'a Arc<Channel>> {
    let named = directory.channel(named);
    match &route.sender_id {
        None => named,
        Some(_) => directory
            .resolve(event.kind, route)
            .or_else(|| named.filter(|own| ChannelKind::is_unknown_sender(&own.account.sender_id))),
    }
}

fn resolve<'a>(event: &Event, route: &Route, directory: &'a Directory) -> Resolved<'a> {
    if !handles(event.partition, event.mask, route) {
        return Resolved::NotMine;
    }
    let channel = match event.named {
        Some(named) => addressed(event, named, route, directory),
        None => directory
            .of_service(event.kind, route, &event.secret_hash)
            .or_else(|| directory.resolve(event.kind, route)),
    };
    match channel {
        None => Resolved::Refused("no channel has this number"),
        Some(channel) if channel.secret_hash != event.secret_hash => {
            Resolved::Refused("signed with the secret of another channel")
        }
        Some(channel) => Resolved::Channel(channel),
    }
}
