//! Channels.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use waxwing_store::domain::channels::set_status;
use waxwing_store::domain::tenants::DEFAULT_TENANT;

use crate::support::Api;

fn body(number: &str) -> Value {
    json!({"kind": "meta", "phoneNumberId": number, "credentials": {"accessToken": "EAAtoken"}})
}

#[tokio::test]
async fn a_channel_is_made_changed_switched_off_and_on() {
    let api = Api::new().await;
    let made = api.post("/api/channels", body("100")).await.expect(201);
    let path = format!(
        "/api/channels/{}",
        made.body["channel"]["id"].as_str().unwrap()
    );
    assert_eq!(made.body["channel"]["webhookSecret"], "platform");

    let change = json!({"name": "Front desk", "wabaId": "7", "credentials": {"appSecret": "s", "verifyToken": "v"}});
    let changed = api.call("PATCH", &path, Some(change)).await.expect(200);
    let channel = &changed.body["channel"];
    assert_eq!(
        (&channel["name"], &channel["wabaId"]),
        (&json!("Front desk"), &json!("7"))
    );
    assert_eq!(
        channel["credentials"],
        json!({"accessToken": "set", "appSecret": "set", "verifyToken": "set"})
    );
    let less = json!({"wabaId": null, "credentials": {"appSecret": null}});
    let channel = api.call("PATCH", &path, Some(less)).await.expect(200).body["channel"].clone();
    assert_eq!(
        (&channel["wabaId"], &channel["webhookSecret"]),
        (&Value::Null, &json!("platform"))
    );
    assert_eq!(
        channel["credentials"],
        json!({"accessToken": "set", "verifyToken": "set"})
    );

    let off = api.call("DELETE", &path, None).await.expect(200);
    assert_eq!(off.body["channel"]["status"], "disabled");
    let on = api
        .call("PATCH", &path, Some(json!({"enabled": true})))
        .await
        .expect(200);
    assert_eq!(on.body["channel"]["status"], "active");
    assert_eq!(
        api.state.app.directory.current().epoch,
        5,
        "each change is seen at once"
    );
    api.end().await;
}

#[tokio::test]
async fn a_used_number_is_a_conflict_until_it_is_free() {
    let api = Api::new().await;
    let tenant = api.tenant("A", "100").await;
    api.post("/api/channels", body("100"))
        .await
        .expect_error(409, &["phoneNumberId"]);
    let channels = api
        .get(&format!("/api/tenants/{tenant}/channels"))
        .await
        .expect(200);
    let path = format!(
        "/api/tenants/{tenant}/channels/{}",
        channels.body["channels"][0]["id"].as_str().unwrap()
    );
    api.call("DELETE", &path, None).await.expect(200);
    api.post("/api/channels", body("100")).await.expect(201);
    api.call("PATCH", &path, Some(json!({"enabled": true})))
        .await
        .expect_error(409, &["enabled"]);
    api.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let api = Api::new().await;
    let cases: [(Value, &[&str]); 9] = [
        (
            json!({}),
            &["kind", "phoneNumberId", "credentials.accessToken"],
        ),
        (
            json!({"kind": "twilio", "phoneNumberId": "1", "credentials": {"accessToken": "t"}}),
            &[
                "phoneNumberId",
                "credentials.accessToken",
                "credentials.authToken",
            ],
        ),
        (
            json!({"kind": "twilio", "from": "+14155238886", "credentials": {"authToken": "t"}}),
            &["wabaId"],
        ),
        (
            json!({"kind": "msg91", "from": "x", "credentials": {"authKey": "t"}}),
            &["phoneNumberId"],
        ),
        (json!({"kind": "smoke", "phoneNumberId": "1"}), &["kind"]),
        (
            json!({"kind": "meta", "phoneNumberId": "", "credentials": {"accessToken": "t"}}),
            &["phoneNumberId"],
        ),
        (
            json!({"kind": "meta", "phoneNumberId": "1", "credentials": {"accessToken": "a b"}}),
            &["credentials.accessToken"],
        ),
        (
            json!({"kind": "meta", "phoneNumberId": "1", "credentials": {"apiKey": "t"}}),
            &["credentials.apiKey", "credentials.accessToken"],
        ),
        (
            json!({"kind": "meta", "phoneNumberId": "1", "name": "", "credentials": {"accessToken": "t"}}),
            &["name"],
        ),
    ];
    for (body, fields) in cases {
        api.post("/api/channels", body)
            .await
            .expect_error(422, fields);
    }
    let made = api.post("/api/channels", body("100")).await.expect(201);
    let path = format!(
        "/api/channels/{}",
        made.body["channel"]["id"].as_str().unwrap()
    );
    let cases: [(Value, &[&str]); 4] = [
        (json!({"phoneNumberId": "2"}), &["phoneNumberId"]),
        (json!({"name": " "}), &["name"]),
        (
            json!({"credentials": {"accessToken": null}}),
            &["credentials.accessToken"],
        ),
        (json!({"enabled": "yes"}), &["enabled"]),
    ];
    for (body, fields) in cases {
        api.call("PATCH", &path, Some(body))
            .await
            .expect_error(422, fields);
    }
    api.end().await;
}

#[tokio::test]
async fn a_test_against_a_dead_provider_fails_as_an_answer() {
    let api = Api::new().await;
    let made = api.post("/api/channels", body("100")).await.expect(201);
    let path = format!(
        "/api/channels/{}/test",
        made.body["channel"]["id"].as_str().unwrap()
    );
    let answer = api.call("POST", &path, None).await.expect(200);
    assert_eq!(
        (&answer.body["ok"], &answer.body["test"]["passed"]),
        (&json!(true), &json!(false))
    );
    assert!(
        !answer.body["test"]["problems"]
            .as_array()
            .unwrap()
            .is_empty(),
        "{}",
        answer.text
    );
    assert!(!answer.text.contains("EAAtoken"), "{}", answer.text);
    api.end().await;
}

/// A provider of one answer on loopback; the answer is its address.
async fn provider(body: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let body = body.to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        assert!(
            request[..read].starts_with(b"GET /v25.0/100?"),
            "the number is in the path"
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.unwrap();
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_broken_channel_that_passes_its_test_is_active_again() {
    let good = json!({"id": "100", "display_phone_number": "+1 555 0100", "verified_name": "Bank", "quality_rating": "GREEN"});
    let url = provider(good).await;
    let api = Api::with(|settings| Arc::make_mut(&mut settings.endpoints).graph_url = url).await;
    let made = api.post("/api/channels", body("100")).await.expect(201);
    let id = made.body["channel"]["id"].as_str().unwrap().to_owned();
    let channel = id.parse().unwrap();
    let now = api.state.now();
    let broken = api
        .state
        .store
        .write(move |tx| set_status(tx, DEFAULT_TENANT, channel, Some("token expired"), now));
    assert!(broken.await.unwrap());
    let read = api.get(&format!("/api/channels/{id}")).await.expect(200);
    assert_eq!(
        (
            &read.body["channel"]["status"],
            &read.body["channel"]["statusReason"]
        ),
        (&json!("broken"), &json!("token expired"))
    );

    let answer = api
        .call("POST", &format!("/api/channels/{id}/test"), None)
        .await
        .expect(200);
    assert_eq!(
        (
            &answer.body["test"]["passed"],
            &answer.body["test"]["verifiedName"]
        ),
        (&json!(true), &json!("Bank")),
        "{}",
        answer.text
    );
    assert_eq!(
        (
            &answer.body["channel"]["status"],
            &answer.body["channel"]["statusReason"]
        ),
        (&json!("active"), &Value::Null)
    );
    api.end().await;
}

#[tokio::test]
async fn channels_of_every_kind_can_be_made() {
    let api = Api::with(|settings| {
        Arc::make_mut(&mut settings.endpoints).public_url = Some("https://wax.example".into());
    })
    .await;
    let account = format!("AC{}", "0f".repeat(16));
    let twilio = json!({"kind": "twilio", "from": "whatsapp:+14155238886", "accountSid": account,
        "credentials": {"authToken": "t"}});
    let made = api.post("/api/channels", twilio.clone()).await.expect(201);
    assert_eq!(
        made.body["channel"]["phoneNumberId"],
        format!("{account}/+14155238886")
    );
    assert_eq!(
        made.body["channel"]["webhooks"]["url"],
        "https://wax.example/webhook/twilio#rc=3&rp=all"
    );
    assert!(made.body["made"].is_null() && made.body["warnings"].is_null());
    let path = format!(
        "/api/channels/{}",
        made.body["channel"]["id"].as_str().unwrap()
    );
    api.call("PATCH", &path, Some(json!({"accountId": "AC1"})))
        .await
        .expect_error(422, &["wabaId"]);
    api.post("/api/channels", twilio).await.expect(409);

    for (kind, key, sender) in [
        ("dialog360", "apiKey", json!(null)),
        ("msg91", "authKey", json!("14155238886")),
    ] {
        let mut body = json!({"kind": kind, "credentials": {key: "k"}});
        if kind == "msg91" {
            body["from"] = json!("+1 415 523 8886");
        }
        let made = api.post("/api/channels", body).await.expect(201);
        assert_eq!(made.body["channel"]["phoneNumberId"], sender, "{kind}");
        let secret = made.body["made"]["value"].as_str().unwrap();
        assert_eq!(secret.len(), 48);
        let id = made.body["channel"]["id"].as_str().unwrap();
        let url = made.body["channel"]["webhooks"]["url"].as_str().unwrap();
        assert_eq!(url, format!("https://wax.example/webhook/{kind}/{id}"));
        let again = api.get(&format!("/api/channels/{id}")).await.expect(200);
        assert!(!again.body.to_string().contains(secret), "shown once");
    }
    let health = api.get("/api/webhooks/whatsapp/health").await.expect(200);
    let channels = health.body["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 3);
    assert!(
        channels
            .iter()
            .all(|channel| channel["lastWebhookAt"].is_null())
    );
    api.end().await;
}
