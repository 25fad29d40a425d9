//! The schema, step by step.
//!
//! Each step is one transaction: the statements and the line in `schema_migrations`. On PostgreSQL it takes an advisory
//! lock first, so that several processes can start at once. An applied step never changes again.

use super::Engine;
use super::error::StoreError;
use super::statement::{Scope, Statement, expand};
use super::store::Store;
use super::tx::Tx;

/// One step of the schema. Made by [`steps!`](crate::steps).
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The directory, `0001_name`: the number is the version.
    pub name: &'static str,
    /// The statements that make the step, in the dialect of tokens.
    pub up: &'static str,
    /// The statements that undo it.
    pub down: &'static str,
}

impl Step {
    /// The version, the digits at the start of the name.
    #[must_use]
    pub fn version(&self) -> i64 {
        let digits = self.name.split('_').next().unwrap_or_default();
        digits
            .parse()
            .expect("a step is named by its number, as in 0001_tenants")
    }

    fn checksum(&self) -> String {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        digest.update(self.up.as_bytes());
        digest.update(&[0]);
        digest.update(self.down.as_bytes());
        hex::encode(digest.finish())
    }
}

/// The steps of a directory with one directory for each step: `steps!["../migrations"; "0001_tenants", "0002_notes"]`.
/// The path is relative to the file that names it.
#[macro_export]
macro_rules! steps {
    ($root:literal; $($name:literal),* $(,)?) => {
        &[$($crate::Step {
            name: $name,
            up: include_str!(concat!($root, "/", $name, "/up.sql")),
            down: include_str!(concat!($root, "/", $name, "/down.sql")),
        }),*]
    };
}

/// A step that a call applied or undid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedStep {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub name: String,
}

/// How a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// In the database, at this time (microseconds since 1970).
    Applied(i64),
    /// Not yet in the database.
    Pending,
}

/// One line of the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The version.
    pub version: i64,
    /// The name.
    pub name: String,
    /// How it stands.
    pub state: StepState,
}

crate::row! {
    struct Recorded { version: i64, name: String, checksum: String, applied_at: i64 }
}

// Not in the registry: some of them are for one engine only.
const fn statement(name: &'static str, sql: &'static str) -> Statement {
    Statement::new(name, sql, Scope::Global)
}

static RECORDED: Statement = statement(
    "RECORDED",
    "SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version",
);
static RECORD: Statement = statement(
    "RECORD",
    "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
);
static FORGET: Statement = statement("FORGET", "DELETE FROM schema_migrations WHERE version = $1");
static PG_LOCK: Statement = statement(
    "PG_LOCK",
    "SELECT pg_advisory_xact_lock(8437264, hashtext(current_setting('search_path')))",
);
static PG_NOW: Statement = statement(
    "PG_NOW",
    "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
);
static SQLITE_NOW: Statement = statement(
    "SQLITE_NOW",
    "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
);
static PG_HAS_TABLE: Statement = statement(
    "PG_HAS_TABLE",
    "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() \
     AND tablename = 'schema_migrations'",
);
static SQLITE_HAS_TABLE: Statement = statement(
    "SQLITE_HAS_TABLE",
    "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'",
);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version {int} PRIMARY KEY, name {text} NOT NULL, \
                     checksum {text} NOT NULL, applied_at {time} NOT NULL) {strict}";

impl Store {
    /// Applies all steps that the database does not have. The answer lists them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Schema`] when an applied step is not the one this program knows, or the database has a step that
    /// this program does not know; else what the database says.
    pub async fn migrate_up(&self) -> Result<Vec<AppliedStep>, StoreError> {
        let last = self.steps().last().map_or(0, Step::version);
        self.migrate_up_to(last).await
    }

    /// As [`Store::migrate_up`], up to a version.
    ///
    /// # Errors
    ///
    /// As [`Store::migrate_up`].
    pub async fn migrate_up_to(&self, version: i64) -> Result<Vec<AppliedStep>, StoreError> {
        self.make_table().await?;
        let mut applied = Vec::new();
        for step in self.steps().iter().filter(|step| step.version() <= version) {
            let (step, steps) = (*step, self.steps());
            let done = self.write(move |tx| apply(tx, &step, steps)).await?;
            applied.extend(done);
        }
        self.check_schema_known().await?;
        Ok(applied)
    }

    /// Undoes the last `count` applied steps. The answer lists them, the latest first.
    ///
    /// # Errors
    ///
    /// As [`Store::migrate_up`].
    pub async fn migrate_down(&self, count: usize) -> Result<Vec<AppliedStep>, StoreError> {
        self.make_table().await?;
        let mut undone = Vec::new();
        for _ in 0..count {
            let steps = self.steps();
            match self.write(move |tx| undo(tx, steps)).await? {
                Some(step) => undone.push(step),
                None => break,
            }
        }
        Ok(undone)
    }

    /// Every known step and whether the database has it. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Store::migrate_up`].
    pub async fn migrate_status(&self) -> Result<Vec<MigrationStatus>, StoreError> {
        let recorded = self.recorded().await?;
        compare(&recorded, self.steps())?;
        let state = |version| match recorded.iter().find(|line| line.version == version) {
            Some(line) => StepState::Applied(line.applied_at),
            None => StepState::Pending,
        };
        let line = |step: &Step| MigrationStatus {
            version: step.version(),
            name: step.name.to_owned(),
            state: state(step.version()),
        };
        Ok(self.steps().iter().map(line).collect())
    }

    /// Fails unless the database has exactly the steps that this program knows. For a start without migration.
    ///
    /// # Errors
    ///
    /// As [`Store::migrate_up`]; [`StoreError::Schema`] also when a step is missing.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        match self
            .migrate_status()
            .await?
            .iter()
            .find(|line| line.state == StepState::Pending)
        {
            Some(line) => Err(StoreError::Schema(format!(
                "step {} is not applied; run `migrate up`",
                line.name
            ))),
            None => Ok(()),
        }
    }

    async fn check_schema_known(&self) -> Result<(), StoreError> {
        compare(&self.recorded().await?, self.steps())
    }

    async fn recorded(&self) -> Result<Vec<Recorded>, StoreError> {
        self.read(|tx| {
            let exists = match tx.engine() {
                Engine::Sqlite => tx.query_one::<i64>(&SQLITE_HAS_TABLE, &[])?,
                Engine::Postgres => tx.query_one::<i64>(&PG_HAS_TABLE, &[])?,
            };
            if exists == 0 {
                Ok(Vec::new())
            } else {
                tx.query(&RECORDED, &[])
            }
        })
        .await
    }

    async fn make_table(&self) -> Result<(), StoreError> {
        let schema = match self.schema() {
            Some(schema) if self.engine() == Engine::Postgres => {
                format!(
                    "CREATE SCHEMA IF NOT EXISTS {};",
                    super::postgres::quoted_schema(schema)?
                )
            }
            _ => String::new(),
        };
        self.write(move |tx| {
            lock(tx)?;
            tx.script(&schema)?;
            tx.script(&expand(TABLE, tx.engine()))
        })
        .await
    }
}

/// One process at a time; until the end of the transaction.
fn lock(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    if tx.engine() == Engine::Postgres {
        // Another process may take its time with a step.
        tx.script("SET LOCAL statement_timeout = 0")?;
        tx.query_one::<Option<i64>>(&PG_LOCK, &[])?;
    }
    Ok(())
}

fn apply(tx: &mut Tx<'_>, step: &Step, steps: &[Step]) -> Result<Option<AppliedStep>, StoreError> {
    lock(tx)?;
    let recorded: Vec<Recorded> = tx.query(&RECORDED, &[])?;
    compare(&recorded, steps)?;
    let version = step.version();
    if recorded.iter().any(|line| line.version == version) {
        return Ok(None);
    }
    tx.script(&script(step.up, tx.engine()))?;
    let now: i64 = match tx.engine() {
        Engine::Sqlite => tx.query_one(&SQLITE_NOW, &[])?,
        Engine::Postgres => tx.query_one(&PG_NOW, &[])?,
    };
    tx.execute(
        &RECORD,
        &crate::params![version, step.name, step.checksum(), now],
    )?;
    Ok(Some(AppliedStep {
        version,
        name: step.name.to_owned(),
    }))
}

fn undo(tx: &mut Tx<'_>, steps: &[Step]) -> Result<Option<AppliedStep>, StoreError> {
    lock(tx)?;
    let recorded: Vec<Recorded> = tx.query(&RECORDED, &[])?;
    compare(&recorded, steps)?;
    let Some(line) = recorded.last() else {
        return Ok(None);
    };
    let step = steps
        .iter()
        .find(|step| step.version() == line.version)
        .ok_or_else(|| StoreError::Schema(format!("step {} is unknown", line.version)))?;
    tx.script(&script(step.down, tx.engine()))?;
    tx.execute(&FORGET, &crate::params![line.version])?;
    Ok(Some(AppliedStep {
        version: line.version,
        name: line.name.clone(),
    }))
}

/// The database may lack steps at the end, nothing else.
fn compare(recorded: &[Recorded], steps: &[Step]) -> Result<(), StoreError> {
    for (at, line) in recorded.iter().enumerate() {
        let Some(step) = steps.get(at) else {
            return Err(StoreError::Schema(format!(
                "the database has step {}, which is newer than this program",
                line.name
            )));
        };
        if step.version() != line.version {
            return Err(StoreError::Schema(format!(
                "the database has step {} where {} belongs",
                line.name, step.name
            )));
        }
        if step.checksum() != line.checksum {
            return Err(StoreError::Schema(format!(
                "step {} was changed after it was applied",
                step.name
            )));
        }
    }
    Ok(())
}

/// The script for an engine: tokens replaced, and of the parts after a line `--@sqlite` or `--@postgres` only the right
/// ones, up to a line `--@all`.
pub(crate) fn script(text: &str, engine: Engine) -> String {
    let mut wanted = true;
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        match line.trim() {
            "--@all" => wanted = true,
            "--@sqlite" => wanted = engine == Engine::Sqlite,
            "--@postgres" => wanted = engine == Engine::Postgres,
            _ if wanted => {
                out.push_str(line);
                out.push('\n');
            }
            _ => {}
        }
    }
    expand(&out, engine)
}
