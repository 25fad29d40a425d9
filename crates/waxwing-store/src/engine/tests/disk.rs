//! What a SQLite file can suffer.

use std::sync::Arc;

use super::{LABELS, TENANT, labels, make_things, put};
use crate::{DatabaseUrl, Store, StoreConfig, StoreError, params};

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
    // 64 MB were written; the log starts anew at about 24 MiB.
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

#[tokio::test]
async fn a_full_disk_fails_the_group_and_passes() {
    let db = crate::testing::TestDb::sqlite().await;
    make_things(&db).await;
    db.store().write(|tx| put(tx, 0, "zero")).await.unwrap();
    // SQLite takes the present size when the limit is lower.
    db.script("PRAGMA max_page_count = 1").await;
    let text = "x".repeat(2_000);
    let writes = (1..100_i64).map(|n| {
        let (store, label) = (db.store().clone(), format!("{n} {text}"));
        async move { store.write(move |tx| put(tx, n, &label)).await }
    });
    let outcomes = futures_util::future::join_all(writes).await;
    let full = outcomes
        .iter()
        .filter(|outcome| **outcome == Err(StoreError::DiskFull))
        .count();
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(full > 90, "{outcomes:?}");
    assert_eq!(full + done, 99, "{outcomes:?}");
    assert_eq!(
        labels(&db).await.len(),
        1 + done,
        "only what was acknowledged is there"
    );
    db.script("PRAGMA max_page_count = 100000").await;
    db.store().write(|tx| put(tx, 200, "later")).await.unwrap();
    db.destroy().await;
}

#[tokio::test]
async fn a_failed_flush_ends_the_work_after_its_callers_were_told() {
    let db = crate::testing::TestDb::sqlite().await;
    make_things(&db).await;
    db.store().clone().close().await;
    let (fatal, told) = std::sync::mpsc::channel();
    let mut config = db.config().clone();
    config.on_fatal = Arc::new(move |what| fatal.send(what.to_owned()).unwrap());
    let DatabaseUrl::Sqlite(path) = config.url.clone() else {
        unreachable!("a SQLite database")
    };
    let store = Store::open(config).await.unwrap();
    store.write(|tx| put(tx, 1, "one")).await.unwrap();
    assert!(told.try_recv().is_err());
    std::fs::write(path.with_extension("no-flush"), "").unwrap();
    assert_eq!(
        store.write(|tx| put(tx, 2, "two")).await,
        Err(StoreError::UnknownCommit)
    );
    let what = tokio::task::spawn_blocking(move || told.recv().unwrap())
        .await
        .unwrap();
    assert!(what.contains("flush"), "{what}");
    // Were the process still there, nothing would be written any more, though flushes seem to work again.
    std::fs::remove_file(path.with_extension("no-flush")).unwrap();
    let later = store.write(|tx| put(tx, 3, "three")).await;
    assert!(
        matches!(later, Err(StoreError::Unavailable(_))),
        "{later:?}"
    );
    store.close().await;
    db.destroy().await;
}
