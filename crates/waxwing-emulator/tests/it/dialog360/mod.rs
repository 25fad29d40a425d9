//! 360dialog: recorded exchanges, keys, webhooks without Meta's signature, and the phone.

mod hooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};
use waxwing_emulator::{
    Dialog360Config, Emulator, EmulatorConfig, Fault, FaultMatch, FaultPoint, FaultScript, User,
};

use crate::receiver::Receiver;
use crate::send::shape;
use crate::{DEADLINE, client, id};

const NUMBER: &str = "318922994632101";
const WABA: &str = "104996122399160";
const KEY: &str = "test-d360-key";
const USER: &str = "16505551234";

async fn start(config: EmulatorConfig, number: Dialog360Config) -> Emulator {
    let emulator = Emulator::start(config).await.unwrap();
    emulator.add_number(number);
    emulator
}

fn to(receiver: &Receiver) -> Dialog360Config {
    Dialog360Config {
        webhook_url: Some(receiver.url()),
        webhook_headers: vec![("Authorization".into(), "Bearer a-long-random-secret".into())],
        ..Dialog360Config::default()
    }
}

struct Answer {
    status: u16,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }
}

async fn call_with(
    emulator: &Emulator,
    method: &str,
    path: &str,
    key: &str,
    body: Option<&Value>,
) -> Answer {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = client().request(method, format!("{}{path}", emulator.url()));
    if !key.is_empty() {
        request = request.header("D360-API-KEY", key);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    Answer {
        status: answer.status().as_u16(),
        bytes: answer.bytes().await.unwrap(),
    }
}

async fn call(emulator: &Emulator, method: &str, path: &str, body: Option<&Value>) -> Answer {
    call_with(emulator, method, path, KEY, body).await
}

fn text(body: &str) -> Value {
    json!({ "messaging_product": "whatsapp", "recipient_type": "individual", "to": "+16505551234", "type": "text",
            "text": { "body": body } })
}

fn recorded(folder: &str, name: &str) -> Value {
    let path = format!(
        "{}/fixtures/360dialog/{folder}/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Path and query of a recorded address.
fn path(url: &str) -> &str {
    url.strip_prefix("https://waba-v2.360dialog.io").unwrap()
}

#[tokio::test]
async fn recorded_exchanges_have_the_same_answer() {
    let emulator = start(EmulatorConfig::lenient(), Dialog360Config::default()).await;
    let short = start(
        EmulatorConfig::lenient(),
        Dialog360Config {
            short_answers: true,
            ..Dialog360Config::default()
        },
    )
    .await;
    emulator.add_media(
        "1037543291543636",
        "image/jpeg",
        Bytes::from_static(b"jpeg"),
    );
    for name in [
        "webhook-set",
        "send-text",
        "send-template",
        "mark-as-read",
        "media-get-url",
        "media-delete",
        "template-create",
        "template-list",
        "template-delete",
        "send-text-status-201-without-contacts",
        "send-to-user-id",
    ] {
        let exchange = recorded("exchanges", name);
        let request = &exchange["request"];
        let body = request.get("body");
        let expected = &exchange["response"];
        let emulator = if expected["status"] == 201 && name.starts_with("send") {
            &short
        } else {
            &emulator
        };
        let url = path(request["url"].as_str().unwrap());
        let answer = call(emulator, request["method"].as_str().unwrap(), url, body).await;
        assert_eq!(answer.status, expected["status"], "{name}");
        let (mut ours, mut theirs) = (answer.json(), expected["body"].clone());
        match name {
            "template-list" => {
                // The account has Meta's sample template too.
                let list = ours["waba_templates"].as_array_mut().unwrap();
                list.retain(|t| t["name"] == "order_confirmation");
                theirs["waba_templates"].as_array_mut().unwrap().truncate(1);
            }
            // Optional in the documents; the emulator always says it for templates.
            "send-template" => {
                ours["messages"][0]
                    .as_object_mut()
                    .unwrap()
                    .remove("message_status");
            }
            // The contact of a user id is the one part of a short answer that was recorded once.
            "send-to-user-id" => {
                theirs.as_object_mut().unwrap().remove("contacts");
            }
            _ => {}
        }
        if name == "template-create" || name == "template-list" {
            // Components come back with the examples that were sent.
            for side in [&mut ours, &mut theirs] {
                for at in ["/components/0", "/waba_templates/0/components/0"] {
                    if let Some(part) = side.pointer_mut(at).and_then(Value::as_object_mut) {
                        part.remove("example");
                    }
                }
            }
        }
        assert_eq!(shape(&ours), shape(&theirs), "{name}: {ours}");
    }
    let setting = call(&emulator, "GET", "/v1/configs/webhook", None).await;
    assert_eq!(
        setting.json(),
        recorded("exchanges", "webhook-set")["response"]["body"]
    );
}

#[tokio::test]
async fn the_key_is_the_number() {
    let emulator = start(EmulatorConfig::lenient(), Dialog360Config::default()).await;
    emulator.add_number(Dialog360Config {
        api_key: "other-key".into(),
        phone_number_id: "318922994632102".into(),
        display_phone_number: "4930901821".into(),
        ..Dialog360Config::default()
    });
    // A number of Meta on the same address is reached by its own path and token only.
    emulator.add_number(waxwing_emulator::NumberConfig::default());
    let own = recorded("errors", "invalid-api-key-401");
    for key in ["", "nobody"] {
        let answer = call_with(&emulator, "POST", "/messages", key, Some(&text("x"))).await;
        assert_eq!(answer.status, 401, "{key}");
        assert_eq!(shape(&answer.json()), shape(&own["body"]));
        assert_eq!(
            answer.json()["meta"]["developer_message"],
            "Invalid api_key"
        );
    }
    for (key, number) in [(KEY, NUMBER), ("other-key", "318922994632102")] {
        let answer = call_with(&emulator, "POST", "/messages", key, Some(&text("x"))).await;
        assert_eq!(answer.status, 200, "{key}");
        let record = emulator.ledger().send(&id(&answer.json())).unwrap();
        assert_eq!(&*record.phone_number_id, number);
    }
    let path = format!("/v25.0/{}/messages", crate::NUMBER);
    let (status, answer) = crate::post(&emulator, &path, &text("x")).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let path = format!("/v25.0/{NUMBER}/messages");
    let (status, _) = crate::post(&emulator, &path, &text("x")).await.unwrap();
    assert_ne!(status, 200, "the number is none of Meta's");
    let answer = call(&emulator, "POST", &path, Some(&text("x"))).await;
    assert_eq!(answer.status, 404, "no path of 360dialog names the number");
}

#[tokio::test]
async fn metas_checks_and_errors_pass_through() {
    let emulator = start(EmulatorConfig::default(), Dialog360Config::default()).await;
    let long = "b".repeat(21);
    let body = json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "interactive", "interactive": {
        "type": "button", "body": { "text": "b" },
        "action": { "buttons": [{ "type": "reply", "reply": { "id": "1", "title": long } }] } } });
    let answer = call(&emulator, "POST", "/messages", Some(&body)).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["code"], 131_009);
    let template = json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "template",
                           "template": { "name": "nothing", "language": { "code": "en" } } });
    let answer = call(&emulator, "POST", "/messages", Some(&template)).await;
    assert_eq!(answer.json()["error"]["code"], 132_001);
    for _ in 0..45 {
        assert_eq!(
            call(&emulator, "POST", "/messages", Some(&text("x")))
                .await
                .status,
            200
        );
    }
    let answer = call(&emulator, "POST", "/messages", Some(&text("x"))).await;
    let theirs = recorded("errors", "meta-error-pair-rate");
    assert_eq!(
        answer.json()["error"]["code"],
        theirs["body"]["error"]["code"]
    );
    assert_eq!(
        answer.json()["error"]["message"],
        theirs["body"]["error"]["message"]
    );
}

#[tokio::test]
async fn own_errors_by_script() {
    let emulator = start(EmulatorConfig::lenient(), Dialog360Config::default()).await;
    for name in [
        "account-disabled-400",
        "lack-of-payment-400",
        "rate-limit-400",
        "endpoint-blocked-403",
        "rate-limit-429",
        "server-500",
        "concurrency-503",
    ] {
        let theirs = recorded("errors", name);
        let words = theirs["body"]["meta"]["developer_message"]
            .as_str()
            .unwrap();
        let status = u16::try_from(theirs["status"].as_u64().unwrap()).unwrap();
        emulator.set_faults(FaultScript::one(
            FaultPoint::Send,
            FaultMatch::all(),
            Fault::OwnError {
                status,
                text: words.into(),
            },
        ));
        let answer = call(&emulator, "POST", "/messages", Some(&text("x"))).await;
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(answer.json()["meta"]["developer_message"], words);
        assert_eq!(shape(&answer.json()), shape(&theirs["body"]), "{name}");
    }
    assert_eq!(emulator.ledger().counts().accepted, 0);
}

#[tokio::test]
async fn media_live_on_a_host_that_must_be_replaced() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), to(&receiver)).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone(USER, "Sheena"))
        .unwrap();
    phone
        .send_media(
            "image",
            "image/jpeg",
            Bytes::from_static(b"pixels"),
            Some("look"),
        )
        .unwrap();
    receiver
        .wait("the image", |r| r.messages().len() == 1)
        .await;
    let image = receiver.messages()[0]["image"].clone();
    let info = call(
        &emulator,
        "GET",
        &format!("/{}", image["id"].as_str().unwrap()),
        None,
    )
    .await;
    for url in [&image["url"], &info.json()["url"]] {
        let url = url.as_str().unwrap();
        let path = url
            .strip_prefix("https://lookaside.fbsbx.com")
            .unwrap_or_else(|| panic!("{url}"));
        let bytes = call(&emulator, "GET", path, None).await;
        assert_eq!((bytes.status, &bytes.bytes[..]), (200, &b"pixels"[..]));
        let without = call_with(&emulator, "GET", path, "nobody", None).await;
        assert_eq!(without.status, 401);
    }
    let form = "--xyz\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--xyz\r\n\
                Content-Disposition: form-data; name=\"file\"; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n\
                pixels\r\n--xyz--\r\n";
    let uploaded = client()
        .post(format!("{}/media", emulator.url()))
        .header("D360-API-KEY", KEY)
        .header("content-type", "multipart/form-data; boundary=xyz")
        .body(form)
        .send()
        .await
        .unwrap();
    assert_eq!(uploaded.status(), 200);
    let uploaded: Value = uploaded.json().await.unwrap();
    let send = json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "image",
                       "image": { "id": uploaded["id"] } });
    assert_eq!(
        call(&emulator, "POST", "/messages", Some(&send))
            .await
            .status,
        200
    );
    let shown = phone.await_reply(DEADLINE).await.unwrap();
    assert_eq!(shown.media.unwrap().id.as_deref(), uploaded["id"].as_str());
}

#[tokio::test]
async fn twenty_failed_media_reads_block_for_half_an_hour() {
    let minutes = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&minutes);
    let config = EmulatorConfig {
        clock: Arc::new(move || {
            let now = Duration::from_secs(1_795_248_000 + 60 * clock.load(Ordering::Relaxed));
            SystemTime::UNIX_EPOCH + now
        }),
        ..EmulatorConfig::default()
    };
    let emulator = start(config, Dialog360Config::default()).await;
    emulator.add_media(
        "1037543291543636",
        "image/jpeg",
        Bytes::from_static(b"jpeg"),
    );
    for n in 0..20 {
        let path = if n % 2 == 0 {
            "/999".to_owned()
        } else {
            "/whatsapp_business/attachments/?mid=1037543291543636&ext=1&hash=x".to_owned()
        };
        let answer = call(&emulator, "GET", &path, None).await;
        assert!(matches!(answer.status, 400 | 404), "{}", answer.status);
    }
    let read = async || {
        call(&emulator, "GET", "/1037543291543636", None)
            .await
            .status
    };
    assert_eq!(read().await, 403);
    assert_eq!(
        call(&emulator, "POST", "/messages", Some(&text("x")))
            .await
            .status,
        200,
        "only media reads are blocked"
    );
    minutes.store(29, Ordering::Relaxed);
    assert_eq!(read().await, 403);
    minutes.store(30, Ordering::Relaxed);
    assert_eq!(read().await, 200);
}

#[tokio::test]
async fn templates_are_reviewed() {
    let receiver = Receiver::start().await;
    let config = EmulatorConfig {
        template_review: Duration::ZERO,
        ..EmulatorConfig::default()
    };
    let emulator = start(config, to(&receiver)).await;
    let create = recorded("exchanges", "template-create")["request"]["body"].clone();
    let created = call(&emulator, "POST", "/v1/configs/templates", Some(&create)).await;
    assert_eq!(
        (created.status, &created.json()["status"]),
        (201, &json!("submitted"))
    );
    let twice = call(&emulator, "POST", "/v1/configs/templates", Some(&create)).await;
    assert_eq!(twice.json()["error"]["error_subcode"], 2_388_024);
    receiver
        .wait("the review", |r| {
            r.hooks().iter().any(|h| h.value()["event"] == "APPROVED")
        })
        .await;
    let hook = receiver.hooks().pop().unwrap();
    assert_eq!(hook.headers["authorization"], "Bearer a-long-random-secret");
    let list = call(
        &emulator,
        "GET",
        "/v1/configs/templates?limit=1&offset=1",
        None,
    )
    .await;
    assert_eq!(list.json()["waba_templates"][0]["status"], "approved");
    assert_eq!(list.json()["total"], 2);
    let send = recorded("exchanges", "send-template")["request"]["body"].clone();
    assert_eq!(
        call(&emulator, "POST", "/messages", Some(&send))
            .await
            .status,
        200
    );
    let path = "/v1/configs/templates/order_confirmation";
    assert_eq!(call(&emulator, "DELETE", path, None).await.status, 200);
    assert_eq!(call(&emulator, "DELETE", path, None).await.status, 404);
    let refused = call(&emulator, "POST", "/messages", Some(&send)).await;
    assert_eq!(refused.json()["error"]["code"], 132_001);
}
