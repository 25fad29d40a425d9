//! Calls: one entry on the timeline for each, which moves forward, and what they open.

use std::time::Instant;

use serde_json::{Value, json};
use waxwing_core::channel::ChannelKind;
use waxwing_emulator::{CallEvent, Phone};
use waxwing_testkit::{Tenant, TestApp};

use crate::support::{SOON, on_every};

/// Waits until the calls of a tenant are as many, and the latest is in a state.
async fn calls(app: &TestApp, tenant: &Tenant, count: usize, state: &str) -> Vec<Value> {
    let done = |found: &[Value]| found.len() == count && found[0]["content"]["state"] == state;
    app.messages_until(tenant, "type=call", done).await
}

fn news(phone: &Phone, id: &str, by_user: bool, events: &[CallEvent]) {
    for event in events {
        assert!(phone.call(id, by_user, *event), "the provider has calls");
    }
}

/// The types of the events about calls, once there are so many of calls that were completed.
async fn told(app: &TestApp, tenant: &Tenant, completed: usize) -> Vec<String> {
    let path = format!("/api/tenants/{}/events?limit=200", tenant.id);
    let end = Instant::now() + SOON;
    loop {
        let answer = app.api.get(&path).await;
        let events = answer.body["events"].as_array().unwrap().iter();
        let kinds: Vec<String> = events
            .filter_map(|event| event["type"].as_str())
            .filter(|kind| kind.starts_with("call."))
            .map(str::to_owned)
            .collect();
        if kinds
            .iter()
            .filter(|kind| *kind == "call.completed")
            .count()
            == completed
        {
            return kinds;
        }
        assert!(Instant::now() < end, "{kinds:?}");
        tokio::task::yield_now().await;
    }
}

on_every!(a_call_is_one_entry_that_moves_forward);
async fn a_call_is_one_entry_that_moves_forward(app: TestApp) {
    let bank = app.bank().await;
    let ada = app.phone(&bank, "16505551234", "Ada");
    if !matches!(app.kind(), ChannelKind::Meta | ChannelKind::Dialog360) {
        assert!(!ada.call("wacid.1", true, CallEvent::Connect));
        return;
    }
    let send = format!("/tenants/{}/send", bank.id);
    let text = |to: &str| json!({"to": to, "text": "You called"});
    let closed = app.api.post(&send, &text("+16505551234")).await;
    assert_eq!(closed.status, 422, "{}", closed.text);

    news(&ada, "wacid.1", true, &[CallEvent::Connect]);
    let ringing = calls(&app, &bank, 1, "ringing").await.remove(0);
    assert_eq!(
        (&ringing["direction"], &ringing["from"], &ringing["type"]),
        (&json!("IN"), &json!("+16505551234"), &json!("call"))
    );
    // A call opens the window as a message does, and is not answered by a bot.
    let open = app.api.post(&send, &text("+16505551234")).await;
    assert_eq!(open.status, 202, "{}", open.text);
    news(
        &ada,
        "wacid.1",
        true,
        &[CallEvent::Ended(75), CallEvent::Connect],
    );
    let ended = calls(&app, &bank, 1, "completed").await.remove(0);
    assert_eq!(ended["id"], ringing["id"]);
    assert_eq!(ended["content"]["durationSeconds"], 75);
    assert!(ended["content"]["startedAt"].is_string(), "{ended:#}");

    // What nobody took, told in the wrong order.
    let grace = app.phone(&bank, "16505551235", "Grace");
    news(
        &grace,
        "wacid.2",
        true,
        &[CallEvent::Ended(0), CallEvent::Connect],
    );
    calls(&app, &bank, 2, "missed").await;

    // Ours opens nothing.
    let edsger = app.phone(&bank, "16505551236", "Edsger");
    let events = [CallEvent::Ringing, CallEvent::Rejected, CallEvent::Ended(0)];
    news(&edsger, "wacid.3", false, &events);
    let rejected = calls(&app, &bank, 3, "rejected").await.remove(0);
    assert_eq!(
        (&rejected["direction"], &rejected["to"]),
        (&json!("OUT"), &json!("+16505551236"))
    );
    let closed = app.api.post(&send, &text("+16505551236")).await;
    assert_eq!(closed.status, 422, "{}", closed.text);
    news(
        &edsger,
        "wacid.4",
        false,
        &[CallEvent::Connect, CallEvent::Accepted, CallEvent::Ended(3)],
    );
    calls(&app, &bank, 4, "completed").await;
    let out = app.messages(&bank, "direction=OUT&type=text").await;
    assert_eq!(out.len(), 1, "only what was sent by hand: {out:#?}");

    // The end of each is told once, whatever else is told before it.
    let told = told(&app, &bank, 2).await;
    let count = |kind: &str| told.iter().filter(|told| *told == kind).count();
    assert_eq!(
        (count("call.missed"), count("call.rejected")),
        (1, 1),
        "{told:?}"
    );
    assert!(count("call.ringing") >= 1, "{told:?}");
}

on_every!(a_permission_to_call_gets_no_answer, except_msg91);
async fn a_permission_to_call_gets_no_answer(app: TestApp) {
    if app.kind() == ChannelKind::Twilio {
        return;
    }
    let bank = app.bank().await;
    let permission = |source: &str| {
        json!({"type": "interactive", "interactive": {"type": "call_permission_reply",
            "call_permission_reply": {"response": "accept", "response_source": source}}})
    };
    let send = format!("/tenants/{}/send", bank.id);
    let ada = app.phone(&bank, "16505551234", "Ada");
    ada.send_raw(permission("automatic")).unwrap();
    app.messages_until(&bank, "type=interactive_reply", |found| found.len() == 1)
        .await;
    let text = json!({"to": "+16505551234", "text": "May we call?"});
    assert_eq!(app.api.post(&send, &text).await.status, 422);
    ada.send_raw(permission("user_action")).unwrap();
    app.messages_until(&bank, "type=interactive_reply", |found| found.len() == 2)
        .await;
    assert_eq!(app.api.post(&send, &text).await.status, 202);
    let out = app.messages(&bank, "direction=OUT").await;
    assert_eq!(out.len(), 1, "{out:#?}");
}
