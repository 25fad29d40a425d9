//! A batch: requests opened and parsed, sorted into what each item wants.

use std::sync::Arc;

use waxwing_core::event::{InboundItem, InboundMessage, ItemBody, Parsed, Route, StatusUpdate};
use waxwing_core::ids::WebhookEventId;
use waxwing_core::time::Timestamp;
use waxwing_providers::messaging::meta;
use waxwing_store::domain::channels::ChannelKind;
use waxwing_store::domain::crypto::Keyring;
use waxwing_store::domain::inbox::{self, Finished, PendingEvent};

use crate::directory::{Channel, Directory};
use crate::ingest::handles;

/// A request, opened and parsed.
pub(super) struct Event {
    pub(super) id: WebhookEventId,
    pub(super) received_at: Timestamp,
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
            Ok(body) => meta::parse(&body).map_err(|unreadable| unreadable.to_string()),
        };
        Self {
            id: pending.id,
            received_at: pending.received_at,
            secret_hash: pending.secret_hash.clone(),
            partition: u16::try_from(pending.partition).unwrap_or_default(),
            mask: u16::try_from(pending.partition_mask).unwrap_or_default(),
            parsed,
        }
    }
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
    pub(super) dead: Vec<Dead<'a>>,
    pub(super) finished: Vec<Finished>,
    /// Items that are only kept in the raw request.
    pub(super) stored_only: u64,
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
            match resolve(event, &item.route, directory) {
                Resolved::NotMine => {}
                Resolved::Refused(reason) if matters(item) => quarantine = Some(reason.to_owned()),
                Resolved::Refused(_) => self.stored_only += 1,
                Resolved::Channel(channel) => self.add_item(event, item, channel),
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
            ItemBody::Echo(_)
            | ItemBody::System(_)
            | ItemBody::Preference(_)
            | ItemBody::UserIdUpdate(_)
            | ItemBody::Template(_)
            | ItemBody::Other(_) => self.stored_only += 1,
        }
    }
}

/// Whether an item of an unknown channel is worth a person's look. News about accounts that nobody here has are not.
fn matters(item: &InboundItem) -> bool {
    matches!(
        item.body,
        ItemBody::Message(_) | ItemBody::Status(_) | ItemBody::Echo(_) | ItemBody::System(_)
    )
}

enum Resolved<'a> {
    Channel(&'a Arc<Channel>),
    NotMine,
    Refused(&'static str),
}

fn resolve<'a>(event: &Event, route: &Route, directory: &'a Directory) -> Resolved<'a> {
    if !handles(event.partition, event.mask, route) {
        return Resolved::NotMine;
    }
    match directory.resolve(ChannelKind::Meta, route) {
        None => Resolved::Refused("no channel has this phone number id"),
        Some(channel) if channel.secret_hash != event.secret_hash => {
            Resolved::Refused("signed with the secret of another channel")
        }
        Some(channel) => Resolved::Channel(channel),
    }
}
