//! Every example of a call against the request that we build.

use serde_json::{Value, json};
use waxwing_core::channel::{Credentials, credential};
use waxwing_core::content::{Button, Content, Frame, Media, Row, Section};
use waxwing_core::identity::{Bsuid, ProviderMessageId};
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;
use waxwing_providers::http::HttpRequest;
use waxwing_providers::messaging::twilio::Twilio;
use waxwing_providers::messaging::{
    Account, BuildError, Endpoints, Messaging, Outgoing, Recipient,
};

use super::{PUBLIC_URL, TOKEN, account, endpoints, rest};

const CONTENT: &str = "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn phone() -> Recipient {
    Recipient::Phone(Phone::from_wa_id("447700900123").unwrap())
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.into(),
        preview_url: false,
    }
}

fn by_link(link: &str, caption: Option<&str>) -> Media {
    Media {
        link: Some(link.into()),
        caption: caption.map(Into::into),
        ..Media::default()
    }
}

fn send_to(
    to: &Recipient,
    content: &Content,
    endpoints: &Endpoints,
) -> Result<HttpRequest, BuildError> {
    let message = Outgoing {
        to,
        content,
        reply_to: None,
        callback: "",
        asset: Some(CONTENT),
    };
    Twilio.build_send(&account(), endpoints, message)
}

fn send(content: &Content) -> Result<HttpRequest, BuildError> {
    send_to(&phone(), content, &Endpoints::default())
}

/// The parameters of a form.
fn form(request: &HttpRequest) -> Value {
    form_urlencoded::parse(&request.body)
        .map(|(name, value)| json!([name, value]))
        .collect()
}

fn pair(request: &HttpRequest, name: &str) -> Option<String> {
    form_urlencoded::parse(&request.body)
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

#[track_caller]
fn same(request: &HttpRequest, example: &str) {
    let example = &rest(example)["request"];
    let (host, path) = (example["host"].as_str(), example["path"].as_str());
    assert_eq!(
        request.url,
        format!("https://{}{}", host.unwrap(), path.unwrap())
    );
    assert_eq!(request.method.as_str(), example["method"]);
    assert_eq!(
        request.headers["content-type"],
        example["headers"]["Content-Type"].as_str().unwrap()
    );
    assert_eq!(
        request.headers["authorization"],
        "Basic QUNhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYTp3YXh3aW5ndGVzdGF1dGh0b2tlbjAwMDAwMDAwMDAwMQ=="
    );
    match example.get("params") {
        Some(params) => {
            assert_eq!(form(request), *params);
            assert_eq!(request.body, example["body"].as_str().unwrap());
        }
        None => {
            let built: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(built["types"], example["json"]["types"]);
        }
    }
}

fn template(name: &str) -> Content {
    Content::MessageTemplate {
        name: name.into(),
        language: "en".into(),
        components: vec![json!({"type": "body", "parameters": [
            {"type": "text", "text": "Ada"}, {"type": "text", "text": "BK-118"}]})],
    }
}

#[test]
fn sends_look_like_the_examples() {
    let hello = text("Hello 👋 नमस्ते");
    same(
        &send_to(&phone(), &hello, &endpoints()).unwrap(),
        "send-text",
    );
    let file = by_link("https://waxwing.example.com/m/abc.pdf", Some("Your ticket"));
    same(&send(&Content::Document(file)).unwrap(), "send-media");
    let place = Content::Location {
        latitude: 51.5007,
        longitude: -0.1246,
        name: Some("Westminster Bridge".into()),
        address: Some("Meet here".into()),
    };
    same(&send(&place).unwrap(), "send-location");
    let templated = send_to(&phone(), &template(CONTENT), &endpoints()).unwrap();
    same(&templated, "send-content-template");
    let person = Recipient::UserId(Bsuid::parse("GB.1234567890123").unwrap());
    let to_person = send_to(&person, &text("hi"), &Endpoints::default()).unwrap();
    same(&to_person, "send-to-bsuid");
    let typing = ProviderMessageId::parse("SM00000000000000000000000000000001").unwrap();
    let read = |typing_wanted| Twilio.build_read(&account(), &endpoints(), &typing, typing_wanted);
    same(&read(true).unwrap().unwrap(), "typing-v2");
    assert!(read(false).unwrap().is_none());
    let check = Twilio.build_check(&account(), &endpoints()).unwrap();
    assert_eq!(
        check.url,
        "https://messaging.twilio.com/v2/Channels/Senders?Channel=whatsapp&PageSize=100"
    );
}

#[test]
fn the_marker_goes_into_the_address_of_the_callback() {
    let to = phone();
    let content = text("hi");
    let built = |public_url: Option<&str>, callback: &str| {
        let endpoints = Endpoints {
            public_url: public_url.map(str::to_owned),
            ..Endpoints::default()
        };
        let message = Outgoing {
            to: &to,
            content: &content,
            reply_to: None,
            callback,
            asset: None,
        };
        Twilio
            .build_send(&account(), &endpoints, message)
            .map(|request| pair(&request, "StatusCallback"))
    };
    assert_eq!(
        built(Some("https://a.example/p/"), "att/1 x")
            .unwrap()
            .unwrap(),
        "https://a.example/p/api/webhooks/whatsapp/status?m=att%2F1+x"
    );
    assert_eq!(built(None, "att"), Ok(None));
    assert_eq!(
        built(Some(PUBLIC_URL), &"x".repeat(513)),
        Err(BuildError::CallbackData)
    );
    for bad in ["https://my_host.example", "nonsense"] {
        assert!(
            matches!(built(Some(bad), ""), Err(BuildError::Channel(_))),
            "{bad}"
        );
    }
    assert!(built(Some("https://u_1@host.example/a_b"), "").is_ok());
}

fn buttons(frame: Frame, body: &str) -> Content {
    let button = |id: &str, title: &str| Button {
        id: id.into(),
        title: title.into(),
    };
    Content::InteractiveButton {
        frame,
        body: body.into(),
        buttons: vec![button("slot:yes", "Yes"), button("slot:no", "No")],
    }
}

fn row(id: &str, title: &str, description: Option<&str>) -> Row {
    Row {
        id: id.into(),
        title: title.into(),
        description: description.map(Into::into),
    }
}

fn list(sections: Vec<Section>) -> Content {
    Content::InteractiveList {
        frame: Frame::default(),
        body: "What is it about?".into(),
        button: "Choose".into(),
        sections,
    }
}

fn asset(content: &Content) -> Result<(String, Value), BuildError> {
    let need = Twilio
        .asset(&account(), &endpoints(), content)?
        .expect("it needs an asset");
    assert_eq!(need.request.url, "https://content.twilio.com/v1/Content");
    let body = serde_json::from_slice(&need.request.body).unwrap();
    Ok((need.key, body))
}

#[test]
fn buttons_and_lists_are_resources_with_the_body_as_a_variable() {
    let (key, built) = asset(&buttons(Frame::default(), "Is 18:00 right?")).unwrap();
    let mut expected = rest("content-create-quick-reply")["request"]["json"]["types"].clone();
    expected.as_object_mut().unwrap().remove("twilio/text");
    expected["twilio/quick-reply"]["body"] = "{{1}}".into();
    assert_eq!(built["types"], expected);
    assert_eq!(built["language"], "en");
    assert!(built["variables"]["1"].is_string());
    // Another text, header or footer is not another resource.
    let frame = Frame {
        header: Some("Tour".into()),
        footer: Some("Thanks".into()),
    };
    let framed = buttons(frame, "Is      19:00 right?");
    assert_eq!(asset(&framed).unwrap().0, key);
    let request = send(&framed).unwrap();
    assert_eq!(pair(&request, "ContentSid").as_deref(), Some(CONTENT));
    let variables: Value =
        serde_json::from_str(&pair(&request, "ContentVariables").unwrap()).unwrap();
    assert_eq!(
        variables,
        json!({"1": "Tour\n\nIs    19:00 right?\n\nThanks"})
    );
    assert_eq!(pair(&request, "Body"), None);

    let sections = vec![Section {
        title: None,
        rows: vec![
            row("dept:billing", "Billing", Some("Invoices and payments")),
            row("dept:tech", "Technical help", None),
        ],
    }];
    let (list_key, built) = asset(&list(sections)).unwrap();
    let mut expected = rest("content-create-list-picker")["request"]["json"]["types"].clone();
    expected["twilio/list-picker"]["body"] = "{{1}}".into();
    assert_eq!(built["types"], expected);
    assert_ne!(list_key, key);
    assert!(
        Twilio
            .asset(&account(), &endpoints(), &text("x"))
            .unwrap()
            .is_none()
    );
}

#[test]
fn sections_become_one_list() {
    let section = |title: &str, rows| Section {
        title: Some(title.into()),
        rows,
    };
    let (_, built) = asset(&list(vec![
        section("Monday", vec![row("1", "Nine", None)]),
        section("Tuesday", vec![row("2", "Ten", Some("few seats"))]),
    ]))
    .unwrap();
    assert_eq!(
        built["types"]["twilio/list-picker"]["items"],
        json!([
            {"id": "1", "item": "Nine", "description": "Monday"},
            {"id": "2", "item": "Ten", "description": "Tuesday: few seats"},
        ])
    );
    let many = |count: usize| {
        let rows = (0..count).map(|n| row(&n.to_string(), "x", None));
        list(vec![section("s", rows.collect())])
    };
    assert!(asset(&many(10)).is_ok());
    for count in [0, 11] {
        assert!(matches!(asset(&many(count)), Err(BuildError::Content(_))));
    }
}

#[test]
fn what_twilio_does_not_carry_is_refused() {
    let not_carried = [
        Content::Reaction {
            emoji: Some("👍".into()),
        },
        Content::Contacts {
            contacts: vec![json!({})],
        },
        Content::Image(Media {
            id: Some("17".into()),
            ..Media::default()
        }),
    ];
    for content in not_carried {
        assert!(
            matches!(
                send(&content),
                Err(BuildError::NotCarried {
                    provider: "Twilio",
                    ..
                })
            ),
            "{content:?}"
        );
    }
    assert_eq!(
        send(&Content::Image(Media::default())).err(),
        Some(BuildError::NoMedia)
    );
    assert_eq!(
        send(&Content::Revoke).err(),
        Some(BuildError::NotSendable("revoke"))
    );
    let refused = [
        text(&"x".repeat(1_601)),
        text(""),
        Content::Image(by_link("https://a.example/1", Some(&"x".repeat(1_601)))),
        buttons(Frame::default(), &"x".repeat(1_025)),
        buttons(Frame::default(), " "),
        template("order_ready"),
        template("HX"),
        Content::Location {
            latitude: f64::NAN,
            longitude: 0.0,
            name: None,
            address: None,
        },
    ];
    for content in &refused {
        let found = send(content);
        assert!(matches!(found, Err(BuildError::Content(_))), "{content:?}");
    }
    assert!(send(&text(&"ü".repeat(1_600))).is_ok());
    let to = phone();
    let without_asset = Outgoing {
        to: &to,
        content: &buttons(Frame::default(), "x"),
        reply_to: None,
        callback: "",
        asset: None,
    };
    assert!(
        Twilio
            .build_send(&account(), &endpoints(), without_asset)
            .is_err()
    );
}

#[test]
fn files_and_places_in_their_forms() {
    let sticker = send(&Content::Sticker(by_link(
        "https://a.example/s.webp",
        Some("x"),
    )))
    .unwrap();
    assert_eq!(pair(&sticker, "Body"), None);
    assert_eq!(
        pair(&sticker, "MediaUrl").as_deref(),
        Some("https://a.example/s.webp")
    );
    let place = |name: Option<&str>, address: Option<&str>| {
        let request = send(&Content::Location {
            latitude: -0.0000001,
            longitude: 179.5,
            name: name.map(Into::into),
            address: address.map(Into::into),
        })
        .unwrap();
        (
            pair(&request, "Body").unwrap(),
            pair(&request, "PersistentAction").unwrap(),
        )
    };
    let bare = "-0.0000001,179.5";
    assert_eq!(place(None, None), (bare.into(), format!("geo:{bare}")));
    assert_eq!(
        place(Some("A|B"), None),
        ("A|B".into(), format!("geo:{bare}|A B"))
    );
    assert_eq!(
        place(None, Some("Road 1")),
        ("Road 1".into(), format!("geo:{bare}|Road 1"))
    );
    let lower = send(&template(&CONTENT.to_lowercase())).unwrap();
    assert_eq!(pair(&lower, "ContentSid").as_deref(), Some(CONTENT));
}

#[test]
fn one_address_stands_for_all_hosts() {
    let endpoints = Endpoints {
        twilio_url: Some("http://127.0.0.1:9/".into()),
        ..endpoints()
    };
    let asset = Twilio
        .asset(&account(), &endpoints, &buttons(Frame::default(), "x"))
        .unwrap()
        .unwrap();
    let urls = [
        send_to(&phone(), &text("x"), &endpoints).unwrap().url,
        asset.request.url,
        Twilio.build_check(&account(), &endpoints).unwrap().url,
    ];
    for url in urls {
        assert!(url.starts_with("http://127.0.0.1:9/"), "{url}");
        assert!(!url[8..].contains("//"), "{url}");
    }
    let bad = Endpoints {
        twilio_url: Some("ftp://x".into()),
        ..Endpoints::default()
    };
    assert_eq!(
        send_to(&phone(), &text("x"), &bad).err(),
        Some(BuildError::Channel("Twilio URL"))
    );
}

#[test]
fn an_api_key_sends_in_place_of_the_token() {
    let header = |credentials: Credentials| {
        let account = Account {
            credentials,
            ..account()
        };
        let message = ProviderMessageId::parse("SM1").unwrap();
        Twilio
            .build_read(&account, &endpoints(), &message, true)
            .map(|request| request.unwrap().headers["authorization"].clone())
    };
    let sid = || Credentials::new().with(credential::API_KEY_SID, Secret::new("SK1"));
    let key = || sid().with(credential::API_KEY_SECRET, Secret::new("s3"));
    let value = header(key().with(credential::AUTH_TOKEN, Secret::new(TOKEN))).unwrap();
    assert_eq!(value, "Basic U0sxOnMz");
    assert!(value.is_sensitive());
    assert_eq!(header(sid()), Err(BuildError::Credential("auth token")));
    for bad in ["a b", "a\nb", "ü"] {
        let bad = Credentials::new().with(credential::AUTH_TOKEN, Secret::new(bad));
        assert!(matches!(header(bad), Err(BuildError::Credential(_))));
    }
}

#[test]
fn a_messaging_service_stands_in_place_of_the_number() {
    let (to, content) = (phone(), text("Hello"));
    let build = |service: &str| {
        let mut account = account();
        account
            .credentials
            .set(credential::MESSAGING_SERVICE_SID, Secret::new(service));
        let message = Outgoing {
            to: &to,
            content: &content,
            reply_to: None,
            callback: "",
            asset: None,
        };
        Twilio.build_send(&account, &endpoints(), message)
    };
    let built = build("MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
    let pairs: Vec<(String, String)> = form_urlencoded::parse(&built.body).into_owned().collect();
    let wanted = rest("send-with-messaging-service");
    let wanted: Vec<(String, String)> =
        serde_json::from_value(wanted["request"]["params"].clone()).unwrap();
    let without_callback = |pairs: Vec<(String, String)>| -> Vec<(String, String)> {
        let kept = pairs
            .into_iter()
            .filter(|(name, _)| name != "StatusCallback");
        kept.collect()
    };
    assert_eq!(without_callback(pairs), without_callback(wanted));
    assert!(matches!(build("MG/../1"), Err(BuildError::Channel(_))));
}

#[test]
fn senders_that_are_none_are_refused() {
    let message = ProviderMessageId::parse("SM1").unwrap();
    for bad in [
        "",
        "AC1",
        "AC1/",
        "/+15005550006",
        "A/C1/+15005550006",
        "AC1/12",
        "AC?/+15005550006",
    ] {
        let account = Account {
            sender_id: bad.to_owned(),
            ..account()
        };
        let built = Twilio.build_read(&account, &endpoints(), &message, true);
        assert!(matches!(built, Err(BuildError::Channel(_))), "{bad}");
    }
}
