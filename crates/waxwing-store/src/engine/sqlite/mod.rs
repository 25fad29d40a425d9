//! SQLite: one thread writes, a few read, one copies the log back into the file.

mod checkpoint;
mod connection;
mod reader;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;

use super::error::StoreError;
use super::job::Message;
use super::store::{OnFatal, StoreConfig};

pub(crate) use connection::Connection;

/// Versions before this can lose data when the log is reset (fixed in 3.51.3).
const OLDEST_SQLITE: i32 = 3_051_003;

/// Closures run on these stacks.
const STACK_BYTES: usize = 1024 * 1024;

/// The end of the process after a failed flush, once.
#[derive(Clone)]
pub(crate) struct Fatal {
    hit: Arc<AtomicBool>,
    action: OnFatal,
}

impl Fatal {
    fn new(action: OnFatal) -> Self {
        Self {
            hit: Arc::new(AtomicBool::new(false)),
            action,
        }
    }

    /// Marks the store as lost; nothing is written after this.
    pub(crate) fn mark(&self) {
        self.hit.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.hit.load(Ordering::SeqCst)
    }

    pub(crate) fn act(&self, what: &str) {
        tracing::error!(what, "a flush to the disk failed, the process must end");
        (self.action)(what);
    }
}

/// The queues into the threads.
pub(crate) struct Queues {
    pub read: Sender<Message>,
    pub write: Sender<Message>,
    pub bulk: Sender<Message>,
}

/// The threads of one file.
pub(crate) struct Threads {
    queues: Queues,
    readers: Vec<JoinHandle<()>>,
    writer: JoinHandle<()>,
    checkpointer: JoinHandle<()>,
    log: Sender<checkpoint::Request>,
    /// Held as long as the threads live: one process for each file.
    lock: File,
}

impl Threads {
    /// Opens the file and starts the threads.
    pub(crate) async fn start(
        path: PathBuf,
        config: &StoreConfig,
        room: usize,
        bulk_room: usize,
    ) -> Result<(Self, Queues), StoreError> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(StoreError::Driver(format!(
                "SQLite {} is too old",
                rusqlite::version()
            )));
        }
        let lock = take_lock(&path)?;
        let fatal = Fatal::new(Arc::clone(&config.on_fatal));
        let (read, read_queue) = bounded(room);
        let (write, write_queue) = bounded(room);
        let (bulk, bulk_queue) = bounded(bulk_room);

        let checkpointer = checkpoint::Checkpointer::new(path.clone(), fatal.clone());
        let (requests, request_queue) = bounded(1);
        let progress = checkpoint::Progress::new(requests.clone());
        let thread = progress.thread();
        let (opened, is_open) = oneshot::channel();
        let (writer_path, writer_fatal) = (path.clone(), fatal);
        let writer = spawn("waxwing-db-write", move || {
            match writer::Writer::open(&writer_path, progress, writer_fatal) {
                Ok(mut writer) => {
                    // The opener may be gone; then the queues are too and the loop ends at once.
                    let _ = opened.send(Ok(()));
                    writer.run(&write_queue, &bulk_queue);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        })?;
        is_open.await.unwrap_or(Err(StoreError::Closed))?;
        let checkpointer = spawn("waxwing-db-log", move || {
            checkpointer.run(&request_queue, &thread)
        })?;
        let longest = config.longest_statement;
        let readers = (0..config.readers.max(1))
            .map(|_| {
                let (path, queue): (PathBuf, Receiver<Message>) =
                    (path.clone(), read_queue.clone());
                spawn("waxwing-db-read", move || {
                    reader::run(&path, longest, &queue)
                })
            })
            .collect::<Result<Vec<_>, _>>()?;

        let queues = Queues {
            read: read.clone(),
            write: write.clone(),
            bulk: bulk.clone(),
        };
        Ok((
            Self {
                queues: Queues { read, write, bulk },
                readers,
                writer,
                checkpointer,
                log: requests,
                lock,
            },
            queues,
        ))
    }

    /// Asks for an empty log; resolves when it is. An error when the thread has other things to do.
    pub(crate) fn empty_log(&self) -> Option<oneshot::Receiver<()>> {
        let (done, is_done) = oneshot::channel();
        let asked = self.log.try_send(checkpoint::Request::Empty(done));
        asked.ok().map(|()| is_done)
    }

    /// Lets the threads finish what waits and joins them. The writer closes last and copies the log back.
    pub(crate) fn stop(self) {
        for _ in &self.readers {
            // A thread that has ended already needs no message.
            let _ = self.queues.read.send(Message::Stop);
        }
        let _ = self.queues.write.send(Message::Stop);
        let panicked = self
            .readers
            .into_iter()
            .map(JoinHandle::join)
            .filter(Result::is_err)
            .count();
        let writer = self.writer.join();
        drop(self.log);
        let checkpointer = self.checkpointer.join();
        if panicked > 0 || writer.is_err() || checkpointer.is_err() {
            tracing::error!("a database thread ended by a panic");
        }
        drop(self.lock);
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map_err(|error| StoreError::Unavailable(format!("no thread for the database: {error}")))
}

/// An advisory lock beside the file; it ends with the process, however that ends.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let unavailable = |text: &str| StoreError::Unavailable(format!("{text} ({})", path.display()));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(name))
        .map_err(|error| unavailable(&format!("the lock file cannot be opened: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(unavailable("another process works on this database"))
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(unavailable(&format!("the lock cannot be taken: {error}")))
        }
    }
}
