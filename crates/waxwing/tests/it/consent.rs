//! What people want of marketing: by keyword, by WhatsApp's switch, by the provider's refusal, noted by staff; kept in a
//! ledger, and asked at the last gate.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_core::time::Timestamp;
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript};
use waxwing_testkit::{Answer, Tenant, TestApp};

use crate::support::{SOON, on_both};

const ADA: &str = "16505551234";

async fn contact(app: &TestApp, tenant: &Tenant) -> Value {
    let path = format!("/api/tenants/{}/contacts", tenant.id);
    app.api.get(&path).await.body["contacts"][0].clone()
}

async fn wants(app: &TestApp, tenant: &Tenant, wish: &str) -> Value {
    let until = Instant::now() + SOON;
    loop {
        let contact = contact(app, tenant).await;
        if contact["marketing"] == wish {
            return contact;
        }
        assert!(Instant::now() < until, "{contact}\n{}", app.logs());
        tokio::task::yield_now().await;
    }
}

async fn market(app: &TestApp, tenant: &Tenant, more: Value) -> Answer {
    let mut body = json!({"to": format!("+{ADA}"), "priority": "bulk",
        "messageTemplate": {"name": "offer", "language": "en"}});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let path = format!("/api/tenants/{}/send/template", tenant.id);
    app.api.post(&path, &body).await
}

async fn ledger(app: &TestApp, tenant: &Tenant, contact: &Value) -> Vec<Value> {
    let id = contact["id"].as_str().unwrap();
    let path = format!("/api/tenants/{}/opt-ins?contactId={id}", tenant.id);
    let answer = app.api.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["optIns"].as_array().unwrap().clone()
}

on_both!(whoever_says_stop_gets_no_marketing_and_all_else);
async fn whoever_says_stop_gets_no_marketing_and_all_else(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, ADA, "Ada");
    phone.say("hi");
    phone.await_reply(SOON).await.unwrap();
    phone.say("Stop!");
    let told = phone.await_reply(SOON).await.unwrap();
    assert!(told.text.contains("no more marketing"), "{}", told.text);
    let ada = wants(&app, &bank, "opted_out").await;
    let refused = market(&app, &bank, json!({})).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert_eq!(refused.body["details"][0]["field"], "to");
    // What is no marketing still goes.
    let body = json!({"to": format!("+{ADA}"), "text": "Your card is ready"});
    let path = format!("/api/tenants/{}/send", bank.id);
    assert_eq!(app.api.post(&path, &body).await.status, 202);
    phone.say("hi");
    phone.say("start");
    wants(&app, &bank, "opted_in").await;
    assert_eq!(market(&app, &bank, json!({})).await.status, 202);
    let entries = ledger(&app, &bank, &ada).await;
    let told: Vec<_> = entries
        .iter()
        .map(|one| (one["marketing"].clone(), one["source"].clone()))
        .collect();
    let keyword = |wish: &str| (json!(wish), json!("keyword"));
    assert_eq!(told, [keyword("opted_in"), keyword("opted_out")]);
    assert_eq!(entries[1]["evidence"]["word"], "stop");
    assert_eq!(entries[1]["by"], ada["id"]);
    let path = format!("/api/tenants/{}/opt-ins/verify", bank.id);
    assert_eq!(app.api.get(&path).await.body["whole"], true);
}

on_both!(what_waits_in_the_queue_is_stopped_at_the_last_gate);
async fn what_waits_in_the_queue_is_stopped_at_the_last_gate(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, ADA).await;
    let heard = app.messages(&bank, "direction=IN").await;
    let now = Timestamp::parse(heard[0]["createdAt"].as_str().unwrap()).unwrap();
    let due = now.plus(Duration::from_secs(5));
    let queued = market(&app, &bank, json!({"sendAt": due.rfc3339()})).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    let ada = contact(&app, &bank).await;
    let wish =
        json!({"contactId": ada["id"], "marketing": "opted_out", "wording": "told us by phone"});
    let path = format!("/api/tenants/{}/opt-ins", bank.id);
    let noted = app.api.post(&path, &wish).await;
    assert_eq!(
        (noted.status, &noted.body["noted"]),
        (201, &json!(true)),
        "{}",
        noted.text
    );
    let found = app
        .messages_until(&bank, "direction=OUT&status=failed", |found| {
            found.len() == 1
        })
        .await;
    assert_eq!(found[0]["error"]["class"], "opted_out", "{:#}", found[0]);
    assert_eq!(app.emulator.ledger().sends_to(ADA).len(), 0);
    let entries = ledger(&app, &bank, &ada).await;
    assert_eq!(entries[0]["source"], "staff");
    assert_eq!(entries[0]["by"], "platform-admin");
}

on_both!(a_providers_refusal_is_an_opt_out);
async fn a_providers_refusal_is_an_opt_out(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, ADA).await;
    let act = Fault::Fail { code: 131_050 };
    let script = FaultScript::one(FaultPoint::Send, FaultMatch::all(), act);
    app.emulator.set_faults(script);
    assert_eq!(market(&app, &bank, json!({})).await.status, 202);
    let ada = wants(&app, &bank, "opted_out").await;
    let entries = ledger(&app, &bank, &ada).await;
    assert_eq!(entries[0]["source"], "provider");
    assert_eq!(entries[0]["evidence"]["code"], "131050");
}
