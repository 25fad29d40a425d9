//! The guard on failed media reads: 20 within 60 minutes block all media reads of the number for 30 minutes
//! (360dialog.md section 3).

use std::collections::VecDeque;

const FAILURES: usize = 20;
const WITHIN_MS: u64 = 60 * 60 * 1000;
const BLOCK_MS: u64 = 30 * 60 * 1000;

/// Counts the failed media reads of one number. Times are milliseconds of the emulator's clock.
#[derive(Debug, Default)]
pub(crate) struct MediaGuard {
    failures: VecDeque<u64>,
    blocked_until: u64,
}

impl MediaGuard {
    pub(crate) const fn is_blocked(&self, now: u64) -> bool {
        now < self.blocked_until
    }

    /// Notes a media read that found nothing.
    pub(crate) fn failed(&mut self, now: u64) {
        while self
            .failures
            .front()
            .is_some_and(|at| at.saturating_add(WITHIN_MS) <= now)
        {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        if self.failures.len() >= FAILURES {
            self.failures.clear();
            self.blocked_until = now.saturating_add(BLOCK_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_MS, MediaGuard, WITHIN_MS};

    #[test]
    fn blocks_after_twenty_failures_in_an_hour() {
        let mut guard = MediaGuard::default();
        for n in 0..19 {
            guard.failed(n);
            assert!(!guard.is_blocked(n));
        }
        guard.failed(100);
        assert!(guard.is_blocked(100) && guard.is_blocked(100 + BLOCK_MS - 1));
        assert!(!guard.is_blocked(100 + BLOCK_MS));
    }

    #[test]
    fn forgets_failures_after_an_hour() {
        let mut guard = MediaGuard::default();
        for n in 0..19 {
            guard.failed(n);
        }
        guard.failed(WITHIN_MS + 18);
        assert!(!guard.is_blocked(WITHIN_MS + 18));
    }
}
