//! Messages of users, their signature, retries and fallback, and the phone on a Twilio number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256};
use serde_json::{Value, json};
use waxwing_emulator::{
    Emulator, EmulatorConfig, Fault, FaultMatch, FaultPoint, FaultScript, Referral, SharedKey,
    TwilioNumber, User,
};

use super::{ACCOUNT, ADA, SENDER, SOON, TOKEN, ada, call, header, number, send, signature, start};
use crate::client;
use crate::receiver::Receiver;

async fn first(receiver: &Receiver) -> std::collections::BTreeMap<String, String> {
    last(receiver, 1).await
}

async fn last(receiver: &Receiver, n: usize) -> std::collections::BTreeMap<String, String> {
    receiver.wait("webhook", |r| r.hooks().len() >= n).await;
    receiver.hooks()[n - 1].form()
}

#[tokio::test]
async fn a_text_arrives_as_a_signed_form() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), number(&receiver)).await;
    let text = "Grüße, नमस्ते & a=b";
    let sid = ada(&emulator).say(text);
    let form = first(&receiver).await;
    for (name, value) in [
        ("MessageSid", sid.as_str()),
        ("SmsMessageSid", &sid),
        ("AccountSid", ACCOUNT),
        ("From", "whatsapp:+447700900123"),
        ("To", SENDER),
        ("WaId", ADA),
        ("ProfileName", "Ada Lovelace"),
        ("MessageType", "text"),
        ("Body", text),
        ("NumMedia", "0"),
        ("ReferralNumMedia", "0"),
    ] {
        assert_eq!(form[name], value, "{name}");
    }
    assert!(sid.starts_with("SM") && sid.len() == 34);
    let hook = &receiver.hooks()[0];
    assert_eq!(
        header(hook, "x-twilio-signature"),
        signature(HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN, &receiver.url(), hook)
    );
    let types = "application/x-www-form-urlencoded; charset=utf-8";
    assert_eq!(header(hook, "content-type"), types);
    assert!(emulator.webhooks_idle(SOON).await);
    let record = &emulator.ledger().webhooks()[0];
    assert!(record.delivered && record.attempts == 1);
}

#[tokio::test]
async fn shared_keys_and_wrong_keys() {
    let receiver = Receiver::start().await;
    let key = SharedKey {
        id: "webhooks_sharedkey_00000000000000000000000001".into(),
        secret: "shared".into(),
    };
    let mut number = number(&receiver);
    number.shared_key = Some(key);
    let emulator = start(EmulatorConfig::default(), number).await;
    ada(&emulator).say("x");
    receiver.wait("webhook", |r| r.hooks().len() == 1).await;
    let hook = receiver.hooks()[0].clone();
    assert_eq!(
        header(&hook, "x-twilio-webhooks-signature-settings"),
        "key=webhooks_sharedkey_00000000000000000000000001,algorithm=HMAC_SHA256"
    );
    let right = signature(HMAC_SHA256, "shared", &receiver.url(), &hook);
    assert_eq!(header(&hook, "x-twilio-signature"), right);
    emulator.set_faults(FaultScript::one(
        FaultPoint::Webhook,
        FaultMatch::all(),
        Fault::WrongSignature,
    ));
    ada(&emulator).say("y");
    receiver.wait("webhook", |r| r.hooks().len() == 2).await;
    let hook = receiver.hooks()[1].clone();
    let right = signature(HMAC_SHA256, "shared", &receiver.url(), &hook);
    assert_ne!(header(&hook, "x-twilio-signature"), right);
}

#[tokio::test]
async fn users_without_phone_and_with_both() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), number(&receiver)).await;
    let hidden = emulator
        .phone(SENDER, User::with_user_id("GB.1234567890123", "Ada"))
        .unwrap();
    hidden.say("hi");
    let form = first(&receiver).await;
    assert_eq!(form["From"], "whatsapp:GB.1234567890123");
    assert_eq!(form["ExternalUserId"], "whatsapp:GB.1234567890123");
    assert!(!form.contains_key("WaId"));
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    let fields = super::form(&[
        ("To", "whatsapp:GB.1234567890123"),
        ("From", SENDER),
        ("Body", "hello you"),
    ]);
    let (status, _) = call(&emulator, "POST", &path, Some(fields), false)
        .await
        .unwrap();
    assert_eq!(status, 201);
    assert_eq!(hidden.await_reply(SOON).await.unwrap().text, "hello you");
    let both = User {
        user_id: Some("GB.99".into()),
        username: Some("grace".into()),
        ..User::with_phone("447700900777", "Grace")
    };
    emulator.phone(SENDER, both).unwrap().say("hi");
    let form = last(&receiver, 2).await;
    assert_eq!(
        (form["From"].as_str(), form["ExternalUserId"].as_str()),
        ("whatsapp:+447700900777", "whatsapp:GB.99")
    );
    assert_eq!(form["ProfileUsername"], "grace");
}

#[tokio::test]
async fn buttons_and_lists_come_back() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), number(&receiver)).await;
    let phone = ada(&emulator);
    phone.say("hi");
    let quick = json!({ "language": "en", "types": { "twilio/quick-reply": {
        "body": "Is {{1}} right?", "actions": [
            { "type": "QUICK_REPLY", "title": "Yes", "id": "slot:yes" },
            { "type": "QUICK_REPLY", "title": "No", "id": "slot:no" }] } } });
    let quick = emulator.add_content(ACCOUNT, &quick).unwrap();
    let (_, sent) = send(
        &emulator,
        &[
            ("ContentSid", &quick),
            ("ContentVariables", r#"{"1":"18:00"}"#),
        ],
    )
    .await
    .unwrap();
    let shown = phone.await_reply(SOON).await.unwrap();
    assert_eq!(
        (shown.text.as_str(), shown.buttons.len()),
        ("Is 18:00 right?", 2)
    );
    phone.tap("slot:no").unwrap();
    let tap = last(&receiver, 2).await;
    for (name, value) in [
        ("ButtonPayload", "slot:no"),
        ("ButtonText", "No"),
        ("ButtonType", "REPLY"),
        ("Body", "No"),
        ("MessageType", "interactive"),
        ("OriginalRepliedMessageSid", sent["sid"].as_str().unwrap()),
        ("OriginalRepliedMessageSender", SENDER),
    ] {
        assert_eq!(tap[name], value, "{name}");
    }
    let list = json!({ "language": "en", "types": { "twilio/list-picker": {
        "body": "What is it about?", "button": "Choose", "items": [
            { "id": "dept:billing", "item": "Billing", "description": "Invoices" },
            { "id": "dept:tech", "item": "Technical help" }] } } });
    let list = emulator.add_content(ACCOUNT, &list).unwrap();
    send(&emulator, &[("ContentSid", &list)]).await.unwrap();
    let shown = phone.await_reply(SOON).await.unwrap();
    assert_eq!(shown.list_button.as_deref(), Some("Choose"));
    phone.pick("dept:tech").unwrap();
    let pick = last(&receiver, 3).await;
    assert_eq!(
        (pick["ListId"].as_str(), pick["ListTitle"].as_str()),
        ("dept:tech", "Technical help")
    );
    assert!(!pick.contains_key("ButtonPayload"));
}

#[tokio::test]
async fn places_advertisements_and_own_words() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), number(&receiver)).await;
    let phone = ada(&emulator);
    phone.send_location(51.5, -0.1246, Some("Bridge"), None);
    let place = first(&receiver).await;
    assert_eq!(
        [&place["Latitude"], &place["Longitude"], &place["Label"]],
        ["51.5", "-0.1246", "Bridge"]
    );
    assert_eq!(
        (place["Body"].as_str(), place["MessageType"].as_str()),
        ("", "location")
    );
    phone.say_from_ad(
        "I saw your ad",
        Referral {
            source_id: "12020".into(),
            source_type: "ad".into(),
            ctwa_clid: Some("ARAk".into()),
            ..Referral::default()
        },
    );
    let ad = last(&receiver, 2).await;
    assert_eq!(
        [
            &ad["ReferralSourceId"],
            &ad["ReferralSourceType"],
            &ad["ReferralCtwaClid"]
        ],
        ["12020", "ad", "ARAk"]
    );
    phone
        .send_raw(json!({ "type": "interactive", "Body": "Sent", "FlowData": "{\"a\":1}", "Tag": ["x", "y"] }))
        .unwrap();
    let raw = last(&receiver, 3).await;
    assert_eq!(
        (raw["FlowData"].as_str(), raw["Body"].as_str()),
        (r#"{"a":1}"#, "Sent")
    );
    let body = String::from_utf8(receiver.hooks()[2].body.to_vec()).unwrap();
    assert!(body.contains("Tag=x&Tag=y"));
}

#[tokio::test]
async fn media_is_fetched_through_another_host() {
    let receiver = Receiver::start().await;
    let emulator = start(EmulatorConfig::default(), number(&receiver)).await;
    let sid = ada(&emulator)
        .send_media(
            "image",
            "image/png",
            b"\x89PNG".to_vec().into(),
            Some("look"),
        )
        .unwrap();
    assert!(sid.starts_with("MM"));
    let form = first(&receiver).await;
    assert_eq!(form["NumMedia"], "1");
    assert_eq!(
        (form["MediaContentType0"].as_str(), form["Body"].as_str()),
        ("image/png", "look")
    );
    let url = &form["MediaUrl0"];
    assert_eq!(client().get(url).send().await.unwrap().status(), 401);
    let authorised = || client().get(url).basic_auth(ACCOUNT, Some(TOKEN)).send();
    let answer = authorised().await.unwrap();
    assert_eq!(answer.status(), 307);
    let cdn = answer.headers()["location"].to_str().unwrap().to_owned();
    let with = client()
        .get(&cdn)
        .basic_auth(ACCOUNT, Some(TOKEN))
        .send()
        .await
        .unwrap();
    assert_eq!(with.status(), 400);
    let without = client().get(&cdn).send().await.unwrap();
    assert_eq!(without.headers()["content-type"], "image/png");
    assert_eq!(&without.bytes().await.unwrap()[..], b"\x89PNG");
    let wrong = client()
        .get(cdn.replace("sig=", "sig=x"))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 403);
    let delete = client()
        .delete(format!("{url}.json"))
        .basic_auth(ACCOUNT, Some(TOKEN));
    assert_eq!(delete.send().await.unwrap().status(), 204);
    assert_eq!(authorised().await.unwrap().status(), 404);
}

#[tokio::test]
async fn overrides_repeat_with_the_same_token() {
    let receiver = Receiver::start().await;
    let mut number = number(&receiver);
    number.webhook_url = Some(format!("{}#rc=3&rp=all", receiver.url()));
    let emulator = start(EmulatorConfig::default(), number).await;
    receiver.script(&[500, 404, 503]);
    ada(&emulator).say("x");
    receiver
        .wait("fourth attempt", |r| r.hooks().len() == 4)
        .await;
    assert!(emulator.webhooks_idle(SOON).await);
    let hooks = receiver.hooks();
    let token = header(&hooks[0], "i-twilio-idempotency-token");
    assert!(!token.is_empty());
    assert!(
        hooks
            .iter()
            .all(|h| header(h, "i-twilio-idempotency-token") == token)
    );
    assert!(hooks.iter().all(|h| h.target == "/webhook"));
    let right = signature(
        HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        TOKEN,
        &receiver.url(),
        &hooks[0],
    );
    assert_eq!(header(&hooks[0], "x-twilio-signature"), right);
    let record = &emulator.ledger().webhooks()[0];
    assert!(record.delivered && record.attempts == 4 && !record.given_up);
}

#[tokio::test]
async fn the_fallback_is_called_with_the_error() {
    let receiver = Receiver::start().await;
    let mut number = number(&receiver);
    number.fallback_url = Some(format!("{}?fallback=1", receiver.url()));
    let emulator = start(EmulatorConfig::default(), number).await;
    receiver.script(&[500]);
    let sid = ada(&emulator).say("x");
    let form = last(&receiver, 2).await;
    let hook = receiver.hooks()[1].clone();
    assert_eq!(hook.target, "/webhook?fallback=1");
    assert_eq!(form["MessageSid"], sid);
    assert_eq!(
        (form["ErrorCode"].as_str(), form["ErrorUrl"].as_str()),
        ("11200", receiver.url().as_str())
    );
    let url = format!("{}?fallback=1", receiver.url());
    let right = signature(HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN, &url, &hook);
    assert_eq!(header(&hook, "x-twilio-signature"), right);
    // When that fails as well the message is only in the list.
    receiver.script(&[500, 500]);
    ada(&emulator).say("y");
    receiver.wait("both", |r| r.hooks().len() == 4).await;
    assert!(emulator.webhooks_idle(SOON).await);
    let records = emulator.ledger().webhooks();
    assert!(records[0].delivered && !records[0].given_up);
    assert!(!records[1].delivered && records[1].given_up && records[1].attempts == 2);
}

#[tokio::test]
async fn a_sender_learns_its_addresses_by_the_api() {
    let receiver = Receiver::start().await;
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let register = client()
        .post(format!("{}/phone/api/numbers", emulator.url()))
        .json(&json!({ "provider": "twilio", "sender": "+15005550007", "sender_sid": "XE1" }));
    let answer: Value = register.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        answer,
        json!({ "id": "whatsapp:+15005550007", "provider": "twilio" })
    );
    let request = json!({ "webhook": { "callback_url": receiver.url() } }).to_string();
    let (status, body) = call(
        &emulator,
        "POST",
        "/v2/Channels/Senders/XE1",
        Some(request),
        true,
    )
    .await
    .unwrap();
    assert_eq!((status, &body["status"]), (202, &json!("ONLINE:UPDATING")));
    assert_eq!(body["webhook"]["callback_url"], receiver.url());
    let phone = emulator
        .phone("whatsapp:+15005550007", User::with_phone(ADA, "Ada"))
        .unwrap();
    phone.say("hi");
    assert_eq!(first(&receiver).await["To"], "whatsapp:+15005550007");
}

#[tokio::test]
async fn the_phone_page_speaks_to_twilio_numbers() {
    let receiver = Receiver::start().await;
    let emulator = start(
        EmulatorConfig::default(),
        TwilioNumber {
            name: "Tours".into(),
            ..number(&receiver)
        },
    )
    .await;
    let api = format!("{}/phone/api", emulator.url());
    let numbers: Value = client()
        .get(format!("{api}/numbers"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let listed = &numbers["numbers"][0];
    assert_eq!(
        (
            &listed["id"],
            &listed["provider"],
            &listed["name"],
            &listed["display"]
        ),
        (
            &json!(SENDER),
            &json!("twilio"),
            &json!("Tours"),
            &json!("15005550006")
        )
    );
    let act = async |verb: &str, more: Value| {
        let mut body = json!({ "number": SENDER, "user": ADA, "name": "Ada" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = client()
            .post(format!("{api}/{verb}"))
            .json(&body)
            .send()
            .await
            .unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap(),
        )
    };
    let data = STANDARD.encode(b"%PDF-1.7");
    let (status, sent) = act(
        "media",
        json!({ "mime": "application/pdf", "data": data, "text": "ticket" }),
    )
    .await;
    assert_eq!(status, 200);
    let form = first(&receiver).await;
    assert_eq!(form["MessageSid"], sent["id"].as_str().unwrap());
    assert_eq!(form["MediaContentType0"], "application/pdf");
    assert_eq!(form["MessageType"], "document");
    let (status, _) = act(
        "location",
        json!({ "latitude": 1.5, "longitude": 2.0, "text": "Here" }),
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(last(&receiver, 2).await["Label"], "Here");
    for (verb, bad) in [
        (
            "media",
            json!({ "mime": "image/png", "data": "not base64!" }),
        ),
        (
            "media",
            json!({ "mime": "image/png\r\nx: y", "data": data }),
        ),
        ("location", json!({ "latitude": 91, "longitude": 2.0 })),
    ] {
        assert_eq!(act(verb, bad).await.0, 422);
    }
}
