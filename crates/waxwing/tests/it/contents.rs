//! A tenant that wants what people write encrypted in the database.

use std::path::Path;

use serde_json::{Value, json};
use waxwing_testkit::{Engine, Tenant, TestApp};

use crate::support::{SOON, on_both, start};

const ADA: &str = "16505557321";
const NAME: &str = "Adalbertina";
const WORDS: &str = "a canary sings in the mine";

async fn choose(app: &TestApp, tenant: &Tenant, wanted: bool) {
    let path = format!("/api/tenants/{}/settings", tenant.id);
    let answer = app
        .api
        .patch(&path, &json!({"encryptContent": wanted}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["settings"]["encryptContent"], wanted);
}

async fn list(app: &TestApp, tenant: &Tenant, rest: &str) -> Value {
    let answer = app
        .api
        .get(&format!("/api/tenants/{}/{rest}", tenant.id))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

async fn what_people_write_is_encrypted_where_the_tenant_wants_it(app: TestApp) {
    let bank = app.bank().await;
    choose(&app, &bank, true).await;
    let phone = app.phone(&bank, ADA, NAME);
    phone.say("hi");
    let reply = phone.await_reply(SOON).await.unwrap();
    assert!(
        reply.text.contains(NAME),
        "the bot knows the name: {}",
        reply.text
    );
    phone.say(WORDS);
    phone.await_reply(SOON).await.unwrap();
    let heard = |found: &[Value]| found.iter().any(|one| one["body"] == WORDS);
    app.messages_until(&bank, "direction=IN", heard).await;
    let send = json!({"to": format!("+{ADA}"), "text": "we heard the canary"});
    let sent = app
        .api
        .post(&format!("/tenants/{}/send", bank.id), &send)
        .await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    assert_eq!(
        sent.body["message"]["body"], "we heard the canary",
        "{}",
        sent.text
    );
    phone.await_reply(SOON).await.unwrap();

    let threads = list(&app, &bank, "conversations").await;
    assert_eq!(threads["conversations"][0]["contact"]["name"], NAME);
    let people = list(&app, &bank, "contacts").await;
    assert_eq!(people["contacts"][0]["name"], NAME);
    let found = list(&app, &bank, "messages?q=canary").await;
    assert_eq!(
        found["messages"],
        json!([]),
        "what is encrypted is not searched"
    );

    // Turned off, new words stand in the open and old ones can be read.
    choose(&app, &bank, false).await;
    phone.say("a second canary");
    phone.await_reply(SOON).await.unwrap();
    let both = |found: &[Value]| {
        found.iter().any(|one| one["body"] == WORDS)
            && found.iter().any(|one| one["body"] == "a second canary")
    };
    app.messages_until(&bank, "direction=IN", both).await;
    let found = list(&app, &bank, "messages?q=canary").await;
    assert_eq!(found["messages"].as_array().unwrap().len(), 1);
}
on_both!(what_people_write_is_encrypted_where_the_tenant_wants_it);

fn holds(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_holds_neither_words_nor_names() {
    let Some(mut app) = start(Engine::Sqlite, |options| options).await else {
        return;
    };
    let bank = app.bank().await;
    choose(&app, &bank, true).await;
    let phone = app.phone(&bank, ADA, NAME);
    phone.say(WORDS);
    phone.await_reply(SOON).await.unwrap();
    app.messages_until(&bank, "direction=IN", |found| found.len() == 1)
        .await;
    for text in [WORDS, NAME] {
        assert!(!holds(&app.data_dir(), text), "{text} stands in the open");
    }
    // It outlives a kill and new keys.
    app.kill();
    app.boot().await;
    let rotated = app.api.post("/api/keys/rotate", &json!({})).await;
    assert!((200..300).contains(&rotated.status), "{}", rotated.text);
    let done = || async { app.api.get("/api/keys").await.body["rotating"] == 0 };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !done().await {
        assert!(std::time::Instant::now() < until, "{}", app.logs());
        tokio::task::yield_now().await;
    }
    let found = list(&app, &bank, "messages?direction=IN").await;
    assert_eq!(found["messages"][0]["body"], WORDS);
    assert!(!holds(&app.data_dir(), WORDS), "{WORDS} stands in the open");

    // Erased, it is gone like everything else.
    let people = list(&app, &bank, "contacts").await;
    let id = people["contacts"][0]["id"].as_str().unwrap();
    let path = format!("/api/tenants/{}/contacts/{id}/erase", bank.id);
    let erased = app.api.post(&path, &json!({})).await;
    assert!((200..300).contains(&erased.status), "{}", erased.text);
    app.messages_until(&bank, "direction=IN", |found| {
        found.iter().all(|one| one["body"].is_null())
    })
    .await;
}
