//! Logging in with one-time codes, and without the phone that makes them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Api, authenticator};

const PASSWORD: &str = "correct horse battery";
/// Longer than a code is good, and than tries are counted.
const LATER: Duration = Duration::from_secs(120);

/// Somebody with a second factor.
struct Ada {
    api: Api,
    id: String,
    token: String,
    secret: String,
    recovery: Vec<String>,
}

impl Ada {
    async fn new() -> Self {
        let api = Api::new().await;
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        let made = api.call_as(None, "POST", "/api/auth/register", Some(body));
        let made = made.await.expect(201).body;
        let mut ada = Self {
            api,
            id: made["user"]["id"].as_str().unwrap().to_owned(),
            token: made["token"].as_str().unwrap().to_owned(),
            secret: String::new(),
            recovery: Vec::new(),
        };
        let begun = ada
            .post("", json!({"password": PASSWORD}))
            .await
            .expect(200);
        ada.secret = begun.body["secret"].as_str().unwrap().to_owned();
        assert!(begun.body["url"].as_str().unwrap().contains(&ada.secret));
        // Nothing is asked for before it was proved once.
        ada.login(json!({})).await.expect(200);
        let code = ada.code();
        let on = ada
            .post("/confirm", json!({"code": code}))
            .await
            .expect(200);
        let codes = on.body["recoveryCodes"].as_array().unwrap();
        ada.recovery = codes
            .iter()
            .map(|code| code.as_str().unwrap().to_owned())
            .collect();
        ada.api.later(LATER);
        ada
    }

    fn code(&self) -> String {
        authenticator(&self.secret, self.api.state.clock.now())
    }

    async fn post(&self, rest: &str, body: Value) -> Answer {
        let path = format!("/api/auth/second-factor{rest}");
        self.api
            .call_as(Some(&self.token), "POST", &path, Some(body))
            .await
    }

    async fn login(&self, more: Value) -> Answer {
        let mut body = json!({"email": "ada@example.com", "password": PASSWORD});
        for (name, value) in more.as_object().unwrap() {
            body[name.as_str()] = value.clone();
        }
        self.api
            .call_as(None, "POST", "/api/auth/login", Some(body))
            .await
    }
}

#[tokio::test]
async fn a_login_needs_a_code_that_was_never_used() {
    let ada = Ada::new().await;
    let me = ada
        .api
        .call_as(Some(&ada.token), "GET", "/api/auth/me", None)
        .await;
    assert_eq!(me.expect(200).body["secondFactor"], true);
    ada.login(json!({})).await.expect_error(401, &["code"]);
    let code = ada.code();
    ada.login(json!({"code": code})).await.expect(200);
    ada.login(json!({"code": code}))
        .await
        .expect_error(401, &["code"]);
    ada.api.end().await;
}

#[tokio::test]
async fn who_has_the_password_alone_cannot_try_codes() {
    let ada = Ada::new().await;
    for code in ["000000", "abc", "aaaa-aaaa-aaaa-aaaa"] {
        ada.login(json!({"code": code}))
            .await
            .expect_error(401, &["code"]);
    }
    let stopped = ada.login(json!({"code": ada.code()})).await;
    stopped.expect_error(429, &[]);
    ada.api.end().await;
}

#[tokio::test]
async fn many_at_once_use_a_code_once() {
    let ada = Ada::new().await;
    let code = ada.code();
    let (one, two) = tokio::join!(
        ada.login(json!({"code": code})),
        ada.login(json!({"code": code}))
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    ada.api.end().await;
}

#[tokio::test]
async fn a_recovery_code_works_once() {
    let ada = Ada::new().await;
    assert_eq!(ada.recovery.len(), 10);
    let code = ada.recovery[3].to_uppercase();
    ada.login(json!({"code": code})).await.expect(200);
    ada.login(json!({"code": code}))
        .await
        .expect_error(401, &["code"]);
    ada.login(json!({"code": ada.recovery[4]}))
        .await
        .expect(200);
    ada.api.end().await;
}

#[tokio::test]
async fn turning_it_on_ends_other_sessions_and_off_needs_both() {
    let ada = Ada::new().await;
    let other = ada.login(json!({"code": ada.code()})).await.expect(200);
    let other = other.body["token"].as_str().unwrap().to_owned();
    ada.post("", json!({"password": PASSWORD}))
        .await
        .expect_error(409, &[]);
    // What was refused is not told as done.
    let told = ada
        .api
        .get("/api/platform/audit?action=second_factor.begin");
    let told = told.await.expect(200);
    assert_eq!(told.body["audit"].as_array().unwrap().len(), 1);
    ada.post("/remove", json!({"password": PASSWORD}))
        .await
        .expect_error(422, &["code"]);
    ada.api.later(LATER);
    let code = ada.code();
    let wrong = json!({"password": "not the password", "code": code});
    ada.post("/remove", wrong)
        .await
        .expect_error(422, &["password"]);
    let right = json!({"password": PASSWORD, "code": code});
    ada.post("/remove", right.clone()).await.expect(200);
    let me = ada
        .api
        .call_as(Some(&other), "GET", "/api/auth/me", None)
        .await;
    me.expect_error(401, &[]);
    ada.login(json!({})).await.expect(200);
    ada.api.end().await;
}

#[tokio::test]
async fn a_tenant_can_ask_its_owners_for_one() {
    let ada = Ada::new().await;
    let body = json!({"email": "bob@example.com", "password": PASSWORD});
    let bob = ada
        .api
        .call_as(None, "POST", "/api/auth/register", Some(body));
    let bob = bob.await.expect(201).body["token"]
        .as_str()
        .unwrap()
        .to_owned();
    for (token, allowed) in [(&ada.token, 200), (&bob, 403)] {
        let wanted = json!({"requireSecondFactor": true});
        let call = |method, body| ada.api.call_as(Some(token), method, "/api/settings", body);
        call("PATCH", Some(wanted)).await.expect(200);
        let answer = call("GET", None).await.expect(allowed);
        if allowed == 403 {
            assert!(
                answer.body["hint"]
                    .as_str()
                    .unwrap()
                    .contains("second-factor")
            );
            // The way out stands open.
            let password = json!({"password": PASSWORD});
            let begin = "/api/auth/second-factor";
            let begun = ada.api.call_as(Some(token), "POST", begin, Some(password));
            let begun = begun.await.expect(200);
            let secret = begun.body["secret"].as_str().unwrap();
            let code = authenticator(secret, ada.api.state.clock.now());
            let confirm = "/api/auth/second-factor/confirm";
            let code = Some(json!({"code": code}));
            ada.api
                .call_as(Some(token), "POST", confirm, code)
                .await
                .expect(200);
            call("GET", None).await.expect(200);
        }
    }
    ada.api.end().await;
}

#[tokio::test]
async fn the_admin_helps_who_lost_everything() {
    let ada = Ada::new().await;
    let path = format!("/api/accounts/{}", ada.id);
    let call = |body: Value| ada.api.call("PATCH", &path, Some(body));
    call(json!({})).await.expect_error(422, &["active"]);
    call(json!({"secondFactor": true}))
        .await
        .expect_error(422, &["secondFactor"]);
    call(json!({"secondFactor": false})).await.expect(200);
    let me = ada
        .api
        .call_as(Some(&ada.token), "GET", "/api/auth/me", None)
        .await;
    me.expect_error(401, &[]);
    ada.login(json!({})).await.expect(200);
    ada.api.end().await;
}
