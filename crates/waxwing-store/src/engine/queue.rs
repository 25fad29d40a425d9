//! The queue in front of threads that are all alike.
//!
//! The thread that rested last works first: under light load few threads, and few connections, do everything with warm
//! caches, and the others are not even started up. Callers hold a place before they push, so the length is bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::job::Job;

pub(crate) struct WorkQueue {
    state: Mutex<State>,
    /// One for each thread.
    wakes: Vec<Condvar>,
}

struct State {
    waiting: VecDeque<Box<dyn Job>>,
    /// Work for a thread that rested.
    handed: Vec<Option<Box<dyn Job>>>,
    /// The threads that rest, the last one on top.
    resting: Vec<usize>,
    stopping: bool,
}

impl WorkQueue {
    pub(crate) fn new(threads: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            handed: (0..threads).map(|_| None).collect(),
            resting: Vec::with_capacity(threads),
            stopping: false,
        };
        Self {
            state: Mutex::new(state),
            wakes: (0..threads).map(|_| Condvar::new()).collect(),
        }
    }

    /// Hands a job to a thread that rests, or lets it wait. False when the threads are told to stop.
    pub(crate) fn push(&self, job: Box<dyn Job>) -> bool {
        let mut state = self.state();
        if state.stopping {
            return false;
        }
        match state.resting.pop() {
            Some(thread) => {
                state.handed[thread] = Some(job);
                drop(state);
                self.wakes[thread].notify_one();
            }
            None => state.waiting.push_back(job),
        }
        true
    }

    /// The next job for a thread; none when it shall end.
    pub(crate) fn take(&self, thread: usize) -> Option<Box<dyn Job>> {
        let mut state = self.state();
        if let Some(job) = state.waiting.pop_front() {
            return Some(job);
        }
        state.resting.push(thread);
        loop {
            if let Some(job) = state.handed[thread].take() {
                return Some(job);
            }
            if state.stopping {
                return None;
            }
            state = self.wakes[thread]
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stop(&self) {
        self.state().stopping = true;
        for wake in &self.wakes {
            wake.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the threads finish what waits and end, when it is dropped.
pub(crate) struct Stopper(pub Arc<WorkQueue>);

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.stop();
    }
}
