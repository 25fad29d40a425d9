//! What becomes of messages whose outcome is unknown: looked up at providers that list what they took, else sent once
//! more or left to a person, as purpose and tenant say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use waxwing_core::channel::ChannelKind;
use waxwing_core::delivery::{ATTEMPTS_MAX, asynchronous_failure, resend_unknown};
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::ids::{ChannelId, DeadLetterId, OutboxEventId};
use waxwing_core::lookup::{self, Finding, Listed, Sought};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::status::DeliveryStatus;
use waxwing_core::time::Timestamp;
use waxwing_providers::http::HttpClient;
use waxwing_providers::messaging::{Endpoints, Outgoing, Recipient, adapter};
use waxwing_store::domain::dead_letters::{self, DeadMessage};
use waxwing_store::domain::outbox::{self, NewOutboxEvent};
use waxwing_store::domain::queue::{End, Hint, Record};
use waxwing_store::domain::statuses::{self, Applied, Incoming, Update};
use waxwing_store::domain::unknown::{self, Claim, UnknownMessage};
use waxwing_store::domain::{contacts, messages};
use waxwing_store::{StoreError, Tx};

use crate::deliver::{self, DeliverySignal};
use crate::directory::{Channel, DirectoryHandle};
use crate::{Base, metrics};

/// How often messages to look up are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Messages that one look reads; the others have their turn later.
const LOOKED_AT: u32 = 200;
/// Calls for a message, each of which brings a page of the list.
const PAGES_MAX: usize = 10;
/// How long one call may take.
const CALL: Duration = Duration::from_secs(15);
/// How long a channel rests whose list could not be read.
const REST: Duration = Duration::from_secs(15);
/// A list that cannot be read for so long is not waited for any more.
const GIVE_UP: Duration = Duration::from_secs(600);

/// How long an unknown outcome of a kind of channel waits before nobody looks any more.
pub(crate) fn patience(kind: ChannelKind, wait: Duration) -> Duration {
    if adapter(kind).has_list() {
        wait + GIVE_UP
    } else {
        wait
    }
}

/// Sends messages once more or leaves them to a person. The answer is what became due.
pub(crate) fn by_policy(
    tx: &mut Tx<'_>,
    base: &Base,
    messages: &[UnknownMessage],
    now: Timestamp,
) -> Result<Vec<Hint>, StoreError> {
    let mut hints = Vec::new();
    let mut held = Vec::new();
    for message in messages {
        let (tenant_id, message_id) = (message.tenant_id, message.message_id);
        let again = resend_unknown(
            message.purpose,
            message.settings.unknown_outcome,
            message.already_resent,
        );
        if again {
            if unknown::resend(tx, tenant_id, message_id, message.attempt_id, now)? {
                hints.push(hint(message));
            }
        } else if unknown::hold(tx, tenant_id, message_id, message.attempt_id, now)? {
            held.push(DeadMessage {
                tenant_id,
                id: DeadLetterId::new(&*base.ids),
                message_id,
                error: unknown::error("no answer and no status came: it may have been sent"),
            });
        }
    }
    dead_letters::add_messages(tx, &held, now)?;
    Ok(hints)
}

fn hint(message: &UnknownMessage) -> Hint {
    Hint {
        tenant_id: message.tenant_id,
        conversation_id: message.conversation_id,
        channel_id: message.channel_id,
        message_id: message.message_id,
        priority: i64::from(message.purpose.priority()),
    }
}

/// What looking up needs.
#[derive(Clone)]
pub struct LookupOptions {
    /// The tools of every use case.
    pub base: Base,
    /// The channels.
    pub directory: DirectoryHandle,
    /// Where delivery learns of messages to send again.
    pub delivery: DeliverySignal,
    /// The outbound client.
    pub client: HttpClient,
    /// Where the providers are.
    pub endpoints: Arc<Endpoints>,
    /// How long an unknown outcome waits for a status.
    pub wait: Duration,
    /// Turns true when the process has to end.
    pub stop: watch::Receiver<bool>,
}

/// Looks messages up until the process has to end. Several nodes may look up the same one: what they find is recorded
/// once.
pub async fn run(options: LookupOptions) {
    let mut stop = options.stop.clone();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut resting = HashMap::new();
    while !*stop.borrow() {
        tokio::select! {
            _ = look.tick() => {
                if let Err(error) = options.look(&mut resting).await {
                    tracing::warn!(%error, "unknown outcomes could not be looked up; that is tried again");
                }
            }
            _ = stop.changed() => {}
        }
    }
}

/// What is known about a message after looking.
enum Known {
    Found(Finding),
    /// Not now: a message of the same conversation is on its way.
    Busy,
    /// Somebody else settled it.
    Settled,
}

impl LookupOptions {
    /// The channels that rest are passed over, so that a dead provider holds nobody else up.
    async fn look(&self, resting: &mut HashMap<ChannelId, Timestamp>) -> Result<(), StoreError> {
        for kind in ChannelKind::ALL {
            if !adapter(kind).has_list() {
                continue;
            }
            let (wait, now) = (self.wait, self.base.clock.now());
            let due = self
                .base
                .store
                .read(move |tx| unknown::waiting_for(tx, kind, wait, LOOKED_AT, now))
                .await?;
            for message in due {
                if *self.stop.borrow() {
                    return Ok(());
                }
                let now = self.base.clock.now();
                resting.retain(|_, until| *until > now);
                let directory = self.directory.current();
                let Some(channel) = directory.channel(message.channel_id) else {
                    continue;
                };
                if resting.contains_key(&message.channel_id) {
                    continue;
                }
                match self.look_up(channel, &message).await? {
                    Ok(Known::Found(finding)) => self.settle(message, finding).await?,
                    Ok(Known::Busy | Known::Settled) => {}
                    Err(error) => {
                        tracing::warn!(
                            channel = %message.channel_id,
                            class = error.class.as_str(),
                            "the provider's list of messages could not be read; an unknown outcome waits"
                        );
                        resting.insert(message.channel_id, self.base.clock.now().plus(REST));
                    }
                }
            }
        }
        Ok(())
    }

    async fn look_up(
        &self,
        channel: &Channel,
        message: &UnknownMessage,
    ) -> Result<Result<Known, ProviderError>, StoreError> {
        let (tenant, id) = (message.tenant_id, message.message_id);
        let keyring = self.base.keyring.clone();
        let claim = self
            .base
            .store
            .read(move |tx| unknown::claim_of(tx, &keyring, tenant, id))
            .await?;
        let Some(claim) = claim else {
            return Ok(Ok(Known::Settled));
        };
        let Some(to) = self.recipient(message, &claim)? else {
            return Ok(Ok(Known::Found(Finding::Unclear)));
        };
        let outgoing = Outgoing {
            to: &to,
            content: &claim.content,
            reply_to: None,
            callback: "",
            asset: None,
        };
        let provider = adapter(channel.kind);
        let Ok(asked) = provider.build_lookup(&channel.account, &self.endpoints, outgoing) else {
            return Ok(Ok(Known::Found(Finding::Unclear)));
        };
        let sought = Sought {
            text: asked.text.as_deref(),
            started_at: claim.started_at,
            unknown_at: claim.unknown_at,
        };
        let mut pages = Pages::new(lookup::earliest(sought));
        let mut next = Some(asked.request);
        for _ in 0..PAGES_MAX {
            let Some(request) = next.take() else { break };
            let answer = self.client.call(request, CALL).await;
            match provider.interpret_lookup(&channel.account, &self.endpoints, &answer) {
                Ok(page) => next = pages.add(page.messages, page.next),
                Err(error) => return Ok(Err(error)),
            }
        }
        // After the list was read: whatever is in it is on record by now, or still on its way.
        let Some(unclaimed) = self.unclaimed(message, pages.listed).await? else {
            return Ok(Ok(Known::Busy));
        };
        let finding = lookup::find(sought, &unclaimed, pages.complete);
        Ok(Ok(Known::Found(finding)))
    }

    fn recipient(
        &self,
        message: &UnknownMessage,
        claim: &Claim,
    ) -> Result<Option<Recipient>, StoreError> {
        let (keyring, tenant, id) = (&self.base.keyring, message.tenant_id, claim.contact_id);
        if let Some(phone) =
            contacts::open_phone(keyring, tenant, id, claim.phone_sealed.as_deref())?
        {
            return Ok(Some(Recipient::Phone(phone)));
        }
        let user = contacts::open_user_id(keyring, tenant, id, claim.user_id_sealed.as_deref())?;
        Ok(user.map(Recipient::UserId))
    }

    /// Those that no message of ours is known to be; `None` while one of the conversation is on its way.
    async fn unclaimed(
        &self,
        message: &UnknownMessage,
        listed: Vec<Listed>,
    ) -> Result<Option<Vec<Listed>>, StoreError> {
        let keyring = self.base.keyring.clone();
        let (tenant, channel, conversation) = (
            message.tenant_id,
            message.channel_id,
            message.conversation_id,
        );
        self.base
            .store
            .read(move |tx| {
                if unknown::is_sending(tx, tenant, conversation)? {
                    return Ok(None);
                }
                let ids: Vec<_> = listed
                    .iter()
                    .map(|listed| (tenant, channel, &listed.provider_id))
                    .collect();
                let known = messages::find_by_provider_ids(tx, &keyring, &ids)?;
                let unclaimed = listed
                    .iter()
                    .zip(known)
                    .filter_map(|(listed, known)| known.is_none().then(|| listed.clone()));
                Ok(Some(unclaimed.collect()))
            })
            .await
    }

    async fn settle(&self, message: UnknownMessage, finding: Finding) -> Result<(), StoreError> {
        let result = match &finding {
            Finding::Sent(_) => "sent",
            Finding::Absent => "absent",
            Finding::Unclear => "unclear",
        };
        ::metrics::counter!(metrics::UNKNOWN_LOOKED_UP, "result" => result).increment(1);
        let base = self.base.clone();
        let hints = self
            .base
            .store
            .write(move |tx| {
                let now = base.clock.now();
                match &finding {
                    Finding::Sent(listed) => {
                        was_sent(tx, &base, &message, listed, now).map(|()| Vec::new())
                    }
                    Finding::Absent => was_not_sent(tx, &base, &message, now),
                    Finding::Unclear => by_policy(tx, &base, std::slice::from_ref(&message), now),
                }
            })
            .await?;
        self.delivery.hint(&hints);
        Ok(())
    }
}

/// A list as far as it was read.
struct Pages {
    earliest: Timestamp,
    listed: Vec<Listed>,
    /// The time of the last message while the list goes back in time, which nobody promises.
    last: Option<Timestamp>,
    sorted: bool,
    complete: bool,
}

impl Pages {
    const fn new(earliest: Timestamp) -> Self {
        Self {
            earliest,
            listed: Vec::new(),
            last: None,
            sorted: true,
            complete: false,
        }
    }

    /// Takes a page; the answer is the call for the next one, when that is needed.
    fn add<R>(&mut self, messages: Vec<Listed>, next: Option<R>) -> Option<R> {
        for listed in &messages {
            match (listed.created_at, self.last) {
                (None, _) => self.sorted = false,
                (Some(at), Some(last)) if at > last => self.sorted = false,
                (at, _) => self.last = at,
            }
        }
        self.listed.extend(messages);
        let passed = self.sorted && self.last.is_some_and(|last| last < self.earliest);
        self.complete = passed || next.is_none();
        next.filter(|_| !self.complete)
    }
}

fn record_of(message: &UnknownMessage, end: End) -> Record {
    Record {
        tenant_id: message.tenant_id,
        message_id: message.message_id,
        conversation_id: message.conversation_id,
        channel_id: message.channel_id,
        attempt_id: message.attempt_id,
        end,
    }
}

/// Like an answer that came late, and the status that the list shows.
fn was_sent(
    tx: &mut Tx<'_>,
    base: &Base,
    message: &UnknownMessage,
    listed: &Listed,
    now: Timestamp,
) -> Result<(), StoreError> {
    let end = End::Sent {
        provider_id: Some(listed.provider_id.clone()),
    };
    deliver::settle(tx, base, record_of(message, end))?;
    let Some(status) = listed
        .status
        .filter(|status| *status != DeliveryStatus::Sent)
    else {
        return Ok(());
    };
    let failed = status == DeliveryStatus::Failed;
    let error = failed.then(|| asynchronous_failure(listed.error.clone()));
    let incoming = Incoming {
        tenant_id: message.tenant_id,
        channel_id: message.channel_id,
        provider_id: listed.provider_id.clone(),
        alias: None,
        attempt_id: Some(message.attempt_id),
        update: Update {
            status,
            at: now.micros(),
            error: error.clone(),
            pricing: None,
            charge: None,
        },
        parked_id: OutboxEventId::new(&*base.ids).uuid(),
    };
    let applied = statuses::apply(tx, &base.keyring, &[incoming], now)?;
    if !matches!(applied.as_slice(), [Applied::Moved { .. }]) {
        return Ok(());
    }
    let (tenant_id, message_id) = (message.tenant_id, message.message_id);
    if let Some(error) = error.clone() {
        let id = DeadLetterId::new(&*base.ids);
        let dead = DeadMessage {
            tenant_id,
            id,
            message_id,
            error,
        };
        dead_letters::add_messages(tx, &[dead], now)?;
    }
    let event = NewOutboxEvent {
        tenant_id,
        id: OutboxEventId::new(&*base.ids),
        event: DomainEvent::MessageStatusChanged {
            message_id,
            conversation_id: message.conversation_id,
            status: status.message_status().as_str().to_owned(),
            error,
        },
    };
    outbox::append(tx, &[event], now)
}

/// Like an attempt that surely sent nothing: back to the queue, and not marked as a possible duplicate.
fn was_not_sent(
    tx: &mut Tx<'_>,
    base: &Base,
    message: &UnknownMessage,
    now: Timestamp,
) -> Result<Vec<Hint>, StoreError> {
    let error = ProviderError::own(
        ErrorClass::Retry,
        "no answer came, and the provider's list does not have the message",
    );
    let again = message.attempts < ATTEMPTS_MAX;
    let end = if again {
        End::Retry {
            due_at: now,
            counts: true,
            error,
            pause_channel: false,
        }
    } else {
        End::Failed(error)
    };
    deliver::settle(tx, base, record_of(message, end))?;
    Ok(again.then(|| hint(message)).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use waxwing_core::identity::ProviderMessageId;

    use super::*;

    fn listed(seconds: Option<i64>) -> Listed {
        Listed {
            provider_id: ProviderMessageId::parse("SM1").unwrap(),
            created_at: seconds.map(Timestamp::from_seconds),
            text: None,
            status: None,
            error: None,
        }
    }

    fn read(pages: &[&[Option<i64>]]) -> (usize, bool) {
        let mut read = Pages::new(Timestamp::from_seconds(100));
        let mut taken = 0;
        for (number, page) in pages.iter().enumerate() {
            taken += 1;
            let next = (number + 1 < pages.len()).then_some(());
            let page = page.iter().map(|seconds| listed(*seconds)).collect();
            if read.add(page, next).is_none() {
                break;
            }
        }
        (taken, read.complete)
    }

    #[test]
    fn a_list_that_goes_back_in_time_is_read_until_it_has_passed_the_moment() {
        assert_eq!(
            read(&[&[Some(300), Some(200)], &[Some(99)], &[]]),
            (2, true)
        );
        assert_eq!(read(&[&[Some(300)], &[Some(100)], &[]]), (3, true));
        assert_eq!(read(&[&[]]), (1, true));
    }

    #[test]
    fn any_other_list_is_read_to_its_end() {
        assert_eq!(read(&[&[Some(50), Some(200)], &[Some(40)], &[]]), (3, true));
        assert_eq!(read(&[&[None, Some(50)], &[Some(40)], &[]]), (3, true));
        let mut cut = Pages::new(Timestamp::from_seconds(100));
        assert_eq!(cut.add(vec![listed(Some(200))], Some(1)), Some(1));
        assert!(!cut.complete);
    }
}
