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

/// How many bulk closures one commit takes, and from when on it takes no more: those who wait at the other lane pay for
/// them.
const LARGEST_BULK: usize = 8;
const LONGEST_BULK: Duration = Duration::from_millis(3);

pub(crate) struct Writer {
    connection: Connection,
    progress: Progress,
    fatal: Fatal,
    stopping: bool,
}

/// The closures whose changes wait for the commit.
///
/// They run without savepoints until one of them fails after it has changed something: a savepoint keeps a copy of every
/// page that changes after it, and hardly any closure fails. Then all is undone, those that had succeeded run again, and
/// from there on each has a savepoint of its own.
#[derive(Default)]
struct Group {
    done: Vec<Box<dyn Job>>,
    savepoints: bool,
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
        self.run_one(first, &mut group);
        self.fill(&mut group, interactive, bulk);
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
                Err(TryRecvError::Empty) if bulk_left > 0 && start.elapsed() < LONGEST_BULK => {
                    bulk_left -= 1;
                    bulk.try_recv()
                }
                other => other,
            };
            match next {
                Ok(Message::Job(job)) => self.run_one(job, group),
                Ok(Message::Stop) => self.stopping = true,
                Err(_) => return,
            }
        }
    }

    /// Runs one closure. Its failure leaves the others alone.
    fn run_one(&self, job: Box<dyn Job>, group: &mut Group) {
        if job.abandoned() {
            return;
        }
        if group.savepoints {
            self.run_in_savepoint(job, group);
        } else {
            self.run_at_large(job, group);
        }
    }

    fn run_in_savepoint(&self, mut job: Box<dyn Job>, group: &mut Group) {
        if let Err(error) = self.connection.control("SAVEPOINT one") {
            group.lost = Some(error.clone());
            return job.answer(Err(error));
        }
        let outcome = job
            .run(&mut Tx::new(Backend::Sqlite(&self.connection), job.kind()))
            .and_then(|()| self.connection.control("RELEASE one"));
        let Err(error) = outcome else {
            return group.done.push(job);
        };
        if !self.is_lost(&error, group)
            && let Err(undo) = self
                .connection
                .control("ROLLBACK TO one")
                .and_then(|()| self.connection.control("RELEASE one"))
        {
            group.lost = Some(undo);
        }
        job.answer(Err(error));
    }

    fn run_at_large(&self, mut job: Box<dyn Job>, group: &mut Group) {
        let before = self.connection.raw().total_changes();
        let mut tx = Tx::new(Backend::Sqlite(&self.connection), job.kind());
        let outcome = job.run(&mut tx);
        let Err(error) = outcome else {
            return group.done.push(job);
        };
        let changed = tx.ran_script() || self.connection.raw().total_changes() != before;
        if !self.is_lost(&error, group) && changed {
            self.start_again(group);
        }
        job.answer(Err(error));
    }

    /// Undoes a group and runs those again that had succeeded, each in a savepoint.
    fn start_again(&self, group: &mut Group) {
        let begun = self
            .connection
            .control("ROLLBACK")
            .and_then(|()| self.connection.control("BEGIN IMMEDIATE"));
        if let Err(error) = begun {
            group.lost = Some(error);
            return;
        }
        group.savepoints = true;
        for job in std::mem::take(&mut group.done) {
            if let Some(error) = &group.lost {
                job.answer(Err(error.clone()));
            } else {
                self.run_in_savepoint(job, group);
            }
        }
    }

    /// A full disk, an I/O error, a lack of memory or an interrupt may roll back everything, not only one closure.
    fn is_lost(&self, error: &StoreError, group: &mut Group) -> bool {
        let lost = self.connection.raw().is_autocommit();
        if lost {
            group.lost = Some(if error.retriable() {
                error.clone()
            } else {
                StoreError::Busy
            });
        }
        lost
    }

    fn finish(&self, group: Group) {
        let outcome = match group.lost {
            Some(error) => Err(error),
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
