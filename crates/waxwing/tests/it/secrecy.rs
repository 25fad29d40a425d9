//! What must not be read anywhere: secrets, tokens and phone numbers are searched for in all that the server leaves
//! behind (log, metrics, errors, database file and its journal).

use std::path::Path;

use serde_json::json;
use waxwing_testkit::{ADMIN_TOKEN, Engine, MASTER_KEY, SECRET, TestApp};

use crate::support::{SOON, start};

/// All bytes of the files of a directory, with their names.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let name = path.display().to_string();
            all.push((name, std::fs::read(&path).unwrap()));
        }
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_number_is_left_in_the_open() {
    let Some(app) = start(Engine::Sqlite, |options| options.set("LOG_LEVEL", "trace")).await else {
        return;
    };
    let secrets = fill(&app).await;
    let metrics = app
        .api
        .send(|client, _| client.get(format!("{}/metrics", app.metrics)))
        .await;
    assert_eq!(metrics.status, 200);
    let mut places = files(&app.data_dir());
    assert!(places.iter().any(|(name, _)| name.ends_with("waxwing.db")));
    places.push(("log".into(), app.logs().into_bytes()));
    places.push(("metrics".into(), metrics.text.into_bytes()));
    for (place, bytes) in &places {
        for secret in &secrets {
            assert!(!holds(bytes, secret), "{place} holds {secret}");
        }
    }
}

/// Does a little of everything; what must be found nowhere.
async fn fill(app: &TestApp) -> Vec<String> {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505557319", "Ada");
    phone.say("hi");
    phone.await_reply(SOON).await.unwrap();
    let account = json!({"email": "ada@example.com", "password": "canary horse battery"});
    let made = app.api.post("/api/auth/register", &account).await;
    let session = made.body["token"].as_str().unwrap().to_owned();
    let ada = app.api.with_token(&session);
    let key = ada
        .post("/api/api-keys", &json!({"name": "shop", "role": "sales"}))
        .await;
    let invitation = json!({"email": "bob@example.com", "role": "sales"});
    let invited = ada.post("/api/invitations", &invitation).await;
    // Errors quote nothing of what was sent.
    let wrong = json!({"email": "eve@example.com", "password": "canary of a stranger"});
    let refused = app.api.post("/api/auth/login", &wrong).await;
    assert_eq!(refused.status, 401);
    let send = json!({"to": "+4915157319000", "text": "x"});
    let path = format!("/api/tenants/{}/send", bank.id);
    let refused = app.api.post(&path, &send).await;
    assert!(!refused.text.contains("15157319"), "{}", refused.text);
    let channel = json!({"kind": "meta", "phoneNumberId": "99887766", "credentials": {"accessToken": "canary-access-token",
        "appSecret": "canary-app-secret"}});
    let path = format!("/api/tenants/{}/channels", bank.id);
    let made = app.api.post(&path, &channel).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(!made.text.contains("canary-"), "{}", made.text);
    let text = |answer: &waxwing_testkit::Answer| answer.body["token"].as_str().unwrap().to_owned();
    vec![
        "6505557319".into(),
        "15157319000".into(),
        session,
        text(&key),
        text(&invited),
        "canary horse battery".into(),
        "canary of a stranger".into(),
        "canary-access-token".into(),
        "canary-app-secret".into(),
        "EAAJB-test-token".into(),
        ADMIN_TOKEN.into(),
        MASTER_KEY.into(),
        SECRET.into(),
    ]
}
