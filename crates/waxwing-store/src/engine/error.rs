//! The one error type of the store, and how the errors of the two engines become it.
//!
//! An error never holds a parameter value: phone numbers and secrets travel as parameters, errors travel to logs.

use rusqlite::ffi;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Which rule of the schema refused a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstraintKind {
    /// A foreign key: the row it points to does not exist, or another row still points here.
    ForeignKey,
    /// A CHECK clause, or a value of the wrong type.
    Check,
    /// A column that must not be NULL.
    NotNull,
}

/// Why a call to the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A row with the same key exists. `constraint` names the columns alike on both engines: `table.a, table.b`.
    #[error("a row with the same key exists ({constraint})")]
    Conflict {
        /// The columns of the key, or the name of its index when the engine says no more.
        constraint: String,
    },
    /// Another rule of the schema refused the row.
    #[error("the schema refuses the row ({kind:?} {constraint})")]
    Constraint {
        /// Which kind of rule.
        kind: ConstraintKind,
        /// Its name where the engine tells it.
        constraint: String,
    },
    /// Other transactions were in the way for longer than the retries last. Nothing was changed; try again.
    #[error("the database is busy")]
    Busy,
    /// The queue in front of the database is full. Nothing was changed; try again later.
    #[error("the queue of the store is full")]
    Full,
    /// The database cannot be reached or cannot work at present. Nothing was changed.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The statement ran for longer than allowed and was stopped. Nothing was changed.
    #[error("the statement took too long")]
    Timeout,
    /// The answer to COMMIT was lost: the change may or may not have happened. Unique keys must decide.
    #[error("the outcome of the commit is unknown")]
    UnknownCommit,
    /// The disk is full. Nothing was changed.
    #[error("the disk of the database is full")]
    DiskFull,
    /// The database holds what it must not hold.
    #[error("the database is damaged: {what}")]
    Corrupt {
        /// What is wrong.
        what: String,
    },
    /// The closure itself wants its changes undone; the text is the closure's own.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The closure panicked. Its changes were undone.
    #[error("a database closure panicked")]
    Panicked,
    /// The schema in the database is not the one that this program needs.
    #[error("the schema of the database does not fit: {0}")]
    Schema(String),
    /// A mistake of this program: a wrong statement, type or number of parameters.
    #[error("the database refuses the statement: {0}")]
    Driver(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether nothing was changed and the same call may succeed later.
    #[must_use]
    pub const fn retriable(&self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::Full
                | Self::Unavailable(_)
                | Self::Timeout
                | Self::DiskFull
                | Self::Closed
        )
    }

    /// A value of the database that cannot be read as the expected type. `what` must not hold the value.
    #[must_use]
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    pub(crate) fn wrong_count(name: &str, expected: usize, given: usize) -> Self {
        Self::Driver(format!(
            "{name} takes {expected} parameters, {given} were given"
        ))
    }
}

/// Whether the error says that a flush to the disk failed. What was written before is then in doubt for good (the
/// kernel may have dropped the dirty pages), so the process must end instead of flushing again.
pub(crate) fn is_failed_flush(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|e| {
        matches!(
            e.extended_code,
            ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC
        )
    })
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let (code, message) = match &error {
            rusqlite::Error::SqliteFailure(code, message) => {
                (*code, message.as_deref().unwrap_or_default())
            }
            rusqlite::Error::SqlInputError { error, msg, .. } => (*error, msg.as_str()),
            other => return Self::Driver(driver_text(other)),
        };
        from_sqlite_code(code.extended_code, message)
    }
}

/// Messages of the driver that quote no values.
fn driver_text(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::ExecuteReturnedResults => {
            "execute of a statement that returns rows".to_owned()
        }
        rusqlite::Error::InvalidParameterCount(given, expected) => {
            format!("{expected} parameters, {given} given")
        }
        rusqlite::Error::MultipleStatement => "more than one statement in a text".to_owned(),
        _ => "the SQLite driver failed".to_owned(),
    }
}

fn from_sqlite_code(extended: i32, message: &str) -> StoreError {
    let name = message
        .split_once(": ")
        .map_or("", |(_, rest)| rest)
        .to_owned();
    match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => {
            return StoreError::Conflict { constraint: name };
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
            return StoreError::Constraint {
                kind: ConstraintKind::ForeignKey,
                constraint: name,
            };
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            return StoreError::Constraint {
                kind: ConstraintKind::NotNull,
                constraint: name,
            };
        }
        ffi::SQLITE_CONSTRAINT_CHECK | ffi::SQLITE_CONSTRAINT_DATATYPE => {
            return StoreError::Constraint {
                kind: ConstraintKind::Check,
                constraint: name,
            };
        }
        _ => {}
    }
    match extended & 0xff {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => StoreError::Busy,
        ffi::SQLITE_FULL => StoreError::DiskFull,
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => {
            StoreError::corrupt(format!("SQLite error {extended}"))
        }
        ffi::SQLITE_INTERRUPT => StoreError::Timeout,
        ffi::SQLITE_IOERR
        | ffi::SQLITE_CANTOPEN
        | ffi::SQLITE_NOMEM
        | ffi::SQLITE_PERM
        | ffi::SQLITE_PROTOCOL => StoreError::Unavailable(format!("SQLite error {extended}")),
        ffi::SQLITE_READONLY => {
            StoreError::Driver("a write outside `write`, or a read-only file".to_owned())
        }
        // A full-text query error quotes the searched words.
        _ if message.starts_with("fts5:") || message.contains("MATCH") => {
            StoreError::Driver("a malformed full-text query".to_owned())
        }
        _ => StoreError::Driver(format!("SQLite error {extended}: {message}")),
    }
}

/// What an error of a PostgreSQL statement means for the connection and for the closure.
pub(crate) struct PgFailure {
    /// What the caller gets when there is no further try.
    pub error: StoreError,
    /// The connection cannot be used any more.
    pub broken: bool,
    /// The closure may run again, provided that COMMIT was not sent.
    pub retry: bool,
    /// The server rolled the transaction back for certain (an error of the server, not of the line).
    pub definite: bool,
    /// The prepared statements of the connection are stale.
    pub stale: bool,
}

pub(crate) fn from_postgres(error: &tokio_postgres::Error) -> PgFailure {
    if let Some(db) = error.as_db_error() {
        return from_db_error(db);
    }
    if error.is_closed() || has_io_source(error) {
        return PgFailure {
            error: StoreError::Unavailable("the connection to PostgreSQL broke".to_owned()),
            broken: true,
            retry: true,
            definite: false,
            stale: false,
        };
    }
    // What is left are mistakes of encoding and decoding; their texts name types and positions, never values.
    let text = std::error::Error::source(error)
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    PgFailure {
        error: StoreError::Driver(text),
        broken: false,
        retry: false,
        definite: true,
        stale: false,
    }
}

fn has_io_source(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<std::io::Error>() {
            return true;
        }
        source = inner.source();
    }
    false
}

fn from_db_error(db: &DbError) -> PgFailure {
    let code = db.code();
    let fatal = matches!(
        db.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    );
    let stale = *code == SqlState::INVALID_SQL_STATEMENT_NAME
        || (*code == SqlState::FEATURE_NOT_SUPPORTED && db.message().contains("cached plan"));
    let serialization =
        *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED;
    PgFailure {
        error: store_error(db),
        broken: fatal,
        retry: serialization || fatal || stale,
        definite: !fatal && *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN,
        stale,
    }
}

fn store_error(db: &DbError) -> StoreError {
    let code = db.code();
    let named = || {
        db.constraint()
            .or_else(|| db.column())
            .or_else(|| db.table())
            .unwrap_or_default()
            .to_owned()
    };
    if *code == SqlState::UNIQUE_VIOLATION {
        return StoreError::Conflict {
            constraint: key_columns(db).unwrap_or_else(named),
        };
    }
    let kind = if *code == SqlState::FOREIGN_KEY_VIOLATION {
        Some(ConstraintKind::ForeignKey)
    } else if *code == SqlState::NOT_NULL_VIOLATION {
        Some(ConstraintKind::NotNull)
    } else if *code == SqlState::CHECK_VIOLATION {
        Some(ConstraintKind::Check)
    } else {
        None
    };
    if let Some(kind) = kind {
        return StoreError::Constraint {
            kind,
            constraint: named(),
        };
    }
    match code.code() {
        "40001" | "40P01" | "55P03" => StoreError::Busy,
        "57014" => StoreError::Timeout,
        "53100" => StoreError::DiskFull,
        "XX001" | "XX002" => StoreError::corrupt(format!("PostgreSQL error {}", code.code())),
        // The texts of these classes name objects of the schema or states of the server.
        text => match &text[..2] {
            "08" | "53" | "57" | "58" => {
                StoreError::Unavailable(format!("PostgreSQL error {text}: {}", db.message()))
            }
            "28" | "3D" => {
                StoreError::Unavailable(format!("PostgreSQL refuses the login (error {text})"))
            }
            "0A" | "25" | "26" | "3F" | "42" => {
                StoreError::Driver(format!("PostgreSQL error {text}: {}", db.message()))
            }
            _ => StoreError::Driver(format!("PostgreSQL error {text} {}", named())),
        },
    }
}

/// `table.a, table.b` from the detail `Key (a, b)=(1, 2) already exists.`, without the values. The words around the
/// parentheses depend on the server's language, the parentheses do not.
fn key_columns(db: &DbError) -> Option<String> {
    let detail = db.detail()?;
    let end = detail.find(")=(")?;
    let start = detail.find('(')? + 1;
    let table = db.table()?;
    let columns = detail.get(start..end)?;
    Some(
        columns
            .split(", ")
            .map(|column| format!("{table}.{column}"))
            .collect::<Vec<_>>()
            .join(", "),
    )
}
