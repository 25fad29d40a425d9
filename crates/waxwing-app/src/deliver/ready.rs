//! Which hinted message is next: tenants in turn, within a tenant by priority and order of arrival. Pure.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use waxwing_core::ids::{ConversationId, MessageId, TenantId};
use waxwing_store::domain::queue::Hint;

/// Hints that are kept; beyond, they are dropped and found again in the database.
const KEPT_MAX: usize = 20_000;

/// Priority, then order of arrival; the conversation only comes along.
type Place = (i64, MessageId, ConversationId);

/// The order of hinted messages.
#[derive(Debug, Default)]
pub(super) struct Ready {
    turns: VecDeque<TenantId>,
    queues: HashMap<TenantId, BinaryHeap<Reverse<Place>>>,
    known: HashSet<MessageId>,
}

impl Ready {
    /// Adds a hint; `false` when there is no room. One that is there already is not added again.
    pub(super) fn push(&mut self, hint: Hint) -> bool {
        if self.known.len() >= KEPT_MAX {
            return false;
        }
        if self.known.insert(hint.message_id) {
            let queue = self.queues.entry(hint.tenant_id).or_default();
            if queue.is_empty() {
                self.turns.push_back(hint.tenant_id);
            }
            queue.push(Reverse((
                hint.priority,
                hint.message_id,
                hint.conversation_id,
            )));
        }
        true
    }

    /// Takes up to `count` hints: one of each tenant in turn, and of no tenant more than `room` allows.
    pub(super) fn take(&mut self, count: usize, room: impl Fn(TenantId) -> usize) -> Vec<Hint> {
        let mut taken: Vec<Hint> = Vec::with_capacity(count.min(self.known.len()));
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
            let Some(queue) = self.queues.get_mut(&tenant_id) else {
                continue;
            };
            if let Some(Reverse((priority, message_id, conversation_id))) = queue.pop() {
                *given += 1;
                self.known.remove(&message_id);
                taken.push(Hint {
                    tenant_id,
                    conversation_id,
                    message_id,
                    priority,
                });
            }
            if queue.is_empty() {
                self.queues.remove(&tenant_id);
            } else {
                self.turns.push_back(tenant_id);
            }
        }
        // Those without room are the first when they have it again.
        full.into_iter()
            .rev()
            .for_each(|tenant| self.turns.push_front(tenant));
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn hint(tenant: u128, message: u128, priority: i64) -> Hint {
        Hint {
            tenant_id: TenantId::from_uuid(Uuid::from_u128(tenant)),
            conversation_id: ConversationId::from_uuid(Uuid::from_u128(message)),
            message_id: MessageId::from_uuid(Uuid::from_u128(message)),
            priority,
        }
    }

    #[test]
    fn tenants_take_turns_and_replies_overtake() {
        let mut ready = Ready::default();
        for message in 0..100 {
            assert!(ready.push(hint(1, message, 50)));
        }
        assert!(ready.push(hint(2, 500, 50)));
        assert!(ready.push(hint(1, 900, 10)));
        let first: Vec<_> = ready
            .take(3, |_| 9)
            .into_iter()
            .map(|hint| hint.message_id.uuid().as_u128())
            .collect();
        assert_eq!(first, [900, 500, 0]);
    }

    #[test]
    fn a_tenant_without_room_waits_and_is_first_again() {
        let mut ready = Ready::default();
        for message in 0..4 {
            ready.push(hint(1, message, 10));
            ready.push(hint(2, 10 + message, 10));
        }
        let one_has_no_room = |tenant: TenantId| usize::from(tenant.uuid().as_u128() != 1);
        assert_eq!(ready.take(8, one_has_no_room).len(), 1);
        assert_eq!(ready.take(1, |_| 9)[0].tenant_id.uuid().as_u128(), 1);
    }

    #[test]
    fn a_hint_is_kept_once_and_room_is_limited() {
        let mut ready = Ready::default();
        ready.push(hint(1, 1, 10));
        ready.push(hint(1, 1, 10));
        assert_eq!(ready.take(10, |_| 9).len(), 1);
        assert!(ready.is_empty());
        let accepted = (0..=KEPT_MAX)
            .filter(|message| ready.push(hint(1, *message as u128, 10)))
            .count();
        assert_eq!(accepted, KEPT_MAX);
    }
}
