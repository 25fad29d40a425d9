//! Every example of a webhook, and what other forms of it say.

use serde_json::{Value, json};
use waxwing_core::content::Content;
use waxwing_core::errors::ErrorClass;
use waxwing_core::event::{InboundMessage, ItemBody, Parsed, StatusUpdate};
use waxwing_providers::messaging::msg91::Msg91;
use waxwing_providers::messaging::{Messaging, Unreadable};

use super::{event, is_authentic, parse, recorded, webhooks};
use crate::support;

/// What the example of an event expects, against what was read.
fn compare(file: &str, parsed: &Parsed, expect: &Value) {
    let event = expect["event"].as_str().unwrap();
    if event == "unprocessable" {
        assert!(
            parsed.items.is_empty() && parsed.broken.len() == 1,
            "{file}"
        );
        return;
    }
    assert!(parsed.broken.is_empty(), "{file}: {parsed:?}");
    let count = expect["count"].as_u64().unwrap_or(1);
    assert_eq!(parsed.items.len() as u64, count, "{file}: {parsed:?}");
    match (&parsed.items[0].body, event) {
        (ItemBody::Message(message), "inbound") => inbound(file, message, expect),
        (ItemBody::Status(status), "report" | "accepted") => report(file, status, expect),
        // Whatever went out, it is not a person's message.
        (ItemBody::Status(_) | ItemBody::Echo(_), "echo") => {}
        (other, event) => panic!("{file}: {event}: {other:?}"),
    }
    if let Some(to) = expect["to"].as_str().filter(|_| event == "inbound") {
        let sender = parsed.items[0].route.sender_id.as_deref();
        assert_eq!(sender, to.strip_prefix('+'), "{file}");
    }
}

fn inbound(file: &str, message: &InboundMessage, expect: &Value) {
    let content = serde_json::to_value(&message.content).unwrap();
    let (payload, title) = match &message.content {
        Content::Button { payload, text } => (payload.clone(), Some(text.clone())),
        Content::ButtonReply { id, title } | Content::ListReply { id, title, .. } => {
            (Some(id.clone()), Some(title.clone()))
        }
        _ => (None, None),
    };
    let reply_to = message.reply_to.as_ref().or(message.target.as_ref());
    for (key, expected) in expect.as_object().unwrap() {
        let found = match key.as_str() {
            "event" | "note" | "to" | "count" => continue,
            "provider_message_id" => json!(message.provider_id),
            "from" => json!(message.sender.phone),
            "type" => match content["type"].as_str().unwrap() {
                "button" => json!("button_reply"),
                kind => json!(kind),
            },
            "text" => json!(message.content.text()),
            "caption" => content["caption"].clone(),
            "media_url" => content["link"].clone(),
            "latitude" | "longitude" | "emoji" => content[key].clone(),
            "button_id" | "list_id" => json!(payload),
            "button_text" | "list_title" => json!(title),
            "reply_to" => json!(reply_to),
            "referral" => {
                let found = message.referral.as_ref().unwrap();
                for (key, value) in expected.as_object().unwrap() {
                    assert_eq!(&found[key], value, "{file}: {key}");
                }
                continue;
            }
            other => panic!("{file}: {other}"),
        };
        assert_eq!(&found, expected, "{file}: {key}");
    }
}

fn report(file: &str, status: &StatusUpdate, expect: &Value) {
    for (key, expected) in expect.as_object().unwrap() {
        let found = match key.as_str() {
            "event" | "note" => continue,
            "client_ref" => json!(status.callback_data.clone().unwrap_or_default()),
            "request_id" => json!(status.provider_id),
            "to" => json!(status.recipient.phone),
            "status" => json!(status.status.map_or("ignored", |status| status.as_str())),
            other => panic!("{file}: {other}"),
        };
        assert_eq!(&found, expected, "{file}: {key}");
    }
}

#[test]
fn every_example_of_a_webhook_is_read_as_expected() {
    let all = webhooks();
    assert_eq!(all.len(), 43);
    let mut read = 0;
    for (file, fixture) in all {
        let request = &fixture["request"];
        let (body, expect) = (request["body"].as_str().unwrap(), &fixture["expect"]);
        let headers: Vec<(&str, &str)> = request["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let url = request["url"].as_str().unwrap();
        let target = url.strip_prefix("https://waxwing.example.com").unwrap();
        let authentic = is_authentic(target, &headers, fixture["secret"].as_str().unwrap());
        match expect["http"].as_u64() {
            Some(401) => assert!(!authentic, "{file}"),
            Some(400) => {
                assert!(authentic, "{file}");
                let found = Msg91.parse(recorded(body.as_bytes()));
                assert_eq!(found, Err(Unreadable::CutOff), "{file}");
            }
            None => {
                assert!(authentic, "{file}");
                compare(&file, &parse(body), expect);
                read += 1;
            }
            other => panic!("{file}: {other:?}"),
        }
    }
    assert_eq!(read, 40);
}

#[test]
fn a_look_at_a_body_names_its_numbers() {
    for (file, fixture) in webhooks() {
        let body = fixture["request"]["body"].as_str().unwrap().as_bytes();
        let peeked = Msg91.peek(recorded(body));
        let mut expected = Vec::new();
        for item in Msg91
            .parse(recorded(body))
            .into_iter()
            .flat_map(|parsed| parsed.items)
        {
            if item.route.sender_id.is_some() && !expected.contains(&item.route) {
                expected.push(item.route);
            }
        }
        assert_eq!(peeked, expected, "{file}");
    }
}

fn only_message(parsed: &Parsed) -> &InboundMessage {
    match parsed.items.as_slice() {
        [item] => match &item.body {
            ItemBody::Message(message) => message,
            other => panic!("{other:?}"),
        },
        _ => panic!("{parsed:?}"),
    }
}

fn only_status(parsed: &Parsed) -> &StatusUpdate {
    match parsed.items.as_slice() {
        [item] => match &item.body {
            ItemBody::Status(status) => status,
            other => panic!("{other:?}"),
        },
        _ => panic!("{parsed:?}"),
    }
}

#[test]
fn times_names_and_reports_are_as_in_the_examples() {
    let body = |file: &str| {
        let fixture = support::json(&format!("msg91/webhooks/{file}"));
        parse(fixture["request"]["body"].as_str().unwrap())
    };
    let parsed = body("inbound-text.json");
    let message = only_message(&parsed);
    assert_eq!(message.profile_name.as_deref(), Some("Ada Lovelace"));
    assert_eq!(message.sent_at.unwrap().seconds(), 1_795_248_000);
    let parsed = body("inbound-meta-shape.json");
    let message = only_message(&parsed);
    assert_eq!(message.profile_name.as_deref(), Some("Ada"));
    // Without a zone it is India's time.
    assert_eq!(message.sent_at.unwrap().seconds(), 1_795_248_000);
    let parsed = body("report-delivered.json");
    assert_eq!(only_status(&parsed).at.unwrap().seconds(), 1_795_248_003);

    let failures = [
        (
            "report-failed.json",
            ErrorClass::NotReachable,
            Some("131026"),
        ),
        (
            "report-failed-window.json",
            ErrorClass::WindowClosed,
            Some("131047"),
        ),
        (
            "report-old-names.json",
            ErrorClass::MarketingLimited,
            Some("131049"),
        ),
        (
            "report-failed-plain-reason.json",
            ErrorClass::NotReachable,
            None,
        ),
    ];
    for (file, class, code) in failures {
        let parsed = body(file);
        let status = only_status(&parsed);
        let error = status.error.as_ref().unwrap();
        assert_eq!(
            (error.class, error.code.as_deref()),
            (class, code),
            "{file}"
        );
        assert_eq!(status.codes.len(), usize::from(code.is_some()), "{file}");
    }
    let parsed = body("inbound-from-business-app.json");
    let ItemBody::Echo(echo) = &parsed.items[0].body else {
        panic!("{parsed:?}");
    };
    assert_eq!(echo.content.text(), Some("sent from the phone app"));
    assert!(!echo.recipient.is_usable());
}

#[test]
fn flat_events_say_the_same_as_nested_ones() {
    let content = |fields: Value| {
        let parsed = parse(&event(&fields));
        let message = only_message(&parsed);
        assert_eq!(message.provider_id.as_str(), "wamid.X");
        serde_json::to_value(message).unwrap()
    };
    let found = content(json!({
        "contentType": "image", "media_url": "https://m.example.com/1", "caption": "look",
        "fileName": "1.jpg", "replyMsgId": "wamid.P", "customer_name": "Ada", "ts": "2026-11-21 13:30:00",
    }));
    assert_eq!(
        found["content"],
        json!({"type": "image", "link": "https://m.example.com/1", "caption": "look", "filename": "1.jpg"})
    );
    assert_eq!(
        (&found["replyTo"], &found["profileName"]),
        (&json!("wamid.P"), &json!("Ada"))
    );
    assert_eq!(found["sentAt"], "2026-11-21T08:00:00.000Z");

    let cases = [
        (
            json!({"messageType": "location", "latitude": "51.5", "longitude": -0.1}),
            "location",
        ),
        (
            json!({"location": {"latitude": 51.5, "longitude": -0.1}}),
            "location",
        ),
        (
            json!({"interactive": r#"{"type":"list_reply","list_reply":{"id":"a","title":"A"}}"#}),
            "list_reply",
        ),
        (
            json!({"type": "button", "button": {"text": "Yes"}}),
            "button",
        ),
        (
            json!({"contentType": "reaction", "reaction": r#"{"message_id":"wamid.P","emoji":"👍"}"#}),
            "reaction",
        ),
        (
            json!({"contentType": "contacts", "contacts": r#"[{"name":{"formatted_name":"G"},"phones":[]}]"#}),
            "contacts",
        ),
        (json!({"url": "https://m.example.com/1"}), "document"),
        (json!({"text": {"body": "hi"}}), "text"),
        (json!({"message": "hi"}), "text"),
        (
            json!({"contentType": "hologram", "text": "hi"}),
            "unsupported",
        ),
        // An inner message that does not hold what it says it is.
        (
            json!({"messages": [{"type": "text"}], "text": "hi"}),
            "text",
        ),
    ];
    for (fields, kind) in cases {
        let found = content(fields.clone());
        assert_eq!(found["content"]["type"], kind, "{fields}");
    }
    // Only an object with a text in it is unwrapped.
    for (text, expected) in [
        (r#"{"text":"x"}"#, "x"),
        (r#"{"text":7}"#, r#"{"text":7}"#),
        (r#"{"a":"x"}"#, r#"{"a":"x"}"#),
        (r#"["x"]"#, r#"["x"]"#),
    ] {
        assert_eq!(content(json!({"text": text}))["content"]["body"], expected);
    }
}

#[test]
fn the_direction_decides_before_the_word() {
    let kind = |fields: Value| {
        let parsed = parse(&event(&fields));
        assert!(parsed.broken.is_empty(), "{fields}: {parsed:?}");
        serde_json::to_value(&parsed.items[0].body).unwrap()["kind"].clone()
    };
    let cases = [
        (
            json!({"direction": 0, "eventName": "Delivered", "text": "hi"}),
            "message",
        ),
        (json!({"direction": "inbound", "text": "hi"}), "message"),
        (
            json!({"direction": "1", "eventName": "delivered"}),
            "status",
        ),
        (
            json!({"direction": 1, "eventName": "sent", "text": "hi", "requestId": "r"}),
            "status",
        ),
        (
            json!({"direction": "outbound", "eventName": "sent", "text": "hi"}),
            "echo",
        ),
        (
            json!({"direction": null, "eventName": "delivered", "content": "hi"}),
            "status",
        ),
        (
            json!({"direction": null, "eventName": null, "content": "hi"}),
            "message",
        ),
        (
            json!({"direction": null, "eventName": "teleported"}),
            "status",
        ),
        (
            json!({"customerNumber": "15005550006", "text": "hi"}),
            "echo",
        ),
        (
            json!({"messages": [{"from": "15005550006", "type": "text", "text": {"body": "x"}}]}),
            "echo",
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(kind(fields.clone()), expected, "{fields}");
    }
}

#[test]
fn strange_events_lose_no_neighbour() {
    let good = event(&json!({"text": "hi"}));
    for bad in [
        "17",
        "null",
        "{}",
        "[]",
        r#"{"entry":[]}"#,
        r#"{"direction":"1"}"#,
        r#"{"direction":"1","uuid":"a"}"#,
    ] {
        let parsed = parse(&format!("[{good},{bad},{good}]"));
        assert_eq!((parsed.items.len(), parsed.broken.len()), (2, 1), "{bad}");
        assert_eq!(parsed.items[1].index, 2, "{bad}");
        assert!(!parsed.broken[0].reason.is_empty());
    }
    let two = event(&json!({"messages": [
        {"from": "447700900123", "id": "a", "type": "text", "text": {"body": "1"}},
        {"from": "447700900123", "id": "b", "type": "text", "text": {"body": "2"}},
    ]}));
    assert_eq!(parse(&two).items.len(), 2);
    let lone = event(&json!({"text": "TEXT"})).replace("TEXT", "\\ud83d\\u0000x");
    assert_eq!(
        only_message(&parse(&lone)).content.text(),
        Some("\u{fffd}x")
    );
    for (body, error) in [
        ("", Unreadable::Empty),
        ("hello", Unreadable::NotJson),
        ("a=b&c=d", Unreadable::NotJson),
        ("payload=17", Unreadable::NotAnObject),
        ("17", Unreadable::NotAnObject),
    ] {
        assert_eq!(Msg91.parse(recorded(body.as_bytes())), Err(error), "{body}");
    }
    // The fields of the event as a form.
    let form = "customerNumber=447700900123&integratedNumber=15005550006&uuid=w&eventName=received&text=hi+there";
    assert_eq!(only_message(&parse(form)).content.text(), Some("hi there"));
}
