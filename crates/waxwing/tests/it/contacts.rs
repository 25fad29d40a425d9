//! Who people are: ids that come and go, contacts that turn out to be one.

use serde_json::{Value, json};
use waxwing_testkit::{NUMBER, SECRET, Tenant, TestApp, sign};

use crate::support::on_both;

const PHONE: &str = "16505551234";
const USER: &str = "US.13491208655302741918";

/// Posts one change of Meta's envelope.
async fn post(app: &TestApp, field: &str, mut value: Value) {
    value["messaging_product"] = json!("whatsapp");
    value["metadata"] = json!({"display_phone_number": "15550783881", "phone_number_id": NUMBER});
    let body = json!({"object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": [{"field": field, "value": value}]}]})
    .to_string()
    .into_bytes();
    let answer = app.api.webhook(&body, &sign(SECRET, &body)).await;
    assert_eq!(answer.status, 200);
}

/// A text of a person known by a phone, a user id, or both.
async fn says(app: &TestApp, id: &str, phone: Option<&str>, user: Option<&str>) {
    let mut message =
        json!({"id": id, "timestamp": "1795219200", "type": "text", "text": {"body": "hi"}});
    let mut contact = json!({"profile": {"name": "Ada"}});
    if let Some(phone) = phone {
        message["from"] = json!(phone);
        contact["wa_id"] = json!(phone);
    }
    if let Some(user) = user {
        message["from_user_id"] = json!(user);
        contact["user_id"] = json!(user);
    }
    let value = json!({"contacts": [contact], "messages": [message]});
    post(app, "messages", value).await;
}

async fn contacts(app: &TestApp, bank: &Tenant, query: &str) -> Vec<Value> {
    let path = format!("/api/tenants/{}/contacts?{query}", bank.id);
    let answer = app.api.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["contacts"].as_array().unwrap().clone()
}

async fn contacts_until(
    app: &TestApp,
    bank: &Tenant,
    query: &str,
    enough: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let deadline = std::time::Instant::now() + crate::support::SOON;
    loop {
        let found = contacts(app, bank, query).await;
        if enough(&found) {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{found:?}");
        tokio::task::yield_now().await;
    }
}

on_both!(a_message_with_both_ids_joins_two_contacts_and_a_person_parts_them);
async fn a_message_with_both_ids_joins_two_contacts_and_a_person_parts_them(app: TestApp) {
    let bank = app.bank().await;
    says(&app, "wamid.1", None, Some(USER)).await;
    says(&app, "wamid.2", Some(PHONE), None).await;
    contacts_until(&app, &bank, "", |found| found.len() == 2).await;
    says(&app, "wamid.3", Some(PHONE), Some(USER)).await;
    let one = contacts_until(&app, &bank, "", |found| found.len() == 1).await;
    assert_eq!(one[0]["phone"], format!("+{PHONE}"));
    assert_eq!(one[0]["userId"], USER);
    let by_user = contacts(&app, &bank, &format!("userId={USER}")).await;
    assert_eq!(by_user[0]["id"], one[0]["id"]);

    let id = one[0]["id"].as_str().unwrap();
    let path = format!("/api/tenants/{}/contacts/{id}", bank.id);
    let shown = app.api.get(&path).await;
    let merge = shown.body["merges"][0].clone();
    assert_eq!(merge["reason"], "same_message");
    let undo = format!(
        "/api/tenants/{}/contact-merges/{}/undo",
        bank.id,
        merge["id"].as_str().unwrap()
    );
    assert_eq!(app.api.post(&undo, &json!({})).await.status, 200);
    assert_eq!(app.api.post(&undo, &json!({})).await.status, 404, "once");
    let two = contacts(&app, &bank, "").await;
    assert_eq!(two.len(), 2);

    // What a person parted only a person joins again.
    says(&app, "wamid.4", Some(PHONE), Some(USER)).await;
    app.messages_until(&bank, "direction=IN", |found| found.len() == 4)
        .await;
    assert_eq!(contacts(&app, &bank, "").await.len(), 2);
    let other = merge["mergedId"].as_str().unwrap();
    let join = format!("{path}/merge");
    let joined = app.api.post(&join, &json!({"contactId": other})).await;
    assert_eq!(joined.status, 200, "{}", joined.text);
    assert_eq!(contacts(&app, &bank, "").await.len(), 1);
    for wrong in [id, other, "ctc_00000000000000000000000000000000"] {
        let refused = app.api.post(&join, &json!({"contactId": wrong})).await;
        assert_eq!(refused.status, 422, "{wrong}");
    }
}

on_both!(a_new_number_and_a_new_user_id_keep_the_person);
async fn a_new_number_and_a_new_user_id_keep_the_person(app: TestApp) {
    let bank = app.bank().await;
    says(&app, "wamid.1", Some(PHONE), Some(USER)).await;
    let before = contacts_until(&app, &bank, "", |found| found.len() == 1).await;
    let system = json!({"from": PHONE, "id": "wamid.sys", "timestamp": "1795219201", "type": "system",
        "system": {"body": "changed", "type": "user_changed_number", "wa_id": "16505559999"}});
    post(&app, "messages", json!({"messages": [system]})).await;
    let moved = contacts_until(&app, &bank, "phone=%2B16505559999", |found| {
        found.len() == 1
    })
    .await;
    assert_eq!(moved[0]["id"], before[0]["id"]);
    assert!(
        contacts(&app, &bank, &format!("phone=%2B{PHONE}"))
            .await
            .is_empty()
    );

    let update = json!({"user_id_update": [{"wa_id": "16505559999", "detail": "new",
        "user_id": {"previous": USER, "current": "US.777"}, "timestamp": "1795219202"}]});
    post(&app, "user_id_update", update).await;
    let renamed = contacts_until(&app, &bank, "userId=US.777", |found| found.len() == 1).await;
    assert_eq!(renamed[0]["id"], before[0]["id"]);
    assert_eq!(renamed[0]["userId"], "US.777");

    let wish = |value: &str, at: u64| {
        json!({"user_preferences": [{"wa_id": "16505559999",
        "detail": "x", "category": "marketing_messages", "value": value, "timestamp": at}]})
    };
    post(&app, "user_preferences", wish("stop", 1_795_219_300)).await;
    let stopped = |found: &[Value]| found[0]["marketing"] == "opted_out";
    contacts_until(&app, &bank, "", stopped).await;
    post(&app, "user_preferences", wish("resume", 1_795_219_299)).await;
    post(&app, "user_preferences", wish("resume", 1_795_219_301)).await;
    contacts_until(&app, &bank, "", |found| found[0]["marketing"] == "opted_in").await;
    // Readers of events keep a little behind.
    for kind in ["contact.ids_changed", "contact.marketing_changed"] {
        let path = format!("/api/tenants/{}/events?type={kind}", bank.id);
        let deadline = std::time::Instant::now() + crate::support::SOON;
        loop {
            let answer = app.api.get(&path).await;
            if answer.body["events"].as_array().unwrap().len() == 2 {
                break;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{kind}: {}",
                answer.text
            );
        }
    }
}
