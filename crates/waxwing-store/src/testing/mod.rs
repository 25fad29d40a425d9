//! Databases for tests: a fresh one for each test, on each engine.
//!
//! [`store_test!`](crate::store_test) makes two tests of one body. PostgreSQL is found by `WAXWING_TEST_PG_URL` or
//! started from the installed programs. Without it the second test says that it is skipped;
//! `REQUIRE_POSTGRES=1` makes that a failure.

pub(crate) mod cluster;
mod dump;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;

use crate::engine::expand_script;
use crate::{DatabaseUrl, Engine, Step, Store, StoreConfig};

/// How a test wants its database.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// The steps of the schema.
    pub steps: &'static [Step],
    /// Whether the steps are applied.
    pub migrated: bool,
    /// PostgreSQL: the number of connections.
    pub pg_connections: usize,
}

impl Default for TestOptions {
    fn default() -> Self {
        Self {
            steps: crate::migrations::STEPS,
            migrated: true,
            pg_connections: 4,
        }
    }
}

/// A database of one test.
#[derive(Clone)]
pub struct TestDb {
    store: Store,
    config: StoreConfig,
    /// Removed with the last handle.
    directory: Option<Arc<tempfile::TempDir>>,
}

impl TestDb {
    /// A migrated SQLite database.
    pub async fn sqlite() -> Self {
        Self::sqlite_with(&TestOptions::default()).await
    }

    /// A migrated PostgreSQL database; none where there is no PostgreSQL.
    pub async fn postgres() -> Option<Self> {
        Self::postgres_with(&TestOptions::default()).await
    }

    /// A SQLite database.
    pub async fn sqlite_with(options: &TestOptions) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("waxwing-test-")
            .tempdir()
            .expect("a temporary directory");
        let path = directory.path().join("waxwing.db");
        if options.migrated && !options.steps.is_empty() {
            std::fs::copy(sqlite_template(options.steps).await, &path)
                .expect("a copy of the template");
        }
        let mut config = StoreConfig::new(DatabaseUrl::Sqlite(path));
        config.readers = 2;
        config.steps = options.steps;
        let store = Store::open(config.clone()).await.expect("SQLite opens");
        if options.migrated {
            store
                .migrate_up()
                .await
                .expect("the template has the table of the steps");
        }
        Self {
            store,
            config,
            directory: Some(Arc::new(directory)),
        }
    }

    /// A PostgreSQL database; none where there is no PostgreSQL.
    pub async fn postgres_with(options: &TestOptions) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = cluster::server().await?;
        let name = format!(
            "waxwing_test_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let template = if options.migrated {
            postgres_template(&server, options.steps).await
        } else {
            "template1".into()
        };
        server
            .execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await;
        server
            .execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await;
        let mut config = StoreConfig::new(DatabaseUrl::Postgres(server.url(&name)));
        config.pg_connections = options.pg_connections;
        config.steps = options.steps;
        let store = Store::open(config.clone())
            .await
            .expect("the settings are right");
        Some(Self {
            store,
            config,
            directory: None,
        })
    }

    /// A database on either engine; none where there is no PostgreSQL.
    pub async fn new(engine: Engine, options: &TestOptions) -> Option<Self> {
        match engine {
            Engine::Sqlite => Some(Self::sqlite_with(options).await),
            Engine::Postgres => Self::postgres_with(options).await,
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How the store was opened; to open it again after [`Store::close`].
    #[must_use]
    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// Runs statements without parameters in the dialect of the migrations.
    pub async fn script(&self, sql: &str) {
        let sql = expand_script(sql, self.store.engine());
        self.store
            .write(move |tx| tx.script(&sql))
            .await
            .expect("the script runs");
    }

    /// The schema as text: tables, columns, indexes, constraints, in a fixed order.
    pub async fn schema_dump(&self) -> String {
        dump::dump(&self.store).await
    }

    /// Closes the store and removes the database.
    pub async fn destroy(self) {
        let Self {
            store,
            config,
            directory,
        } = self;
        store.close().await;
        if let DatabaseUrl::Postgres(url) = &config.url
            && let Some(server) = cluster::server().await
        {
            server
                .execute(&format!(
                    "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                    cluster::database_of(url)
                ))
                .await;
        }
        drop(directory);
    }
}

/// A file with the steps applied, made once for each set of steps.
async fn sqlite_template(steps: &'static [Step]) -> PathBuf {
    let path = cluster::directory().join(format!("sqlite-{}.db", fingerprint(steps)));
    if path.exists() {
        return path;
    }
    // Made under another name: several processes may do this at once, the last one wins.
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let mut config = StoreConfig::new(DatabaseUrl::Sqlite(draft.clone()));
    config.steps = steps;
    let store = Store::open(config).await.expect("SQLite opens");
    store.migrate_up().await.expect("the steps apply");
    store.close().await;
    std::fs::rename(&draft, &path).expect("the template moves to its place");
    let _ = std::fs::remove_file(draft.with_extension("draft.lock"));
    path
}

/// A database with the steps applied, made once for each set of steps.
async fn postgres_template(server: &cluster::Server, steps: &'static [Step]) -> String {
    let name = format!("waxwing_template_{}", fingerprint(steps));
    let _turn = server.lock().await;
    if !server.has_database(&name).await {
        let draft = format!("{name}_draft");
        server
            .execute(&format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))
            .await;
        server.execute(&format!("CREATE DATABASE {draft}")).await;
        let mut config = StoreConfig::new(DatabaseUrl::Postgres(server.url(&draft)));
        config.steps = steps;
        config.pg_connections = 1;
        let store = Store::open(config).await.expect("the settings are right");
        store.migrate_up().await.expect("the steps apply");
        store.close().await;
        server
            .execute(&format!("ALTER DATABASE {draft} RENAME TO {name}"))
            .await;
    }
    name
}

fn fingerprint(steps: &[Step]) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for text in steps
        .iter()
        .flat_map(|step| [step.name, step.up, step.down])
    {
        digest.update(&text.len().to_le_bytes());
        digest.update(text.as_bytes());
    }
    hex::encode(&digest.finish().as_ref()[..8])
}

/// Runs the body of a test on an engine. Used by [`store_test!`](crate::store_test).
///
/// # Panics
///
/// When the body does; also without PostgreSQL when `REQUIRE_POSTGRES=1`.
pub fn run<F, Fut>(engine: Engine, options: &TestOptions, body: F)
where
    F: FnOnce(TestDb) -> Fut,
    Fut: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let Some(db) = TestDb::new(engine, options).await else {
            skip();
            return;
        };
        // The database goes away after a failure, too.
        let outcome = AssertUnwindSafe(body(db.clone())).catch_unwind().await;
        db.destroy().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

#[expect(
    clippy::print_stderr,
    reason = "the only way to tell the reader of a test's output"
)]
pub(crate) fn skip() {
    let required = std::env::var("REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
    assert!(!required, "PostgreSQL is required, and there is none");
    eprintln!("skipped: no PostgreSQL (set WAXWING_TEST_PG_URL or install its programs)");
}

/// Makes two tests, `name::sqlite` and `name::postgres`, of one body.
///
/// ```
/// waxwing_store::store_test!(answers, |db| async move {
///     db.store().ping().await.unwrap();
/// });
/// ```
///
/// Options go between: `store_test!(answers, TestOptions { migrated: false, ..TestOptions::default() }, |db| ..)`.
#[macro_export]
macro_rules! store_test {
    ($name:ident, $options:expr, |$db:ident| $body:expr $(,)?) => {
        // The module of the same name lives in another namespace.
        fn $name(engine: $crate::Engine) {
            $crate::testing::run(engine, &$options, |$db: $crate::testing::TestDb| $body);
        }

        mod $name {
            #[test]
            fn sqlite() {
                super::$name($crate::Engine::Sqlite);
            }

            #[test]
            fn postgres() {
                super::$name($crate::Engine::Postgres);
            }
        }
    };
    ($name:ident, |$db:ident| $body:expr $(,)?) => {
        $crate::store_test!($name, $crate::testing::TestOptions::default(), |$db| $body);
    };
}
