//! What only Twilio has.

use bytes::Bytes;
use serde_json::{Value, json};

use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript, TwilioNumber, User};
use waxwing_testkit::TestApp;

use crate::support::{SOON, on_both};

on_both!(every_file_of_a_message_is_kept, |options| options
    .at(waxwing_core::channel::ChannelKind::Twilio));
async fn every_file_of_a_message_is_kept(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    // Delivered three times: the files have ids that stay the same.
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Webhook,
        FaultMatch::nth(1),
        Fault::Duplicate {
            times: 2,
            after_ms: 0,
            other_envelope: false,
        },
    ));
    let file = |start: &[u8], size: u8| {
        Bytes::from([start, vec![size; 200 * usize::from(size)].as_slice()].concat())
    };
    let files = [
        ("image/png", file(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1)),
        ("image/jpeg", file(b"\xff\xd8\xff\xe0\0\x10JFIF\0", 2)),
        ("application/pdf", file(b"%PDF-1.7\n", 3)),
    ];
    phone
        .send_files("image", &files, Some("all of them"))
        .unwrap();
    let stored = |found: &[Value]| {
        found.len() == 3
            && found
                .iter()
                .all(|message| message["media"]["status"] == "stored")
    };
    let mut found = app.messages_until(&bank, "direction=IN", stored).await;
    found.reverse();
    let kinds: Vec<_> = found
        .iter()
        .map(|message| (&message["type"], &message["media"]["size"]))
        .collect();
    let size = |place: usize| json!(files[place].1.len());
    assert_eq!(
        kinds,
        [
            (&json!("image"), &size(0)),
            (&json!("image"), &size(1)),
            (&json!("document"), &size(2))
        ]
    );
    assert_eq!(found[0]["body"], "all of them");
    assert_eq!(found[1]["body"], Value::Null);
    phone.await_reply(SOON).await.unwrap();
    assert!(app.emulator.webhooks_idle(SOON).await);
    assert_eq!(app.messages(&bank, "direction=IN").await.len(), 3);
    let replies = app.messages(&bank, "direction=OUT").await;
    assert_eq!(replies.len(), 1, "one message, one answer");
}

fn service() -> String {
    format!("MG{}", "a".repeat(32))
}

/// A second number of the account, with which a messaging service sends.
fn number_of(app: &TestApp, service: &str) -> TwilioNumber {
    let number = TwilioNumber {
        sender: "+15005550007".to_owned(),
        sender_sid: format!("XE{}", "b".repeat(32)),
        messaging_service_sid: Some(service.to_owned()),
        webhook_url: Some(format!("{}/webhook/twilio", app.api.base())),
        ..TwilioNumber::default()
    };
    app.emulator.add_number(number.clone());
    number
}

on_both!(
    a_messaging_service_sends_and_its_numbers_are_the_channels,
    |options| { options.at(waxwing_core::channel::ChannelKind::Twilio) }
);
async fn a_messaging_service_sends_and_its_numbers_are_the_channels(app: TestApp) {
    let bank = app.bank().await;
    let service = service();
    let pooled = number_of(&app, &service);
    let channel = format!("/api/tenants/{}/channels/{}", bank.id, bank.channel_id);
    let body = json!({"credentials": {"messagingServiceSid": service}});
    let answer = app.api.patch(&channel, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let phone = app
        .emulator
        .phone(&pooled.id(), User::with_phone("16505551234", "Ada"))
        .unwrap();
    phone.say("hi");
    let reply = phone.await_reply(SOON).await.unwrap();
    assert!(reply.text.contains("Welcome"), "{}", reply.text);
    let found = app
        .messages_until(&bank, "status=delivered", |found| found.len() == 1)
        .await;
    assert_eq!(found[0]["channelId"], bank.channel_id.as_str());
    let sends = app.emulator.ledger().sends_to("16505551234");
    assert_eq!(sends.len(), 1);
    assert_eq!(&*sends[0].phone_number_id, pooled.id().as_str());
}

on_both!(
    a_status_finds_its_message_whichever_number_a_service_took,
    |options| { options.at(waxwing_core::channel::ChannelKind::Twilio) }
);
async fn a_status_finds_its_message_whichever_number_a_service_took(app: TestApp) {
    let bank = app.bank().await;
    let service = service();
    // The service has two numbers, both channels of the bank; it sends everything with the second.
    let second = number_of(&app, &service);
    let channels = format!("/api/tenants/{}/channels", bank.id);
    let first = format!("{channels}/{}", bank.channel_id);
    let body = json!({"credentials": {"messagingServiceSid": service}});
    assert_eq!(app.api.patch(&first, &body).await.status, 200);
    let body = json!({"kind": "twilio", "name": "Second", "accountSid": second.account_sid, "from": second.sender,
        "credentials": {"authToken": second.auth_token, "messagingServiceSid": service}});
    let made = app.api.post(&channels, &body).await;
    assert_eq!(made.status, 201, "{}", made.text);

    let phone = app.phone(&bank, "16505551234", "Ada");
    phone.say("hi");
    let found = app
        .messages_until(&bank, "status=delivered", |found| found.len() == 1)
        .await;
    assert_eq!(found[0]["channelId"], bank.channel_id.as_str());
    let sends = app.emulator.ledger().sends_to("16505551234");
    assert_eq!(&*sends[0].phone_number_id, second.id().as_str());
}

on_both!(an_api_key_sends_and_the_token_signs, |options| options
    .at(waxwing_core::channel::ChannelKind::Twilio));
async fn an_api_key_sends_and_the_token_signs(app: TestApp) {
    let bank = app.bank().await;
    let (sid, secret) = (format!("SK{}", "a".repeat(32)), "the secret of the key");
    let secret = secret.replace(' ', "-");
    app.emulator.add_number(TwilioNumber {
        api_keys: vec![(sid.clone(), secret.clone())],
        webhook_url: Some(format!("{}/webhook/twilio", app.api.base())),
        ..TwilioNumber::default()
    });
    let channel = format!("/api/tenants/{}/channels/{}", bank.id, bank.channel_id);
    let key = |secret: &str| json!({"credentials": {"apiKeySid": sid, "apiKeySecret": secret}});
    assert_eq!(app.api.patch(&channel, &key("wrong")).await.status, 200);
    // The message comes in, signed with the token; the reply is refused, though the token would do.
    let phone = app.phone(&bank, "16505551234", "Ada");
    phone.say("hi");
    let refused = |found: &[Value]| found.len() == 1 && found[0]["error"]["code"] == "20003";
    app.messages_until(&bank, "direction=OUT", refused).await;
    assert_eq!(app.api.patch(&channel, &key(&secret)).await.status, 200);
    let tested = app.api.post(&format!("{channel}/test"), &json!({})).await;
    assert_eq!(tested.status, 200, "{}", tested.text);
    phone.await_reply(SOON).await.unwrap();
}
