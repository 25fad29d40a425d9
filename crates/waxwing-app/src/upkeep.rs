//! Upkeep: this process says that it lives, takes over from dead ones, settles unknown outcomes, matches statuses that
//! came too early, measures, and deletes what is too old.

use std::time::Duration;

use tokio::sync::watch;
use waxwing_core::channel::ChannelKind;
use waxwing_core::ids::NodeId;
use waxwing_store::StoreError;
use waxwing_store::domain::{inbox, media, nodes, queue, statuses, unknown};

use crate::deliver::DeliverySignal;
use crate::directory::DirectoryHandle;
use crate::retention::Retention;
use crate::unknown as unknown_outcomes;
use crate::{Base, audit, metrics};

/// A process that was silent for longer is taken for dead.
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// Within this time a parked status and its message may have missed each other.
const PARKED_RACE: Duration = Duration::from_secs(60);
/// How often tables that grow are looked at for the planner, in seconds.
const STATISTICS_EVERY: u64 = 2;
/// Messages settled in one transaction.
const SETTLED_AT_ONCE: u32 = 200;

/// What upkeep needs.
#[derive(Clone)]
pub struct UpkeepOptions {
    /// The tools of every use case.
    pub base: Base,
    /// The channels.
    pub directory: DirectoryHandle,
    /// Where delivery learns of messages to send again.
    pub delivery: DeliverySignal,
    /// This process.
    pub node: NodeId,
    /// Its name: the next process of the same name takes over from it.
    pub name: String,
    /// `all`, `web` or `worker`.
    pub role: &'static str,
    /// How long an unknown outcome waits for a status.
    pub unknown_wait: Duration,
    /// What is deleted by age.
    pub retention: Retention,
    /// Turns true when the process has to end.
    pub stop: watch::Receiver<bool>,
}

/// Announces this process and takes over from one of the same name that ended without a word. `true` when there was
/// one.
///
/// # Errors
/// What the database says.
pub async fn register(
    base: &Base,
    node: NodeId,
    name: &str,
    role: &'static str,
) -> Result<bool, StoreError> {
    let (name, clock) = (name.to_owned(), base.clock.clone());
    let (unclean, orphans) = base
        .store
        .write(move |tx| {
            let now = clock.now();
            let before = nodes::register(tx, node, &name, role, now)?;
            let orphans = before
                .map(|before| {
                    media::release(tx, before, now)?;
                    unknown::recover(tx, before, now)
                })
                .transpose()?;
            Ok((before.is_some(), orphans.map_or(0, |orphans| orphans.len())))
        })
        .await?;
    if orphans > 0 {
        tracing::warn!(
            messages = orphans,
            "the process before this one ended while it was sending; outcomes are unknown"
        );
        ::metrics::counter!(metrics::UNKNOWN_OUTCOMES).increment(orphans as u64);
    }
    Ok(unclean)
}

/// Runs until the process has to end, then takes its leave.
pub async fn run(options: UpkeepOptions) {
    let mut stop = options.stop.clone();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seconds: u64 = 0;
    let mut keys = None;
    while !*stop.borrow() {
        tokio::select! {
            _ = second.tick() => {
                if let Err(error) = options.tick(seconds, &mut keys).await {
                    tracing::warn!(%error, "upkeep failed; it is tried again");
                }
                seconds += 1;
            }
            _ = stop.changed() => {}
        }
    }
    let node = options.node;
    if let Err(error) = options
        .base
        .store
        .write(move |tx| nodes::remove(tx, node))
        .await
    {
        tracing::warn!(%error, "this process could not take its leave; its work is taken over after a while");
    }
}

impl UpkeepOptions {
    async fn tick(&self, seconds: u64, keys: &mut Option<i64>) -> Result<(), StoreError> {
        crate::keys::refresh(&self.base, keys).await?;
        self.directory.refresh(&self.base).await?;
        if self.role != "web" {
            self.settle_unknown().await?;
            audit::chain(&self.base).await?;
            if seconds % 3_600 == 30 {
                audit::log_checkpoints(&self.base).await?;
            }
        }
        if seconds.is_multiple_of(5) {
            self.say_alive().await?;
            self.count_workers().await?;
            self.bury_the_dead().await?;
            self.match_parked().await?;
            self.measure().await?;
        }
        if self.role != "web" && seconds % 3_600 == 60 {
            self.retention.run(&self.stop).await?;
        }
        if seconds.is_multiple_of(STATISTICS_EVERY) {
            self.refresh_statistics().await;
        }
        Ok(())
    }

    /// Only the speed of plans depends on it, so nothing else waits for it to work.
    async fn refresh_statistics(&self) {
        if let Err(error) = self.base.store.refresh_statistics().await {
            tracing::warn!(%error, "tables that grew could not be analyzed; autovacuum does it later");
        }
    }

    async fn say_alive(&self) -> Result<(), StoreError> {
        let (node, now) = (self.node, self.base.clock.now());
        if self
            .base
            .store
            .write(move |tx| nodes::seen(tx, node, now))
            .await?
        {
            return Ok(());
        }
        // Another process took this one for dead, after a long sleep perhaps. Its claims were recovered; it goes on.
        tracing::warn!("this process was taken for dead; it registers again");
        register(&self.base, self.node, &self.name, self.role)
            .await
            .map(|_| ())
    }

    async fn count_workers(&self) -> Result<(), StoreError> {
        let since = self.base.clock.now().minus(DEAD_AFTER);
        let count = self
            .base
            .store
            .read(move |tx| nodes::workers_since(tx, since))
            .await?;
        self.delivery.workers(count);
        Ok(())
    }

    async fn bury_the_dead(&self) -> Result<(), StoreError> {
        let now = self.base.clock.now();
        let own = self.node;
        let orphans = self
            .base
            .store
            .write(move |tx| {
                let mut orphans = 0;
                for dead in nodes::silent_since(tx, now.minus(DEAD_AFTER))? {
                    if dead != own {
                        orphans += unknown::recover(tx, dead, now)?.len();
                        media::release(tx, dead, now)?;
                        nodes::remove(tx, dead)?;
                    }
                }
                Ok(orphans)
            })
            .await?;
        if orphans > 0 {
            tracing::warn!(
                messages = orphans,
                "another process died while it was sending; outcomes are unknown"
            );
        }
        Ok(())
    }

    /// Messages whose outcome stayed unknown: sent once more or left to a person, as their purpose and tenant say.
    async fn settle_unknown(&self) -> Result<(), StoreError> {
        let (wait, base) = (self.unknown_wait, self.base.clone());
        let hints = self
            .base
            .store
            .write(move |tx| {
                let now = base.clock.now();
                let mut hints = Vec::new();
                for kind in ChannelKind::ALL {
                    let wait = unknown_outcomes::patience(kind, wait);
                    let due = unknown::waiting_for(tx, kind, wait, SETTLED_AT_ONCE, now)?;
                    hints.extend(unknown_outcomes::by_policy(tx, &base, &due, now)?);
                }
                Ok(hints)
            })
            .await?;
        self.delivery.hint(&hints);
        Ok(())
    }

    /// A status and the answer of its send may be written at the same moment without seeing each other.
    async fn match_parked(&self) -> Result<(), StoreError> {
        let base = self.base.clone();
        let since = base.clock.now().minus(PARKED_RACE);
        let found = self
            .base
            .store
            .read(move |tx| statuses::matchable(tx, since, SETTLED_AT_ONCE))
            .await?;
        if found.is_empty() {
            return Ok(());
        }
        let write = move |tx: &mut waxwing_store::Tx<'_>| {
            statuses::unpark(tx, &base.keyring, &found, base.clock.now()).map(|_| ())
        };
        self.base.store.write(write).await
    }

    async fn measure(&self) -> Result<(), StoreError> {
        let now = self.base.clock.now();
        let ((depth, oldest), inbox) = self
            .base
            .store
            .read(move |tx| Ok((queue::depth(tx, now)?, inbox::oldest_pending(tx)?)))
            .await?;
        let age = |since: Option<waxwing_core::time::Timestamp>| {
            since.map_or(0.0, |since| now.since(since).as_secs_f64())
        };
        ::metrics::gauge!(metrics::QUEUE_DEPTH)
            .set(u32::try_from(depth).map_or(f64::INFINITY, f64::from));
        ::metrics::gauge!(metrics::QUEUE_OLDEST).set(age(oldest));
        ::metrics::gauge!(metrics::INBOX_OLDEST).set(age(inbox));
        Ok(())
    }
}
