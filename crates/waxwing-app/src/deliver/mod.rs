//! Deliver: queued messages go out, in order by conversation, fairly by tenant, and every end is recorded.

mod assets;
mod direct;
mod held;
mod media;
mod pace;
mod ready;
mod record;
mod sender;
mod shared;
mod slots;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc};
use waxwing_store::domain::queue::Hint;

pub(crate) use direct::{Attempts, Claimer, Direct, Taken};
pub use pace::Terms;
use pace::{InProcess, Limits};
pub(crate) use record::settle;
pub use shared::{LinkError, SharedLimits, look as look_at_redis};
use slots::Slots;
pub use worker::{DeliverOptions, run};

/// Hints that wait for the delivery worker; beyond, it looks into the database instead.
const HINTS_MAX: usize = 16_384;

/// Tells the delivery worker where messages may be due. Losing a hint costs time, never a message.
#[derive(Debug, Clone)]
pub struct DeliverySignal {
    hints: mpsc::Sender<Hint>,
    taken: mpsc::Sender<Taken>,
    slots: Slots,
    limits: Arc<dyn Limits>,
    look: Arc<Look>,
}

#[derive(Debug, Default)]
struct Look {
    wanted: AtomicBool,
    wake: Notify,
}

/// The worker's end of a [`DeliverySignal`].
#[derive(Debug)]
pub struct DeliveryInbox {
    hints: mpsc::Receiver<Hint>,
    taken: mpsc::Receiver<Taken>,
    slots: Slots,
    limits: Arc<dyn Limits>,
    look: Arc<Look>,
}

/// A signal and its other end, with the limits of a process that sends alone.
#[must_use]
pub fn signal() -> (DeliverySignal, DeliveryInbox) {
    signal_with(Arc::new(InProcess::default()))
}

/// A signal and its other end, with limits that several processes share.
#[must_use]
pub fn signal_sharing(limits: &SharedLimits) -> (DeliverySignal, DeliveryInbox) {
    let limits = Arc::clone(&limits.0);
    signal_with(limits)
}

fn signal_with(limits: Arc<dyn Limits>) -> (DeliverySignal, DeliveryInbox) {
    let (sender, receiver) = mpsc::channel(HINTS_MAX);
    // Each of these holds a slot, so there is always room for one more.
    let (hand, handed) = mpsc::channel(slots::IN_FLIGHT_MAX);
    let (slots, look) = (Slots::default(), Arc::new(Look::default()));
    (
        DeliverySignal {
            hints: sender,
            taken: hand,
            slots: slots.clone(),
            limits: Arc::clone(&limits),
            look: Arc::clone(&look),
        },
        DeliveryInbox {
            hints: receiver,
            taken: handed,
            slots,
            limits,
            look,
        },
    )
}

impl DeliverySignal {
    /// Messages were queued.
    pub fn hint(&self, hints: &[Hint]) {
        for hint in hints {
            if self.hints.try_send(*hint).is_err() {
                self.look();
                return;
            }
        }
    }

    /// So many processes send, this one included: those that share limits need it while they cannot ask each other.
    pub fn workers(&self, count: u32) {
        self.limits.workers(count);
    }

    /// Something may be due that nobody can name: look into the database.
    pub fn look(&self) {
        self.look.wanted.store(true, Ordering::Release);
        self.look.wake.notify_one();
    }
}
