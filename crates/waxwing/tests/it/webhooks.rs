//! The webhook's edge: handshake, signatures, and input of every bad kind.

use serde_json::json;
use waxwing_testkit::{NUMBER, SECRET, Sender, TestApp, VERIFY_TOKEN, sign, text_body};

use crate::support::{SOON, on_both};

on_both!(the_handshake_answers_the_challenge);
async fn the_handshake_answers_the_challenge(app: TestApp) {
    for path in [
        "/whatsapp/webhook",
        "/api/whatsapp/webhook",
        "/api/webhooks/whatsapp-business",
    ] {
        let ok =
            format!("{path}?hub.mode=subscribe&hub.challenge=115&hub.verify_token={VERIFY_TOKEN}");
        let answer = app.api.get(&ok).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "115"));
        let wrong = format!("{path}?hub.mode=subscribe&hub.challenge=115&hub.verify_token=wrong");
        assert_eq!(app.api.get(&wrong).await.status, 403);
    }
}

on_both!(a_wrong_signature_is_refused_and_reveals_nothing);
async fn a_wrong_signature_is_refused_and_reveals_nothing(app: TestApp) {
    let bank = app.bank().await;
    let body = text_body(NUMBER, &Sender::new("16505551234", "Ada"), "wamid.1", "hi");
    let good = sign(SECRET, &body);
    let bad = [
        String::new(),
        "sha256=".into(),
        good.replace("sha256", "sha1"),
        good.to_uppercase(),
        good[..good.len() - 2].into(),
        format!("{good}00"),
        sign("another secret", &body),
        sign(SECRET, b"another body"),
    ];
    for signature in bad {
        let answer = app.api.webhook(&body, &signature).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (401, ""),
            "{signature}"
        );
    }
    let twice = app
        .api
        .send(|client, base| {
            let request = client
                .post(format!("{base}/whatsapp/webhook"))
                .header("x-hub-signature-256", "sha256=00");
            request
                .header("x-hub-signature-256", &good)
                .body(body.clone())
        })
        .await;
    assert_eq!(twice.status, 401);
    assert!(app.messages(&bank, "").await.is_empty());
}

on_both!(bodies_of_every_kind_are_taken_or_refused_as_documented);
async fn bodies_of_every_kind_are_taken_or_refused_as_documented(app: TestApp) {
    let bank = app.bank().await;
    let deep = [
        b"{\"object\":".repeat(20_000),
        b"1".to_vec(),
        b"}".repeat(20_000),
    ]
    .concat();
    let unreadable: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("not JSON", b"<xml/>".to_vec()),
        (
            "cut off",
            b"{\"object\":\"whatsapp_business_account\",\"entry\":[".to_vec(),
        ),
        ("deeply nested", deep),
        (
            "compressed",
            vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3],
        ),
        ("not UTF-8", vec![0xff, 0xfe, 0xfd]),
    ];
    for (name, body) in &unreadable {
        let answer = app.api.webhook(body, &sign(SECRET, body)).await;
        assert_eq!(answer.status, 200, "{name}");
    }
    let huge = vec![b' '; 4 * 1024 * 1024 + 1];
    assert_eq!(
        app.api.webhook(&huge, &sign(SECRET, &huge)).await.status,
        413
    );
    let large = [vec![b' '; 3 * 1024 * 1024], b"{}".to_vec()].concat();
    assert_eq!(
        app.api.webhook(&large, &sign(SECRET, &large)).await.status,
        200
    );

    // A number that nobody has is kept aside, and handled once somebody has it.
    let stranger = text_body(
        "999999999999999",
        &Sender::new("16505551234", "Ada"),
        "wamid.stranger",
        "hi",
    );
    assert_eq!(
        app.api
            .webhook(&stranger, &sign(SECRET, &stranger))
            .await
            .status,
        200
    );
    let path = "/api/webhook-events?limit=200";
    let mut kept = app.api.get(path).await;
    let unknown = |kept: &waxwing_testkit::Answer| {
        let events = kept.body["webhookEvents"].as_array().unwrap().clone();
        events.into_iter().find(|event| {
            event["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("no channel has this number"))
        })
    };
    while unknown(&kept).is_none() {
        kept = app.api.get(path).await;
    }
    let late = app.tenant("Late", "999999999999999").await;
    let retry = format!(
        "/api/webhook-events/{}/retry",
        unknown(&kept).unwrap()["id"].as_str().unwrap()
    );
    assert_eq!(app.api.post(&retry, &json!({})).await.status, 200);
    app.messages_until(&late, "direction=IN", |found| found.len() == 1)
        .await;
    assert!(app.messages(&bank, "").await.is_empty());
}

on_both!(a_bad_item_leaves_its_neighbours_alone);
async fn a_bad_item_leaves_its_neighbours_alone(app: TestApp) {
    let bank = app.bank().await;
    let ada = Sender::new("16505551234", "Ada");
    let good = |id: &str| ada.change(NUMBER, id, &json!({"type": "text", "text": {"body": "hi"}}));
    let mut nameless = ada.change(
        NUMBER,
        "wamid.b",
        &json!({"type": "text", "text": {"body": "?"}}),
    );
    nameless["value"]["messages"][0]["from"] = json!("not a number");
    nameless["value"]["contacts"] = json!([]);
    let body = json!({"object": "whatsapp_business_account", "entry": [
        {"id": "1", "changes": [good("wamid.a"), nameless, {"field": "messages", "value": "odd"}, good("wamid.c")]}]});
    let body = body.to_string().into_bytes();
    assert_eq!(
        app.api.webhook(&body, &sign(SECRET, &body)).await.status,
        200
    );
    app.messages_until(&bank, "direction=IN", |found| found.len() == 2)
        .await;
    let letters = format!("/api/tenants/{}/dead-letters", bank.id);
    let list = app.api.get(&letters).await;
    let letter = &list.body["deadLetters"][0];
    assert_eq!(letter["kind"], "webhook_item");
    // Handled again, the good ones do not take effect again and the bad one is a dead letter again.
    let retry = format!("{letters}/{}/retry", letter["id"].as_str().unwrap());
    assert_eq!(app.api.post(&retry, &json!({})).await.status, 200);
    while app.api.get(&letters).await.body["deadLetters"]
        .as_array()
        .is_some_and(Vec::is_empty)
    {}
    assert_eq!(app.messages(&bank, "direction=IN").await.len(), 2);
}

on_both!(a_redelivered_message_takes_effect_once);
async fn a_redelivered_message_takes_effect_once(app: TestApp) {
    let bank = app.bank().await;
    let ada = Sender::new("16505551234", "Ada");
    let content = json!({"type": "text", "text": {"body": "hi"}});
    let single = text_body(NUMBER, &ada, "wamid.same", "hi");
    let other = json!({"object": "whatsapp_business_account", "entry": [{"id": "2", "changes": [
        ada.change(NUMBER, "wamid.same", &content), ada.change(NUMBER, "wamid.same", &content),
        ada.change(NUMBER, "wamid.next", &content)]}]})
    .to_string()
    .into_bytes();
    let posts: Vec<_> = (0..40)
        .map(|n| {
            let (api, body) = (
                app.api.clone(),
                if n % 2 == 0 {
                    single.clone()
                } else {
                    other.clone()
                },
            );
            tokio::spawn(async move { api.webhook(&body, &sign(SECRET, &body)).await.status })
        })
        .collect();
    for post in posts {
        assert_eq!(post.await.unwrap(), 200);
    }
    let phone = app.phone(&bank, "16505551234", "Ada");
    phone.say("the last one");
    app.messages_until(&bank, "status=delivered", |found| found.len() >= 3)
        .await;
    assert_eq!(app.messages(&bank, "direction=IN").await.len(), 3);
    assert_eq!(
        app.messages(&bank, "direction=OUT").await.len(),
        3,
        "one reply each"
    );
    assert!(phone.await_reply(SOON).await.is_ok());
}
