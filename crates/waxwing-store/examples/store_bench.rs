//! How many small durable appends a second the store takes, and how long one takes.
//!
//! `cargo run --release -p waxwing-store --example store_bench -- [sqlite:<path> | postgres://..]...`; without
//! arguments a SQLite file in the temporary directory. A PostgreSQL database gets the table `bench_appends`.
#![expect(clippy::print_stdout, reason = "a program whose result is its output")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;
use waxwing_store::{
    Batcher, BatcherOptions, DatabaseUrl, Step, Store, StoreConfig, StoreError, Tx, Value, inserts,
    params, statements,
};

statements! {
    APPEND [global] = "INSERT INTO bench_appends (tenant_id, id, at, body) VALUES ($1, $2, $3, $4)";
    GET [global] = "SELECT body FROM bench_appends WHERE tenant_id = $1 AND id = $2";
    LIST [global] = "SELECT id, at, body FROM bench_appends WHERE tenant_id = $1 ORDER BY id LIMIT 50";
}

inserts! {
    APPEND_MANY [global] = bench_appends(tenant_id uuid, id uuid, at int, body bytes) "";
}

const STEPS: &[Step] = &[Step {
    name: "0001_bench",
    up: "CREATE TABLE bench_appends (tenant_id {uuid} NOT NULL, id {uuid} NOT NULL, at {time} NOT NULL, \
         body {bytes} NOT NULL, PRIMARY KEY (tenant_id, id)) {strict};",
    down: "DROP TABLE bench_appends;",
}];

const TENANT: Uuid = Uuid::from_u128(7);
const PERIOD: Duration = Duration::from_secs(3);

/// Ids that rise, as those of the product do.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn next_row() -> [Value; 4] {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    params![
        TENANT,
        Uuid::from_u128(u128::from(n) << 32),
        1_795_000_000_000_000_i64,
        vec![7_u8; 300]
    ]
}

#[tokio::main]
async fn main() -> Result<(), StoreError> {
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        let path = std::env::temp_dir().join(format!("waxwing-bench-{}.db", std::process::id()));
        urls.push(format!("sqlite:{}", path.display()));
    }
    for url in urls {
        let url = DatabaseUrl::parse(&url).map_err(StoreError::Driver)?;
        println!("{}", url.engine().name());
        let mut config = StoreConfig::new(url);
        config.steps = STEPS;
        let store = Store::open(config).await?;
        store.migrate_up().await?;
        NEXT.store(1, Ordering::Relaxed);
        let result = measure(&store).await;
        store.migrate_down(1).await?;
        store.close().await;
        result?;
    }
    Ok(())
}

async fn measure(store: &Store) -> Result<(), StoreError> {
    let append = |store: Store| async move {
        let row = next_row();
        store
            .write(move |tx| tx.execute(&APPEND, &row).map(|_| ()))
            .await
    };
    let batcher = Batcher::start(
        store.clone(),
        BatcherOptions::default(),
        |tx: &mut Tx<'_>, rows: &[[Value; 4]]| {
            tx.insert_many(&APPEND_MANY, rows)?;
            Ok(vec![(); rows.len()])
        },
    );
    for callers in [1, 64, 256] {
        report("write, one append each", callers, store, append).await?;
        let shared = batcher.clone();
        let batch = move |_| {
            let batcher = shared.clone();
            async move { batcher.submit(next_row()).await }
        };
        report("batcher, one append each", callers, store, batch).await?;
    }
    for callers in [1, 64] {
        report(
            "read of one row",
            callers,
            store,
            |store: Store| async move {
                let id = Uuid::from_u128(1 << 32);
                store
                    .read(move |tx| {
                        tx.query_one::<Vec<u8>>(&GET, &params![TENANT, id])
                            .map(|_| ())
                    })
                    .await
            },
        )
        .await?;
        report(
            "read of 50 rows",
            callers,
            store,
            |store: Store| async move {
                let list =
                    |tx: &mut Tx<'_>| tx.query::<(Uuid, i64, Vec<u8>)>(&LIST, &params![TENANT]);
                store.read(list).await.map(|_| ())
            },
        )
        .await?;
    }
    Ok(())
}

async fn report<F, Fut>(
    what: &str,
    callers: usize,
    store: &Store,
    call: F,
) -> Result<(), StoreError>
where
    F: Fn(Store) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let call = Arc::new(call);
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (call, store) = (Arc::clone(&call), store.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < PERIOD {
                    let began = Instant::now();
                    call(store.clone()).await?;
                    times.push(began.elapsed());
                }
                Ok::<_, StoreError>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.map_err(|_| StoreError::Panicked)??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 1000)
            .copied()
            .unwrap_or_default()
    };
    let rate = times.len() as f64 / elapsed;
    println!(
        "  {what:26} {callers:3} callers {rate:8.0}/s  p50 {:?}  p99 {:?}  p99.9 {:?}  max {:?}",
        at(500),
        at(990),
        at(999),
        times.last().copied().unwrap_or_default()
    );
    Ok(())
}
