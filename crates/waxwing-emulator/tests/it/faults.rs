//! Every fault of the script, seen by a client and by a receiver.

use std::time::Duration;

use serde_json::{Value, json};
use waxwing_emulator::{
    Emulator, EmulatorConfig, Fault, FaultMatch, FaultPoint, FaultScript, User,
};

use crate::receiver::Receiver;
use crate::{DEADLINE, NUMBER, TOKEN, client, id, send, start, text};

fn always(act: Fault) -> FaultScript {
    FaultScript::one(FaultPoint::Send, FaultMatch::all(), act)
}

async fn raw(emulator: &Emulator) -> reqwest::Result<(u16, reqwest::header::HeaderMap, String)> {
    let url = format!("{}/v25.0/{NUMBER}/messages", emulator.url());
    let request = client()
        .post(url)
        .bearer_auth(TOKEN)
        .json(&text("+16505551234", "x"))
        .timeout(Duration::from_millis(700));
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok((status, headers, answer.text().await?))
}

#[tokio::test]
async fn every_code_has_its_documented_body() {
    let emulator = start(EmulatorConfig::lenient(), None).await;
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/errors")).unwrap()
    {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let documented: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let Some(code) = documented["body"]["error"]["code"].as_i64() else {
            continue;
        };
        let status = u16::try_from(documented["status"].as_u64().unwrap()).unwrap();
        let retry_after = documented["headers"]["retry-after"]
            .as_str()
            .map(|s| s.parse().unwrap());
        let fault = if status == 200 {
            Fault::ErrorWith200 { code }
        } else {
            Fault::Error {
                code,
                status: Some(status),
                retry_after,
            }
        };
        emulator.set_faults(always(fault));
        let (got, headers, body) = raw(&emulator).await.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(got, status, "{name}");
        for (header, value) in documented["headers"].as_object().unwrap() {
            assert!(headers.contains_key(header), "{name}: {header}");
            if header == "retry-after" {
                assert_eq!(headers[header], value.as_str().unwrap());
            }
        }
        let (ours, theirs) = (&body["error"], &documented["body"]["error"]);
        for field in ["code", "type"] {
            assert_eq!(ours[field], theirs[field], "{name}");
        }
        if name != "unknown-code" {
            assert_eq!(ours["message"], theirs["message"], "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 45, "{seen}");
    assert_eq!(
        emulator.ledger().counts().accepted,
        0,
        "a refused message is not accepted"
    );
}

#[tokio::test]
async fn broken_answers() {
    let emulator = start(EmulatorConfig::lenient(), None).await;
    // Fault, whether accepted, status and a piece of the body, or none when the call must fail.
    let table: Vec<(Fault, bool, Option<(u16, &str)>)> = vec![
        (Fault::LoseAnswer, true, None),
        (Fault::NeverAnswer, true, None),
        (Fault::ResetBefore, false, None),
        (Fault::ResetInside, true, None),
        (Fault::ResetAfter, true, None),
        (Fault::Drip { ms: 50 }, true, None),
        (
            Fault::Html502 { accepted: false },
            false,
            Some((502, "<h1>502 Bad Gateway")),
        ),
        (
            Fault::Html502 { accepted: true },
            true,
            Some((502, "<h1>502 Bad Gateway")),
        ),
        (
            Fault::Empty {
                status: 500,
                accepted: false,
            },
            false,
            Some((500, "")),
        ),
        (
            Fault::Empty {
                status: 500,
                accepted: true,
            },
            true,
            Some((500, "")),
        ),
        (
            Fault::TruncatedJson,
            true,
            Some((200, "{\"messaging_product\"")),
        ),
        (Fault::WrongJson, true, Some((200, "[{\"ok\":1}"))),
        (
            Fault::Redirect {
                location: "http://127.0.0.1:1/".into(),
                status: 302,
            },
            false,
            Some((302, "")),
        ),
        (
            Fault::Huge { bytes: 3 << 20 },
            true,
            Some((200, "\"wa_id\"")),
        ),
        (Fault::NoMessageId, true, Some((200, "\"contacts\""))),
        (Fault::NoWaId, true, Some((200, "\"messages\""))),
    ];
    for (fault, accepted, expected) in table {
        let before = emulator.ledger().counts();
        emulator.set_faults(always(fault.clone()));
        let got = raw(&emulator).await;
        match expected {
            None => assert!(got.is_err(), "{fault:?}"),
            Some((status, piece)) => {
                let (got, _, body) = got.unwrap();
                assert_eq!(got, status, "{fault:?}");
                assert!(body.contains(piece), "{fault:?}: {body:.200}");
                if fault == Fault::TruncatedJson {
                    assert!(serde_json::from_str::<Value>(&body).is_err());
                }
                if let Fault::Huge { bytes } = fault {
                    assert_eq!(body.len() as u64, bytes);
                }
            }
        }
        let after = emulator.ledger().counts();
        assert_eq!(
            after.accepted - before.accepted,
            u64::from(accepted),
            "{fault:?}"
        );
        let certain = matches!(fault, Fault::NoWaId);
        assert_eq!(
            after.answered - before.answered,
            u64::from(certain),
            "{fault:?}"
        );
    }
    emulator.set_faults(always(Fault::GzipBomb));
    let (status, headers, _) = raw_bytes(&emulator).await;
    assert_eq!(
        (status, headers["content-encoding"].as_bytes()),
        (200, &b"gzip"[..])
    );
    emulator.set_faults(FaultScript::default());
    assert_eq!(
        send(&emulator, &text("+16505551234", "x")).await.unwrap().0,
        200
    );
}

async fn raw_bytes(emulator: &Emulator) -> (u16, reqwest::header::HeaderMap, bytes::Bytes) {
    let url = format!("{}/v25.0/{NUMBER}/messages", emulator.url());
    let answer = client()
        .post(url)
        .bearer_auth(TOKEN)
        .json(&text("+16505551234", "x"))
        .send()
        .await
        .unwrap();
    (
        answer.status().as_u16(),
        answer.headers().clone(),
        answer.bytes().await.unwrap(),
    )
}

#[tokio::test]
async fn a_lost_answer_is_told_by_the_status() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::lenient(), Some(receiver.url())).await;
    emulator.set_faults(always(Fault::LoseAnswer));
    let mut body = text("+16505551234", "tracked");
    body["biz_opaque_callback_data"] = json!("wx:attempt");
    assert!(send(&emulator, &body).await.is_err());
    receiver
        .wait("a status", |r| !r.statuses().is_empty())
        .await;
    let status = receiver.statuses().remove(0);
    assert_eq!(status["biz_opaque_callback_data"], "wx:attempt");
    let record = emulator.ledger().sends().remove(0);
    assert_eq!(
        (record.answered, &*record.wamid),
        (false, status["id"].as_str().unwrap())
    );
}

#[tokio::test]
async fn a_status_can_come_before_the_answer() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::lenient(), Some(receiver.url())).await;
    emulator.set_faults(always(Fault::StatusFirst));
    let (_, answer) = send(&emulator, &text("+16505551234", "x")).await.unwrap();
    // The answer has only just arrived, the status was there before it.
    assert!(receiver.statuses().iter().any(|s| s["id"] == id(&answer)));
}

#[tokio::test]
async fn statuses_can_be_disturbed() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::lenient(), Some(receiver.url())).await;
    let names = async |script: FaultScript| {
        emulator.set_faults(script);
        let (_, answer) = send(&emulator, &text("+16505551234", "x")).await.unwrap();
        assert!(emulator.webhooks_idle(DEADLINE).await);
        let mut names: Vec<String> = receiver
            .statuses()
            .iter()
            .filter(|s| s["id"] == id(&answer))
            .map(|s| s["status"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let on = |kind: &str, act| FaultScript::one(FaultPoint::Status, FaultMatch::kind(kind), act);
    assert_eq!(names(on("sent", Fault::Drop)).await, ["delivered"]);
    let twice = Fault::Duplicate {
        times: 2,
        after_ms: 5,
        other_envelope: false,
    };
    assert_eq!(
        names(on("delivered", twice)).await,
        ["delivered", "delivered", "delivered", "sent"]
    );
    assert_eq!(
        names(on("delivered", Fault::Fail { code: 131_053 })).await,
        ["failed", "sent"]
    );
    assert_eq!(
        names(always(Fault::Fail { code: 130_472 })).await,
        ["failed"]
    );
    assert!(names(always(Fault::Swallow)).await.is_empty());
    assert_eq!(
        names(always(Fault::Held { ms: 20 })).await,
        ["delivered", "sent"]
    );
    emulator.set_faults(on("sent", Fault::Delay { ms: 100 }));
    let (_, answer) = send(&emulator, &text("+16505551234", "x")).await.unwrap();
    assert!(emulator.webhooks_idle(DEADLINE).await);
    let order: Vec<_> = receiver
        .statuses()
        .into_iter()
        .filter(|s| s["id"] == id(&answer))
        .map(|s| s["status"].clone())
        .collect();
    assert_eq!(order, ["delivered", "sent"], "overtaken");
}

#[tokio::test]
async fn inbound_messages_can_be_disturbed() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::lenient(), Some(receiver.url())).await;
    let user = User {
        user_id: Some("US.1".into()),
        ..User::with_phone("16505551234", "Sheena")
    };
    let phone = emulator.phone(NUMBER, user).unwrap();
    let on = |act| FaultScript::one(FaultPoint::Webhook, FaultMatch::all(), act);
    let say = async |script: FaultScript| {
        emulator.set_faults(script);
        let wamid = phone.say("x");
        assert!(emulator.webhooks_idle(DEADLINE).await);
        receiver
            .messages()
            .into_iter()
            .filter(|m| m["id"] == *wamid)
            .collect::<Vec<_>>()
    };
    assert!(say(on(Fault::Drop)).await.is_empty());
    let copies = say(on(Fault::Duplicate {
        times: 2,
        after_ms: 1,
        other_envelope: true,
    }))
    .await;
    assert_eq!(copies.len(), 3);
    assert_eq!(
        receiver
            .hooks()
            .iter()
            .filter(|h| h.json()["entry"].as_array().unwrap().len() == 2)
            .count(),
        2
    );
    let ghost = say(on(Fault::Ghost { after_ms: 60 })).await;
    let expected: Value = serde_json::from_str(include_str!(
        "../../fixtures/inbound/message-unsupported-131060-unavailable.json"
    ))
    .unwrap();
    let placeholder = &expected["entry"][0]["changes"][0]["value"]["messages"][0];
    assert_eq!(
        (&ghost[0]["errors"], &ghost[0]["unsupported"]),
        (&placeholder["errors"], &placeholder["unsupported"])
    );
    assert_eq!((ghost.len(), ghost[1]["type"].as_str()), (2, Some("text")));
    let hidden = say(on(Fault::WithoutPhone)).await;
    assert!(hidden[0].get("from").is_none() && hidden[0]["from_user_id"] == "US.1");
    let moved = say(on(Fault::NumberChange {
        to: "12195555358".into(),
    }))
    .await;
    assert_eq!(moved[0]["from"], "12195555358");
    assert!(
        receiver
            .messages()
            .iter()
            .any(|m| m["system"]["wa_id"] == "12195555358")
    );
    let before = receiver.hooks().len();
    say(on(Fault::WrongSignature)).await;
    let hook = receiver.hooks()[before].clone();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, crate::SECRET.as_bytes());
    let good = format!(
        "sha256={}",
        hex::encode(ring::hmac::sign(&key, &hook.body).as_ref())
    );
    assert_ne!(hook.headers["x-hub-signature-256"], good);
}
