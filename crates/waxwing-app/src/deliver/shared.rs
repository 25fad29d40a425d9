//! The limits that several processes keep together in Redis.
//!
//! Each process has the limits of [`InProcess`] as a copy of what Redis says. What is taken from the copy is owed to
//! Redis. The delivery worker settles before it claims: one script, in one round trip for the whole batch, says which
//! messages the other processes leave room for. A reply that is claimed in its own transaction does not ask; what it
//! took is told within [`TELL_AFTER`], so that all of it counts and nobody waits for Redis while a transaction is open.
//!
//! Redis holds nothing that is needed: while it is away, every process sends at its part of each rate, by the number
//! of processes that the database knows.

mod link;
mod owed;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use waxwing_core::ids::NodeId;
use waxwing_core::pacing::Rate;
use waxwing_core::secret::Secret;
use waxwing_core::time::{Clock, Timestamp};
use waxwing_store::domain::queue::Hint;

use self::link::Link;
pub use self::link::{LinkError, look};
use self::owed::{Answers, Ask, Owed};
use super::pace::{Answer, Hold, InProcess, Learned, Limits, Taking, Terms};
use crate::metrics;

/// What was taken without asking is told after this time at the latest.
const TELL_AFTER: Duration = Duration::from_millis(20);
/// Calls under way are told at least this often, so that they are not taken for those of a dead process.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// A Redis that is away is tried again this often.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Limits that several processes share through Redis, and the connection to it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedLimits(pub(super) Arc<Shared>);

pub(super) struct Shared {
    local: InProcess,
    clock: Arc<dyn Clock>,
    node: NodeId,
    owed: Mutex<Owed>,
    link: tokio::sync::Mutex<Link>,
    up: AtomicBool,
    /// Processes that send, this one included.
    workers: AtomicU32,
    tell: Notify,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("up", &self.up)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl SharedLimits {
    /// Limits in the Redis of that address (`redis://` or `rediss://`), under keys of `space`: processes of one
    /// database name the same one. Redis is tried once; whether it is there shows [`Self::is_up`].
    ///
    /// # Errors
    /// When the address cannot be understood.
    pub async fn start(
        url: &Secret,
        space: &str,
        node: NodeId,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let shared = Shared {
            local: InProcess::default(),
            clock,
            node,
            owed: Mutex::default(),
            link: tokio::sync::Mutex::new(Link::new(url, space)?),
            up: AtomicBool::new(false),
            workers: AtomicU32::new(1),
            tell: Notify::new(),
        };
        ::metrics::gauge!(metrics::SHARED_LIMITS_UP).set(0.0);
        if let Err(error) = shared.connect().await {
            shared.count_outage(&error);
        }
        Ok(Self(Arc::new(shared)))
    }

    /// Whether Redis answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.up.load(Ordering::Acquire)
    }

    /// Keeps Redis informed, and finds it again when it was away, until the process has to end.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut every = tokio::time::interval(TELL_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !*stop.borrow() {
            if !self.is_up() {
                tokio::select! {
                    () = tokio::time::sleep(TRY_EVERY) => {}
                    _ = stop.changed() => return,
                }
                if self.0.connect().await.is_ok() {
                    tracing::info!("Redis answers again; limits are shared between the nodes");
                }
                continue;
            }
            tokio::select! {
                () = self.0.tell.notified() => tokio::time::sleep(TELL_AFTER).await,
                _ = every.tick() => self.0.owed().tell_flights(self.0.local.in_flight()),
                _ = stop.changed() => return,
            }
            self.0.exchange(&[]).await;
        }
    }
}

impl Shared {
    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    async fn connect(&self) -> Result<(), LinkError> {
        self.link.lock().await.connect().await?;
        // What was sent in the meantime is paid for by the time that passed.
        *self.owed() = Owed::default();
        self.up.store(true, Ordering::Release);
        ::metrics::gauge!(metrics::SHARED_LIMITS_UP).set(1.0);
        Ok(())
    }

    fn count_outage(&self, error: &LinkError) {
        self.up.store(false, Ordering::Release);
        ::metrics::gauge!(metrics::SHARED_LIMITS_UP).set(0.0);
        ::metrics::counter!(metrics::SHARED_LIMITS_OUTAGES).increment(1);
        tracing::warn!(
            %error,
            "Redis does not answer; until it does, every node sends at its part of each rate"
        );
        // Those that wait to tell have nobody to tell it to; the loop has to look for Redis instead.
        self.tell.notify_one();
    }

    /// Tells what is owed and asks for more, in one round trip. `None` when Redis is away.
    async fn exchange(&self, takings: &[Taking]) -> Option<Vec<bool>> {
        let mut link = self.link.lock().await;
        if !self.is_up() {
            return None;
        }
        let ask = self.ask(takings);
        if ask.is_empty() {
            return Some(Vec::new());
        }
        match link.call(&ask).await {
            Ok(answers) => Some(self.learn(&ask, &answers, takings)),
            Err(error) => {
                link.hang_up();
                self.count_outage(&error);
                None
            }
        }
    }

    fn ask(&self, takings: &[Taking]) -> Ask {
        let now = self.clock.now();
        let mut ask = self.owed().settle(takings, now);
        for scope in &mut ask.scopes {
            let speed = self.local.speed(scope.id);
            scope.whole_in = micros(speed.whole_in(now));
            scope.rests_in = micros(speed.rests_until().since(now));
        }
        for flight in &mut ask.flights {
            let own = self.local.in_flight_of(flight.id);
            flight.own = own.saturating_sub(flight.asked);
        }
        ask.node = self.node;
        ask
    }

    /// Brings the copy up to date.
    fn learn(&self, ask: &Ask, answers: &Answers, takings: &[Taking]) -> Vec<bool> {
        let mut owed = self.owed();
        for (taking, goes) in takings.iter().zip(&answers.goes) {
            if !goes {
                // Whoever holds it gives it back.
                owed.take(taking);
            }
        }
        let now = self.clock.now();
        for (scope, told) in ask.scopes.iter().zip(&answers.scopes) {
            let owes = told.owes + owed.of_scope(scope.id);
            let rests_until = now.plus(span(told.rests_in));
            self.local
                .learn_scope(scope.id, owes, span(told.whole_in), rests_until, now);
        }
        for (pair, owes) in ask.pairs.iter().zip(&answers.pairs) {
            self.local
                .learn_pair(pair.id, owes + owed.of_pair(pair.id), now);
        }
        for (flight, others) in ask.flights.iter().zip(&answers.others) {
            self.local.learn_others(flight.id, *others, now);
        }
        answers.goes.clone()
    }

    /// The part of this process while nobody can be asked.
    fn part(&self, terms: &Terms) -> Terms {
        let workers = self.workers.load(Ordering::Relaxed).max(1);
        Terms {
            rate: Rate {
                per: terms.rate.per * workers,
                ..terms.rate
            },
            pair: terms.pair.map(|pair| Rate {
                burst: (pair.burst / workers).max(1),
                per: pair.per * workers,
                ..pair
            }),
            in_flight: (terms.in_flight / usize::try_from(workers).unwrap_or(1)).max(1),
            ..*terms
        }
    }
}

#[async_trait]
impl Limits for Shared {
    fn take(&self, terms: &Terms, hint: &Hint, now: Timestamp) -> Result<Taking, Hold> {
        if !self.is_up() {
            return self.local.take(&self.part(terms), hint, now);
        }
        let taking = self.local.take(terms, hint, now)?;
        self.owed().take(&taking);
        self.tell.notify_one();
        Ok(taking)
    }

    fn give_back(&self, taking: &Taking) {
        self.local.give_back(taking);
        if self.is_up() {
            self.owed().give_back(taking);
            self.tell.notify_one();
        }
    }

    fn ended(&self, taking: &Taking, answer: Answer, now: Timestamp, jitter: f64) -> Learned {
        let learned = self.local.ended(taking, answer, now, jitter);
        if self.is_up() {
            self.owed().ended(taking, answer);
            self.tell.notify_one();
        }
        learned
    }

    async fn agree(&self, takings: &[Taking]) -> Vec<bool> {
        let agreed = self.exchange(takings).await;
        agreed.unwrap_or_else(|| vec![true; takings.len()])
    }

    fn workers(&self, count: u32) {
        self.workers.store(count, Ordering::Relaxed);
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests;
