//! How fast this process sends: by sending number or key, by pair of number and contact, with as many calls at once as
//! a provider bears, and not at all to a provider that does not work.
//!
//! [`Limits`] is the seam: [`InProcess`] for a process that sends alone, `shared` for several. Whoever wants to send takes
//! a [`Permit`] before the claim and holds it until the answer is there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use waxwing_core::channel::{ChannelKind, ChannelLimits};
use waxwing_core::delivery::Purpose;
use waxwing_core::ids::{ChannelId, ConversationId};
use waxwing_core::pacing::{Breaker, Bucket, Circuit, PAIR, Rate, Speed};
use waxwing_core::time::Timestamp;
use waxwing_providers::messaging::Pace;
use waxwing_store::domain::queue::Hint;

use crate::metrics;

/// A worker is always a little late: so far ahead of its time may a message go to make up for it.
const SLACK: Duration = Duration::from_millis(100);
/// What is not urgent goes at these beats, so that the messages of many channels are claimed together.
const BEAT_MICROS: i64 = 50_000;
/// So much of the rate is kept for replies: they may go that far ahead of their time, what is not urgent may not; at
/// slow rates at least [`REPLIES_AHEAD`] messages.
const FOR_REPLIES: Duration = Duration::from_millis(150);
const REPLIES_AHEAD: u32 = 3;
/// A provider that has not answered anything for this long gets no more than [`STALLED_MAX`] calls at once.
const STALLED_AFTER: Duration = Duration::from_secs(1);
const STALLED_MAX: usize = 16;
/// How long something rests whose turn comes by an event; the event comes first.
const UNTIL_TOLD: Duration = Duration::from_secs(1);
/// What other processes have under way is known for this long; then they are asked again.
const OTHERS_FRESH: Duration = Duration::from_millis(100);
/// Pairs that are remembered; beyond, those that have nothing to pay are forgotten.
const PAIRS_MAX: usize = 100_000;

/// What holds for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The channels that share a rate have the same one: the first of them.
    pub scope: ChannelId,
    /// The provider's rate.
    pub rate: Rate,
    /// Between the sender and one person, where the provider has such a limit.
    pub pair: Option<Rate>,
    /// Calls at the same time.
    pub in_flight: usize,
}

impl Terms {
    /// The terms of a channel: the provider's, as far as nothing else is set.
    #[must_use]
    pub fn new(kind: ChannelKind, pace: Pace, limits: ChannelLimits, scope: ChannelId) -> Self {
        let (messages, per) = match limits.messages_per_second {
            Some(messages) => (messages.max(1), Duration::from_secs(1)),
            None => (pace.messages.max(1), pace.per),
        };
        let rate = Rate {
            messages,
            per,
            burst: 1,
        };
        let pair = match kind {
            ChannelKind::Meta | ChannelKind::Dialog360 => Some(Rate {
                burst: limits.contact_burst.unwrap_or(PAIR.burst).max(1),
                ..PAIR
            }),
            ChannelKind::Twilio | ChannelKind::Msg91 => {
                limits.contact_burst.map(|burst| Rate { burst, ..PAIR })
            }
        };
        let concurrency = limits.concurrency.unwrap_or(pace.concurrency).max(1);
        Self {
            scope,
            rate,
            pair,
            in_flight: usize::try_from(concurrency).unwrap_or(usize::MAX),
        }
    }
}

/// Why a message cannot go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing of this urgency goes through the channel before.
    Channel(Timestamp),
    /// Nothing goes through the channel before one of its messages is answered, or before that moment.
    Answer(Timestamp),
    /// Nothing goes to this person before.
    Pair(Timestamp),
}

/// How the attempt of a permit ended, as far as the speed is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The provider took it.
    Accepted,
    /// It answered something else.
    Answered,
    /// Too fast for the number, the account or the app.
    TooFast(Option<Duration>),
    /// Too fast for this person; not before.
    PairTooFast(Timestamp),
    /// It failed or did not answer.
    Failed,
    /// Nothing was tried.
    NotTried,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Learned {
    /// The circuit opened until then, or, with `None`, closed.
    pub(super) circuit: Option<Option<Timestamp>>,
    /// Nothing goes through the channel before.
    pub(super) rests_until: Timestamp,
}

/// Keeps the limits of all channels.
#[async_trait]
pub(super) trait Limits: Send + Sync + fmt::Debug {
    /// Takes what one message needs, or says how long it has to wait.
    fn take(&self, terms: &Terms, hint: &Hint, now: Timestamp) -> Result<Taking, Hold>;
    /// Gives back what was not used.
    fn give_back(&self, taking: &Taking);
    /// Learns from the end of an attempt. `jitter` is a random number in `0.0..1.0`.
    fn ended(&self, taking: &Taking, answer: Answer, now: Timestamp, jitter: f64) -> Learned;

    /// Asks whether other processes leave room for what was taken, for all at once. What they do not is to be given
    /// back; [`Self::take`] knows then until when.
    async fn agree(&self, takings: &[Taking]) -> Vec<bool> {
        vec![true; takings.len()]
    }

    /// So many processes send, this one included.
    fn workers(&self, _count: u32) {}
}

/// What was taken for one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking {
    pub(super) scope: ChannelId,
    pub(super) channel: ChannelId,
    pub(super) conversation: ConversationId,
    /// What it costs, at the speed of the moment.
    pub(super) interval: Duration,
    /// How far ahead of its time it may go.
    pub(super) ahead: Duration,
    pub(super) pair: Option<Rate>,
    pub(super) in_flight_max: usize,
    probe: bool,
}

/// The right to send one message. Dropped before [`Permit::ended`], nothing was sent.
#[derive(Debug)]
pub(super) struct Permit {
    limits: Arc<dyn Limits>,
    taking: Option<Taking>,
}

impl Permit {
    /// Takes what a message needs.
    pub(super) fn take(
        limits: &Arc<dyn Limits>,
        terms: &Terms,
        hint: &Hint,
        now: Timestamp,
    ) -> Result<Self, Hold> {
        let taking = limits.take(terms, hint, now)?;
        Ok(Self {
            limits: Arc::clone(limits),
            taking: Some(taking),
        })
    }

    /// Asks for all of them at once whether other processes leave room. What they do not leaves its permit and comes
    /// second.
    pub(super) async fn agree(
        limits: &Arc<dyn Limits>,
        wanted: Vec<(Hint, Option<Self>)>,
    ) -> (Vec<(Hint, Option<Self>)>, Vec<Hint>) {
        let takings: Vec<Taking> = wanted
            .iter()
            .filter_map(|(_, permit)| permit.as_ref()?.taking)
            .collect();
        if takings.is_empty() {
            return (wanted, Vec::new());
        }
        let mut goes = limits.agree(&takings).await.into_iter();
        let (mut agreed, mut refused) = (Vec::with_capacity(wanted.len()), Vec::new());
        for (hint, permit) in wanted {
            if permit.is_none() || goes.next() == Some(true) {
                agreed.push((hint, permit));
            } else {
                refused.push(hint);
            }
        }
        (agreed, refused)
    }

    /// The attempt has ended.
    pub(super) fn ended(mut self, answer: Answer, now: Timestamp, jitter: f64) -> Learned {
        self.taking.take().map_or_else(Learned::default, |taking| {
            self.limits.ended(&taking, answer, now, jitter)
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(taking) = self.taking.take() {
            self.limits.give_back(&taking);
        }
    }
}

/// The limits of one process that shares them with nobody.
#[derive(Debug, Default)]
pub(super) struct InProcess(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    scopes: HashMap<ChannelId, Scope>,
    channels: HashMap<ChannelId, Line>,
    pairs: HashMap<ConversationId, Bucket>,
    open: usize,
}

#[derive(Debug, Default)]
struct Scope {
    bucket: Bucket,
    speed: Speed,
}

#[derive(Debug, Default)]
struct Line {
    breaker: Breaker,
    in_flight: usize,
    /// Those of other processes, and when that was.
    others: (usize, Timestamp),
    /// The last sign of life, or when the calls in flight began.
    heard_at: Timestamp,
}

impl Line {
    fn hold(&self, terms: &Terms, now: Timestamp) -> Option<Hold> {
        match self.breaker.circuit(now) {
            Circuit::Open(until) => return Some(Hold::Channel(until)),
            Circuit::Probing => return Some(Hold::Answer(now.plus(UNTIL_TOLD))),
            Circuit::Closed | Circuit::HalfOpen => {}
        }
        let stalled = self.in_flight >= STALLED_MAX && now.since(self.heard_at) > STALLED_AFTER;
        if stalled || self.in_flight >= terms.in_flight {
            return Some(Hold::Answer(now.plus(UNTIL_TOLD)));
        }
        let (others, known_at) = self.others;
        let full = self.in_flight + others >= terms.in_flight;
        (full && now.since(known_at) < OTHERS_FRESH)
            .then(|| Hold::Answer(known_at.plus(OTHERS_FRESH)))
    }
}

impl InProcess {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The speed of a scope.
    pub(super) fn speed(&self, scope: ChannelId) -> Speed {
        let state = self.state();
        state
            .scopes
            .get(&scope)
            .map_or_else(Speed::default, |scope| scope.speed)
    }

    /// The calls under way on a channel.
    pub(super) fn in_flight_of(&self, channel: ChannelId) -> usize {
        let state = self.state();
        state
            .channels
            .get(&channel)
            .map_or(0, |line| line.in_flight)
    }

    /// The channels with calls under way.
    pub(super) fn in_flight(&self) -> Vec<ChannelId> {
        let state = self.state();
        let busy = state.channels.iter().filter(|(_, line)| line.in_flight > 0);
        busy.map(|(channel, _)| *channel).collect()
    }

    /// What all processes together took from a scope, and how fast they may be.
    pub(super) fn learn_scope(
        &self,
        scope: ChannelId,
        owes: i64,
        whole_in: Duration,
        rests_until: Timestamp,
        now: Timestamp,
    ) {
        let mut state = self.state();
        let scope = state.scopes.entry(scope).or_default();
        scope.bucket = Bucket::owing(owes, now);
        scope.speed.heard(whole_in, rests_until, now);
    }

    /// What all processes together took from a pair.
    pub(super) fn learn_pair(&self, pair: ConversationId, owes: i64, now: Timestamp) {
        let mut state = self.state();
        if owes <= 0 {
            state.pairs.remove(&pair);
        } else if state.pairs.len() < PAIRS_MAX || state.pairs.contains_key(&pair) {
            state.pairs.insert(pair, Bucket::owing(owes, now));
        }
    }

    /// The calls that other processes have under way on a channel.
    pub(super) fn learn_others(&self, channel: ChannelId, others: usize, now: Timestamp) {
        self.state().channels.entry(channel).or_default().others = (others, now);
    }
}

#[async_trait]
impl Limits for InProcess {
    fn take(&self, terms: &Terms, hint: &Hint, now: Timestamp) -> Result<Taking, Hold> {
        let mut state = self.state();
        let state = &mut *state;
        let line = state.channels.entry(hint.channel_id).or_default();
        if let Some(hold) = line.hold(terms, now) {
            return Err(hold);
        }
        let scope = state.scopes.entry(terms.scope).or_default();
        let urgent = hint.priority <= i64::from(Purpose::Reply.priority());
        let ahead = if urgent {
            SLACK + FOR_REPLIES.max(terms.rate.interval() * REPLIES_AHEAD)
        } else {
            SLACK
        };
        let ready = scope.bucket.ready_at(ahead).max(scope.speed.rests_until());
        if ready > now {
            let until = if urgent { ready } else { next_beat(ready) };
            return Err(Hold::Channel(until));
        }
        if let Some(pair) = terms.pair {
            let bucket = state.pairs.get(&hint.conversation_id).copied();
            let ready = bucket.unwrap_or_default().ready_at(pair.ahead());
            if ready > now {
                return Err(Hold::Pair(ready));
            }
            take_pair(&mut state.pairs, hint.conversation_id, pair, now);
        }
        let interval = terms.rate.interval().div_f64(scope.speed.share(now));
        scope.bucket.take(interval, now);
        if line.in_flight == 0 {
            line.heard_at = now;
        }
        line.in_flight += 1;
        Ok(Taking {
            scope: terms.scope,
            channel: hint.channel_id,
            conversation: hint.conversation_id,
            interval,
            ahead,
            pair: terms.pair,
            in_flight_max: terms.in_flight,
            probe: line.breaker.begin(now),
        })
    }

    fn give_back(&self, taking: &Taking) {
        let mut state = self.state();
        if let Some(scope) = state.scopes.get_mut(&taking.scope) {
            scope.bucket.give_back(taking.interval);
        }
        if let (Some(pair), Some(bucket)) = (taking.pair, state.pairs.get_mut(&taking.conversation))
        {
            bucket.give_back(pair.interval());
        }
        if let Some(line) = state.channels.get_mut(&taking.channel) {
            line.in_flight = line.in_flight.saturating_sub(1);
            if taking.probe {
                line.breaker.abandon();
            }
        }
    }

    fn ended(&self, taking: &Taking, answer: Answer, now: Timestamp, jitter: f64) -> Learned {
        if answer == Answer::NotTried {
            self.give_back(taking);
            return Learned::default();
        }
        let mut state = self.state();
        let state = &mut *state;
        let scope = state.scopes.entry(taking.scope).or_default();
        match answer {
            Answer::Accepted => scope.speed.accepted(now),
            Answer::TooFast(after) => scope.speed.refused(after, now, jitter),
            Answer::PairTooFast(until) => {
                if let Some(pair) = taking.pair {
                    let bucket = state.pairs.entry(taking.conversation).or_default();
                    bucket.rest(until, pair.ahead());
                }
            }
            Answer::Answered | Answer::Failed | Answer::NotTried => {}
        }
        let mut learned = Learned {
            circuit: None,
            rests_until: scope.speed.rests_until(),
        };
        let line = state.channels.entry(taking.channel).or_default();
        line.in_flight = line.in_flight.saturating_sub(1);
        if answer == Answer::Failed {
            let was_open = line.breaker.circuit(now) != Circuit::Closed;
            if let Some(until) = line.breaker.failed(now, jitter) {
                learned.circuit = Some(Some(until));
                state.open += usize::from(!was_open);
            }
            if let Circuit::Open(until) = line.breaker.circuit(now) {
                learned.rests_until = learned.rests_until.max(until);
            }
        } else {
            line.heard_at = now;
            if line.breaker.answered() {
                learned.circuit = Some(None);
                state.open = state.open.saturating_sub(1);
            }
        }
        if learned.circuit.is_some() {
            let open = u32::try_from(state.open).unwrap_or(u32::MAX);
            ::metrics::gauge!(metrics::CIRCUITS_OPEN).set(f64::from(open));
        }
        learned
    }
}

fn next_beat(at: Timestamp) -> Timestamp {
    let beats = at.micros().saturating_add(BEAT_MICROS - 1) / BEAT_MICROS;
    Timestamp::from_micros(beats.saturating_mul(BEAT_MICROS))
}

fn take_pair(
    pairs: &mut HashMap<ConversationId, Bucket>,
    conversation: ConversationId,
    pair: Rate,
    now: Timestamp,
) {
    if pairs.len() >= PAIRS_MAX {
        pairs.retain(|_, bucket| !bucket.is_idle(now));
    }
    let room = pairs.len() < PAIRS_MAX;
    match pairs.entry(conversation) {
        Entry::Occupied(mut bucket) => bucket.get_mut().take(pair.interval(), now),
        // Nobody writes to so many people within a pair's six seconds; if so, the provider says it.
        Entry::Vacant(place) if room => {
            place.insert(Bucket::default()).take(pair.interval(), now);
        }
        Entry::Vacant(_) => {}
    }
}

#[cfg(test)]
mod tests;
