//! Batches: order, isolation of bad items, backpressure.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{TENANT, labels, make_things, put};
use crate::{Batcher, BatcherOptions, StoreError, store_test};

store_test!(all_are_written_in_order_and_answered, |db| async move {
    make_things(&db).await;
    let largest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&largest);
    let options = BatcherOptions {
        max_batch: 16,
        ..BatcherOptions::default()
    };
    let batcher = Batcher::start(db.store().clone(), options, move |tx, items: &[i64]| {
        seen.fetch_max(items.len(), Ordering::SeqCst);
        for n in items {
            put(tx, *n, &format!("label {n:03}"))?;
        }
        Ok(items.iter().map(|n| n * 2).collect())
    });
    let submits = (0..200_i64).map(|n| batcher.submit(n));
    let answers = futures_util::future::join_all(submits).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, Ok(i64::try_from(n).unwrap() * 2));
    }
    assert_eq!(labels(&db).await.len(), 200);
    assert_eq!(largest.load(Ordering::SeqCst), 16);
});

store_test!(a_bad_item_fails_alone, |db| async move {
    make_things(&db).await;
    let batcher = Batcher::start(
        db.store().clone(),
        BatcherOptions::default(),
        |tx, items: &[i64]| {
            for n in items {
                if *n == 13 {
                    return Err(StoreError::Refused("unlucky"));
                }
                put(tx, *n % 40, &format!("label {n}"))?;
            }
            Ok(vec![(); items.len()])
        },
    );
    let answers = futures_util::future::join_all((0..50).map(|n| batcher.submit(n))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        match n {
            13 => assert_eq!(answer, Err(StoreError::Refused("unlucky"))),
            // The second of two with the same key loses, so the order was kept.
            40..=49 => assert!(
                matches!(answer, Err(StoreError::Conflict { .. })),
                "{n} {answer:?}"
            ),
            _ => assert_eq!(answer, Ok(()), "{n}"),
        }
    }
    assert_eq!(labels(&db).await.len(), 39);
});

store_test!(a_full_batcher_refuses_at_once, |db| async move {
    make_things(&db).await;
    let (started, start) = std::sync::mpsc::channel();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (started, gate) = (Mutex::new(started), Mutex::new(gate));
    let options = BatcherOptions {
        max_batch: 1,
        capacity: 2,
        bulk: false,
    };
    let batcher = Batcher::start(db.store().clone(), options, move |tx, items: &[i64]| {
        started.lock().unwrap().send(()).unwrap();
        // Ends when the sender goes away, too.
        let _ = gate.lock().unwrap().recv();
        for n in items {
            put(tx, *n, &format!("label {n}"))?;
        }
        Ok(vec![(); items.len()])
    });
    let first = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.submit(0).await }
    });
    // The first is in the closure now, so the queue is empty again.
    let start = tokio::task::spawn_blocking(move || {
        start.recv().unwrap();
        start
    })
    .await
    .unwrap();
    let mut second = Box::pin(batcher.submit(1));
    let mut third = Box::pin(batcher.submit(2));
    for waiting in [&mut second, &mut third] {
        assert!(
            futures_util::future::poll_immediate(waiting)
                .await
                .is_none()
        );
    }
    assert_eq!(batcher.submit(3).await, Err(StoreError::Full));
    drop(release);
    assert_eq!(first.await.unwrap(), Ok(()));
    assert_eq!((second.await, third.await), (Ok(()), Ok(())));
    assert_eq!(labels(&db).await.len(), 3);
    drop(start);
});

store_test!(a_wrong_number_of_results_is_an_error, |db| async move {
    make_things(&db).await;
    let batcher = Batcher::start(
        db.store().clone(),
        BatcherOptions::default(),
        |tx, items: &[i64]| {
            put(tx, items[0], "label")?;
            Ok(Vec::<()>::new())
        },
    );
    assert!(matches!(
        batcher.submit(1).await,
        Err(StoreError::Driver(_))
    ));
    assert_eq!(labels(&db).await, Vec::<String>::new());
    assert_ne!(TENANT, uuid::Uuid::nil());
});
