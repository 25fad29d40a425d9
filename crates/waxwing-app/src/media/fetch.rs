//! The worker that fetches received files. A file that is to be fetched is a row with a due time; a claim is a lease on it
//! and the id of an object that only this attempt may write.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::ids::{ChannelId, NodeId, OutboxEventId, TenantId};
use waxwing_core::media::{fetch_again, received_bytes};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::time::Timestamp;
use waxwing_providers::http::guard::Guard;
use waxwing_providers::http::{DownloadError, DownloadLimits, HttpClient, HttpRequest};
use waxwing_providers::messaging::Endpoints;
use waxwing_providers::messaging::media::{
    FetchStep, MediaApi, ReadGuard, download_error, is_passing, media_api, own_origin,
};
use waxwing_store::domain::media::{self, Claimed, Stored};
use waxwing_store::domain::outbox::{self, NewOutboxEvent};
use waxwing_store::{StoreError, Tx};

use super::{MediaSignal, Vault, VaultError, sweep};
use crate::directory::{Channel, DirectoryHandle};
use crate::{Base, metrics};

/// Files that are fetched at the same time. Each holds up to two parts of an object in memory, 10 MB.
const FETCHES_MAX: usize = 6;
/// Of one tenant, so that others have room.
const FETCHES_PER_TENANT_MAX: usize = 3;
/// Due files that are looked at in one go.
const LOOKED_AT: u32 = 200;
/// Signals only make it earlier: without one the worker looks this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often files whose time is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long a claim is good. Longer than an attempt may take.
const LEASE: Duration = Duration::from_secs(10 * 60);
/// How long the provider may take to say where a file is.
const ASK_DEADLINE: Duration = Duration::from_secs(30);
/// How long the bytes of a file may take, and how long there may be silence.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(5 * 60);
const SILENCE: Duration = Duration::from_secs(20);
/// Steps from the provider's id to the bytes.
const STEPS_MAX: usize = 5;
/// An address may be dead because it is old: so often a file is asked for that the provider says it does not have.
const GONE_ATTEMPTS: u32 = 2;
/// How long a file waits whose channel cannot be used.
const NO_CHANNEL: Duration = Duration::from_secs(5 * 60);
/// Attempts to record an outcome; then the lease has to end.
const RECORD_ATTEMPTS: u32 = 8;

/// What the worker needs.
pub struct FetchOptions {
    /// The tools of every use case.
    pub base: Base,
    /// The channels.
    pub directory: DirectoryHandle,
    /// The outbound client.
    pub client: HttpClient,
    /// Where the providers are.
    pub endpoints: Arc<Endpoints>,
    /// Where the bytes go.
    pub vault: Vault,
    /// Where new files are told.
    pub signal: MediaSignal,
    /// This process.
    pub node: NodeId,
    /// Whether files are fetched at all.
    pub enabled: bool,
    /// Turns true when the process has to end.
    pub stop: watch::Receiver<bool>,
}

/// Fetches and sweeps until the process has to end. What is being fetched then is given back.
pub async fn run(options: FetchOptions) {
    let sweeps = sweep_by_the_clock(
        options.base.clone(),
        options.vault.clone(),
        options.stop.clone(),
    );
    tokio::join!(fetch_what_is_due(options), sweeps);
}

/// Beside the fetching, because a sweep may have thousands of objects to delete.
async fn sweep_by_the_clock(base: Base, vault: Vault, mut stop: watch::Receiver<bool>) {
    let mut sweeps = tokio::time::interval(SWEEP_EVERY);
    sweeps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*stop.borrow() {
        tokio::select! {
            _ = sweeps.tick() => {}
            _ = stop.changed() => continue,
        }
        tokio::select! {
            swept = sweep::sweep(&base, &vault) => if let Err(error) = swept {
                tracing::warn!(%error, "old files could not be deleted; that is tried again");
            },
            _ = stop.changed() => {}
        }
    }
}

async fn fetch_what_is_due(options: FetchOptions) {
    let mut stop = options.stop.clone();
    let signal = options.signal.clone();
    let fetcher = Arc::new(Fetcher {
        base: options.base,
        directory: options.directory,
        client: options.client,
        endpoints: options.endpoints,
        vault: options.vault,
        node: options.node,
        failures: Failures::default(),
    });
    let mut flights: JoinSet<TenantId> = JoinSet::new();
    let mut by_tenant: HashMap<TenantId, usize> = HashMap::new();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut wanted = true;
    while !*stop.borrow() {
        if wanted && options.enabled {
            wanted = false;
            if let Err(error) = fetcher.start(&mut flights, &mut by_tenant).await {
                tracing::warn!(%error, "received files could not be claimed; that is tried again");
            }
        }
        tokio::select! {
            () = signal.0.notified() => wanted = true,
            _ = look.tick() => wanted = true,
            Some(landed) = flights.join_next() => {
                wanted = true;
                match landed {
                    Ok(tenant) => if let Some(flying) = by_tenant.get_mut(&tenant) {
                        *flying = flying.saturating_sub(1);
                        if *flying == 0 {
                            by_tenant.remove(&tenant);
                        }
                    },
                    // The lease ends, and somebody tries again.
                    Err(error) => {
                        tracing::error!(%error, "fetching a file ended without a result");
                        by_tenant.clear();
                    }
                }
            }
            _ = stop.changed() => {}
        }
    }
    flights.shutdown().await;
    let (node, now) = (fetcher.node, fetcher.base.clock.now());
    let release = fetcher
        .base
        .store
        .write(move |tx| media::release(tx, node, now));
    if let Err(error) = release.await {
        tracing::warn!(%error, "what was being fetched waits for the end of its lease");
    }
}

struct Fetcher {
    base: Base,
    directory: DirectoryHandle,
    client: HttpClient,
    endpoints: Arc<Endpoints>,
    vault: Vault,
    node: NodeId,
    failures: Failures,
}

/// Why an attempt brought no file.
#[derive(Debug)]
struct Missed {
    error: ProviderError,
    /// The provider answered that it does not give the file: it may count such answers.
    answered: bool,
    /// Not before, and the attempt does not count.
    wait: Option<Duration>,
}

impl Missed {
    fn own(class: ErrorClass, message: &str) -> Self {
        Self {
            error: ProviderError::own(class, message),
            answered: false,
            wait: None,
        }
    }

    fn answered(error: ProviderError) -> Self {
        Self {
            error,
            answered: true,
            wait: None,
        }
    }
}

impl From<VaultError> for Missed {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::TooLarge(_) => Self::own(ErrorClass::Media, "it is too large"),
            // What went wrong inside is for the log.
            error => {
                tracing::error!(%error, "a received file could not be kept");
                Self::own(ErrorClass::Retry, "the store of files does not work")
            }
        }
    }
}

impl From<DownloadError> for Missed {
    fn from(error: DownloadError) -> Self {
        let class = match error {
            DownloadError::TooLarge | DownloadError::Refused(_) => ErrorClass::Media,
            DownloadError::Broke(_) => ErrorClass::Retry,
        };
        Self::own(class, &error.to_string())
    }
}

impl Fetcher {
    /// Claims and starts as much as there is room for.
    async fn start(
        self: &Arc<Self>,
        flights: &mut JoinSet<TenantId>,
        by_tenant: &mut HashMap<TenantId, usize>,
    ) -> Result<(), StoreError> {
        let room = FETCHES_MAX.saturating_sub(flights.len());
        if room == 0 {
            return Ok(());
        }
        let clock = Arc::clone(&self.base.clock);
        let due = self
            .base
            .store
            .read(move |tx| media::due(tx, LOOKED_AT, clock.now()))
            .await?;
        let mut wanted = Vec::new();
        let mut more = by_tenant.clone();
        for (tenant, id) in due {
            let flying = more.entry(tenant).or_default();
            if wanted.len() < room && *flying < FETCHES_PER_TENANT_MAX {
                *flying += 1;
                wanted.push((tenant, id, self.base.ids.next()));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let (base, node) = (self.base.clone(), self.node);
        let claimed = self
            .base
            .store
            .write(move |tx| {
                let now = base.clock.now();
                media::claim(tx, &base.keyring, &wanted, node, now.plus(LEASE), now)
            })
            .await?;
        for one in claimed {
            *by_tenant.entry(one.tenant_id).or_default() += 1;
            let fetcher = Arc::clone(self);
            flights.spawn(async move {
                let tenant = one.tenant_id;
                fetcher.fetch(one).await;
                tenant
            });
        }
        Ok(())
    }

    /// One attempt, from the claim to its end on record.
    async fn fetch(&self, claimed: Claimed) {
        let channel = self
            .directory
            .current()
            .channel(claimed.channel_id)
            .cloned();
        let provider = channel
            .as_ref()
            .map_or("none", |channel| channel.kind.as_str());
        let outcome = match &channel {
            Some(channel) => self.attempt(channel, &claimed).await,
            None => Err(Missed {
                wait: Some(NO_CHANNEL),
                ..Missed::own(ErrorClass::Retry, "the channel of the file is not there")
            }),
        };
        let result = match &outcome {
            Ok(stored) => {
                ::metrics::counter!(metrics::MEDIA_FETCHED_BYTES).increment(stored.size);
                "stored"
            }
            Err(missed) if self.again(&claimed, missed).is_some() => "again",
            Err(missed) => {
                tracing::warn!(
                    media = %claimed.id,
                    tenant = %claimed.tenant_id,
                    class = missed.error.class.as_str(),
                    "a received file cannot be fetched"
                );
                "failed"
            }
        };
        ::metrics::counter!(metrics::MEDIA_FETCHES, "provider" => provider, "result" => result)
            .increment(1);
        self.record(claimed, outcome).await;
    }

    /// When to try again, and whether the attempt counts; `None` when there is no use in it.
    fn again(&self, claimed: &Claimed, missed: &Missed) -> Option<(Timestamp, bool)> {
        let now = self.base.clock.now();
        if let Some(wait) = missed.wait {
            let due_at = now.plus(wait);
            return (due_at < claimed.give_up_at).then_some((due_at, false));
        }
        let gone = missed.error.class == ErrorClass::Media
            && matches!(
                missed.error.code.as_deref(),
                Some("401" | "403" | "404" | "410")
            );
        let hopeful = is_passing(missed.error.class) || (gone && claimed.attempts < GONE_ATTEMPTS);
        let due_at = now.plus(fetch_again(claimed.attempts, jitter(claimed)));
        (hopeful && due_at < claimed.give_up_at).then_some((due_at, true))
    }

    async fn attempt(&self, channel: &Channel, claimed: &Claimed) -> Result<Stored, Missed> {
        let api = media_api(channel.kind);
        if let Some(guard) = api.read_guard()
            && let Some(rest) = self
                .failures
                .rest(claimed.channel_id, guard, self.base.clock.now())
        {
            return Err(Missed {
                wait: Some(rest),
                ..Missed::own(
                    ErrorClass::Later,
                    "too many files of this channel could not be read; reading rests so that the provider does not block it",
                )
            });
        }
        let outcome = self.steps(api, channel, claimed).await;
        if let (Err(missed), Some(guard)) = (&outcome, api.read_guard())
            && missed.answered
        {
            self.failures
                .note(claimed.channel_id, guard, self.base.clock.now());
        }
        outcome
    }

    async fn steps(
        &self,
        api: &dyn MediaApi,
        channel: &Channel,
        claimed: &Claimed,
    ) -> Result<Stored, Missed> {
        let (account, endpoints) = (&channel.account, &*self.endpoints);
        let mut step = api
            .fetch(account, endpoints, &claimed.source)
            .map_err(|error| Missed::own(ErrorClass::Media, &error.to_string()))?;
        for _ in 0..STEPS_MAX {
            step = match step {
                FetchStep::Ask(request) => {
                    let answer = self.client.call(request, ASK_DEADLINE).await;
                    api.located(account, endpoints, &answer)
                        .map_err(Missed::answered)?
                }
                FetchStep::Download(request) => {
                    match self.download(channel, claimed, request).await? {
                        Got::File(stored) => return Ok(stored),
                        Got::Elsewhere { from, location } => api
                            .redirected(endpoints, &from, &location)
                            .map_err(Missed::answered)?,
                    }
                }
            };
        }
        Err(Missed::own(
            ErrorClass::Media,
            "the provider sends us from place to place",
        ))
    }

    async fn download(
        &self,
        channel: &Channel,
        claimed: &Claimed,
        request: HttpRequest,
    ) -> Result<Got, Missed> {
        let guard = Guard::allowing(own_origin(channel.kind, &self.endpoints));
        let address = guard.check(&request.url).map_err(DownloadError::Refused)?;
        let most = received_bytes(claimed.kind);
        let limits = DownloadLimits {
            bytes: most,
            deadline: DOWNLOAD_DEADLINE,
            silence: SILENCE,
        };
        let from = request.url.clone();
        // Nothing but credentials goes in a header.
        let with_credentials = !request.headers.is_empty();
        let mut download = self.client.open(request, &address, limits).await?;
        if (300..400).contains(&download.status) {
            let location = download
                .headers
                .get(http::header::LOCATION)
                .and_then(|value| value.to_str().ok())
                .ok_or_else(|| Missed::own(ErrorClass::Media, "the provider redirects nowhere"))?
                .to_owned();
            return Ok(Got::Elsewhere { from, location });
        }
        if let Some(error) = download_error(download.status, with_credentials) {
            return Err(Missed::answered(error));
        }
        let mut writer = self.vault.write(claimed.tenant_id, claimed.object, most);
        loop {
            let piece = match download.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => {
                    writer.abort().await;
                    return Err(error.into());
                }
            };
            if let Err(error) = writer.write(&piece).await {
                writer.abort().await;
                return Err(error.into());
            }
        }
        Ok(Got::File(
            writer.finish(claimed.source.mime_type.as_deref()).await?,
        ))
    }

    async fn record(&self, claimed: Claimed, outcome: Result<Stored, Missed>) {
        let end = match outcome {
            Ok(stored) => End::Stored(stored),
            Err(missed) => match self.again(&claimed, &missed) {
                Some((due_at, counts)) => End::Again {
                    error: missed.error,
                    due_at,
                    counts,
                },
                None => End::Failed(missed.error),
            },
        };
        let mut pause = Duration::from_millis(50);
        for _ in 0..RECORD_ATTEMPTS {
            let (base, claimed, end) = (self.base.clone(), claimed.clone(), end.clone());
            let recorded = self
                .base
                .store
                .write(move |tx| record(tx, &base, &claimed, &end));
            match recorded.await {
                Ok(()) => return,
                Err(StoreError::Refused(reason)) => {
                    tracing::warn!(
                        reason,
                        "a file was fetched for nothing; it is fetched again"
                    );
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the end of a fetch could not be recorded yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }
}

enum Got {
    File(Stored),
    Elsewhere { from: String, location: String },
}

#[derive(Clone)]
enum End {
    Stored(Stored),
    Again {
        error: ProviderError,
        due_at: Timestamp,
        counts: bool,
    },
    Failed(ProviderError),
}

fn record(tx: &mut Tx<'_>, base: &Base, claimed: &Claimed, end: &End) -> Result<(), StoreError> {
    let now = base.clock.now();
    let (ended, error) = match end {
        End::Stored(stored) => (media::stored(tx, claimed, stored, now)?, None),
        End::Again {
            error,
            due_at,
            counts,
        } => return media::again(tx, claimed, error, *counts, *due_at, now),
        End::Failed(error) => (media::failed(tx, claimed, error, now)?, Some(error.clone())),
    };
    if !ended {
        return Ok(());
    }
    let event = NewOutboxEvent {
        tenant_id: claimed.tenant_id,
        id: OutboxEventId::new(&*base.ids),
        event: DomainEvent::MediaFetched {
            media_id: claimed.id,
            message_id: claimed.message_id,
            error,
        },
    };
    outbox::append(tx, &[event], now)
}

/// A number in `0.0..1.0` from the random part of the object's id.
fn jitter(claimed: &Claimed) -> f64 {
    let [.., high, low] = *claimed.object.as_bytes();
    f64::from(u16::from_be_bytes([high, low])) / 65_536.0
}

/// Failed reads by channel, as far as this process knows. Only channels whose provider counts them are in it.
#[derive(Debug, Default)]
struct Failures(Mutex<HashMap<ChannelId, VecDeque<Timestamp>>>);

impl Failures {
    fn note(&self, channel: ChannelId, guard: ReadGuard, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = all.entry(channel).or_default();
        failed.push_back(now);
        while failed.len() > guard.failures {
            failed.pop_front();
        }
    }

    /// How long reading has to rest.
    fn rest(&self, channel: ChannelId, guard: ReadGuard, now: Timestamp) -> Option<Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = all.get_mut(&channel)?;
        let full = failed.len() >= guard.failures;
        let (first, last) = (*failed.front()?, *failed.back()?);
        if !full || last.since(first) > guard.within {
            return None;
        }
        let until = last.plus(guard.rest);
        if now >= until {
            all.remove(&channel);
            return None;
        }
        Some(until.since(now).max(Duration::from_secs(1)))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn reading_rests_after_too_many_failures() {
        let guard = ReadGuard {
            failures: 3,
            within: Duration::from_secs(60),
            rest: Duration::from_secs(30),
        };
        let channel = ChannelId::from_uuid(Uuid::from_u128(1));
        let failures = Failures::default();
        let at = Timestamp::from_seconds;
        for second in [0, 100, 110] {
            failures.note(channel, guard, at(second));
        }
        assert_eq!(
            failures.rest(channel, guard, at(111)),
            None,
            "the first is too old"
        );
        failures.note(channel, guard, at(120));
        assert_eq!(
            failures.rest(channel, guard, at(121)),
            Some(Duration::from_secs(29))
        );
        let other = ChannelId::from_uuid(Uuid::from_u128(2));
        assert_eq!(failures.rest(other, guard, at(121)), None);
        assert_eq!(failures.rest(channel, guard, at(150)), None, "rested");
        failures.note(channel, guard, at(151));
        assert_eq!(
            failures.rest(channel, guard, at(152)),
            None,
            "it starts anew"
        );
    }
}
