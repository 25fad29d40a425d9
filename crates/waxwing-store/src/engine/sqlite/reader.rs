//! A thread that reads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::connection::{Connection, Role};
use crate::engine::error::StoreError;
use crate::engine::job::{Job, Kind, Message};
use crate::engine::tx::{Backend, Tx};

/// How many steps of SQLite's machine pass between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 20_000;

pub(crate) fn run(path: &Path, longest: Duration, queue: &Receiver<Message>) {
    let mut reader = None;
    while let Ok(Message::Job(mut job)) = queue.recv() {
        if job.abandoned() {
            continue;
        }
        // Opened when first needed: an idle program holds no pages for it.
        let open = match reader.take() {
            Some(open) => Ok(open),
            None => Reader::open(path, longest),
        };
        match open {
            Ok(open) => {
                let outcome = open.work(job.as_mut());
                job.answer(outcome);
                reader = Some(open);
            }
            Err(error) => job.answer(Err(error)),
        }
    }
}

struct Reader {
    connection: Connection,
    longest: Duration,
    start: Instant,
    /// Milliseconds after `start` at which the present read must end; 0 without a limit.
    deadline: Arc<AtomicU64>,
}

impl Reader {
    fn open(path: &Path, longest: Duration) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path, Role::Reader)?;
        let (start, deadline) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let limit = Arc::clone(&deadline);
        connection.raw_mut().progress_handler(
            STEPS_BETWEEN_LOOKS,
            Some(move || {
                let limit = limit.load(Ordering::Relaxed);
                limit > 0 && start.elapsed().as_millis() > u128::from(limit)
            }),
        )?;
        Ok(Self {
            connection,
            longest,
            start,
            deadline,
        })
    }

    fn work(&self, job: &mut dyn Job) -> Result<(), StoreError> {
        let limit = self.start.elapsed() + self.longest;
        self.deadline.store(
            u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        let snapshot = job.kind() == Kind::Snapshot;
        if snapshot {
            self.connection.control("BEGIN DEFERRED")?;
        }
        let outcome = job.run(&mut Tx::new(Backend::Sqlite(&self.connection), job.kind()));
        if snapshot && !self.connection.raw().is_autocommit() {
            self.connection.control("ROLLBACK")?;
        }
        outcome
    }
}
