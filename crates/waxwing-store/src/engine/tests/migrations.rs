//! Steps up and down, checksums, several processes at once.

use crate::testing::TestOptions;
use crate::{Step, StepState, Store, StoreError, store_test};

const STEPS: &[Step] = &[
    Step {
        name: "0001_first",
        up: "CREATE TABLE first (id {uuid} PRIMARY KEY, body {json} NOT NULL) {strict};",
        down: "DROP TABLE first;",
    },
    Step {
        name: "0002_second",
        up: "CREATE TABLE second (id {int} PRIMARY KEY, first_id {uuid} REFERENCES first (id)) {strict};\n\
             CREATE INDEX second_first ON second (first_id);\n\
             --@sqlite\n\
             CREATE VIEW engine AS SELECT 'sqlite' AS name;\n\
             --@postgres\n\
             CREATE VIEW engine AS SELECT 'postgres'::text AS name;\n\
             --@all\n\
             INSERT INTO second (id) VALUES (7);",
        down: "DROP VIEW engine;\nDROP TABLE second;",
    },
    Step {
        name: "0003_third",
        up: "ALTER TABLE first ADD COLUMN at {time};",
        down: "ALTER TABLE first DROP COLUMN at;",
    },
];

const BROKEN: &[Step] = &[
    STEPS[0],
    Step {
        name: "0002_broken",
        up: "CREATE TABLE half (id {int} PRIMARY KEY) {strict};\nCREATE TABLE first (id {int}) {strict};",
        down: "",
    },
];

const CHANGED: &[Step] = &[Step {
    name: "0001_first",
    up: "CREATE TABLE other (id {int}) {strict};",
    down: "",
}];

fn unmigrated(steps: &'static [Step]) -> TestOptions {
    TestOptions {
        steps,
        migrated: false,
        ..TestOptions::default()
    }
}

async fn reopened(db: &crate::testing::TestDb, steps: &'static [Step]) -> Store {
    db.store().clone().close().await;
    let mut config = db.config().clone();
    config.steps = steps;
    Store::open(config).await.unwrap()
}

static ENGINE: crate::Statement =
    crate::Statement::new("ENGINE", "SELECT name FROM engine", crate::Scope::Global);

store_test!(
    up_and_down_meet_at_every_step,
    unmigrated(STEPS),
    |db| async move {
        let store = db.store();
        let pending = store.migrate_status().await.unwrap();
        assert!(pending.iter().all(|line| line.state == StepState::Pending) && pending.len() == 3);
        assert!(matches!(
            store.check_schema().await,
            Err(StoreError::Schema(_))
        ));
        store.migrate_up_to(0).await.unwrap();
        let mut dumps = vec![db.schema_dump().await];
        for version in 1..=3 {
            let applied = store.migrate_up_to(version).await.unwrap();
            assert_eq!(
                applied.iter().map(|step| step.version).collect::<Vec<_>>(),
                [version]
            );
            dumps.push(db.schema_dump().await);
        }
        assert_eq!(store.check_schema().await, Ok(()));
        assert_eq!(store.migrate_up().await, Ok(vec![]));
        let name: String = store.read(|tx| tx.query_one(&ENGINE, &[])).await.unwrap();
        assert_eq!(name, store.engine().name());
        for version in (1..=3).rev() {
            let undone = store.migrate_down(1).await.unwrap();
            assert_eq!(undone[0].version, version);
            assert_eq!(
                db.schema_dump().await,
                dumps[usize::try_from(version).unwrap() - 1]
            );
            store.migrate_up_to(version).await.unwrap();
            assert_eq!(
                db.schema_dump().await,
                dumps[usize::try_from(version).unwrap()]
            );
            store.migrate_down(1).await.unwrap();
        }
        assert_eq!(store.migrate_down(5).await, Ok(vec![]));
        assert_eq!(store.migrate_up().await.unwrap().len(), 3);
        assert_eq!(store.migrate_down(9).await.unwrap().len(), 3);
    }
);

store_test!(
    a_broken_step_leaves_nothing,
    unmigrated(BROKEN),
    |db| async move {
        let store = db.store();
        assert!(matches!(
            store.migrate_up().await,
            Err(StoreError::Driver(_))
        ));
        let status = store.migrate_status().await.unwrap();
        assert!(
            matches!(status[0].state, StepState::Applied(at) if at > 1_700_000_000_000_000),
            "{status:?}"
        );
        assert_eq!(status[1].state, StepState::Pending);
        assert!(!db.schema_dump().await.contains("half"));
    }
);

store_test!(a_changed_step_refuses, unmigrated(STEPS), |db| async move {
    db.store().migrate_up_to(1).await.unwrap();
    let store = reopened(&db, CHANGED).await;
    for outcome in [
        store.migrate_up().await.map(drop),
        store.check_schema().await,
        store.migrate_down(1).await.map(drop),
    ] {
        assert!(
            matches!(&outcome, Err(StoreError::Schema(text)) if text.contains("0001_first")),
            "{outcome:?}"
        );
    }
    store.close().await;
});

store_test!(
    a_newer_database_refuses,
    unmigrated(STEPS),
    |db| async move {
        db.store().migrate_up().await.unwrap();
        let store = reopened(&db, &STEPS[..2]).await;
        for outcome in [
            store.migrate_up().await.map(drop),
            store.check_schema().await,
        ] {
            assert!(
                matches!(&outcome, Err(StoreError::Schema(text)) if text.contains("0003_third")),
                "{outcome:?}"
            );
        }
        store.close().await;
    }
);

store_test!(many_start_at_once, unmigrated(STEPS), |db| async move {
    let starts = (0..8).map(|_| {
        let store = db.store().clone();
        async move { store.migrate_up().await.unwrap().len() }
    });
    let applied = futures_util::future::join_all(starts).await;
    assert_eq!(applied.iter().sum::<usize>(), 3);
    assert_eq!(db.store().check_schema().await, Ok(()));
});

#[test]
fn a_schema_of_its_own() {
    crate::testing::run(
        crate::Engine::Postgres,
        &unmigrated(STEPS),
        |db| async move {
            let mut config = db.config().clone();
            config.schema = Some("wax_1".to_owned());
            let store = Store::open(config.clone()).await.unwrap();
            store.migrate_up().await.unwrap();
            store.close().await;
            assert_eq!(
                db.store().migrate_status().await.unwrap()[0].state,
                StepState::Pending
            );
            config.schema = Some("wax\"; DROP".to_owned());
            assert!(matches!(
                Store::open(config).await,
                Err(StoreError::Driver(_))
            ));
        },
    );
}

store_test!(
    the_steps_of_the_product_go_up_and_down,
    unmigrated(crate::migrations::STEPS),
    |db| async move {
        let store = db.store();
        store.migrate_up_to(0).await.unwrap();
        let empty = db.schema_dump().await;
        for step in crate::migrations::STEPS {
            let before = db.schema_dump().await;
            store.migrate_up_to(step.version()).await.unwrap();
            let after = db.schema_dump().await;
            store.migrate_down(1).await.unwrap();
            assert_eq!(db.schema_dump().await, before, "{} down", step.name);
            store.migrate_up_to(step.version()).await.unwrap();
            assert_eq!(db.schema_dump().await, after, "{} up again", step.name);
        }
        store
            .migrate_down(crate::migrations::STEPS.len())
            .await
            .unwrap();
        assert_eq!(db.schema_dump().await, empty);
    }
);
