//! Rules.

use serde_json::{Value, json};

use crate::support::Api;

fn rules() -> Value {
    json!({
        "flows": [
            {"id": "hi", "match": {"type": "contains", "values": ["hi", "hello"]},
             "action": {"type": "send_template", "templateKey": "menu", "setState": "greeted"}},
            {"id": "number", "match": {"type": "regex", "values": ["^\\d+$"], "state": "greeted"},
             "action": {"type": "send_template", "templateKey": "balance"}},
        ],
        "fallbackTemplateKey": "menu",
    })
}

#[tokio::test]
async fn rules_are_replaced_as_a_whole_and_counted() {
    let api = Api::new().await;
    let none = api.get("/api/flows").await.expect(200);
    assert_eq!(
        (&none.body["version"], &none.body["flows"]),
        (&json!(0), &json!([]))
    );

    let put = api
        .post("/tenants/default/flows", rules())
        .await
        .expect(201);
    assert_eq!(
        (&put.body["ok"], &put.body["version"]),
        (&json!(true), &json!(1))
    );
    let warned: Vec<&str> = put.body["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        warned,
        [
            "fallbackTemplateKey",
            "flows[0].action.templateKey",
            "flows[1].action.templateKey"
        ]
    );

    for key in ["menu", "balance"] {
        api.post(
            "/api/templates",
            json!({"key": key, "kind": "text", "body": "x"}),
        )
        .await
        .expect(201);
    }
    let read = api.get("/api/flows").await.expect(200);
    assert_eq!(
        (&read.body["flows"], &read.body["warnings"]),
        (&rules()["flows"], &Value::Null)
    );
    let mut back = read.body.clone();
    back.as_object_mut().unwrap().remove("ok");
    back["flows"].as_array_mut().unwrap().pop();
    let again = api.post("/api/flows", back).await.expect(201);
    assert_eq!(
        (
            &again.body["version"],
            again.body["flows"].as_array().unwrap().len()
        ),
        (&json!(2), 1)
    );
    api.end().await;
}

#[tokio::test]
async fn rules_belong_to_their_tenant() {
    let api = Api::new().await;
    let (a, b) = (api.tenant("A", "100").await, api.tenant("B", "200").await);
    api.post(&format!("/tenants/{a}/flows"), rules())
        .await
        .expect(201);
    let other = api.get(&format!("/tenants/{b}/flows")).await.expect(200);
    assert_eq!(other.body["version"], 0);
    api.end().await;
}

#[tokio::test]
async fn bad_rules_are_422_with_the_field() {
    let api = Api::new().await;
    let with = |path: &str, value: Value| {
        let mut body = rules();
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({}), &["flows"]),
        (
            json!({"flows": [{}]}),
            &[
                "flows[0].id",
                "flows[0].match.type",
                "flows[0].match.values",
                "flows[0].action.type",
                "flows[0].action.templateKey",
            ],
        ),
        (with("/flows/1/id", json!("hi")), &["flows[1].id"]),
        (with("/flows/0/id", json!("no id")), &["flows[0].id"]),
        (
            with("/flows/0/match/type", json!("looks_like")),
            &["flows[0].match.type"],
        ),
        (
            with("/flows/0/match/values", json!([])),
            &["flows[0].match.values"],
        ),
        (
            with("/flows/0/match/values", json!("hi")),
            &["flows[0].match.values"],
        ),
        (
            with("/flows/0/match/values/1", json!(" ")),
            &["flows[0].match.values[1]"],
        ),
        (
            with("/flows/0/match/values/0", json!("x".repeat(201))),
            &["flows[0].match.values[0]"],
        ),
        (
            with("/flows/1/match/values/0", json!("(")),
            &["flows[1].match.values[0]"],
        ),
        (
            with("/flows/1/match/values/0", json!("(?=look)")),
            &["flows[1].match.values[0]"],
        ),
        (
            with("/flows/1/match/values/0", json!("x".repeat(513))),
            &["flows[1].match.values[0]"],
        ),
        (
            with("/flows/1/match/state", json!("no state")),
            &["flows[1].match.state"],
        ),
        (
            with("/flows/0/action/type", json!("call")),
            &["flows[0].action.type"],
        ),
        (
            with("/flows/0/action/templateKey", json!("no key")),
            &["flows[0].action.templateKey"],
        ),
        (
            with("/fallbackTemplateKey", json!("no key")),
            &["fallbackTemplateKey"],
        ),
    ];
    for (body, fields) in cases {
        let shown = body.to_string();
        let answer = api.post("/api/flows", body).await.expect(422);
        assert_eq!(answer.fields(), fields, "{shown}\n{}", answer.text);
    }
    let many: Vec<Value> = (0..501)
        .map(|n| {
            let mut rule = rules()["flows"][0].clone();
            rule["id"] = json!(format!("r{n}"));
            rule
        })
        .collect();
    api.post("/api/flows", json!({"flows": many}))
        .await
        .expect_error(422, &["flows"]);
    assert_eq!(api.get("/api/flows").await.expect(200).body["version"], 0);
    api.end().await;
}
