//! Pairs of request and answer from the documentation, put to the emulator.

use serde_json::{Value, json};
use waxwing_emulator::{EmulatorConfig, Fault, FaultMatch, FaultPoint, FaultScript, TwilioNumber};

use super::{ACCOUNT, ada, call, number, start};
use crate::receiver::Receiver;

fn fixture(name: &str) -> Value {
    let path = format!(
        "{}/fixtures/twilio/rest/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Sends a fixture's request with some of its words replaced.
async fn put(
    emulator: &waxwing_emulator::Emulator,
    fixture: &Value,
    replace: &[(&str, &str)],
) -> (u16, Value) {
    let request = &fixture["request"];
    let put = |text: &str| {
        replace
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let json = request["json"].is_object();
    let body = if json {
        Some(put(&request["json"].to_string()))
    } else {
        request["body"].as_str().map(put)
    };
    let (method, path) = (
        request["method"].as_str().unwrap(),
        put(request["path"].as_str().unwrap()),
    );
    call(emulator, method, &path, body, json).await.unwrap()
}

/// Same properties, same kinds of values; null stands beside everything.
fn same_shape(theirs: &Value, ours: &Value, path: &str) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let names = |o: &serde_json::Map<String, Value>| o.keys().cloned().collect::<Vec<_>>();
            let (mut a, mut b) = (names(theirs), names(ours));
            a.sort();
            b.sort();
            // Variables and types are the caller's own.
            if !path.ends_with(".variables") && !path.ends_with(".types") {
                assert_eq!(a, b, "{path}");
            }
            for (name, value) in theirs {
                if let Some(other) = ours.get(name) {
                    same_shape(value, other, &format!("{path}.{name}"));
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if let (Some(theirs), Some(ours)) = (theirs.first(), ours.first()) {
                same_shape(theirs, ours, &format!("{path}[]"));
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (theirs, ours) => assert_eq!(
            std::mem::discriminant(theirs),
            std::mem::discriminant(ours),
            "{path}: {theirs} or {ours}"
        ),
    }
}

const CONTENT: &str = "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const SM: &str = "SM00000000000000000000000000000001";

async fn emulator() -> waxwing_emulator::Emulator {
    start(
        EmulatorConfig {
            clock: super::fixed_clock(),
            ..EmulatorConfig::default()
        },
        TwilioNumber {
            messaging_service_sid: Some("MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into()),
            ..TwilioNumber::default()
        },
    )
    .await
}

#[tokio::test]
async fn refusals_are_those_of_the_documentation() {
    let emulator = emulator().await;
    let content =
        json!({ "language": "en", "types": { "twilio/text": { "body": "Hello {{1}}" } } });
    let content = emulator.add_content(ACCOUNT, &content).unwrap();
    let long = "x".repeat(1601);
    for (name, replace) in [
        ("error-400-to-invalid", vec![]),
        ("error-400-channel-mismatch", vec![]),
        ("error-400-no-channel", vec![]),
        ("error-400-no-body", vec![]),
        ("error-400-no-from", vec![]),
        ("error-400-status-callback", vec![]),
        ("error-400-media-url", vec![]),
        ("error-400-content-sid", vec![]),
        (
            "error-400-content-variables",
            vec![(CONTENT, content.as_str())],
        ),
        ("error-400-schedule-too-soon", vec![]),
        ("error-400-body-too-long", vec![("Body=Hello", &long)]),
        ("content-create-error", vec![]),
    ] {
        let long_body = format!("Body={long}");
        let replace: Vec<(&str, &str)> = replace
            .into_iter()
            .map(|(from, to)| (from, if from == "Body=Hello" { &long_body } else { to }))
            .collect();
        let fixture = fixture(name);
        let (status, body) = put(&emulator, &fixture, &replace).await;
        assert_eq!(fixture["response"]["status"], status, "{name}");
        assert_eq!(fixture["response"]["json"], body, "{name}");
    }
    assert_eq!(emulator.ledger().counts().accepted, 0);
    // Somebody else's account, and no credentials that anybody has.
    let theirs = ACCOUNT.replace("aa", "bb");
    let (status, body) = put(
        &emulator,
        &fixture("error-404-account"),
        &[(ACCOUNT, &theirs)],
    )
    .await;
    assert_eq!((status, &body["code"]), (404, &json!(20404)));
    let answer = crate::client()
        .post(format!(
            "{}/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
            emulator.url()
        ))
        .basic_auth(ACCOUNT, Some("wrong"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        fixture("error-401-authenticate")["response"]["json"]
    );
}

#[tokio::test]
async fn refusals_by_script_have_the_documented_form() {
    let emulator = emulator().await;
    for (name, code) in [
        ("error-429-too-many", 20429),
        ("error-429-daily-limit-trial", 63038),
        ("error-500-internal", 20500),
        ("error-503-unavailable", 20503),
        ("error-400-region", 21408),
        ("error-400-queue-full", 21611),
        ("error-400-opted-out", 21610),
        ("error-400-trial-unverified", 21608),
    ] {
        let fault = Fault::Error {
            code,
            status: None,
            retry_after: None,
        };
        emulator.set_faults(FaultScript::one(
            FaultPoint::Send,
            FaultMatch::provider(waxwing_emulator::Provider::Twilio),
            fault,
        ));
        let fixture = fixture(name);
        let (status, body) = put(&emulator, &fixture, &[]).await;
        assert_eq!(fixture["response"]["status"], status, "{name}");
        assert_eq!(fixture["response"]["json"], body, "{name}");
    }
    let counts = emulator.ledger().counts();
    assert_eq!((counts.accepted, counts.refused), (0, 8));
}

#[tokio::test]
async fn answers_have_the_documented_shape() {
    let receiver = Receiver::start().await;
    let emulator = emulator().await;
    emulator.set_webhook_url(super::SENDER, &receiver.url());
    let content = emulator
        .add_content(
            ACCOUNT,
            &json!({ "language": "en", "types": { "twilio/text": { "body": "Hi {{1}}, {{2}}!" } } }),
        )
        .unwrap();
    for name in [
        "send-text",
        "send-options",
        "send-media",
        "send-location",
        "send-to-bsuid",
        "send-content-template",
        "send-with-messaging-service",
    ] {
        let fixture = fixture(name);
        let (status, body) = put(&emulator, &fixture, &[(CONTENT, &content)]).await;
        assert_eq!(status, 201, "{name} {body}");
        let theirs = &fixture["response"]["json"];
        same_shape(theirs, &body, name);
        for part in [
            "body",
            "from",
            "to",
            "status",
            "num_media",
            "num_segments",
            "direction",
        ] {
            assert_eq!(theirs[part], body[part], "{name} {part}");
        }
    }
    let text = fixture("send-text");
    let (_, sent) = put(&emulator, &text, &[]).await;
    let sid = sent["sid"].as_str().unwrap().to_owned();
    let media = ada(&emulator)
        .send_media("image", "image/jpeg", vec![1, 2, 3].into(), None)
        .unwrap();
    let list = super::get(
        &emulator,
        &format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{media}/Media.json"),
    )
    .await;
    let file = list.1["media_list"][0]["sid"].as_str().unwrap().to_owned();
    let replace = [
        (SM, sid.as_str()),
        (CONTENT, content.as_str()),
        ("MM00000000000000000000000000000001", media.as_str()),
        ("ME00000000000000000000000000000001", file.as_str()),
    ];
    for name in [
        "fetch-delivered",
        "fetch-undelivered",
        "list-page-1",
        "media-list",
        "content-fetch",
        "content-and-approvals",
        "approval-fetch-unsubmitted",
        "approval-create",
        "approval-fetch-received",
        "senders-list",
        "sender-set-webhook",
        "content-create-text",
        "content-create-quick-reply",
        "content-create-list-picker",
        "content-create-authentication",
        "content-create-call-to-action",
        "content-create-card",
        "content-create-whatsapp-card",
        "content-create-carousel",
        "content-create-media",
        "content-create-location",
        "redact-body",
        "media-download-redirect",
        "media-delete",
        "media-download-gone",
        "content-delete",
    ] {
        let fixture = fixture(name);
        let (status, body) = put(&emulator, &fixture, &replace).await;
        assert_eq!(fixture["response"]["status"], status, "{name} {body}");
        same_shape(&fixture["response"]["json"], &body, name);
    }
}

#[tokio::test]
async fn typing_marks_as_read() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), number(&receiver)).await;
    let phone = ada(&emulator);
    for name in ["typing-v2", "typing-v3"] {
        let sid = phone.say("anybody?");
        let fixture = fixture(name);
        let (status, body) = put(&emulator, &fixture, &[(SM, &sid)]).await;
        assert_eq!((status, &body), (200, &fixture["response"]["json"]));
        let bubble = phone.thread().into_iter().find(|m| m.id == sid).unwrap();
        assert_eq!(bubble.tick, waxwing_emulator::Tick::Read);
        let (status, body) = put(&emulator, &fixture, &[]).await;
        assert_eq!((status, &body["code"]), (404, &json!(20404)));
    }
}
