//! Webhooks: signature, form, statuses, retries, batches, window.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ring::hmac;
use serde_json::{Value, json};
use waxwing_emulator::{
    Delay, EmulatorConfig, NumberConfig, Reach, StatusTiming, Tick, User, WebhookConfig,
};

use crate::receiver::Receiver;
use crate::{DEADLINE, NUMBER, SECRET, WABA, get, id, post, send, start, text};

#[tokio::test]
async fn a_message_arrives_signed_and_escaped() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), Some(receiver.url())).await;
    emulator.verify_webhook(NUMBER).await.unwrap();
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Jürgen"))
        .unwrap();
    let wamid = phone.say("Grüße 😀 a/b");
    receiver.wait("one webhook", |r| r.hooks().len() == 1).await;
    let hook = receiver.hooks().remove(0);
    let raw = std::str::from_utf8(&hook.body).unwrap();
    assert!(
        raw.is_ascii() && raw.contains(r"Gr\u00fc\u00dfe \ud83d\ude00 a\/b"),
        "{raw}"
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = format!(
        "sha256={}",
        hex::encode(hmac::sign(&key, &hook.body).as_ref())
    );
    assert_eq!(hook.headers["x-hub-signature-256"], signature);
    assert_eq!(hook.headers["content-type"], "application/json");
    let at = hook.value()["messages"][0]["timestamp"].clone();
    let mut expected: Value = serde_json::from_str(include_str!(
        "../../fixtures/inbound/message-text-escaped-unicode-and-slashes.json"
    ))
    .unwrap();
    let message = expected
        .pointer_mut("/entry/0/changes/0/value/messages/0")
        .unwrap();
    message["id"] = json!(wamid);
    message["timestamp"] = at;
    assert_eq!(hook.json(), expected);
}

#[tokio::test]
async fn users_without_phone_have_the_documented_form() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), Some(receiver.url())).await;
    let user = User {
        username: Some("kfisher".into()),
        ..User::with_user_id("US.1234", "Kerry Fisher")
    };
    let phone = emulator.phone(NUMBER, user).unwrap();
    phone.say("Hello World");
    receiver.wait("one webhook", |r| r.hooks().len() == 1).await;
    let value = receiver.hooks()[0].value();
    assert_eq!(
        value["contacts"],
        json!([{ "profile": { "name": "Kerry Fisher", "username": "kfisher" }, "user_id": "US.1234" }])
    );
    assert_eq!(value["messages"][0]["from_user_id"], "US.1234");
    assert!(value["messages"][0].get("from").is_none());
    let body = json!({ "messaging_product": "whatsapp", "recipient": "US.1234", "type": "text", "text": { "body": "hi" } });
    let (status, answer) = send(&emulator, &body).await.unwrap();
    assert_eq!(
        (status, &answer["contacts"][0]),
        (200, &json!({ "input": "US.1234", "user_id": "US.1234" }))
    );
    receiver
        .wait("delivered", |r| {
            r.statuses().iter().any(|s| s["status"] == "delivered")
        })
        .await;
    let status = receiver.statuses().remove(0);
    assert_eq!(status["recipient_user_id"], "US.1234");
    assert!(status.get("recipient_id").is_none());
    // The wrong field: accepted, and nothing ever comes back.
    let (status, _) = send(&emulator, &text("US.1234", "dropped")).await.unwrap();
    assert_eq!(status, 200);
    assert!(emulator.webhooks_idle(DEADLINE).await);
    assert_eq!(receiver.statuses().len(), 2);
}

#[tokio::test]
async fn statuses_climb_and_carry_the_callback_data() {
    let receiver = Receiver::start().await;
    let timing = StatusTiming {
        read: Some(Delay::millis(1, 3)),
        ..StatusTiming::default()
    };
    let webhooks = WebhookConfig {
        concurrency: 1,
        ..WebhookConfig::default()
    };
    let emulator = start(
        EmulatorConfig {
            timing,
            webhooks,
            ..EmulatorConfig::default()
        },
        Some(receiver.url()),
    )
    .await;
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Sheena"))
        .unwrap();
    phone.say("hello");
    let mut body = text("+16505551234", "hi");
    body["biz_opaque_callback_data"] = json!("wx:1/é");
    let (_, answer) = send(&emulator, &body).await.unwrap();
    assert!(
        phone
            .wait_until(
                |t| t.iter().any(|m| m.tick == Tick::Read && m.from_business),
                DEADLINE
            )
            .await
    );
    assert!(emulator.webhooks_idle(DEADLINE).await);
    let statuses = receiver.statuses();
    assert_eq!(
        statuses
            .iter()
            .map(|s| s["status"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["sent", "delivered", "read"]
    );
    for status in &statuses {
        assert_eq!(status["id"], id(&answer));
        assert_eq!(status["recipient_id"], "16505551234");
        assert_eq!(status["biz_opaque_callback_data"], "wx:1/é");
        assert!(status["timestamp"].as_str().unwrap().parse::<u64>().is_ok());
    }
    let free = json!({ "billable": false, "pricing_model": "PMP", "type": "free_customer_service", "category": "service" });
    assert_eq!(statuses[1]["pricing"], free);
    let record = emulator.ledger().send(&id(&answer)).unwrap();
    assert_eq!(
        (record.answered, record.body.as_ref(), record.statuses.len()),
        (true, "hi", 3)
    );
    let (_, history) = get(
        &emulator,
        &format!("/v25.0/{NUMBER}/message_history?message_id={}", id(&answer)),
    )
    .await;
    assert_eq!(
        history["data"][0]["events"]["data"][1]["delivery_status"],
        "DELIVERED"
    );
}

#[tokio::test]
async fn the_window_closes_a_day_after_the_last_message() {
    let receiver = Receiver::start().await;
    let seconds = Arc::new(AtomicU64::new(1_795_219_200));
    let clock = Arc::clone(&seconds);
    let config = EmulatorConfig {
        clock: Arc::new(move || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed))
        }),
        ..EmulatorConfig::default()
    };
    let emulator = start(config, Some(receiver.url())).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Sheena"))
        .unwrap();
    let fate = async |body: &Value| {
        let (status, answer) = send(&emulator, body).await.unwrap();
        assert_eq!(status, 200);
        assert!(emulator.webhooks_idle(DEADLINE).await);
        receiver
            .statuses()
            .into_iter()
            .rfind(|s| s["id"] == id(&answer) && s["status"] != "sent")
            .unwrap()
    };
    let closed = fate(&text("+16505551234", "before any message")).await;
    let expected: Value = serde_json::from_str(include_str!(
        "../../fixtures/inbound/status-failed-window-closed-131047.json"
    ))
    .unwrap();
    assert_eq!(
        closed["errors"],
        expected["entry"][0]["changes"][0]["value"]["statuses"][0]["errors"]
    );
    phone.say("hello");
    assert_eq!(
        fate(&text("+16505551234", "a")).await["status"],
        "delivered"
    );
    seconds.fetch_add(86_400, Ordering::Relaxed);
    assert_eq!(
        fate(&text("+16505551234", "b")).await["status"],
        "delivered",
        "the last second counts"
    );
    seconds.fetch_add(1, Ordering::Relaxed);
    assert_eq!(
        fate(&text("+16505551234", "c")).await["errors"][0]["code"],
        131_047
    );
    let template = json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "template",
                           "template": { "name": "hello_world", "language": { "code": "en_US" } } });
    let delivered = fate(&template).await;
    assert_eq!(
        (
            delivered["status"].as_str(),
            delivered["pricing"]["type"].as_str()
        ),
        (Some("delivered"), Some("regular"))
    );
}

#[tokio::test]
async fn webhooks_are_repeated_until_200_even_over_a_restart() {
    let mut receiver = Receiver::start().await;
    receiver.script(&[500, 302, 204, 401]);
    let webhooks = WebhookConfig {
        retry_base: Duration::from_millis(5),
        ..WebhookConfig::default()
    };
    let emulator = start(
        EmulatorConfig {
            webhooks,
            ..EmulatorConfig::default()
        },
        Some(receiver.url()),
    )
    .await;
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Sheena"))
        .unwrap();
    phone.say("stubborn");
    receiver
        .wait("five attempts", |r| r.hooks().len() == 5)
        .await;
    let hooks = receiver.hooks();
    assert_eq!(
        hooks.iter().map(|h| h.status).collect::<Vec<_>>(),
        [500, 302, 204, 401, 200]
    );
    assert!(
        hooks.iter().all(|h| h.body == hooks[0].body),
        "the same bytes each time"
    );
    assert!(emulator.webhooks_idle(DEADLINE).await);

    receiver.down().await;
    let second = phone.say("while the server is down");
    let ledger = emulator.ledger();
    assert!(
        ledger
            .wait_for(
                |l| l
                    .webhooks()
                    .iter()
                    .any(|w| *w.ids[0] == *second && w.attempts > 2),
                DEADLINE
            )
            .await
    );
    assert!(!emulator.webhooks_idle(Duration::ZERO).await);
    receiver.listen().await;
    receiver
        .wait("the message", |r| {
            r.messages().iter().any(|m| m["id"] == *second)
        })
        .await;
    assert!(emulator.webhooks_idle(DEADLINE).await);
    let record = ledger.webhooks().pop().unwrap();
    assert!(record.delivered && !record.given_up && record.last_status == Some(200));
}

#[tokio::test]
async fn giving_up_is_recorded() {
    let webhooks = WebhookConfig {
        retry_base: Duration::from_millis(1),
        retry_for: Duration::from_millis(20),
        ..WebhookConfig::default()
    };
    let emulator = start(
        EmulatorConfig {
            webhooks,
            ..EmulatorConfig::default()
        },
        None,
    )
    .await;
    emulator
        .phone(NUMBER, User::with_phone("16505551234", "Sheena"))
        .unwrap()
        .say("to nobody");
    assert!(emulator.webhooks_idle(DEADLINE).await);
    assert_eq!(emulator.ledger().counts().given_up, 1);
    assert!(emulator.ledger().webhooks()[0].given_up);
}

#[tokio::test]
async fn statuses_can_come_in_batches() {
    let receiver = Receiver::start().await;
    let webhooks = WebhookConfig {
        batch_size: 100,
        batch_delay: Duration::from_millis(50),
        ..WebhookConfig::default()
    };
    let emulator = start(
        EmulatorConfig {
            webhooks,
            ..EmulatorConfig::lenient()
        },
        Some(receiver.url()),
    )
    .await;
    for n in 0..30 {
        send(&emulator, &text(&format!("+1650555{n:04}"), "x"))
            .await
            .unwrap();
    }
    assert!(emulator.webhooks_idle(DEADLINE).await);
    assert_eq!(receiver.statuses().len(), 60);
    assert!(
        receiver.hooks().len() < 45,
        "{} requests",
        receiver.hooks().len()
    );
}

#[tokio::test]
async fn unreachable_users() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), Some(receiver.url())).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Sheena"))
        .unwrap();
    phone.say("hello");
    phone.set_reach(Reach::Offline);
    let (_, waiting) = send(&emulator, &text("+16505551234", "later"))
        .await
        .unwrap();
    assert!(emulator.webhooks_idle(DEADLINE).await);
    assert_eq!(receiver.statuses().len(), 1);
    phone.set_reach(Reach::Online);
    receiver
        .wait("delivered", |r| {
            r.statuses()
                .iter()
                .any(|s| s["status"] == "delivered" && s["id"] == id(&waiting))
        })
        .await;
    phone.set_reach(Reach::NotOnWhatsApp);
    send(&emulator, &text("+16505551234", "lost"))
        .await
        .unwrap();
    receiver
        .wait("failed", |r| {
            r.statuses()
                .iter()
                .any(|s| s["errors"][0]["code"] == 131_026)
        })
        .await;
}

#[tokio::test]
async fn events_of_users_have_the_documented_form() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), Some(receiver.url())).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Sheena Nelson"))
        .unwrap();
    phone.change_number("12195555358", None);
    receiver
        .wait("the system message", |r| r.messages().len() == 1)
        .await;
    let mut expected: Value = serde_json::from_str(include_str!(
        "../../fixtures/inbound/system-user-changed-number.json"
    ))
    .unwrap();
    let ours = receiver.hooks()[0].json();
    let message = expected
        .pointer_mut("/entry/0/changes/0/value/messages/0")
        .unwrap();
    for name in ["id", "timestamp"] {
        message[name] = ours["entry"][0]["changes"][0]["value"]["messages"][0][name].clone();
    }
    assert_eq!(ours, expected);
    phone.say("from the new number");
    receiver
        .wait("the message", |r| {
            r.messages().iter().any(|m| m["from"] == "12195555358")
        })
        .await;
    phone.marketing(true);
    receiver
        .wait("the preference", |r| r.hooks().len() == 3)
        .await;
    let preference = receiver.hooks()[2].value()["user_preferences"][0].clone();
    assert_eq!(
        (preference["value"].as_str(), preference["wa_id"].as_str()),
        (Some("stop"), Some("12195555358"))
    );
}

#[tokio::test]
async fn overrides_subscription_and_reviews() {
    let receiver = Receiver::start().await;
    let other = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), Some(receiver.url())).await;
    let apps = format!("/v25.0/{WABA}/subscribed_apps");
    let bad = json!({ "override_callback_uri": other.url(), "verify_token": "wrong" });
    assert_eq!(
        post(&emulator, &apps, &bad).await.unwrap().0,
        400,
        "the handshake fails"
    );
    let good =
        json!({ "override_callback_uri": other.url(), "verify_token": "waxwing-verify-token" });
    assert_eq!(
        post(&emulator, &apps, &good).await.unwrap(),
        (200, json!({ "success": true }))
    );
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Sheena"))
        .unwrap();
    phone.say("to the override");
    other.wait("the message", |r| r.messages().len() == 1).await;
    // Template events go to the app's own callback all the same.
    let template = json!({ "name": "order_confirmation", "language": "en_US", "category": "utility",
        "components": [{ "type": "body", "text": "Your order {{1}} is on its way to you now.", "example": { "body_text": [["4711"]] } }] });
    let (status, created) = post(
        &emulator,
        &format!("/v25.0/{WABA}/message_templates"),
        &template,
    )
    .await
    .unwrap();
    assert_eq!((status, created["status"].as_str()), (200, Some("PENDING")));
    receiver.wait("the review", |r| r.hooks().len() == 1).await;
    let review = receiver.hooks()[0].value();
    assert_eq!(review["event"], "APPROVED");
    assert_eq!(
        review["message_template_id"].as_u64().unwrap().to_string(),
        created["id"].as_str().unwrap()
    );
    let client = crate::client();
    client
        .delete(format!("{}{apps}", emulator.url()))
        .bearer_auth(crate::TOKEN)
        .send()
        .await
        .unwrap();
    phone.say("nobody is subscribed");
    assert!(emulator.webhooks_idle(DEADLINE).await);
    assert_eq!((receiver.hooks().len(), other.hooks().len()), (1, 1));
    emulator.add_number(NumberConfig {
        webhook_url: None,
        phone_number_id: "2".into(),
        ..NumberConfig::default()
    });
    assert!(
        emulator.verify_webhook("2").await.is_ok(),
        "the account's override serves its other numbers too"
    );
}
