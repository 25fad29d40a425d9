//! Deliver: queued messages go out, in order by conversation, fairly by tenant, and every end is recorded.

mod assets;
mod direct;
mod held;
mod media;
mod pace;
mod ready;
mod record;
mod sender;
mod slots;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc};
use waxwing_store::domain::queue::Hint;

pub(crate) use direct::{Attempts, Claimer, Direct, Taken};
pub use pace::Terms;
use pace::{InProcess, Limits};
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

/// A signal and its other end.
#[must_use]
pub fn signal() -> (DeliverySignal, DeliveryInbox) {
    let (sender, receiver) = mpsc::channel(HINTS_MAX);
    // Each of these holds a slot, so there is always room for one more.
    let (hand, handed) = mpsc::channel(slots::IN_FLIGHT_MAX);
    let (slots, look) = (Slots::default(), Arc::new(Look::default()));
    let limits: Arc<dyn Limits> = Arc::new(InProcess::default());
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

    /// Something may be due that nobody can name: look into the database.
    pub fn look(&self) {
        self.look.wanted.store(true, Ordering::Release);
        self.look.wake.notify_one();
    }
}
