//! People and programs: accounts, logins, cookies, invitations, roles, API keys.

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use waxwing_api::rates::CallerRates;

use crate::support::{Answer, Api};

const PASSWORD: &str = "correct horse battery";

async fn register(api: &Api, email: &str) -> Answer {
    let body = json!({"email": email, "password": PASSWORD, "tenantName": "Shop"});
    api.call_as(None, "POST", "/api/auth/register", Some(body))
        .await
}

async fn login(api: &Api, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    api.call_as(None, "POST", "/api/auth/login", Some(body))
        .await
}

fn token(answer: &Answer) -> String {
    answer.body["token"].as_str().unwrap().to_owned()
}

async fn as_user(api: &Api, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    api.call_as(Some(token), method, path, body).await
}

#[tokio::test]
async fn a_person_registers_works_and_logs_out() {
    let api = Api::new().await;
    let made = register(&api, "Ada@example.com ").await.expect(201);
    assert_eq!(made.body["user"]["email"], "ada@example.com");
    assert_eq!(made.body["user"]["name"], "ada");
    assert_eq!(made.body["tenants"][0]["role"], "owner");
    assert_eq!(made.body["tenant"]["name"], "Shop");
    let first = token(&made);
    let template = json!({"key": "menu", "kind": "text", "body": "Hi"});
    as_user(&api, &first, "POST", "/api/templates", Some(template))
        .await
        .expect(201);
    // It is the tenant of the person, not the default one.
    api.get("/api/templates/menu").await.expect(404);

    let second = token(&login(&api, "ada@example.com", PASSWORD).await.expect(200));
    let me = as_user(&api, &second, "GET", "/api/auth/me", None).await;
    assert_eq!(me.expect(200).body["tenants"][0]["name"], "Shop");
    let sessions = as_user(&api, &second, "GET", "/api/auth/sessions", None).await;
    assert_eq!(sessions.body["sessions"].as_array().unwrap().len(), 2);
    as_user(&api, &second, "POST", "/api/auth/logout", None)
        .await
        .expect(200);
    as_user(&api, &second, "GET", "/api/auth/me", None)
        .await
        .expect_error(401, &[]);
    as_user(&api, &first, "GET", "/api/auth/me", None)
        .await
        .expect(200);
    api.end().await;
}

#[tokio::test]
async fn bad_accounts_are_refused_by_field() {
    let api = Api::new().await;
    register(&api, "ada@example.com").await.expect(201);
    register(&api, "ADA@example.com")
        .await
        .expect_error(409, &["email"]);
    let call = |body: Value| api.call_as(None, "POST", "/api/auth/register", Some(body));
    call(json!({}))
        .await
        .expect_error(422, &["email", "password"]);
    call(json!({"email": "x", "password": PASSWORD}))
        .await
        .expect_error(422, &["email"]);
    call(json!({"email": "bob@example.com", "password": "short"}))
        .await
        .expect_error(422, &["password"]);
    call(json!({"email": "bob@example.com", "password": PASSWORD, "role": "owner"}))
        .await
        .expect_error(422, &["role"]);
    let closed = Api::with(|settings| settings.registration = false).await;
    register(&closed, "ada@example.com")
        .await
        .expect_error(403, &[]);
    closed.end().await;
    api.end().await;
}

#[tokio::test]
async fn a_wrong_login_tells_nothing_and_many_are_stopped() {
    let api = Api::new().await;
    register(&api, "ada@example.com").await.expect(201);
    let wrong = login(&api, "ada@example.com", "not the password").await;
    let nobody = login(&api, "bob@example.com", "not the password").await;
    assert_eq!(
        wrong.expect_error(401, &[]).body,
        nobody.expect_error(401, &[]).body
    );
    login(&api, "ada@example.com", "not it either")
        .await
        .expect(401);
    let stopped = login(&api, "ada@example.com", PASSWORD).await;
    assert!(stopped.headers.contains_key(header::RETRY_AFTER));
    stopped.expect_error(429, &[]);
    api.end().await;
}

fn with_cookie(method: &str, path: &str, cookie: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::COOKIE, cookie);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_cookie_reads_and_changes_only_from_our_own_pages() {
    let api = Api::new().await;
    register(&api, "ada@example.com").await.expect(201);
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "session": "cookie"});
    let answer = api
        .call_as(None, "POST", "/api/auth/login", Some(body))
        .await
        .expect(200);
    assert!(answer.body.get("token").is_none(), "no script sees it");
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    for word in [
        "__Host-waxwing=",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Path=/",
    ] {
        assert!(set.contains(word), "{set}");
    }
    let cookie = set.split(';').next().unwrap().to_owned();
    let me = |headers: &'static [(&str, &str)]| {
        api.send(with_cookie("GET", "/api/auth/me", &cookie, headers))
    };
    me(&[]).await.expect(200);
    let logout = |headers: &'static [(&str, &str)]| {
        api.send(with_cookie("POST", "/api/auth/logout", &cookie, headers))
    };
    logout(&[]).await.expect_error(403, &[]);
    logout(&[("sec-fetch-site", "same-origin")])
        .await
        .expect_error(403, &[]);
    logout(&[("x-waxwing-csrf", "1"), ("sec-fetch-site", "cross-site")])
        .await
        .expect_error(403, &[]);
    // A bad header is not made good by a cookie.
    me(&[("authorization", "Bearer wrong")]).await.expect(401);
    logout(&[("x-waxwing-csrf", "1"), ("sec-fetch-site", "same-origin")])
        .await
        .expect(200);
    me(&[]).await.expect(401);
    api.end().await;
}

#[tokio::test]
async fn a_new_password_ends_other_sessions_and_a_link_works_once() {
    let api = Api::new().await;
    let first = token(&register(&api, "ada@example.com").await.expect(201));
    let second = token(&login(&api, "ada@example.com", PASSWORD).await);
    let change = |present: &str, new: &str| {
        let body = json!({"password": present, "newPassword": new});
        let (api, second) = (&api, second.clone());
        async move { as_user(api, &second, "POST", "/api/auth/password", Some(body)).await }
    };
    change("not the password", "another good one")
        .await
        .expect_error(422, &["password"]);
    change(PASSWORD, "short")
        .await
        .expect_error(422, &["newPassword"]);
    change(PASSWORD, "another good one").await.expect(200);
    as_user(&api, &second, "GET", "/api/auth/me", None)
        .await
        .expect(200);
    as_user(&api, &first, "GET", "/api/auth/me", None)
        .await
        .expect(401);

    let accounts = api.get("/api/accounts").await.expect(200);
    let id = accounts.body["accounts"][0]["id"].as_str().unwrap();
    let link = |id: &str| {
        let path = format!("/api/accounts/{id}/password-reset");
        let api = &api;
        async move { token(&api.call("POST", &path, None).await.expect(200)) }
    };
    let (old, new) = (link(id).await, link(id).await);
    let reset = |token: &str| {
        let body = json!({"token": token, "password": "a third good one"});
        api.call_as(None, "POST", "/api/auth/password-reset", Some(body))
    };
    reset(&old).await.expect_error(422, &["token"]);
    reset(&new).await.expect(200);
    reset(&new).await.expect_error(422, &["token"]);
    as_user(&api, &second, "GET", "/api/auth/me", None)
        .await
        .expect(401);
    login(&api, "ada@example.com", "a third good one")
        .await
        .expect(200);
    // Whoever is locked is out at once, and stays out.
    let path = format!("/api/accounts/{id}");
    api.call("PATCH", &path, Some(json!({"active": false})))
        .await
        .expect(200);
    login(&api, "ada@example.com", "a third good one")
        .await
        .expect(401);
    api.end().await;
}

#[tokio::test]
async fn people_come_by_invitation_and_roles_count_at_once() {
    let api = Api::new().await;
    let ada = register(&api, "ada@example.com").await.expect(201);
    let owner = token(&ada);
    let invite = |who: &str, role: &str, by: &str| {
        let body = json!({"email": who, "role": role});
        let (api, by) = (&api, by.to_owned());
        async move { as_user(api, &by, "POST", "/api/invitations", Some(body)).await }
    };
    let first = invite("bob@example.com", "viewer", &owner)
        .await
        .expect(201);
    let second = invite("bob@example.com", "manager", &owner)
        .await
        .expect(201);
    invite("ada@example.com", "viewer", &owner)
        .await
        .expect_error(409, &["email"]);
    let accept = |token: &str| {
        let body = json!({"token": token, "password": PASSWORD, "name": "Bob"});
        api.call_as(None, "POST", "/api/auth/invitations/accept", Some(body))
    };
    accept(&token(&first)).await.expect_error(422, &["token"]);
    let joined = accept(&token(&second)).await.expect(200);
    assert_eq!(joined.body["tenants"][0]["role"], "manager");
    accept(&token(&second)).await.expect_error(422, &["token"]);
    let bob = token(&joined);

    // A manager manages, but makes and unmakes no owners.
    invite("eve@example.com", "owner", &bob)
        .await
        .expect_error(403, &[]);
    let me = ada.body["user"]["id"].as_str().unwrap();
    let path = format!("/api/users/{me}");
    let as_viewer = Some(json!({"role": "viewer"}));
    as_user(&api, &bob, "PATCH", &path, as_viewer.clone())
        .await
        .expect_error(403, &[]);
    as_user(&api, &owner, "PATCH", &path, as_viewer)
        .await
        .expect_error(409, &[]);
    let him = joined.body["user"]["id"].as_str().unwrap();
    let path = format!("/api/users/{him}");
    as_user(&api, &owner, "PATCH", &path, Some(json!({"role": "sales"})))
        .await
        .expect(200);
    as_user(&api, &bob, "GET", "/api/users", None)
        .await
        .expect_error(403, &[]);
    as_user(&api, &bob, "GET", "/api/contacts", None)
        .await
        .expect(200);
    as_user(&api, &owner, "DELETE", &path, None)
        .await
        .expect(200);
    as_user(&api, &bob, "GET", "/api/contacts", None)
        .await
        .expect_error(404, &[]);
    api.end().await;
}

#[tokio::test]
async fn a_person_works_in_several_tenants_one_at_a_time() {
    let api = Api::new().await;
    let bob = token(&register(&api, "bob@example.com").await.expect(201));
    let ada = token(&register(&api, "ada@example.com").await.expect(201));
    let body = json!({"email": "bob@example.com", "role": "viewer"});
    let invited = as_user(&api, &ada, "POST", "/api/invitations", Some(body)).await;
    let accept = json!({"token": token(&invited), "password": PASSWORD});
    let joined = api
        .call_as(None, "POST", "/api/auth/invitations/accept", Some(accept))
        .await
        .expect(200);
    let tenants = joined.body["tenants"].as_array().unwrap().clone();
    assert_eq!(tenants.len(), 2);
    let role_in = |token: String| {
        let api = &api;
        async move {
            let body = Some(json!({"key": "k", "kind": "text", "body": "b"}));
            as_user(api, &token, "POST", "/api/templates", body)
                .await
                .status
        }
    };
    assert_eq!(role_in(token(&joined)).await, StatusCode::FORBIDDEN);
    assert_eq!(role_in(bob.clone()).await, StatusCode::CREATED);
    let choose = |id: Value| {
        let (api, bob) = (&api, bob.clone());
        let body = Some(json!({"tenantId": id}));
        async move { as_user(api, &bob, "POST", "/api/auth/tenant", body).await }
    };
    let other = tenants.iter().find(|of| of["role"] == "viewer").unwrap();
    choose(other["id"].clone()).await.expect(200);
    assert_eq!(role_in(bob.clone()).await, StatusCode::FORBIDDEN);
    choose(json!("tnt_00000000000070008000000000000001"))
        .await
        .expect_error(422, &["tenantId"]);
    api.end().await;
}

#[tokio::test]
async fn an_api_key_is_shown_once_and_ends_when_it_is_revoked() {
    let api = Api::new().await;
    let made = api
        .post("/api/api-keys", json!({"name": "shop", "role": "viewer"}))
        .await
        .expect(201);
    let (key, id) = (token(&made), made.body["apiKey"]["id"].as_str().unwrap());
    assert!(key.starts_with("wax_") && key.len() == 47);
    as_user(&api, &key, "GET", "/api/contacts", None)
        .await
        .expect(200);
    let send = Some(json!({"to": "+4915112345678", "text": "x"}));
    as_user(&api, &key, "POST", "/api/send", send)
        .await
        .expect_error(403, &[]);
    let listed = api.get("/api/api-keys").await.expect(200);
    assert!(!listed.text.contains(&key), "only its first letters");
    assert_eq!(listed.body["apiKeys"][0]["hint"], key[..8]);
    assert!(listed.body["apiKeys"][0]["usedAt"].is_string());
    let path = format!("/api/api-keys/{id}");
    api.call("DELETE", &path, None).await.expect(200);
    as_user(&api, &key, "GET", "/api/contacts", None)
        .await
        .expect(401);
    api.post("/api/api-keys", json!({"name": "x", "role": "king"}))
        .await
        .expect_error(422, &["role"]);
    api.post(
        "/api/api-keys",
        json!({"name": "x", "role": "viewer", "expiresAt": "2020-01-01T00:00:00Z"}),
    )
    .await
    .expect_error(422, &["expiresAt"]);
    api.end().await;
}

#[tokio::test]
async fn a_caller_that_asks_too_fast_waits_and_others_do_not() {
    let api = Api::with(|settings| settings.rates = CallerRates::new(8)).await;
    register(&api, "ada@bank.test").await.expect(201);
    let fast = token(&login(&api, "ada@bank.test", PASSWORD).await);
    let other = token(&login(&api, "ada@bank.test", PASSWORD).await);
    let me = async |token: &str| as_user(&api, token, "GET", "/api/auth/me", None).await;
    for _ in 0..2 {
        me(&fast).await.expect(200);
    }
    let refused = me(&fast).await.expect_error(429, &[]);
    assert!(refused.body["hint"].is_string(), "{}", refused.text);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    me(&other).await.expect(200);
}
