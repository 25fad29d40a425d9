//! The list of sent messages, for sends whose outcome is unknown.

use serde_json::{Value, json};
use waxwing_core::channel::credential;
use waxwing_core::content::{Content, Media};
use waxwing_core::errors::ErrorClass;
use waxwing_core::identity::Bsuid;
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;
use waxwing_core::status::DeliveryStatus;
use waxwing_core::time::Timestamp;
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::meta::Meta;
use waxwing_providers::messaging::twilio::Twilio;
use waxwing_providers::messaging::{BuildError, Messaging, Outgoing, Recipient};

use super::{ACCOUNT, account, answer, endpoints, rest};

fn outgoing<'a>(to: &'a Recipient, content: &'a Content) -> Outgoing<'a> {
    Outgoing {
        to,
        content,
        reply_to: None,
        callback: "",
        asset: None,
    }
}

fn phone() -> Recipient {
    Recipient::Phone(Phone::from_wa_id("447700900123").unwrap())
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.to_owned(),
        preview_url: false,
    }
}

#[test]
fn asks_for_one_pair_with_the_text_as_it_was_sent() {
    let lookup = |to: &Recipient, content: &Content| {
        Twilio
            .build_lookup(&account(), &endpoints(), outgoing(to, content))
            .unwrap()
    };
    let asked = lookup(&phone(), &text("Hello"));
    assert_eq!(asked.text.as_deref(), Some("Hello"));
    assert_eq!(asked.request.method, "GET");
    assert_eq!(
        asked.request.url,
        format!(
            "https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json?To=whatsapp%3A%2B447700900123\
             &From=whatsapp%3A%2B15005550006&PageSize=40"
        )
    );
    assert!(asked.request.headers["authorization"].is_sensitive());
    let hidden = Recipient::UserId(Bsuid::parse("GB.123abc").unwrap());
    assert!(
        lookup(&hidden, &text("x"))
            .request
            .url
            .contains("To=whatsapp%3AGB.123abc&")
    );
    let caption = |link: Option<&str>| {
        Content::Image(Media {
            link: link.map(str::to_owned),
            caption: Some("a cat".to_owned()),
            ..Media::default()
        })
    };
    let linked = caption(Some("https://a.example/a.jpg"));
    assert_eq!(lookup(&phone(), &linked).text.as_deref(), Some("a cat"));
    assert_eq!(lookup(&phone(), &caption(None)).text, None);
    let template = Content::MessageTemplate {
        name: format!("HX{}", "a".repeat(32)),
        language: "en".to_owned(),
        components: Vec::new(),
    };
    assert_eq!(lookup(&phone(), &template).text, None, "Twilio shows none");
}

#[test]
fn reads_what_was_sent_page_by_page() {
    let page = Twilio
        .interpret_lookup(&account(), &endpoints(), &answer(&rest("list-page-1")))
        .unwrap();
    let [sent] = page.messages.as_slice() else {
        panic!("what came in is left out");
    };
    assert_eq!(
        sent.provider_id.as_str(),
        "SM00000000000000000000000000000001"
    );
    assert_eq!(
        (sent.text.as_deref(), sent.status, &sent.error),
        (Some("Hello"), Some(DeliveryStatus::Read), &None)
    );
    assert_eq!(sent.created_at, Timestamp::parse("2026-11-21T08:00:00Z"));
    let next = page.next.unwrap();
    assert!(
        next.url
            .ends_with("&Page=1&PageToken=PASM00000000000000000000000000000002")
    );
    assert!(next.headers.contains_key("authorization"));
    let last = Twilio
        .interpret_lookup(&account(), &endpoints(), &answer(&rest("list-last-page")))
        .unwrap();
    assert!(last.messages.is_empty() && last.next.is_none());
}

fn page(body: &Value) -> HttpOutcome {
    HttpOutcome::Response {
        status: 200,
        headers: http::HeaderMap::new(),
        body: serde_json::to_vec(body).unwrap().into(),
    }
}

#[test]
fn half_a_list_is_none() {
    let read = |answer: &HttpOutcome| Twilio.interpret_lookup(&account(), &endpoints(), answer);
    let message =
        json!({"direction": "outbound-api", "sid": "SM1", "body": "x", "status": "queued"});
    let good = read(&page(
        &json!({"messages": [message], "next_page_uri": null}),
    ))
    .unwrap();
    assert_eq!(
        (good.messages[0].status, good.messages[0].created_at),
        (None, None)
    );
    let nameless = json!({"direction": "outbound-api", "body": "x"});
    let path = |rest: &str| format!("/2010-04-01/Accounts/{rest}");
    let elsewhere = |uri: String| page(&json!({"messages": [message], "next_page_uri": uri}));
    let broken = [
        page(&json!({})),
        page(&json!({"messages": {}})),
        page(&json!({"messages": "none"})),
        page(&json!([])),
        page(&json!({"messages": [message, 1]})),
        page(&json!({"messages": [message, nameless]})),
        elsewhere("https://evil.example/2010-04-01".to_owned()),
        elsewhere(path("AC2/Messages.json?Page=1")),
        elsewhere(path(&format!("{ACCOUNT}/Messages.json"))),
        elsewhere(path(&format!("{ACCOUNT}/Messages.json?a b"))),
        HttpOutcome::TooLarge,
        HttpOutcome::Lost("a timeout".to_owned()),
        answer(&rest("error-503-html")),
    ];
    for (number, answer) in broken.iter().enumerate() {
        assert!(read(answer).is_err(), "{number}");
    }
    let refused = read(&answer(&rest("error-401-authenticate"))).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Credentials);
}

#[test]
fn a_failure_is_listed_with_its_reason() {
    let listed = json!({"direction": "outbound-api", "sid": "SM1", "status": "undelivered", "error_code": 63016,
        "error_message": null, "date_created": "Sat, 21 Nov 2026 08:00:00 +0000"});
    let page = Twilio
        .interpret_lookup(
            &account(),
            &endpoints(),
            &page(&json!({"messages": [listed]})),
        )
        .unwrap();
    let error = page.messages[0].error.as_ref().unwrap();
    assert_eq!(page.messages[0].status, Some(DeliveryStatus::Failed));
    assert_eq!(error.class, ErrorClass::WindowClosed);
}

#[test]
fn a_provider_without_a_list_says_so() {
    assert!(Twilio.has_list() && !Meta.has_list());
    let (to, content) = (phone(), text("x"));
    let built = Meta.build_lookup(&account(), &endpoints(), outgoing(&to, &content));
    assert!(matches!(built, Err(BuildError::NotCarried { .. })));
    let read = Meta.interpret_lookup(&account(), &endpoints(), &page(&json!({"messages": []})));
    assert!(read.is_err());
}

#[test]
fn what_a_service_sent_may_come_from_any_number() {
    let mut account = account();
    let service = format!("MG{}", "a".repeat(32));
    account.credentials.set(
        credential::MESSAGING_SERVICE_SID,
        Secret::new(service.as_str()),
    );
    let (to, content) = (phone(), text("x"));
    let asked = Twilio
        .build_lookup(&account, &endpoints(), outgoing(&to, &content))
        .unwrap();
    assert!(!asked.request.url.contains("From="));
    let listed = |sid: &str, from: Option<&str>, service: Option<&str>| json!({"direction": "outbound-api", "sid": sid, "from": from, "messaging_service_sid": service});
    let answer = page(&json!({"messages": [
        listed("SM1", Some("whatsapp:+15005550009"), Some(&service)),
        listed("SM2", None, Some(&service)),
        listed("SM3", Some("whatsapp:+15005550006"), None),
        listed("SM4", Some("whatsapp:+15005550009"), None),
        listed("SM5", Some("whatsapp:+15005550009"), Some("MGother")),
    ]}));
    let read = Twilio
        .interpret_lookup(&account, &endpoints(), &answer)
        .unwrap();
    let found: Vec<&str> = read
        .messages
        .iter()
        .map(|listed| listed.provider_id.as_str())
        .collect();
    assert_eq!(found, ["SM1", "SM2", "SM3"]);
}
