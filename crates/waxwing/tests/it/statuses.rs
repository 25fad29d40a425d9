//! Statuses in any order, more than once, before their message is known, and in the name of others.

use serde_json::json;
use waxwing_testkit::{NUMBER, SECRET, TestApp, sign, status_body};

use crate::support::on_both;

async fn post_status(app: &TestApp, id: &str, status: &str, extra: &serde_json::Value) {
    let body = status_body(NUMBER, id, status, extra);
    assert_eq!(
        app.api.webhook(&body, &sign(SECRET, &body)).await.status,
        200
    );
}

on_both!(statuses_never_go_back, |mut options| {
    options.emulator.timing.sent = None;
    options
});
async fn statuses_never_go_back(app: TestApp) {
    let bank = app.bank().await;
    let orders = [
        ["sent", "delivered", "read"],
        ["read", "delivered", "sent"],
        ["delivered", "read", "sent"],
        ["read", "sent", "delivered"],
        ["failed", "delivered", "read"],
        ["read", "failed", "sent"],
    ];
    for (index, order) in orders.iter().enumerate() {
        let to = format!("+1650555{index:04}");
        let answer = app
            .api
            .post(
                &format!("/tenants/{}/send", bank.id),
                &json!({"to": to, "text": "x"}),
            )
            .await;
        let id = answer.body["message"]["id"].as_str().unwrap().to_owned();
        let path = format!("/api/tenants/{}/messages/{id}", bank.id);
        let mut message = app.api.get(&path).await.body["message"].clone();
        while message["providerMessageId"].is_null() {
            message = app.api.get(&path).await.body["message"].clone();
        }
        let provider_id = message["providerMessageId"].as_str().unwrap().to_owned();
        let mut highest = 0;
        for status in order.iter().chain(order) {
            let extra = if *status == "failed" {
                json!({"errors": [{"code": 131_026, "title": "Message undeliverable"}]})
            } else {
                json!({})
            };
            post_status(&app, &provider_id, status, &extra).await;
            let rank = |word: &str| {
                ["queued", "sending", "sent", "failed", "delivered", "read"]
                    .iter()
                    .position(|w| *w == word)
            };
            let now = app.api.get(&path).await.body["message"]["status"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(rank(&now) >= Some(highest), "{order:?}: {now}");
            highest = rank(&now).unwrap();
        }
        let mut status = app.api.get(&path).await.body["message"].clone();
        while status["status"] != "read" {
            status = app.api.get(&path).await.body["message"].clone();
        }
        assert!(status["error"].is_null(), "read is no failure");
    }
}

on_both!(a_status_before_the_answer_is_kept_and_applied);
async fn a_status_before_the_answer_is_kept_and_applied(app: TestApp) {
    let bank = app.bank().await;
    app.emulator.set_faults(waxwing_emulator::FaultScript::one(
        waxwing_emulator::FaultPoint::Send,
        waxwing_emulator::FaultMatch::all(),
        waxwing_emulator::Fault::StatusFirst,
    ));
    let path = format!("/tenants/{}/send", bank.id);
    assert_eq!(
        app.api
            .post(&path, &json!({"to": "+16505551234", "text": "x"}))
            .await
            .status,
        202
    );
    let found = app
        .messages_until(&bank, "status=delivered", |found| found.len() == 1)
        .await;
    assert_eq!(found[0]["attempts"], 1);
    assert!(found[0]["sentAt"].is_string());
}

on_both!(statuses_of_strangers_change_nothing);
async fn statuses_of_strangers_change_nothing(app: TestApp) {
    let bank = app.bank().await;
    post_status(&app, "wamid.never-sent-by-us", "delivered", &json!({})).await;
    let forged =
        json!({"biz_opaque_callback_data": "w1.00000000000000000000000000000001.0011223344556677"});
    post_status(&app, "wamid.forged", "read", &forged).await;
    post_status(&app, "wamid.odd", "exploded", &json!({})).await;
    assert!(app.messages(&bank, "").await.is_empty());
}

on_both!(a_late_failure_explains_itself, |mut options| {
    options.emulator.timing.sent = None;
    options
});
async fn a_late_failure_explains_itself(app: TestApp) {
    let bank = app.bank().await;
    let path = format!("/tenants/{}/send", bank.id);
    assert_eq!(
        app.api
            .post(&path, &json!({"to": "+16505551234", "text": "x"}))
            .await
            .status,
        202
    );
    let sent = app
        .messages_until(&bank, "status=sent", |found| found.len() == 1)
        .await;
    let id = sent[0]["providerMessageId"].as_str().unwrap();
    let errors = json!({"errors": [{"code": 131_047, "title": "Re-engagement message"}],
        "pricing": {"billable": false, "pricing_model": "PMP", "category": "utility", "type": "regular"}});
    post_status(&app, id, "failed", &errors).await;
    let failed = app
        .messages_until(&bank, "status=failed", |found| found.len() == 1)
        .await;
    assert_eq!(failed[0]["error"]["class"], "window_closed");
    assert_eq!(failed[0]["pricing"]["category"], "utility");
    let letters = app
        .api
        .get(&format!("/api/tenants/{}/dead-letters", bank.id))
        .await;
    assert_eq!(letters.body["deadLetters"][0]["code"], "131047");
}
