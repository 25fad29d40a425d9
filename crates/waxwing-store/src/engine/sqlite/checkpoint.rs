//! Copying the write-ahead log back into the file.
//!
//! A thread of its own does the bulk of it beside the writer (PASSIVE: it blocks nobody). Under steady load it never
//! reaches the end of the log, because the writer appends while it works, and only a log that is copied to the end can
//! start anew. So when the log is long and the thread rests, the writer itself copies the short remainder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::Fatal;
use super::connection::{Connection, Role};
use crate::engine::error::StoreError;

/// Pages of 4 KiB in the log: the thread is asked at each multiple of the first, the writer helps from the second on,
/// and beyond the third somebody reads for too long.
const ASK_EACH: i32 = 1_000;
const HELP_FROM: i32 = 4_000;
const WARN_FROM: i32 = 65_536;

/// What the writer and the thread know of the log.
#[derive(Clone)]
pub(crate) struct Progress {
    /// Pages in the log after the last commit.
    pages: Arc<AtomicI32>,
    /// Pages at which the thread was last asked, or the writer last helped.
    asked_at: Arc<AtomicI32>,
    working: Arc<AtomicBool>,
    requests: Sender<()>,
}

impl Progress {
    pub(crate) fn new(requests: Sender<()>) -> Self {
        let zero = || Arc::new(AtomicI32::new(0));
        Self {
            pages: zero(),
            asked_at: zero(),
            working: Arc::default(),
            requests,
        }
    }

    /// The flag that the thread clears when it rests.
    pub(crate) fn working(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.working)
    }

    /// SQLite's hook: a commit left so many pages in the log.
    pub(crate) fn committed(&self, pages: i32) {
        self.pages.store(pages, Ordering::Relaxed);
    }

    /// Called by the writer between two groups.
    pub(crate) fn after_commit(&self, connection: &Connection, fatal: &Fatal) {
        let (pages, asked_at) = (
            self.pages.load(Ordering::Relaxed),
            self.asked_at.load(Ordering::Relaxed),
        );
        if pages < asked_at {
            // The log started anew.
            self.asked_at.store(0, Ordering::Relaxed);
            return;
        }
        if pages - asked_at < ASK_EACH || self.working.load(Ordering::Acquire) {
            return;
        }
        self.asked_at.store(pages, Ordering::Relaxed);
        if pages >= HELP_FROM {
            copy(connection, fatal);
            if pages >= WARN_FROM {
                tracing::warn!(
                    pages,
                    "the write-ahead log is long, a read or a transaction elsewhere lasts too long"
                );
            }
        } else {
            self.working.store(true, Ordering::Release);
            if self.requests.try_send(()).is_err() {
                self.working.store(false, Ordering::Release);
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
    pub(crate) fn run(self, requests: &Receiver<()>, working: &AtomicBool) {
        let mut connection = None;
        while requests.recv().is_ok() {
            if connection.is_none() {
                connection = Connection::open(&self.path, Role::Checkpointer)
                    .inspect_err(|error| tracing::warn!(%error, "the log cannot be copied back"))
                    .ok();
            }
            if let Some(connection) = &connection {
                copy(connection, &self.fatal);
            }
            working.store(false, Ordering::Release);
        }
    }
}

fn copy(connection: &Connection, fatal: &Fatal) {
    let result = connection
        .raw()
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
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
