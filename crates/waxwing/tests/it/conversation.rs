//! A conversation by menu: rules, buttons, state, fallback, and what must not be answered.

use serde_json::json;
use waxwing_testkit::TestApp;

use crate::support::{SOON, on_both, on_every};

async fn conversation_state(app: &TestApp, tenant: &waxwing_testkit::Tenant) -> serde_json::Value {
    let answer = app
        .api
        .get(&format!("/api/tenants/{}/conversations", tenant.id))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let list = answer.body["conversations"].as_array().unwrap();
    assert_eq!(list.len(), 1, "one person has one conversation");
    list[0].clone()
}

on_every!(a_customer_walks_through_the_menu);
async fn a_customer_walks_through_the_menu(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");

    phone.say("Hi there");
    let menu = phone.await_reply(SOON).await.unwrap();
    assert_eq!(
        (menu.kind.as_str(), menu.text.as_str()),
        ("interactive", "Welcome Ada")
    );
    assert_eq!(menu.buttons.len(), 3);
    assert_eq!(conversation_state(&app, &bank).await["state"], "greeted");

    phone.tap("balance").unwrap();
    assert_eq!(
        phone.await_reply(SOON).await.unwrap().text,
        "Your balance is 5"
    );
    let state = conversation_state(&app, &bank).await;
    assert_eq!(
        (&state["state"], &state["lastTemplateKey"]),
        (&json!("shown_balance"), &json!("balance"))
    );
    assert_eq!(state["mode"], "bot");
    assert_eq!(state["contact"]["phone"], "+16505551234");

    // The same tap again is stored but does not advance the flow; what comes next is the fallback.
    phone.tap_on(&menu.id, "balance").unwrap();
    app.messages_until(&bank, "type=button_reply", |found| found.len() == 2)
        .await;
    phone.say("what?");
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Welcome Ada");
    let taps = app.messages(&bank, "type=button_reply").await;
    assert_eq!(taps.len(), 2, "every tap is a message");
    assert_eq!(taps[0]["cause"]["cause"], "repeated_tap");
    assert_eq!(
        taps[1]["content"],
        json!({"type": "button_reply", "id": "balance", "title": "Balance"})
    );

    phone.tap_forged("nobody_has_this", "?");
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Welcome Ada");
}

on_both!(a_rating_is_stored_and_not_answered);
async fn a_rating_is_stored_and_not_answered(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    phone.say("hi");
    let menu = phone.await_reply(SOON).await.unwrap();
    phone.tap_on(&menu.id, "good").unwrap();
    app.messages_until(&bank, "type=button_reply", |found| found.len() == 1)
        .await;
    assert_eq!(conversation_state(&app, &bank).await["state"], "rated");
    phone.react(&menu.id, "👍");
    app.messages_until(&bank, "type=reaction", |found| found.len() == 1)
        .await;
    assert_eq!(
        app.messages(&bank, "direction=OUT").await.len(),
        1,
        "neither is answered"
    );
}

on_every!(a_sent_template_makes_its_buttons_current);
async fn a_sent_template_makes_its_buttons_current(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    let body = json!({"to": "+1 650 555 1234", "templateKey": "cards", "variables": {}});
    let answer = app
        .api
        .post(&format!("/tenants/{}/send/template", bank.id), &body)
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.body["message"]["status"], "queued");
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Cards");
    phone.tap_forged("block", "Block");
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Blocked");
}

on_every!(a_session_ends_by_inactivity);
async fn a_session_ends_by_inactivity(app: TestApp) {
    let bank = app.bank().await;
    let settings = format!("/api/tenants/{}/settings", bank.id);
    let answer = app
        .api
        .patch(&settings, &json!({"sessionSeconds": 1}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let phone = app.phone(&bank, "16505551234", "Ada");
    phone.say("hi");
    phone.await_reply(SOON).await.unwrap();
    phone.tap("cards").unwrap();
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Cards");
    let mut state = conversation_state(&app, &bank).await;
    assert!(state["sessionExpiresAt"].is_string());
    while !state["state"].is_null() {
        state = conversation_state(&app, &bank).await;
    }
    // The old state is gone: the button of the cards menu is nobody's any more when its message is not named.
    phone.tap_forged("block", "Block");
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Welcome Ada");
    let path = format!("/api/tenants/{}/events?type=session.expired", bank.id);
    let mut events = app.api.get(&path).await;
    while events.body["events"].as_array().is_some_and(Vec::is_empty) {
        events = app.api.get(&path).await;
    }
    assert_eq!(events.body["events"][0]["data"]["state"], "in_cards");
}

on_every!(a_list_is_shown_and_chosen_from);
async fn a_list_is_shown_and_chosen_from(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let path = format!("/tenants/{}", bank.id);
    let list = json!({"key": "list", "kind": "interactive_list", "body": "Choose", "button": "Open", "sections": [
        {"rows": [{"id": "row1", "title": "One", "description": "first", "nextTemplateKey": "balance"}]}]});
    assert_eq!(
        app.api
            .post(&format!("{path}/templates"), &list)
            .await
            .status,
        201
    );
    let body = json!({"to": "+16505551234", "templateKey": "list"});
    let phone = app.phone(&bank, "16505551234", "Ada");
    assert_eq!(
        app.api
            .post(&format!("{path}/send/template"), &body)
            .await
            .status,
        202
    );
    assert_eq!(
        phone
            .await_reply(SOON)
            .await
            .unwrap()
            .list_button
            .as_deref(),
        Some("Open")
    );
    phone.pick("row1").unwrap();
    assert_eq!(
        phone.await_reply(SOON).await.unwrap().text,
        "Your balance is 5"
    );
}

on_both!(somebody_without_a_phone_number_is_answered);
async fn somebody_without_a_phone_number_is_answered(app: TestApp) {
    let bank = app.bank().await;
    let user = waxwing_emulator::User::with_user_id("US.13491208655302741918", "Grace");
    let phone = app.emulator.phone(&bank.number, user).unwrap();
    phone.say("hi");
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Welcome Grace");
    let inbound = app.messages(&bank, "direction=IN").await;
    assert_eq!(inbound[0]["from"], "US.13491208655302741918");
}

on_both!(a_placeholder_gives_way_to_the_real_message);
async fn a_placeholder_gives_way_to_the_real_message(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    let id = "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTUzOTRFN0E5RUQ5RTU1RDAwNgA=";
    phone
        .send_raw(
            json!({"type": "unsupported", "id": id, "unsupported": {"type": "unknown"},
            "errors": [{"code": 131060, "title": "This message is currently unavailable."}]}),
        )
        .unwrap();
    app.messages_until(&bank, "direction=IN", |found| found.len() == 1)
        .await;
    phone
        .send_raw(json!({"type": "text", "id": id, "text": {"body": "Hi, I saw your ad"}}))
        .unwrap();
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Welcome Ada");
    let inbound = app.messages(&bank, "direction=IN").await;
    assert_eq!(inbound.len(), 1, "one message whose content is the text");
    assert_eq!(inbound[0]["body"], "Hi, I saw your ad");
    assert_eq!(
        app.messages(&bank, "direction=OUT").await.len(),
        1,
        "one reply"
    );
}
