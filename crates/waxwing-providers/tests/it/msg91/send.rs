//! Every example of a send through MSG91 against the request that we build, and what cannot be sent.

use serde_json::{Value, json};
use waxwing_core::channel::{Credentials, credential};
use waxwing_core::content::{Button, Content, Frame, Media, Row, Section};
use waxwing_core::errors::SendOutcome;
use waxwing_core::identity::{Bsuid, ProviderMessageId};
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;
use waxwing_providers::http::HttpRequest;
use waxwing_providers::messaging::msg91::Msg91;
use waxwing_providers::messaging::{
    Account, BuildError, Endpoints, Messaging, Outgoing, Recipient,
};

use crate::support;

const CALLBACK: &str = "wax-msg-01J0000000000000000000001";

fn account() -> Account {
    Account {
        sender_id: "15005550006".into(),
        account_id: None,
        credentials: Credentials::new().with(credential::AUTH_KEY, Secret::new("test-authkey")),
    }
}

fn phone() -> Recipient {
    Recipient::Phone(Phone::from_wa_id("447700900123").unwrap())
}

fn send(
    account: &Account,
    to: &Recipient,
    content: &Content,
    callback: &str,
) -> Result<HttpRequest, BuildError> {
    let quoted = ProviderMessageId::parse("wamid.QUOTED").unwrap();
    let message = Outgoing {
        to,
        content,
        reply_to: Some(&quoted),
        callback,
        asset: None,
    };
    Msg91.build_send(account, &Endpoints::default(), message)
}

fn body(content: &Content) -> Value {
    let request = send(&account(), &phone(), content, CALLBACK).unwrap();
    serde_json::from_slice(&request.body).unwrap()
}

fn refused(content: &Content) -> BuildError {
    send(&account(), &phone(), content, CALLBACK).unwrap_err()
}

fn media(link: &str, caption: Option<&str>, filename: Option<&str>) -> Media {
    Media {
        link: Some(link.into()),
        caption: caption.map(Into::into),
        filename: filename.map(Into::into),
        ..Media::default()
    }
}

fn template(components: Value) -> Content {
    Content::MessageTemplate {
        name: "booking_confirmed".into(),
        language: "en".into(),
        components: serde_json::from_value(components).unwrap(),
    }
}

/// The contents of the examples of plain messages.
fn plain() -> Vec<(&'static str, Content)> {
    vec![
        (
            "send-text.json",
            Content::Text {
                body: "Hello 👋 नमस्ते".into(),
                preview_url: true,
            },
        ),
        (
            "send-image.json",
            Content::Image(media(
                "https://waxwing.example.com/m/1.jpg",
                Some("Alps"),
                None,
            )),
        ),
        (
            "send-video.json",
            Content::Video(media("https://waxwing.example.com/m/1.mp4", None, None)),
        ),
        (
            "send-audio.json",
            Content::Audio(Media {
                voice: true,
                ..media("https://waxwing.example.com/m/1.ogg", None, None)
            }),
        ),
        (
            "send-document.json",
            Content::Document(media(
                "https://waxwing.example.com/m/t.pdf",
                None,
                Some("ticket.pdf"),
            )),
        ),
        (
            "send-location.json",
            Content::Location {
                latitude: 51.5007,
                longitude: -0.1246,
                name: Some("Westminster Bridge".into()),
                address: Some("London SE1".into()),
            },
        ),
        (
            "send-contacts.json",
            Content::Contacts {
                contacts: vec![json!({
                    "name": {"formatted_name": "Waxwing Support", "first_name": "Waxwing"},
                    "phones": [{"phone": "+15005550006", "type": "WORK"}],
                })],
            },
        ),
    ]
}

/// The contents of the examples with buttons, lists and templates.
fn composed() -> Vec<(&'static str, Content)> {
    let row = |id: &str, title: &str, description: Option<&str>| Row {
        id: id.into(),
        title: title.into(),
        description: description.map(Into::into),
    };
    let button = |id: &str, title: &str| Button {
        id: id.into(),
        title: title.into(),
    };
    let text = |text: &str| json!({"type": "text", "text": text});
    vec![
        (
            "send-buttons.json",
            Content::InteractiveButton {
                frame: Frame {
                    header: Some("Tour".into()),
                    footer: Some("Waxwing Tours".into()),
                },
                body: "Is 18:00 right for you?".into(),
                buttons: vec![button("slot:yes", "Yes"), button("slot:no", "No")],
            },
        ),
        (
            "send-list.json",
            Content::InteractiveList {
                frame: Frame::default(),
                body: "What is it about?".into(),
                button: "Choose".into(),
                sections: vec![Section {
                    title: Some("Departments".into()),
                    rows: vec![
                        row("dept:billing", "Billing", Some("Invoices")),
                        row("dept:tech", "Technical help", None),
                    ],
                }],
            },
        ),
        (
            "send-template-with-crqid.json",
            template(json!([{"type": "body", "parameters": [text("Ada"), text("BK-118")]}])),
        ),
        (
            "send-template-header-and-button.json",
            template(json!([
                {"type": "header", "parameters": [{"type": "document", "document":
                    {"link": "https://waxwing.example.com/m/t.pdf", "filename": "ticket.pdf"}}]},
                {"type": "body", "parameters": [text("Ada")]},
                {"type": "button", "sub_type": "url", "index": "0", "parameters": [text("abc")]},
            ])),
        ),
    ]
}

#[test]
fn every_kind_is_sent_as_in_its_example() {
    for (file, content) in plain().into_iter().chain(composed()) {
        let example = support::json(&format!("msg91/requests/{file}"));
        let mut expected = example["request"]["json"].clone();
        let has_reference = expected.get("CRQID").is_some();
        // The recipient again, as some clients do; the namespace is optional.
        if let Some(Value::Object(payload)) = expected.get_mut("payload") {
            if let Some(Value::Object(template)) = payload.get_mut("template") {
                template.remove("namespace");
            } else {
                payload.insert("to".into(), "447700900123".into());
            }
        }
        let callback = if has_reference { CALLBACK } else { "" };
        let request = send(&account(), &phone(), &content, callback).unwrap();
        let found: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(found, expected, "{file}");
        assert_eq!(request.method, http::Method::POST, "{file}");
        let path = example["request"]["path"].as_str().unwrap();
        assert_eq!(
            request.url,
            format!("https://control.msg91.com{path}"),
            "{file}"
        );
        for (name, value) in example["request"]["headers"].as_object().unwrap() {
            assert_eq!(
                request.headers[name.as_str()],
                value.as_str().unwrap(),
                "{file}"
            );
        }
        let answer = support::outcome(&json!({
            "status": example["response"]["status"],
            "headers": example["response"]["headers"],
            "body": example["response"]["json"],
        }));
        assert!(
            matches!(Msg91.interpret_send(&answer), SendOutcome::Accepted(_)),
            "{file}"
        );
    }
}

#[test]
fn variables_are_numbered_and_on_one_line() {
    let found = body(&template(json!([
        {"type": "HEADER", "parameters": [{"type": "image", "image": {"link": "https://x.example.com/1"}}]},
        {"type": "body", "parameters": [
            {"type": "text", "text": "two\r\nlines\tand\na tab"},
            {"type": "currency", "currency": {"fallback_value": "€ 5", "code": "EUR", "amount_1000": 5000}},
        ]},
        {"type": "button", "sub_type": "URL", "index": 1, "parameters": [{"type": "text", "text": "abc"}]},
        {"type": "button", "sub_type": "quick_reply", "index": "0"},
    ])));
    assert_eq!(
        found["payload"]["template"]["to_and_components"],
        json!([{"to": ["447700900123"], "components": {
            "header_1": {"type": "image", "value": "https://x.example.com/1"},
            "body_1": {"type": "text", "value": "two lines and a tab"},
            "body_2": {"type": "text", "value": "€ 5"},
            "button_2": {"subtype": "url", "type": "text", "value": "abc"},
        }}])
    );
    assert_eq!(found["CRQID"], CALLBACK);
    let bare = body(&template(json!([])));
    assert_eq!(
        bare["payload"]["template"]["to_and_components"][0]["components"],
        json!({})
    );
}

#[test]
fn what_msg91_cannot_carry_is_refused() {
    let by_id = Media {
        id: Some("1".into()),
        ..Media::default()
    };
    let not_carried = [
        Content::Reaction {
            emoji: Some("👍".into()),
        },
        Content::Sticker(media("https://x.example.com/s.webp", None, None)),
        Content::Image(by_id),
        template(
            json!([{"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]}]),
        ),
        template(json!([{"type": "header", "parameters": [{"type": "location", "location": {}}]}])),
        template(
            json!([{"type": "body", "parameters": [{"type": "text", "parameter_name": "n", "text": "x"}]}]),
        ),
        template(
            json!([{"type": "button", "sub_type": "quick_reply", "index": "0",
            "parameters": [{"type": "payload", "payload": "x"}]}]),
        ),
        template(json!([{"type": "carousel", "cards": []}])),
        template(json!(["what"])),
    ];
    for content in not_carried {
        let error = refused(&content);
        assert!(
            matches!(
                error,
                BuildError::NotCarried {
                    provider: "MSG91",
                    ..
                }
            ),
            "{content:?}: {error:?}"
        );
    }
    assert_eq!(refused(&Content::Revoke), BuildError::NotSendable("revoke"));
    assert_eq!(
        refused(&Content::Image(Media::default())),
        BuildError::NoMedia
    );
    assert!(matches!(
        refused(&template(
            json!([{"type": "body", "parameters": [{"type": "text"}]}])
        )),
        BuildError::Content(_)
    ));
}

#[test]
fn the_channel_and_the_recipient_are_checked_before_the_call() {
    let hello = Content::Text {
        body: "hello".into(),
        preview_url: false,
    };
    let result = |account: &Account, to: &Recipient, callback: &str| {
        send(account, to, &hello, callback).map(|_| ())
    };
    let user = Recipient::UserId(Bsuid::parse("US.13491208655302741918").unwrap());
    assert_eq!(
        result(&account(), &user, ""),
        Err(BuildError::NeedsPhone("MSG91"))
    );
    let long = "x".repeat(513);
    assert_eq!(
        result(&account(), &phone(), &long),
        Err(BuildError::CallbackData)
    );
    for key in ["", "line\nbreak"] {
        let mut account = account();
        account
            .credentials
            .set(credential::AUTH_KEY, Secret::new(key));
        assert_eq!(
            result(&account, &phone(), ""),
            Err(BuildError::Credential("auth key"))
        );
    }
    for sender in ["", "me", "../15005550006"] {
        let account = Account {
            sender_id: sender.into(),
            ..account()
        };
        assert_eq!(
            result(&account, &phone(), ""),
            Err(BuildError::Channel("integrated number"))
        );
    }
    let plus = Account {
        sender_id: "+15005550006".into(),
        ..account()
    };
    let request = send(&plus, &phone(), &hello, "").unwrap();
    let found: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(found["integrated_number"], "15005550006");
    let shown = format!("{request:?}");
    assert!(!shown.contains("test-authkey") && !shown.contains("447700900123"));
    let endpoints = Endpoints {
        msg91_url: "ftp://x".into(),
        ..Endpoints::default()
    };
    assert_eq!(
        Msg91.build_check(&account(), &endpoints).map(|_| ()),
        Err(BuildError::Channel("MSG91 URL"))
    );
}
