//! Registration of tenants.

use serde_json::{Value, json};

use crate::support::Api;

fn body(change: Value) -> Value {
    let mut body = json!({"name": "Bank", "phoneNumberId": "106540352242922", "accessToken": "EAAsecrettoken"});
    for (name, value) in change.as_object().unwrap() {
        if value == "absent" {
            body.as_object_mut().unwrap().remove(name);
        } else {
            body[name] = value.clone();
        }
    }
    body
}

#[tokio::test]
async fn a_tenant_comes_with_its_channel() {
    let api = Api::new().await;
    let given = body(
        json!({"wabaId": "104", "appSecret": "appsecretvalue", "displayPhone": "+1 555 0100"}),
    );
    let answer = api.post("/tenants/register", given).await.expect(201);
    assert_eq!(answer.body["ok"], true);
    let tenant = &answer.body["tenant"];
    assert!(
        tenant["id"].as_str().unwrap().starts_with("tnt_"),
        "{tenant}"
    );
    assert_eq!(
        (&tenant["name"], &tenant["createdAt"]),
        (&json!("Bank"), &json!("2026-11-21T00:00:00.000Z"))
    );
    let channel = &tenant["channel"];
    assert!(
        channel["id"].as_str().unwrap().starts_with("chn_"),
        "{channel}"
    );
    assert_eq!(channel["tenantId"], tenant["id"]);
    assert_eq!(
        (&channel["kind"], &channel["status"]),
        (&json!("meta"), &json!("active"))
    );
    assert_eq!(
        (&channel["phoneNumberId"], &channel["wabaId"]),
        (&json!("106540352242922"), &json!("104"))
    );
    assert_eq!(
        channel["credentials"],
        json!({"accessToken": "set", "appSecret": "set"})
    );
    assert_eq!(channel["webhookSecret"], "channel");
    assert_eq!(
        api.state.app.directory.current().epoch,
        1,
        "each change is seen at once"
    );

    let path = format!(
        "/api/tenants/{}/channels/{}",
        tenant["id"].as_str().unwrap(),
        channel["id"].as_str().unwrap()
    );
    let again = api.get(&path).await.expect(200);
    assert_eq!(&again.body["channel"], channel);
    for text in [answer.text, again.text] {
        assert!(
            !text.contains("EAAsecrettoken") && !text.contains("appsecretvalue"),
            "{text}"
        );
    }
    api.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_at_once() {
    let api = Api::new().await;
    let cases: [(Value, &[&str]); 11] = [
        (json!({"name": "absent"}), &["name"]),
        (json!({"name": "  "}), &["name"]),
        (json!({"name": "x".repeat(201)}), &["name"]),
        (
            json!({"phoneNumberId": "absent", "accessToken": "absent"}),
            &["phoneNumberId", "accessToken"],
        ),
        (json!({"phoneNumberId": "../me"}), &["phoneNumberId"]),
        (json!({"phoneNumberId": 106}), &["phoneNumberId"]),
        (json!({"accessToken": ""}), &["accessToken"]),
        (json!({"accessToken": "two words"}), &["accessToken"]),
        (json!({"accessToken": "line\nbreak"}), &["accessToken"]),
        (json!({"wabaId": "a/b"}), &["wabaId"]),
        (json!({"appSecret": "naïve"}), &["appSecret"]),
    ];
    for (change, fields) in cases {
        api.post("/tenants/register", body(change))
            .await
            .expect_error(422, fields);
    }
    let listed = api.get("/api/tenants").await.expect(200);
    assert_eq!(
        listed.body["tenants"].as_array().unwrap().len(),
        1,
        "only the default tenant: {}",
        listed.text
    );
    api.end().await;
}

#[tokio::test]
async fn a_number_that_is_used_leaves_no_half_tenant() {
    let api = Api::new().await;
    api.post("/tenants/register", body(json!({})))
        .await
        .expect(201);
    api.post("/api/tenants/register", body(json!({"name": "Other"})))
        .await
        .expect_error(409, &["phoneNumberId"]);
    let names: Vec<Value> = api.get("/tenants").await.expect(200).body["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tenant| tenant["name"].clone())
        .collect();
    assert_eq!(names, ["Default", "Bank"]);
    api.end().await;
}

#[tokio::test]
async fn a_channel_without_any_secret_is_made_with_a_warning() {
    let api = Api::with(|settings| settings.platform_app_secret = false).await;
    let answer = api
        .post("/tenants/register", body(json!({})))
        .await
        .expect(201);
    assert_eq!(
        answer.body["warnings"][0]["field"], "appSecret",
        "{}",
        answer.text
    );
    let with = body(json!({"phoneNumberId": "2", "appSecret": "s"}));
    let answer = api.post("/tenants/register", with).await.expect(201);
    assert_eq!(answer.body["warnings"], Value::Null);
    api.end().await;
}
