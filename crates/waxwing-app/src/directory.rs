//! The channel directory: which channel a webhook item belongs to, which secrets may have signed it, which token sends.
//!
//! A copy in memory of a small table. Every change raises an epoch in the database; a batch that finds a newer epoch
//! than the copy's reads again before it decides anything, so the copy is never wrong, only slow once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use waxwing_core::channel::{ChannelKind, credential};
use waxwing_core::event::Route;
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_providers::messaging::{Account, adapter};
use waxwing_store::StoreError;
use waxwing_store::domain::channels::{self, ChannelRecord};

use crate::Base;
use crate::deliver::Terms;

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
    /// How fast it may send.
    pub terms: Terms,
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
        let sharing = sharing(&records);
        for record in records {
            let pace = adapter(record.kind).pace();
            let scope = sharing.get(&record.channel_id).copied();
            let scope = scope.unwrap_or(record.channel_id);
            let terms = Terms::new(record.kind, pace, record.limits, scope);
            let channel = Arc::new(Channel {
                tenant_id: record.tenant_id,
                channel_id: record.channel_id,
                kind: record.kind,
                account: account_of(&record),
                // Only Meta's webhooks may be signed with the platform's secret.
                secret_hash: record.secret_hash.unwrap_or_else(|| match record.kind {
                    ChannelKind::Meta => platform_secret.to_vec(),
                    ChannelKind::Twilio | ChannelKind::Dialog360 | ChannelKind::Msg91 => {
                        NO_SECRET.to_vec()
                    }
                }),
                terms,
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

    /// The channel that sends through the pool of numbers that an item names, among those whose secret signed the
    /// request: that of the item's number, else the tenant's oldest.
    #[must_use]
    pub fn of_service(
        &self,
        kind: ChannelKind,
        route: &Route,
        secret_hash: &[u8],
    ) -> Option<&Arc<Channel>> {
        let service = route.service_id.as_deref()?;
        let channels = self.of_account(kind, route.account_id.as_deref()?);
        let found = channels.iter().filter(|channel| {
            let own = channel
                .account
                .credentials
                .get(credential::MESSAGING_SERVICE_SID);
            channel.secret_hash == secret_hash && own.is_some_and(|own| own.expose() == service)
        });
        let found: Vec<_> = found.collect();
        let is_number = |channel: &&&Arc<Channel>| {
            Some(channel.account.sender_id.as_str()) == route.sender_id.as_deref()
        };
        let oldest = found.iter().min_by_key(|channel| channel.channel_id)?;
        let of_one_tenant = found
            .iter()
            .all(|channel| channel.tenant_id == oldest.tenant_id);
        let own = found.iter().find(is_number).copied();
        own.or_else(|| of_one_tenant.then_some(*oldest))
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

    /// All channels of an account, of all tenants.
    #[must_use]
    pub fn of_account(&self, kind: ChannelKind, account_id: &str) -> &[Arc<Channel>] {
        self.by_account
            .get(&(kind, account_id.to_owned()))
            .map_or(&[], Vec::as_slice)
    }

    /// The tenant's channels of the same account, this one among them, in the order of their making: message templates
    /// belong to them all.
    #[must_use]
    pub fn siblings(&self, channel: &Channel) -> Vec<ChannelId> {
        let account = channel.account.account_id.as_deref();
        let mut siblings: Vec<ChannelId> = account
            .map_or(&[][..], |account| self.of_account(channel.kind, account))
            .iter()
            .filter(|other| other.tenant_id == channel.tenant_id)
            .map(|other| other.channel_id)
            .collect();
        if !siblings.contains(&channel.channel_id) {
            siblings.push(channel.channel_id);
        }
        siblings.sort_unstable();
        siblings
    }

    /// All channels.
    pub fn channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.by_id.values()
    }

    /// A channel by id.
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<&Arc<Channel>> {
        self.by_id.get(&id)
    }
}

/// A channel, as its adapter needs it.
#[must_use]
pub fn account_of(channel: &ChannelRecord) -> Account {
    Account {
        sender_id: channel.sender_id.clone(),
        account_id: channel.account_id.clone(),
        credentials: channel.credentials.clone(),
    }
}

/// Channels whose provider counts what is sent with a key, whatever the number (protocols/msg91.md 6): the first channel
/// of their key.
fn sharing(records: &[ChannelRecord]) -> HashMap<ChannelId, ChannelId> {
    let mut firsts: HashMap<&str, ChannelId> = HashMap::new();
    let keyed: Vec<_> = records
        .iter()
        .filter(|record| record.kind == ChannelKind::Msg91)
        .filter_map(|record| {
            let key = record.credentials.get(credential::AUTH_KEY)?;
            Some((record.channel_id, key.expose()))
        })
        .collect();
    for (channel, key) in &keyed {
        let first = firsts.entry(key).or_insert(*channel);
        *first = (*first).min(*channel);
    }
    keyed
        .iter()
        .map(|(channel, key)| (*channel, firsts[key]))
        .collect()
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use waxwing_core::channel::{ChannelLimits, Credentials};
    use waxwing_core::secret::Secret;
    use waxwing_core::time::Timestamp;
    use waxwing_store::domain::channels::ChannelStatus;

    use super::*;

    fn record(n: u128, kind: ChannelKind, key: &str) -> ChannelRecord {
        ChannelRecord {
            tenant_id: TenantId::from_uuid(Uuid::from_u128(n)),
            channel_id: ChannelId::from_uuid(Uuid::from_u128(n)),
            kind,
            name: "Main".into(),
            sender_id: n.to_string(),
            account_id: None,
            display_phone: None,
            status: ChannelStatus::Active,
            status_reason: None,
            paused_until: Timestamp::default(),
            circuit_until: Timestamp::default(),
            limits: ChannelLimits::default(),
            last_webhook_at: None,
            credentials: Credentials::new().with(kind.sending_credential(), Secret::new(key)),
            secret_hash: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }

    #[test]
    fn a_number_of_a_service_is_that_of_its_channel_or_of_the_oldest() {
        let of_service = |n: u128, tenant: u128| ChannelRecord {
            tenant_id: TenantId::from_uuid(Uuid::from_u128(tenant)),
            account_id: Some("AC".into()),
            credentials: Credentials::new()
                .with(credential::MESSAGING_SERVICE_SID, Secret::new("MG")),
            secret_hash: Some(vec![1]),
            ..record(n, ChannelKind::Twilio, "token")
        };
        let found = |records, number: &str, secret: &[u8]| {
            let route = Route {
                sender_id: Some(number.into()),
                account_id: Some("AC".into()),
                service_id: Some("MG".into()),
            };
            Directory::new(1, records, &[])
                .of_service(ChannelKind::Twilio, &route, secret)
                .map(|channel| channel.channel_id.uuid().as_u128())
        };
        // In the order in which a database happens to give them.
        let one_tenant = || vec![of_service(3, 7), of_service(2, 7)];
        assert_eq!(found(one_tenant(), "3", &[1]), Some(3));
        assert_eq!(found(one_tenant(), "9", &[1]), Some(2), "the oldest");
        assert_eq!(found(one_tenant(), "3", &[2]), None, "another secret");
        let two_tenants = || vec![of_service(3, 7), of_service(2, 8)];
        assert_eq!(found(two_tenants(), "3", &[1]), Some(3));
        assert_eq!(
            found(two_tenants(), "9", &[1]),
            None,
            "nobody can tell whose"
        );
    }

    #[test]
    fn numbers_of_one_key_share_its_rate() {
        let records = vec![
            record(3, ChannelKind::Msg91, "key"),
            record(2, ChannelKind::Msg91, "key"),
            record(4, ChannelKind::Msg91, "other"),
            record(5, ChannelKind::Meta, "key"),
            record(6, ChannelKind::Meta, "key"),
        ];
        let directory = Directory::new(1, records, NO_SECRET);
        let scope = |n: u128| {
            let channel = directory.channel(ChannelId::from_uuid(Uuid::from_u128(n)));
            channel.unwrap().terms.scope.uuid().as_u128()
        };
        assert_eq!([2, 3, 4, 5, 6].map(scope), [2, 2, 4, 5, 6]);
        let meta = directory.channel(ChannelId::from_uuid(Uuid::from_u128(5)));
        assert_eq!(meta.unwrap().terms.rate.messages, 80);
    }
}
