//! Channels.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

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
    assert_eq!(api.channel_changes.load(Ordering::SeqCst), 5);
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
    let cases: [(Value, &[&str]); 7] = [
        (
            json!({}),
            &["kind", "phoneNumberId", "credentials.accessToken"],
        ),
        (
            json!({"kind": "twilio", "phoneNumberId": "1", "credentials": {"accessToken": "t"}}),
            &["kind"],
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
            &["credentials.apiKey"],
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
