//! The audit log: every operation that changes something leaves one entry, and so does looking at people's data.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use waxwing_api::access;
use waxwing_store::{Scope, Statement, Value as Column, params};

use crate::support::{ADMIN, Api, authenticator};

const PASSWORD: &str = "correct horse battery";
/// What a fixture without a route is.
const ROW: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_fff0);
const OTHER_ROW: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_fff1);

static DEAD_LETTER: Statement = Statement::new(
    "DEAD_LETTER",
    "INSERT INTO dead_letters (tenant_id, id, kind, error_class, error_message, created_at, webhook_event_id) \
     VALUES ($1, $2, 'webhook_item', 'permanent', 'x', 1, $2)",
    Scope::Tenant,
);
static EVENT: Statement = Statement::new(
    "EVENT",
    "INSERT INTO webhook_events (id, provider, partition, partition_mask, query, state, body_sealed, body_hash, secret_hash, \
     crashes, received_at) VALUES ($1, 'meta', 0, 1, '', 'quarantined', $2, $2, $2, 0, 1)",
    Scope::Global,
);
static MEDIA: Statement = Statement::new(
    "MEDIA",
    "INSERT INTO media (tenant_id, id, kind, status, mismatch, attempts, due_at, give_up_at, created_at, updated_at, expires_at, \
     channel_id, message_id, source_sealed) \
     VALUES ($1, $2, 'image', 'failed', FALSE, 1, 1, 1, 1, 1, 9000000000000000, $2, $2, $3)",
    Scope::Tenant,
);
static INBOUND: Statement = Statement::new(
    "INBOUND",
    "UPDATE messages SET direction = 'IN', provider_id_sealed = $3 WHERE tenant_id = $1 AND id = $2",
    Scope::Tenant,
);

/// Calls operations and looks each time whether the log tells of it once.
struct Watched {
    api: Api,
    tenant: String,
    token: String,
    told: BTreeSet<(String, String)>,
}

impl Watched {
    /// How often the logs tell of an action: of the tenant's and the platform's.
    async fn count(&self, action: &str) -> usize {
        let mut count = 0;
        for path in [
            format!("/api/tenants/{}/audit", self.tenant),
            "/api/platform/audit".to_owned(),
        ] {
            let path = format!("{path}?limit=200&action={action}");
            let answer = self.api.get(&path).await.expect(200);
            count += answer.body["audit"].as_array().unwrap().len();
        }
        count
    }

    /// Calls a documented operation with `id` in its path; the answer's body.
    async fn act(&mut self, method: &str, route: &str, id: &str, body: Value) -> Value {
        let known = Method::from_bytes(method.as_bytes()).unwrap();
        let asked = access::of(&known, route).unwrap();
        let action = asked.action.unwrap_or_else(|| panic!("{method} {route}"));
        let token = match asked.access {
            access::Access::Platform => Some(ADMIN.to_owned()),
            access::Access::Public => None,
            _ => Some(self.token.clone()),
        };
        let mut path = route.replace("{tenant}", &self.tenant);
        for name in ["{id}", "{key}"] {
            path = path.replace(name, id);
        }
        let before = self.count(action).await;
        let body = (!body.is_null()).then_some(body);
        let answer = self.api.call_as(token.as_deref(), method, &path, body);
        let answer = answer.await;
        // What a provider has to do ends at one that is not there.
        let ended = answer.status.is_success() || matches!(answer.status.as_u16(), 502 | 503);
        assert!(ended, "{method} {route}: {}", answer.text);
        let after = self.count(action).await;
        assert_eq!(
            after,
            before + 1,
            "{method} {route} is told once as {action}"
        );
        self.told.insert((method.to_owned(), route.to_owned()));
        answer.body
    }
}

fn text(value: &Value, path: &str) -> String {
    let found = value.pointer(path).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("{path} in {value}"))
        .to_owned()
}

const T: &str = "/api/tenants/{tenant}";

async fn watched() -> Watched {
    let api = Api::new().await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let made = api.call_as(None, "POST", "/api/auth/register", Some(body));
    let made = made.await.expect(201);
    Watched {
        tenant: text(&made.body, "/tenant/id"),
        token: text(&made.body, "/token"),
        api,
        told: BTreeSet::new(),
    }
}

#[tokio::test]
async fn everything_that_changes_something_is_told_once() {
    let mut log = watched().await;
    people(&mut log).await;
    signup(&mut log).await;
    setup(&mut log).await;
    messages(&mut log).await;
    message_templates(&mut log).await;
    rest(&mut log).await;
    let document = serde_json::to_value(waxwing_api::routes::document()).unwrap();
    let mut forgotten = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            // Providers do not change things by their own will.
            if method == "GET" || operation["tags"][0] == "webhooks" {
                continue;
            }
            if !log.told.contains(&(method.clone(), path.clone())) {
                forgotten.push(format!("{method} {path}"));
            }
        }
    }
    // The account's tenant is made where this test begins; its entry is in the tenant's own log.
    assert_eq!(forgotten, ["POST /api/auth/register"]);
    assert_eq!(log.count("tenant.register").await, 1);
    let whole = log.api.get("/api/platform/audit/verify").await.expect(200);
    assert_eq!(whole.body["whole"], true, "{}", whole.text);
    log.api.end().await;
}

async fn signup(log: &mut Watched) {
    // Meta is not there in these tests: what was tried is told all the same.
    let code = json!({"code": "AQ123", "wabaId": "102290129340398"});
    log.act("POST", &format!("{T}/channels/signup"), "", code)
        .await;
    let channel = json!({
        "kind": "meta", "phoneNumberId": "77", "wabaId": "78", "credentials": {"accessToken": "EAAtoken"},
    });
    let path = format!("/api/tenants/{}/channels", log.tenant);
    let made = log.api.post(&path, channel).await.expect(201);
    let id = text(&made.body, "/channel/id");
    log.act(
        "POST",
        &format!("{T}/channels/{{id}}/register"),
        &id,
        json!({}),
    )
    .await;
}

async fn second_factor(log: &mut Watched) {
    let password = "another good one";
    let begun = log
        .act(
            "POST",
            "/api/auth/second-factor",
            "",
            json!({"password": password}),
        )
        .await;
    let secret = text(&begun, "/secret");
    let code = authenticator(&secret, log.api.state.clock.now());
    let confirm = "/api/auth/second-factor/confirm";
    log.act("POST", confirm, "", json!({"code": code})).await;
    log.api.later(Duration::from_secs(60));
    let code = authenticator(&secret, log.api.state.clock.now());
    let remove = json!({"password": password, "code": code});
    log.act("POST", "/api/auth/second-factor/remove", "", remove)
        .await;
}

async fn people(log: &mut Watched) {
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let other = log.act("POST", "/api/auth/login", "", login.clone()).await;
    let first = log.token.clone();
    log.token = text(&other, "/token");
    let tenant = json!({"tenantId": log.tenant});
    log.act("POST", "/api/auth/tenant", "", tenant).await;
    let new = json!({"password": PASSWORD, "newPassword": "another good one"});
    log.act("POST", "/api/auth/password", "", new).await;
    log.act("POST", "/api/auth/logout", "", Value::Null).await;
    assert_ne!(first, log.token);
    let login = json!({"email": "ada@example.com", "password": "another good one"});
    let again = log.act("POST", "/api/auth/login", "", login.clone()).await;
    log.token = text(&again, "/token");
    let me = text(&again, "/user/id");
    let spare = log.act("POST", "/api/auth/login", "", login).await;
    let token = text(&spare, "/token");
    let sessions = log.api.call_as(Some(&token), "GET", "/api/auth/me", None);
    let id = text(&sessions.await.body, "/session/id");
    log.act("DELETE", "/api/auth/sessions/{id}", &id, Value::Null)
        .await;

    second_factor(log).await;

    let invite = json!({"email": "bob@example.com", "role": "sales"});
    let route = format!("{T}/invitations");
    let gone = log.act("POST", &route, "", invite.clone()).await;
    let id = text(&gone, "/invitation/id");
    log.act(
        "DELETE",
        &format!("{T}/invitations/{{id}}"),
        &id,
        Value::Null,
    )
    .await;
    let invited = log.act("POST", &route, "", invite).await;
    let accept = json!({"token": text(&invited, "/token"), "password": PASSWORD});
    let bob = log
        .act("POST", "/api/auth/invitations/accept", "", accept)
        .await;
    let id = text(&bob, "/user/id");
    log.act(
        "PATCH",
        &format!("{T}/users/{{id}}"),
        &id,
        json!({"role": "viewer"}),
    )
    .await;
    let link = log
        .act(
            "POST",
            &format!("{T}/users/{{id}}/password-reset"),
            &id,
            Value::Null,
        )
        .await;
    let reset = json!({"token": text(&link, "/token"), "password": "yet another one"});
    log.act("POST", "/api/auth/password-reset", "", reset).await;
    log.act("DELETE", &format!("{T}/users/{{id}}"), &id, Value::Null)
        .await;
    log.act(
        "POST",
        "/api/accounts/{id}/password-reset",
        &me,
        Value::Null,
    )
    .await;
    log.act("PATCH", "/api/accounts/{id}", &id, json!({"active": false}))
        .await;

    let route = format!("{T}/api-keys");
    let key = log
        .act("POST", &route, "", json!({"name": "k", "role": "viewer"}))
        .await;
    let id = text(&key, "/apiKey/id");
    log.act("DELETE", &format!("{T}/api-keys/{{id}}"), &id, Value::Null)
        .await;
}

/// A tenant that is erased: its log goes with it, so the operator's own tells of it.
async fn erased(log: &mut Watched, tenant: &str) {
    let path = format!("/api/tenants/{tenant}?name=N");
    log.api.call("DELETE", &path, None).await.expect(202);
    assert_eq!(log.count("tenant.erase").await, 1);
    log.api
        .get(&format!("/api/tenants/{tenant}"))
        .await
        .expect(404);
    log.told.insert(("DELETE".into(), T.into()));
}

async fn setup(log: &mut Watched) {
    let made = log
        .api
        .post(
            "/api/tenants/register",
            json!({"name": "N", "phoneNumberId": "900", "accessToken": "t"}),
        )
        .await
        .expect(201);
    let theirs = text(&made.body, "/tenant/id");
    let path = format!("/api/tenants/{theirs}/audit?action=tenant.register");
    let told = log.api.get(&path).await.expect(200);
    assert_eq!(told.body["audit"][0]["actor"], "platform-admin");
    log.told
        .insert(("POST".into(), "/api/tenants/register".into()));

    erased(log, &theirs).await;

    let route = format!("{T}/settings");
    log.act("PATCH", &route, "", json!({"sessionSeconds": 600}))
        .await;
    let told = format!("/api/tenants/{}/audit?action=settings.change", log.tenant);
    let entry = log.api.get(&told).await.expect(200).body["audit"][0].clone();
    assert_eq!(entry["before"]["sessionSeconds"], 3600, "{entry}");
    assert_eq!(entry["after"]["sessionSeconds"], 600);
    assert!(text(&entry, "/actor").starts_with("usr_"));

    let channel = json!({"kind": "meta", "phoneNumberId": "901", "wabaId": "77",
        "credentials": {"accessToken": "canary-token"}});
    let made = log.act("POST", &format!("{T}/channels"), "", channel).await;
    let id = text(&made, "/channel/id");
    let one = format!("{T}/channels/{{id}}");
    log.act(
        "PATCH",
        &one,
        &id,
        json!({"credentials": {"accessToken": "canary-token-2"}}),
    )
    .await;
    log.act("POST", &format!("{one}/test"), &id, Value::Null)
        .await;
    let told = format!("/api/tenants/{}/audit?object=channel", log.tenant);
    let told = log.api.get(&told).await.expect(200);
    assert!(!told.text.contains("canary"), "{}", told.text);
    assert!(
        told.text.contains(r#""credentials":"changed""#),
        "{}",
        told.text
    );
}

async fn messages(log: &mut Watched) {
    let template = json!({"key": "k", "kind": "text", "body": "b"});
    log.act("POST", &format!("{T}/templates"), "", template)
        .await;
    let one = format!("{T}/templates/{{key}}");
    log.act("PUT", &one, "k", json!({"kind": "text", "body": "c"}))
        .await;
    let flows = json!({"flows": [], "fallbackTemplateKey": "k"});
    log.act("POST", &format!("{T}/flows"), "", flows).await;
    log.act("DELETE", &one, "k", Value::Null).await;

    let send = |to: &str| json!({"to": to, "messageTemplate": {"name": "hello", "language": "en"}});
    let route = format!("{T}/send/template");
    let first = log.act("POST", &route, "", send("+4915112345601")).await;
    let second = log.act("POST", &route, "", send("+4915112345602")).await;
    // A message template gets through whatever the window.
    let body = json!({"to": "+4915112345602", "text": "x", "outsideWindow": "wait"});
    log.act("POST", &format!("{T}/send"), "", body).await;
    let id = text(&first, "/message/id");
    log.act(
        "POST",
        &format!("{T}/messages/{{id}}/cancel"),
        &id,
        Value::Null,
    )
    .await;
    received(log, &id).await;
    log.act("POST", &format!("{T}/messages/{{id}}/read"), &id, json!({}))
        .await;

    let contact = |of: &Value| text(of, "/message/contactId");
    let wish =
        json!({"contactId": contact(&second), "marketing": "opted_in", "wording": "I agree."});
    log.act("POST", &format!("{T}/opt-ins"), "", wish).await;
    let merge = json!({"contactId": contact(&second)});
    let route = format!("{T}/contacts/{{id}}/merge");
    let merged = log.act("POST", &route, &contact(&first), merge).await;
    let id = text(&merged, "/merges/0/id");
    log.act(
        "POST",
        &format!("{T}/contact-merges/{{id}}/undo"),
        &id,
        Value::Null,
    )
    .await;
    let id = contact(&second);
    let one = format!("{T}/contacts/{{id}}");
    log.act("DELETE", &one, &id, Value::Null).await;
    for what in ["unblock", "erase"] {
        log.act("POST", &format!("{one}/{what}"), &id, Value::Null)
            .await;
    }
}

/// Makes a message one that came in.
async fn received(log: &Watched, id: &str) {
    let tenant = log.tenant.parse().unwrap();
    let id = id.parse().unwrap();
    let provider_id = waxwing_core::identity::ProviderMessageId::parse("wamid.1").unwrap();
    let sealed = waxwing_store::domain::messages::seal_provider_id(
        &log.api.state.keyring,
        tenant,
        id,
        &provider_id,
    );
    let write = log
        .api
        .state
        .store
        .write(move |tx| tx.execute(&INBOUND, &params![tenant, id, sealed.clone()]));
    assert_eq!(write.await.unwrap(), 1);
}

async fn message_templates(log: &mut Watched) {
    let draft = json!({"name": "one", "language": "en", "category": "utility", "components": [
        {"type": "body", "text": "Your order {{1}} leaves us today.", "example": {"body_text": [["17"]]}}]});
    let route = format!("{T}/message-templates");
    let made = log.act("POST", &route, "", draft).await;
    let id = text(&made, "/messageTemplate/id");
    let one = format!("{route}/{{id}}");
    log.act("PATCH", &one, &id, json!({"name": "two"})).await;
    log.act(
        "POST",
        &format!("{one}/submit"),
        &id,
        json!({"acceptWarnings": true}),
    )
    .await;
    log.act("POST", &format!("{route}/sync"), "", json!({}))
        .await;
    log.act("DELETE", &one, &id, Value::Null).await;
}

async fn rest(log: &mut Watched) {
    let tenant: waxwing_core::ids::TenantId = log.tenant.parse().unwrap();
    let write = log.api.state.store.write(move |tx| {
        let blob = vec![0_u8; 8];
        for id in [ROW, OTHER_ROW] {
            tx.execute(&EVENT, &params![id, blob.clone()])?;
        }
        tx.execute(&DEAD_LETTER, &params![tenant, ROW])?;
        tx.execute(&MEDIA, &params![tenant, ROW, Column::from(blob)])
    });
    assert_eq!(write.await.unwrap(), 1);
    let row = |prefix: &str| format!("{prefix}_{}", ROW.simple());
    log.act(
        "POST",
        "/api/webhook-events/{id}/retry",
        &format!("whe_{}", OTHER_ROW.simple()),
        Value::Null,
    )
    .await;
    log.act(
        "POST",
        &format!("{T}/dead-letters/{{id}}/retry"),
        &row("ddl"),
        Value::Null,
    )
    .await;
    log.act(
        "POST",
        &format!("{T}/media/{{id}}/retry"),
        &row("med"),
        Value::Null,
    )
    .await;
    upload(log).await;
    log.act("POST", "/api/platform/retention/run", "", Value::Null)
        .await;
    log.act("POST", "/api/keys/rotate", "", Value::Null).await;
    let channels = format!("/api/tenants/{}/channels", log.tenant);
    let all = log.api.get(&channels).await.expect(200);
    let id = text(&all.body, "/channels/0/id");
    log.act("DELETE", &format!("{T}/channels/{{id}}"), &id, Value::Null)
        .await;
}

async fn upload(log: &mut Watched) {
    let before = log.count("media.add").await;
    let request = http::Request::post(format!("/api/tenants/{}/media", log.tenant))
        .header("authorization", format!("Bearer {}", log.token))
        .header("content-type", "text/plain")
        .body(axum::body::Body::from("a file"))
        .unwrap();
    log.api.send(request).await.expect(201);
    assert_eq!(log.count("media.add").await, before + 1);
    log.told.insert(("POST".into(), format!("{T}/media")));
}

#[tokio::test]
async fn looking_at_people_is_told_once_for_a_while() {
    let log = watched().await;
    let look = |path: &'static str| log.api.call_as(Some(&log.token), "GET", path, None);
    for _ in 0..3 {
        look("/api/contacts").await.expect(200);
    }
    assert_eq!(log.count("contact.read").await, 1);
    // That somebody looked is told even where there was nothing to see.
    let nobody = "/api/contacts/con_0190000000007000800000000000ffff";
    look(nobody).await.expect(404);
    assert_eq!(log.count("contact.read").await, 2);
    look("/api/templates").await.expect(200);
    let path = format!("/api/tenants/{}/audit?object=template", log.tenant);
    let told = log.api.get(&path).await.expect(200);
    assert_eq!(told.body["audit"], json!([]));
    log.api.end().await;
}

#[tokio::test]
async fn the_log_is_listed_and_verified_for_its_own_tenant() {
    let log = watched().await;
    let get = |path: &str| {
        let (api, token, path) = (&log.api, &log.token, path.to_owned());
        async move { api.call_as(Some(token), "GET", &path, None).await }
    };
    let all = get("/api/audit").await.expect(200);
    assert_eq!(all.body["audit"][0]["action"], "tenant.register");
    let whole = get("/api/audit/verify").await.expect(200);
    assert_eq!(
        (&whole.body["whole"], &whole.body["entries"]),
        (&json!(true), &json!(1))
    );
    get("/api/platform/audit").await.expect_error(403, &[]);
    get("/api/audit/verify?seq=1")
        .await
        .expect_error(422, &["seq"]);
    get("/api/audit/verify?seq=1&link=xx")
        .await
        .expect_error(400, &["link"]);
    let cut = get("/api/audit/verify?seq=7&link=00").await.expect(200);
    assert_eq!(cut.body["whole"], false);
    log.api.end().await;
}
