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
                &format!("/tenants/{}/send/template", bank.id),
                &json!({"to": to, "messageTemplate": {"name": "hello", "language": "en"}}),
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
    app.writes_first(&bank, "16505551234").await;
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
    app.writes_first(&bank, "16505551234").await;
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

/// A rate card that every number has a price in.
pub fn rate_card() -> String {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("rates.csv");
    let card = "valid_from,prefix,market,category,currency,price\n\
        2026-01-01,1,US,marketing,USD,0.025\n2026-01-01,,*,marketing,USD,0.06\n";
    std::fs::write(&file, card).unwrap();
    file.into_os_string().into_string().unwrap()
}

on_both!(delivered_messages_are_charged_once, |mut options| {
    options.emulator.timing.sent = None;
    options.set("RATE_CARD", &crate::statuses::rate_card())
});
async fn delivered_messages_are_charged_once(app: TestApp) {
    let bank = app.bank().await;
    let send = format!("/tenants/{}/send/template", bank.id);
    let mut ids = Vec::new();
    for n in 0..3 {
        let template = json!({"name": "hello", "language": "en"});
        let body = json!({"to": format!("+1650555000{n}"), "messageTemplate": template});
        let answer = app.api.post(&send, &body).await;
        let id = answer.body["message"]["id"].as_str().unwrap().to_owned();
        let path = format!("/api/tenants/{}/messages/{id}", bank.id);
        let mut message = app.api.get(&path).await.body["message"].clone();
        while message["providerMessageId"].is_null() {
            message = app.api.get(&path).await.body["message"].clone();
        }
        ids.push(message["providerMessageId"].as_str().unwrap().to_owned());
    }
    let priced = |kind: &str, category: &str| json!({"pricing": {"pricing_model": "PMP", "type": kind, "category": category}});
    for status in ["sent", "delivered", "delivered", "read"] {
        post_status(&app, &ids[0], status, &priced("regular", "marketing")).await;
        let free = priced("free_customer_service", "service");
        post_status(&app, &ids[1], status, &free).await;
    }
    post_status(&app, &ids[2], "sent", &priced("regular", "marketing")).await;
    let path = format!(
        "/api/tenants/{}/analytics/costs?from=2026-11-01&to=2026-11-30",
        bank.id
    );
    let deadline = std::time::Instant::now() + crate::support::SOON;
    let costs = loop {
        let answer = app.api.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let costs = answer.body["costs"].as_array().unwrap().clone();
        if costs.len() == 2 {
            break costs;
        }
        assert!(std::time::Instant::now() < deadline, "{}", answer.text);
    };
    let line = |index: usize| {
        let line = &costs[index];
        (
            line["category"].as_str().unwrap().to_owned(),
            line["messages"].as_u64().unwrap(),
            line["amount"].as_str().unwrap().to_owned(),
            line["unpriced"].as_u64().unwrap(),
        )
    };
    assert_eq!(line(0), ("marketing".into(), 1, "0.025000".into(), 0));
    assert_eq!(line(1), ("service".into(), 1, "0.000000".into(), 0));
    let wrong = path.replace("2026-11-30", "2026-10-30");
    assert_eq!(app.api.get(&wrong).await.status, 422);
}
