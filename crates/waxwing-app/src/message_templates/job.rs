//! The regular look at the providers' templates, by one node at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use waxwing_core::ids::{ChannelId, NodeId};
use waxwing_providers::messaging::template_api;
use waxwing_store::StoreError;
use waxwing_store::domain::{channel_health, message_templates as store};

use super::MessageTemplates;
use crate::directory::Channel;
use crate::lease::JobLease;

/// The lease of the job.
const LEASE: &str = "message-templates";
/// How long the lease is taken for; one call to a provider is far shorter.
const LEASE_TIME: Duration = Duration::from_secs(120);
/// How often the job looks for work.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often a provider that does not tell is asked about templates that wait for their approval.
const PENDING_EVERY: Duration = Duration::from_secs(300);
/// Pending templates that one look asks about.
const PENDING_MAX: u32 = 200;
/// Accounts that one look reads.
const ACCOUNTS_MAX: usize = 100;

/// What the job needs.
#[derive(Clone)]
pub struct SyncOptions {
    /// The management.
    pub templates: MessageTemplates,
    /// This process.
    pub node: NodeId,
    /// How often the templates of an account are read.
    pub every: Duration,
    /// Turns true when the process has to end.
    pub stop: watch::Receiver<bool>,
}

/// Runs until the process has to end.
pub async fn run(options: SyncOptions) {
    let mut stop = options.stop.clone();
    let mut look = tokio::time::interval(LOOK_EVERY.min(options.every));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let base = options.templates.base.clone();
    let mut lease = JobLease::new(base, LEASE, options.node, LEASE_TIME);
    while !*stop.borrow() {
        tokio::select! {
            _ = look.tick() => {
                if let Err(error) = options.look(&mut lease).await {
                    tracing::warn!(%error, "message templates could not be looked after; that is tried again");
                }
            }
            _ = stop.changed() => {}
        }
    }
    lease.release().await;
}

impl SyncOptions {
    async fn look(&self, lease: &mut JobLease) -> Result<(), StoreError> {
        if lease.hold().await?.is_none() {
            return Ok(());
        }
        for channel in self.due().await? {
            if *self.stop.borrow() || lease.hold().await?.is_none() {
                return Ok(());
            }
            // What went wrong is on record with the channel.
            let _ = self.templates.sync_account(&channel).await;
        }
        self.pending(lease).await
    }

    /// One channel of each account whose templates were not read for long, those that wait longest first.
    async fn due(&self) -> Result<Vec<Arc<Channel>>, StoreError> {
        let templates = &self.templates;
        let times = templates
            .base
            .store
            .read(channel_health::sync_times)
            .await?;
        let times: HashMap<_, _> = times.into_iter().collect();
        let now = templates.base.clock.now();
        let directory = templates.directory.current();
        let heads: BTreeSet<ChannelId> = directory
            .channels()
            .filter_map(|channel| directory.siblings(channel).first().copied())
            .collect();
        let mut due: Vec<_> = heads
            .into_iter()
            .filter(|head| {
                let last = times.get(head);
                last.is_none_or(|last| last.plus(self.every) <= now)
            })
            .filter_map(|head| directory.channel(head).cloned())
            .collect();
        due.sort_by_key(|channel| times.get(&channel.channel_id).copied());
        due.truncate(ACCOUNTS_MAX);
        Ok(due)
    }

    /// Asks about templates that wait for their approval at providers that do not tell.
    async fn pending(&self, lease: &mut JobLease) -> Result<(), StoreError> {
        let templates = &self.templates;
        let (pending, times) = templates
            .base
            .store
            .read(|tx| {
                Ok((
                    store::pending(tx, PENDING_MAX)?,
                    channel_health::sync_times(tx)?,
                ))
            })
            .await?;
        let times: HashMap<_, _> = times.into_iter().collect();
        let mut read: BTreeSet<ChannelId> = BTreeSet::new();
        for (_, channel_id, template) in pending {
            let directory = templates.directory.current();
            let Some(channel) = directory.channel(channel_id) else {
                continue;
            };
            if template_api(channel.kind).tells() {
                continue;
            }
            if *self.stop.borrow() || lease.hold().await?.is_none() {
                return Ok(());
            }
            if templates.poll(channel, template).await.unwrap_or(false) {
                continue;
            }
            let head = directory.siblings(channel).first().copied();
            let head = head.unwrap_or(channel_id);
            let every = PENDING_EVERY.min(self.every);
            let now = templates.base.clock.now();
            let recent = times.get(&head).is_some_and(|at| at.plus(every) > now);
            if !recent && read.insert(head) {
                let _ = templates.sync_account(channel).await;
            }
        }
        Ok(())
    }
}
