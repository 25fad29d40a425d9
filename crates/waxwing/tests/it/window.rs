//! The customer service window: what is sent outside of it, what opens it and what closes it.

use std::time::Duration;

use serde_json::{Value, json};
use waxwing_core::time::Timestamp;
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript};
use waxwing_testkit::{Tenant, TestApp};

use crate::support::{SOON, on_both};

async fn window(app: &TestApp, tenant: &Tenant) -> Value {
    let path = format!("/api/tenants/{}/conversations", tenant.id);
    let answer = app.api.get(&path).await;
    answer.body["conversations"][0]["window"].clone()
}

fn template() -> Value {
    json!({"messageTemplate": {"name": "hello", "language": "en"}})
}

on_both!(what_is_sent_to_a_stranger_is_the_callers_choice);
async fn what_is_sent_to_a_stranger_is_the_callers_choice(app: TestApp) {
    let bank = app.bank().await;
    let send = format!("/tenants/{}/send", bank.id);
    let text = json!({"to": "+16505551234", "text": "Hello", "idempotency_key": "k"});
    let refused = app.api.post(&send, &text).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert_eq!(refused.body["details"][0]["field"], "outsideWindow");
    assert!(
        refused.text.contains("has never written"),
        "{}",
        refused.text
    );
    assert!(
        refused.body["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("/send/template"))
    );
    assert_eq!(window(&app, &bank).await, Value::Null, "nothing was begun");
    let odd = json!({"to": "+16505551234", "text": "Hello", "outsideWindow": "later"});
    assert_eq!(app.api.post(&send, &odd).await.status, 422);

    // The key is still free.
    let wait = json!({"to": "+16505551234", "text": "Hello", "idempotency_key": "k", "outsideWindow": "wait"});
    let waits = app.api.post(&send, &wait).await;
    assert_eq!(waits.status, 202, "{}", waits.text);
    let message = &waits.body["message"];
    assert_eq!(
        (
            &message["status"],
            &message["waitsFor"],
            &message["outsideWindow"]
        ),
        (&json!("queued"), &json!("window"), &json!("wait"))
    );
    // It does not hold up what may go.
    let mut other = template();
    other["to"] = json!("+16505551234");
    assert_eq!(
        app.api
            .post(&format!("{send}/template"), &other)
            .await
            .status,
        202
    );
    let instead = json!({"to": "+16505551235", "text": "Hello", "outsideWindow": template()});
    let answer = app.api.post(&send, &instead).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.body["message"]["type"], "message_template");
    app.messages_until(&bank, "status=delivered", |found| found.len() == 2)
        .await;
    let waiting = app.messages(&bank, "status=queued").await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0]["attempts"], 0);

    let phone = app.phone(&bank, "16505551234", "Ada");
    phone.say("hi");
    let found = app
        .messages_until(&bank, "status=delivered", |found| found.len() == 4)
        .await;
    assert!(found.iter().any(|message| message["body"] == "Hello"));
    assert!(found.iter().any(|message| message["body"] == "Welcome Ada"));
    let again = json!({"to": "+16505551234", "text": "And again"});
    assert_eq!(app.api.post(&send, &again).await.status, 202);
    let open = app
        .messages_until(&bank, "status=delivered", |found| found.len() == 5)
        .await;
    assert!(open.iter().all(|message| message["waitsFor"].is_null()));
}

on_both!(the_contact_opens_the_window_and_the_provider_closes_it);
async fn the_contact_opens_the_window_and_the_provider_closes_it(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let opened = window(&app, &bank).await;
    assert_eq!(opened["open"], true, "{opened}");
    assert!(opened["freeEntryUntil"].is_null());
    // The provider takes the message and refuses it afterwards, as Meta does, whatever our clock says.
    let closed = Fault::Fail { code: 131_047 };
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        FaultMatch::nth(1),
        closed.clone(),
    ));
    let send = format!("/tenants/{}/send", bank.id);
    let text = json!({"to": "+16505551234", "text": "one"});
    assert_eq!(app.api.post(&send, &text).await.status, 202);
    let failed = app
        .messages_until(&bank, "status=failed", |found| found.len() == 1)
        .await;
    assert_eq!(failed[0]["error"]["class"], "window_closed");
    assert_eq!(window(&app, &bank).await["open"], false);
    let refused = app.api.post(&send, &text).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("24 hours"), "{}", refused.text);

    // With a message template to fall back on, the same refusal only costs an attempt.
    app.phone(&bank, "16505551234", "Ada").say("hi");
    app.messages_until(&bank, "status=delivered", |found| found.len() == 1)
        .await;
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        FaultMatch::nth(1),
        closed,
    ));
    let text = json!({"to": "+16505551234", "text": "two", "outsideWindow": template()});
    let answer = app.api.post(&send, &text).await;
    assert_eq!(
        (answer.status, &answer.body["message"]["type"]),
        (202, &json!("text"))
    );
    let found = app
        .messages_until(&bank, "status=delivered", |found| found.len() == 2)
        .await;
    assert_eq!(
        (&found[0]["type"], &found[0]["attempts"]),
        (&json!("message_template"), &json!(2))
    );
    let letters = format!("/api/tenants/{}/dead-letters", bank.id);
    let letters = app.api.get(&letters).await;
    assert_eq!(
        letters.body["deadLetters"].as_array().map(Vec::len),
        Some(1)
    );
}

on_both!(a_scheduled_message_meets_the_window_when_its_time_comes);
async fn a_scheduled_message_meets_the_window_when_its_time_comes(app: TestApp) {
    let bank = app.bank().await;
    let send = format!("/tenants/{}/send", bank.id);
    let mut first = template();
    first["to"] = json!("+16505550000");
    let first = app.api.post(&format!("{send}/template"), &first).await;
    let now = Timestamp::parse(first.body["message"]["createdAt"].as_str().unwrap()).unwrap();
    let soon = now.plus(Duration::from_secs(3)).rfc3339();
    let text = json!({"to": "+16505551234", "text": "later", "sendAt": soon});
    let answer = app.api.post(&send, &text).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.body["message"]["waitsFor"], "time");
    // What comes after it goes before it.
    let mut other = template();
    other["to"] = json!("+16505551234");
    assert_eq!(
        app.api
            .post(&format!("{send}/template"), &other)
            .await
            .status,
        202
    );
    app.messages_until(&bank, "status=delivered", |found| found.len() == 2)
        .await;
    let failed = app
        .messages_until(&bank, "status=failed", |found| found.len() == 1)
        .await;
    assert_eq!(failed[0]["error"]["class"], "window_closed");
    let letters = format!("/api/tenants/{}/dead-letters", bank.id);
    assert_eq!(
        app.api.get(&letters).await.body["deadLetters"][0]["messageId"],
        failed[0]["id"]
    );
    // Once the contact has written, it can be retried by hand.
    let letter = app.api.get(&letters).await.body["deadLetters"][0]["id"].clone();
    app.writes_first(&bank, "16505551234").await;
    let retry = format!("{letters}/{}/retry", letter.as_str().unwrap());
    // Before the retry: a phone shows what arrives from now on.
    let phone = app.phone(&bank, "16505551234", "Ada");
    assert_eq!(app.api.post(&retry, &json!({})).await.status, 200);
    assert!(phone.await_reply(SOON).await.is_ok());
    app.messages_until(&bank, "status=delivered", |found| found.len() == 3)
        .await;
}

on_both!(the_command_line_makes_the_choice);
async fn the_command_line_makes_the_choice(app: TestApp) {
    let bank = app.bank().await;
    let send = |choice: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_waxwing"))
            .args([
                "send",
                "--server",
                app.api.base(),
                "--tenant",
                &bank.id,
                "--json",
            ])
            .args(["+16505551234", "Hello", "--outside-window", choice])
            .current_dir(app.data_dir())
            .env_clear()
            .env("ADMIN_TOKEN", waxwing_testkit::ADMIN_TOKEN)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), format!("{text}{errors}"))
    };
    let (sent, words) = send("refuse");
    assert!(!sent && words.contains("has never written"), "{words}");
    let (sent, words) = send("later");
    assert!(!sent && words.contains("template:NAME:LANGUAGE"), "{words}");
    let (sent, words) = send("template:hello:en");
    assert!(sent, "{words}");
    let (sent, words) = send("wait");
    assert!(sent && words.contains("\"waitsFor\""), "{words}");
    let kinds: Vec<Value> = app
        .messages(&bank, "direction=OUT")
        .await
        .into_iter()
        .map(|message| message["outsideWindow"].clone())
        .collect();
    assert_eq!(kinds, [json!("wait"), json!("template")]);
}
