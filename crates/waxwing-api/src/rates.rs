//! How fast callers may be: each credential for itself, and all of a tenant together. In the process only, so that it
//! works whatever else does not; several nodes allow that much each. The platform admin is not limited.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;
use waxwing_core::pacing::{Bucket, Rate};
use waxwing_core::time::Timestamp;

/// Credentials of a tenant together may be so many times as fast as one.
const OF_TENANT: u32 = 4;
/// Callers that are remembered; beyond, those that owe nothing are forgotten, then all.
const REMEMBERED_MAX: usize = 20_000;

/// The limits and who is how far.
#[derive(Debug)]
pub struct CallerRates {
    one: Rate,
    tenant: Rate,
    buckets: Mutex<HashMap<Uuid, Bucket>>,
}

impl CallerRates {
    /// So many requests a minute for each credential; a quarter of them may come at once.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        let rate = |messages: u32| Rate {
            messages,
            per: Duration::from_secs(60),
            burst: (messages / 4).max(1),
        };
        Self {
            one: rate(per_minute.max(1)),
            tenant: rate(per_minute.max(1).saturating_mul(OF_TENANT)),
            buckets: Mutex::default(),
        }
    }

    /// A request of a credential, in the tenant that it works in. How long to wait when it comes too early.
    pub fn take(&self, credential: Uuid, tenant: Option<Uuid>, now: Timestamp) -> Option<Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED_MAX {
            buckets.retain(|_, bucket| !bucket.is_idle(now));
            if buckets.len() >= REMEMBERED_MAX {
                buckets.clear();
            }
        }
        let asked = [(Some(credential), self.one), (tenant, self.tenant)];
        let asked = asked.map(|(key, rate)| key.map(|key| (key, rate)));
        for (key, rate) in asked.into_iter().flatten() {
            let bucket = buckets.entry(key).or_default();
            let ready = bucket.ready_at(rate.ahead());
            if ready > now {
                return Some(ready.since(now));
            }
        }
        for (key, rate) in asked.into_iter().flatten() {
            let bucket = buckets.entry(key).or_default();
            bucket.take(rate.interval(), now);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn a_credential_has_its_minute_and_a_tenant_four() {
        let rates = CallerRates::new(60);
        for _ in 0..15 {
            assert_eq!(rates.take(id(1), Some(id(9)), NOW), None);
        }
        let wait = rates.take(id(1), Some(id(9)), NOW).unwrap();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(rates.take(id(1), Some(id(9)), NOW.plus(wait)), None);
        // Others of the tenant go on until the tenant is at its end.
        let mut passed = 0;
        for n in 2..20 {
            for _ in 0..15 {
                passed += u32::from(rates.take(id(n), Some(id(9)), NOW).is_none());
            }
        }
        assert_eq!(passed, 44, "60 at once, 16 of them before");
        assert_eq!(rates.take(id(50), Some(id(10)), NOW), None);
        assert_eq!(rates.take(id(51), None, NOW), None);
    }

    #[test]
    fn the_memory_has_an_end() {
        let rates = CallerRates::new(60);
        for n in 0..=u128::try_from(REMEMBERED_MAX).unwrap() {
            rates.take(id(n), None, NOW);
        }
        assert!(rates.buckets.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
