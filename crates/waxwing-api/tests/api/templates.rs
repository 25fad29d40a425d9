//! Templates.

use serde_json::{Value, json};

use crate::support::Api;

fn menu() -> Value {
    json!({
        "key": "menu", "name": "Main menu", "kind": "interactive_button", "body": "Hi {{name}}", "footer": "Bank",
        "buttons": [
            {"id": "balance", "title": "Balance", "nextTemplateKey": "balance", "nextState": "asked"},
            {"id": "help", "title": "Help"},
        ],
    })
}

fn list() -> Value {
    json!({
        "key": "list", "type": "interactive_list", "body": "Choose", "button": "Open",
        "sections": [{"rows": [{"id": "a", "title": "A", "description": "First", "nextTemplateKey": "menu"}]}],
    })
}

#[tokio::test]
async fn a_template_is_made_read_put_back_and_deleted() {
    let api = Api::new().await;
    let made = api.post("/api/templates", menu()).await.expect(201);
    let template = &made.body["template"];
    assert!(template["id"].as_str().unwrap().starts_with("tpl_"));
    assert_eq!(
        (&template["version"], &template["active"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(
        (&template["variables"], &template["buttons"]),
        (&json!(["name"]), &menu()["buttons"])
    );
    assert_eq!(
        made.body["warnings"][0]["field"], "buttons[0].nextTemplateKey",
        "{}",
        made.text
    );

    let read = api.get("/api/templates/menu").await.expect(200);
    assert_eq!(&read.body["template"], template);
    let mut changed = template.clone();
    changed["body"] = json!("Hello");
    changed["active"] = json!(false);
    let put = api
        .call("PUT", "/api/templates/menu", Some(changed))
        .await
        .expect(200);
    let after = &put.body["template"];
    assert_eq!(
        (&after["version"], &after["body"], &after["active"]),
        (&json!(2), &json!("Hello"), &json!(false))
    );
    assert_eq!(after["id"], template["id"]);

    api.post("/api/templates", list()).await.expect(201);
    let row =
        api.get("/api/templates/list").await.expect(200).body["template"]["sections"][0]["rows"][0]
            .clone();
    assert_eq!(row, list()["sections"][0]["rows"][0]);

    api.call("DELETE", "/api/templates/menu", None)
        .await
        .expect(200);
    api.call("DELETE", "/api/templates/menu", None)
        .await
        .expect_error(404, &[]);
    api.get("/api/templates/menu").await.expect_error(404, &[]);
    api.end().await;
}

#[tokio::test]
async fn keys_are_made_from_names_and_given_ones_are_kept() {
    let api = Api::new().await;
    let mut keys = Vec::new();
    for name in ["Main Menu!", "main menu", "Main  menu"] {
        let body = json!({"name": name, "kind": "text", "body": "x"});
        let made = api.post("/api/templates", body).await.expect(201);
        keys.push(made.body["template"]["key"].as_str().unwrap().to_owned());
    }
    assert_eq!(keys, ["main_menu", "main_menu_2", "main_menu_3"]);
    let used = json!({"key": "main_menu", "kind": "text", "body": "x"});
    api.post("/api/templates", used.clone())
        .await
        .expect_error(409, &["key"]);
    let other = api.tenant("Other", "100").await;
    api.post(&format!("/tenants/{other}/templates"), used)
        .await
        .expect(201);
    api.end().await;
}

#[tokio::test]
async fn what_whatsapp_refuses_is_422_with_the_field() {
    let api = Api::new().await;
    let with = |path: &str, value: Value| {
        let mut body = menu();
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    let button = |n: usize| json!({"id": format!("b{n}"), "title": format!("B{n}")});
    let list_with = |path: &str, value: Value| {
        let mut body = list();
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    let rows: Vec<Value> = (0..11).map(button).collect();
    let cases: Vec<(Value, &[&str])> = vec![
        (
            with(
                "/buttons",
                json!([button(1), button(2), button(3), button(4)]),
            ),
            &["buttons"],
        ),
        (with("/buttons", json!([])), &["buttons"]),
        (with("/buttons", Value::Null), &["buttons"]),
        (
            with("/buttons/0", json!({"title": "x"})),
            &["buttons[0].id"],
        ),
        (
            with("/buttons/1", json!({"id": "x"})),
            &["buttons[1].title"],
        ),
        (with("/buttons/0/id", json!("")), &["buttons[0].id"]),
        (
            with("/buttons/0/title", json!("x".repeat(21))),
            &["buttons[0].title"],
        ),
        (
            with("/buttons/1/title", json!("Balance")),
            &["buttons[1].title"],
        ),
        (with("/buttons/1/id", json!("balance")), &["buttons[1].id"]),
        (
            with("/buttons/0/nextTemplateKey", json!("no key")),
            &["buttons[0].nextTemplateKey"],
        ),
        (
            with("/buttons/0/nextState", json!("no state")),
            &["buttons[0].nextState"],
        ),
        (with("/kind", json!("interactive")), &["kind"]),
        (with("/kind", json!("text")), &["buttons", "footer"]),
        (with("/key", json!("no key")), &["key"]),
        (with("/name", json!("x".repeat(201))), &["name"]),
        (with("/body", json!("x".repeat(1025))), &["body"]),
        (with("/body", json!(" ")), &["body"]),
        (with("/footer", json!("x".repeat(61))), &["footer"]),
        (json!({"key": "a", "body": "x"}), &["kind"]),
        (json!({"key": "a", "kind": "text"}), &["body"]),
        (
            json!({"key": "a", "kind": "text", "body": "x".repeat(4097)}),
            &["body"],
        ),
        (json!({"kind": "text", "body": "x"}), &["name"]),
        (
            list_with("/sections/0/rows", Value::Array(rows)),
            &["sections"],
        ),
        (
            list_with("/sections/0/rows/0/title", json!("x".repeat(25))),
            &["sections[0].rows[0].title"],
        ),
        (
            list_with("/sections/0/rows/0/id", Value::Null),
            &["sections[0].rows[0].id"],
        ),
        (list_with("/button", Value::Null), &["button"]),
        (list_with("/sections", Value::Null), &["sections"]),
    ];
    for (body, fields) in cases {
        let shown = body.to_string();
        let answer = api.post("/api/templates", body).await.expect(422);
        assert_eq!(answer.fields(), fields, "{shown}\n{}", answer.text);
    }
    let none = api.get("/api/templates").await.expect(200);
    assert_eq!(none.body["templates"], json!([]));

    api.post("/api/templates", menu()).await.expect(201);
    api.call(
        "PUT",
        "/api/templates/menu",
        Some(with("/key", json!("other"))),
    )
    .await
    .expect_error(422, &["key"]);
    api.call(
        "PUT",
        "/api/templates/menu",
        Some(with("/buttons", json!([]))),
    )
    .await
    .expect_error(422, &["buttons"]);
    api.end().await;
}

#[tokio::test]
async fn exactly_the_limits_are_taken() {
    let api = Api::new().await;
    let title = "ä".repeat(20);
    let buttons: Vec<Value> = (0..3)
        .map(|n| json!({"id": format!("{n}").repeat(256), "title": format!("{n}{}", &title[2..])}))
        .collect();
    let body = json!({"key": "k".repeat(64), "kind": "interactive_button", "body": "x".repeat(1024), "buttons": buttons});
    api.post("/api/templates", body).await.expect(201);
    api.end().await;
}
