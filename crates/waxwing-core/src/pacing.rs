//! The arithmetic of sending at the right speed: buckets, a speed that is learned from refusals, and a circuit breaker.
//!
//! All of it is plain data that is asked and told with the time; who keeps it (a process, Redis) is somebody else's
//! matter.

use std::time::Duration;

use crate::time::Timestamp;

/// Messages in a span, of which some may go at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Messages in `per`; at least one.
    pub messages: u32,
    /// The span.
    pub per: Duration,
    /// So many may go at once after a pause; at least one.
    pub burst: u32,
}

impl Rate {
    /// The time that one message takes.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per / self.messages.max(1)
    }

    /// How far ahead of its time the last message of a burst goes.
    #[must_use]
    pub fn ahead(self) -> Duration {
        self.interval() * self.burst.max(1).saturating_sub(1)
    }
}

/// What WhatsApp allows between one sender and one person: one message in six seconds, and 45 at once that are borrowed
/// from the time that follows (protocols/meta.md 17).
pub const PAIR: Rate = Rate {
    messages: 1,
    per: Duration::from_secs(6),
    burst: 45,
};

/// A bucket (GCRA): only the moment at which all that went has been paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    paid_at: Timestamp,
}

impl Bucket {
    /// When the next message may go, if it may go `ahead` of its time.
    #[must_use]
    pub fn ready_at(self, ahead: Duration) -> Timestamp {
        self.paid_at.minus(ahead)
    }

    /// Takes a message that goes now.
    pub fn take(&mut self, interval: Duration, now: Timestamp) {
        self.paid_at = self.paid_at.max(now).plus(interval);
    }

    /// Gives back a message that did not go.
    pub fn give_back(&mut self, interval: Duration) {
        self.paid_at = self.paid_at.minus(interval);
    }

    /// Nothing goes before `until`, not even `ahead` of its time.
    pub fn rest(&mut self, until: Timestamp, ahead: Duration) {
        self.paid_at = self.paid_at.max(until.plus(ahead));
    }

    /// How long it takes from now until all that went is paid for, in microseconds.
    #[must_use]
    pub fn owes(self, now: Timestamp) -> i64 {
        self.paid_at.micros().saturating_sub(now.micros()).max(0)
    }

    /// A bucket that owes so many microseconds.
    #[must_use]
    pub fn owing(micros: i64, now: Timestamp) -> Self {
        let paid_at = Timestamp::from_micros(now.micros().saturating_add(micros));
        Self { paid_at }
    }

    /// It knows nothing that an empty one does not.
    #[must_use]
    pub fn is_idle(self, now: Timestamp) -> bool {
        self.paid_at <= now
    }
}

/// Refusals closer together than this answer sends of the same moment: one halving for all of them.
const HALVE_EVERY: Duration = Duration::from_secs(1);
/// How long the way from nothing to full speed takes.
const RECOVERY: Duration = Duration::from_secs(60);
/// The slowest that a channel gets, as a share of its rate.
const SHARE_MIN: f64 = 1.0 / 64.0;
/// The longest rest that a refusal without a time of its own asks for.
const REST_MAX: Duration = Duration::from_secs(60);

/// The share of its rate at which a channel sends: halved when the provider refuses, growing by the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    share: f64,
    since: Timestamp,
    rests_until: Timestamp,
    refusals: u32,
}

impl Default for Speed {
    fn default() -> Self {
        Self {
            share: 1.0,
            since: Timestamp::default(),
            rests_until: Timestamp::default(),
            refusals: 0,
        }
    }
}

impl Speed {
    /// The share at a moment, above zero and at most one.
    #[must_use]
    pub fn share(self, now: Timestamp) -> f64 {
        let grown = now.since(self.since).as_secs_f64() / RECOVERY.as_secs_f64();
        (self.share + grown).min(1.0)
    }

    /// Nothing goes before this.
    #[must_use]
    pub const fn rests_until(self) -> Timestamp {
        self.rests_until
    }

    /// How long it takes from now until it is whole again, when nothing else happens. Of two speeds the slower one has
    /// the longer way.
    #[must_use]
    pub fn whole_in(self, now: Timestamp) -> Duration {
        RECOVERY.mul_f64(1.0 - self.share(now))
    }

    /// Somebody else who sends at this speed was refused: it is whole and rests no earlier than there.
    pub fn heard(&mut self, whole_in: Duration, rests_until: Timestamp, now: Timestamp) {
        if whole_in > self.whole_in(now) {
            let way = whole_in.as_secs_f64() / RECOVERY.as_secs_f64();
            self.share = (1.0 - way).max(SHARE_MIN);
            self.since = now;
        }
        self.rests_until = self.rests_until.max(rests_until);
    }

    /// The provider refused because it was too fast, and may have said for how long. `jitter` is a random number in
    /// `0.0..1.0`.
    pub fn refused(&mut self, after: Option<Duration>, now: Timestamp, jitter: f64) {
        if self.refusals == 0 || now.since(self.since) >= HALVE_EVERY {
            self.share = (self.share(now) / 2.0).max(SHARE_MIN);
            self.since = now;
            self.refusals = self.refusals.saturating_add(1);
        }
        let doubled = Duration::from_millis(500) * 2u32.pow(self.refusals.clamp(1, 8) - 1);
        let rest = after.unwrap_or_else(|| doubled.min(REST_MAX).mul_f64(0.5 + 0.5 * jitter));
        self.rests_until = self.rests_until.max(now.plus(rest));
    }

    /// The provider took a message: the next refusal is the first again.
    pub fn accepted(&mut self, now: Timestamp) {
        if now >= self.rests_until {
            self.refusals = 0;
        }
    }
}

/// Failures in a row that open a circuit.
pub const CIRCUIT_FAILURES: u32 = 8;
const OPEN_FIRST: Duration = Duration::from_secs(2);
const OPEN_MAX: Duration = Duration::from_secs(300);

/// How a circuit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Messages go.
    Closed,
    /// Nothing goes before that moment.
    Open(Timestamp),
    /// One message goes, to see whether the provider works again.
    HalfOpen,
    /// That one is under way.
    Probing,
}

/// A circuit breaker: a provider that does not work is asked seldom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Breaker {
    failures: u32,
    openings: u32,
    until: Option<Timestamp>,
    probing: bool,
}

impl Breaker {
    /// How it stands.
    #[must_use]
    pub fn circuit(self, now: Timestamp) -> Circuit {
        match self.until {
            None => Circuit::Closed,
            Some(until) if until > now => Circuit::Open(until),
            Some(_) if self.probing => Circuit::Probing,
            Some(_) => Circuit::HalfOpen,
        }
    }

    /// A message goes. In a half-open circuit it is the probe: the answer says so.
    pub fn begin(&mut self, now: Timestamp) -> bool {
        let probe = self.circuit(now) == Circuit::HalfOpen;
        self.probing |= probe;
        probe
    }

    /// The probe did not go after all.
    pub fn abandon(&mut self) {
        self.probing = false;
    }

    /// The provider answered, whatever it said. `true` when that closed the circuit.
    pub fn answered(&mut self) -> bool {
        let closed = self.until.is_some();
        *self = Self::default();
        closed
    }

    /// The provider failed. When that opens the circuit, the answer is until when. `jitter` is a random number in
    /// `0.0..1.0`.
    pub fn failed(&mut self, now: Timestamp, jitter: f64) -> Option<Timestamp> {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.circuit(now) {
            Circuit::Closed => self.failures >= CIRCUIT_FAILURES,
            Circuit::HalfOpen | Circuit::Probing => true,
            // Sent before it opened.
            Circuit::Open(_) => false,
        };
        if !opens {
            return None;
        }
        let whole = OPEN_FIRST
            .saturating_mul(2u32.pow(self.openings.min(16)))
            .min(OPEN_MAX);
        let until = now.plus(whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)));
        self.openings = self.openings.saturating_add(1);
        self.probing = false;
        self.until = Some(until);
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn any_rate() -> impl Strategy<Value = Rate> {
        (1u32..1_000, 1u64..10_000, 1u32..50).prop_map(|(messages, millis, burst)| Rate {
            messages,
            per: Duration::from_millis(millis),
            burst,
        })
    }

    proptest! {
        /// In any stretch of time no more goes than the burst and what that time allows.
        #[test]
        fn a_bucket_is_never_passed(rate in any_rate(), waits in proptest::collection::vec(0i64..50_000, 1..300)) {
            let mut bucket = Bucket::default();
            let mut now = at(1_000_000);
            let mut went = Vec::new();
            for wait in waits {
                now = now.plus(Duration::from_micros(wait.unsigned_abs()));
                if bucket.ready_at(rate.ahead()) <= now {
                    bucket.take(rate.interval(), now);
                    went.push(now);
                }
            }
            for (first, from) in went.iter().enumerate() {
                for (last, to) in went.iter().enumerate().skip(first) {
                    let span = to.since(*from).as_nanos();
                    let interval = rate.interval().as_micros().max(1) * 1_000;
                    let allowed = span / interval + u128::from(rate.burst) + 1;
                    prop_assert!((last - first + 1) as u128 <= allowed);
                }
            }
        }

        /// Who comes whenever the bucket is ready gets the whole rate, also when always a little late.
        #[test]
        fn a_bucket_is_used_up(late in 0u64..40) {
            let rate = Rate { messages: 80, per: Duration::from_secs(1), burst: 9 };
            let (mut bucket, start) = (Bucket::default(), at(1_000_000));
            let (mut now, mut went) = (start, 0u32);
            while now < start.plus(Duration::from_secs(20)) {
                while bucket.ready_at(rate.ahead()) <= now {
                    bucket.take(rate.interval(), now);
                    went += 1;
                }
                now = bucket.ready_at(rate.ahead()).plus(Duration::from_millis(late));
            }
            prop_assert!((1_590..=1_612).contains(&went), "{}", went);
        }

        #[test]
        fn what_is_given_back_was_never_taken(rate in any_rate(), count in 0u32..20) {
            let now = at(5_000);
            let mut bucket = Bucket::default();
            bucket.take(rate.interval(), now);
            let before = bucket;
            (0..count).for_each(|_| bucket.take(rate.interval(), now));
            (0..count).for_each(|_| bucket.give_back(rate.interval()));
            prop_assert_eq!(bucket, before);
        }

        #[test]
        fn a_speed_stays_within_bounds(events in proptest::collection::vec((0u64..5_000, any::<bool>(), 0.0f64..1.0), 0..200)) {
            let mut speed = Speed::default();
            let mut now = at(1_000_000);
            for (wait, refused, jitter) in events {
                now = now.plus(Duration::from_millis(wait));
                let before = speed.share(now);
                if refused {
                    speed.refused(None, now, jitter);
                    prop_assert!(speed.share(now) <= before);
                    prop_assert!(speed.rests_until() > now);
                    prop_assert!(speed.rests_until() <= now.plus(REST_MAX + REST_MAX));
                } else {
                    speed.accepted(now);
                }
                prop_assert!(speed.share(now) >= SHARE_MIN && speed.share(now) <= 1.0);
            }
            prop_assert!((speed.share(now.plus(RECOVERY)) - 1.0).abs() < 1e-9, "calm brings it back");
        }

        /// However messages end, an open circuit lets nothing through, and one that is half open a single message.
        #[test]
        fn a_circuit_holds(steps in proptest::collection::vec((0u64..20_000, 0u8..3, 0.0f64..1.0), 0..300)) {
            let mut breaker = Breaker::default();
            let mut now = at(0);
            let mut probes = 0;
            for (wait, what, jitter) in steps {
                now = now.plus(Duration::from_millis(wait));
                match what {
                    0 => match breaker.circuit(now) {
                        Circuit::Closed => prop_assert!(!breaker.begin(now)),
                        Circuit::HalfOpen => {
                            prop_assert!(breaker.begin(now));
                            probes += 1;
                            prop_assert_eq!(probes, 1);
                            prop_assert_eq!(breaker.circuit(now), Circuit::Probing);
                        }
                        Circuit::Open(until) => prop_assert!(until > now),
                        Circuit::Probing => prop_assert_eq!(probes, 1),
                    },
                    1 => {
                        if let Some(until) = breaker.failed(now, jitter) {
                            probes = 0;
                            prop_assert!(until > now && until <= now.plus(OPEN_MAX));
                        }
                    }
                    _ => {
                        breaker.answered();
                        probes = 0;
                        prop_assert_eq!(breaker.circuit(now), Circuit::Closed);
                    }
                }
            }
        }
    }

    #[test]
    fn a_pair_gets_its_burst_and_then_one_in_six_seconds() {
        let mut bucket = Bucket::default();
        let now = at(1_000_000);
        let mut went = 0;
        while bucket.ready_at(PAIR.ahead()) <= now {
            bucket.take(PAIR.interval(), now);
            went += 1;
        }
        assert_eq!(went, 45);
        assert_eq!(
            bucket.ready_at(PAIR.ahead()),
            now.plus(Duration::from_secs(6))
        );
        let until = now.plus(Duration::from_secs(100));
        bucket.rest(until, PAIR.ahead());
        assert_eq!(bucket.ready_at(PAIR.ahead()), until);
        assert!(!bucket.is_idle(now));
    }

    #[test]
    fn a_storm_of_refusals_halves_once_and_obeys_the_provider() {
        let mut speed = Speed::default();
        let now = at(10_000);
        for _ in 0..50 {
            speed.refused(Some(Duration::from_secs(7)), now, 0.3);
        }
        assert!((speed.share(now) - 0.5).abs() < 1e-9);
        assert_eq!(speed.rests_until(), now.plus(Duration::from_secs(7)));
        let later = now.plus(Duration::from_secs(10));
        assert!(speed.share(later) > 0.6);
    }

    #[test]
    fn the_slower_of_two_speeds_holds_for_both() {
        let now = at(10_000);
        let (mut refused, mut other) = (Speed::default(), Speed::default());
        refused.refused(Some(Duration::from_secs(7)), now, 0.3);
        other.heard(refused.whole_in(now), refused.rests_until(), now);
        assert!((other.share(now) - 0.5).abs() < 1e-9);
        assert_eq!(other.rests_until(), now.plus(Duration::from_secs(7)));
        let before = refused;
        refused.heard(Duration::from_secs(1), now, now);
        assert_eq!(refused, before, "who is faster changes nothing");
        let later = now.plus(Duration::from_secs(15));
        assert!((other.share(later) - refused.share(later)).abs() < 1e-9);
    }

    #[test]
    fn a_bucket_says_what_it_owes() {
        let now = at(10_000);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.owes(now), 0);
        bucket.take(Duration::from_millis(12), now);
        assert_eq!(bucket.owes(now), 12_000);
        assert_eq!(Bucket::owing(12_000, now), bucket);
    }

    #[test]
    fn a_dead_provider_is_asked_ever_less() {
        let mut breaker = Breaker::default();
        let mut now = at(0);
        for _ in 1..CIRCUIT_FAILURES {
            assert_eq!(breaker.failed(now, 1.0), None);
        }
        let mut last = Duration::ZERO;
        for _ in 0..5 {
            let until = breaker.failed(now, 1.0).expect("it opens");
            assert!(until.since(now) > last);
            last = until.since(now);
            now = until;
            assert!(breaker.begin(now), "the probe");
        }
        assert!(breaker.answered());
        assert_eq!(breaker.circuit(now), Circuit::Closed);
    }
}
