//! Tenants do not see, change or reach each other.

use serde_json::json;
use waxwing_testkit::{NUMBER, SECRET, Sender, TestApp, sign, text_body};

use crate::support::{SOON, on_both};

const OTHER: &str = "7794189252778687";

on_both!(the_same_button_ids_lead_each_tenant_its_own_way);
async fn the_same_button_ids_lead_each_tenant_its_own_way(app: TestApp) {
    let bank = app.bank().await;
    let shop = app.tenant("Shop", OTHER).await;
    app.bank_menu(&shop).await;
    let path = format!("/tenants/{}/templates/balance", shop.id);
    let put = app
        .api
        .send(|client, base| {
            let request = client
                .put(format!("{base}{path}"))
                .bearer_auth("test-admin-token-0123456789abcdef");
            request.json(&json!({"kind": "text", "body": "The shop has no balance"}))
        })
        .await;
    assert_eq!(put.status, 200, "{}", put.text);
    let (at_bank, at_shop) = (
        app.phone(&bank, "16505551234", "Ada"),
        app.phone(&shop, "16505551234", "Ada"),
    );
    for (phone, expected) in [
        (&at_bank, "Your balance is 5"),
        (&at_shop, "The shop has no balance"),
    ] {
        phone.say("hi");
        phone.await_reply(SOON).await.unwrap();
        phone.tap("balance").unwrap();
        assert_eq!(phone.await_reply(SOON).await.unwrap().text, expected);
    }
}

on_both!(one_request_serves_two_tenants);
async fn one_request_serves_two_tenants(app: TestApp) {
    let (bank, shop) = (app.bank().await, app.tenant("Shop", OTHER).await);
    let (ada, bob) = (
        Sender::new("16505551234", "Ada"),
        Sender::new("16505559999", "Bob"),
    );
    let content = json!({"type": "text", "text": {"body": "hi"}});
    let body = json!({"object": "whatsapp_business_account", "entry": [
        {"id": "1", "changes": [ada.change(NUMBER, "wamid.1", &content)]},
        {"id": "2", "changes": [bob.change(OTHER, "wamid.1", &content)]}]});
    let body = body.to_string().into_bytes();
    assert_eq!(
        app.api.webhook(&body, &sign(SECRET, &body)).await.status,
        200
    );
    let at_bank = app
        .messages_until(&bank, "direction=IN", |found| found.len() == 1)
        .await;
    let at_shop = app
        .messages_until(&shop, "direction=IN", |found| found.len() == 1)
        .await;
    assert_eq!(
        (&at_bank[0]["from"], &at_shop[0]["from"]),
        (&json!("+16505551234"), &json!("+16505559999"))
    );
    for path in ["messages", "conversations"] {
        let foreign = at_shop[0][if path == "messages" {
            "id"
        } else {
            "conversationId"
        }]
        .as_str()
        .unwrap();
        let answer = app
            .api
            .get(&format!("/api/tenants/{}/{path}/{foreign}", bank.id))
            .await;
        assert_eq!(answer.status, 404, "another tenant's {path} are not there");
    }
}

on_both!(a_tenant_cannot_sign_for_another);
async fn a_tenant_cannot_sign_for_another(app: TestApp) {
    let bank = app.bank().await;
    let shop = app
        .tenant_with("Shop", OTHER, Some("the-secret-of-the-shop-alone"))
        .await;
    // The shop's own event is taken with its own secret, and not with the platform's.
    let own = text_body(OTHER, &Sender::new("16505551234", "Ada"), "wamid.own", "hi");
    assert_eq!(
        app.api
            .webhook(&own, &sign("the-secret-of-the-shop-alone", &own))
            .await
            .status,
        200
    );
    app.messages_until(&shop, "direction=IN", |found| found.len() == 1)
        .await;
    // An event for both, signed by the shop: only the shop's part takes effect.
    let ada = Sender::new("16505551234", "Ada");
    let content = json!({"type": "text", "text": {"body": "hi"}});
    let both = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [
        ada.change(NUMBER, "wamid.forged", &content), ada.change(OTHER, "wamid.mine", &content)]}]});
    let both = both.to_string().into_bytes();
    assert_eq!(
        app.api
            .webhook(&both, &sign("the-secret-of-the-shop-alone", &both))
            .await
            .status,
        200
    );
    app.messages_until(&shop, "direction=IN", |found| found.len() == 2)
        .await;
    assert!(
        app.messages(&bank, "").await.is_empty(),
        "the bank's part was not signed by the bank"
    );
}

on_both!(every_reply_goes_to_its_own_sender);
async fn every_reply_goes_to_its_own_sender(app: TestApp) {
    let bank = app.bank().await;
    let path = format!("/tenants/{}", bank.id);
    let echo = json!({"key": "hello", "kind": "text", "body": "Hello {{name}} at {{phone}}"});
    assert_eq!(
        app.api
            .post(&format!("{path}/templates"), &echo)
            .await
            .status,
        201
    );
    let flows = json!({"flows": [], "fallbackTemplateKey": "hello"});
    assert!(app.api.post(&format!("{path}/flows"), &flows).await.status < 300);
    let senders = 64;
    let posts: Vec<_> = (0..senders * 3)
        .map(|n| {
            let sender = Sender::new(
                &format!("1650555{:04}", n % senders),
                &format!("Person {}", n % senders),
            );
            let body = text_body(NUMBER, &sender, &format!("wamid.{n}"), "hello");
            let api = app.api.clone();
            tokio::spawn(async move { api.webhook(&body, &sign(SECRET, &body)).await.status })
        })
        .collect();
    for post in posts {
        assert_eq!(post.await.unwrap(), 200);
    }
    app.messages_until(&bank, "status=delivered", |found| {
        found.len() == senders * 3
    })
    .await;
    for n in 0..senders {
        let sends = app.emulator.ledger().sends_to(&format!("1650555{n:04}"));
        assert_eq!(sends.len(), 3);
        for send in sends {
            assert_eq!(&*send.body, format!("Hello Person {n} at +1650555{n:04}"));
        }
    }
}
