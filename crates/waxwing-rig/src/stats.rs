//! Time, order statistics and small random numbers.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the rig plays the world outside, whose clock is the real one"
)]
pub fn now_micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Seconds since 1970.
#[must_use]
pub fn now_seconds() -> u64 {
    now_micros() / 1_000_000
}

/// A time as the API takes it.
#[must_use]
pub fn rfc3339(micros: u64) -> String {
    i64::try_from(micros)
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// The value below which `share` of the values lie.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a list of at most some millions"
)]
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len()) - 1;
    values[place]
}

/// Pseudo-random numbers from a seed (SplitMix64): the same seed plays the same run, as far as the machine allows.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice with a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// Whether something of this chance (in percent) happens.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A number in `0..length` as a place in a list.
    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length.max(1)).unwrap_or(1))).unwrap_or(0)
    }

    /// Dice of another player of the same run.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.roll())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_list() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.5), 50.0);
        assert_eq!(quantile(&mut values, 0.99), 99.0);
        assert_eq!(quantile(&mut values, 1.0), 100.0);
        assert_eq!(quantile(&mut [7.0], 0.5), 7.0);
        assert!(quantile(&mut [], 0.5).is_nan());
    }

    #[test]
    fn times_are_written_as_the_api_reads_them() {
        assert_eq!(rfc3339(1_764_000_000_250_000), "2025-11-24T16:00:00.25Z");
    }

    #[test]
    fn dice_repeat_by_seed() {
        let (mut one, mut two) = (Dice::new(7), Dice::new(7));
        assert!((0..100).all(|_| one.roll() == two.roll()));
        assert_ne!(one.fork().roll(), one.roll());
    }
}
