//! Lists in pages.

use serde_json::{Value, json};

use crate::support::Api;

#[tokio::test]
async fn every_list_pages_without_gaps_or_repeats() {
    let api = Api::new().await;
    for n in 0..5 {
        api.tenant(&format!("T{n}"), &format!("10{n}")).await;
        let channel = json!({"kind": "meta", "phoneNumberId": format!("20{n}"), "credentials": {"accessToken": "t"}});
        api.post("/api/channels", channel).await.expect(201);
        api.post(
            "/api/templates",
            json!({"key": format!("t{n}"), "kind": "text", "body": "x"}),
        )
        .await
        .expect(201);
    }
    for (list, total) in [("tenants", 6), ("channels", 5), ("templates", 5)] {
        let whole = api.get(&format!("/api/{list}")).await.expect(200);
        assert_eq!(whole.body["nextCursor"], Value::Null);
        let expected = whole.body[list].as_array().unwrap().clone();
        assert_eq!(expected.len(), total);
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api
                .get(&format!("/api/{list}?limit=2{cursor}"))
                .await
                .expect(200);
            let items = page.body[list].as_array().unwrap();
            assert!((1..=2).contains(&items.len()), "{}", page.text);
            found.extend(items.clone());
            match page.body["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, expected, "{list}");
    }
    api.end().await;
}

#[tokio::test]
async fn a_cursor_opens_nothing_of_another_tenant_or_list() {
    let api = Api::new().await;
    let (a, b) = (api.tenant("A", "100").await, api.tenant("B", "200").await);
    for tenant in [&a, &b] {
        for key in ["one", "two"] {
            let body = json!({"key": key, "kind": "text", "body": tenant});
            api.post(&format!("/api/tenants/{tenant}/templates"), body)
                .await
                .expect(201);
        }
    }
    let page = api
        .get(&format!("/api/tenants/{a}/templates?limit=1"))
        .await
        .expect(200);
    let cursor = page.body["nextCursor"].as_str().unwrap();
    let theirs = api
        .get(&format!("/api/tenants/{b}/templates?cursor={cursor}"))
        .await
        .expect(200);
    for template in theirs.body["templates"].as_array().unwrap() {
        assert_eq!(template["body"], json!(b));
    }
    api.get(&format!("/api/tenants/{a}/channels?cursor={cursor}"))
        .await
        .expect_error(400, &["cursor"]);
    api.end().await;
}

#[tokio::test]
async fn bad_limits_and_cursors_are_refused() {
    let api = Api::new().await;
    for (query, status, field) in [
        ("limit=0", 422, "limit"),
        ("limit=201", 422, "limit"),
        ("limit=-1", 400, "limit"),
        ("limit=ten", 400, "limit"),
        ("limit=99999999999", 400, "limit"),
        ("cursor=", 400, "cursor"),
        ("cursor=abc", 400, "cursor"),
        ("cursor=%00", 400, "cursor"),
    ] {
        api.get(&format!("/api/templates?{query}"))
            .await
            .expect_error(status, &[field]);
    }
    api.get("/api/templates?limit=1&limit=2").await.expect(400);
    api.get("/api/templates?limit=200&other=1")
        .await
        .expect(200);
    api.end().await;
}
