//! One connection, used by one thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, OpenFlags};

use crate::engine::Engine;
use crate::engine::error::{StoreError, is_failed_flush};
use crate::engine::row::{Row, RowSource};
use crate::engine::tx::Sql;
use crate::engine::value::{Value, clean_json, clean_text};

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
    Checkpointer,
}

pub(crate) struct Connection {
    raw: rusqlite::Connection,
    /// Texts by the address of their statement. As many as there are statements in the program.
    texts: RefCell<HashMap<usize, Rc<str>>>,
    failed_flush: Cell<bool>,
}

impl Connection {
    pub(crate) fn open(path: &Path, role: Role) -> Result<Self, StoreError> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if role == Role::Writer {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let raw = rusqlite::Connection::open_with_flags(path, flags)?;
        raw.busy_timeout(Duration::from_secs(5))?;
        raw.set_prepared_statement_cache_capacity(256);
        // Without this, SQLite plans a statement anew for each value that is bound to its LIMIT: a sixth of the
        // writer's time.
        raw.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // The file's own setting comes first: the others do not survive a change of it.
        if role == Role::Writer {
            let mode: String = raw.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            if mode != "wal" {
                return Err(StoreError::Unavailable(format!(
                    "SQLite cannot use its log here (mode {mode})"
                )));
            }
        }
        // Pages are allocated as they are used, so a large cache costs an idle program nothing. The log is copied
        // back by a thread of its own, which looks at the errors; SQLite itself would ignore a failed flush there.
        let cache_kib = if role == Role::Writer { 65_536 } else { 4_096 };
        raw.execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON; PRAGMA mmap_size = 0; PRAGMA wal_autocheckpoint = 0; \
             PRAGMA cache_size = -{cache_kib};"
        ))?;
        if role == Role::Reader {
            raw.execute_batch("PRAGMA query_only = ON")?;
        }
        Ok(Self {
            raw,
            texts: RefCell::default(),
            failed_flush: Cell::new(false),
        })
    }

    pub(crate) fn raw(&self) -> &rusqlite::Connection {
        &self.raw
    }

    pub(crate) fn raw_mut(&mut self) -> &mut rusqlite::Connection {
        &mut self.raw
    }

    /// Whether a flush failed since this was last asked.
    pub(crate) fn take_failed_flush(&self) -> bool {
        self.failed_flush.replace(false)
    }

    pub(crate) fn error(&self, error: rusqlite::Error) -> StoreError {
        if is_failed_flush(&error) {
            self.failed_flush.set(true);
        }
        error.into()
    }

    /// Runs a statement of the engine itself, such as COMMIT.
    pub(crate) fn control(&self, sql: &str) -> Result<(), StoreError> {
        #[cfg(test)]
        if sql == "COMMIT"
            && self
                .raw
                .path()
                .is_some_and(|path| Path::new(path).with_extension("no-flush").exists())
        {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
            return Err(self.error(rusqlite::Error::SqliteFailure(code, None)));
        }
        let run = || self.raw.prepare_cached(sql)?.raw_execute();
        run().map(|_| ()).map_err(|error| self.error(error))
    }

    pub(crate) fn script(&self, sql: &str) -> Result<(), StoreError> {
        let result = self
            .raw
            .execute_batch(sql)
            .map_err(|error| self.error(error));
        // The columns of cached statements may be other ones now.
        self.raw.flush_prepared_statement_cache();
        result
    }

    pub(crate) fn rows<R>(
        &self,
        sql: Sql<'_>,
        params: &[Value],
        columns: usize,
        mut read: impl FnMut(Row<'_>) -> Result<R, StoreError>,
    ) -> Result<Vec<R>, StoreError> {
        let mut statement = self.prepare(sql)?;
        if statement.column_count() != columns {
            let given = statement.column_count();
            return Err(StoreError::Driver(format!(
                "{} gives {given} columns, not {columns}",
                sql.name()
            )));
        }
        self.bind(&mut statement, sql, params)?;
        let mut rows = statement.raw_query();
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(|error| self.error(error))? {
            out.push(read(Row(RowSource::Sqlite(row)))?);
        }
        Ok(out)
    }

    pub(crate) fn execute(&self, sql: Sql<'_>, params: &[Value]) -> Result<u64, StoreError> {
        let mut statement = self.prepare(sql)?;
        self.run(&mut statement, sql, params)
    }

    pub(crate) fn execute_many(
        &self,
        sql: Sql<'_>,
        sets: &[impl AsRef<[Value]>],
    ) -> Result<Vec<u64>, StoreError> {
        let mut statement = self.prepare(sql)?;
        sets.iter()
            .map(|params| self.run(&mut statement, sql, params.as_ref()))
            .collect()
    }

    fn run(
        &self,
        statement: &mut CachedStatement<'_>,
        sql: Sql<'_>,
        params: &[Value],
    ) -> Result<u64, StoreError> {
        self.bind(statement, sql, params)?;
        statement
            .raw_execute()
            .map(|changed| changed as u64)
            .map_err(|error| self.error(error))
    }

    fn prepare(&self, sql: Sql<'_>) -> Result<CachedStatement<'_>, StoreError> {
        let text = match sql.key() {
            Some(key) => {
                let known = self.texts.borrow().get(&key).map(Rc::clone);
                known.unwrap_or_else(|| {
                    let text: Rc<str> = sql.text(Engine::Sqlite).into();
                    self.texts.borrow_mut().insert(key, Rc::clone(&text));
                    text
                })
            }
            None => sql.text(Engine::Sqlite).into(),
        };
        self.raw
            .prepare_cached(&text)
            .map_err(|error| match self.error(error) {
                StoreError::Driver(what) => StoreError::Driver(format!("{}: {what}", sql.name())),
                other => other,
            })
    }

    fn bind(
        &self,
        statement: &mut CachedStatement<'_>,
        sql: Sql<'_>,
        params: &[Value],
    ) -> Result<(), StoreError> {
        if statement.parameter_count() != params.len() {
            return Err(StoreError::wrong_count(
                sql.name(),
                statement.parameter_count(),
                params.len(),
            ));
        }
        for (at, value) in params.iter().enumerate() {
            statement
                .raw_bind_parameter(at + 1, Param(value))
                .map_err(|error| self.error(error))?;
        }
        Ok(())
    }
}

struct Param<'a>(&'a Value);

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        use std::borrow::Cow;
        let text = |text: Cow<'_, str>| match text {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(ToSqlOutput::Owned(rusqlite::types::Value::Text(text))),
        };
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Int(v) => ToSqlOutput::Borrowed(ValueRef::Integer(*v)),
            Value::Float(v) => ToSqlOutput::Borrowed(ValueRef::Real(*v)),
            Value::Bool(v) => ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*v))),
            Value::Text(v) => {
                text(clean_text(v)).unwrap_or(ToSqlOutput::Borrowed(ValueRef::Text(v.as_bytes())))
            }
            Value::Json(v) => {
                text(clean_json(v)).unwrap_or(ToSqlOutput::Borrowed(ValueRef::Text(v.as_bytes())))
            }
            Value::Bytes(v) => ToSqlOutput::Borrowed(ValueRef::Blob(v)),
            Value::Uuid(v) => ToSqlOutput::Borrowed(ValueRef::Blob(v.as_bytes())),
        })
    }
}
