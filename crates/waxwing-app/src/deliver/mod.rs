//! Deliver: queued messages go out, in order by conversation, fairly by tenant, and every end is recorded.

mod held;
mod pace;
mod ready;
mod record;
mod sender;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc};
use waxwing_store::domain::queue::Hint;

pub use pace::Terms;
pub use worker::{DeliverOptions, run};

/// Hints that wait for the delivery worker; beyond, it looks into the database instead.
const HINTS_MAX: usize = 16_384;

/// Tells the delivery worker where messages may be due. Losing a hint costs time, never a message.
#[derive(Debug, Clone)]
pub struct DeliverySignal {
    hints: mpsc::Sender<Hint>,
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
    look: Arc<Look>,
}

/// A signal and its other end.
#[must_use]
pub fn signal() -> (DeliverySignal, DeliveryInbox) {
    let (sender, receiver) = mpsc::channel(HINTS_MAX);
    let look = Arc::new(Look::default());
    (
        DeliverySignal {
            hints: sender,
            look: Arc::clone(&look),
        },
        DeliveryInbox {
            hints: receiver,
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
