//! What a process has to tell Redis, and what it asks.

use std::collections::{HashMap, HashSet};

use waxwing_core::ids::{ChannelId, ConversationId, NodeId};
use waxwing_core::time::Timestamp;

use super::micros;
use crate::deliver::pace::{Answer, Taking};

/// Pairs and channels that one call tells of; the rest follows in the next one.
const TOLD_MAX: usize = 1_000;
/// Pairs that wait to be told; beyond, only this process remembers them.
const PAIRS_MAX: usize = 20_000;

/// What was taken and given back since Redis was told last, in microseconds of each bucket.
#[derive(Debug, Default)]
pub(super) struct Owed {
    scopes: HashMap<ChannelId, i64>,
    pairs: HashMap<ConversationId, PairOwed>,
    /// Channels whose number of calls under way has changed.
    channels: HashSet<ChannelId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct PairOwed {
    micros: i64,
    /// The bucket has nothing before that moment.
    empty_until: Timestamp,
}

impl Owed {
    pub(super) fn take(&mut self, taking: &Taking) {
        self.add(taking, 1);
    }

    pub(super) fn give_back(&mut self, taking: &Taking) {
        self.add(taking, -1);
    }

    fn add(&mut self, taking: &Taking, times: i64) {
        *self.scopes.entry(taking.scope).or_default() += times * micros(taking.interval);
        if let Some(pair) = taking.pair
            && let Some(owed) = self.pair(taking.conversation)
        {
            owed.micros += times * micros(pair.interval());
        }
        self.channels.insert(taking.channel);
    }

    fn pair(&mut self, id: ConversationId) -> Option<&mut PairOwed> {
        let room = self.pairs.len() < PAIRS_MAX || self.pairs.contains_key(&id);
        room.then(|| self.pairs.entry(id).or_default())
    }

    /// An attempt has ended: there is one call less, and maybe something that was learned.
    pub(super) fn ended(&mut self, taking: &Taking, answer: Answer) {
        match answer {
            Answer::NotTried => return self.give_back(taking),
            // The speed is told with the bucket.
            Answer::TooFast(_) => {
                self.scopes.entry(taking.scope).or_default();
            }
            Answer::PairTooFast(until) => {
                if let Some(pair) = taking.pair
                    && let Some(owed) = self.pair(taking.conversation)
                {
                    owed.empty_until = owed.empty_until.max(until.plus(pair.ahead()));
                }
            }
            Answer::Accepted | Answer::Answered | Answer::Failed => {}
        }
        self.channels.insert(taking.channel);
    }

    /// Calls are under way on these channels.
    pub(super) fn tell_flights(&mut self, channels: Vec<ChannelId>) {
        self.channels.extend(channels);
    }

    pub(super) fn of_scope(&self, id: ChannelId) -> i64 {
        self.scopes.get(&id).copied().unwrap_or(0)
    }

    pub(super) fn of_pair(&self, id: ConversationId) -> i64 {
        self.pairs.get(&id).map_or(0, |owed| owed.micros)
    }

    /// Puts together what Redis is told and asked. What is asked for is owed no longer: the script takes it, or not.
    pub(super) fn settle(&mut self, takings: &[Taking], now: Timestamp) -> Ask {
        takings.iter().for_each(|taking| self.give_back(taking));
        let mut ask = Ask::default();
        let mut places = Places::default();
        for taking in takings {
            let message = AskMessage {
                scope: places.scope(&mut ask, taking.scope),
                ahead: micros(taking.ahead),
                interval: micros(taking.interval),
                pair: taking.pair.map(|pair| {
                    let place = places.pair(&mut ask, taking.conversation);
                    (place, micros(pair.ahead()), micros(pair.interval()))
                }),
                flight: places.flight(&mut ask, taking.channel),
                limit: taking.in_flight_max,
            };
            ask.flights[message.flight].asked += 1;
            ask.messages.push(message);
        }
        let scopes: Vec<_> = self.scopes.keys().copied().take(TOLD_MAX).collect();
        let room = TOLD_MAX.saturating_sub(ask.pairs.len());
        let pairs: Vec<_> = self.pairs.keys().copied().take(room).collect();
        let channels: Vec<_> = self.channels.iter().copied().take(TOLD_MAX).collect();
        scopes.into_iter().for_each(|id| {
            places.scope(&mut ask, id);
        });
        pairs.into_iter().for_each(|id| {
            places.pair(&mut ask, id);
        });
        channels.into_iter().for_each(|id| {
            places.flight(&mut ask, id);
        });
        for scope in &mut ask.scopes {
            scope.debt = self.scopes.remove(&scope.id).unwrap_or(0);
        }
        for pair in &mut ask.pairs {
            let owed = self.pairs.remove(&pair.id).unwrap_or_default();
            pair.debt = owed.micros;
            pair.rests_in = micros(owed.empty_until.since(now));
        }
        for flight in &ask.flights {
            self.channels.remove(&flight.id);
        }
        ask
    }
}

/// One call of the script.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) node: NodeId,
    pub(super) scopes: Vec<AskScope>,
    pub(super) pairs: Vec<AskPair>,
    pub(super) flights: Vec<AskFlight>,
    pub(super) messages: Vec<AskMessage>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            node: NodeId::from_uuid(uuid::Uuid::nil()),
            scopes: Vec::new(),
            pairs: Vec::new(),
            flights: Vec::new(),
            messages: Vec::new(),
        }
    }
}

impl Ask {
    pub(super) fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.pairs.is_empty() && self.flights.is_empty()
    }
}

/// The bucket of a number or key.
#[derive(Debug)]
pub(super) struct AskScope {
    pub(super) id: ChannelId,
    pub(super) debt: i64,
    pub(super) whole_in: i64,
    pub(super) rests_in: i64,
}

/// The bucket of a number and a person.
#[derive(Debug)]
pub(super) struct AskPair {
    pub(super) id: ConversationId,
    pub(super) debt: i64,
    pub(super) rests_in: i64,
}

/// The calls under way on a channel: those of this process, without those that are asked for.
#[derive(Debug)]
pub(super) struct AskFlight {
    pub(super) id: ChannelId,
    pub(super) asked: usize,
    pub(super) own: usize,
}

/// A message that wants to go; places count from zero.
#[derive(Debug)]
pub(super) struct AskMessage {
    pub(super) scope: usize,
    pub(super) ahead: i64,
    pub(super) interval: i64,
    /// Its place, how far ahead, its interval.
    pub(super) pair: Option<(usize, i64, i64)>,
    pub(super) flight: usize,
    pub(super) limit: usize,
}

/// What Redis says.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) goes: Vec<bool>,
    pub(super) scopes: Vec<AnswerScope>,
    pub(super) pairs: Vec<i64>,
    pub(super) others: Vec<usize>,
}

/// How a bucket stands.
#[derive(Debug)]
pub(super) struct AnswerScope {
    pub(super) owes: i64,
    pub(super) whole_in: i64,
    pub(super) rests_in: i64,
}

impl Answers {
    /// Takes the numbers of the script apart; `None` when there are not as many as the ask wants.
    pub(super) fn read(ask: &Ask, numbers: &[i64]) -> Option<Self> {
        let (goes, rest) = numbers.split_at_checked(ask.messages.len())?;
        let (scopes, rest) = rest.split_at_checked(3 * ask.scopes.len())?;
        let (pairs, others) = rest.split_at_checked(ask.pairs.len())?;
        if others.len() != ask.flights.len() {
            return None;
        }
        let scope = |of: &[i64]| match *of {
            [owes, whole_in, rests_in] => Some(AnswerScope {
                owes,
                whole_in,
                rests_in,
            }),
            _ => None,
        };
        Some(Self {
            goes: goes.iter().map(|goes| *goes == 1).collect(),
            scopes: scopes.chunks(3).filter_map(scope).collect(),
            pairs: pairs.to_vec(),
            others: others
                .iter()
                .map(|count| usize::try_from(*count).unwrap_or(0))
                .collect(),
        })
    }
}

/// Where in an ask something is.
#[derive(Default)]
struct Places {
    scopes: HashMap<ChannelId, usize>,
    pairs: HashMap<ConversationId, usize>,
    flights: HashMap<ChannelId, usize>,
}

impl Places {
    fn scope(&mut self, ask: &mut Ask, id: ChannelId) -> usize {
        *self.scopes.entry(id).or_insert_with(|| {
            ask.scopes.push(AskScope {
                id,
                debt: 0,
                whole_in: 0,
                rests_in: 0,
            });
            ask.scopes.len() - 1
        })
    }

    fn pair(&mut self, ask: &mut Ask, id: ConversationId) -> usize {
        *self.pairs.entry(id).or_insert_with(|| {
            ask.pairs.push(AskPair {
                id,
                debt: 0,
                rests_in: 0,
            });
            ask.pairs.len() - 1
        })
    }

    fn flight(&mut self, ask: &mut Ask, id: ChannelId) -> usize {
        *self.flights.entry(id).or_insert_with(|| {
            ask.flights.push(AskFlight {
                id,
                asked: 0,
                own: 0,
            });
            ask.flights.len() - 1
        })
    }
}
