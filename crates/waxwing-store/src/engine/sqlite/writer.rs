//! The thread that writes: whatever waits is committed together.

use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, select};

use super::Fatal;
use super::checkpoint::Progress;
use super::connection::{Connection, Role};
use crate::engine::error::StoreError;
use crate::engine::job::{Job, Message};
use crate::engine::tx::{Backend, Tx};

/// How many closures one commit takes, and how long it may collect them.
const LARGEST_GROUP: usize = 512;
const LONGEST_GROUP: Duration = Duration::from_millis(20);

/// How many bulk closures one commit takes.
const LARGEST_BULK: usize = 8;

pub(crate) struct Writer {
    connection: Connection,
    progress: Progress,
    fatal: Fatal,
    stopping: bool,
}

/// The closures whose changes wait for the commit.
#[derive(Default)]
struct Group {
    done: Vec<Box<dyn Job>>,
    /// The engine has rolled the transaction back by itself; nothing of the group is left.
    lost: Option<StoreError>,
}

impl Writer {
    pub(crate) fn open(path: &Path, progress: Progress, fatal: Fatal) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path, Role::Writer)?;
        let pages = progress.clone();
        connection
            .raw_mut()
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
                pages.committed(count);
                Ok(())
            }))?;
        Ok(Self {
            connection,
            progress,
            fatal,
            stopping: false,
        })
    }

    /// Works until it is told to stop or all senders are gone.
    pub(crate) fn run(&mut self, interactive: &Receiver<Message>, bulk: &Receiver<Message>) {
        while !self.stopping {
            let first = match interactive.try_recv() {
                Ok(message) => Ok(message),
                Err(_) => select! {
                    recv(interactive) -> message => message,
                    recv(bulk) -> message => message,
                },
            };
            match first {
                Ok(Message::Job(job)) => self.commit_group(job, interactive, bulk),
                Ok(Message::Stop) => self.stopping = true,
                Err(_) => return,
            }
        }
        // What was queued before the stop is still owed an answer.
        while let Ok(message) = interactive.try_recv().or_else(|_| bulk.try_recv()) {
            if let Message::Job(job) = message {
                self.commit_group(job, interactive, bulk);
            }
        }
    }

    /// Runs `first` and what waits behind it in one transaction, and answers all after the commit.
    fn commit_group(
        &mut self,
        first: Box<dyn Job>,
        interactive: &Receiver<Message>,
        bulk: &Receiver<Message>,
    ) {
        if self.fatal.is_marked() {
            return first.answer(Err(StoreError::Unavailable(
                "a flush to the disk failed".to_owned(),
            )));
        }
        if let Err(error) = self.connection.control("BEGIN IMMEDIATE") {
            return first.answer(Err(error));
        }
        let mut group = Group::default();
        if interactive.is_empty() && bulk.is_empty() {
            self.run_one(first, &mut group, false);
        } else {
            self.run_one(first, &mut group, true);
            self.fill(&mut group, interactive, bulk);
        }
        self.finish(group);
        self.progress.after_commit(&self.connection, &self.fatal);
    }

    fn fill(
        &mut self,
        group: &mut Group,
        interactive: &Receiver<Message>,
        bulk: &Receiver<Message>,
    ) {
        let start = Instant::now();
        let mut bulk_left = LARGEST_BULK;
        for taken in 1..LARGEST_GROUP {
            if group.lost.is_some() || (taken % 16 == 0 && start.elapsed() > LONGEST_GROUP) {
                return;
            }
            let next = match interactive.try_recv() {
                // Bulk work only joins while nobody waits at the other lane.
                Err(TryRecvError::Empty) if bulk_left > 0 => {
                    bulk_left -= 1;
                    bulk.try_recv()
                }
                other => other,
            };
            match next {
                Ok(Message::Job(job)) => self.run_one(job, group, true),
                Ok(Message::Stop) => self.stopping = true,
                Err(_) => return,
            }
        }
    }

    /// Runs one closure. With a savepoint its failure leaves the others alone; without, it is the only one.
    fn run_one(&self, mut job: Box<dyn Job>, group: &mut Group, savepoint: bool) {
        if job.abandoned() {
            return;
        }
        if savepoint && let Err(error) = self.connection.control("SAVEPOINT one") {
            return self.failed(job, error, group, false);
        }
        let outcome = job.run(&mut Tx::new(Backend::Sqlite(&self.connection), job.kind()));
        let outcome = match outcome {
            Ok(()) if savepoint => self.connection.control("RELEASE one"),
            other => other,
        };
        match outcome {
            Ok(()) => group.done.push(job),
            Err(error) => self.failed(job, error, group, savepoint),
        }
    }

    fn failed(&self, job: Box<dyn Job>, error: StoreError, group: &mut Group, savepoint: bool) {
        // A full disk, an I/O error, a lack of memory or an interrupt may roll back everything, not only this closure.
        if self.connection.raw().is_autocommit() {
            let reason = if error.retriable() {
                error.clone()
            } else {
                StoreError::Busy
            };
            group.lost = Some(reason);
        } else {
            let undone = if savepoint {
                self.connection
                    .control("ROLLBACK TO one")
                    .and_then(|()| self.connection.control("RELEASE one"))
            } else {
                self.connection.control("ROLLBACK")
            };
            if let Err(undo) = undone {
                group.lost = Some(undo);
            }
        }
        job.answer(Err(error));
    }

    fn finish(&self, group: Group) {
        let outcome = match group.lost {
            Some(error) => Err(error),
            // The only closure failed and was rolled back.
            None if self.connection.raw().is_autocommit() => Ok(()),
            None => {
                let start = Instant::now();
                let outcome = self.connection.control("COMMIT");
                metrics::histogram!("waxwing_store_commit_seconds").record(start.elapsed());
                outcome
            }
        };
        let flush_failed = self.connection.take_failed_flush();
        if flush_failed {
            self.fatal.mark();
        }
        let outcome = match outcome {
            // The log may hold the group or not: the kernel does not tell.
            Err(_) if flush_failed => Err(StoreError::UnknownCommit),
            other => other,
        };
        if outcome.is_err()
            && !self.connection.raw().is_autocommit()
            && self.connection.control("ROLLBACK").is_err()
        {
            tracing::error!("a failed group could not be rolled back");
        }
        if !group.done.is_empty() {
            metrics::histogram!("waxwing_store_group_size").record(group.done.len() as f64);
        }
        for job in group.done {
            job.answer(outcome.clone());
        }
        if flush_failed {
            self.fatal.act("the flush of the write-ahead log failed");
        }
    }
}
