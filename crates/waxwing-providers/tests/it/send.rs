//! Every example of a send against the request that we build, and its answer against what we make of it.

use crate::wire::{
    BuildError, ChannelConfig, Recipient, build_check, build_send, interpret_check, interpret_send,
};
use serde_json::{Map, Value, json};
use waxwing_core::content::{Button, Content, Frame, Media, Row, Section};
use waxwing_core::errors::SendOutcome;
use waxwing_core::identity::{Bsuid, ProviderMessageId};
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;
use waxwing_providers::http::{HttpOutcome, HttpRequest};

use crate::support;

/// Examples of sends that we cannot or do not want to build, each with the reason.
const LEFT_OUT: [(&str, &str); 19] = [
    (
        "interactive-address-message-india.json",
        "no such content in the core",
    ),
    (
        "interactive-buttons-image-header.json",
        "headers are texts only",
    ),
    (
        "interactive-call-permission-request.json",
        "no such content in the core",
    ),
    ("interactive-catalog.json", "no such content in the core"),
    ("interactive-cta-url.json", "no such content in the core"),
    ("interactive-flow-draft.json", "no such content in the core"),
    (
        "interactive-flow-published.json",
        "no such content in the core",
    ),
    (
        "interactive-location-request.json",
        "no such content in the core",
    ),
    (
        "interactive-media-carousel-quick-replies.json",
        "no such content in the core",
    ),
    (
        "interactive-media-carousel-url.json",
        "no such content in the core",
    ),
    (
        "interactive-order-status.json",
        "no such content in the core",
    ),
    (
        "interactive-product-carousel.json",
        "no such content in the core",
    ),
    (
        "interactive-product-list.json",
        "no such content in the core",
    ),
    (
        "interactive-request-contact-info.json",
        "no such content in the core",
    ),
    (
        "interactive-single-product.json",
        "no such content in the core",
    ),
    ("mark-as-read-with-typing-indicator.json", "not a message"),
    ("mark-as-read.json", "not a message"),
    ("marketing-messages-endpoint.json", "another endpoint"),
    ("text-to-group.json", "messages to groups are not sent"),
];
/// Examples whose recipient or options are others than ours.
const OTHER_WORDS: [(&str, &str); 3] = [
    (
        "text-to-phone-and-user-id.json",
        "one recipient is enough, and `to` wins",
    ),
    (
        "text-user-id-wrongly-in-to.json",
        "the mistake that our types make impossible",
    ),
    (
        "text-with-identity-key-hash.json",
        "identity checks are not used",
    ),
];

fn config() -> ChannelConfig {
    ChannelConfig {
        phone_number_id: "106540352242922".into(),
        access_token: Secret::new("EAAJB-test-token"),
        graph_url: "https://graph.facebook.com".into(),
        api_version: "v25.0".into(),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(Into::into)
}

/// The content that an example sends.
fn content(body: &Value) -> Content {
    let kind = body["type"].as_str().unwrap();
    let part = &body[kind];
    let media = || Media {
        id: text(&part["id"]),
        link: text(&part["link"]),
        caption: text(&part["caption"]),
        filename: text(&part["filename"]),
        voice: part["voice"].as_bool().unwrap_or_default(),
        ..Media::default()
    };
    match kind {
        "text" => Content::Text {
            body: text(&part["body"]).unwrap(),
            preview_url: part["preview_url"].as_bool().unwrap_or_default(),
        },
        "image" => Content::Image(media()),
        "video" => Content::Video(media()),
        "audio" => Content::Audio(media()),
        "document" => Content::Document(media()),
        "sticker" => Content::Sticker(media()),
        "location" => Content::Location {
            latitude: part["latitude"].as_str().unwrap().parse().unwrap(),
            longitude: part["longitude"].as_str().unwrap().parse().unwrap(),
            name: text(&part["name"]),
            address: text(&part["address"]),
        },
        "contacts" => Content::Contacts {
            contacts: part.as_array().unwrap().clone(),
        },
        "reaction" => Content::Reaction {
            emoji: text(&part["emoji"]).filter(|emoji| !emoji.is_empty()),
        },
        "template" => Content::MessageTemplate {
            name: text(&part["name"]).unwrap(),
            language: text(&part["language"]["code"]).unwrap(),
            components: part["components"].as_array().cloned().unwrap_or_default(),
        },
        "interactive" => interactive(part),
        other => panic!("{other}"),
    }
}

fn interactive(part: &Value) -> Content {
    let frame = Frame {
        header: text(&part["header"]["text"]),
        footer: text(&part["footer"]["text"]),
    };
    let body = text(&part["body"]["text"]).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    match part["type"].as_str().unwrap() {
        "button" => {
            let buttons = list(&part["action"]["buttons"]);
            Content::InteractiveButton {
                frame,
                body,
                buttons: buttons
                    .iter()
                    .map(|button| Button {
                        id: text(&button["reply"]["id"]).unwrap(),
                        title: text(&button["reply"]["title"]).unwrap(),
                    })
                    .collect(),
            }
        }
        "list" => {
            let row = |row: &Value| Row {
                id: text(&row["id"]).unwrap(),
                title: text(&row["title"]).unwrap(),
                description: text(&row["description"]),
            };
            let sections = list(&part["action"]["sections"]);
            Content::InteractiveList {
                frame,
                body,
                button: text(&part["action"]["button"]).unwrap(),
                sections: sections
                    .iter()
                    .map(|section| Section {
                        title: text(&section["title"]),
                        rows: list(&section["rows"]).iter().map(row).collect(),
                    })
                    .collect(),
            }
        }
        other => panic!("{other}"),
    }
}

/// What an example means, with Meta's defaults written out and the phone with its `+`, as we write it.
fn normal(body: &Value) -> Value {
    let mut body = body.clone();
    let map = body.as_object_mut().unwrap();
    map.entry("recipient_type").or_insert(json!("individual"));
    if let Some(Value::String(to)) = map.get_mut("to") {
        *to = Phone::from_wa_id(to).unwrap().e164();
    }
    if let Some(Value::Object(text)) = map.get_mut("text") {
        text.entry("preview_url").or_insert(json!(false));
    }
    body
}

fn built(request: &HttpRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn every_example_is_built_and_its_answer_understood() {
    let files = support::files("send");
    assert_eq!(files.len(), 59);
    let left_out: Vec<&str> = LEFT_OUT
        .iter()
        .chain(&OTHER_WORDS)
        .map(|(file, _)| *file)
        .collect();
    for file in &left_out {
        assert!(files.iter().any(|(name, _)| name == file), "{file}");
    }
    let mut built_count = 0;
    for (file, fixture) in files {
        let fixture: Value = serde_json::from_slice(&fixture).unwrap();
        let expected = &fixture["request"]["body"];
        let answer = support::outcome(&fixture["response"]);
        if expected.get("status").is_none() {
            accepted(&file, &answer, &fixture["response"]["body"]);
        }
        if left_out.contains(&file.as_str()) {
            continue;
        }
        let to = match (expected["to"].as_str(), expected["recipient"].as_str()) {
            (Some(phone), None) => Recipient::Phone(Phone::from_wa_id(phone).unwrap()),
            (None, Some(id)) => Recipient::UserId(Bsuid::parse(id).unwrap()),
            other => panic!("{file}: {other:?}"),
        };
        let message_id = |value: &Value| value.as_str().and_then(ProviderMessageId::parse);
        let about = message_id(&expected["context"]["message_id"])
            .or_else(|| message_id(&expected["reaction"]["message_id"]));
        let callback = expected["biz_opaque_callback_data"]
            .as_str()
            .unwrap_or_default();
        let request =
            build_send(&config(), &to, &content(expected), about.as_ref(), callback).unwrap();
        assert_eq!(built(&request), normal(expected), "{file}");
        assert_eq!(
            request.url,
            format!(
                "https://graph.facebook.com{}",
                fixture["request"]["path"].as_str().unwrap()
            ),
            "{file}"
        );
        assert_eq!(request.method, http::Method::POST);
        let headers: Map<String, Value> =
            fixture["request"]["headers"].as_object().unwrap().clone();
        for (name, value) in headers {
            assert_eq!(
                request.headers[name.as_str()],
                value.as_str().unwrap(),
                "{file}"
            );
        }
        built_count += 1;
    }
    assert_eq!(built_count, 59 - left_out.len());
}

fn accepted(file: &str, answer: &HttpOutcome, body: &Value) {
    let SendOutcome::Accepted(accepted) = interpret_send(answer) else {
        panic!("{file}: {answer:?}");
    };
    let id = accepted.provider_id.as_ref().map(ProviderMessageId::as_str);
    assert_eq!(id, body["messages"][0]["id"].as_str(), "{file}");
    let held = body["messages"][0]["message_status"] == "held_for_quality_assessment";
    assert_eq!(accepted.held, held, "{file}");
    let contact = &body["contacts"][0];
    let phone = accepted.recipient.phone.as_ref().map(Phone::digits);
    assert_eq!(phone, contact["wa_id"].as_str(), "{file}");
    let user = accepted.recipient.user_id.as_ref().map(Bsuid::as_str);
    assert_eq!(user, contact["user_id"].as_str(), "{file}");
}

fn phone() -> Recipient {
    Recipient::Phone(Phone::from_wa_id("16505551234").unwrap())
}

fn hello() -> Content {
    Content::Text {
        body: "hello".into(),
        preview_url: false,
    }
}

#[test]
fn a_user_id_never_stands_in_the_phones_place() {
    let to = Recipient::UserId(Bsuid::parse("US.13491208655302741918").unwrap());
    let body = built(&build_send(&config(), &to, &hello(), None, "").unwrap());
    assert_eq!(body["recipient"], "US.13491208655302741918");
    assert!(body.get("to").is_none());
}

#[test]
fn what_cannot_be_sent_is_refused_before_the_call() {
    let send = |config: &ChannelConfig, content: &Content, callback: &str| {
        build_send(config, &phone(), content, None, callback).map(|_| ())
    };
    let long = "x".repeat(513);
    let reaction = Content::Reaction { emoji: None };
    let media = Content::Image(Media::default());
    let config = config();
    assert_eq!(
        send(&config, &Content::Revoke, ""),
        Err(BuildError::NotSendable("revoke"))
    );
    assert_eq!(send(&config, &reaction, ""), Err(BuildError::NoTarget));
    assert_eq!(send(&config, &media, ""), Err(BuildError::NoMedia));
    assert_eq!(
        send(&config, &hello(), &long),
        Err(BuildError::CallbackData)
    );
    assert_eq!(send(&config, &hello(), &long[1..]), Ok(()));
    for token in ["", "line\nbreak"] {
        let config = ChannelConfig {
            access_token: Secret::new(token),
            ..config.clone()
        };
        assert_eq!(
            send(&config, &hello(), ""),
            Err(BuildError::Credential("access token"))
        );
    }
    for id in ["", "1/../2", "..", "1?x=1", "1#"] {
        let config = ChannelConfig {
            phone_number_id: id.into(),
            ..config.clone()
        };
        assert_eq!(
            send(&config, &hello(), ""),
            Err(BuildError::Channel("phone number id")),
            "{id}"
        );
    }
    for url in ["", "graph.facebook.com", "file:///etc"] {
        let config = ChannelConfig {
            graph_url: url.into(),
            ..config.clone()
        };
        assert_eq!(
            send(&config, &hello(), ""),
            Err(BuildError::Channel("Graph URL")),
            "{url}"
        );
    }
}

#[test]
fn nothing_secret_or_personal_is_shown() {
    let content = Content::Text {
        body: "my balance".into(),
        preview_url: false,
    };
    let request = build_send(&config(), &phone(), &content, None, "attempt").unwrap();
    let shown = format!("{request:?} {:?}", config());
    for hidden in ["EAAJB", "16505551234", "balance"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[test]
fn a_number_is_checked() {
    let request = build_check(&config()).unwrap();
    assert_eq!(request.method, http::Method::GET);
    assert!(
        request
            .url
            .starts_with("https://graph.facebook.com/v25.0/106540352242922?fields=")
    );
    assert!(request.url.contains("health_status") && request.body.is_empty());

    let check = |file: &str| {
        interpret_check(&support::outcome(
            &support::json(&format!("api/{file}"))["response"],
        ))
    };
    let good = check("health-status-available.json");
    assert!(good.ok && good.problems.is_empty());
    assert_eq!(good.can_send.as_deref(), Some("AVAILABLE"));
    let limited = check("health-status-limited.json");
    assert!(limited.ok);
    assert_eq!(
        limited.problems,
        [
            "Number: Your display name has not been approved yet. Your message limit will increase after the display name is approved."
        ]
    );
    let blocked = check("health-status-template-blocked.json");
    assert!(!blocked.ok);
    assert_eq!(
        blocked.problems,
        [
            "Template: Message templates can only be sent out if they are approved. Edit or appeal the message template review decision. (141002)"
        ]
    );
    assert_eq!(
        check("phone-number-get.json").quality.as_deref(),
        Some("GREEN")
    );
    let missing = check("media-get-unknown-id.json");
    assert!(!missing.ok && missing.problems.len() == 1);
    assert_eq!(
        missing.error.unwrap().class,
        waxwing_core::errors::ErrorClass::ChannelBroken
    );
    let gone = interpret_check(&HttpOutcome::NotSent("refused".into()));
    assert!(!gone.ok && gone.problems.len() == 1);
    let page = interpret_check(&HttpOutcome::Response {
        status: 200,
        headers: http::HeaderMap::new(),
        body: "<html>".into(),
    });
    assert!(!page.ok);
    let expired = support::json("errors/auth-token-expired-190.json");
    let expired = interpret_check(&support::outcome(&expired));
    assert_eq!(
        expired.error.unwrap().class,
        waxwing_core::errors::ErrorClass::Credentials
    );
}
