//! The planner learns of tables that grow.

use std::time::{Duration, Instant};

use super::{COUNT, TENANT, make_things, put};
use crate::engine::statement::{Scope, Statement};
use crate::{Engine, params, store_test};

static KNOWN_ROWS: Statement = Statement::new(
    "KNOWN_ROWS",
    "SELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = 'things'::regclass",
    Scope::Global,
);

store_test!(a_table_that_has_doubled_is_analyzed, |db| async move {
    make_things(&db).await;
    let store = db.store();
    if store.engine() == Engine::Sqlite {
        store.refresh_statistics().await.unwrap();
        return;
    }
    for count in [600, 1_500] {
        store
            .write(move |tx| {
                let there = tx.query_one::<i64>(&COUNT, &params![TENANT])?;
                (there..count).try_for_each(|n| put(tx, n, &format!("label {n}")))
            })
            .await
            .unwrap();
        // The server counts changes with a delay of its own.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            store.refresh_statistics().await.unwrap();
            let known = store.read(|tx| tx.query_one::<i64>(&KNOWN_ROWS, &[])).await;
            if known.unwrap() == count {
                break;
            }
            assert!(Instant::now() < deadline, "{count} rows");
            tokio::task::yield_now().await;
        }
    }
});
