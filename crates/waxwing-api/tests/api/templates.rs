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

/// A template with one value replaced.
fn with(mut template: Value, path: &str, value: Value) -> Value {
    *template.pointer_mut(path).unwrap() = value;
    template
}

type Cases<'a> = Vec<(Value, &'a [&'a str])>;

async fn all_are_refused(api: &Api, cases: Cases<'_>) {
    for (body, fields) in cases {
        let shown = body.to_string();
        let answer = api.post("/api/templates", body).await.expect(422);
        assert_eq!(answer.fields(), fields, "{shown}\n{}", answer.text);
    }
    let none = api.get("/api/templates").await.expect(200);
    assert_eq!(none.body["templates"], json!([]));
}

#[tokio::test]
async fn buttons_that_whatsapp_refuses_are_422_with_the_field() {
    let api = Api::new().await;
    let menu = |path: &str, value: Value| with(menu(), path, value);
    let button = |n: usize| json!({"id": format!("b{n}"), "title": format!("B{n}")});
    let four = json!([button(1), button(2), button(3), button(4)]);
    let cases: Cases<'_> = vec![
        (menu("/buttons", four), &["buttons"]),
        (menu("/buttons", json!([])), &["buttons"]),
        (menu("/buttons", Value::Null), &["buttons"]),
        (
            menu("/buttons/0", json!({"title": "x"})),
            &["buttons[0].id"],
        ),
        (
            menu("/buttons/1", json!({"id": "x"})),
            &["buttons[1].title"],
        ),
        (menu("/buttons/0/id", json!("")), &["buttons[0].id"]),
        (
            menu("/buttons/0/title", json!("x".repeat(21))),
            &["buttons[0].title"],
        ),
        (
            menu("/buttons/1/title", json!("Balance")),
            &["buttons[1].title"],
        ),
        (menu("/buttons/1/id", json!("balance")), &["buttons[1].id"]),
        (
            menu("/buttons/0/nextTemplateKey", json!("no key")),
            &["buttons[0].nextTemplateKey"],
        ),
        (
            menu("/buttons/0/nextState", json!("no state")),
            &["buttons[0].nextState"],
        ),
    ];
    all_are_refused(&api, cases).await;
    api.end().await;
}

#[tokio::test]
async fn texts_and_lists_that_whatsapp_refuses_are_422_with_the_field() {
    let api = Api::new().await;
    let menu = |path: &str, value: Value| with(menu(), path, value);
    let list = |path: &str, value: Value| with(list(), path, value);
    let rows: Vec<Value> = (0..11)
        .map(|n| json!({"id": format!("r{n}"), "title": format!("R{n}")}))
        .collect();
    let cases: Cases<'_> = vec![
        (menu("/kind", json!("interactive")), &["kind"]),
        (menu("/kind", json!("text")), &["buttons", "footer"]),
        (menu("/key", json!("no key")), &["key"]),
        (menu("/name", json!("x".repeat(201))), &["name"]),
        (menu("/body", json!("x".repeat(1025))), &["body"]),
        (menu("/body", json!(" ")), &["body"]),
        (menu("/footer", json!("x".repeat(61))), &["footer"]),
        (json!({"key": "a", "body": "x"}), &["kind"]),
        (json!({"key": "a", "kind": "text"}), &["body"]),
        (
            json!({"key": "a", "kind": "text", "body": "x".repeat(4097)}),
            &["body"],
        ),
        (json!({"kind": "text", "body": "x"}), &["name"]),
        (list("/sections/0/rows", Value::Array(rows)), &["sections"]),
        (
            list("/sections/0/rows/0/title", json!("x".repeat(25))),
            &["sections[0].rows[0].title"],
        ),
        (
            list("/sections/0/rows/0/id", Value::Null),
            &["sections[0].rows[0].id"],
        ),
        (list("/button", Value::Null), &["button"]),
        (list("/sections", Value::Null), &["sections"]),
    ];
    all_are_refused(&api, cases).await;
    api.end().await;
}

#[tokio::test]
async fn a_replacement_is_checked_like_a_new_one() {
    let api = Api::new().await;
    api.post("/api/templates", menu()).await.expect(201);
    for (path, value, fields) in [
        ("/key", json!("other"), ["key"]),
        ("/buttons", json!([]), ["buttons"]),
    ] {
        let body = with(menu(), path, value);
        api.call("PUT", "/api/templates/menu", Some(body))
            .await
            .expect_error(422, &fields);
    }
    assert_eq!(
        api.get("/api/templates/menu").await.expect(200).body["template"]["version"],
        1
    );
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
