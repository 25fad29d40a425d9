//! The audit log at the real server: it survives kills whole, and whoever changes it in the database is found.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::json;
use waxwing_store::{DatabaseUrl, Scope, Statement, Store, StoreConfig, params};
use waxwing_testkit::{ADMIN_TOKEN, Engine, TestApp};

use crate::support::{on_both, start};

async fn template(app: &TestApp, key: &str) {
    let body = json!({"key": key, "kind": "text", "body": "b"});
    let answer = app.api.post("/api/templates", &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

async fn verified(app: &TestApp) -> serde_json::Value {
    let answer = app.api.get("/api/audit/verify").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

on_both!(what_was_answered_is_in_the_log_after_a_kill);
async fn what_was_answered_is_in_the_log_after_a_kill(mut app: TestApp) {
    for round in 0..5 {
        for n in 0..10 {
            template(&app, &format!("k{round}-{n}")).await;
        }
        app.kill();
        app.boot().await;
    }
    let found = verified(&app).await;
    assert_eq!(
        (&found["whole"], &found["entries"]),
        (&json!(true), &json!(50))
    );
}

static CHANGE: Statement = Statement::new(
    "CHANGE",
    "UPDATE audit_entries SET actor = 'platform-admin ' WHERE tenant_id <> $1 AND seq = 2",
    Scope::Tenant,
);

fn audit_verify(app: &TestApp, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_waxwing"))
        .args(["audit", "verify", "--server", app.api.base()])
        .args(more)
        .current_dir(app.data_dir())
        .env_clear()
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_finds_what_was_changed() {
    let Some(mut app) = start(Engine::Sqlite, |options| options).await else {
        return;
    };
    for key in ["a", "b", "c"] {
        template(&app, key).await;
    }
    let until = Instant::now() + Duration::from_secs(20);
    while verified(&app).await["checkpoint"]["seq"] != 3 {
        assert!(Instant::now() < until, "{}", app.logs());
        tokio::task::yield_now().await;
    }
    let whole = audit_verify(&app, &[]);
    assert!(whole.status.success(), "{whole:?}");
    let points = app.data_dir().join("points");
    std::fs::write(&points, &whole.stdout).unwrap();
    app.kill();
    let path = app.data_dir().join("waxwing.db");
    let store = Store::open(StoreConfig::new(DatabaseUrl::Sqlite(path)))
        .await
        .unwrap();
    let changed = store.write(|tx| tx.execute(&CHANGE, &params![uuid::Uuid::nil()]));
    assert_eq!(changed.await.unwrap(), 1);
    store.close().await;
    app.boot().await;
    let broken = audit_verify(&app, &["--checkpoint", points.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(!broken.status.success(), "{broken:?}");
    assert!(
        told.contains("aud_") && told.contains("is not as it was written"),
        "{told}"
    );
}
