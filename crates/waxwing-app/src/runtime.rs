//! The real clock and the real source of ids. Everything else gets them injected.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{ContextV7, Timestamp as UuidTime, Uuid};
use waxwing_core::ids::IdSource;
use waxwing_core::time::{Clock, Timestamp};

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clock"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// UUIDv7 ids that rise strictly within the process, also when the clock steps back.
#[derive(Debug)]
pub struct SystemIds {
    context: Mutex<ContextV7>,
}

impl SystemIds {
    /// A fresh source.
    #[must_use]
    pub fn new() -> Self {
        Self {
            context: Mutex::new(ContextV7::new()),
        }
    }
}

impl Default for SystemIds {
    fn default() -> Self {
        Self::new()
    }
}

impl IdSource for SystemIds {
    fn next(&self) -> Uuid {
        let now = SystemClock.now();
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let nanos = u32::try_from(now.micros().rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        let context = self
            .context
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Uuid::new_v7(UuidTime::from_unix(&*context, seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise() {
        let ids = SystemIds::new();
        let mut last = Uuid::nil();
        for _ in 0..100_000 {
            let next = ids.next();
            assert!(next > last);
            last = next;
        }
    }
}
