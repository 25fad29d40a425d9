//! Message templates as drafts, and what happens without a provider.

use serde_json::{Value, json};

use crate::support::Api;

fn order(name: &str) -> Value {
    json!({"name": name, "language": "en-US", "category": "utility", "components": [
        {"type": "body", "text": "Your order {{1}} leaves us today.", "example": {"body_text": [["17"]]}}]})
}

#[tokio::test]
async fn drafts_are_made_changed_and_deleted() {
    let api = Api::new().await;
    let tenant = api.tenant("Acme", "100").await;
    let base = format!("/api/tenants/{tenant}/message-templates");
    let made = api.post(&base, order("one")).await.expect(201);
    let shown = &made.body["messageTemplate"];
    assert_eq!(
        (&shown["status"], &shown["language"], &shown["category"]),
        (&json!("draft"), &json!("en_US"), &json!("UTILITY"))
    );
    assert_eq!(shown["parameterFormat"], "POSITIONAL");
    assert_eq!(made.body["findings"], json!([]));
    let path = format!("{base}/{}", shown["id"].as_str().unwrap());
    api.post(&base, order("one"))
        .await
        .expect_error(409, &["name"]);
    let changed = json!({"name": "two", "category": "MARKETING", "ttlSeconds": 43_200});
    let changed = api.call("PATCH", &path, Some(changed)).await.expect(200);
    assert_eq!(changed.body["messageTemplate"]["name"], "two");
    assert_eq!(changed.body["messageTemplate"]["ttlSeconds"], 43_200);
    assert_eq!(changed.body["findings"][0]["rule"], "opt_out");
    assert_eq!(
        changed.body["messageTemplate"]["components"], shown["components"],
        "what is not given stays"
    );
    api.post(&base, order("one")).await.expect(201);
    let list = api.get(&format!("{base}?limit=1")).await.expect(200);
    assert_eq!(list.body["messageTemplates"][0]["name"], "two");
    let cursor = list.body["nextCursor"].as_str().unwrap();
    let next = api
        .get(&format!("{base}?cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(next.body["messageTemplates"][0]["name"], "one");
    api.call("DELETE", &path, None).await.expect(200);
    api.get(&path).await.expect(404);
    let other = api.tenant("Other", "200").await;
    let theirs = api
        .get(&format!("/api/tenants/{other}/message-templates"))
        .await;
    assert_eq!(theirs.expect(200).body["messageTemplates"], json!([]));
    api.end().await;
}

#[tokio::test]
async fn what_is_no_template_is_refused_by_field() {
    let api = Api::new().await;
    let tenant = api.tenant("Acme", "100").await;
    let base = format!("/api/tenants/{tenant}/message-templates");
    api.post(&base, json!({}))
        .await
        .expect_error(422, &["name", "language", "category", "components"]);
    let mut wrong = order("x");
    wrong["category"] = "TALK".into();
    wrong["parameterFormat"] = "SUNG".into();
    wrong["components"] = json!([7]);
    wrong["channelId"] = "chn_nonsense".into();
    api.post(&base, wrong).await.expect_error(
        422,
        &["channelId", "category", "parameterFormat", "components[0]"],
    );
    let mut large = order("x");
    large["components"][0]["text"] = "x".repeat(70_000).into();
    api.post(&base, large)
        .await
        .expect_error(422, &["components"]);
    let nobody = api.post(
        "/api/tenants/default/message-templates",
        order("without_a_channel"),
    );
    nobody.await.expect_error(422, &["channelId"]);
    api.end().await;
}

#[tokio::test]
async fn the_linter_looks_before_the_provider_is_called() {
    let api = Api::new().await;
    let tenant = api.tenant("Acme", "100").await;
    let base = format!("/api/tenants/{tenant}/message-templates");
    let mut bad = order("bad");
    bad["components"][0]["text"] = "Your code is {{1}}".into();
    let made = api.post(&base, bad).await.expect(201);
    let rules: Vec<_> = made.body["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["severity"], &one["rule"]))
        .collect();
    assert!(rules.contains(&(&json!("error"), &json!("variable_at_edge"))));
    let path = format!(
        "{base}/{}",
        made.body["messageTemplate"]["id"].as_str().unwrap()
    );
    let refused = api
        .post(&format!("{path}/submit"), json!({"acceptWarnings": true}))
        .await
        .expect(422);
    assert!(refused.fields().contains(&"components[0].text"));

    // A channel without an account id cannot hand in anything.
    let good = api.post(&base, order("good")).await.expect(201);
    let path = format!(
        "{base}/{}",
        good.body["messageTemplate"]["id"].as_str().unwrap()
    );
    let refused = api
        .post(&format!("{path}/submit"), json!({}))
        .await
        .expect(409);
    assert!(refused.text.contains("wabaId"), "{}", refused.text);
    let after = api.get(&path).await.expect(200);
    assert_eq!(after.body["messageTemplate"]["status"], "draft");

    // With one, the provider of these tests is away.
    let channels = format!("/api/tenants/{tenant}/channels");
    let list = api.get(&channels).await.expect(200);
    let channel = list.body["channels"][0]["id"].as_str().unwrap();
    let account = json!({"wabaId": "900"});
    api.call("PATCH", &format!("{channels}/{channel}"), Some(account))
        .await
        .expect(200);
    let away = api
        .post(&format!("{path}/submit"), json!({}))
        .await
        .expect(503);
    assert!(away.headers.contains_key("retry-after"));
    let after = api.get(&path).await.expect(200);
    assert_eq!(after.body["messageTemplate"]["status"], "draft");
    let synced = api
        .post(&format!("{base}/sync"), json!({}))
        .await
        .expect(200);
    assert!(synced.body["accounts"][0]["error"].is_string());
    api.end().await;
}

#[tokio::test]
async fn sends_of_known_templates_are_checked() {
    let api = Api::new().await;
    let tenant = api.tenant("Acme", "100").await;
    let send = format!("/api/tenants/{tenant}/send/template");
    let base = format!("/api/tenants/{tenant}/message-templates");
    api.post(&base, order("one")).await.expect(201);
    let message = |template: Value| json!({"to": "+16505551234", "messageTemplate": template});
    let draft = json!({"name": "one", "language": "en_US", "variables": ["17"]});
    let refused = api
        .post(&send, message(draft))
        .await
        .expect_error(422, &["messageTemplate.name"]);
    assert!(refused.text.contains("draft"), "{}", refused.text);
    let unknown = json!({"name": "elsewhere", "language": "en_US", "components": []});
    api.post(&send, message(unknown)).await.expect(202);
    let simple = json!({"name": "elsewhere", "language": "en_US", "variables": ["17"]});
    api.post(&send, message(simple))
        .await
        .expect_error(422, &["messageTemplate.variables"]);
    api.end().await;
}

#[tokio::test]
async fn the_operator_can_switch_them_off() {
    let api = Api::with(|settings| settings.message_templates = false).await;
    let tenant = api.tenant("Acme", "100").await;
    let base = format!("/api/tenants/{tenant}/message-templates");
    api.post(&base, order("one")).await.expect(403);
    api.get(&base).await.expect(200);
    let body = json!({"to": "+16505551234", "messageTemplate": {"name": "one", "language": "en"}});
    let refused = api
        .post(&format!("/api/tenants/{tenant}/send/template"), body)
        .await;
    assert!(
        refused
            .expect(403)
            .text
            .contains("WHATSAPP_ENABLE_TEMPLATES")
    );
    api.end().await;
}
