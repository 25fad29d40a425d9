//! Places for attempts in flight: a message is claimed only by somebody who holds one.
//!
//! The delivery worker takes them for what waits in the queue. A conversation worker takes them for replies that it
//! claims in the transaction that makes them, from a part only: what waits always finds the rest, in its turns.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use waxwing_core::ids::{ChannelId, TenantId};

/// Attempts in flight at most. With a provider that answers in 50 ms this is 20,000 a second.
pub(super) const IN_FLIGHT_MAX: usize = 1_024;
/// Attempts of one tenant in flight at most, so that one whose provider hangs leaves room for the others.
const IN_FLIGHT_PER_TENANT_MAX: usize = 512;
/// Beyond these, replies take their turn in the queue.
const FOR_REPLIES_MAX: usize = IN_FLIGHT_MAX / 2;
const FOR_REPLIES_PER_TENANT_MAX: usize = IN_FLIGHT_PER_TENANT_MAX / 2;

/// The places of this process. Closed until the delivery worker opens them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// One came back that somebody waits for, or the last one did.
    returned: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    taken: usize,
    by_tenant: HashMap<TenantId, usize>,
    /// Channels with replies that wait already: a new one must not overtake them for ever.
    waiting: HashSet<ChannelId>,
    /// The delivery worker found no room.
    wanted: bool,
}

impl State {
    fn of(&self, tenant: TenantId) -> usize {
        self.by_tenant.get(&tenant).copied().unwrap_or(0)
    }
}

/// A place; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    tenant: TenantId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.taken -= 1;
        if let Some(taken) = state.by_tenant.get_mut(&self.tenant) {
            *taken -= 1;
            if *taken == 0 {
                state.by_tenant.remove(&self.tenant);
            }
        }
        let awaited = std::mem::take(&mut state.wanted) || (!state.open && state.taken == 0);
        drop(state);
        if awaited {
            self.slots.0.returned.notify_one();
        }
    }
}

impl Slots {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on somebody sends what is claimed.
    pub(super) fn open(&self) {
        self.state().open = true;
    }

    /// Nothing new is claimed any more; those that are taken come back in time.
    pub(super) fn close(&self) {
        self.state().open = false;
    }

    /// A place for a message that waits in the queue.
    pub(super) fn take(&self, tenant: TenantId) -> Option<Slot> {
        self.take_below(tenant, IN_FLIGHT_MAX, IN_FLIGHT_PER_TENANT_MAX)
    }

    /// A place for a reply that does not wait in the queue at all; none while other replies of its channel wait there.
    pub(super) fn take_for_reply(&self, tenant: TenantId, channel: ChannelId) -> Option<Slot> {
        if self.state().waiting.contains(&channel) {
            return None;
        }
        self.take_below(tenant, FOR_REPLIES_MAX, FOR_REPLIES_PER_TENANT_MAX)
    }

    fn take_below(&self, tenant: TenantId, all: usize, of_tenant: usize) -> Option<Slot> {
        let mut state = self.state();
        if !state.open || state.taken >= all || state.of(tenant) >= of_tenant {
            return None;
        }
        state.taken += 1;
        *state.by_tenant.entry(tenant).or_default() += 1;
        let slots = self.clone();
        Some(Slot { slots, tenant })
    }

    /// A reply of the channel waits in the queue.
    pub(super) fn reply_waits(&self, channel: ChannelId) {
        self.state().waiting.insert(channel);
    }

    /// Forgets the channels of which nothing waits any more.
    pub(super) fn still_wait(&self, waits: impl Fn(ChannelId) -> bool) {
        self.state().waiting.retain(|channel| waits(*channel));
    }

    /// How many are free. Without any, [`Self::returned`] says when that changes.
    pub(super) fn free(&self) -> usize {
        let mut state = self.state();
        let free = IN_FLIGHT_MAX - state.taken;
        state.wanted |= free == 0;
        free
    }

    /// How many the tenant may still take. Without any, [`Self::returned`] says when that changes.
    pub(super) fn free_for(&self, tenant: TenantId) -> usize {
        let mut state = self.state();
        let free = IN_FLIGHT_PER_TENANT_MAX.saturating_sub(state.of(tenant));
        state.wanted |= free == 0;
        free
    }

    /// Waits until one comes back after there was no room, or the last one after the end began.
    pub(super) async fn returned(&self) {
        self.0.returned.notified().await;
    }

    /// Whether all are back.
    pub(super) fn all_back(&self) -> bool {
        self.state().taken == 0
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(n: usize) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(n as u128))
    }

    const CHANNEL: ChannelId = ChannelId::from_uuid(Uuid::from_u128(7));

    fn open() -> Slots {
        let slots = Slots::default();
        slots.open();
        slots
    }

    #[test]
    fn replies_leave_room_for_what_waits() {
        let slots = open();
        let replies: Vec<_> = (0..IN_FLIGHT_MAX)
            .filter_map(|n| slots.take_for_reply(tenant(n % 8), CHANNEL))
            .collect();
        assert_eq!(replies.len(), FOR_REPLIES_MAX);
        assert!(slots.take_for_reply(tenant(9), CHANNEL).is_none());
        let waiting: Vec<_> = (0..IN_FLIGHT_MAX)
            .filter_map(|n| slots.take(tenant(n)))
            .collect();
        assert_eq!(replies.len() + waiting.len(), IN_FLIGHT_MAX);
    }

    #[test]
    fn one_tenant_leaves_room_for_the_others() {
        let slots = open();
        let replies: Vec<_> = (0..IN_FLIGHT_MAX)
            .filter_map(|_| slots.take_for_reply(tenant(1), CHANNEL))
            .collect();
        assert_eq!(replies.len(), FOR_REPLIES_PER_TENANT_MAX);
        assert!(slots.take_for_reply(tenant(2), CHANNEL).is_some());
        let waiting: Vec<_> = (0..IN_FLIGHT_MAX)
            .filter_map(|_| slots.take(tenant(1)))
            .collect();
        assert_eq!(replies.len() + waiting.len(), IN_FLIGHT_PER_TENANT_MAX);
        assert_eq!(slots.free_for(tenant(1)), 0);
        drop(replies);
        assert_eq!(slots.free_for(tenant(1)), FOR_REPLIES_PER_TENANT_MAX);
        drop(waiting);
        assert!(slots.all_back());
    }

    #[test]
    fn a_reply_does_not_overtake_those_that_wait() {
        let slots = open();
        slots.reply_waits(CHANNEL);
        assert!(slots.take_for_reply(tenant(1), CHANNEL).is_none());
        let other = ChannelId::from_uuid(Uuid::from_u128(8));
        assert!(slots.take_for_reply(tenant(1), other).is_some());
        slots.still_wait(|channel| channel == CHANNEL);
        assert!(slots.take_for_reply(tenant(1), CHANNEL).is_none());
        slots.still_wait(|_| false);
        assert!(slots.take_for_reply(tenant(1), CHANNEL).is_some());
    }

    #[tokio::test]
    async fn closed_gives_none_and_tells_when_the_last_is_back() {
        let slots = Slots::default();
        assert!(
            slots.take(tenant(1)).is_none(),
            "closed until somebody sends"
        );
        slots.open();
        let last = slots.take(tenant(1)).unwrap();
        slots.close();
        assert!(slots.take(tenant(1)).is_none());
        assert!(slots.take_for_reply(tenant(1), CHANNEL).is_none());
        assert!(!slots.all_back());
        drop(last);
        slots.returned().await;
        assert!(slots.all_back());
    }
}
