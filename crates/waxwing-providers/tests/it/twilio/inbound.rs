//! Every example of a webhook against what its fixture expects of it.

use serde_json::{Value, json};
use waxwing_core::content::{Content, MediaKind};
use waxwing_core::errors::ErrorClass;
use waxwing_core::event::{InboundMessage, ItemBody, Parsed, Route, StatusUpdate};
use waxwing_core::status::DeliveryStatus;
use waxwing_providers::messaging::twilio::Twilio;
use waxwing_providers::messaging::{Messaging, Recorded, Unreadable};

use super::{ACCOUNT, webhooks};

fn parse(query: &str, body: &str) -> Result<Parsed, Unreadable> {
    Twilio.parse(Recorded {
        query,
        body: body.as_bytes(),
    })
}

fn only(parsed: Parsed) -> (Route, ItemBody) {
    assert_eq!(parsed.broken, []);
    let [item] = parsed.items.try_into().unwrap();
    assert_eq!(item.index, 0);
    (item.route, item.body)
}

fn message(query: &str, body: &str) -> InboundMessage {
    match only(parse(query, body).unwrap()).1 {
        ItemBody::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

fn status(query: &str, body: &str) -> StatusUpdate {
    match only(parse(query, body).unwrap()).1 {
        ItemBody::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

/// What was found, under the names of the fixtures.
fn found(message: &InboundMessage, key: &str) -> Value {
    let content = &message.content;
    let sender = &message.sender;
    match key {
        "provider_message_id" => message.provider_id.as_str().into(),
        "from" => json!(sender.phone.as_ref().map(|phone| phone.e164())),
        "contact_bsuid" => json!(sender.user_id),
        "contact_parent_bsuid" => json!(sender.parent_user_id),
        "contact_username" => json!(sender.username),
        "contact_name" => json!(message.profile_name),
        "reply_to" => json!(message.reply_to),
        "forwarded" | "frequently_forwarded" => message.forwarded.into(),
        "type" => content.kind().into(),
        "text" | "caption" | "button_text" | "list_title" => json!(content.text()),
        "button_id" | "list_id" => match content {
            Content::ButtonReply { id, .. } | Content::ListReply { id, .. } => id.clone().into(),
            other => panic!("{other:?}"),
        },
        "latitude" | "longitude" | "name" | "address" => {
            serde_json::to_value(content).unwrap()[key].clone()
        }
        "data" => match content {
            Content::FlowReply { response, .. } => response.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("no such expectation: {other}"),
    }
}

fn compare_media(name: &str, content: &Content, expected: &Value) {
    // WhatsApp sends one file in each message; the first is read.
    let (url, kind) = (&expected[0]["url"], &expected[0]["content_type"]);
    let found = match content {
        Content::Contacts { contacts } => {
            json!([contacts[0]["link"], contacts[0]["mimeType"]])
        }
        other => {
            let (_, media) = other.media().unwrap();
            json!([media.link, media.mime_type])
        }
    };
    assert_eq!(found, json!([url, kind]), "{name}");
}

fn compare_message(name: &str, message: &InboundMessage, expected: &Value) {
    for (key, expected) in expected.as_object().unwrap() {
        match key.as_str() {
            // About the route, or the application's part.
            "to" | "note" | "opt_out" | "duplicate_of" | "messaging_service" => {}
            "type" if expected == "list_reply_or_button" => {
                assert_eq!(message.content.kind(), "button_reply", "{name}");
            }
            "media" => compare_media(name, &message.content, expected),
            "referral" => {
                let referral = message.referral.as_ref().unwrap();
                for (key, expected) in expected.as_object().unwrap() {
                    assert_eq!(&referral[key], expected, "{name}: {key}");
                }
            }
            key => {
                let found = found(message, key);
                let same = match (found.as_f64(), expected.as_f64()) {
                    (Some(found), Some(expected)) => found.to_bits() == expected.to_bits(),
                    _ => found == *expected,
                };
                assert!(same, "{name}: {key}: {found} instead of {expected}");
            }
        }
    }
    assert_eq!(
        message.referral.is_some(),
        expected.get("referral").is_some(),
        "{name}"
    );
    assert_eq!(message.sent_at, None, "{name}");
}

fn compare_status(name: &str, status: &StatusUpdate, expected: &Value) {
    let id = expected["provider_message_id"].as_str();
    assert_eq!(Some(status.provider_id.as_str()), id, "{name}");
    let word = match expected["status"].as_str().unwrap() {
        "sent" => Some(DeliveryStatus::Sent),
        "delivered" => Some(DeliveryStatus::Delivered),
        "read" => Some(DeliveryStatus::Read),
        "failed" => Some(DeliveryStatus::Failed),
        // Where Twilio stands with it, or a word that no list has.
        "queued" | "sending" | "cancelled" | "ignored" => None,
        "kept until the create response is known" => Some(DeliveryStatus::Delivered),
        other => panic!("{name}: no such status: {other}"),
    };
    assert_eq!(status.status, word, "{name}");
    let codes: Vec<i64> = expected["error_code"].as_i64().into_iter().collect();
    assert_eq!(status.codes, codes, "{name}");
    let code = status.error.as_ref().and_then(|error| error.code.clone());
    assert_eq!(code, codes.first().map(i64::to_string), "{name}");
    assert!(status.recipient.is_usable(), "{name}");
}

#[test]
fn every_example_says_what_its_fixture_expects() {
    let (mut messages, mut statuses, mut pooled) = (0, 0, 0);
    for webhook in webhooks() {
        let (name, expected) = (&webhook.name, &webhook.fixture["expect"]);
        let query = Twilio.query_to_keep(webhook.query());
        let body = std::str::from_utf8(&webhook.body).unwrap();
        let mut parsed = parse(&query, body).unwrap();
        let files = expected["media"].as_array().map_or(1, Vec::len);
        assert_eq!(parsed.items.len(), files, "{name}");
        for (further, file) in parsed.items.drain(1..).zip(1..) {
            let ItemBody::Message(message) = further.body else {
                panic!("{name}");
            };
            let (_, media) = message.content.media().unwrap();
            let expected = &expected["media"][file];
            assert_eq!(media.link.as_deref(), expected["url"].as_str(), "{name}");
            assert_eq!(
                media.mime_type.as_deref(),
                expected["content_type"].as_str()
            );
        }
        let (route, body) = only(parsed);
        let ours = expected["to"].as_str().unwrap_or("+15005550006");
        let service = form_urlencoded::parse(&webhook.body)
            .find(|(name, _)| name == "MessagingServiceSid")
            .map(|(_, sid)| sid.into_owned());
        pooled += usize::from(service.is_some());
        let expected_route = Route {
            sender_id: Some(format!("{ACCOUNT}/{ours}")),
            account_id: Some(ACCOUNT.to_owned()),
            service_id: service,
        };
        assert_eq!(route, expected_route, "{name}");
        match body {
            ItemBody::Message(message) => {
                compare_message(name, &message, expected);
                messages += 1;
            }
            ItemBody::Status(status) => {
                compare_status(name, &status, expected);
                statuses += 1;
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!((messages, statuses), (38, 21));
    assert!(pooled > 0);
}

#[test]
fn kinds_of_files() {
    let kind = |more: &str| {
        let body = format!(
            "AccountSid=AC1&MessageSid=MM1&From=whatsapp%3A%2B447700900123&To=whatsapp%3A%2B15005550006&MediaUrl0=https%3A%2F%2Fa.example%2F1{more}"
        );
        let content = message("", &body).content;
        content.media().map(|(kind, _)| kind)
    };
    let cases = [
        ("", Some(MediaKind::Document)),
        ("&MessageType=image", Some(MediaKind::Image)),
        ("&MessageType=voice", Some(MediaKind::Audio)),
        ("&MediaContentType0=image%2Fwebp", Some(MediaKind::Sticker)),
        (
            "&MediaContentType0=image%2Fwebp&Body=hi",
            Some(MediaKind::Image),
        ),
        (
            "&MediaContentType0=Audio%2FOGG%3B%20codecs%3Dopus",
            Some(MediaKind::Audio),
        ),
        ("&MediaContentType0=video%2F3gpp", Some(MediaKind::Video)),
        (
            "&MediaContentType0=application%2Fzip",
            Some(MediaKind::Document),
        ),
        ("&MediaContentType0=text%2Fx-vcard", None),
    ];
    for (more, expected) in cases {
        assert_eq!(kind(more), expected, "{more}");
    }
}

/// A message from a phone to our number, with more parameters.
fn with(more: &str) -> String {
    format!(
        "AccountSid=AC1&MessageSid=SM1&From=whatsapp%3A%2B447700900123&To=whatsapp%3A%2B15005550006&{more}"
    )
}

#[test]
fn what_comes_together_is_told_apart_by_order() {
    let all = "Body=b&MediaUrl0=u&ButtonText=t&ListId=l&FlowData=%7B%7D&Latitude=0&Longitude=0.0";
    let order = [
        ("location", "Latitude"),
        ("flow_reply", "FlowData"),
        ("list_reply", "ListId"),
        ("button", "ButtonText"),
        ("document", "MediaUrl0"),
        ("text", "Body"),
    ];
    let mut rest = all.to_owned();
    for (kind, name) in order {
        assert_eq!(message("", &with(&rest)).content.kind(), kind);
        rest = rest
            .split('&')
            .filter(|pair| !pair.starts_with(name))
            .collect::<Vec<_>>()
            .join("&");
    }
    let rest = message("", &with(&format!("{rest}&MessageType=hologram")));
    let unsupported = Content::Unsupported {
        kind: Some("hologram".into()),
        codes: vec![],
    };
    assert_eq!(rest.content, unsupported);
    // One coordinate is no place, and neither is a text.
    for more in ["Latitude=1&Body=x", "Latitude=NaN&Longitude=1&Body=x"] {
        assert_eq!(message("", &with(more)).content.kind(), "text", "{more}");
    }
}

#[test]
fn answers_of_forms_may_be_anything() {
    let response = |more: &str| match message("", &with(more)).content {
        Content::FlowReply { response, .. } => Some(response),
        _ => None,
    };
    assert_eq!(response("FlowData=%5B1%5D"), Some(json!({"raw": "[1]"})));
    assert_eq!(response("FlowData=%7Bx"), Some(json!({"raw": "{x"})));
    let wrapped = "InteractiveData=%7B%22flowResponse%22%3A%7B%22a%22%3A1%7D%7D";
    assert_eq!(response(wrapped), Some(json!({"a": 1})));
    assert_eq!(
        response("InteractiveData=%7B%22other%22%3A1%7D&Body=x"),
        None
    );
}

#[test]
fn people_have_a_phone_or_a_user_id_or_both() {
    let sender = |from: &str, more: &str| {
        let body = format!(
            "AccountSid=AC1&MessageSid=SM1&From={from}&To=whatsapp%3A%2B15005550006&{more}"
        );
        parse("", &body).unwrap()
    };
    let nobody = sender("whatsapp%3Aalice", "Body=x");
    assert_eq!(nobody.items, []);
    assert!(nobody.broken[0].reason.contains("sender"));
    assert_eq!(nobody.broken[0].route.account_id.as_deref(), Some("AC1"));
    let (_, body) = only(sender("whatsapp%3Aalice", "WaId=447700900123"));
    let ItemBody::Message(by_digits) = body else {
        panic!()
    };
    assert_eq!(by_digits.sender.phone.unwrap().e164(), "+447700900123");
    let dropped = message("", &with("ExternalUserId=whatsapp:nonsense&Body=x"));
    assert_eq!(dropped.sender.user_id, None);
    let long = "a".repeat(500);
    let named = message(
        "",
        &with(&format!("ProfileName={long}&ProfileUsername=%40ada&Body=x")),
    );
    assert_eq!(named.profile_name.unwrap().len(), 200);
    assert_eq!(named.sender.username.as_deref(), Some("ada"));
}

#[test]
fn other_channels_and_other_products_are_passed_over() {
    for (from, to) in [
        ("%2B447700900123", "%2B15005550006"),
        ("messenger%3A17", "messenger%3A18"),
        ("whatsapp%3A%2B447700900123", "%2B15005550006"),
    ] {
        let body = format!("AccountSid=AC1&MessageSid=SM1&From={from}&To={to}&Body=hi");
        assert_eq!(parse("", &body), Ok(Parsed::default()), "{to}");
        let recorded = Recorded {
            query: "",
            body: body.as_bytes(),
        };
        // It is authenticated and acknowledged all the same.
        let account = Route {
            account_id: Some("AC1".into()),
            ..Route::default()
        };
        assert_eq!(Twilio.peek(recorded), [account], "{to}");
    }
    assert_eq!(parse("", "hello"), Ok(Parsed::default()));
    let nobody = Recorded {
        query: "",
        body: b"Body=hi&To=whatsapp%3A%2B15005550006",
    };
    assert_eq!(Twilio.peek(nobody), []);
    let sms =
        "AccountSid=AC1&MessageSid=SM1&MessageStatus=sent&From=%2B15005550006&To=%2B447700900123";
    assert_eq!(parse("", sms), Ok(Parsed::default()));
}

#[test]
fn bodies_that_cannot_be_read_say_why() {
    let cases = [
        ("", Unreadable::Empty),
        (" \n", Unreadable::Empty),
        (r#"{"From":"#, Unreadable::CutOff),
        ("{x}", Unreadable::NotJson),
        ("[1]", Unreadable::NotAnObject),
    ];
    for (body, reason) in cases {
        assert_eq!(parse("", body), Err(reason), "{body}");
    }
}

#[test]
fn with_get_the_parameters_are_in_the_query() {
    let query = with("Body=hi&m=x");
    assert_eq!(Twilio.query_to_keep(&query), query);
    assert_eq!(message(&query, ""), message("", &with("Body=hi")));
}

const STATUS: &str = "AccountSid=AC1&MessageSid=SM1&From=whatsapp%3A%2B15005550006&To=whatsapp%3A%2B447700900123&MessageStatus=";

#[test]
fn the_marker_comes_back() {
    let query = Twilio.query_to_keep("x=secret&m=att_1%2F2");
    let found = status(&query, &format!("{STATUS}sent"));
    assert_eq!(found.callback_data.as_deref(), Some("att_1/2"));
    assert_eq!(status("", &format!("{STATUS}sent")).callback_data, None);
}

#[test]
fn words_of_a_status() {
    let cases = [
        ("accepted", None),
        ("scheduled", None),
        ("partially_delivered", Some(DeliveryStatus::Delivered)),
        ("undelivered", Some(DeliveryStatus::Failed)),
        ("Sent", None),
    ];
    for (word, expected) in cases {
        let found = status("", &format!("{STATUS}{word}"));
        assert_eq!((found.status, found.word.as_str()), (expected, word));
    }
    // The old names alone.
    let old = "AccountSid=AC1&SmsSid=SM1&SmsStatus=delivered&From=whatsapp%3A%2B15005550006&To=whatsapp%3A%2B447700900123";
    let found = status("", old);
    assert_eq!(found.provider_id.as_str(), "SM1");
    assert_eq!(found.status, Some(DeliveryStatus::Delivered));
    let lost = parse(
        "",
        &STATUS
            .replace("MessageSid=SM1", "x=1")
            .replace("MessageStatus=", "MessageStatus=sent"),
    );
    assert!(lost.unwrap().broken[0].reason.contains("id"));
}

#[test]
fn reasons_are_classified_and_name_nobody() {
    let more = "failed&ErrorCode=63016&ErrorMessage=To+%2B447700900123+refused&ChannelStatusMessage=131047+Re-engagement";
    let error = status("", &format!("{STATUS}{more}")).error.unwrap();
    assert_eq!(error.class, ErrorClass::WindowClosed);
    assert_eq!(error.message, "To … refused: 131047 Re-engagement");
    for none in ["", "&ErrorCode=", "&ErrorCode=0", "&ErrorCode=x"] {
        let found = status("", &format!("{STATUS}failed{none}"));
        assert_eq!((found.error, found.codes), (None, vec![]), "{none}");
    }
}

#[test]
fn every_file_of_a_message_is_an_item() {
    let body = |urls: &str| {
        format!(
            "AccountSid=AC1&MessageSid=MM1&From=whatsapp%3A%2B447700900123&To=whatsapp%3A%2B15005550006&NumMedia=1&Body=look{urls}"
        )
    };
    let urls = "&MediaUrl0=https%3A%2F%2Fa.example%2F0&MediaContentType0=image%2Fjpeg&MediaUrl1=https%3A%2F%2Fa.example%2F1\
        &MediaContentType1=application%2Fpdf&MediaUrl2=https%3A%2F%2Fa.example%2F2&MediaUrl4=https%3A%2F%2Fa.example%2F4";
    let parsed = parse("", &body(urls)).unwrap();
    assert_eq!(
        parsed,
        parse("", &body(urls)).unwrap(),
        "the same each time"
    );
    let mut found = Vec::new();
    for (index, item) in (0..).zip(&parsed.items) {
        assert_eq!(item.index, index);
        let ItemBody::Message(message) = &item.body else {
            panic!("a message");
        };
        let (_, media) = message.content.media().unwrap();
        found.push((
            message.provider_id.as_str(),
            message.content.kind(),
            message.content.text(),
            media.link.as_deref().unwrap(),
            message.further,
        ));
    }
    // `NumMedia` is a hint only; what is missing ends the list.
    assert_eq!(
        found,
        [
            ("MM1", "image", Some("look"), "https://a.example/0", false),
            ("MM1/1", "document", None, "https://a.example/1", true),
            ("MM1/2", "document", None, "https://a.example/2", true),
        ]
    );
    let many: String = (0..12)
        .map(|n| format!("&MediaUrl{n}=https%3A%2F%2Fa.example%2F{n}"))
        .collect();
    assert_eq!(parse("", &body(&many)).unwrap().items.len(), 10);
    let place = format!("{urls}&Latitude=1&Longitude=2");
    assert_eq!(parse("", &body(&place)).unwrap().items.len(), 1);
}

#[test]
fn a_status_without_a_number_is_its_services() {
    let peek = |from: &str| {
        let body = format!(
            "AccountSid=AC1&MessageSid=SM1&MessageStatus=sent&MessagingServiceSid=MG1&To=whatsapp%3A%2B447700900123{from}"
        );
        Twilio.peek(Recorded {
            query: "",
            body: body.as_bytes(),
        })
    };
    let service = Route {
        account_id: Some("AC1".into()),
        service_id: Some("MG1".into()),
        ..Route::default()
    };
    assert_eq!(peek(""), std::slice::from_ref(&service));
    let numbered = Route {
        sender_id: Some("AC1/+15005550006".into()),
        ..service
    };
    assert_eq!(peek("&From=whatsapp%3A%2B15005550006"), [numbered]);
    let sms = Route {
        account_id: Some("AC1".into()),
        ..Route::default()
    };
    assert_eq!(peek("&From=%2B15005550006"), [sms]);
}
