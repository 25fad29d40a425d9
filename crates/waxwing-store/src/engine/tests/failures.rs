//! Lost connections, servers that are away, retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{labels, make_things, put};
use crate::testing::{TestOptions, run};
use crate::{DatabaseUrl, Engine, Scope, Statement, Store, StoreConfig, StoreError};

static TERMINATE: Statement = Statement::new(
    "TERMINATE",
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid()",
    Scope::Global,
);
static SUICIDE: Statement = Statement::new(
    "SUICIDE",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    Scope::Global,
);
static SHAPE: Statement = Statement::new("SHAPE", "SELECT * FROM shape", Scope::Global);

fn on_postgres<F: Future<Output = ()>>(
    pg_connections: usize,
    body: impl FnOnce(crate::testing::TestDb) -> F,
) {
    run(
        Engine::Postgres,
        &TestOptions {
            pg_connections,
            ..TestOptions::default()
        },
        body,
    );
}

#[test]
fn idle_connections_that_were_ended_come_back() {
    on_postgres(3, |db| async move {
        make_things(&db).await;
        for round in 0..5_i64 {
            // Every connection is made and used, then all but one are ended.
            let pings = (0..12).map(|_| db.store().ping());
            assert!(
                futures_util::future::join_all(pings)
                    .await
                    .into_iter()
                    .all(|ping| ping.is_ok())
            );
            db.store()
                .read(|tx| tx.query_one::<i64>(&TERMINATE, &[]))
                .await
                .unwrap();
            for n in 0..6 {
                let id = round * 10 + n;
                db.store()
                    .write(move |tx| put(tx, id, &format!("{id:02}")))
                    .await
                    .unwrap();
            }
        }
        assert_eq!(labels(&db).await.len(), 30);
    });
}

#[test]
fn a_connection_lost_before_the_commit_runs_the_closure_again() {
    on_postgres(1, |db| async move {
        make_things(&db).await;
        let runs = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&runs);
        let outcome = db
            .store()
            .write(move |tx| {
                put(tx, 1, "one")?;
                if counter.fetch_add(1, Ordering::SeqCst) == 0 {
                    tx.query_one::<bool>(&SUICIDE, &[])?;
                }
                Ok(())
            })
            .await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert_eq!(labels(&db).await, ["one"]);
    });
}

#[test]
fn a_changed_table_is_prepared_anew() {
    on_postgres(1, |db| async move {
        db.script("CREATE TABLE shape (a int)").await;
        db.script("INSERT INTO shape VALUES (5)").await;
        let read = || db.store().read(|tx| tx.query::<i64>(&SHAPE, &[]));
        assert_eq!(read().await, Ok(vec![5]));
        db.script("ALTER TABLE shape ALTER COLUMN a TYPE bigint")
            .await;
        assert_eq!(read().await, Ok(vec![5]));
    });
}

#[tokio::test]
async fn a_server_that_is_away_is_told_at_once() {
    // Nothing listens on a port that was just closed.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("postgres://nobody:secret@127.0.0.1:{port}/nothing");
    let start = Instant::now();
    let store = Store::open(StoreConfig::new(DatabaseUrl::Postgres(url)))
        .await
        .unwrap();
    for _ in 0..200 {
        let error = store.ping().await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Unavailable(text) if !text.contains("secret")),
            "{error:?}"
        );
        assert!(error.retriable());
    }
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    store.close().await;
}

#[tokio::test]
async fn a_server_that_comes_up_is_found() {
    // A proxy stands for the server, so that it can be away and come.
    let Some(db) = crate::testing::TestDb::postgres().await else {
        return;
    };
    let DatabaseUrl::Postgres(real) = &db.config().url else {
        unreachable!("a PostgreSQL database")
    };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let config: tokio_postgres::Config = real.parse().unwrap();
    let url = through(port, &config);
    let store = Store::open(StoreConfig::new(DatabaseUrl::Postgres(url)))
        .await
        .unwrap();
    assert!(matches!(
        store.ping().await,
        Err(StoreError::Unavailable(_))
    ));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    let proxy = tokio::spawn(proxy(listener, config, Loses::Nothing));
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.ping().await.is_err() {
        assert!(Instant::now() < deadline, "the store does not come back");
        tokio::task::yield_now().await;
    }
    store.close().await;
    proxy.abort();
    db.destroy().await;
}

/// Counts without end.
pub(super) static ENDLESS: Statement = Statement::new(
    "ENDLESS",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i > 0) SELECT max(i) FROM n",
    Scope::Global,
);

crate::store_test!(a_long_read_is_stopped, |db| async move {
    db.store().clone().close().await;
    let mut config = db.config().clone();
    config.longest_statement = Duration::from_millis(100);
    let store = Store::open(config).await.unwrap();
    for _ in 0..2 {
        let read = store
            .read(|tx| tx.query_one::<Option<i64>>(&ENDLESS, &[]))
            .await;
        assert_eq!(read, Err(StoreError::Timeout));
        assert_eq!(store.ping().await, Ok(()));
    }
    store.close().await;
});

#[test]
fn a_lost_answer_to_the_commit_is_unknown() {
    on_postgres(1, |db| async move {
        make_things(&db).await;
        let DatabaseUrl::Postgres(real) = &db.config().url else {
            unreachable!("a PostgreSQL database")
        };
        let real: tokio_postgres::Config = real.parse().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = through(listener.local_addr().unwrap().port(), &real);
        let proxy = tokio::spawn(proxy(listener, real, Loses::AnswerToCommit));
        let mut config = StoreConfig::new(DatabaseUrl::Postgres(url));
        config.pg_connections = 1;
        let store = Store::open(config).await.unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&runs);
        let outcome = store
            .write(move |tx| {
                counter.fetch_add(1, Ordering::SeqCst);
                put(tx, 1, "one")
            })
            .await;
        assert_eq!(outcome, Err(StoreError::UnknownCommit));
        assert_eq!(
            runs.load(Ordering::SeqCst),
            1,
            "what may have happened must not run again"
        );
        // The server did commit.
        assert_eq!(labels(&db).await, ["one"]);
        store.close().await;
        proxy.abort();
    });
}

/// What a proxy takes from its clients.
#[derive(Clone, Copy, PartialEq)]
enum Loses {
    Nothing,
    AnswerToCommit,
}

/// The connection string of the same database behind a proxy.
fn through(port: u16, config: &tokio_postgres::Config) -> String {
    let (user, database) = (config.get_user().unwrap(), config.get_dbname().unwrap());
    format!("host=127.0.0.1 port={port} user={user} dbname={database}")
}

async fn proxy(listener: tokio::net::TcpListener, config: tokio_postgres::Config, loses: Loses) {
    use tokio_postgres::config::Host;
    let server_port = config.get_ports().first().copied().unwrap_or(5432);
    loop {
        let (client, _) = listener.accept().await.unwrap();
        match config.get_hosts()[0].clone() {
            Host::Tcp(name) => {
                let server = tokio::net::TcpStream::connect((name, server_port))
                    .await
                    .unwrap();
                tokio::spawn(pass(client, server, loses));
            }
            Host::Unix(path) => {
                let socket = path.join(format!(".s.PGSQL.{server_port}"));
                let server = tokio::net::UnixStream::connect(socket).await.unwrap();
                tokio::spawn(pass(client, server, loses));
            }
        }
    }
}

/// Passes bytes both ways until one side ends, or until COMMIT has been answered and the answer is to be lost.
async fn pass<S: AsyncRead + AsyncWrite>(client: tokio::net::TcpStream, server: S, loses: Loses) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut committing = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                committing |= loses == Loses::AnswerToCommit
                    && up[..length].windows(7).any(|part| part == b"COMMIT\0");
                to_server.write_all(&up[..length]).await.unwrap();
            }
            read = from_server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if committing || to_client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_string_that_cannot_be_read_is_not_repeated() {
    let garbled = Store::open(StoreConfig::new(DatabaseUrl::Postgres(
        "postgres://u:hush@h:x/d".to_owned(),
    )))
    .await;
    assert!(
        matches!(&garbled, Err(StoreError::Driver(text)) if !text.contains("hush")),
        "{garbled:?}"
    );
}

#[test]
fn urls() {
    assert!(
        matches!(DatabaseUrl::parse("sqlite:a.db"), Ok(DatabaseUrl::Sqlite(path)) if path.as_os_str() == "a.db")
    );
    assert!(
        matches!(DatabaseUrl::parse("sqlite:///d/a.db"), Ok(DatabaseUrl::Sqlite(path)) if path.as_os_str() == "/d/a.db")
    );
    let postgres = DatabaseUrl::parse("postgresql://u:hush@h/d").unwrap();
    assert_eq!(postgres.engine(), Engine::Postgres);
    assert_eq!(format!("{postgres:?}"), "Postgres(..)");
    for bad in ["", "sqlite:", "mysql://x", "/some/path"] {
        assert!(DatabaseUrl::parse(bad).is_err(), "{bad}");
    }
}
