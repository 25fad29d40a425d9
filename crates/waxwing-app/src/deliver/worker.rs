//! The delivery worker: keeps as many attempts in flight as it may, and the next ones ready.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use waxwing_core::delivery::Purpose;
use waxwing_core::ids::{AttemptId, ChannelId, NodeId, TenantId};
use waxwing_core::time::Timestamp;
use waxwing_providers::http::HttpClient;
use waxwing_providers::messaging::Endpoints;
use waxwing_store::domain::queue::{self, Hint};
use waxwing_store::{Batcher, StoreError};

use super::assets::Remembered;
use super::direct::{self, Holds, Taken};
use super::held;
use super::media::UPLOADS_MAX;
use super::pace::{Limits, Permit};
use super::ready::Ready;
use super::record::{self, Ended, Recorded};
use super::sender::Sender;
use super::{DeliveryInbox, Slots};
use crate::directory::DirectoryHandle;
use crate::media::Files;
use crate::{Base, metrics};

/// Messages of one claim.
const CLAIM_MAX: usize = 256;
/// Hints only make it earlier: without one the worker looks this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a process that has to end waits for answers of providers.
const DRAIN_MAX: Duration = Duration::from_secs(25);

/// What the worker needs.
pub struct DeliverOptions {
    /// The tools of every use case.
    pub base: Base,
    /// The channels.
    pub directory: DirectoryHandle,
    /// The outbound client.
    pub client: HttpClient,
    /// Where the providers are.
    pub endpoints: Arc<Endpoints>,
    /// The files of tenants.
    pub files: Files,
    /// Where hints arrive.
    pub inbox: DeliveryInbox,
    /// This process.
    pub node: NodeId,
    /// Turns true when the process has to end.
    pub stop: watch::Receiver<bool>,
}

/// Runs the worker until the process has to end; then nothing is claimed any more, and what is in flight gets
/// `DRAIN_MAX` to end.
pub async fn run(options: DeliverOptions) {
    let sender = Sender {
        base: options.base.clone(),
        directory: options.directory,
        client: options.client,
        endpoints: options.endpoints,
        assets: Remembered::default(),
        files: options.files,
        uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
    };
    let mut worker = Worker {
        recorder: record::start(&options.base),
        base: options.base,
        sender: Arc::new(sender),
        node: options.node,
        slots: options.inbox.slots.clone(),
        limits: Arc::clone(&options.inbox.limits),
        inbox: options.inbox,
        ready: Ready::default(),
        flights: JoinSet::new(),
        look_from: None,
        next_due: None,
        hold_off_until: None,
        in_doubt: Vec::new(),
    };
    worker.inbox.look.wanted.store(true, Ordering::Release);
    worker.slots.open();
    worker.work(options.stop).await;
    worker.slots.close();
    worker.drain().await;
}

struct Worker {
    base: Base,
    sender: Arc<Sender>,
    recorder: Batcher<Ended, Recorded>,
    node: NodeId,
    inbox: DeliveryInbox,
    slots: Slots,
    limits: Arc<dyn Limits>,
    ready: Ready,
    flights: JoinSet<Landed>,
    look_from: Option<TenantId>,
    /// A message is due then, which is before the next look by the clock.
    next_due: Option<Timestamp>,
    /// The database did not answer: wait a little before the next claim.
    hold_off_until: Option<Instant>,
    /// Claims whose commit may have happened unseen. Nothing is claimed before they are taken back.
    in_doubt: Vec<(Hint, AttemptId)>,
}

/// A flight that has ended and is recorded.
struct Landed {
    channel_id: ChannelId,
    next: Option<Hint>,
}

impl Worker {
    async fn work(&mut self, mut stop: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut hints = Vec::with_capacity(CLAIM_MAX);
        let slots = self.slots.clone();
        while !*stop.borrow() {
            if let Err(error) = self.fill().await {
                tracing::warn!(%error, "claiming messages failed; they are sent later");
                self.hold_off_until = Some(Instant::now() + Duration::from_millis(200));
                self.inbox.look.wanted.store(true, Ordering::Release);
            }
            ::metrics::gauge!(metrics::SENDS_IN_FLIGHT).set(count(self.flights.len()));
            ::metrics::gauge!(metrics::PACED_CHANNELS).set(count(self.ready.resting()));
            let rest = self.rest();
            tokio::select! {
                received = self.inbox.hints.recv_many(&mut hints, CLAIM_MAX) => {
                    if received == 0 {
                        return;
                    }
                    for hint in hints.drain(..) {
                        self.push(hint);
                    }
                }
                Some(taken) = self.inbox.taken.recv() => self.start(taken),
                () = self.inbox.look.wake.notified() => {}
                () = slots.returned() => {}
                () = tokio::time::sleep(rest) => {}
                Some(landed) = self.flights.join_next() => self.land(landed),
                _ = look.tick() => self.inbox.look.wanted.store(true, Ordering::Release),
                _ = stop.changed() => {}
            }
            while let Ok(taken) = self.inbox.taken.try_recv() {
                self.start(taken);
            }
            // Others may have landed in the meantime: one claim for all of them.
            while let Some(landed) = self.flights.try_join_next() {
                self.land(landed);
            }
        }
    }

    fn push(&mut self, hint: Hint) {
        if hint.priority <= i64::from(Purpose::Reply.priority()) {
            self.slots.reply_waits(hint.channel_id);
        }
        if !self.ready.push(hint) {
            self.inbox.look.wanted.store(true, Ordering::Release);
        }
    }

    fn land(&mut self, landed: Result<Landed, tokio::task::JoinError>) {
        let landed = match landed {
            Ok(landed) => landed,
            // Its message stays `sending` until the process ends and becomes a visible unknown then.
            Err(error) => {
                tracing::error!(%error, "an attempt to send ended without a result");
                return;
            }
        };
        self.ready.answered(landed.channel_id);
        if let Some(hint) = landed.next {
            self.push(hint);
        }
    }

    /// How long it is until something that rests may go, or something else is due.
    fn rest(&self) -> Duration {
        if self.slots.free() == 0 || self.hold_off_until.is_some() {
            return LOOK_EVERY;
        }
        let until = self
            .ready
            .rests_until()
            .into_iter()
            .chain(self.next_due)
            .min();
        let rest = until.map(|until| until.since(self.base.clock.now()));
        // A timer that is late is made up for, one that is early finds nothing.
        rest.map_or(LOOK_EVERY, |rest| rest + Duration::from_millis(1))
    }

    /// Claims and starts as much as there is room for.
    async fn fill(&mut self) -> Result<(), StoreError> {
        let filled = self.claim_what_may_go().await;
        let ready = &self.ready;
        self.slots.still_wait(|channel| ready.has(channel));
        filled
    }

    async fn claim_what_may_go(&mut self) -> Result<(), StoreError> {
        if self
            .hold_off_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Ok(());
        }
        self.hold_off_until = None;
        self.release_in_doubt().await?;
        if self
            .next_due
            .take_if(|due| *due <= self.base.clock.now())
            .is_some()
        {
            self.inbox.look.wanted.store(true, Ordering::Release);
        }
        loop {
            let room = self.slots.free().min(CLAIM_MAX);
            if room == 0 {
                return Ok(());
            }
            let idle = self.ready.is_idle();
            if self.ready.wants_look()
                || (idle && self.inbox.look.wanted.swap(false, Ordering::AcqRel))
            {
                self.look().await?;
            }
            let slots = &self.slots;
            let (limits, directory) = (&self.limits, self.sender.directory.current());
            let now = self.base.clock.now();
            let hints = self.ready.take(
                room,
                now,
                |tenant| slots.free_for(tenant),
                |hint| match directory.channel(hint.channel_id) {
                    Some(channel) => Permit::take(limits, &channel.terms, hint, now).map(Some),
                    // It is not there yet, or not any more: the attempt to send it finds that out.
                    None => Ok(None),
                },
            );
            if hints.is_empty() {
                return Ok(());
            }
            let (hints, refused) = Permit::agree(&self.limits, hints).await;
            for hint in refused {
                self.push(hint);
            }
            for taken in self.claim(hints).await? {
                self.start(taken);
            }
        }
    }

    /// Looks into the database for messages that are due. A full answer means that there may be more.
    async fn look(&mut self) -> Result<(), StoreError> {
        let (from, now) = (self.look_from, self.base.clock.now());
        let enough = self.ready.enough();
        let due = self
            .base
            .store
            .read(move |tx| queue::due(tx, from, &enough, now, now.plus(LOOK_EVERY)))
            .await?;
        self.look_from = due.last;
        self.next_due = self.next_due.into_iter().chain(due.next_at).min();
        let news = due
            .hints
            .iter()
            .any(|hint| !self.ready.knows(hint.message_id));
        // Messages that cannot be claimed for now would make an eager look endless: only a look that brought some.
        if due.more && news {
            self.inbox.look.wanted.store(true, Ordering::Release);
        }
        for hint in due.hints {
            self.push(hint);
        }
        for channel in due.cut {
            self.ready.more_of(channel);
        }
        Ok(())
    }

    /// Claims messages. What could not be claimed gives its permit back.
    async fn claim(
        &mut self,
        hints: Vec<(Hint, Option<Permit>)>,
    ) -> Result<Vec<Taken>, StoreError> {
        let mut holds = HashMap::with_capacity(hints.len());
        let mut attempts = Vec::with_capacity(hints.len());
        for (hint, permit) in hints {
            match self.slots.take(hint.tenant_id) {
                Some(slot) => {
                    holds.insert(hint.message_id, Holds { slot, permit });
                    attempts.push((hint, AttemptId::new(&*self.base.ids)));
                }
                // A reply was faster.
                None => self.push(hint),
            }
        }
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let (node, base) = (self.node, self.base.clone());
        let claims = attempts.clone();
        let claimed = self
            .base
            .store
            .write(move |tx| {
                let claims = queue::claim(tx, &base.keyring, &claims, node, base.clock.now())?;
                let next = held::tell(tx, &base, &claims.held)?;
                Ok((claims.claimed, next))
            })
            .await;
        match claimed {
            Ok((claimed, next)) => {
                for hint in next {
                    self.push(hint);
                }
                Ok(direct::pair(claimed, holds, Instant::now()))
            }
            Err(error) => {
                // The commit may have happened all the same (its answer was lost, say). Nobody else would send these.
                self.in_doubt = attempts;
                Err(error)
            }
        }
    }

    /// Takes back claims that were made without this worker learning of it.
    async fn release_in_doubt(&mut self) -> Result<(), StoreError> {
        if self.in_doubt.is_empty() {
            return Ok(());
        }
        let (claims, clock) = (self.in_doubt.clone(), Arc::clone(&self.base.clock));
        let released = self
            .base
            .store
            .write(move |tx| queue::release(tx, &claims, clock.now()))
            .await?;
        if released > 0 {
            tracing::warn!(
                messages = released,
                "claims whose commit was in doubt were taken back"
            );
        }
        self.in_doubt.clear();
        Ok(())
    }

    fn start(&mut self, taken: Taken) {
        let (sender, recorder) = (Arc::clone(&self.sender), self.recorder.clone());
        self.flights.spawn(async move {
            let Taken {
                claimed,
                claimed_at,
                holds: Holds { slot, permit },
            } = taken;
            let ended = sender.send(&claimed, claimed_at, permit).await;
            let next = keep(&recorder, ended).await;
            drop(slot);
            Landed {
                channel_id: claimed.channel_id,
                next,
            }
        });
    }

    /// Waits for what is in flight, and for what was being claimed when the end began.
    async fn drain(&mut self) {
        let slots = self.slots.clone();
        let all = async {
            while !slots.all_back() {
                tokio::select! {
                    Some(taken) = self.inbox.taken.recv() => self.start(taken),
                    () = slots.returned() => {}
                    Some(_) = self.flights.join_next() => {}
                }
            }
        };
        if tokio::time::timeout(DRAIN_MAX, all).await.is_err() {
            tracing::warn!(
                "some providers did not answer in time; their messages show an unknown outcome"
            );
        }
    }
}

/// Records how an attempt ended, for as long as it takes: what is known must not be forgotten.
async fn keep(recorder: &Batcher<Ended, Recorded>, ended: Ended) -> Option<Hint> {
    let mut pause = Duration::from_millis(50);
    loop {
        match recorder.submit(ended.clone()).await {
            Ok(recorded) => return recorded.next,
            Err(StoreError::Closed) => return None,
            Err(error) => {
                tracing::warn!(%error, message = %ended.record.message_id, "an outcome could not be recorded yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(value: usize) -> f64 {
    value as f64
}
