//! Things that exist at a provider and are used by many messages, such as Content resources and uploaded files: made once,
//! found again in memory or in the database, forgotten when the provider no longer takes them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use waxwing_core::delivery::SEND_DEADLINE;
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_providers::messaging::{AssetNeed, Messaging};
use waxwing_store::StoreError;
use waxwing_store::domain::assets;

use super::media::Outcome;
use super::sender::Sender;
use crate::directory::Channel;

/// How long a Content resource is used before it is made anew.
const RESOURCE_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long this process trusts its memory: shorter than the life of any asset by far.
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);
/// Assets that a process keeps in memory.
const REMEMBERED_MAX: usize = 10_000;

/// The keyed name of an asset within its tenant.
pub(super) type AssetKey = Vec<u8>;

/// The provider's ids of assets that this process has used lately.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered(Arc<Mutex<Known>>);

/// Each with the moment until which it is trusted, in microseconds since 1970.
type Known = HashMap<(ChannelId, AssetKey), (String, i64)>;

impl Remembered {
    fn get(&self, channel: ChannelId, key: &[u8], now: i64) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&(channel, key.to_vec()))
            .filter(|(_, until)| *until > now)
            .map(|(reference, _)| reference.clone())
    }

    fn put(&self, channel: ChannelId, key: AssetKey, reference: String, until: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The database has them all: starting over costs one look each.
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert((channel, key), (reference, until));
    }

    fn drop(&self, channel: ChannelId, key: &[u8]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&(channel, key.to_vec()));
    }
}

/// Something of ours at the provider that a message names.
pub(super) struct Asset {
    /// The keyed name of what it is made of.
    pub(super) key: AssetKey,
    /// The provider's id of it.
    pub(super) reference: String,
    /// It was made for this very attempt.
    pub(super) is_new: bool,
}

impl Sender {
    /// The keyed name of what an asset is made of.
    pub(super) fn asset_key(&self, tenant: TenantId, made_of: &str) -> AssetKey {
        assets::key_hash(&self.base.keyring, tenant, made_of)
    }

    /// The provider's id of an asset, if it was made before and is still good.
    pub(super) async fn known_asset(
        &self,
        channel: &Channel,
        key: &[u8],
    ) -> Result<Option<String>, StoreError> {
        let (tenant, id, now) = (channel.tenant_id, channel.channel_id, self.base.clock.now());
        if let Some(reference) = self.assets.get(id, key, now.micros()) {
            return Ok(Some(reference));
        }
        let looked_up = key.to_vec();
        let known = self
            .base
            .store
            .read(move |tx| assets::find(tx, tenant, id, &looked_up, now))
            .await?;
        if let Some(reference) = &known {
            let until = now.plus(REMEMBERED_FOR).micros();
            self.assets.put(id, key.to_vec(), reference.clone(), until);
        }
        Ok(known)
    }

    /// Keeps the provider's id of an asset that was just made.
    pub(super) async fn keep_asset(
        &self,
        channel: &Channel,
        key: &[u8],
        reference: &str,
        life: Duration,
    ) -> Result<(), StoreError> {
        let (tenant, id, now) = (channel.tenant_id, channel.channel_id, self.base.clock.now());
        let (kept, made) = (key.to_vec(), reference.to_owned());
        self.base
            .store
            .write(move |tx| assets::keep(tx, tenant, id, &kept, &made, now, now.plus(life)))
            .await?;
        let until = now.plus(REMEMBERED_FOR.min(life)).micros();
        self.assets
            .put(id, key.to_vec(), reference.to_owned(), until);
        Ok(())
    }

    /// The provider refuses a message that names an asset: perhaps it no longer has it, so it is made anew next time.
    pub(super) async fn forget_asset(&self, channel: &Channel, key: AssetKey) {
        let (tenant, id) = (channel.tenant_id, channel.channel_id);
        self.assets.drop(id, &key);
        let forgotten = self
            .base
            .store
            .write(move |tx| assets::forget(tx, tenant, id, &key));
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "an asset could not be forgotten");
        }
    }

    /// A resource that has to exist at the provider before a message can be sent: known, or made now.
    pub(super) async fn resource(
        &self,
        provider: &dyn Messaging,
        channel: &Channel,
        need: AssetNeed,
    ) -> Outcome<Asset> {
        let key = self.asset_key(channel.tenant_id, &need.key);
        if let Some(reference) = self.known_asset(channel, &key).await? {
            return Ok(Ok(Asset {
                key,
                reference,
                is_new: false,
            }));
        }
        let answer = self.client.call(need.request, SEND_DEADLINE).await;
        let reference = match provider.interpret_asset(&answer) {
            Ok(reference) => reference,
            Err(outcome) => return Ok(Err(outcome)),
        };
        self.keep_asset(channel, &key, &reference, RESOURCE_LIFE)
            .await?;
        Ok(Ok(Asset {
            key,
            reference,
            is_new: true,
        }))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn channel(n: u128) -> ChannelId {
        ChannelId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn what_is_remembered_ends_is_dropped_and_has_a_limit() {
        let known = Remembered::default();
        known.put(channel(1), vec![1], "HX1".into(), 10);
        assert_eq!(known.get(channel(1), &[1], 9).as_deref(), Some("HX1"));
        assert_eq!(known.get(channel(1), &[1], 10), None, "no longer trusted");
        assert_eq!(known.get(channel(2), &[1], 9), None, "another channel's");
        known.drop(channel(1), &[1]);
        assert_eq!(known.get(channel(1), &[1], 9), None);
        for n in 0..=REMEMBERED_MAX {
            known.put(channel(1), n.to_be_bytes().to_vec(), "HX".into(), 10);
        }
        let kept = known.0.lock().unwrap().len();
        assert!((1..=REMEMBERED_MAX).contains(&kept));
    }
}
