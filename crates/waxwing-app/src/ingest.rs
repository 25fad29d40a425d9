//! Ingest: verify, append durably, acknowledge. Nothing else happens before the answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::event::Route;
use waxwing_core::ids::{ChannelId, WebhookEventId};
use waxwing_core::secret::Secret;
use waxwing_providers::messaging::{Arrival, Endpoints, Messaging, Recorded, adapter};
use waxwing_store::domain::channels;
use waxwing_store::domain::inbox::{self, NewEvent, PARTITIONS, PendingEvent};
use waxwing_store::{Batcher, BatcherOptions, StoreError, Tx};

use crate::Base;
use crate::directory::{DirectoryHandle, NO_SECRET};

/// Why a request was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// No known secret authenticates this request: 401 with an empty answer, nothing is stored.
    #[error("the request is not authentic")]
    NotAuthentic,
    /// It could not be made durable now: 503, the provider sends it again.
    #[error("the request could not be stored: {0}")]
    Unavailable(StoreError),
}

/// Wakes the workers of a partition, and tells them when acknowledgements wait.
#[derive(Debug, Clone, Default)]
pub struct InboxSignal(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    arrivals: [Arrivals; PARTITIONS as usize],
    /// Requests that wait for their acknowledgement.
    unacknowledged: AtomicUsize,
}

#[derive(Default)]
struct Arrivals {
    wake: Notify,
    fresh: Mutex<Fresh>,
}

/// What was appended by this process since somebody looked: the worker need not read it back.
#[derive(Default)]
struct Fresh {
    events: Vec<PendingEvent>,
    /// Not all that arrived is in `events`.
    incomplete: bool,
}

/// Requests that are handed over in one go, and the bytes of one: a worker that is behind reads the database.
const FRESH_MAX: usize = 32;
const FRESH_BYTES_MAX: usize = 16 * 1024;

impl std::fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrivals").finish_non_exhaustive()
    }
}

impl Arrivals {
    fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From so many waiting acknowledgements on, handling what has arrived steps back: it shares the database's writer.
const PRESSURE_FROM: usize = 64;

/// Counts a request for as long as it waits for its acknowledgement.
struct Unacknowledged(InboxSignal);

impl Drop for Unacknowledged {
    fn drop(&mut self) {
        self.0.0.unacknowledged.fetch_sub(1, Ordering::Relaxed);
    }
}

impl InboxSignal {
    fn arrivals(&self, partition: u16) -> &Arrivals {
        &self.0.arrivals[usize::from(partition % PARTITIONS)]
    }

    /// Something waits in the partitions of the mask that only the database knows.
    pub fn wake(&self, mask: u16) {
        for partition in (0..PARTITIONS).filter(|partition| mask & (1 << partition) != 0) {
            let arrivals = self.arrivals(partition);
            arrivals.fresh().incomplete = true;
            arrivals.wake.notify_one();
        }
    }

    /// Copies of those that the workers have room for; the others they will read.
    fn copies(&self, events: &[NewEvent]) -> Vec<(u16, Option<PendingEvent>)> {
        let mut room = [None::<usize>; PARTITIONS as usize];
        let copy = |event: &NewEvent| {
            let room = &mut room[usize::from(event.partition % PARTITIONS)];
            let room = room.get_or_insert_with(|| {
                let fresh = self.arrivals(event.partition).fresh();
                if fresh.incomplete {
                    0
                } else {
                    FRESH_MAX.saturating_sub(fresh.events.len())
                }
            });
            let fits = *room > 0
                && event.quarantine.is_none()
                && event.body_sealed.len() <= FRESH_BYTES_MAX;
            *room = if fits { *room - 1 } else { 0 };
            (event.partition, fits.then(|| event.appended()))
        };
        events.iter().map(copy).collect()
    }

    /// Requests are durable from now on.
    fn appended(&self, copies: Vec<(u16, Option<PendingEvent>)>) {
        let mut mask = 0_u16;
        for (partition, event) in copies {
            mask |= 1 << (partition % PARTITIONS);
            let mut fresh = self.arrivals(partition).fresh();
            match event {
                Some(event) if !fresh.incomplete && fresh.events.len() < FRESH_MAX => {
                    fresh.events.push(event);
                }
                _ => fresh.incomplete = true,
            }
        }
        for partition in (0..PARTITIONS).filter(|partition| mask & (1 << partition) != 0) {
            self.arrivals(partition).wake.notify_one();
        }
    }

    /// What arrived in the partition since this was last asked, in the order of ids; `None` when some of it is only in
    /// the database.
    pub(crate) fn take_fresh(&self, partition: u16) -> Option<Vec<PendingEvent>> {
        let Fresh {
            mut events,
            incomplete,
        } = std::mem::take(&mut *self.arrivals(partition).fresh());
        events.sort_unstable_by_key(|event| event.id);
        (!incomplete).then_some(events)
    }

    /// Waits until something arrives in the partition.
    pub async fn wait(&self, partition: u16) {
        self.arrivals(partition).wake.notified().await;
    }

    fn waits(&self) -> Unacknowledged {
        self.0.unacknowledged.fetch_add(1, Ordering::Relaxed);
        Unacknowledged(self.clone())
    }

    /// Whether so many requests wait for their acknowledgement that handling has to step back.
    #[must_use]
    pub fn under_pressure(&self) -> bool {
        self.0.unacknowledged.load(Ordering::Relaxed) >= PRESSURE_FROM
    }
}

/// Takes in the requests of providers. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    base: Base,
    directory: DirectoryHandle,
    endpoints: Arc<Endpoints>,
    platform: Option<Arc<PlatformSecret>>,
    appender: Batcher<NewEvent, ()>,
    signal: InboxSignal,
}

/// Requests that wait to be appended at the same moment; beyond, the provider is asked to come again.
const WAITING_MAX: usize = 8_192;
const BATCH_MAX: usize = 512;

/// The secret of the platform's own app at Meta.
struct PlatformSecret {
    credentials: Credentials,
    hash: Vec<u8>,
}

/// The name of the platform's secret, under which channels without one of their own are signed.
#[must_use]
pub fn platform_secret_hash(base: &Base, secret: Option<&Secret>) -> Vec<u8> {
    secret.map_or_else(
        || NO_SECRET.to_vec(),
        |secret| channels::secret_hash(&base.keyring, secret),
    )
}

impl Ingest {
    /// Starts the appender on the present runtime.
    #[must_use]
    pub fn start(
        base: Base,
        directory: DirectoryHandle,
        endpoints: Arc<Endpoints>,
        platform_secret: Option<Secret>,
        signal: InboxSignal,
    ) -> Self {
        let options = BatcherOptions {
            max_batch: BATCH_MAX,
            capacity: WAITING_MAX,
            bulk: false,
        };
        let arrivals = signal.clone();
        let append = move |tx: &mut Tx<'_>, events: &[NewEvent]| {
            inbox::append(tx, events)?;
            let (arrivals, copies) = (arrivals.clone(), arrivals.copies(events));
            tx.after_commit(move || arrivals.appended(copies));
            Ok(vec![(); events.len()])
        };
        let appender = Batcher::start(base.store.clone(), options, append);
        let platform = platform_secret.map(|secret| {
            Arc::new(PlatformSecret {
                hash: channels::secret_hash(&base.keyring, &secret),
                credentials: Credentials::new().with(credential::APP_SECRET, secret),
            })
        });
        Self {
            base,
            directory,
            endpoints,
            platform,
            appender,
            signal,
        }
    }

    /// Takes in a request of a provider. `named` is the channel that its address names. When this returns `Ok`, the
    /// request is durable.
    ///
    /// # Errors
    /// See [`IngestError`].
    pub async fn take(
        &self,
        kind: ChannelKind,
        named: Option<ChannelId>,
        arrival: Arrival<'_>,
    ) -> Result<(), IngestError> {
        let provider = adapter(kind);
        let query = arrival
            .target
            .split_once('?')
            .map_or("", |(_, query)| query);
        let query = provider.query_to_keep(query);
        let routes = provider.peek(Recorded {
            query: &query,
            body: arrival.body,
        });
        let secret_hash = match named {
            Some(channel) => self.named_secret(provider, channel, arrival),
            None => self.matching_secret(provider, &routes, arrival),
        }
        .ok_or(IngestError::NotAuthentic)?;
        let mask = match named {
            Some(channel) => 1 << partition_of_channel(channel),
            None => partition_mask(&routes),
        };
        let _waits = self.signal.waits();
        let (query, body) = kept(&query, arrival.body);
        let request = Request {
            kind,
            named,
            query: query.to_owned(),
            body,
            secret_hash,
        };
        self.append(&request, mask)
            .await
            .map_err(IngestError::Unavailable)
    }

    /// The secret of the channel that the address names.
    fn named_secret(
        &self,
        provider: &dyn Messaging,
        channel: ChannelId,
        arrival: Arrival<'_>,
    ) -> Option<Vec<u8>> {
        let directory = self.directory.current();
        let channel = directory.channel(channel)?;
        let authentic = channel.kind == provider.kind()
            && provider.authentic(arrival, &self.endpoints, &channel.account.credentials);
        authentic.then(|| channel.secret_hash.clone())
    }

    /// The platform's secret first, then those of the channels that the request names. Which one matched decides later
    /// which of the items may take effect: a tenant cannot sign for another.
    fn matching_secret(
        &self,
        provider: &dyn Messaging,
        routes: &[Route],
        arrival: Arrival<'_>,
    ) -> Option<Vec<u8>> {
        if let Some(platform) = &self.platform
            && provider.kind() == ChannelKind::Meta
            && provider.authentic(arrival, &self.endpoints, &platform.credentials)
        {
            return Some(platform.hash.clone());
        }
        let directory = self.directory.current();
        let mut tried: Vec<&Credentials> = Vec::new();
        for channel in directory.candidates(provider.kind(), routes) {
            let credentials = &channel.account.credentials;
            if tried.contains(&credentials) {
                continue;
            }
            if provider.authentic(arrival, &self.endpoints, credentials) {
                return Some(channel.secret_hash.clone());
            }
            tried.push(credentials);
        }
        None
    }

    async fn append(&self, request: &Request<'_>, partition_mask: u16) -> Result<(), StoreError> {
        let received_at = self.base.clock.now();
        let event = |partition| {
            let id = WebhookEventId::new(&*self.base.ids);
            let (body_sealed, body_hash) = inbox::seal_body(&self.base.keyring, id, request.body);
            NewEvent {
                id,
                provider: request.kind,
                channel_id: request.named,
                query: request.query.clone(),
                partition,
                partition_mask,
                quarantine: None,
                body_sealed,
                body_hash,
                secret_hash: request.secret_hash.clone(),
                received_at,
            }
        };
        for partition in (0..PARTITIONS).filter(|partition| partition_mask & (1 << partition) != 0)
        {
            self.appender.submit(event(partition)).await?;
        }
        Ok(())
    }
}

/// A request that was found authentic.
struct Request<'a> {
    kind: ChannelKind,
    named: Option<ChannelId>,
    query: String,
    body: &'a [u8],
    secret_hash: Vec<u8>,
}

/// Query and body as they are stored. Without a body (Twilio with GET) the query says everything, so it takes the body's
/// place: that is sealed, the query is not.
fn kept<'a>(query: &'a str, body: &'a [u8]) -> (&'a str, &'a [u8]) {
    if body.is_empty() {
        ("", query.as_bytes())
    } else {
        (query, body)
    }
}

/// More routes than the peek reports: the request goes to every partition.
const ROUTES_SEEN_MAX: usize = 64;

/// The partitions of a request's items. At least one.
fn partition_mask(routes: &[Route]) -> u16 {
    if routes.len() >= ROUTES_SEEN_MAX {
        return (1 << PARTITIONS) - 1;
    }
    routes
        .iter()
        .fold(0, |mask, route| mask | 1 << partition_of(route))
        .max(1)
}

/// The partition of an item, from nothing but the request itself, so that every node says the same.
#[must_use]
pub(crate) fn partition_of(route: &Route) -> u16 {
    // Numbers of one pool may be one channel's.
    let key = route
        .service_id
        .as_deref()
        .or(route.sender_id.as_deref())
        .or(route.account_id.as_deref())
        .unwrap_or_default();
    partition_of_key(key.as_bytes())
}

/// The partition of everything that comes to the address of a channel.
fn partition_of_channel(channel: ChannelId) -> u16 {
    partition_of_key(channel.uuid().as_bytes())
}

fn partition_of_key(key: &[u8]) -> u16 {
    // FNV-1a: stable over versions of this program, which the hasher of the standard library is not.
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    u16::try_from((hash ^ (hash >> 32)) % u64::from(PARTITIONS)).unwrap_or(0)
}

/// Whether the row of a request in `partition` handles an item. Items that the quick look at arrival did not see are
/// handled by the row of the lowest partition, so that each is handled exactly once.
#[must_use]
pub(crate) fn handles(partition: u16, mask: u16, route: &Route) -> bool {
    let own = partition_of(route);
    if mask & (1 << own) != 0 {
        own == partition
    } else {
        u32::from(partition) == mask.trailing_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(sender: &str) -> Route {
        Route {
            sender_id: Some(sender.into()),
            account_id: None,
            ..Route::default()
        }
    }

    #[test]
    fn what_a_person_wrote_is_never_stored_in_the_clear() {
        assert_eq!(kept("m=1", b"Body=hi"), ("m=1", &b"Body=hi"[..]));
        let query = "AccountSid=AC1&MessageSid=SM1&From=whatsapp:%2B447700900123&To=whatsapp:%2B15005550006&Body=hi";
        let (clear, sealed) = kept(query, b"");
        assert_eq!((clear, sealed), ("", query.as_bytes()));
        let provider = adapter(ChannelKind::Twilio);
        let read = |query, body| provider.parse(Recorded { query, body }).unwrap();
        assert_eq!(read(clear, sealed), read(query, b""));
        assert_eq!(read(clear, sealed).items.len(), 1);
    }

    #[test]
    fn every_item_is_handled_by_exactly_one_row() {
        let routes: Vec<Route> = (0..40)
            .map(|n| route(&format!("10654035224{n:04}")))
            .collect();
        for seen in 0..routes.len() {
            let mask = partition_mask(&routes[..seen]);
            for item in &routes {
                let rows = (0..PARTITIONS).filter(|partition| mask & (1 << partition) != 0);
                assert_eq!(
                    rows.filter(|partition| handles(*partition, mask, item))
                        .count(),
                    1
                );
            }
        }
    }

    #[test]
    fn the_account_stands_in_for_a_missing_number() {
        let by_account = Route {
            account_id: Some("1".into()),
            ..Route::default()
        };
        assert_eq!(partition_of(&by_account), partition_of(&route("1")));
        assert_eq!(partition_mask(&[]), 1);
    }
}
