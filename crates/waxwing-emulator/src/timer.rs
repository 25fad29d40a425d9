//! One task that lets things happen later: statuses, retries, held messages, template reviews.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::hub::Hub;
use crate::state::{Number, lock};
use crate::status::{OutMessage, Stage};
use crate::webhook::Job;

/// Something that is due.
#[derive(Debug)]
pub(crate) enum Due {
    /// The next stage of a message.
    Status(Arc<OutMessage>, Stage, Busy),
    /// A status that was held back or is repeated.
    Emit(Arc<OutMessage>, Stage, Busy),
    /// The statuses gathered for a number.
    Flush(Arc<Number>),
    /// A webhook for the queue.
    Job(Box<Job>),
    /// Anything else.
    Call(Call, Busy),
}

type Callback = dyn FnOnce(&Arc<Hub>) + Send;

/// A function that is called when it is due.
pub(crate) struct Call(pub(crate) Box<Callback>);

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call")
    }
}

struct Entry {
    at: Instant,
    seq: u64,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // Reversed: the heap gives the earliest first, in order of insertion at the same moment.
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

/// The heap of everything that is due later.
#[derive(Default)]
pub(crate) struct Timer {
    heap: Mutex<(BinaryHeap<Entry>, u64)>,
    wake: Notify,
}

impl Timer {
    /// Lets something happen at a moment.
    pub(crate) fn at(&self, at: Instant, due: Due) {
        let mut heap = lock(&self.heap);
        heap.1 += 1;
        let seq = heap.1;
        let earlier = heap.0.peek().is_none_or(|first| at < first.at);
        heap.0.push(Entry { at, seq, due });
        drop(heap);
        if earlier {
            self.wake.notify_one();
        }
    }

    /// Lets something happen after a delay.
    pub(crate) fn after(&self, delay: Duration, due: Due) {
        self.at(Instant::now() + delay, due);
    }

    fn take(&self, now: Instant, out: &mut Vec<Due>) -> Option<Instant> {
        let mut heap = lock(&self.heap);
        while heap.0.peek().is_some_and(|first| first.at <= now) {
            if let Some(entry) = heap.0.pop() {
                out.push(entry.due);
            }
        }
        heap.0.peek().map(|first| first.at)
    }

    /// Runs for ever.
    pub(crate) async fn run(hub: Arc<Hub>) {
        let mut due = Vec::new();
        loop {
            let next = hub.timer.take(Instant::now(), &mut due);
            for item in due.drain(..) {
                hub.happen(item);
            }
            let woken = hub.timer.wake.notified();
            match next {
                Some(next) => tokio::select! { () = woken => {}, () = sleep_until(next) => {} },
                None => woken.await,
            }
        }
    }
}

/// Counts what is still on the way, so that a test can wait for silence.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    count: AtomicUsize,
    changed: Notify,
}

/// Something on the way; silence needs all of them dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Idle>);

impl Idle {
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.count.fetch_add(1, Atomic::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Number of things on the way.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Atomic::Relaxed)
    }

    /// Waits until nothing is on the way.
    pub(crate) async fn silence(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.count.load(Atomic::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Atomic::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}
