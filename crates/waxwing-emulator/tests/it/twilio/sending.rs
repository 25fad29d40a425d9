//! Messages of the business: content, statuses, window, schedules, lists, faults.

use serde_json::{Value, json};
use waxwing_emulator::{
    EmulatorConfig, Fault, FaultMatch, FaultPoint, FaultScript, Provider, Reach, TwilioNumber, User,
};

use super::{
    ACCOUNT, ADA, SENDER, SOON, TO, ada, call, fixed_clock, get, message, number, read_too, send,
    start, statuses,
};
use crate::receiver::Receiver;

#[tokio::test]
async fn statuses_go_to_the_address_of_the_message() {
    let receiver = Receiver::start().await;
    let emulator = start(read_too(), number(&receiver)).await;
    let phone = ada(&emulator);
    phone.say("hello");
    let callback = format!("{}/status?m=msg%2B1", receiver.url());
    let (status, body) = send(
        &emulator,
        &[("Body", "Hi Ada"), ("StatusCallback", &callback)],
    )
    .await
    .unwrap();
    assert_eq!((status, &body["status"]), (201, &json!("queued")));
    let sid = body["sid"].as_str().unwrap();
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Hi Ada");
    receiver
        .wait("read", |r| statuses(r).contains(&"read".to_owned()))
        .await;
    // The first status is in the answer and in no callback. Order is not promised.
    let mut told = statuses(&receiver);
    told.sort();
    assert_eq!(told, ["delivered", "read", "sent"]);
    for hook in receiver.hooks() {
        let form = hook.form();
        if form.contains_key("MessageStatus") {
            assert_eq!(hook.target, "/webhook/status?m=msg%2B1");
            assert_eq!(form["MessageSid"], sid);
            assert_eq!(form["To"], TO);
            assert_eq!(form["ChannelToAddress"], "+4477009001XX");
        }
    }
    let record = emulator.ledger().send(sid).unwrap();
    assert_eq!(record.provider, Provider::Twilio);
    assert_eq!(record.callback_data.as_deref(), Some(callback.as_str()));
    assert_eq!((&*record.to, record.answered), (ADA, true));
    assert_eq!(message(&emulator, sid).await["status"], "read");
}

#[tokio::test]
async fn a_closed_window_is_told_later() {
    let receiver = Receiver::start().await;
    let mut number = number(&receiver);
    number.status_callback_url = Some(format!("{}/all", receiver.url()));
    let emulator = start(EmulatorConfig::default(), number).await;
    let (status, body) = send(&emulator, &[("Body", "out of the blue")])
        .await
        .unwrap();
    assert_eq!(status, 201);
    receiver
        .wait("undelivered", |r| !statuses(r).is_empty())
        .await;
    let form = receiver.hooks()[0].form();
    assert_eq!(form["MessageStatus"], "undelivered");
    assert_eq!(form["ErrorCode"], "63016");
    assert_eq!(form["EventType"], "UNDELIVERED");
    let record = message(&emulator, body["sid"].as_str().unwrap()).await;
    assert_eq!(record["error_code"], 63016);
    // An approved template goes out; the same resource without approval does not.
    let content = json!({ "language": "en", "types": { "twilio/text": { "body": "Hi {{1}}!" } } });
    let content = emulator.add_content(ACCOUNT, &content).unwrap();
    let fields = [
        ("ContentSid", content.as_str()),
        ("ContentVariables", r#"{"1":"Ada"}"#),
    ];
    send(&emulator, &fields).await.unwrap();
    receiver.wait("again", |r| statuses(r).len() == 2).await;
    assert_eq!(receiver.hooks()[1].form()["ErrorCode"], "63016");
    assert!(emulator.set_content_status(ACCOUNT, &content, "approved"));
    let (_, sent) = send(&emulator, &fields).await.unwrap();
    let phone = ada(&emulator);
    assert!(
        phone
            .wait_until(
                |thread| thread
                    .iter()
                    .any(|m| m.text == "Hi Ada!" && m.tick == waxwing_emulator::Tick::Delivered),
                SOON
            )
            .await
    );
    let record = emulator
        .ledger()
        .send(sent["sid"].as_str().unwrap())
        .unwrap();
    assert_eq!((record.kind, &*record.body), ("template", "Hi Ada!"));
    // Paused: accepted and then refused.
    emulator.set_content_status(ACCOUNT, &content, "paused");
    send(&emulator, &fields).await.unwrap();
    receiver
        .wait("paused", |r| {
            r.hooks()
                .iter()
                .any(|h| h.form().get("ErrorCode").is_some_and(|c| c == "63041"))
        })
        .await;
}

#[tokio::test]
async fn nobody_and_too_many() {
    let receiver = Receiver::start().await;
    let mut number = number(&receiver);
    number.status_callback_url = Some(receiver.url());
    let emulator = start(EmulatorConfig::default(), number).await;
    let phone = ada(&emulator);
    phone.say("hi");
    phone.set_reach(Reach::NotOnWhatsApp);
    send(&emulator, &[("Body", "x")]).await.unwrap();
    let told = |code: &'static str| {
        move |r: &Receiver| {
            r.hooks()
                .iter()
                .any(|h| h.form().get("ErrorCode").is_some_and(|c| c == code))
        }
    };
    receiver.wait("63024", told("63024")).await;
    phone.set_reach(Reach::Online);
    for _ in 0..50 {
        send(&emulator, &[("Body", "again and again")])
            .await
            .unwrap();
    }
    receiver.wait("63018", told("63018")).await;
}

#[tokio::test]
async fn a_lost_answer_leaves_a_message_that_can_be_found() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), number(&receiver)).await;
    ada(&emulator).say("hi");
    let twilio = || FaultMatch::provider(Provider::Twilio);
    for (n, fault) in [
        Fault::ErrorAccepted {
            code: 20500,
            status: None,
        },
        Fault::LoseAnswer,
        Fault::ResetAfter,
        Fault::TruncatedJson,
        Fault::Empty {
            status: 500,
            accepted: true,
        },
        Fault::NoMessageId,
    ]
    .into_iter()
    .enumerate()
    {
        emulator.set_faults(FaultScript::one(FaultPoint::Send, twilio(), fault.clone()));
        let text = format!("message {n}");
        let callback = format!("{}/status?m={n}", receiver.url());
        let answer = send(&emulator, &[("Body", &text), ("StatusCallback", &callback)]).await;
        match (&fault, answer) {
            (Fault::LoseAnswer | Fault::ResetAfter, answer) => {
                assert!(answer.is_err(), "{fault:?}")
            }
            (Fault::ErrorAccepted { .. }, answer) => {
                let (status, body) = answer.unwrap();
                assert_eq!((status, &body["code"]), (500, &json!(20500)));
            }
            (_, answer) => assert_eq!(answer.unwrap().1["sid"], Value::Null, "{fault:?}"),
        }
        let record = emulator
            .ledger()
            .find(|send| *send.body == *text)
            .expect("it was accepted");
        assert!(!record.answered, "{fault:?}");
        // Found by the list, and by the callback that carries the sender's own mark.
        let path = format!(
            "/2010-04-01/Accounts/{ACCOUNT}/Messages.json?To=whatsapp%3A%2B447700900123&PageSize=1"
        );
        let (_, list) = get(&emulator, &path).await;
        assert_eq!(list["messages"][0]["body"], text.as_str());
        assert_eq!(list["messages"][0]["sid"], &*record.wamid);
        let mark = format!("m={n}");
        receiver
            .wait("callback", |r| {
                r.hooks()
                    .iter()
                    .any(|h| h.target.ends_with(&mark) && h.form()["MessageSid"] == *record.wamid)
            })
            .await;
    }
    // A script for another provider leaves Twilio alone.
    emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        FaultMatch::provider(Provider::Meta),
        Fault::LoseAnswer,
    ));
    assert_eq!(send(&emulator, &[("Body", "calm")]).await.unwrap().0, 201);
}

#[tokio::test]
async fn callbacks_come_twice_late_and_out_of_order() {
    let receiver = Receiver::start().await;
    let mut number = number(&receiver);
    number.status_callback_url = Some(receiver.url());
    let emulator = start(EmulatorConfig::lenient(), number).await;
    let again = Fault::Duplicate {
        times: 1,
        after_ms: 0,
        other_envelope: false,
    };
    emulator.set_faults(
        FaultScript::one(
            FaultPoint::Send,
            FaultMatch::all(),
            Fault::LateQueued { after_ms: 100 },
        )
        .and(
            FaultPoint::Status,
            FaultMatch::kind("sent"),
            Fault::Delay { ms: 60 },
        )
        .and(FaultPoint::Status, FaultMatch::kind("delivered"), again),
    );
    send(&emulator, &[("Body", "x")]).await.unwrap();
    receiver.wait("all", |r| statuses(r).len() == 4).await;
    assert_eq!(
        statuses(&receiver),
        ["delivered", "delivered", "sent", "queued"]
    );
    // The same callback carries the same token.
    let tokens: Vec<_> = receiver
        .hooks()
        .iter()
        .map(|h| super::header(h, "i-twilio-idempotency-token").to_owned())
        .collect();
    assert!(tokens[0] == tokens[1] && tokens[1] != tokens[2] && !tokens[0].is_empty());
}

#[tokio::test]
async fn a_service_accepts_then_queues_and_keeps_for_later() {
    let receiver = Receiver::start().await;
    let service = "MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let emulator = start(
        EmulatorConfig {
            clock: fixed_clock(),
            ..EmulatorConfig::lenient()
        },
        TwilioNumber {
            messaging_service_sid: Some(service.into()),
            status_callback_url: Some(receiver.url()),
            ..number(&receiver)
        },
    )
    .await;
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    let create = async |more: &[(&str, &str)]| {
        let mut fields = vec![
            ("To", TO),
            ("MessagingServiceSid", service),
            ("Body", "later"),
        ];
        fields.extend_from_slice(more);
        call(&emulator, "POST", &path, Some(super::form(&fields)), false)
            .await
            .unwrap()
    };
    let (_, body) = create(&[]).await;
    assert_eq!(
        (&body["status"], &body["from"]),
        (&json!("accepted"), &Value::Null)
    );
    receiver.wait("queued", |r| statuses(r).len() == 3).await;
    let mut told = statuses(&receiver);
    told.sort();
    assert_eq!(told, ["delivered", "queued", "sent"]);
    let sid = body["sid"].as_str().unwrap();
    assert_eq!(message(&emulator, sid).await["from"], SENDER);
    // Scheduled and taken back.
    let (status, body) = create(&[
        ("ScheduleType", "fixed"),
        ("SendAt", "2026-11-21T09:00:00Z"),
    ])
    .await;
    assert_eq!((status, &body["status"]), (201, &json!("scheduled")));
    let one = format!(
        "/2010-04-01/Accounts/{ACCOUNT}/Messages/{}.json",
        body["sid"].as_str().unwrap()
    );
    let cancel = || {
        call(
            &emulator,
            "POST",
            &one,
            Some("Status=canceled".into()),
            false,
        )
    };
    let (status, body) = cancel().await.unwrap();
    assert_eq!((status, &body["status"]), (200, &json!("canceled")));
    receiver
        .wait("canceled", |r| statuses(r).contains(&"canceled".to_owned()))
        .await;
    assert_eq!(cancel().await.unwrap().0, 409);
    let (status, _) = call(&emulator, "DELETE", &one, None, false).await.unwrap();
    assert_eq!(status, 204);
    assert_eq!(get(&emulator, &one).await.0, 404);
}

#[tokio::test]
async fn lists_have_pages() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::lenient(), number(&receiver)).await;
    let phone = ada(&emulator);
    phone.say("one");
    for n in 0..4 {
        send(&emulator, &[("Body", &format!("n{n}"))])
            .await
            .unwrap();
    }
    let other = emulator
        .phone(SENDER, User::with_phone("447700900999", "B"))
        .unwrap();
    other.say("not for this list");
    let mut path = format!(
        "/2010-04-01/Accounts/{ACCOUNT}/Messages.json?To=whatsapp%3A%2B447700900123&PageSize=3"
    );
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let (status, page) = get(&emulator, &path).await;
        assert_eq!(status, 200);
        pages += 1;
        let bodies = page["messages"].as_array().unwrap();
        seen.extend(
            bodies
                .iter()
                .map(|m| m["body"].as_str().unwrap().to_owned()),
        );
        match page["next_page_uri"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(
        (pages, seen),
        (2, ["n3", "n2", "n1", "n0"].map(String::from).to_vec())
    );
    // Inbound messages are in the list of the account, under the sender.
    let (_, page) = get(
        &emulator,
        &format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?To=whatsapp%3A%2B15005550006"),
    )
    .await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 2);
    assert_eq!(page["messages"][1]["direction"], "inbound");
    let (_, none) = get(
        &emulator,
        &format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?DateSent%3C=2020-01-01"),
    )
    .await;
    assert_eq!(none["messages"], json!([]));
}

#[tokio::test]
async fn templates_are_reviewed() {
    let receiver = Receiver::start().await;
    let emulator = start(
        EmulatorConfig {
            template_review: std::time::Duration::from_millis(4),
            ..EmulatorConfig::default()
        },
        number(&receiver),
    )
    .await;
    for (name, end) in [("booking", "approved"), ("please_reject", "rejected")] {
        let content = json!({ "language": "en", "types": { "twilio/text": { "body": "Hi" } } });
        let sid = emulator.add_content(ACCOUNT, &content).unwrap();
        let path = format!("/v1/Content/{sid}/ApprovalRequests");
        let request = json!({ "name": name, "category": "UTILITY" }).to_string();
        let (status, body) = call(
            &emulator,
            "POST",
            &format!("{path}/whatsapp"),
            Some(request),
            true,
        )
        .await
        .unwrap();
        assert_eq!((status, &body["status"]), (201, &json!("received")));
        assert!(emulator.webhooks_idle(SOON).await);
        let (_, body) = get(&emulator, &path).await;
        assert_eq!(body["whatsapp"]["status"], end);
    }
}
