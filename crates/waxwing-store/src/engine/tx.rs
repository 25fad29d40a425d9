//! What a closure can do with the database.

use super::Engine;
use super::builder::SqlBuilder;
use super::error::StoreError;
use super::job::Kind;
use super::postgres::Session;
use super::row::{FromRow, Row};
use super::sqlite::Connection;
use super::statement::{Insert, Statement};
use super::value::Value;

/// Runs in this process after the commit.
pub(crate) type Hook = Box<dyn FnOnce() + Send>;

/// A transaction, or outside of one a line to the database, for the time of one closure.
///
/// A statement that fails spoils the transaction on both engines: all that follows fails too, and nothing is
/// committed. Use ON CONFLICT or a guarded update instead of catching a [`StoreError::Conflict`].
pub struct Tx<'a> {
    backend: Backend<'a>,
    kind: Kind,
    failed: Option<StoreError>,
    hooks: Vec<Hook>,
    ran_script: bool,
}

pub(crate) enum Backend<'a> {
    Sqlite(&'a Connection),
    Postgres(&'a mut Session),
}

/// The text that a call runs, and how it is found again in the cache of prepared statements.
#[derive(Clone, Copy)]
pub(crate) enum Sql<'a> {
    Fixed(&'static Statement),
    Insert(&'static Insert),
    Dynamic(&'a SqlBuilder),
}

impl Sql<'_> {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Fixed(statement) => statement.name,
            Self::Insert(insert) => insert.name,
            Self::Dynamic(builder) => builder.base().name,
        }
    }

    pub(crate) fn text(&self, engine: Engine) -> String {
        match self {
            Self::Fixed(statement) => statement.text(engine),
            Self::Insert(insert) => insert.text(engine),
            Self::Dynamic(builder) => builder.text(engine),
        }
    }

    /// The key of the cache; a dynamic statement has none but its text.
    pub(crate) fn key(&self) -> Option<usize> {
        match self {
            Self::Fixed(statement) => Some(statement.key()),
            Self::Insert(insert) => Some(insert.key()),
            Self::Dynamic(_) => None,
        }
    }
}

impl<'a> Tx<'a> {
    pub(crate) fn new(backend: Backend<'a>, kind: Kind) -> Self {
        Self {
            backend,
            kind,
            failed: None,
            hooks: Vec::new(),
            ran_script: false,
        }
    }

    /// Which database works below.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.backend {
            Backend::Sqlite(_) => Engine::Sqlite,
            Backend::Postgres(_) => Engine::Postgres,
        }
    }

    /// The rows of a statement.
    ///
    /// # Errors
    ///
    /// What the database says; [`StoreError::Corrupt`] when a row does not fit `R`.
    pub fn query<R: FromRow>(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Vec<R>, StoreError> {
        self.rows(Sql::Fixed(statement), params)
    }

    /// The only row of a statement, or none.
    ///
    /// # Errors
    ///
    /// As [`Tx::query`]; [`StoreError::Driver`] when there is more than one row.
    pub fn query_opt<R: FromRow>(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Option<R>, StoreError> {
        let mut rows = self.query(statement, params)?;
        if rows.len() > 1 {
            return Err(StoreError::Driver(format!(
                "{} gave {} rows instead of one",
                statement.name,
                rows.len()
            )));
        }
        Ok(rows.pop())
    }

    /// The only row of a statement.
    ///
    /// # Errors
    ///
    /// As [`Tx::query_opt`]; [`StoreError::Driver`] when there is no row.
    pub fn query_one<R: FromRow>(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<R, StoreError> {
        self.query_opt(statement, params)?
            .ok_or_else(|| StoreError::Driver(format!("{} gave no row", statement.name)))
    }

    /// The rows of a statement with optional filters.
    ///
    /// # Errors
    ///
    /// As [`Tx::query`].
    pub fn query_dynamic<R: FromRow>(&mut self, sql: &SqlBuilder) -> Result<Vec<R>, StoreError> {
        self.rows(Sql::Dynamic(sql), sql.params())
    }

    /// The rows of a statement for each set of parameters. PostgreSQL gets all sets before the first answer is
    /// awaited.
    ///
    /// # Errors
    ///
    /// As [`Tx::query`].
    pub fn query_many<R: FromRow>(
        &mut self,
        statement: &'static Statement,
        sets: &[impl AsRef<[Value]>],
    ) -> Result<Vec<Vec<R>>, StoreError> {
        let sql = Sql::Fixed(statement);
        self.guarded(|backend| match backend {
            Backend::Sqlite(connection) => sets
                .iter()
                .map(|params| {
                    connection.rows(sql, params.as_ref(), R::COLUMNS, |row| R::from_row(&row))
                })
                .collect(),
            Backend::Postgres(session) => {
                let results = session.rows_many(sql, sets, R::COLUMNS)?;
                results
                    .iter()
                    .map(|rows| {
                        rows.iter()
                            .map(|row| R::from_row(&Row::postgres(row)))
                            .collect()
                    })
                    .collect()
            }
        })
    }

    /// Runs a statement that gives no rows. The number of changed rows is the answer.
    ///
    /// # Errors
    ///
    /// What the database says; [`StoreError::Driver`] outside of a write.
    pub fn execute(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<u64, StoreError> {
        self.must_write(statement.name)?;
        let sql = Sql::Fixed(statement);
        self.guarded(|backend| match backend {
            Backend::Sqlite(connection) => connection.execute(sql, params),
            Backend::Postgres(session) => session.execute(sql, params),
        })
    }

    /// Runs a statement for each set of parameters; the numbers of changed rows are the answer. PostgreSQL gets all
    /// sets before the first answer is awaited.
    ///
    /// # Errors
    ///
    /// As [`Tx::execute`]; the first error ends it.
    pub fn execute_many(
        &mut self,
        statement: &'static Statement,
        sets: &[impl AsRef<[Value]>],
    ) -> Result<Vec<u64>, StoreError> {
        self.must_write(statement.name)?;
        let sql = Sql::Fixed(statement);
        self.guarded(|backend| match backend {
            Backend::Sqlite(connection) => connection.execute_many(sql, sets),
            Backend::Postgres(session) => session.execute_many(sql, sets),
        })
    }

    /// Inserts many rows with one statement; the number of inserted rows is the answer.
    ///
    /// # Errors
    ///
    /// As [`Tx::execute`].
    pub fn insert_many(
        &mut self,
        insert: &'static Insert,
        rows: &[impl AsRef<[Value]>],
    ) -> Result<u64, StoreError> {
        self.must_write(insert.name)?;
        let width = insert.columns.len();
        if let Some(wrong) = rows.iter().find(|row| row.as_ref().len() != width) {
            return Err(StoreError::wrong_count(
                insert.name,
                width,
                wrong.as_ref().len(),
            ));
        }
        if rows.is_empty() {
            return Ok(0);
        }
        self.guarded(|backend| match backend {
            Backend::Sqlite(connection) => Ok(connection
                .execute_many(Sql::Insert(insert), rows)?
                .iter()
                .sum()),
            Backend::Postgres(session) => session.insert_many(insert, rows),
        })
    }

    /// Runs `hook` in this process after the commit, before the caller gets its answer. For wake-ups: it must be
    /// quick and must not wait.
    pub fn after_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.push(Box::new(hook));
    }

    /// Runs several statements without parameters: a step of a migration.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.ran_script = true;
        self.guarded(|backend| match backend {
            Backend::Sqlite(connection) => connection.script(sql),
            Backend::Postgres(session) => session.script(sql),
        })
    }

    /// Whether a script ran here: SQLite does not count what that changes.
    pub(crate) fn ran_script(&self) -> bool {
        self.ran_script
    }

    fn rows<R: FromRow>(&mut self, sql: Sql<'_>, params: &[Value]) -> Result<Vec<R>, StoreError> {
        let writes = self.kind.writes();
        self.guarded(|backend| match backend {
            Backend::Sqlite(connection) => {
                connection.rows(sql, params, R::COLUMNS, |row| R::from_row(&row))
            }
            Backend::Postgres(session) => {
                let rows = session.rows(sql, params, R::COLUMNS, writes)?;
                rows.iter()
                    .map(|row| R::from_row(&Row::postgres(row)))
                    .collect()
            }
        })
    }

    /// Runs a statement unless one failed before, and remembers a failure.
    fn guarded<T>(
        &mut self,
        run: impl FnOnce(&mut Backend<'a>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = run(&mut self.backend);
        if let Err(error) = &result
            && self.kind != Kind::Read
        {
            self.failed = Some(error.clone());
        }
        result
    }

    fn must_write(&self, name: &str) -> Result<(), StoreError> {
        if self.kind.writes() {
            return Ok(());
        }
        Err(StoreError::Driver(format!(
            "{name} changes data outside of `write`"
        )))
    }

    /// The result of the closure, or the failure of a statement that the closure ignored.
    pub(crate) fn verdict<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match (result, self.failed.take()) {
            (Ok(_), Some(error)) => Err(error),
            (result, _) => result,
        }
    }

    pub(crate) fn take_hooks(&mut self) -> Vec<Hook> {
        std::mem::take(&mut self.hooks)
    }
}
