//! Webhooks of 360dialog, the phone, and faults.

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};
use waxwing_emulator::{
    Dialog360Config, EmulatorConfig, Fault, FaultMatch, FaultPoint, FaultScript, SignatureForm,
    User,
};

use super::{KEY, NUMBER, USER, WABA, call, recorded, start, text, to};
use crate::receiver::Receiver;
use crate::send::shape;
use crate::{DEADLINE, client, id};

#[tokio::test]
async fn webhooks_carry_the_configured_headers_and_no_signature_of_meta() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let emulator = start(EmulatorConfig::default(), to(&first)).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Sheena Nelson"))
        .unwrap();
    phone.say("Grüße");
    first.wait("the message", |r| r.messages().len() == 1).await;
    let hook = &first.hooks()[0];
    assert_eq!(hook.headers["authorization"], "Bearer a-long-random-secret");
    for header in [
        "x-hub-signature-256",
        "x-hub-signature",
        "x-360dialog-signature",
    ] {
        assert!(!hook.headers.contains_key(header), "{header}");
    }
    let theirs = recorded("inbound", "cloud-message-text");
    let (mut ours, mut theirs) = (hook.json(), theirs);
    assert_eq!(ours["object"], "whatsapp_business_account");
    assert_eq!(ours["entry"][0]["id"], WABA);
    assert_eq!(
        ours["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"],
        NUMBER
    );
    for side in [&mut ours, &mut theirs] {
        // The recorded user has a user id, ours has none.
        for (at, name) in [("/contacts/0", "user_id"), ("/messages/0", "from_user_id")] {
            let at = format!("/entry/0/changes/0/value{at}");
            side.pointer_mut(&at)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(name);
        }
    }
    assert_eq!(shape(&ours), shape(&theirs));
    let setting = json!({ "url": format!("{}/dialog360/secret", second.url()),
                          "headers": { "X-Own": "another secret" } });
    let answer = call(&emulator, "POST", "/v1/configs/webhook", Some(&setting)).await;
    assert_eq!((answer.status, answer.json()), (200, setting.clone()));
    let refused = call(
        &emulator,
        "POST",
        "/v1/configs/webhook",
        Some(&json!({ "url": 1 })),
    )
    .await;
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"].is_string());
    phone.say("again");
    second
        .wait("the message", |r| r.messages().len() == 1)
        .await;
    let hook = &second.hooks()[0];
    assert_eq!(hook.headers["x-own"], "another secret");
    assert!(!hook.headers.contains_key("authorization"));
}

/// The one message, or the one status, of a webhook's value.
fn item(value: &Value) -> &Value {
    let list = value.get("messages").or_else(|| value.get("statuses"));
    &list.unwrap()[0]
}

#[tokio::test]
async fn messages_and_statuses_have_the_recorded_shape() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), to(&receiver)).await;
    let early = call(&emulator, "POST", "/messages", Some(&text("too early"))).await;
    receiver
        .wait("its failure", |r| r.statuses().len() == 1)
        .await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Sheena Nelson"))
        .unwrap();
    let first = phone.say("hi");
    let interactive = |value: &Value| json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "interactive", "interactive": value });
    let menu = interactive(
        &json!({ "type": "button", "body": { "text": "b" }, "action": { "buttons": [
        { "type": "reply", "reply": { "id": "cancel-button", "title": "Cancel" } }] } }),
    );
    let list = interactive(
        &json!({ "type": "list", "body": { "text": "b" }, "action": { "button": "o", "sections": [
        { "rows": [{ "id": "priority_express", "title": "Priority", "description": "fast" }] }] } }),
    );
    let template = json!({ "name": "promo", "language": "en", "category": "MARKETING", "components": [
        { "type": "BODY", "text": "Hello" },
        { "type": "BUTTONS", "buttons": [{ "type": "QUICK_REPLY", "text": "Unsubscribe" }] }] });
    emulator.add_template(WABA, &template).unwrap();
    let promo = json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "template",
                        "template": { "name": "promo", "language": { "code": "en" } } });
    for body in [&menu, &list, &promo] {
        let answer = call(&emulator, "POST", "/messages", Some(body)).await;
        assert_eq!(answer.status, 200);
    }
    phone
        .send_media(
            "image",
            "image/jpeg",
            Bytes::from_static(b"pixels"),
            Some("Taj Mahal"),
        )
        .unwrap();
    phone.tap("cancel-button").unwrap();
    phone.pick("priority_express").unwrap();
    phone.tap("Unsubscribe").unwrap();
    phone.send_location(37.4, -122.1, Some("Philz Coffee"), Some("101 Forest Ave"));
    phone.react(&first, "👍");
    phone.change_number("12195555358", None);
    receiver
        .wait("all messages", |r| r.messages().len() == 8)
        .await;
    let failed = receiver.statuses()[0].clone();
    assert_eq!(failed["id"], id(&early.json()));
    let messages = receiver.messages();
    for (name, kind, inner) in [
        ("cloud-message-image", "image", ""),
        (
            "cloud-message-interactive-button-reply",
            "interactive",
            "button_reply",
        ),
        (
            "cloud-message-interactive-list-reply",
            "interactive",
            "list_reply",
        ),
        ("cloud-message-button-template-quick-reply", "button", ""),
        ("cloud-message-location-place", "location", ""),
        ("cloud-message-reaction-added", "reaction", ""),
        ("cloud-system-user-changed-number", "system", ""),
        ("cloud-status-failed-window-closed-131047", "", ""),
    ] {
        let recorded = recorded("inbound", name);
        let mut theirs = item(&recorded["entry"][0]["changes"][0]["value"]).clone();
        if kind == "location" {
            // The link of a place is optional.
            theirs["location"].as_object_mut().unwrap().remove("url");
        }
        let ours = messages
            .iter()
            .find(|m| m["type"] == kind && (inner.is_empty() || m[kind]["type"] == inner))
            .unwrap_or(&failed);
        assert_eq!(shape(ours), shape(&theirs), "{name}: {ours}");
    }
}

#[tokio::test]
async fn a_configured_secret_signs() {
    let receiver = Receiver::start().await;
    for form in [SignatureForm::Hex, SignatureForm::Base64] {
        let number = Dialog360Config {
            signature_secret: Some("platform-secret-0123456789".into()),
            signature_form: form,
            ..to(&receiver)
        };
        let emulator = start(EmulatorConfig::default(), number).await;
        let before = receiver.messages().len();
        emulator
            .phone(NUMBER, User::with_phone(USER, "Sheena"))
            .unwrap()
            .say("signed");
        receiver
            .wait("the message", |r| r.messages().len() > before)
            .await;
        let hook = receiver.hooks().pop().unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"platform-secret-0123456789");
        let given = hook.headers["x-360dialog-signature"].to_str().unwrap();
        let tag = match form {
            SignatureForm::Hex => hex::decode(given).unwrap(),
            SignatureForm::Base64 => base64::engine::general_purpose::STANDARD
                .decode(given)
                .unwrap(),
        };
        assert!(ring::hmac::verify(&key, &hook.body, &tag).is_ok());
    }
}

#[tokio::test]
async fn the_old_hosts_form_has_no_envelope() {
    let receiver = Receiver::start().await;
    let number = Dialog360Config {
        legacy: true,
        ..to(&receiver)
    };
    let emulator = start(EmulatorConfig::default(), number).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Sojan Jose"))
        .unwrap();
    phone.say("Test");
    receiver
        .wait("the message", |r| !r.hooks().is_empty())
        .await;
    let theirs = recorded("legacy-inbound", "v1-text");
    assert_eq!(shape(&receiver.hooks()[0].json()), shape(&theirs));
    call(&emulator, "POST", "/messages", Some(&text("x"))).await;
    receiver
        .wait("both statuses", |r| r.hooks().len() == 3)
        .await;
    let theirs = recorded("legacy-inbound", "v1-status-read-minimal");
    let hooks = receiver.hooks();
    let words: Vec<Value> = hooks[1..]
        .iter()
        .map(|h| {
            assert_eq!(shape(&h.json()), shape(&theirs));
            h.json()["statuses"][0]["status"].clone()
        })
        .collect();
    assert_eq!(words, ["sent", "delivered"]);
}

#[tokio::test]
async fn failed_webhooks_come_again() {
    let receiver = Receiver::start().await;
    receiver.script(&[201, 401, 500]);
    let emulator = start(EmulatorConfig::default(), to(&receiver)).await;
    emulator
        .phone(NUMBER, User::with_phone(USER, "Sheena"))
        .unwrap()
        .say("hi");
    receiver.wait("200", |r| r.messages().len() == 1).await;
    let hooks = receiver.hooks();
    assert_eq!(hooks.len(), 4, "anything but 200 is a failure");
    assert!(hooks.iter().all(|h| h.body == hooks[0].body));
}

#[tokio::test]
async fn the_phone_taps_and_picks() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), to(&receiver)).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Sheena"))
        .unwrap();
    phone.say("hi");
    let menu = json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "interactive", "interactive": {
        "type": "button", "body": { "text": "What now?" },
        "action": { "buttons": [{ "type": "reply", "reply": { "id": "balance", "title": "Balance" } }] } } });
    let list = json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "interactive", "interactive": {
        "type": "list", "body": { "text": "Where?" }, "action": { "button": "Branches", "sections": [
            { "rows": [{ "id": "north", "title": "North", "description": "open" }] }] } } });
    call(&emulator, "POST", "/messages", Some(&menu)).await;
    assert_eq!(phone.await_reply(DEADLINE).await.unwrap().text, "What now?");
    phone.tap("balance").unwrap();
    call(&emulator, "POST", "/messages", Some(&list)).await;
    assert_eq!(phone.await_reply(DEADLINE).await.unwrap().text, "Where?");
    phone.pick("north").unwrap();
    phone.send_location(1.5, 2.0, None, None);
    receiver
        .wait("four messages", |r| r.messages().len() == 4)
        .await;
    let messages = receiver.messages();
    let of = |kind: &str| {
        messages
            .iter()
            .find(|m| m["interactive"]["type"] == kind)
            .cloned()
    };
    assert_eq!(
        of("button_reply").unwrap()["interactive"]["button_reply"]["id"],
        "balance"
    );
    assert_eq!(
        of("list_reply").unwrap()["interactive"]["list_reply"]["id"],
        "north"
    );
    assert!(messages.iter().any(|m| m["location"]["latitude"] == 1.5));
}

#[tokio::test]
async fn faults_work_as_with_meta() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), to(&receiver)).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Sheena"))
        .unwrap();
    let script = FaultScript::one(
        FaultPoint::Send,
        FaultMatch::nth(1),
        Fault::Error {
            code: 130_429,
            status: Some(429),
            retry_after: Some(3),
        },
    )
    .and(FaultPoint::Send, FaultMatch::nth(2), Fault::LoseAnswer)
    .and(FaultPoint::Send, FaultMatch::nth(3), Fault::StatusFirst)
    .and(
        FaultPoint::Webhook,
        FaultMatch::nth(1),
        Fault::Duplicate {
            times: 1,
            after_ms: 0,
            other_envelope: false,
        },
    )
    .and(
        FaultPoint::Webhook,
        FaultMatch::nth(2),
        Fault::WrongSignature,
    );
    emulator.set_faults(script);
    phone.say("twice");
    receiver
        .wait("both copies", |r| r.messages().len() == 2)
        .await;
    let first = call(&emulator, "POST", "/messages", Some(&text("x"))).await;
    assert_eq!(
        (first.status, &first.json()["error"]["code"]),
        (429, &json!(130_429))
    );
    let lost = client()
        .post(format!("{}/messages", emulator.url()))
        .header("D360-API-KEY", KEY)
        .json(&text("x"))
        .send()
        .await;
    assert!(lost.is_err());
    receiver
        .wait("its status", |r| !r.statuses().is_empty())
        .await;
    let third = call(&emulator, "POST", "/messages", Some(&text("x"))).await;
    let third = id(&third.json());
    assert!(
        receiver.statuses().iter().any(|s| s["id"] == third),
        "the status came first"
    );
    phone.say("forged");
    receiver
        .wait("the forged one", |r| r.messages().len() == 3)
        .await;
    let hook = receiver
        .hooks()
        .into_iter()
        .find(|h| String::from_utf8_lossy(&h.body).contains("forged"))
        .unwrap();
    assert_ne!(hook.headers["authorization"], "Bearer a-long-random-secret");
}
