//! Every example of a call against the request that we build.

use serde_json::{Value, json};
use waxwing_core::channel::{ChannelKind, credential};
use waxwing_core::content::Content;
use waxwing_core::errors::SendOutcome;
use waxwing_core::identity::{Bsuid, ProviderMessageId};
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;
use waxwing_providers::http::HttpRequest;
use waxwing_providers::messaging::dialog360::Dialog360;
use waxwing_providers::messaging::{
    Account, BuildError, Endpoints, Messaging, Outgoing, Recipient,
};

use super::{account, answers::answer, interpret};
use crate::support;

fn send(
    account: &Account,
    to: &Recipient,
    content: &Content,
    callback: &str,
) -> Result<HttpRequest, BuildError> {
    let message = Outgoing {
        to,
        content,
        reply_to: None,
        callback,
        asset: None,
    };
    Dialog360.build_send(account, &Endpoints::default(), message)
}

/// The request of an example, with Meta's defaults written out.
pub fn assert_request(file: &str, request: &HttpRequest, expected: &Value) {
    assert_eq!(request.method.as_str(), expected["method"], "{file}");
    assert_eq!(request.url, expected["url"].as_str().unwrap(), "{file}");
    for (name, value) in expected["headers"].as_object().unwrap() {
        assert_eq!(
            request.headers[name.as_str()],
            value.as_str().unwrap(),
            "{file}"
        );
    }
    let Some(expected) = expected.get("body") else {
        assert!(request.body.is_empty(), "{file}");
        return;
    };
    let mut expected = expected.clone();
    if let Some(map) = expected
        .as_object_mut()
        .filter(|map| map.contains_key("type"))
    {
        map.entry("recipient_type").or_insert(json!("individual"));
        if let Some(Value::Object(text)) = map.get_mut("text") {
            text.entry("preview_url").or_insert(json!(false));
        }
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, expected, "{file}");
}

#[test]
fn sends_are_as_in_the_examples() {
    let files = [
        "send-text.json",
        "send-text-status-201-without-contacts.json",
        "send-to-user-id.json",
        "send-template.json",
    ];
    for file in files {
        let example = support::json(&format!("dialog360/exchanges/{file}"));
        let body = &example["request"]["body"];
        let to = match body["to"].as_str() {
            Some(phone) => Recipient::Phone(Phone::from_wa_id(phone).unwrap()),
            None => Recipient::UserId(Bsuid::parse(body["recipient"].as_str().unwrap()).unwrap()),
        };
        let content = match body["type"].as_str().unwrap() {
            "text" => Content::Text {
                body: body["text"]["body"].as_str().unwrap().into(),
                preview_url: false,
            },
            _ => Content::MessageTemplate {
                name: body["template"]["name"].as_str().unwrap().into(),
                language: body["template"]["language"]["code"]
                    .as_str()
                    .unwrap()
                    .into(),
                components: body["template"]["components"].as_array().unwrap().clone(),
            },
        };
        let request = send(&account(), &to, &content, "").unwrap();
        assert_request(file, &request, &example["request"]);
        let SendOutcome::Accepted(accepted) = interpret(&example["response"]) else {
            panic!("{file}");
        };
        assert_eq!(
            accepted.provider_id.unwrap().as_str(),
            example["response"]["body"]["messages"][0]["id"],
            "{file}"
        );
    }
    // Old hosts answer with `meta` beside the message.
    let old = answer(
        201,
        &json!({"meta": {"api_status": "stable"}, "messages": [{"id": "short"}]}),
    );
    assert!(matches!(old, SendOutcome::Accepted(accepted) if accepted.provider_id.is_some()));
}

#[test]
fn a_message_is_marked_as_read() {
    let example = support::json("dialog360/exchanges/mark-as-read.json");
    let id = example["request"]["body"]["message_id"].as_str().unwrap();
    let id = ProviderMessageId::parse(id).unwrap();
    let read = |typing| {
        Dialog360
            .build_read(&account(), &Endpoints::default(), &id, typing)
            .unwrap()
            .unwrap()
    };
    assert_request("mark-as-read.json", &read(false), &example["request"]);
    let body: Value = serde_json::from_slice(&read(true).body).unwrap();
    assert_eq!(body["typing_indicator"], json!({"type": "text"}));
}

#[test]
fn the_address_and_the_key_are_checked_before_the_call() {
    let to = Recipient::Phone(Phone::from_wa_id("16505551234").unwrap());
    let hello = Content::Text {
        body: "hello".into(),
        preview_url: false,
    };
    let long = "x".repeat(513);
    assert_eq!(
        send(&account(), &to, &hello, &long).map(|_| ()),
        Err(BuildError::CallbackData)
    );
    for key in ["", "line\nbreak"] {
        let mut account = account();
        account
            .credentials
            .set(credential::API_KEY, Secret::new(key));
        assert_eq!(
            send(&account, &to, &hello, "").map(|_| ()),
            Err(BuildError::Credential("API key"))
        );
    }
    let nobody = Account {
        sender_id: String::new(),
        ..account()
    };
    assert_eq!(
        send(&nobody, &to, &hello, "").map(|_| ()),
        Err(BuildError::Channel("phone number id"))
    );
    // The key alone is enough while nobody has told the id.
    let untold = Account {
        sender_id: ChannelKind::unknown_sender("settings"),
        ..account()
    };
    assert!(send(&untold, &to, &hello, "").is_ok());
    let endpoints = Endpoints {
        dialog360_url: "waba-v2.360dialog.io".into(),
        ..Endpoints::default()
    };
    assert_eq!(
        Dialog360.build_check(&account(), &endpoints).map(|_| ()),
        Err(BuildError::Channel("360dialog URL"))
    );
    let shown = format!("{:?}", send(&account(), &to, &hello, "").unwrap());
    assert!(!shown.contains("test-d360-key") && !shown.contains("16505551234"));
}
