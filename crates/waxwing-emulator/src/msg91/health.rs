//! MSG91's patience with a webhook: five retries, and a pause for receivers that fail too often (msg91.md section 4).

use std::time::Duration;

/// Delays between attempts in multiples of the first, which is 30 seconds: 30 s, 1, 5, 15 and 30 minutes.
const STEPS: [u32; 5] = [1, 2, 10, 30, 60];
/// Requests from which on the share of failures counts.
const FROM: u64 = 10;

/// Delay before the next attempt when `failed` attempts were made, with `first` standing for the 30 seconds; `None` after
/// the last.
pub(crate) fn retry(first: Duration, failed: u32) -> Option<Duration> {
    let step = STEPS.get(usize::try_from(failed.checked_sub(1)?).ok()?)?;
    Some(first.saturating_mul(*step))
}

/// What a webhook's receiver answered so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Health {
    requests: u64,
    failures: u64,
    paused: bool,
}

impl Health {
    /// Notes an answer; more than 2 % failures pause the webhook.
    pub(crate) const fn note(&mut self, good: bool) {
        self.requests += 1;
        if !good {
            self.failures += 1;
        }
        if self.requests >= FROM && self.failures * 50 > self.requests {
            self.paused = true;
        }
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }
}

/// Calls in the current minute of one key.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Minute {
    started_ms: u64,
    calls: u32,
}

impl Minute {
    /// Takes one call; false above the limit. The minute is a fixed window: no document says how it is counted.
    pub(crate) const fn take(&mut self, limit: u32, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.started_ms) >= 60_000 {
            self.started_ms = now_ms;
            self.calls = 0;
        }
        if self.calls >= limit {
            return false;
        }
        self.calls += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Health, Minute, retry};

    #[test]
    fn retries_as_documented() {
        let all: Vec<Option<u64>> = (0..=6)
            .map(|n| retry(Duration::from_secs(30), n).map(|d| d.as_secs()))
            .collect();
        assert_eq!(
            all,
            [
                None,
                Some(30),
                Some(60),
                Some(300),
                Some(900),
                Some(1800),
                None
            ]
        );
    }

    #[test]
    fn pauses_above_two_percent_from_ten_requests_on() {
        let mut health = Health::default();
        health.note(false);
        for _ in 0..8 {
            health.note(true);
        }
        assert!(!health.is_paused(), "nine requests are too few");
        health.note(true);
        assert!(health.is_paused(), "one of ten is too many");
        let mut health = Health::default();
        for _ in 0..49 {
            health.note(true);
        }
        health.note(false);
        assert!(!health.is_paused(), "one of fifty is 2 %");
        health.note(false);
        assert!(health.is_paused());
    }

    #[test]
    fn a_minute_has_its_calls() {
        let mut minute = Minute::default();
        assert!(minute.take(2, 100_000) && minute.take(2, 100_001));
        assert!(!minute.take(2, 159_999));
        assert!(minute.take(2, 160_000));
    }
}
