//! Which hinted message is next: tenants in turn, their channels in turn, within a channel by priority and order of
//! arrival. Channels and people that have to wait rest here, so that nobody asks for them again and again. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};

use waxwing_core::ids::{ChannelId, ConversationId, MessageId, TenantId};
use waxwing_core::time::Timestamp;
use waxwing_store::domain::queue::Hint;

use super::pace::Hold;

/// Hints that are kept; beyond, they are dropped and found again in the database.
const KEPT_MAX: usize = 20_000;
/// Hints of one channel and priority that are kept, so that a channel that waits leaves room for the others.
const KEPT_PER_LINE_MAX: usize = 4_096;
/// With so many there is no need to look for more.
const ENOUGH: usize = 256;
/// With so few it is time to look for those that were dropped.
const FEW: usize = 64;

/// In the order of arrival; the conversation only comes along.
type Place = (MessageId, ConversationId);

/// Until when, its priority, what, of which tenant and channel.
type Apart = (Timestamp, i64, Place, TenantId, ChannelId);

/// The order of hinted messages.
#[derive(Debug, Default)]
pub(super) struct Ready {
    turns: VecDeque<TenantId>,
    tenants: HashMap<TenantId, Turns>,
    lines: HashMap<ChannelId, Line>,
    resting: BTreeSet<(Timestamp, ChannelId)>,
    /// Messages to people who have to wait.
    apart: BinaryHeap<Reverse<Apart>>,
    known: HashSet<MessageId>,
    wants_look: bool,
}

/// The channels of a tenant that have something to go, in turn. It is there while the tenant has a turn itself.
type Turns = VecDeque<ChannelId>;

/// What waits for one channel.
#[derive(Debug)]
struct Line {
    tenant_id: TenantId,
    /// By priority; none of them is empty.
    places: BTreeMap<i64, BinaryHeap<Reverse<Place>>>,
    rests: Option<Rest>,
    in_turn: bool,
    /// Hints were dropped.
    more: bool,
}

/// A channel rests.
#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Timestamp,
    /// For messages that are no more urgent than this.
    than: i64,
    /// Or until one of its messages is answered.
    or_answer: bool,
}

impl Ready {
    /// Adds a hint; `false` when there is no room. One that is there already is not added again.
    pub(super) fn push(&mut self, hint: Hint) -> bool {
        if self.known.contains(&hint.message_id) {
            return true;
        }
        if self.known.len() >= KEPT_MAX {
            return false;
        }
        let line = self.line(hint.tenant_id, hint.channel_id);
        let places = line.places.entry(hint.priority).or_default();
        if places.len() >= KEPT_PER_LINE_MAX {
            line.more = true;
            return true;
        }
        places.push(Reverse((hint.message_id, hint.conversation_id)));
        let wakes = line.rests.is_none_or(|rest| hint.priority < rest.than);
        self.known.insert(hint.message_id);
        if wakes {
            self.wake(hint.channel_id);
        }
        true
    }

    fn line(&mut self, tenant_id: TenantId, channel: ChannelId) -> &mut Line {
        self.lines.entry(channel).or_insert_with(|| Line {
            tenant_id,
            places: BTreeMap::new(),
            rests: None,
            in_turn: false,
            more: false,
        })
    }

    /// Whether something of the channel is here.
    pub(super) fn has(&self, channel: ChannelId) -> bool {
        self.lines
            .get(&channel)
            .is_some_and(|line| !line.places.is_empty())
    }

    /// A message of the channel was answered.
    pub(super) fn answered(&mut self, channel: ChannelId) {
        let waits = |line: &Line| line.rests.is_some_and(|rest| rest.or_answer);
        if self.lines.get(&channel).is_some_and(waits) {
            self.wake(channel);
        }
    }

    /// A channel may have its turn again.
    fn wake(&mut self, channel: ChannelId) {
        let Some(line) = self.lines.get_mut(&channel) else {
            return;
        };
        if let Some(rest) = line.rests.take() {
            self.resting.remove(&(rest.until, channel));
        }
        if line.in_turn || line.places.is_empty() {
            return;
        }
        line.in_turn = true;
        let tenant = line.tenant_id;
        let turns = &mut self.turns;
        let channels = self.tenants.entry(tenant).or_insert_with(|| {
            turns.push_back(tenant);
            Turns::new()
        });
        channels.push_back(channel);
    }

    /// Ends the rests that are over.
    fn rested(&mut self, now: Timestamp) {
        while let Some((until, channel)) = self.resting.first().copied()
            && until <= now
        {
            self.wake(channel);
        }
        while let Some(Reverse((until, ..))) = self.apart.peek()
            && *until <= now
        {
            let Some(Reverse((_, priority, place, tenant_id, channel))) = self.apart.pop() else {
                return;
            };
            let line = self.line(tenant_id, channel);
            line.places
                .entry(priority)
                .or_default()
                .push(Reverse(place));
            if line.rests.is_none_or(|rest| priority < rest.than) {
                self.wake(channel);
            }
        }
    }

    /// Takes up to `count` hints that `gate` lets go, with what it gives for each: one of each tenant in turn, and of no
    /// tenant more than `room` allows.
    pub(super) fn take<T>(
        &mut self,
        count: usize,
        now: Timestamp,
        room: impl Fn(TenantId) -> usize,
        mut gate: impl FnMut(&Hint) -> Result<T, Hold>,
    ) -> Vec<(Hint, T)> {
        self.rested(now);
        let mut taken = Vec::with_capacity(count.min(self.known.len()));
        let mut full = Vec::new();
        let mut given: HashMap<TenantId, usize> = HashMap::new();
        while taken.len() < count {
            let Some(tenant_id) = self.turns.pop_front() else {
                break;
            };
            let given = given.entry(tenant_id).or_default();
            if *given >= room(tenant_id) {
                full.push(tenant_id);
                continue;
            }
            if let Some(one) = self.one(tenant_id, &mut gate) {
                *given += 1;
                taken.push(one);
            }
            match self.tenants.get(&tenant_id) {
                Some(channels) if !channels.is_empty() => self.turns.push_back(tenant_id),
                _ => {
                    self.tenants.remove(&tenant_id);
                }
            }
        }
        // Those without room are the first when they have it again.
        full.into_iter()
            .rev()
            .for_each(|tenant| self.turns.push_front(tenant));
        taken
    }

    /// The next message of a tenant that may go. Channels that may not rest from now on.
    fn one<T>(
        &mut self,
        tenant_id: TenantId,
        gate: &mut impl FnMut(&Hint) -> Result<T, Hold>,
    ) -> Option<(Hint, T)> {
        loop {
            let channel = self.tenants.get_mut(&tenant_id)?.pop_front()?;
            let Some(line) = self.lines.get_mut(&channel) else {
                continue;
            };
            line.in_turn = false;
            while let Some((priority, place)) = line.pop() {
                let (message_id, conversation_id) = place;
                let hint = Hint {
                    tenant_id,
                    conversation_id,
                    channel_id: channel,
                    message_id,
                    priority,
                };
                match gate(&hint) {
                    Ok(permit) => {
                        self.known.remove(&message_id);
                        self.after(channel, priority);
                        return Some((hint, permit));
                    }
                    Err(Hold::Pair(until)) => {
                        let place = (until, priority, place, tenant_id, channel);
                        self.apart.push(Reverse(place));
                    }
                    Err(hold @ (Hold::Channel(until) | Hold::Answer(until))) => {
                        line.places
                            .entry(priority)
                            .or_default()
                            .push(Reverse(place));
                        line.rests = Some(Rest {
                            until,
                            than: priority,
                            or_answer: matches!(hold, Hold::Answer(_)),
                        });
                        self.resting.insert((until, channel));
                        break;
                    }
                }
            }
            self.forget(channel);
        }
    }

    /// A message of a channel has left its line.
    fn after(&mut self, channel: ChannelId, priority: i64) {
        if let Some(line) = self.lines.get_mut(&channel) {
            let left = line.places.get(&priority).map_or(0, BinaryHeap::len);
            if line.more && left <= FEW {
                line.more = false;
                self.wants_look = true;
            }
            if line.places.is_empty() {
                self.lines.remove(&channel);
            } else {
                self.wake(channel);
            }
        }
    }

    fn forget(&mut self, channel: ChannelId) {
        if self
            .lines
            .get(&channel)
            .is_some_and(|line| line.places.is_empty() && line.rests.is_none())
        {
            self.lines.remove(&channel);
        }
    }

    /// When the next rest is over.
    pub(super) fn rests_until(&self) -> Option<Timestamp> {
        let channel = self.resting.first().map(|(until, _)| *until);
        let apart = self.apart.peek().map(|Reverse((until, ..))| *until);
        channel.into_iter().chain(apart).min()
    }

    /// How many channels rest.
    pub(super) fn resting(&self) -> usize {
        self.resting.len()
    }

    /// Nothing can go now: what is left rests.
    pub(super) fn is_idle(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether dropped hints are needed now; says so once.
    pub(super) fn wants_look(&mut self) -> bool {
        std::mem::take(&mut self.wants_look)
    }

    /// Channels and priorities of which there is no need to know more.
    pub(super) fn enough(&self) -> HashSet<(ChannelId, i64)> {
        let full = self.lines.iter().flat_map(|(channel, line)| {
            line.places
                .iter()
                .filter(|(_, places)| places.len() >= ENOUGH)
                .map(|(priority, _)| (*channel, *priority))
        });
        full.collect()
    }

    /// Whether a message is known here.
    pub(super) fn knows(&self, message: MessageId) -> bool {
        self.known.contains(&message)
    }

    /// More messages of this channel wait in the database than were brought.
    pub(super) fn more_of(&mut self, channel: ChannelId) {
        if let Some(line) = self.lines.get_mut(&channel) {
            line.more = true;
        }
    }
}

impl Line {
    fn pop(&mut self) -> Option<(i64, Place)> {
        let mut first = self.places.first_entry()?;
        let priority = *first.key();
        let Reverse(place) = first.get_mut().pop()?;
        if first.get().is_empty() {
            first.remove();
        }
        Some((priority, place))
    }
}

#[cfg(test)]
mod tests;
