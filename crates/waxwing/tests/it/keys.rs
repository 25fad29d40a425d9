//! New keys while everything runs and the process is killed: nothing becomes unreadable.

use std::time::{Duration, Instant};

use serde_json::json;
use waxwing_testkit::{MASTER_KEY, NUMBER, SECRET, Sender, Tenant, TestApp, sign, text_body};

use crate::support::on_both;

const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";

async fn write(app: &TestApp, n: usize) {
    let sender = Sender::new(&format!("1650555{n:04}"), "Ada");
    let body = text_body(NUMBER, &sender, &format!("wamid.{n}"), "hi");
    let answer = app.api.webhook(&body, &sign(SECRET, &body)).await;
    assert_eq!(answer.status, 200);
}

async fn phones(app: &TestApp, tenant: &Tenant) -> Vec<String> {
    let path = format!("/api/tenants/{}/contacts?limit=200", tenant.id);
    let answer = app.api.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let contacts = answer.body["contacts"].as_array().unwrap();
    let phone = |contact: &serde_json::Value| contact["phone"].as_str().unwrap().to_owned();
    contacts.iter().map(phone).collect()
}

on_both!(keys_are_replaced_under_traffic_and_kills);
async fn keys_are_replaced_under_traffic_and_kills(mut app: TestApp) {
    let bank = app.bank().await;
    for n in 0..40 {
        write(&app, n).await;
    }
    let heard = |count: usize| {
        move |found: &[serde_json::Value]| {
            found.len() == count && found.iter().all(|message| message["status"] == "delivered")
        }
    };
    app.messages_until(&bank, "direction=OUT", heard(40)).await;
    app.kill();
    app.set("MASTER_KEY", OTHER_KEY);
    app.set("MASTER_KEY_PREVIOUS", MASTER_KEY);
    app.boot().await;
    let begun = app.api.post("/api/keys/rotate", &json!({})).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    assert_eq!(begun.body["underEarlierMasterKey"], 0);
    assert_eq!(begun.body["rotating"], 3, "two tenants and the platform");
    let limit = Instant::now() + Duration::from_secs(120);
    let mut n = 40;
    loop {
        app.kill();
        app.boot().await;
        app.emulator
            .set_webhook_url(NUMBER, &format!("{}/whatsapp/webhook", app.api.base()));
        if n < 150 {
            write(&app, n).await;
            n += 1;
        }
        let standing = app.api.get("/api/keys").await;
        if standing.body["rotating"] == 0 {
            break;
        }
        assert!(Instant::now() < limit, "{}", standing.text);
    }
    app.kill();
    app.set("MASTER_KEY_PREVIOUS", "");
    app.boot().await;
    app.emulator
        .set_webhook_url(NUMBER, &format!("{}/whatsapp/webhook", app.api.base()));
    write(&app, n).await;
    n += 1;
    let ended = |found: &[serde_json::Value]| {
        let done = |message: &serde_json::Value| {
            message["status"] == "delivered" || message["outcomeUnknown"] == true
        };
        found.len() == n && found.iter().all(done)
    };
    app.messages_until(&bank, "direction=OUT", ended).await;
    let mut found = phones(&app, &bank).await;
    found.sort();
    let expected: Vec<String> = (0..n).map(|n| format!("+1650555{n:04}")).collect();
    assert_eq!(found, expected);
    assert!(!app.logs().contains("do not open"), "{}", app.logs());
}
