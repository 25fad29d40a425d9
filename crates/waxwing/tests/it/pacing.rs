//! Sending at the provider's speed: refusals slow down, nothing is lost or doubled, and one channel's trouble is not
//! another's.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript, Phone};
use waxwing_testkit::{Tenant, TestApp};

use crate::support::{SOON, on_both};

async fn send_template(app: &TestApp, tenant: &Tenant, to: &str) {
    let path = format!("/tenants/{}/send/template", tenant.id);
    let body = json!({"to": to, "messageTemplate": {"name": "hello", "language": "en"}});
    let answer = app.api.post(&path, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
}

fn number(n: usize) -> String {
    format!("1650555{n:04}")
}

fn refusal(code: i64, status: u16, retry_after: Option<u32>) -> Fault {
    Fault::Error {
        code,
        status: Some(status),
        retry_after,
    }
}

/// Every message is delivered, and the provider accepted each once.
async fn all_delivered_once(app: &TestApp, tenant: &Tenant, count: usize) -> Vec<Value> {
    let found = app
        .messages_until(tenant, "status=delivered", |found| found.len() == count)
        .await;
    for n in 0..count {
        assert_eq!(
            app.emulator.ledger().sends_to(&number(n)).len(),
            1,
            "to {n}"
        );
    }
    found
}

on_both!(a_storm_of_refusals_loses_and_doubles_nothing);
async fn a_storm_of_refusals_loses_and_doubles_nothing(app: TestApp) {
    let bank = app.bank().await;
    let storm = FaultMatch {
        nth: (1..=12).collect(),
        ..FaultMatch::all()
    };
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        storm,
        refusal(130_429, 429, Some(1)),
    ));
    for n in 0..40 {
        send_template(&app, &bank, &format!("+{}", number(n))).await;
    }
    let found = all_delivered_once(&app, &bank, 40).await;
    // A refusal for speed is nobody's fault and costs no attempt.
    assert!(found.iter().all(|message| message["attempts"] == 1));
    let metrics = app.metrics.clone();
    let scraped = app
        .api
        .send(|client, _| client.get(format!("{metrics}/metrics")))
        .await
        .text;
    let throttled = scraped
        .lines()
        .find(|line| line.starts_with("whatsapp_send_attempts_total") && line.contains("throttled"))
        .and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    assert!(
        throttled.is_some_and(|count| count <= 12.0),
        "no more was tried than the storm refused: {throttled:?}"
    );
}

on_both!(too_much_for_one_person_backs_off_and_ends_well);
async fn too_much_for_one_person_backs_off_and_ends_well(app: TestApp) {
    let bank = app.bank().await;
    let pair = FaultMatch {
        nth: vec![1, 2],
        ..FaultMatch::to(number(0))
    };
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        pair,
        refusal(131_056, 400, None),
    ));
    let began = Instant::now();
    for n in 0..2 {
        send_template(&app, &bank, &format!("+{}", number(n))).await;
    }
    app.messages_until(&bank, "status=delivered", |found| found.len() == 1)
        .await;
    assert!(app.emulator.ledger().sends_to(&number(0)).is_empty());
    let found = all_delivered_once(&app, &bank, 2).await;
    assert!(
        began.elapsed() > Duration::from_millis(2_400),
        "half a second and two seconds at least"
    );
    let attempts = found.iter().map(|message| message["attempts"].as_i64());
    assert_eq!(attempts.flatten().max(), Some(3));
}

/// How long each of some messages takes to be answered, in the middle.
async fn answer_time(phone: &Phone) -> Duration {
    let mut times = Vec::new();
    for _ in 0..11 {
        let began = Instant::now();
        phone.say("hi");
        assert!(phone.await_reply(SOON).await.is_ok());
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[5]
}

on_both!(a_dead_provider_is_left_alone_and_holds_up_nobody_else);
async fn a_dead_provider_is_left_alone_and_holds_up_nobody_else(app: TestApp) {
    let bank = app.bank().await;
    let shop = app.tenant("Shop", "222222222222222").await;
    app.bank_menu(&shop).await;
    let phone = app.phone(&shop, "16505559999", "Grace");
    let calm = answer_time(&phone).await;

    // Only one of the two tenants sends message templates.
    let templates = FaultMatch {
        kind: Some("template".to_owned()),
        ..FaultMatch::all()
    };
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        templates,
        refusal(131_016, 503, None),
    ));
    for n in 0..40 {
        send_template(&app, &bank, &format!("+{}", number(n))).await;
    }
    let channel = format!("/api/tenants/{}/channels/{}", bank.id, bank.channel_id);
    let deadline = Instant::now() + SOON;
    let mut view = app.api.get(&channel).await;
    while view.body["channel"]["circuit"] == "closed" {
        assert!(Instant::now() < deadline, "{}", view.text);
        view = app.api.get(&channel).await;
    }
    let stormy = answer_time(&phone).await;
    assert!(
        stormy < 2 * calm + Duration::from_millis(100),
        "{stormy:?} instead of {calm:?}"
    );

    app.emulator.set_faults(FaultScript::default());
    all_delivered_once(&app, &bank, 40).await;
    let mut view = app.api.get(&channel).await;
    while view.body["channel"]["circuit"] != "closed" {
        view = app.api.get(&channel).await;
    }
    assert!(view.body["channel"]["circuitUntil"].is_null());
}

on_both!(the_speed_of_a_channel_can_be_set);
async fn the_speed_of_a_channel_can_be_set(app: TestApp) {
    let bank = app.bank().await;
    let channel = format!("/api/tenants/{}/channels/{}", bank.id, bank.channel_id);
    let odd = json!({"limits": {"messagesPerSecond": 0}});
    assert_eq!(app.api.patch(&channel, &odd).await.status, 422);
    let slow = json!({"limits": {"messagesPerSecond": 2}});
    let answer = app.api.patch(&channel, &slow).await;
    assert_eq!(
        answer.body["channel"]["limits"]["messagesPerSecond"], 2,
        "{}",
        answer.text
    );
    let began = Instant::now();
    for n in 0..6 {
        send_template(&app, &bank, &format!("+{}", number(n))).await;
    }
    all_delivered_once(&app, &bank, 6).await;
    assert!(
        began.elapsed() > Duration::from_millis(2_200),
        "{:?}",
        began.elapsed()
    );
    let usual = json!({"limits": {"messagesPerSecond": null}});
    let answer = app.api.patch(&channel, &usual).await;
    assert!(answer.body["channel"]["limits"]["messagesPerSecond"].is_null());
}

on_both!(a_business_writes_to_no_more_people_than_it_may);
async fn a_business_writes_to_no_more_people_than_it_may(app: TestApp) {
    let bank = app.bank().await;
    let channel = format!("/api/tenants/{}/channels/{}", bank.id, bank.channel_id);
    let news = json!({"max_daily_conversations_per_business": 2});
    app.emulator
        .deliver_change(&bank.number, "business_capability_update", &news);
    let deadline = Instant::now() + SOON;
    while app.api.get(&channel).await.body["channel"]["health"]["messagingLimit"] != "2" {
        assert!(Instant::now() < deadline);
    }
    app.writes_first(&bank, &number(0)).await;
    for n in 0..5 {
        send_template(&app, &bank, &format!("+{}", number(n))).await;
    }
    // Whoever wrote first counts for nothing, two more have their place.
    all_delivered_once(&app, &bank, 3).await;
    let waiting = app
        .messages_until(&bank, "status=queued", |found| {
            found.len() == 2
                && found
                    .iter()
                    .all(|message| message["waitsFor"] == "portfolio_limit")
        })
        .await;
    assert!(waiting.iter().all(|message| message["dueAt"].is_string()));
    // A person who writes may be answered.
    app.phone(&bank, &number(4), "Eve").say("hi");
    app.messages_until(&bank, "status=queued", |found| found.len() == 1)
        .await;
    app.messages_until(&bank, "status=delivered", |found| found.len() >= 5)
        .await;
    assert!(app.emulator.ledger().sends_to(&number(3)).is_empty());
}
