//! The store: every SQL statement, the migrations, and the engine that runs them on SQLite and PostgreSQL.
//!
//! [`Store`] hands closures to database threads; [`statements!`], [`inserts!`] and [`row!`] define what they run and
//! read; [`Batcher`] makes one write of many small ones. The queries themselves are in [`domain`].

pub mod domain;
mod engine;
pub mod migrations;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use engine::{
    AppliedStep, Batcher, BatcherOptions, Cell, ColumnType, ConstraintKind, DatabaseUrl, Engine,
    FromColumn, FromRow, Insert, Json, MigrationStatus, Module, OnFatal, Row, Scope, SqlBuilder,
    Statement, Step, StepState, Store, StoreConfig, StoreError, Tx, Value,
};
