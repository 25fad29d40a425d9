//! The worker of one partition: read what waits, commit its effects, wait for more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use waxwing_core::ids::{AttemptId, NodeId};
use waxwing_core::rates::RateCard;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::inbox::{self, Finished, PARTITIONS, PendingEvent};
use waxwing_store::domain::nodes::{self, Lease};
use waxwing_store::domain::queue::{self, Hint};
use waxwing_store::{StoreError, Tx};

use super::apply::{self, Batch, NOT_THE_FRONT, Outcome, STALE_DIRECTORY, Tools};
use super::batch::{Event, Heard};
use super::probe::Probe;
use crate::deliver::{Attempts, DeliverySignal};
use crate::directory::DirectoryHandle;
use crate::ingest::InboxSignal;
use crate::media::MediaSignal;
use crate::tenants::ConfigCache;
use crate::{Base, metrics};

/// Requests of one transaction. Larger batches would make webhooks wait for the writer.
const BATCH_MAX: u32 = 64;
/// How long a partition belongs to a node without a word from it.
const LEASE: Duration = Duration::from_secs(15);
const RENEW_AFTER: Duration = Duration::from_secs(5);
/// Nodes that were silent for longer do not count when partitions are shared out.
const NODE_ALIVE: Duration = Duration::from_secs(30);
/// Signals only make it earlier: without one a worker looks this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When the oldest request was still there after this many processes in a row had died, the requests of its batch are
/// read by a child process first: one of them may be what kills.
const CRASHES_SUSPICIOUS: i64 = 4;
/// A request is kept aside after so many deaths at the front, whatever a child process says: reading it may be harmless
/// and what follows not.
const CRASHES_MAX: i64 = 100;
/// While acknowledgements wait, workers that are behind take turns: one handles so many requests and rests, several times
/// as long as that took, before the next one may.
const PRESSED_BATCH: usize = 24;
const STEP_BACK: u32 = 4;
const STEP_BACK_MAX: Duration = Duration::from_millis(200);
/// A request is kept aside when handling it alone failed this often in a row.
const ERRORS_MAX: u32 = 5;
/// Bodies of more bytes are parsed on a blocking thread.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// What the workers need.
#[derive(Clone)]
pub struct ConverseOptions {
    /// The tools of every use case.
    pub base: Base,
    /// The channels.
    pub directory: DirectoryHandle,
    /// Where ingest tells of arrivals.
    pub inbox: InboxSignal,
    /// Where delivery learns of replies.
    pub delivery: DeliverySignal,
    /// Where the worker for files learns of received ones.
    pub media: MediaSignal,
    /// How long received files are kept; `None` when they are not fetched.
    pub files: Option<Duration>,
    /// Messages of a contact that reach the bot within a minute; `None` for all.
    pub flood: Option<u32>,
    /// This process.
    pub node: NodeId,
    /// The process before this one ended without a word: what it was handling may have ended it.
    pub unclean: bool,
    /// What messages cost.
    pub rates: Arc<RateCard>,
    /// Reads suspicious requests at the expense of a child process.
    pub probe: Probe,
    /// Turns true when the process has to end.
    pub stop: watch::Receiver<bool>,
}

/// Runs the workers of all partitions until the process has to end. They finish the batch they are at. Returns early
/// when one of them dies.
pub async fn run(options: ConverseOptions) {
    let held = Arc::new(AtomicU32::new(0));
    let configs = ConfigCache::default();
    let turns = Arc::new(Mutex::new(()));
    let mut workers = JoinSet::new();
    for partition in 0..PARTITIONS {
        let tools = Arc::new(Tools {
            base: options.base.clone(),
            configs: configs.clone(),
            heard: Heard::default(),
            rates: Arc::clone(&options.rates),
            delivery: options.delivery.clone(),
            node: options.node,
            files: options.files,
            flood: options.flood,
        });
        let worker = Worker {
            partition,
            options: options.clone(),
            tools,
            held: Arc::clone(&held),
            turns: Arc::clone(&turns),
            lease: None,
            suspicious: options.unclean,
            caught_up: false,
            in_doubt: None,
        };
        workers.spawn(worker.run());
    }
    while let Some(ended) = workers.join_next().await {
        // A partition without its worker would stand still unseen: whoever started this has to know.
        if let Err(error) = ended {
            tracing::error!(%error, "a conversation worker died");
            return;
        }
    }
}

struct Held {
    lease: Lease,
    renew_at: Timestamp,
}

struct Worker {
    partition: u16,
    options: ConverseOptions,
    tools: Arc<Tools>,
    held: Arc<AtomicU32>,
    /// Whose turn it is while acknowledgements wait.
    turns: Arc<Mutex<()>>,
    lease: Option<Held>,
    /// The process before this one died, perhaps of what waits at the front.
    suspicious: bool,
    /// What waits in the database is at most what has arrived since.
    caught_up: bool,
    /// Replies that were claimed by a transaction whose commit may have happened unseen, with the lease that it was
    /// made under. Nothing is handled before they are taken back.
    in_doubt: Option<(Lease, Vec<(Hint, AttemptId)>)>,
}

impl Worker {
    async fn run(mut self) {
        let mut failures = 0u32;
        while !*self.options.stop.borrow() {
            let progressed = match self.turn().await {
                Ok(progressed) => {
                    failures = 0;
                    progressed
                }
                Err(error) => {
                    failures += 1;
                    self.report(&error, failures);
                    false
                }
            };
            if !progressed {
                let pause = if failures == 0 {
                    LOOK_EVERY
                } else {
                    Duration::from_millis(100) * failures.min(10)
                };
                if self.rest(pause, failures == 0).await {
                    // Other processes append too, and tell nobody here.
                    self.caught_up = false;
                }
            }
        }
        if let Err(error) = self.release_in_doubt().await {
            tracing::warn!(%error, partition = self.partition, "claims in doubt were not taken back; they show an unknown outcome");
        }
        if let Some(held) = self.lease.take() {
            let lease = held.lease;
            if let Err(error) = self
                .base()
                .store
                .write(move |tx| nodes::release(tx, &lease))
                .await
            {
                tracing::warn!(%error, partition = self.partition, "a lease was not given back; it expires by itself");
            }
        }
    }

    fn base(&self) -> &Base {
        &self.options.base
    }

    fn report(&mut self, error: &StoreError, failures: u32) {
        if *error == StoreError::Refused("the lease was lost") {
            self.drop_lease();
        }
        if failures == 1 || failures.is_multiple_of(50) {
            tracing::warn!(%error, partition = self.partition, failures, "handling the inbox failed; it goes on later");
        }
    }

    fn drop_lease(&mut self) {
        if self.lease.take().is_some() {
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Rests until something arrives; `true` when the pause is over.
    async fn rest(&mut self, pause: Duration, wakeable: bool) -> bool {
        let signal = self.options.inbox.clone();
        let partition = self.partition;
        tokio::select! {
            () = signal.wait(partition), if wakeable => false,
            () = tokio::time::sleep(pause) => true,
            _ = self.options.stop.changed() => false,
        }
    }

    /// Handles one batch; `false` when nothing waits or the partition belongs to another node.
    async fn turn(&mut self) -> Result<bool, StoreError> {
        self.release_in_doubt().await?;
        let Some(lease) = self.hold_lease().await? else {
            self.caught_up = false;
            return Ok(false);
        };
        let (mut pending, handed_over) = self.waiting().await?;
        if pending.is_empty() {
            self.suspicious = false;
            return Ok(false);
        }
        if self.suspicious {
            self.suspicious = false;
            if self.blame_front(&pending).await? >= CRASHES_SUSPICIOUS {
                for event in pending {
                    self.alone_after_crash(&lease, event).await?;
                }
                return Ok(true);
            }
        }
        let behind = pending.len() >= BATCH_MAX as usize;
        let mut turn = None;
        if behind && self.options.inbox.under_pressure() {
            pending.truncate(PRESSED_BATCH);
            turn = Some(Arc::clone(&self.turns).lock_owned().await);
        }
        let started = Instant::now();
        match self.commit(&lease, &pending, handed_over).await {
            Ok(outcome) => {
                self.caught_up = !behind;
                self.announce(outcome);
                if turn.is_some() {
                    self.step_back(started.elapsed()).await;
                }
            }
            Err(error) if error == NOT_THE_FRONT => {}
            Err(error) if error == STALE_DIRECTORY => {
                self.options.directory.reload(self.base()).await?
            }
            Err(error) if passes(&error) => return Err(error),
            // Something in the batch is bad. Each on its own, the good ones come through.
            Err(_) => {
                for event in pending {
                    self.alone(&lease, event).await?;
                }
            }
        }
        Ok(true)
    }

    /// The oldest requests that wait, and whether they were handed over by ingest instead of read. That is possible
    /// while the worker keeps up; whether they are the oldest ones indeed is checked in the transaction.
    async fn waiting(&mut self) -> Result<(Vec<PendingEvent>, bool), StoreError> {
        let partition = self.partition;
        // Taken in any case, before the look: what is left there afterwards has arrived since.
        let fresh = self.options.inbox.take_fresh(partition);
        if std::mem::take(&mut self.caught_up)
            && !self.suspicious
            && let Some(fresh) = fresh
        {
            self.caught_up = fresh.is_empty();
            return Ok((fresh, true));
        }
        let pending = self
            .base()
            .store
            .read(move |tx| inbox::pending(tx, partition, None, BATCH_MAX))
            .await?;
        self.caught_up = pending.is_empty();
        Ok((pending, false))
    }

    /// Acknowledgements come first: they share the database's writer with what handles requests.
    async fn step_back(&mut self, took: Duration) {
        tokio::select! {
            () = tokio::time::sleep((took * STEP_BACK).min(STEP_BACK_MAX)) => {}
            _ = self.options.stop.changed() => {}
        }
    }

    async fn hold_lease(&mut self) -> Result<Option<Lease>, StoreError> {
        let now = self.base().clock.now();
        if let Some(held) = &self.lease {
            if now < held.renew_at {
                return Ok(Some(held.lease.clone()));
            }
            return self.renew(now).await;
        }
        let (held, node) = (self.held.load(Ordering::Relaxed), self.options.node);
        let name = format!("inbox-{}", self.partition);
        let acquired = self
            .base()
            .store
            .write(move |tx| {
                if held >= fair_share(tx, now)? {
                    return Ok(None);
                }
                nodes::acquire(tx, &name, node, now.plus(LEASE), now)
            })
            .await?;
        let Some(lease) = acquired else {
            return Ok(None);
        };
        self.held.fetch_add(1, Ordering::Relaxed);
        self.lease = Some(Held {
            lease: lease.clone(),
            renew_at: now.plus(RENEW_AFTER),
        });
        Ok(Some(lease))
    }

    async fn renew(&mut self, now: Timestamp) -> Result<Option<Lease>, StoreError> {
        let Some(held) = &self.lease else {
            return Ok(None);
        };
        let (lease, count) = (held.lease.clone(), self.held.load(Ordering::Relaxed));
        let kept = self
            .base()
            .store
            .write({
                let lease = lease.clone();
                move |tx| {
                    if count > fair_share(tx, now)? {
                        nodes::release(tx, &lease)?;
                        return Ok(false);
                    }
                    nodes::renew(tx, &lease, now.plus(LEASE))
                }
            })
            .await?;
        if !kept {
            self.drop_lease();
            return Ok(None);
        }
        self.lease = Some(Held {
            lease: lease.clone(),
            renew_at: now.plus(RENEW_AFTER),
        });
        Ok(Some(lease))
    }

    async fn commit(
        &mut self,
        lease: &Lease,
        pending: &[PendingEvent],
        handed_over: bool,
    ) -> Result<Outcome, StoreError> {
        let events = self.open(pending).await?;
        let (tools, fence) = (Arc::clone(&self.tools), lease.clone());
        let directory = self.options.directory.current();
        let started = events.first().map(|event| event.received_at);
        let batch = Batch {
            events,
            handed_over: handed_over.then_some(self.partition),
        };
        let attempts = Attempts::default();
        let begun = attempts.clone();
        let outcome = self
            .base()
            .store
            .write_bulk(move |tx| apply::apply(tx, &tools, &fence, &directory, &batch, &begun))
            .await;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                self.doubt(lease, attempts.take());
                return Err(error);
            }
        };
        if let Some(started) = started {
            let lag = self.base().clock.now().since(started);
            ::metrics::histogram!(metrics::WEBHOOK_LAG).record(lag.as_secs_f64());
        }
        Ok(outcome)
    }

    /// Whatever became of the transaction: what it claimed was not handed to anybody.
    fn doubt(&mut self, lease: &Lease, attempts: Vec<(Hint, AttemptId)>) {
        if attempts.is_empty() {
            return;
        }
        let lease = || (lease.clone(), Vec::new());
        self.in_doubt.get_or_insert_with(lease).1.extend(attempts);
    }

    /// Takes back claims that were made without this worker learning of it.
    async fn release_in_doubt(&mut self) -> Result<(), StoreError> {
        let Some((lease, claims)) = &self.in_doubt else {
            return Ok(());
        };
        let hints: Vec<Hint> = claims.iter().map(|(hint, _)| *hint).collect();
        let (lease, claims) = (lease.clone(), claims.clone());
        let clock = Arc::clone(&self.base().clock);
        let released = self
            .base()
            .store
            .write(move |tx| {
                // The transaction in doubt holds the lease's row until it has ended, one way or the other. Its messages
                // are visible then; whether the lease is still ours does not matter.
                match nodes::fence(tx, &lease) {
                    Ok(()) | Err(StoreError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
                queue::release(tx, &claims, clock.now())
            })
            .await?;
        if released > 0 {
            tracing::warn!(
                messages = released,
                "claims whose commit was in doubt were taken back"
            );
            self.options.delivery.hint(&hints);
        }
        self.in_doubt = None;
        Ok(())
    }

    async fn open(&self, pending: &[PendingEvent]) -> Result<Vec<Event>, StoreError> {
        let keyring = self.base().keyring.clone();
        let bytes: usize = pending.iter().map(|event| event.body_sealed.len()).sum();
        let open = move |pending: &[PendingEvent]| {
            pending
                .iter()
                .map(|event| Event::open(&keyring, event))
                .collect()
        };
        if bytes <= INLINE_BYTES_MAX {
            return Ok(open(pending));
        }
        let pending = pending.to_vec();
        tokio::task::spawn_blocking(move || open(&pending))
            .await
            .map_err(|_| StoreError::Panicked)
    }

    /// Notes, before anything is done, that a process died while this request was the oldest; how often that was.
    async fn blame_front(&self, pending: &[PendingEvent]) -> Result<i64, StoreError> {
        let Some(front) = pending.first() else {
            return Ok(0);
        };
        let id = front.id;
        self.base()
            .store
            .write(move |tx| inbox::count_crash(tx, id))
            .await?;
        Ok(front.crashes + 1)
    }

    /// Handles a request alone that a process may have died of, after a child process has survived reading it.
    async fn alone_after_crash(
        &mut self,
        lease: &Lease,
        event: PendingEvent,
    ) -> Result<(), StoreError> {
        let deadly = match inbox::open_body(&self.base().keyring, &event) {
            Ok(body) => {
                let probe = &self.options.probe;
                !probe.survives(event.provider, &event.query, body).await
            }
            Err(_) => false,
        };
        if deadly || event.crashes >= CRASHES_MAX {
            let reason = "a process that handles this request dies";
            return self.quarantine(event, reason).await;
        }
        self.alone(lease, event).await
    }

    async fn alone(&mut self, lease: &Lease, event: PendingEvent) -> Result<(), StoreError> {
        let event = [event];
        let mut errors = 0;
        loop {
            match self.commit(lease, &event, false).await {
                Ok(outcome) => {
                    self.announce(outcome);
                    return Ok(());
                }
                Err(error) if error == STALE_DIRECTORY => {
                    self.options.directory.reload(self.base()).await?
                }
                Err(error) if passes(&error) => return Err(error),
                Err(error) => {
                    errors += 1;
                    if errors >= ERRORS_MAX {
                        tracing::error!(%error, event = %event[0].id, "a webhook request is kept aside");
                        let [event] = event;
                        return self
                            .quarantine(event, "handling this request failed each time")
                            .await;
                    }
                }
            }
        }
    }

    async fn quarantine(
        &self,
        event: PendingEvent,
        reason: &'static str,
    ) -> Result<(), StoreError> {
        let now = self.base().clock.now();
        let finished = [Finished {
            id: event.id,
            quarantine: Some(reason.to_owned()),
        }];
        self.base()
            .store
            .write(move |tx| inbox::finish(tx, &finished, now))
            .await?;
        ::metrics::counter!(metrics::WEBHOOK_QUARANTINED).increment(1);
        Ok(())
    }

    fn announce(&self, outcome: Outcome) {
        self.options.delivery.send_now(outcome.taken);
        self.options.delivery.hint(&outcome.hints);
        for reason in &outcome.quarantined {
            tracing::warn!(reason, "a webhook request is kept aside");
        }
        ::metrics::counter!(metrics::WEBHOOK_QUARANTINED)
            .increment(outcome.quarantined.len() as u64);
        for (result, count) in [
            ("applied", outcome.applied),
            ("duplicate", outcome.duplicates),
            ("quarantined", outcome.dead),
            ("stored", outcome.stored_only),
        ] {
            if count > 0 {
                ::metrics::counter!(metrics::WEBHOOK_ITEMS, "result" => result).increment(count);
            }
        }
        for (status, result) in outcome.statuses {
            ::metrics::counter!(metrics::STATUSES, "status" => status, "result" => result)
                .increment(1);
        }
        for event_type in outcome.events {
            ::metrics::counter!(metrics::OUTBOX_CREATED, "event_type" => event_type).increment(1);
        }
        if outcome.settled_unknown > 0 {
            ::metrics::counter!(metrics::UNKNOWN_RESOLVED_LATE).increment(outcome.settled_unknown);
        }
        if outcome.files > 0 {
            self.options.media.wake();
        }
    }
}

/// Errors that are not about what is in the batch: the same batch is tried again later.
fn passes(error: &StoreError) -> bool {
    error.retriable() || matches!(error, StoreError::UnknownCommit | StoreError::Refused(_))
}

/// How many partitions a node may hold: all of them shared out over the nodes that live.
fn fair_share(tx: &mut Tx<'_>, now: Timestamp) -> Result<u32, StoreError> {
    let nodes = nodes::workers_since(tx, now.minus(NODE_ALIVE))?.max(1);
    Ok(u32::from(PARTITIONS).div_ceil(nodes))
}
