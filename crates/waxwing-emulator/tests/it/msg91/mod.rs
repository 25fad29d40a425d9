//! MSG91: recorded exchanges, refusals with 200, the customer's webhook bodies, retries and pauses, and the phone.

mod hooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use waxwing_emulator::{Emulator, EmulatorConfig, Msg91Config, RateLimits};

use crate::receiver::{Hook, Receiver};
use crate::send::shape;
use crate::{DEADLINE, client};

const NUMBER: &str = "15005550006";
const KEY: &str = "test-authkey";
const USER: &str = "447700900123";
const SEND: &str = "/api/v5/whatsapp/whatsapp-outbound-message/";
const BULK: &str = "/api/v5/whatsapp/whatsapp-outbound-message/bulk/";

async fn start(config: EmulatorConfig, number: Msg91Config) -> Emulator {
    let emulator = Emulator::start(config).await.unwrap();
    emulator.add_number(number);
    emulator
}

/// A number whose webhooks are messages and reports only.
fn to(receiver: &Receiver) -> Msg91Config {
    Msg91Config {
        webhook_url: Some(receiver.url()),
        echoes: false,
        request_events: false,
        ..Msg91Config::default()
    }
}

async fn call_with(
    emulator: &Emulator,
    method: &str,
    path: &str,
    key: &str,
    body: Option<&Value>,
) -> (u16, Value) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = client().request(method, format!("{}{path}", emulator.url()));
    if !key.is_empty() {
        request = request.header("authkey", key);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

async fn call(emulator: &Emulator, path: &str, body: &Value) -> (u16, Value) {
    call_with(emulator, "POST", path, KEY, Some(body)).await
}

fn text(body: &str) -> Value {
    json!({ "integrated_number": NUMBER, "recipient_number": USER, "content_type": "text", "text": body })
}

fn interactive(value: &Value) -> Value {
    json!({ "integrated_number": NUMBER, "recipient_number": USER, "content_type": "interactive",
            "payload": { "to": USER, "type": "interactive", "interactive": value } })
}

fn recorded(folder: &str, name: &str) -> Value {
    let path = format!(
        "{}/fixtures/msg91/{folder}/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The bodies received with 200 whose fields have these values.
fn events(receiver: &Receiver, wanted: &[(&str, &str)]) -> Vec<Value> {
    let hooks: Vec<Hook> = receiver.hooks();
    hooks
        .iter()
        .filter(|h| h.status == 200)
        .map(Hook::json)
        .filter(|v| wanted.iter().all(|(name, value)| v[*name] == *value))
        .collect()
}

fn inner(event: &Value) -> Value {
    let list: Value = serde_json::from_str(event["messages"].as_str().unwrap()).unwrap();
    list[0].clone()
}

#[tokio::test]
async fn recorded_requests_have_the_same_answer() {
    let emulator = start(EmulatorConfig::lenient(), Msg91Config::default()).await;
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/msg91/requests"
    ))
    .unwrap()
    {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("send-") && name != "template-create" && name != "numbers" {
            continue;
        }
        let exchange = recorded("requests", &name);
        let request = &exchange["request"];
        let (status, body) = call_with(
            &emulator,
            request["method"].as_str().unwrap(),
            request["path"].as_str().unwrap(),
            KEY,
            request.get("json"),
        )
        .await;
        assert_eq!(exchange["response"]["status"], status, "{name}");
        let (mut ours, mut theirs) = (body, exchange["response"]["json"].clone());
        for side in [&mut ours, &mut theirs] {
            if let Some(id) = side.get("request_id").and_then(Value::as_str) {
                assert_eq!(id.len(), 32, "{name}");
                side["request_id"] = json!("");
            }
        }
        assert_eq!(ours, theirs, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 16);
    assert_eq!(
        emulator.ledger().counts().accepted,
        16,
        "14 calls, one of them to three recipients"
    );
}

#[tokio::test]
async fn templates_are_listed_and_the_log_answers() {
    let config = EmulatorConfig {
        template_review: Duration::ZERO,
        ..EmulatorConfig::default()
    };
    let emulator = start(config, Msg91Config::default()).await;
    let create = recorded("requests", "template-create")["request"]["json"].clone();
    let (_, created) = call(
        &emulator,
        "/api/v5/whatsapp/client-panel-template/",
        &create,
    )
    .await;
    assert_eq!(created["status"], "success", "{created}");
    assert!(emulator.webhooks_idle(DEADLINE).await, "the review is done");
    let path = format!("/api/v5/whatsapp/get-template-client/{NUMBER}");
    let (status, list) = call_with(&emulator, "GET", &path, KEY, None).await;
    let theirs = &recorded("requests", "templates-list")["response"]["json"];
    assert_eq!(status, 200);
    let entry = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == "booking_confirmed")
        .unwrap();
    let language = &entry["languages"][0];
    assert_eq!(language["status"], "APPROVED");
    assert_eq!(language["variables"], json!(["body_1", "body_2"]));
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(language), keys(&theirs["data"][0]["languages"][0]));
    assert_eq!(keys(&list), keys(theirs));
    let send = recorded("requests", "send-template-with-crqid")["request"]["json"].clone();
    let (_, sent) = call(&emulator, BULK, &send).await;
    assert_eq!(sent["hasError"], false, "{sent}");
    assert!(emulator.webhooks_idle(DEADLINE).await);
    let log = "/api/v5/report/logs/wa?startDate=2026-01-01&endDate=2026-01-03&limit=2";
    let (_, nothing) = call_with(&emulator, "POST", log, KEY, None).await;
    assert_eq!(
        nothing,
        json!({ "data": [], "metadata": { "totalCount": 0 } })
    );
    let long = "/api/v5/report/logs/wa?startDate=2026-01-01&endDate=2026-01-05";
    assert_eq!(
        call_with(&emulator, "POST", long, KEY, None).await.1["hasError"],
        true
    );
}

#[tokio::test]
async fn the_log_holds_what_was_sent() {
    let config = EmulatorConfig {
        clock: Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_248_000)),
        ..EmulatorConfig::lenient()
    };
    let emulator = start(config, Msg91Config::default()).await;
    let send = recorded("requests", "send-template-with-crqid")["request"]["json"].clone();
    let (_, sent) = call(&emulator, BULK, &send).await;
    assert!(
        emulator
            .ledger()
            .wait_for(|l| l.sends()[0].statuses.contains(&"delivered"), DEADLINE)
            .await
    );
    let exchange = recorded("requests", "logs");
    let (status, log) = call_with(
        &emulator,
        "POST",
        exchange["request"]["path"].as_str().unwrap(),
        KEY,
        None,
    )
    .await;
    let theirs = &exchange["response"]["json"];
    assert_eq!((status, &log["metadata"]), (200, &theirs["metadata"]));
    let (ours, theirs) = (&log["data"][0], &theirs["data"][0]);
    assert_eq!(shape(ours), shape(theirs), "{ours}");
    assert_eq!(ours["requestId"], sent["request_id"]);
    for name in [
        "CRQID",
        "customerNumber",
        "integratedNumber",
        "direction",
        "status",
        "messageType",
        "templateName",
    ] {
        assert_eq!(ours[name], theirs[name], "{name}");
    }
}

#[tokio::test]
async fn refusals_come_with_200() {
    let emulator = start(EmulatorConfig::default(), Msg91Config::default()).await;
    emulator.add_number(Msg91Config {
        integrated_number: "15005550007".into(),
        authkey: "other".into(),
        ..Msg91Config::default()
    });
    let theirs = |name: &str| recorded("responses", name)["json"].clone();
    for key in ["", "nobody"] {
        let (status, body) = call_with(&emulator, "POST", SEND, key, Some(&text("x"))).await;
        assert_eq!((status, body), (401, theirs("401-authkey")));
    }
    let (status, body) = call_with(&emulator, "POST", SEND, "other", Some(&text("x"))).await;
    assert_eq!(
        (status, body),
        (200, theirs("200-has-error-number")),
        "another key's number"
    );
    let mut none = text("x");
    none.as_object_mut().unwrap().remove("integrated_number");
    let (status, body) = call(&emulator, SEND, &none).await;
    assert_eq!((status, body), (200, theirs("200-has-error-object")));
    let send = recorded("requests", "send-template")["request"]["json"].clone();
    let (status, body) = call(&emulator, BULK, &send).await;
    assert_eq!(
        (status, body),
        (200, theirs("200-status-fail")),
        "the template does not exist"
    );
    assert_eq!(emulator.ledger().counts().accepted, 0);
}

#[tokio::test]
async fn a_minute_has_a_hundred_calls() {
    let minutes = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&minutes);
    let config = EmulatorConfig {
        clock: Arc::new(move || {
            let now = Duration::from_secs(1_795_248_000 + 60 * clock.load(Ordering::Relaxed));
            SystemTime::UNIX_EPOCH + now
        }),
        limits: RateLimits {
            per_minute: Some(100),
            ..RateLimits::off()
        },
        ..EmulatorConfig::lenient()
    };
    let emulator = start(config, Msg91Config::default()).await;
    for n in 0..100 {
        assert_eq!(call(&emulator, SEND, &text("x")).await.0, 200, "{n}");
    }
    let (status, body) = call(&emulator, SEND, &text("x")).await;
    assert_eq!(
        (status, body),
        (429, recorded("responses", "429-too-many")["json"].clone())
    );
    minutes.store(1, Ordering::Relaxed);
    assert_eq!(call(&emulator, SEND, &text("x")).await.0, 200);
}

#[tokio::test]
async fn a_bulk_call_has_one_id_and_many_messages() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::lenient(), to(&receiver)).await;
    let send = recorded("requests", "send-template-bulk")["request"]["json"].clone();
    let (_, sent) = call(&emulator, BULK, &send).await;
    let request = sent["request_id"].as_str().unwrap();
    let delivered = [("requestId", request), ("eventName", "delivered")];
    receiver
        .wait("three reports", |r| events(r, &delivered).len() == 3)
        .await;
    let mut to: Vec<String> = events(&receiver, &delivered)
        .iter()
        .map(|e| e["customerNumber"].as_str().unwrap().to_owned())
        .collect();
    to.sort();
    assert_eq!(to, ["447700900100", "447700900101", "447700900102"]);
    let mut ids: Vec<String> = events(&receiver, &delivered)
        .iter()
        .map(|e| e["uuid"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}
