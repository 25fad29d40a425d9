//! Tests of the engine, each on both databases.

mod batcher;
mod disk;
mod failures;
mod migrations;
mod registry;
mod statements;
mod statistics;
mod tls;
mod transactions;

use crate::testing::TestDb;
use crate::{StoreError, Tx, params};

crate::statements! {
    PUT [tenant] = "INSERT INTO things (tenant_id, id, label) VALUES ($1, $2, $3)";
    SET_LABEL [tenant] = "UPDATE things SET label = $3 WHERE tenant_id = $1 AND id = $2";
    LABELS [tenant] = "SELECT label FROM things WHERE tenant_id = $1 ORDER BY id";
    COUNT [tenant] = "SELECT count(*) FROM things WHERE tenant_id = $1";
    ADD [tenant] = "UPDATE things SET amount = amount + $3 WHERE tenant_id = $1 AND id = $2";
    AMOUNT [tenant] = "SELECT amount FROM things WHERE tenant_id = $1 AND id = $2";
    TOTAL [tenant] = "SELECT sum(amount) FROM things WHERE tenant_id = $1";
    LOCK [tenant] = "SELECT id FROM things WHERE tenant_id = $1 AND id = $2 {lock}";
}

/// A tenant for tests that need only one.
const TENANT: uuid::Uuid = uuid::Uuid::from_u128(1);

/// Makes the table that most tests use.
async fn make_things(db: &TestDb) {
    db.script(
        "CREATE TABLE things (
            tenant_id {uuid} NOT NULL,
            id {int} NOT NULL,
            label {text} CHECK (label <> 'forbidden'),
            amount {int} NOT NULL DEFAULT 0,
            PRIMARY KEY (tenant_id, id)
        ) {strict};
        CREATE UNIQUE INDEX things_label ON things (tenant_id, label);",
    )
    .await;
}

fn put(tx: &mut Tx<'_>, id: i64, label: &str) -> Result<(), StoreError> {
    tx.execute(&PUT, &params![TENANT, id, label]).map(|_| ())
}

async fn labels(db: &TestDb) -> Vec<String> {
    db.store()
        .read(|tx| tx.query(&LABELS, &params![TENANT]))
        .await
        .unwrap()
}

#[test]
fn the_statements_of_the_tests_are_registered() {
    assert_eq!(STATEMENTS.len(), 8);
    assert_eq!(STATEMENTS[0].name, "PUT");
}
