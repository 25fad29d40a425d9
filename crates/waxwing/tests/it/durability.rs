//! What was acknowledged survives; what ends in an orderly way leaves nothing behind.

use serde_json::json;
use waxwing_testkit::{NUMBER, SECRET, Sender, TestApp, sign, text_body};

use crate::support::on_both;

on_both!(acknowledged_webhooks_and_sends_survive_a_kill);
async fn acknowledged_webhooks_and_sends_survive_a_kill(mut app: TestApp) {
    let bank = app.bank().await;
    let settings = format!("/api/tenants/{}/settings", bank.id);
    assert_eq!(
        app.api
            .patch(&settings, &json!({"unknownOutcome": "hold"}))
            .await
            .status,
        200
    );
    let mut acknowledged = 0;
    for round in 0..5 {
        for n in 0..10 {
            let sender = Sender::new(&format!("16505551{round}{n:02}"), "Ada");
            let body = text_body(NUMBER, &sender, &format!("wamid.{round}.{n}"), "hi");
            if app.api.webhook(&body, &sign(SECRET, &body)).await.status == 200 {
                acknowledged += 1;
            }
            let key = format!("{round}-{n}");
            let send = json!({"to": format!("+16505552{round}{n:02}"), "idempotency_key": key,
                "messageTemplate": {"name": "hello", "language": "en"}});
            assert_eq!(
                app.api
                    .post(&format!("/tenants/{}/send/template", bank.id), &send)
                    .await
                    .status,
                202
            );
        }
        app.kill();
        app.boot().await;
        app.emulator
            .set_webhook_url(NUMBER, &format!("{}/whatsapp/webhook", app.api.base()));
    }
    assert_eq!(acknowledged, 50);
    let settled = |found: &[serde_json::Value]| {
        let ended = |message: &serde_json::Value| {
            message["status"] == "delivered" || message["outcomeUnknown"] == true
        };
        found.len() == 100 && found.iter().all(ended)
    };
    let out = app.messages_until(&bank, "direction=OUT", settled).await;
    assert_eq!(
        app.messages(&bank, "direction=IN").await.len(),
        50,
        "each webhook took effect once"
    );
    for message in out {
        let to = message["to"].as_str().unwrap().trim_start_matches('+');
        let sends = app.emulator.ledger().sends_to(to).len();
        match message["status"].as_str().unwrap() {
            "delivered" => assert_eq!(sends, 1, "{message:#}"),
            _ => assert!(
                sends <= 1,
                "an unknown outcome is not repeated: {message:#}"
            ),
        }
    }
}

on_both!(an_orderly_end_leaves_nothing_unknown);
async fn an_orderly_end_leaves_nothing_unknown(mut app: TestApp) {
    let bank = app.bank().await;
    for round in 0..3 {
        for n in 0..30 {
            let sender = Sender::new(&format!("16505553{round}{n:02}"), "Ada");
            let body = text_body(NUMBER, &sender, &format!("wamid.{round}.{n}"), "hi");
            assert_eq!(
                app.api.webhook(&body, &sign(SECRET, &body)).await.status,
                200
            );
        }
        assert_eq!(app.terminate().await, Some(0), "{}", app.logs());
        app.boot().await;
        app.emulator
            .set_webhook_url(NUMBER, &format!("{}/whatsapp/webhook", app.api.base()));
    }
    let all_there = |found: &[serde_json::Value]| {
        found.len() == 90 && found.iter().all(|message| message["status"] == "delivered")
    };
    let out = app.messages_until(&bank, "direction=OUT", all_there).await;
    assert!(
        out.iter()
            .all(|message| message["attempts"] == 1 && message["outcomeUnknown"] == false)
    );
}

on_both!(logs_and_metrics_hold_no_phones_and_no_secrets);
async fn logs_and_metrics_hold_no_phones_and_no_secrets(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    phone.say("hi, my secret word is xylophone");
    phone.await_reply(crate::support::SOON).await.unwrap();
    app.messages_until(&bank, "status=delivered", |found| found.len() == 1)
        .await;
    let wrong = json!({"to": "+16505551234x", "text": "x"});
    assert_eq!(
        app.api
            .post(&format!("/tenants/{}/send", bank.id), &wrong)
            .await
            .status,
        422
    );
    let metrics = app.metrics.clone();
    let scraped = app
        .api
        .send(|client, _| client.get(format!("{metrics}/metrics")))
        .await
        .text;
    assert!(
        scraped.contains("whatsapp_webhook_requests_total"),
        "{scraped}"
    );
    assert!(
        scraped.contains("whatsapp_send_attempts_total"),
        "{scraped}"
    );
    for (name, text) in [("logs", app.logs()), ("metrics", scraped)] {
        for canary in [
            "6505551234",
            SECRET,
            "EAAJB-test-token",
            "xylophone",
            "test-admin-token",
            "000102030405",
        ] {
            assert!(!text.contains(canary), "{canary} is in the {name}");
        }
    }
}
