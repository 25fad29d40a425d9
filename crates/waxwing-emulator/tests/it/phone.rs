//! The phone, as a library and over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use waxwing_emulator::{Emulator, EmulatorConfig, PhoneError, User};

use crate::receiver::Receiver;
use crate::{DEADLINE, NUMBER, client, send, start, text};

fn menu() -> Value {
    json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "interactive", "interactive": {
        "type": "button", "header": { "type": "text", "text": "Bank" }, "body": { "text": "What now?" },
        "footer": { "text": "small" },
        "action": { "buttons": [{ "type": "reply", "reply": { "id": "balance", "title": "Balance" } }] } } })
}

fn branches() -> Value {
    json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "interactive", "interactive": {
        "type": "list", "body": { "text": "Where?" }, "action": { "button": "Branches", "sections": [
            { "rows": [{ "id": "north", "title": "North", "description": "open till six" }] }] } } })
}

#[tokio::test]
async fn buttons_and_rows_come_back_as_documented() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), Some(receiver.url())).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Sheena Nelson"))
        .unwrap();
    assert_eq!(phone.tap("balance"), Err(PhoneError::NotShown));
    assert_eq!(
        phone.await_reply(Duration::ZERO).await,
        Err(PhoneError::Timeout)
    );
    phone.say("hi");
    send(&emulator, &menu()).await.unwrap();
    let shown = phone.await_reply(DEADLINE).await.unwrap();
    assert_eq!(
        (
            shown.text.as_str(),
            shown.header.as_deref(),
            shown.footer.as_deref()
        ),
        ("What now?", Some("Bank"), Some("small"))
    );
    phone.tap("balance").unwrap();
    send(&emulator, &branches()).await.unwrap();
    let list = phone.await_reply(DEADLINE).await.unwrap();
    phone.pick("north").unwrap();
    phone.tap_on(&shown.id, "balance").unwrap();
    assert_eq!(phone.pick_on(&shown.id, "north"), Err(PhoneError::NotShown));
    receiver
        .wait("four messages", |r| r.messages().len() == 4)
        .await;
    let messages = receiver.messages();
    let of = |kind: &str| {
        messages
            .iter()
            .filter(|m| m["interactive"]["type"] == kind)
            .cloned()
            .collect::<Vec<_>>()
    };
    let (taps, picks) = (of("button_reply"), of("list_reply"));
    assert_eq!((taps.len(), picks.len()), (2, 1));
    assert_eq!(
        taps[0]["interactive"]["button_reply"],
        json!({ "id": "balance", "title": "Balance" })
    );
    assert_eq!(
        taps[0]["context"],
        json!({ "from": "15550783881", "id": shown.id })
    );
    assert_eq!(
        picks[0]["interactive"]["list_reply"],
        json!({ "id": "north", "title": "North", "description": "open till six" })
    );
    assert_eq!(picks[0]["context"]["id"], list.id);
    phone
        .send_raw(json!({ "type": "location", "location": { "latitude": 1.5, "longitude": 2 } }))
        .unwrap();
    assert_eq!(phone.send_raw(json!(["x"])), Err(PhoneError::BadContent));
    receiver
        .wait("a location", |r| {
            r.messages()
                .iter()
                .any(|m| m["location"]["latitude"] == 1.5)
        })
        .await;
}

#[tokio::test]
async fn the_phone_api_speaks_the_same() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), Some(receiver.url())).await;
    let client = client();
    let url = |path: &str| format!("{}/phone/api/{path}", emulator.url());
    let act = async |verb: &str, body: Value| {
        let answer = client.post(url(verb)).json(&body).send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap(),
        )
    };
    let me = |extra: Value| {
        let mut body = json!({ "number": NUMBER, "user": "+1 650 555 1234", "name": "Asha" });
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        body
    };
    let (status, said) = act("say", me(json!({ "text": "hi <b>" }))).await;
    assert_eq!(status, 200, "{said}");
    receiver
        .wait("the message", |r| {
            r.messages().iter().any(|m| m["id"] == said["id"])
        })
        .await;
    let numbers: Value = client
        .get(url("numbers"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(numbers["numbers"][0]["users"][0]["name"], "Asha");
    let thread = async |after: u64, wait: u64| {
        let query = format!("thread?number={NUMBER}&user=16505551234&after={after}&wait={wait}");
        client
            .get(url(&query))
            .send()
            .await
            .unwrap()
            .json::<Value>()
            .await
            .unwrap()
    };
    let first = thread(0, 0).await;
    assert_eq!(first["messages"][0]["text"], "hi <b>");
    let rev = first["rev"].as_u64().unwrap();
    // A poll that waits is answered by the message that comes meanwhile.
    let menu = menu();
    let (waited, _) = tokio::join!(thread(rev, 20), send(&emulator, &menu));
    let shown = waited["messages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["from_business"] == true)
        .unwrap()
        .clone();
    assert_eq!(shown["buttons"][0]["title"], "Balance");
    assert_eq!(
        act(
            "tap",
            me(json!({ "message": shown["id"], "id": "balance" }))
        )
        .await
        .0,
        200
    );
    send(&emulator, &branches()).await.unwrap();
    assert_eq!(act("pick", me(json!({ "id": "north" }))).await.0, 200);
    receiver
        .wait("tap and pick", |r| r.messages().len() == 3)
        .await;
    assert_eq!(act("tap", me(json!({ "id": "forged" }))).await.0, 404);
    assert_eq!(act("say", me(json!({ "text": "" }))).await.0, 422);
    assert_eq!(
        act(
            "say",
            json!({ "number": "1", "user": "16505551234", "text": "x" })
        )
        .await
        .0,
        404
    );
    assert_eq!(
        act(
            "say",
            json!({ "number": NUMBER, "user": "15550783881", "text": "x" })
        )
        .await
        .0,
        422
    );
    assert_eq!(act("say", json!({})).await.0, 400);
    let form = client
        .post(url("say"))
        .header("content-type", "text/plain")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(form.status(), 403, "no other site may write");
    let foreign = client
        .post(url("say"))
        .header("sec-fetch-site", "cross-site")
        .json(&me(json!({ "text": "x" })));
    assert_eq!(foreign.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn the_page_is_self_contained() {
    let emulator = start(EmulatorConfig::default(), None).await;
    let client = client();
    for (path, kind) in [
        ("/phone", "text/html"),
        ("/phone/phone.js", "text/javascript"),
        ("/phone/phone.css", "text/css"),
    ] {
        let answer = client
            .get(format!("{}{path}", emulator.url()))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert!(
            answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with(kind)
        );
        let body = answer.text().await.unwrap();
        for word in [
            "http://",
            "https://",
            "innerHTML",
            "eval(",
            " style=",
            " onclick",
        ] {
            assert!(!body.contains(word), "{path}: {word}");
        }
    }
    let root = client.get(emulator.url()).send().await.unwrap();
    assert_eq!(
        (
            root.status().as_u16(),
            root.headers()["location"].to_str().unwrap()
        ),
        (302, "/phone")
    );
}

#[tokio::test]
async fn threads_and_users_are_bounded() {
    let config = EmulatorConfig {
        thread_length: 5,
        max_users: 3,
        ..EmulatorConfig::lenient()
    };
    let emulator = start(config, None).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505550000", ""))
        .unwrap();
    for n in 0..20 {
        send(&emulator, &text("+16505550000", &n.to_string()))
            .await
            .unwrap();
        send(&emulator, &text(&format!("+1650555{n:04}"), "x"))
            .await
            .unwrap();
    }
    assert_eq!(phone.thread().len(), 5);
    assert_eq!(phone.thread()[4].text, "19");
    assert!(
        emulator
            .phone(NUMBER, User::with_phone("19999999999", ""))
            .is_none()
    );
    assert_eq!(emulator.ledger().counts().accepted, 40);
}

#[tokio::test]
async fn numbers_are_registered_over_http() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let register = async |body: Value| {
        let request = client()
            .post(format!("{}/phone/api/numbers", emulator.url()))
            .json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let number = json!({ "provider": "meta", "phone_number_id": "1065", "access_token": "mine" });
    let (status, answer) = register(number).await;
    assert_eq!(
        (status, answer),
        (200, json!({ "id": "1065", "provider": "meta" }))
    );
    assert!(
        emulator
            .phone("1065", User::with_phone("16505551234", ""))
            .is_some()
    );
    for bad in [
        json!({ "phone_number_id": "1066" }),
        json!({ "provider": "nobody" }),
        json!({ "provider": "meta", "acces_token": "secret" }),
    ] {
        let (status, answer) = register(bad).await;
        assert_eq!(status, 422);
        assert!(!answer.to_string().contains("secret"));
    }
    assert!(
        emulator
            .phone("1066", User::with_phone("16505551234", ""))
            .is_none()
    );
}

#[tokio::test]
async fn the_phone_api_works_on_every_provider() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), Some(receiver.url())).await;
    let client = client();
    let post = async |path: &str, body: Value| {
        let url = format!("{}/phone/api/{path}", emulator.url());
        let answer = client.post(url).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    for registration in [
        json!({ "provider": "dialog360", "webhook_url": receiver.url(), "legacy": true }),
        json!({ "provider": "msg91", "webhook_url": receiver.url(), "form": "array" }),
    ] {
        let (status, answer) = post("numbers", registration).await;
        assert_eq!(status, 200, "{answer}");
    }
    let (status, _) = post("numbers", json!({ "provider": "msg91", "webhok": 1 })).await;
    assert_ne!(status, 200);
    for number in [NUMBER, "318922994632101", "15005550006"] {
        let me = |extra: Value| {
            let mut body = json!({ "number": number, "user": "447700900123", "name": "Ada" });
            body.as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            body
        };
        let mut ids = Vec::new();
        for (verb, extra) in [
            ("say", json!({ "text": "hi" })),
            (
                "location",
                json!({ "latitude": 51.5, "longitude": -0.1, "text": "Westminster Bridge" }),
            ),
            (
                "media",
                json!({ "mime": "application/pdf", "data": "JVBERg==", "text": "the invoice" }),
            ),
        ] {
            let (status, said) = post(verb, me(extra)).await;
            assert_eq!(status, 200, "{number} {verb}: {said}");
            ids.push(said["id"].as_str().unwrap().to_owned());
        }
        receiver
            .wait("all three", |r| {
                ids.iter().all(|id| {
                    r.hooks()
                        .iter()
                        .any(|h| String::from_utf8_lossy(&h.body).contains(id.as_str()))
                })
            })
            .await;
        for (verb, extra) in [
            ("location", json!({ "latitude": 91, "longitude": 0 })),
            ("location", json!({})),
            ("media", json!({ "mime": "application/pdf", "data": "?" })),
            ("media", json!({ "mime": "pdf", "data": "JVBERg==" })),
        ] {
            assert_eq!(post(verb, me(extra.clone())).await.0, 422, "{verb} {extra}");
        }
    }
}
