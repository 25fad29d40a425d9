//! Groups, savepoints, panics, snapshots, hooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{
    ADD, AMOUNT, COUNT, LABELS, LOCK, PUT, SET_LABEL, STATEMENTS, TENANT, TOTAL, labels,
    make_things, put,
};
use crate::{DatabaseUrl, Engine, Store, StoreError, params, store_test};

store_test!(a_result_arrives_after_the_commit, |db| async move {
    make_things(&db).await;
    let store = db.store();
    store.write(|tx| put(tx, 1, "one")).await.unwrap();
    assert_eq!(labels(&db).await, ["one"]);
});

store_test!(
    one_failing_closure_leaves_its_group_alone,
    |db| async move {
        make_things(&db).await;
        let writes = (0..300_i64).map(|n| {
            let store = db.store().clone();
            tokio::spawn(async move {
                store
                    .write(move |tx| {
                        put(tx, n, &format!("label {n}"))?;
                        match n % 4 {
                            1 => put(tx, n, "the same key again"),
                            2 => Err(StoreError::Refused("on purpose")),
                            3 => panic!("on purpose"),
                            _ => Ok(()),
                        }
                    })
                    .await
            })
        });
        let writes: Vec<_> = writes.collect();
        for (n, write) in writes.into_iter().enumerate() {
            let result = write.await.unwrap();
            match n % 4 {
                0 => assert_eq!(result, Ok(()), "{n}"),
                1 => assert_eq!(
                    result,
                    Err(StoreError::Conflict {
                        constraint: "things.tenant_id, things.id".to_owned()
                    }),
                    "{n}"
                ),
                2 => assert_eq!(result, Err(StoreError::Refused("on purpose")), "{n}"),
                _ => assert_eq!(result, Err(StoreError::Panicked), "{n}"),
            }
        }
        assert_eq!(labels(&db).await.len(), 75);
    }
);

store_test!(
    a_caught_error_still_spoils_the_transaction,
    |db| async move {
        make_things(&db).await;
        let outcome = db
            .store()
            .write(|tx| {
                put(tx, 1, "one")?;
                let conflict = put(tx, 1, "two");
                assert!(matches!(conflict, Err(StoreError::Conflict { .. })));
                assert_eq!(put(tx, 2, "two"), conflict);
                Ok(())
            })
            .await;
        assert!(matches!(outcome, Err(StoreError::Conflict { .. })));
        assert_eq!(labels(&db).await, Vec::<String>::new());
    }
);

store_test!(errors_are_named_alike, |db| async move {
    make_things(&db).await;
    let store = db.store();
    store.write(|tx| put(tx, 1, "one")).await.unwrap();
    let by_index = store.write(|tx| put(tx, 2, "one")).await;
    assert_eq!(
        by_index,
        Err(StoreError::Conflict {
            constraint: "things.tenant_id, things.label".to_owned()
        })
    );
    let by_check = store.write(|tx| put(tx, 2, "forbidden")).await;
    assert!(
        matches!(
            by_check,
            Err(StoreError::Constraint {
                kind: crate::ConstraintKind::Check,
                ..
            })
        ),
        "{by_check:?}"
    );
    let by_null = store
        .write(|tx| tx.execute(&PUT, &params![TENANT, None::<i64>, "x"]))
        .await;
    assert!(
        matches!(
            by_null,
            Err(StoreError::Constraint {
                kind: crate::ConstraintKind::NotNull,
                ..
            })
        ),
        "{by_null:?}"
    );
    let by_count = store.write(|tx| tx.execute(&PUT, &params![TENANT])).await;
    assert_eq!(
        by_count,
        Err(StoreError::Driver(
            "PUT takes 3 parameters, 1 were given".to_owned()
        ))
    );
    let by_columns = store
        .read(|tx| tx.query::<(String, String)>(&LABELS, &params![TENANT]))
        .await;
    assert_eq!(
        by_columns.err(),
        Some(StoreError::Driver(
            "LABELS gives 1 columns, not 2".to_owned()
        ))
    );
});

store_test!(a_read_cannot_write, |db| async move {
    make_things(&db).await;
    let store = db.store();
    for outcome in [
        store.read(|tx| put(tx, 1, "one")).await,
        store.read_snapshot(|tx| put(tx, 1, "one")).await,
    ] {
        assert!(matches!(outcome, Err(StoreError::Driver(_))), "{outcome:?}");
    }
    static SNEAKY: crate::Statement = crate::Statement::new(
        "SNEAKY",
        "INSERT INTO things (tenant_id, id) VALUES ($1, 1) RETURNING id",
        crate::Scope::Tenant,
    );
    let sneaky = store
        .read(|tx| tx.query::<i64>(&SNEAKY, &params![TENANT]))
        .await;
    assert!(matches!(sneaky, Err(StoreError::Driver(_))), "{sneaky:?}");
    let sneaky = store
        .read(|tx| tx.query_many::<i64>(&SNEAKY, &[params![TENANT]]))
        .await;
    assert!(matches!(sneaky, Err(StoreError::Driver(_))), "{sneaky:?}");
    assert_eq!(labels(&db).await, Vec::<String>::new());
});

store_test!(a_snapshot_does_not_move, |db| async move {
    make_things(&db).await;
    let (store, other) = (db.store().clone(), db.store().clone());
    let (saw_first, first_seen) = std::sync::mpsc::channel();
    let (wrote, written) = std::sync::mpsc::channel();
    let written = std::sync::Mutex::new(written);
    let saw_first = std::sync::Mutex::new(saw_first);
    let read = tokio::spawn(async move {
        store
            .read_snapshot(move |tx| {
                let before: i64 = tx.query_one(&COUNT, &params![TENANT])?;
                saw_first.lock().unwrap().send(()).unwrap();
                written.lock().unwrap().recv().unwrap();
                Ok((before, tx.query_one::<i64>(&COUNT, &params![TENANT])?))
            })
            .await
    });
    tokio::task::spawn_blocking(move || first_seen.recv().unwrap())
        .await
        .unwrap();
    other.write(|tx| put(tx, 1, "one")).await.unwrap();
    wrote.send(()).unwrap();
    assert_eq!(read.await.unwrap(), Ok((0, 0)));
    assert_eq!(labels(&db).await, ["one"]);
});

store_test!(hooks_run_once_and_only_after_a_commit, |db| async move {
    make_things(&db).await;
    let ran = Arc::new(AtomicU32::new(0));
    for fails in [false, true] {
        let counter = Arc::clone(&ran);
        let outcome = db
            .store()
            .write(move |tx| {
                let counter = Arc::clone(&counter);
                tx.after_commit(move || {
                    counter.fetch_add(1, Ordering::SeqCst);
                });
                if fails {
                    Err(StoreError::Refused("no"))
                } else {
                    put(tx, 1, "one")
                }
            })
            .await;
        assert_eq!(outcome.is_err(), fails);
    }
    assert_eq!(ran.load(Ordering::SeqCst), 1);
});

store_test!(counters_lose_nothing, |db| async move {
    make_things(&db).await;
    db.store().write(|tx| put(tx, 1, "one")).await.unwrap();
    let adds: Vec<_> = (0..200)
        .map(|n| {
            let store = db.store().clone();
            tokio::spawn(async move {
                store
                    .write(move |tx| {
                        if n % 2 == 0 {
                            tx.query_one::<i64>(&LOCK, &params![TENANT, 1])?;
                        }
                        tx.execute(&ADD, &params![TENANT, 1, 1])
                    })
                    .await
            })
        })
        .collect();
    for add in adds {
        assert_eq!(add.await.unwrap(), Ok(1));
    }
    let amount = db
        .store()
        .read(|tx| tx.query_one::<i64>(&AMOUNT, &params![TENANT, 1]))
        .await;
    assert_eq!(amount, Ok(200));
});

store_test!(serializable_writes_keep_a_rule_over_rows, |db| async move {
    // Write skew: each may take one of two places if the sum leaves room for it.
    make_things(&db).await;
    let store = db.store();
    store
        .write(|tx| put(tx, 0, "a").and_then(|()| put(tx, 1, "b")))
        .await
        .unwrap();
    let tries: Vec<_> = (0..16_i64)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .write_serializable(move |tx| {
                        let total: i64 = tx
                            .query_one::<Option<i64>>(&TOTAL, &params![TENANT])?
                            .unwrap_or(0);
                        if total >= 1 {
                            return Err(StoreError::Refused("full"));
                        }
                        tx.execute(&ADD, &params![TENANT, n % 2, 1])
                    })
                    .await
            })
        })
        .collect();
    let mut taken = 0;
    for one in tries {
        match one.await.unwrap() {
            Ok(_) => taken += 1,
            Err(error) => assert!(
                matches!(error, StoreError::Refused(_) | StoreError::Busy),
                "{error:?}"
            ),
        }
    }
    assert_eq!(taken, 1);
});

store_test!(deadlocks_are_tried_again, |db| async move {
    make_things(&db).await;
    db.store().clone().close().await;
    let mut config = db.config().clone();
    if let DatabaseUrl::Postgres(url) = &mut config.url {
        // PostgreSQL looks for deadlocks after a second. Looking at once makes many of them.
        url.push_str(" options='-c deadlock_timeout=1ms'");
    }
    config.pg_connections = 8;
    let store = Store::open(config).await.unwrap();
    store
        .write(|tx| put(tx, 0, "a").and_then(|()| put(tx, 1, "b")))
        .await
        .unwrap();
    let tries: Vec<_> = (0..400_i64)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .write(move |tx| {
                        tx.execute(&ADD, &params![TENANT, n % 2, 1])?;
                        tx.execute(&ADD, &params![TENANT, (n + 1) % 2, 1])
                    })
                    .await
            })
        })
        .collect();
    for one in tries {
        assert_eq!(one.await.unwrap(), Ok(1));
    }
    let total = store
        .read(|tx| tx.query_one::<Option<i64>>(&TOTAL, &params![TENANT]))
        .await;
    assert_eq!(total, Ok(Some(800)));
    store.close().await;
});

store_test!(
    bulk_writes_get_through_beside_interactive_ones,
    |db| async move {
        make_things(&db).await;
        let writes: Vec<_> = (0..200_i64)
            .map(|n| {
                let store = db.store().clone();
                tokio::spawn(async move {
                    let label = format!("label {n}");
                    let write = move |tx: &mut crate::Tx<'_>| put(tx, n, &label);
                    if n % 3 == 0 {
                        store.write_bulk(write).await
                    } else {
                        store.write(write).await
                    }
                })
            })
            .collect();
        for write in writes {
            assert_eq!(write.await.unwrap(), Ok(()));
        }
        assert_eq!(labels(&db).await.len(), 200);
    }
);

store_test!(bulk_writes_leave_connections_for_others, |db| async move {
    make_things(&db).await;
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let writes: Vec<_> = (0..8_i64)
        .map(|n| {
            let (store, gate) = (db.store().clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                store
                    .write_bulk(move |tx| {
                        // Ends when the sender goes away.
                        let _ = gate.lock().unwrap().recv();
                        put(tx, n, &format!("label {n}"))
                    })
                    .await
            })
        })
        .collect();
    for _ in 0..20 {
        let ping = tokio::time::timeout(std::time::Duration::from_secs(20), db.store().ping());
        assert_eq!(ping.await, Ok(Ok(())));
    }
    drop(release);
    for write in writes {
        assert_eq!(write.await.unwrap(), Ok(()));
    }
    assert_eq!(labels(&db).await.len(), 8);
});

store_test!(
    a_closed_store_says_so_and_has_finished_its_work,
    |db| async move {
        make_things(&db).await;
        let store = db.store().clone();
        let (started, start) = tokio::sync::oneshot::channel();
        let started = std::sync::Mutex::new(Some(started));
        let write = tokio::spawn({
            let store = store.clone();
            async move {
                store
                    .write(move |tx| {
                        // The closure may run again, the signal is sent once.
                        if let Some(started) = started.lock().unwrap().take() {
                            started.send(()).unwrap();
                        }
                        put(tx, 1, "one")
                    })
                    .await
            }
        });
        start.await.unwrap();
        store.clone().close().await;
        assert_eq!(write.await.unwrap(), Ok(()));
        assert_eq!(store.ping().await, Err(StoreError::Closed));
        assert_eq!(
            store.write(|tx| put(tx, 2, "two")).await,
            Err(StoreError::Closed)
        );

        let again = crate::Store::open(db.config().clone()).await.unwrap();
        assert_eq!(
            again
                .read(|tx| tx.query::<String>(&LABELS, &params![TENANT]))
                .await,
            Ok(vec!["one".to_owned()])
        );
        again.close().await;
    }
);

store_test!(an_update_without_a_match_changes_nothing, |db| async move {
    make_things(&db).await;
    let changed = db
        .store()
        .write(|tx| tx.execute(&SET_LABEL, &params![TENANT, 9, "x"]))
        .await;
    assert_eq!(changed, Ok(0));
    assert!(
        STATEMENTS
            .iter()
            .all(|statement| statement.sql.contains("tenant_id"))
    );
});

#[tokio::test]
async fn a_second_process_cannot_open_the_file() {
    let db = crate::testing::TestDb::sqlite().await;
    let second = crate::Store::open(db.config().clone()).await;
    assert!(
        matches!(second, Err(StoreError::Unavailable(_))),
        "{second:?}"
    );
    assert_eq!(db.store().engine(), Engine::Sqlite);
    db.destroy().await;
}
