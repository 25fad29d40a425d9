//! Embedded Signup: a business connects its number, with the emulator in Meta's place.

use serde_json::{Value, json};
use waxwing_emulator::{NumberConfig, Signup, User};
use waxwing_testkit::{SECRET, Tenant, TestApp, TestOptions};

use crate::support::{SOON, on_both};

const NUMBER: &str = "204";
const WABA: &str = "9204";

fn with_app(options: TestOptions) -> TestOptions {
    options
        .set("META_APP_ID", "236484624622562")
        .set("META_SIGNUP_CONFIG_ID", "1164848151784561")
}

/// A number that no tenant has, of a business with a token of its own.
fn business(app: &TestApp, number: &str, token: &str) {
    app.emulator.add_number(NumberConfig {
        phone_number_id: number.to_owned(),
        waba_id: format!("9{number}"),
        access_token: token.to_owned(),
        app_secret: SECRET.to_owned(),
        webhook_url: Some(format!("{}/whatsapp/webhook", app.api.base())),
        ..NumberConfig::default()
    });
}

fn body(signup: &Signup) -> Value {
    let data = &signup.event["data"];
    json!({
        "code": signup.code, "wabaId": data["waba_id"], "phoneNumberId": data["phone_number_id"],
        "event": signup.event["event"],
    })
}

fn path(tenant: &Tenant, rest: &str) -> String {
    format!("/api/tenants/{}/channels{rest}", tenant.id)
}

async fn a_signed_up_number_answers(app: TestApp) {
    let bank = app.bank().await;
    let settings = app.api.get(&path(&bank, "/signup")).await;
    assert_eq!(
        settings.body["appId"], "236484624622562",
        "{}",
        settings.text
    );
    assert!(!settings.text.contains(SECRET), "a browser gets no secret");

    business(&app, NUMBER, "EAA-of-the-business");
    let signup = app.emulator.sign_up(NUMBER).unwrap();
    let made = app.api.post(&path(&bank, "/signup"), &body(&signup)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(made.body.get("warnings").is_none(), "{}", made.text);
    let channel = &made.body["channel"];
    assert_eq!(channel["status"], "active");
    assert_eq!(channel["wabaId"], WABA);
    assert_eq!(channel["credentials"]["registrationPin"], "set");

    // Webhooks of the account come, and what is sent is taken.
    let user = User::with_phone("16505550147", "Ada");
    let phone = app.emulator.phone(NUMBER, user).unwrap();
    phone.say("hi");
    phone.await_reply(SOON).await.unwrap();

    let again = app.api.post(&path(&bank, "/signup"), &body(&signup)).await;
    assert_eq!(again.status, 422, "a code works once: {}", again.text);
    assert_eq!(again.body["details"][0]["field"], "code", "{}", again.text);
    for secret in [&signup.code, SECRET, "EAA-of-the-business"] {
        assert!(!app.logs().contains(secret), "the log holds {secret}");
    }
}
on_both!(a_signed_up_number_answers, super::with_app);

async fn a_number_with_a_pin_is_registered_with_it(app: TestApp) {
    let bank = app.bank().await;
    // Its name is longer than a channel's may be.
    app.emulator.add_number(NumberConfig {
        phone_number_id: NUMBER.to_owned(),
        waba_id: WABA.to_owned(),
        verified_name: "x".repeat(300),
        app_secret: SECRET.to_owned(),
        ..NumberConfig::default()
    });
    app.emulator.set_pin(NUMBER, "271828");
    let signup = app.emulator.sign_up(NUMBER).unwrap();
    let made = app.api.post(&path(&bank, "/signup"), &body(&signup)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["channel"]["status"], "broken", "{}", made.text);
    assert_eq!(made.body["warnings"][0]["field"], "phoneNumberId");
    assert_eq!(made.body["channel"]["name"], "+1 555-078-3881");
    let id = made.body["channel"]["id"].as_str().unwrap();
    let register = path(&bank, &format!("/{id}/register"));
    let wrong = app.api.post(&register, &json!({"pin": "314159"})).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    let bad = app.api.post(&register, &json!({"pin": "12"})).await;
    assert_eq!(bad.body["details"][0]["field"], "pin", "{}", bad.text);
    let right = app.api.post(&register, &json!({"pin": "271828"})).await;
    assert_eq!(right.status, 200, "{}", right.text);
    assert_eq!(right.body["channel"]["status"], "active", "{}", right.text);
    // The PIN is kept: the next time it goes by itself.
    let again = app.api.post(&register, &json!({})).await;
    assert_eq!(again.status, 200, "{}", again.text);
}
on_both!(a_number_with_a_pin_is_registered_with_it, super::with_app);

async fn nobody_connects_what_is_not_theirs(app: TestApp) {
    let bank = app.bank().await;
    let shop = app.tenant("Shop", "205").await;
    business(&app, NUMBER, "EAA-of-the-business");
    business(&app, "206", "EAA-of-another-business");
    let call = |with: Value| {
        let signup = app.emulator.sign_up(NUMBER).unwrap();
        let mut wanted = body(&signup);
        for (name, value) in with.as_object().unwrap() {
            wanted[name.as_str()] = value.clone();
        }
        let (api, path) = (&app.api, path(&bank, "/signup"));
        async move { api.post(&path, &wanted).await }
    };
    let refused = |answer: &Value| answer["details"][0]["field"].clone();
    // The browser may say what it likes: the token decides.
    let other = call(json!({"wabaId": "9206", "phoneNumberId": "206"})).await;
    assert_eq!(
        (other.status, refused(&other.body)),
        (422, "wabaId".into()),
        "{}",
        other.text
    );
    let mixed = call(json!({"phoneNumberId": "206"})).await;
    assert_eq!(
        (mixed.status, refused(&mixed.body)),
        (422, "phoneNumberId".into())
    );
    let forged = call(json!({"code": "AQforged"})).await;
    assert_eq!((forged.status, refused(&forged.body)), (422, "code".into()));
    let odd = call(json!({"wabaId": "../me"})).await;
    assert_eq!((odd.status, refused(&odd.body)), (422, "wabaId".into()));

    // A number that another tenant has stays there.
    let first = call(json!({})).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let signup = app.emulator.sign_up(NUMBER).unwrap();
    let taken = app.api.post(&path(&shop, "/signup"), &body(&signup)).await;
    assert_eq!(taken.status, 409, "{}", taken.text);
}
on_both!(nobody_connects_what_is_not_theirs, super::with_app);

async fn without_an_app_there_is_no_signup(app: TestApp) {
    let bank = app.bank().await;
    let answer = app.api.get(&path(&bank, "/signup")).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    assert!(
        answer.body["hint"]
            .as_str()
            .unwrap()
            .contains("META_APP_ID")
    );
    let code = json!({"code": "AQ", "wabaId": WABA});
    let answer = app.api.post(&path(&bank, "/signup"), &code).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
}
on_both!(without_an_app_there_is_no_signup);
