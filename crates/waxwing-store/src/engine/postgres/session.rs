//! One connection and what it has prepared.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::{MaybeDone, maybe_done, poll_fn};
use std::task::Poll;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Statement};

use super::codec::{Column, Param};
use super::config::Target;
use super::tls;
use crate::engine::Engine;
use crate::engine::error::{PgFailure, StoreError, from_postgres};
use crate::engine::statement::{Insert, writes};
use crate::engine::tx::Sql;
use crate::engine::value::Value;

type DriverResult<T> = Result<T, tokio_postgres::Error>;

/// How much longer than the longest statement an answer is awaited; then the server is given up.
const GRACE: Duration = Duration::from_secs(10);

/// How many texts of optional filters a connection keeps prepared.
const MOST_DYNAMIC: usize = 256;

/// Where the present closure is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// No transaction is wanted.
    Plain,
    /// The first statement will send this ahead.
    Wanted(&'static str),
    /// BEGIN was sent.
    Begun,
}

#[derive(Clone)]
struct Prepared {
    statement: Statement,
    writes: bool,
}

pub(crate) struct Session {
    runtime: Rc<Runtime>,
    client: Client,
    fixed: HashMap<usize, Prepared>,
    dynamic: HashMap<String, Prepared>,
    progress: Progress,
    /// Nothing works on this connection any more.
    broken: bool,
    /// The last failure goes away when the closure runs again.
    retry: bool,
    /// How long an answer is awaited.
    limit: Option<Duration>,
    usual_limit: Duration,
}

impl Session {
    pub(crate) fn connect(runtime: &Rc<Runtime>, target: &Target) -> Result<Self, StoreError> {
        let config = &target.config;
        let limit = *config.get_connect_timeout().unwrap_or(&GRACE);
        let connect = async {
            let (client, connection) = config.connect(target.tls.clone()).await?;
            // The end of the connection shows in the next statement.
            tokio::spawn(async move { connection.await.unwrap_or_default() });
            client.batch_execute(&target.greeting).await?;
            DriverResult::Ok(client)
        };
        let client = runtime
            .block_on(async { tokio::time::timeout(limit * 2, connect).await })
            .map_err(|_| StoreError::Unavailable("PostgreSQL does not answer".to_owned()))?
            .map_err(|error| match from_postgres(&error).error {
                StoreError::Unavailable(text) if error.as_db_error().is_some() => {
                    StoreError::Unavailable(text)
                }
                _ => StoreError::Unavailable(
                    tls::reason(&error)
                        .unwrap_or_else(|| "PostgreSQL cannot be reached".to_owned()),
                ),
            })?;
        Ok(Self {
            runtime: Rc::clone(runtime),
            client,
            fixed: HashMap::new(),
            dynamic: HashMap::new(),
            progress: Progress::Plain,
            broken: false,
            retry: false,
            limit: None,
            usual_limit: target.longest_statement + GRACE,
        })
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken || self.client.is_closed()
    }

    /// Gets ready for a closure. `begin` opens its transaction, if it wants one.
    pub(crate) fn start(&mut self, begin: Option<&'static str>) {
        self.progress = begin.map_or(Progress::Plain, Progress::Wanted);
        self.retry = false;
        self.limit = Some(self.usual_limit);
    }

    /// Whether the failure of this closure goes away when it runs again.
    pub(crate) fn wants_retry(&self) -> bool {
        self.retry
    }

    /// Commits what the closure did. The flag says whether running the closure again is safe and may help.
    pub(crate) fn commit(&mut self) -> Result<(), (StoreError, bool)> {
        if self.progress != Progress::Begun {
            return Ok(());
        }
        self.progress = Progress::Plain;
        let (runtime, limit) = (Rc::clone(&self.runtime), self.limit);
        match block(&runtime, limit, self.client.batch_execute("COMMIT")) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                let failure = from_postgres(&error);
                self.broken |= failure.broken;
                if failure.definite {
                    return Err((failure.error, failure.retry));
                }
                self.broken = true;
                Err((StoreError::UnknownCommit, false))
            }
            None => {
                self.broken = true;
                Err((StoreError::UnknownCommit, false))
            }
        }
    }

    /// Undoes what the closure did.
    pub(crate) fn rollback(&mut self) {
        if self.progress != Progress::Begun {
            return;
        }
        self.progress = Progress::Plain;
        if self.is_broken() {
            return;
        }
        let (runtime, limit) = (Rc::clone(&self.runtime), self.limit);
        // A connection that cannot roll back is thrown away, which rolls back too.
        self.broken |= !matches!(
            block(&runtime, limit, self.client.batch_execute("ROLLBACK")),
            Some(Ok(()))
        );
    }

    /// Several statements without parameters; they may take long.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.limit = None;
        let (runtime, limit, begin) = (Rc::clone(&self.runtime), self.limit, self.take_begin());
        let client = &self.client;
        let result = block(&runtime, limit, async move {
            if let Some(begin) = begin {
                client.batch_execute(begin).await?;
            }
            client
                .batch_execute("SET LOCAL statement_timeout = 0")
                .await?;
            client.batch_execute(sql).await
        });
        self.settle(result)
    }

    pub(crate) fn rows(
        &mut self,
        sql: Sql<'_>,
        params: &[Value],
        columns: usize,
        may_write: bool,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let prepared = self.prepare(sql)?;
        check(&prepared.statement, sql, params.len(), Some(columns))?;
        if prepared.writes && !may_write {
            return Err(StoreError::Driver(format!(
                "{} changes data outside of `write`",
                sql.name()
            )));
        }
        let begin = self.take_begin();
        let (runtime, limit, client) = (Rc::clone(&self.runtime), self.limit, &self.client);
        let result = block(
            &runtime,
            limit,
            after_begin(client, begin, rows(client, &prepared.statement, params)),
        );
        self.settle(result)
    }

    pub(crate) fn rows_many(
        &mut self,
        sql: Sql<'_>,
        sets: &[impl AsRef<[Value]>],
        columns: usize,
    ) -> Result<Vec<Vec<tokio_postgres::Row>>, StoreError> {
        let prepared = self.prepare(sql)?;
        for params in sets {
            check(
                &prepared.statement,
                sql,
                params.as_ref().len(),
                Some(columns),
            )?;
        }
        if prepared.writes && self.progress == Progress::Plain {
            return Err(StoreError::Driver(format!(
                "{} changes data outside of `write`",
                sql.name()
            )));
        }
        let begin = self.take_begin();
        let (runtime, limit, client) = (Rc::clone(&self.runtime), self.limit, &self.client);
        let all = sets
            .iter()
            .map(|params| rows(client, &prepared.statement, params.as_ref()))
            .collect();
        let result = block(&runtime, limit, after_begin(client, begin, pipelined(all)));
        self.settle(result)
    }

    pub(crate) fn execute(&mut self, sql: Sql<'_>, params: &[Value]) -> Result<u64, StoreError> {
        let prepared = self.prepare(sql)?;
        check(&prepared.statement, sql, params.len(), None)?;
        let begin = self.take_begin();
        let (runtime, limit, client) = (Rc::clone(&self.runtime), self.limit, &self.client);
        let run = client.execute_raw(&prepared.statement, params.iter().map(Param));
        let result = block(&runtime, limit, after_begin(client, begin, run));
        self.settle(result)
    }

    pub(crate) fn execute_many(
        &mut self,
        sql: Sql<'_>,
        sets: &[impl AsRef<[Value]>],
    ) -> Result<Vec<u64>, StoreError> {
        let prepared = self.prepare(sql)?;
        for params in sets {
            check(&prepared.statement, sql, params.as_ref().len(), None)?;
        }
        let begin = self.take_begin();
        let (runtime, limit, client) = (Rc::clone(&self.runtime), self.limit, &self.client);
        let all = sets
            .iter()
            .map(|params| {
                client.execute_raw(&prepared.statement, params.as_ref().iter().map(Param))
            })
            .collect();
        let result = block(&runtime, limit, after_begin(client, begin, pipelined(all)));
        self.settle(result)
    }

    pub(crate) fn insert_many<R: AsRef<[Value]>>(
        &mut self,
        insert: &'static Insert,
        rows: &[R],
    ) -> Result<u64, StoreError> {
        let prepared = self.prepare(Sql::Insert(insert))?;
        let begin = self.take_begin();
        let (runtime, limit, client) = (Rc::clone(&self.runtime), self.limit, &self.client);
        let columns = (0..insert.columns.len()).map(|index| Column { rows, index });
        let run = client.execute_raw(&prepared.statement, columns);
        let result = block(&runtime, limit, after_begin(client, begin, run));
        self.settle(result)
    }

    /// The BEGIN that goes ahead of the first statement.
    fn take_begin(&mut self) -> Option<&'static str> {
        match self.progress {
            Progress::Wanted(begin) => {
                self.progress = Progress::Begun;
                Some(begin)
            }
            Progress::Plain | Progress::Begun => None,
        }
    }

    fn prepare(&mut self, sql: Sql<'_>) -> Result<Prepared, StoreError> {
        if let Some(known) = sql.key().and_then(|key| self.fixed.get(&key)) {
            return Ok(known.clone());
        }
        let text = sql.text(Engine::Postgres);
        if sql.key().is_none()
            && let Some(known) = self.dynamic.get(&text)
        {
            return Ok(known.clone());
        }
        let (runtime, limit) = (Rc::clone(&self.runtime), self.limit);
        let result = block(&runtime, limit, self.client.prepare(&text));
        let statement = self.settle(result).map_err(|error| match error {
            StoreError::Driver(what) => StoreError::Driver(format!("{}: {what}", sql.name())),
            other => other,
        })?;
        let prepared = Prepared {
            statement,
            writes: writes(&text),
        };
        match sql.key() {
            Some(key) => {
                self.fixed.insert(key, prepared.clone());
            }
            None => {
                if self.dynamic.len() >= MOST_DYNAMIC {
                    self.dynamic.clear();
                }
                self.dynamic.insert(text, prepared.clone());
            }
        }
        Ok(prepared)
    }

    /// Draws the conclusions from a failure.
    fn settle<T>(&mut self, result: Option<DriverResult<T>>) -> Result<T, StoreError> {
        match result {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                let PgFailure {
                    error,
                    broken,
                    retry,
                    stale,
                    ..
                } = from_postgres(&error);
                self.broken |= broken;
                self.retry |= retry;
                if stale {
                    self.fixed.clear();
                    self.dynamic.clear();
                }
                Err(error)
            }
            None => {
                self.broken = true;
                Err(StoreError::Unavailable(
                    "PostgreSQL does not answer".to_owned(),
                ))
            }
        }
    }
}

fn check(
    statement: &Statement,
    sql: Sql<'_>,
    given: usize,
    columns: Option<usize>,
) -> Result<(), StoreError> {
    // The driver panics on a wrong number of parameters.
    if statement.params().len() != given {
        return Err(StoreError::wrong_count(
            sql.name(),
            statement.params().len(),
            given,
        ));
    }
    match columns {
        Some(columns) if columns != statement.columns().len() => {
            let given = statement.columns().len();
            Err(StoreError::Driver(format!(
                "{} gives {given} columns, not {columns}",
                sql.name()
            )))
        }
        None if !statement.columns().is_empty() => Err(StoreError::Driver(format!(
            "{}: execute of a statement that returns rows",
            sql.name()
        ))),
        _ => Ok(()),
    }
}

/// Drives the connection until the future is done; none when it takes longer than the limit.
fn block<F: Future>(runtime: &Runtime, limit: Option<Duration>, future: F) -> Option<F::Output> {
    match limit {
        Some(limit) => runtime
            .block_on(async { tokio::time::timeout(limit, future).await })
            .ok(),
        None => Some(runtime.block_on(future)),
    }
}

async fn rows(
    client: &Client,
    statement: &Statement,
    params: &[Value],
) -> DriverResult<Vec<tokio_postgres::Row>> {
    client
        .query_raw(statement, params.iter().map(Param))
        .await?
        .try_collect()
        .await
}

/// Sends BEGIN and the first statement in one go. The driver sends when a future is first polled, so the order of the
/// polls is the order on the wire.
async fn after_begin<T>(
    client: &Client,
    begin: Option<&'static str>,
    first: impl Future<Output = DriverResult<T>>,
) -> DriverResult<T> {
    let Some(begin) = begin else {
        return first.await;
    };
    let mut begun = pin!(maybe_done(client.batch_execute(begin)));
    let mut first = pin!(maybe_done(first));
    poll_fn(|cx| {
        let _ = begun.as_mut().poll(cx);
        let _ = first.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
    begun.as_mut().await;
    begun.as_mut().take_output().unwrap_or(Ok(()))?;
    first.as_mut().await;
    first
        .as_mut()
        .take_output()
        .expect("the future was awaited and not taken before")
}

/// Sends all before the first answer is awaited.
async fn pipelined<T, F: Future<Output = DriverResult<T>>>(
    futures: Vec<F>,
) -> DriverResult<Vec<T>> {
    let mut sent: Vec<Pin<Box<MaybeDone<F>>>> = futures
        .into_iter()
        .map(|future| Box::pin(maybe_done(future)))
        .collect();
    poll_fn(|cx| {
        for future in &mut sent {
            let _ = future.as_mut().poll(cx);
        }
        Poll::Ready(())
    })
    .await;
    let mut out = Vec::with_capacity(sent.len());
    for future in &mut sent {
        future.as_mut().await;
        out.push(
            future
                .as_mut()
                .take_output()
                .expect("the future was awaited and not taken before")?,
        );
    }
    Ok(out)
}
