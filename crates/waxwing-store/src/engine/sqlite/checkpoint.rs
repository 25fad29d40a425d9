//! Copying the write-ahead log back into the file.
//!
//! A thread of its own does the bulk of it beside the writer (PASSIVE: it blocks nobody). Under steady load it never
//! reaches the end of the log, because the writer appends while it works, and only a log that is copied to the end can
//! start anew. So when the log is long, the writer itself copies what was added since, right after the thread is done.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use super::Fatal;
use super::connection::{Connection, Role};
use crate::engine::error::StoreError;

/// Pages of 4 KiB in the log: the thread is asked whenever so many were added, the writer helps from the second on, and
/// beyond the third somebody reads for too long. Rarely is good: pages that change in each commit are copied once, and
/// the flush of the copy makes commits wait.
const ASK_EACH: i32 = 2_000;
const HELP_FROM: i32 = 6_000;
const WARN_FROM: i32 = 65_536;

const RESTS: u8 = 0;
const WORKS: u8 = 1;
const HAS_COPIED: u8 = 2;

/// What the thread is asked for.
pub(crate) enum Request {
    /// Copy what can be copied without being in anybody's way.
    Copy,
    /// Copy everything and cut the log to nothing: what was deleted must not live on there. Writers wait meanwhile.
    Empty(oneshot::Sender<()>),
}

/// What the writer and the thread know of the log.
#[derive(Clone)]
pub(crate) struct Progress {
    /// Pages in the log after the last commit.
    pages: Arc<AtomicI32>,
    /// Pages at which the thread was last asked.
    asked_at: Arc<AtomicI32>,
    /// What the thread does: [`RESTS`], [`WORKS`] or [`HAS_COPIED`].
    thread: Arc<AtomicU8>,
    requests: Sender<Request>,
}

impl Progress {
    pub(crate) fn new(requests: Sender<Request>) -> Self {
        let zero = || Arc::new(AtomicI32::new(0));
        Self {
            pages: zero(),
            asked_at: zero(),
            thread: Arc::new(AtomicU8::new(RESTS)),
            requests,
        }
    }

    /// What the thread does, for the thread to set.
    pub(crate) fn thread(&self) -> Arc<AtomicU8> {
        Arc::clone(&self.thread)
    }

    /// SQLite's hook: a commit left so many pages in the log.
    pub(crate) fn committed(&self, pages: i32) {
        self.pages.store(pages, Ordering::Relaxed);
    }

    /// Called by the writer between two groups.
    pub(crate) fn after_commit(&self, connection: &Connection, fatal: &Fatal) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked_at.load(Ordering::Relaxed) {
            // The log started anew.
            self.asked_at.store(0, Ordering::Relaxed);
        }
        let thread = self.thread.load(Ordering::Acquire);
        if thread == HAS_COPIED {
            self.thread.store(RESTS, Ordering::Release);
            if pages >= HELP_FROM {
                copy(connection, fatal, "PASSIVE");
            }
            if pages >= WARN_FROM {
                tracing::warn!(
                    pages,
                    "the write-ahead log is long: a read or another process lasts too long"
                );
            }
        }
        if thread != WORKS && pages - self.asked_at.load(Ordering::Relaxed) >= ASK_EACH {
            self.asked_at.store(pages, Ordering::Relaxed);
            self.thread.store(WORKS, Ordering::Release);
            if self.requests.try_send(Request::Copy).is_err() {
                self.thread.store(RESTS, Ordering::Release);
            }
        }
    }
}

pub(crate) struct Checkpointer {
    path: PathBuf,
    fatal: Fatal,
}

impl Checkpointer {
    pub(crate) fn new(path: PathBuf, fatal: Fatal) -> Self {
        Self { path, fatal }
    }

    /// Works until the writer, which holds the sender, is gone.
    pub(crate) fn run(self, requests: &Receiver<Request>, thread: &AtomicU8) {
        let mut connection = None;
        while let Ok(request) = requests.recv() {
            if connection.is_none() {
                connection = Connection::open(&self.path, Role::Checkpointer)
                    .inspect_err(|error| tracing::warn!(%error, "the log cannot be copied back"))
                    .ok();
            }
            match (request, &connection) {
                (Request::Copy, connection) => {
                    if let Some(connection) = connection {
                        copy(connection, &self.fatal, "PASSIVE");
                    }
                    thread.store(HAS_COPIED, Ordering::Release);
                }
                (Request::Empty(done), Some(connection)) => {
                    copy(connection, &self.fatal, "TRUNCATE");
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                }
                (Request::Empty(_), None) => {}
            }
        }
    }
}

fn copy(connection: &Connection, fatal: &Fatal, how: &str) {
    let result = connection
        .raw()
        .query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| {
            row.get::<_, i64>(0)
        })
        .map_err(|error| connection.error(error));
    match result {
        // 1 says that another one copies, or a reader is in the way: the next turn gets it.
        Ok(_) | Err(StoreError::Busy) => {}
        Err(error) if connection.take_failed_flush() => {
            fatal.mark();
            fatal.act(&format!("the flush of the database file failed: {error}"));
        }
        Err(error) => tracing::warn!(%error, "the log cannot be copied back"),
    }
}
