//! The channel directory: which channel a webhook item belongs to, which secrets may have signed it, which token sends.
//!
//! A copy in memory of a small table. Every change raises an epoch in the database; a batch that finds a newer epoch
//! than the copy's reads again before it decides anything, so the copy is never wrong, only slow once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use waxwing_core::channel::ChannelKind;
use waxwing_core::event::Route;
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_providers::messaging::Account;
use waxwing_store::StoreError;
use waxwing_store::domain::channels::{self, ChannelRecord};

use crate::Base;

/// Names no secret: nothing authenticates under it.
pub const NO_SECRET: &[u8] = b"none";

/// A channel, as ingest and delivery need it.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub channel_id: ChannelId,
    /// Its provider.
    pub kind: ChannelKind,
    /// Names the secret that authenticates its webhooks.
    pub secret_hash: Vec<u8>,
    /// Its number, account and credentials.
    pub account: Account,
}

/// A copy of all channels at one epoch.
#[derive(Debug, Default)]
pub struct Directory {
    /// The epoch of the copy.
    pub epoch: i64,
    by_sender: HashMap<(ChannelKind, String), Arc<Channel>>,
    by_account: HashMap<(ChannelKind, String), Vec<Arc<Channel>>>,
    by_id: HashMap<ChannelId, Arc<Channel>>,
    by_tenant: HashMap<TenantId, Arc<Channel>>,
}

impl Directory {
    fn new(epoch: i64, records: Vec<ChannelRecord>, platform_secret: &[u8]) -> Self {
        let mut directory = Self {
            epoch,
            ..Self::default()
        };
        for record in records {
            let channel = Arc::new(Channel {
                tenant_id: record.tenant_id,
                channel_id: record.channel_id,
                kind: record.kind,
                // Only Meta's webhooks may be signed with the platform's secret.
                secret_hash: record.secret_hash.unwrap_or_else(|| match record.kind {
                    ChannelKind::Meta => platform_secret.to_vec(),
                    ChannelKind::Twilio | ChannelKind::Dialog360 | ChannelKind::Msg91 => {
                        NO_SECRET.to_vec()
                    }
                }),
                account: Account {
                    sender_id: record.sender_id.clone(),
                    account_id: record.account_id.clone(),
                    credentials: record.credentials,
                },
            });
            if let Some(account) = record.account_id {
                directory
                    .by_account
                    .entry((record.kind, account))
                    .or_default()
                    .push(Arc::clone(&channel));
            }
            directory
                .by_sender
                .insert((record.kind, record.sender_id), Arc::clone(&channel));
            let oldest = directory
                .by_tenant
                .entry(record.tenant_id)
                .or_insert_with(|| Arc::clone(&channel));
            if channel.channel_id < oldest.channel_id {
                *oldest = Arc::clone(&channel);
            }
            directory.by_id.insert(record.channel_id, channel);
        }
        directory
    }

    /// The channel of an item: by its number, else by its account when that has one channel only.
    #[must_use]
    pub fn resolve(&self, kind: ChannelKind, route: &Route) -> Option<&Arc<Channel>> {
        if let Some(sender) = &route.sender_id {
            return self.by_sender.get(&(kind, sender.clone()));
        }
        let account = route.account_id.as_ref()?;
        match self.by_account.get(&(kind, account.clone()))?.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The channels that routes of a request may mean, for the choice of secrets.
    pub fn candidates<'a>(
        &'a self,
        kind: ChannelKind,
        routes: &'a [Route],
    ) -> impl Iterator<Item = &'a Arc<Channel>> {
        routes.iter().flat_map(move |route| {
            let by_sender = route
                .sender_id
                .iter()
                .filter_map(move |id| self.by_sender.get(&(kind, id.clone())));
            let by_account = route
                .account_id
                .iter()
                .filter_map(move |id| self.by_account.get(&(kind, id.clone())))
                .flatten();
            by_sender.chain(by_account)
        })
    }

    /// The tenant's oldest channel: the one that sends when the caller names none.
    #[must_use]
    pub fn default_channel(&self, tenant: TenantId) -> Option<&Arc<Channel>> {
        self.by_tenant.get(&tenant)
    }

    /// A channel by id.
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<&Arc<Channel>> {
        self.by_id.get(&id)
    }
}

/// The current copy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DirectoryHandle {
    current: Arc<RwLock<Arc<Directory>>>,
    platform_secret: Arc<Vec<u8>>,
}

impl DirectoryHandle {
    /// Reads all channels. `platform_secret` names the secret of channels without one of their own.
    ///
    /// # Errors
    /// What the database says.
    pub async fn load(base: &Base, platform_secret: Vec<u8>) -> Result<Self, StoreError> {
        let handle = Self {
            current: Arc::default(),
            platform_secret: Arc::new(platform_secret),
        };
        handle.reload(base).await?;
        Ok(handle)
    }

    /// The copy.
    #[must_use]
    pub fn current(&self) -> Arc<Directory> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads all channels again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn reload(&self, base: &Base) -> Result<(), StoreError> {
        let keyring = base.keyring.clone();
        let (epoch, records, unreadable) = base
            .store
            .read_snapshot(move |tx| {
                let epoch = channels::epoch(tx)?;
                let (records, unreadable) = channels::load_directory(tx, &keyring)?;
                Ok((epoch, records, unreadable))
            })
            .await?;
        for channel in unreadable {
            tracing::error!(%channel, "the channel's credentials do not open; it neither receives nor sends");
        }
        let directory = Arc::new(Directory::new(epoch, records, &self.platform_secret));
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if directory.epoch >= current.epoch {
            *current = directory;
        }
        Ok(())
    }

    /// Reads again if anything changed; for the regular look of [`crate::upkeep`].
    ///
    /// # Errors
    /// What the database says.
    pub async fn refresh(&self, base: &Base) -> Result<(), StoreError> {
        let epoch = base.store.read(channels::epoch).await?;
        if epoch == self.current().epoch {
            Ok(())
        } else {
            self.reload(base).await
        }
    }
}
