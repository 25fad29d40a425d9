//! Replies that are claimed in the transaction that makes them: one commit less between a message and its answer.
//!
//! The claim is the queue's own, with all that it checks. Whoever claims holds a slot and a permit first; what finds none
//! waits in the queue as everything else does.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use waxwing_core::ids::{AttemptId, MessageId, NodeId};
use waxwing_store::domain::queue::{self, Claimed, Hint};
use waxwing_store::{StoreError, Tx};

use super::pace::Permit;
use super::slots::Slot;
use super::{DeliverySignal, held};
use crate::Base;
use crate::directory::Directory;

/// A claimed message on its way to the delivery worker.
pub(crate) struct Taken {
    pub(super) claimed: Claimed,
    pub(super) claimed_at: Instant,
    pub(super) holds: Holds,
}

/// What somebody holds who claims a message; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Holds {
    pub(super) slot: Slot,
    /// None for a channel that is not in the directory: the attempt to send finds that out.
    pub(super) permit: Option<Permit>,
}

impl Taken {
    pub(crate) const fn message_id(&self) -> MessageId {
        self.claimed.message_id
    }
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Taken")
            .field(&self.claimed.message_id)
            .finish()
    }
}

/// The attempts that a transaction began, in all of its runs. When its commit is in doubt, these have to be taken back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<Vec<(Hint, AttemptId)>>>);

impl Attempts {
    fn add(&self, attempts: &[(Hint, AttemptId)]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(attempts);
    }

    /// Those so far.
    pub(crate) fn take(&self) -> Vec<(Hint, AttemptId)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a transaction that claims for this process needs.
pub(crate) struct Claimer<'a> {
    pub(crate) base: &'a Base,
    pub(crate) directory: &'a Directory,
    pub(crate) node: NodeId,
}

/// What became of replies in the transaction that made them.
pub(crate) struct Direct {
    /// Claimed: for [`DeliverySignal::send_now`] after the commit. Dropped, they give back what they hold.
    pub(crate) taken: Vec<Taken>,
    /// What waits, and what may go in the place of messages that ended at the gate.
    pub(crate) hints: Vec<Hint>,
}

impl DeliverySignal {
    /// Claims messages that this transaction has queued, of each conversation the first, as far as there are slots and
    /// their channels may send now.
    pub(crate) fn claim_now(
        &self,
        tx: &mut Tx<'_>,
        claimer: &Claimer<'_>,
        hints: &[Hint],
        attempts: &Attempts,
    ) -> Result<Direct, StoreError> {
        let (base, now) = (claimer.base, claimer.base.clock.now());
        let mut lanes = HashSet::with_capacity(hints.len());
        let (mut claims, mut holds) = (Vec::new(), HashMap::new());
        for hint in hints {
            if lanes.insert((hint.tenant_id, hint.conversation_id))
                && let Some(slot) = self.slots.take_for_reply(hint.tenant_id, hint.channel_id)
                && let Some(channel) = claimer.directory.channel(hint.channel_id)
                && let Ok(permit) = Permit::take(&self.limits, &channel.terms, hint, now)
            {
                claims.push((*hint, AttemptId::new(&*base.ids)));
                let permit = Some(permit);
                holds.insert(hint.message_id, Holds { slot, permit });
            }
        }
        if claims.is_empty() {
            let (taken, hints) = (Vec::new(), hints.to_vec());
            return Ok(Direct { taken, hints });
        }
        attempts.add(&claims);
        let claimed_at = Instant::now();
        let done = queue::claim(tx, &base.keyring, &claims, claimer.node, now)?;
        let mut waits = held::tell(tx, base, &done.held)?;
        let taken = pair(done.claimed, holds, claimed_at);
        let claimed: HashSet<_> = taken.iter().map(Taken::message_id).collect();
        waits.extend(
            hints
                .iter()
                .filter(|hint| !claimed.contains(&hint.message_id)),
        );
        let hints = waits;
        Ok(Direct { taken, hints })
    }

    /// Hands claimed messages to the delivery worker. Only after the commit.
    pub(crate) fn send_now(&self, taken: Vec<Taken>) {
        for taken in taken {
            // Only without a worker; then the process ends, and its claims become visible unknowns.
            if let Err(error) = self.taken.try_send(taken) {
                tracing::error!(%error, "a claimed message has nobody to send it");
            }
        }
    }
}

/// Gives each claimed message what was taken for it. What the others held is free again.
pub(super) fn pair(
    claimed: Vec<Claimed>,
    mut holds: HashMap<MessageId, Holds>,
    claimed_at: Instant,
) -> Vec<Taken> {
    let taken = |claimed: Claimed| {
        holds.remove(&claimed.message_id).map(|holds| Taken {
            claimed,
            claimed_at,
            holds,
        })
    };
    claimed.into_iter().filter_map(taken).collect()
}

#[cfg(test)]
mod tests;
