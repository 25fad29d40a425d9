//! Lost connections, servers that are away, retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{LABELS, TENANT, labels, make_things, put};
use crate::testing::{TestOptions, run};
use crate::{DatabaseUrl, Engine, Scope, Statement, Store, StoreConfig, StoreError, params};

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
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let config: tokio_postgres::Config = real.parse().unwrap();
    let url = format!(
        "host=127.0.0.1 port={port} user={} dbname={}",
        config.get_user().unwrap(),
        config.get_dbname().unwrap()
    );
    let store = Store::open(StoreConfig::new(DatabaseUrl::Postgres(url)))
        .await
        .unwrap();
    assert!(matches!(
        store.ping().await,
        Err(StoreError::Unavailable(_))
    ));
    let proxy = tokio::spawn(proxy(port, config));
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.ping().await.is_err() {
        assert!(Instant::now() < deadline, "the store does not come back");
        tokio::task::yield_now().await;
    }
    store.close().await;
    proxy.abort();
    db.destroy().await;
}

async fn proxy(port: u16, config: tokio_postgres::Config) {
    use tokio_postgres::config::Host;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    let server_port = config.get_ports().first().copied().unwrap_or(5432);
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let host = config.get_hosts()[0].clone();
        tokio::spawn(async move {
            // An end on either side ends the line.
            let _ = match host {
                Host::Tcp(name) => {
                    let mut server = tokio::net::TcpStream::connect((name, server_port))
                        .await
                        .unwrap();
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                }
                Host::Unix(path) => {
                    let socket = path.join(format!(".s.PGSQL.{server_port}"));
                    let mut server = tokio::net::UnixStream::connect(socket).await.unwrap();
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                }
            };
        });
    }
}

#[tokio::test]
async fn encryption_that_is_asked_for_is_not_ignored() {
    for url in [
        "postgres://u:p@h/d?sslmode=require",
        "host=h user=u sslmode=require",
    ] {
        let opened = Store::open(StoreConfig::new(DatabaseUrl::parse(url).unwrap())).await;
        assert!(
            matches!(&opened, Err(StoreError::Driver(text)) if text.contains("sslmode")),
            "{opened:?}"
        );
    }
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

#[tokio::test]
async fn a_missing_directory_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/waxwing.db");
    let opened = Store::open(StoreConfig::new(DatabaseUrl::Sqlite(path))).await;
    assert!(
        matches!(opened, Err(StoreError::Unavailable(_))),
        "{opened:?}"
    );
}

#[tokio::test]
async fn a_file_of_something_else_is_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waxwing.db");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    let opened = Store::open(StoreConfig::new(DatabaseUrl::Sqlite(path))).await;
    assert!(
        matches!(opened, Err(StoreError::Corrupt { .. })),
        "{opened:?}"
    );
}

#[tokio::test]
async fn the_log_does_not_grow_without_end() {
    let db = crate::testing::TestDb::sqlite().await;
    make_things(&db).await;
    let text = "x".repeat(20_000);
    let writers = (0..8_i64).map(|writer| {
        let (store, text) = (db.store().clone(), text.clone());
        async move {
            for n in 0..400 {
                let id = writer * 1000 + n;
                let label = format!("{id} {text}");
                store.write(move |tx| put(tx, id, &label)).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(writers).await;
    let DatabaseUrl::Sqlite(path) = &db.config().url else {
        unreachable!("a SQLite database")
    };
    let log = std::fs::metadata(path.with_extension("db-wal"))
        .unwrap()
        .len();
    // 64 MB were written; the log starts anew at about 16 MiB.
    assert!(log < 40 * 1024 * 1024, "{log} bytes");
    let count = db
        .store()
        .read(|tx| tx.query::<String>(&LABELS, &params![TENANT]))
        .await
        .unwrap()
        .len();
    assert_eq!(count, 3200);
    db.destroy().await;
}
