//! The handle that the rest of the program holds.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::sync::Semaphore;

use super::Engine;
use super::error::StoreError;
use super::job::{Kind, Message, TypedJob};
use super::migrate::Step;
use super::postgres::Pool;
use super::sqlite::Threads;
use super::statement::{Scope, Statement};
use super::tx::Tx;

/// How many calls may wait in each lane. Callers beyond wait outside, but not longer than this.
const INTERACTIVE_SLOTS: usize = 2048;
const BULK_SLOTS: usize = 64;
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_BULK_WAIT: Duration = Duration::from_secs(60);

/// Where the database is.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// The path of a SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL connection string, `postgres://user:password@host/database` or `host=.. user=..`, with libpq's
    /// `sslmode` (but not `allow`) and `sslrootcert` among its settings.
    Postgres(String),
}

impl DatabaseUrl {
    /// Reads `sqlite:<path>`, `sqlite://<path>`, `postgres://..`, `postgresql://..` or `host=.. dbname=..`.
    ///
    /// # Errors
    ///
    /// A text that says which forms are known. It does not quote the input, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let postgres = text.starts_with("postgres://")
            || text.starts_with("postgresql://")
            || text.contains("host=");
        if postgres {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text
            .strip_prefix("sqlite://")
            .or_else(|| text.strip_prefix("sqlite:"))
        {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            _ => Err(
                "a database is given as sqlite:<path> or postgres://user:password@host/database"
                    .to_owned(),
            ),
        }
    }

    /// Which engine the database needs.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }
}

/// Without the connection string, which holds a password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

/// What happens when a flush failed, see [`StoreConfig::on_fatal`].
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How to open a store.
#[derive(Clone)]
pub struct StoreConfig {
    /// Where the database is.
    pub url: DatabaseUrl,
    /// PostgreSQL: the schema that holds the tables, made by the migration when it is missing.
    pub schema: Option<String>,
    /// SQLite: how many threads read.
    pub readers: usize,
    /// PostgreSQL: how many connections, each with a thread. They connect when they are first needed.
    pub pg_connections: usize,
    /// A statement that takes longer is stopped. On SQLite this counts for all statements of a read together (a long
    /// read keeps the log from being copied back) and not for writes.
    pub longest_statement: Duration,
    /// Called after a flush to the disk failed and its callers got their error. The process must end here: what the
    /// kernel did with the unwritten pages is unknown, and a second flush would only seem to succeed.
    pub on_fatal: OnFatal,
    /// The steps of the schema.
    pub steps: &'static [Step],
}

impl StoreConfig {
    /// The usual settings: a reader for each core (at least 2), 16 connections, abort on a failed flush.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            url,
            schema: None,
            readers: cores.max(2),
            pg_connections: 16,
            longest_statement: Duration::from_secs(30),
            on_fatal: Arc::new(|_| std::process::abort()),
            steps: crate::migrations::STEPS,
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &self.url)
            .field("schema", &self.schema)
            .field("readers", &self.readers)
            .field("pg_connections", &self.pg_connections)
            .finish_non_exhaustive()
    }
}

/// A queue to database threads with a bounded number of places.
/// How often, and after what pause, the thread of the log is asked when it is busy.
const SCRUB_TRIES: usize = 20;
const SCRUB_AGAIN: Duration = Duration::from_millis(200);

pub(crate) struct Lane {
    queue: Sender<Message>,
    slots: Arc<Semaphore>,
    longest_wait: Duration,
}

impl Lane {
    fn new(queue: Sender<Message>, slots: usize, longest_wait: Duration) -> Self {
        Self {
            queue,
            slots: Arc::new(Semaphore::new(slots)),
            longest_wait,
        }
    }
}

enum Workers {
    Sqlite(Threads),
    Postgres(Pool),
}

struct Inner {
    engine: Engine,
    steps: &'static [Step],
    schema: Option<String>,
    closed: AtomicBool,
    read: Lane,
    write: Lane,
    bulk: Lane,
    workers: std::sync::Mutex<Option<Workers>>,
}

/// The database. A cheap handle: clone it freely.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("engine", &self.inner.engine)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database. It does not migrate. SQLite: takes the lock of the file, so that one process works on it.
    /// PostgreSQL: checks the settings only and connects when a connection is first needed, so a server that is down
    /// at start is found by [`Store::ping`] or the first call.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the file cannot be opened or another process holds it;
    /// [`StoreError::Driver`] when the settings are wrong.
    pub async fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let engine = config.url.engine();
        let (steps, schema) = (config.steps, config.schema.clone());
        let room = INTERACTIVE_SLOTS + 1;
        let (workers, read, write, bulk) = match &config.url {
            DatabaseUrl::Sqlite(path) => {
                let (threads, queues) =
                    Threads::start(path.clone(), &config, room, BULK_SLOTS + 1).await?;
                (
                    Workers::Sqlite(threads),
                    queues.read,
                    queues.write,
                    queues.bulk,
                )
            }
            DatabaseUrl::Postgres(url) => {
                let (pool, queue) = Pool::start(url, &config, INTERACTIVE_SLOTS * 2 + BULK_SLOTS)?;
                (Workers::Postgres(pool), queue.clone(), queue.clone(), queue)
            }
        };
        let bulk_slots = match engine {
            Engine::Sqlite => BULK_SLOTS,
            // The lanes share the connections; bulk work never holds more than a quarter of them.
            Engine::Postgres => (config.pg_connections / 4).max(1),
        };
        let inner = Inner {
            engine,
            steps,
            schema,
            closed: AtomicBool::new(false),
            read: Lane::new(read, INTERACTIVE_SLOTS, LONGEST_WAIT),
            write: Lane::new(write, INTERACTIVE_SLOTS, LONGEST_WAIT),
            bulk: Lane::new(bulk, bulk_slots, LONGEST_BULK_WAIT),
            workers: std::sync::Mutex::new(Some(workers)),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Which database works below.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.inner.engine
    }

    pub(crate) fn steps(&self) -> &'static [Step] {
        self.inner.steps
    }

    pub(crate) fn schema(&self) -> Option<&str> {
        self.inner.schema.as_deref()
    }

    /// Runs a closure that only reads. Each of its statements sees what is committed when it starts.
    ///
    /// # Errors
    ///
    /// The error of the closure or of the database.
    pub async fn read<T, F>(&self, closure: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        self.submit(&self.inner.read, Kind::Read, closure).await
    }

    /// Runs a closure that only reads; all its statements see the same moment.
    ///
    /// # Errors
    ///
    /// The error of the closure or of the database.
    pub async fn read_snapshot<T, F>(&self, closure: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        self.submit(&self.inner.read, Kind::Snapshot, closure).await
    }

    /// Runs a closure in a transaction and commits it. The result arrives after the commit. An error or a panic of the
    /// closure undoes what it did. The closure may run more than once, each time from the start and on its own.
    ///
    /// PostgreSQL runs it at READ COMMITTED: decide by unique keys, guarded updates and row locks, never by what was
    /// read before. When the returned future is dropped, the closure may or may not run.
    ///
    /// # Errors
    ///
    /// The error of the closure or of the database. Only [`StoreError::UnknownCommit`] leaves open what happened;
    /// after every other error nothing was changed.
    pub async fn write<T, F>(&self, closure: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        self.submit(&self.inner.write, Kind::Write, closure).await
    }

    /// As [`Store::write`], behind the interactive calls. For imports, retention and the like: at most 500 rows or a
    /// few milliseconds a call, since SQLite has one writer.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub async fn write_bulk<T, F>(&self, closure: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        self.submit(&self.inner.bulk, Kind::Write, closure).await
    }

    /// As [`Store::write`], at SERIALIZABLE. For the few rules over several rows, such as a quota against a sum.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub async fn write_serializable<T, F>(&self, closure: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        self.submit(&self.inner.write, Kind::Serializable, closure)
            .await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read(|tx| tx.query_one::<i64>(&PING, &[]).map(|_| ()))
            .await
    }

    /// Whether the connection to the database is encrypted; `None` for the embedded one, which has none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn encrypted(&self) -> Result<Option<bool>, StoreError> {
        match self.engine() {
            Engine::Sqlite => Ok(None),
            Engine::Postgres => {
                self.read(|tx| tx.query_one::<bool>(&ENCRYPTED, &[]).map(Some))
                    .await
            }
        }
    }

    /// Finishes what waits, ends the threads and closes the connections. Calls after this fail with
    /// [`StoreError::Closed`], on every clone of the handle.
    pub async fn close(self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        let workers = self
            .inner
            .workers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        let joined = tokio::task::spawn_blocking(move || match workers {
            Some(Workers::Sqlite(threads)) => threads.stop(),
            Some(Workers::Postgres(pool)) => pool.stop(),
            None => {}
        });
        if joined.await.is_err() {
            tracing::error!("a database thread ended by a panic");
        }
    }

    /// Takes what was overwritten out of the database's own log, as far as that is ours to do: on SQLite the write-ahead
    /// log is emptied (freed pages are zeroed as they are freed). On PostgreSQL old row versions go with the next vacuum.
    pub async fn scrub(&self) {
        for _ in 0..SCRUB_TRIES {
            let asked = {
                let workers = self
                    .inner
                    .workers
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                match &*workers {
                    Some(Workers::Sqlite(threads)) => threads.empty_log(),
                    _ => return,
                }
            };
            if let Some(done) = asked
                && tokio::time::timeout(LONGEST_BULK_WAIT, done).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(SCRUB_AGAIN).await;
        }
        tracing::debug!("the log of the database is emptied by a later commit");
    }

    async fn submit<T, F>(&self, lane: &Lane, kind: Kind, closure: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        let slot = match Arc::clone(&lane.slots).try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => {
                tokio::time::timeout(lane.longest_wait, Arc::clone(&lane.slots).acquire_owned())
                    .await
                    .map_err(|_| StoreError::Full)?
                    .map_err(|_| StoreError::Closed)?
            }
        };
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let (job, answer) = TypedJob::new(kind, closure, slot);
        // The queue has a place for every slot, so this fails only when the threads are gone.
        lane.queue
            .try_send(Message::Job(Box::new(job)))
            .map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

static PING: Statement = Statement::new("PING", "SELECT 1", Scope::Global);
/// PostgreSQL only.
static ENCRYPTED: Statement = Statement::new(
    "ENCRYPTED",
    "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    Scope::Global,
);
