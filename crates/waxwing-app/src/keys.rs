//! The replacement of keys while everything runs: asked for by the operator, done by one node, in small steps.

use std::time::Duration;

use tokio::sync::watch;
use waxwing_core::ids::NodeId;
use waxwing_store::domain::keys::rotation::{self, Standing, Step};
use waxwing_store::domain::{keys, nodes};
use waxwing_store::{StoreError, Tx};

use crate::Base;
use crate::lease::JobLease;

/// The lease of the job.
const LEASE: &str = "key-rotation";
/// How long the lease is taken for; one step is far shorter.
const LEASE_TIME: Duration = Duration::from_secs(30);
/// How often the job looks for work.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far a replacement is.
///
/// # Errors
/// What the database says.
pub async fn standing(base: &Base) -> Result<Standing, StoreError> {
    let keyring = base.keyring.clone();
    let read = base.store.read(move |tx| rotation::standing(tx, &keyring));
    read.await
}

/// What was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Secrets that were wrapped under the present master key.
    pub rewrapped: u64,
    /// Secrets whose master key is not here.
    pub lost: u64,
    /// How far the rest is.
    pub standing: Standing,
}

/// Wraps all secrets under the present master key, and begins to replace the data keys of all tenants and of the
/// platform. What is being replaced already goes on.
///
/// # Errors
/// What the database says.
pub async fn begin(base: &Base) -> Result<Begun, StoreError> {
    let (mut rewrapped, mut lost) = (0, 0);
    loop {
        let keyring = base.keyring.clone();
        let write = base.store.write(move |tx| rotation::rewrap(tx, &keyring));
        let (done, foreign) = write.await?;
        rewrapped += done;
        lost = lost.max(foreign);
        if done == 0 {
            break;
        }
    }
    let mut after = None;
    loop {
        let (keyring, now) = (base.keyring.clone(), base.clock.now());
        let write = move |tx: &mut Tx<'_>| rotation::begin(tx, &keyring, after, now);
        after = base.store.write(write).await?;
        if after.is_none() {
            break;
        }
    }
    Ok(Begun {
        rewrapped,
        lost,
        standing: standing(base).await?,
    })
}

/// Reads the keys again when they have changed; `seen` is the epoch of those that are here.
///
/// # Errors
/// What the database says.
pub async fn refresh(base: &Base, seen: &mut Option<i64>) -> Result<(), StoreError> {
    let epoch = base.store.read(keys::epoch).await?;
    if *seen != Some(epoch) {
        let keyring = base.keyring.clone();
        let read = base
            .store
            .read_snapshot(move |tx| keys::refresh(tx, &keyring));
        read.await?;
        *seen = Some(epoch);
    }
    Ok(())
}

/// What the job needs.
#[derive(Clone)]
pub struct RotationOptions {
    /// The tools of every use case.
    pub base: Base,
    /// This process.
    pub node: NodeId,
    /// Turns true when the process has to end.
    pub stop: watch::Receiver<bool>,
}

/// Runs until the process has to end.
pub async fn run(options: RotationOptions) {
    let mut stop = options.stop.clone();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut lease = JobLease::new(options.base.clone(), LEASE, options.node, LEASE_TIME);
    let mut epoch = None;
    while !*stop.borrow() {
        tokio::select! {
            _ = look.tick() => {
                if let Err(error) = options.look(&mut lease, &mut epoch).await {
                    tracing::warn!(%error, "keys could not be replaced further; that is tried again");
                }
            }
            _ = stop.changed() => {}
        }
    }
    lease.release().await;
}

impl RotationOptions {
    async fn look(&self, lease: &mut JobLease, epoch: &mut Option<i64>) -> Result<(), StoreError> {
        if standing(&self.base).await?.owners == 0 {
            return Ok(());
        }
        while !*self.stop.borrow() {
            let Some(held) = lease.hold().await? else {
                return Ok(());
            };
            refresh(&self.base, epoch).await?;
            let (keyring, now) = (self.base.keyring.clone(), self.base.clock.now());
            let write = move |tx: &mut Tx<'_>| {
                nodes::fence(tx, &held)?;
                rotation::step(tx, &keyring, now)
            };
            if self.base.store.write_bulk(write).await? == Step::Waits {
                break;
            }
        }
        Ok(())
    }
}
