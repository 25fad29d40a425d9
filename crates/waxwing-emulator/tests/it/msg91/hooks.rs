//! Webhooks of MSG91, the phone, and faults.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use waxwing_emulator::{
    EmulatorConfig, Fault, FaultMatch, FaultPoint, FaultScript, Msg91Config, Msg91Form, Tick, User,
    WebhookConfig,
};

use super::{
    BULK, KEY, NUMBER, SEND, USER, call, events, inner, interactive, recorded, start, text, to,
};
use crate::receiver::Receiver;
use crate::{DEADLINE, client};

#[tokio::test]
async fn messages_of_users_come_with_the_secret() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), to(&receiver)).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Ada Lovelace"))
        .unwrap();
    let said = phone.say("नमस्ते \"you\"");
    phone.react(&said, "👍");
    phone.send_location(51.5007, -0.1246, None, None);
    phone
        .send_media(
            "image",
            "image/jpeg",
            Bytes::from_static(b"pixels"),
            Some("Our ticket"),
        )
        .unwrap();
    receiver
        .wait("four messages", |r| r.hooks().len() == 4)
        .await;
    for hook in receiver.hooks() {
        assert_eq!(
            hook.headers["x-webhook-secret"],
            "waxwing-test-msg91-secret"
        );
        assert!(!hook.headers.contains_key("x-hub-signature-256"));
    }
    let one = |kind: &str| events(&receiver, &[("contentType", kind)]).pop().unwrap();
    let event = one("text");
    assert_eq!(event["text"], "नमस्ते \"you\"");
    assert_eq!(event["uuid"], said);
    assert_eq!(inner(&event)["text"]["body"], "नमस्ते \"you\"");
    for (name, value) in [
        ("customerNumber", USER),
        ("integratedNumber", NUMBER),
        ("direction", "0"),
        ("eventName", "received"),
        ("customerName", "Ada Lovelace"),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    assert_eq!(inner(&one("reaction"))["reaction"]["message_id"], said);
    assert_eq!(one("location")["latitude"], "51.5007");
    let image = one("image");
    assert_eq!(image["caption"], "Our ticket");
    let bytes = client()
        .get(image["url"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(bytes.headers()["content-type"], "image/jpeg");
    assert_eq!(&bytes.bytes().await.unwrap()[..], b"pixels");
    assert!(image["filename"].as_str().unwrap().ends_with(".jpg"));
}

#[tokio::test]
async fn reports_carry_the_callers_reference() {
    let receiver = Receiver::start().await;
    let number = Msg91Config {
        echoes: true,
        request_events: true,
        ..to(&receiver)
    };
    let emulator = start(EmulatorConfig::lenient(), number).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Ada"))
        .unwrap();
    let send = recorded("requests", "send-template-with-crqid")["request"]["json"].clone();
    let (_, sent) = call(&emulator, BULK, &send).await;
    let request = sent["request_id"].as_str().unwrap();
    let shown = phone.await_reply(DEADLINE).await.unwrap();
    receiver
        .wait("all events", |r| {
            events(r, &[("requestId", request)]).len() == 4
        })
        .await;
    let all = events(&receiver, &[("requestId", request)]);
    for event in &all {
        assert_eq!(event["crqid"], "wax-msg-01J0000000000000000000001");
        assert_eq!(event["direction"], "1");
        assert_eq!(event["customerNumber"], USER);
    }
    let named = |name: &str| events(&receiver, &[("eventName", name)]);
    assert_eq!(named("submitted").len(), 1);
    assert_eq!(named("delivered")[0]["uuid"], shown.id);
    assert_eq!(named("delivered")[0]["templateName"], "booking_confirmed");
    let sent = named("sent");
    assert_eq!(sent.len(), 2, "a report and an echo");
    assert!(
        sent.iter()
            .any(|e| e["messageType"] == "template" && e["statusUpdatedAt"] != "")
    );
    assert!(
        sent.iter()
            .any(|e| e["content"] != "" && e["statusUpdatedAt"] == "")
    );
}

#[tokio::test]
async fn what_whatsapp_refuses_fails_later() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), to(&receiver)).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Ada"))
        .unwrap();
    let (status, sent) = call(&emulator, SEND, &text("too early")).await;
    assert_eq!((status, &sent["status"]), (200, &json!("success")));
    let failed = [("eventName", "failed")];
    receiver
        .wait("a report", |r| events(r, &failed).len() == 1)
        .await;
    assert_eq!(
        events(&receiver, &failed)[0]["reason"],
        "131047: Re-engagement message"
    );
    phone.say("hi");
    let long = json!({ "type": "button", "body": { "text": "b" }, "action": { "buttons": [
        { "type": "reply", "reply": { "id": "1", "title": "b".repeat(21) } }] } });
    let (_, sent) = call(&emulator, SEND, &interactive(&long)).await;
    assert_eq!(sent["status"], "success");
    receiver
        .wait("a report", |r| events(r, &failed).len() == 2)
        .await;
    let reason = events(&receiver, &failed)[1]["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(reason.starts_with("131009: "), "{reason}");
    assert!(
        phone
            .thread()
            .iter()
            .all(|m| m.tick == Tick::Failed || !m.from_business),
        "nothing arrived"
    );
}

#[tokio::test]
async fn the_phone_taps_and_picks() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), to(&receiver)).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Ada"))
        .unwrap();
    phone.say("hi");
    for name in [
        "send-buttons",
        "send-list",
        "send-image",
        "send-location",
        "send-text",
    ] {
        let body = recorded("requests", name)["request"]["json"].clone();
        assert_eq!(call(&emulator, SEND, &body).await.1["status"], "success");
    }
    let mut shown = Vec::new();
    for _ in 0..5 {
        shown.push(phone.await_reply(DEADLINE).await.unwrap());
    }
    assert_eq!(shown[0].footer.as_deref(), Some("Waxwing Tours"));
    assert_eq!(
        shown[2].media.as_ref().unwrap().link.as_deref(),
        Some("https://waxwing.example.com/m/1.jpg")
    );
    assert_eq!(shown[3].text, "Westminster Bridge, London SE1");
    phone.tap("slot:yes").unwrap();
    phone.pick("dept:billing").unwrap();
    let interactive = [("contentType", "interactive"), ("direction", "0")];
    receiver
        .wait("both", |r| events(r, &interactive).len() == 2)
        .await;
    let all = events(&receiver, &interactive);
    let of = |kind: &str| {
        all.iter()
            .find(|e| inner(e)["interactive"]["type"] == kind)
            .unwrap()
    };
    assert_eq!(
        inner(of("button_reply"))["interactive"]["button_reply"]["id"],
        "slot:yes"
    );
    assert_eq!(of("button_reply")["replyMsgId"], shown[0].id);
    assert_eq!(
        inner(of("list_reply"))["interactive"]["list_reply"]["id"],
        "dept:billing"
    );
}

#[tokio::test]
async fn five_retries_and_then_no_more() {
    let receiver = Receiver::start().await;
    receiver.script(&[500, 400, 401, 302, 503, 500, 200]);
    let config = EmulatorConfig {
        webhooks: WebhookConfig {
            retry_base: Duration::from_millis(1),
            ..WebhookConfig::default()
        },
        ..EmulatorConfig::default()
    };
    let emulator = start(config, to(&receiver)).await;
    emulator
        .phone(NUMBER, User::with_phone(USER, "Ada"))
        .unwrap()
        .say("hi");
    assert!(emulator.webhooks_idle(DEADLINE).await);
    assert_eq!(receiver.hooks().len(), 6, "one attempt and five retries");
    assert_eq!(emulator.ledger().counts().given_up, 1);
}

#[tokio::test]
async fn too_many_failures_pause_the_webhook() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), to(&receiver)).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Ada"))
        .unwrap();
    receiver.script(&[200, 200, 200, 200, 200, 200, 200, 200, 500]);
    for n in 0..9 {
        phone.say("hi");
        receiver.wait("it", |r| r.hooks().len() > n).await;
    }
    receiver.wait("the retry", |r| r.hooks().len() == 10).await;
    assert!(emulator.webhooks_idle(DEADLINE).await);
    assert!(emulator.webhooks_paused(NUMBER));
    phone.say("lost");
    assert!(emulator.webhooks_idle(DEADLINE).await);
    assert_eq!(receiver.hooks().len(), 10, "a paused webhook gets nothing");
    emulator.resume_webhooks(NUMBER);
    phone.say("back");
    receiver.wait("it", |r| r.hooks().len() == 11).await;
    let patient = Msg91Config {
        pausing: false,
        ..to(&receiver)
    };
    emulator.add_number(patient);
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Ada"))
        .unwrap();
    receiver.script(&[500; 3]);
    for _ in 0..10 {
        phone.say("hi");
    }
    receiver
        .wait("all of them", |r| r.hooks().len() == 24)
        .await;
    assert!(!emulator.webhooks_paused(NUMBER));
}

#[tokio::test]
async fn customers_choose_form_and_names() {
    let receiver = Receiver::start().await;
    for (form, kind) in [
        (Msg91Form::Array, "application/json"),
        (Msg91Form::Payload, "application/x-www-form-urlencoded"),
    ] {
        let number = Msg91Config {
            form,
            names: vec![("customerNumber".into(), "mobile".into())],
            ..to(&receiver)
        };
        let emulator = start(EmulatorConfig::default(), number).await;
        let before = receiver.hooks().len();
        emulator
            .phone(NUMBER, User::with_phone(USER, "Ada"))
            .unwrap()
            .say("hi");
        receiver.wait("it", |r| r.hooks().len() > before).await;
        let hook = receiver.hooks().pop().unwrap();
        assert_eq!(hook.headers["content-type"], kind);
        let body = String::from_utf8(hook.body.to_vec()).unwrap();
        if form == Msg91Form::Array {
            assert_eq!(hook.json()[0]["mobile"], USER);
        } else {
            assert!(body.starts_with("payload=%7B"), "{body}");
        }
        assert!(!body.contains("customerNumber"));
    }
}

#[tokio::test]
async fn faults_by_script() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::lenient(), to(&receiver)).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Ada"))
        .unwrap();
    let one = |act: Fault| FaultScript::one(FaultPoint::Send, FaultMatch::all(), act);
    emulator.set_faults(one(Fault::OwnError {
        status: 418,
        text: "IP is not whitelisted".into(),
    }));
    let theirs = |name: &str| recorded("responses", name)["json"].clone();
    let (status, body) = call(&emulator, SEND, &text("x")).await;
    assert_eq!((status, body), (418, theirs("418-ip-not-allowed")));
    emulator.set_faults(one(Fault::OwnError {
        status: 200,
        text: "Given number is not integrated".into(),
    }));
    let (status, body) = call(&emulator, SEND, &text("x")).await;
    assert_eq!((status, body), (200, theirs("200-has-error-number")));
    emulator.set_faults(one(Fault::Html502 { accepted: false }));
    assert_eq!(call(&emulator, SEND, &text("x")).await, (502, Value::Null));
    assert_eq!(emulator.ledger().counts().accepted, 0);
    emulator.set_faults(one(Fault::NoMessageId));
    let (status, body) = call(&emulator, SEND, &text("x")).await;
    assert_eq!((status, &body["status"]), (200, &json!("success")));
    assert!(body.get("request_id").is_none());
    emulator.set_faults(one(Fault::Fail { code: 131_049 }));
    call(&emulator, SEND, &text("x")).await;
    receiver
        .wait("the failure", |r| {
            events(r, &[("eventName", "failed")]).len() == 1
        })
        .await;
    emulator.set_faults(one(Fault::StatusFirst));
    let (_, body) = call(&emulator, SEND, &text("x")).await;
    let request = body["request_id"].as_str().unwrap().to_owned();
    assert!(
        !events(&receiver, &[("requestId", &request)]).is_empty(),
        "the report came first"
    );
    emulator.set_faults(FaultScript::one(
        FaultPoint::Webhook,
        FaultMatch::all(),
        Fault::Duplicate {
            times: 1,
            after_ms: 0,
            other_envelope: true,
        },
    ));
    let said = phone.say("twice");
    receiver
        .wait("both copies", |r| {
            r.hooks()
                .iter()
                .filter(|h| String::from_utf8_lossy(&h.body).contains(&*said))
                .count()
                == 2
        })
        .await;
    emulator.set_faults(FaultScript::one(
        FaultPoint::Webhook,
        FaultMatch::all(),
        Fault::WrongSignature,
    ));
    let said = phone.say("forged");
    receiver
        .wait("the forged one", |r| {
            events(r, &[("uuid", &said)]).len() == 1
        })
        .await;
    let hook = receiver
        .hooks()
        .into_iter()
        .rev()
        .find(|h| h.json()["uuid"] == said);
    assert_ne!(
        hook.unwrap().headers["x-webhook-secret"],
        "waxwing-test-msg91-secret"
    );
    emulator.set_faults(one(Fault::LoseAnswer));
    let lost = client()
        .post(format!("{}{SEND}", emulator.url()))
        .header("authkey", KEY)
        .json(&text("lost"))
        .send()
        .await;
    assert!(lost.is_err());
    assert!(
        emulator
            .ledger()
            .wait_for(|l| l.count(|s| &*s.body == "lost") == 1, DEADLINE)
            .await
    );
}
