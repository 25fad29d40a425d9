//! The engine: one interface over SQLite and PostgreSQL.
//!
//! [`Store`] hands closures to database threads. A closure is synchronous and gets a [`Tx`], so no transaction can be
//! held across a network call; its result arrives after the commit.

mod batcher;
mod builder;
mod error;
mod ids;
mod job;
mod migrate;
mod postgres;
mod row;
mod sqlite;
mod statement;
mod statistics;
mod store;
#[cfg(test)]
mod tests;
mod tx;
mod value;

pub use batcher::{Batcher, BatcherOptions};
pub use builder::SqlBuilder;
pub use error::{ConstraintKind, StoreError};
#[cfg(any(test, feature = "testing"))]
pub(crate) use migrate::script as expand_script;
pub use migrate::{AppliedStep, MigrationStatus, Step, StepState};
pub use row::{Cell, FromColumn, FromRow, Json, Row};
pub use statement::{ColumnType, Insert, Module, Scope, Statement};
pub use store::{DatabaseUrl, OnFatal, Store, StoreConfig};
pub use tx::Tx;
pub use value::Value;

/// Which database works below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// SQLite, in this process.
    Sqlite,
    /// PostgreSQL, over a connection.
    Postgres,
}

impl Engine {
    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}
