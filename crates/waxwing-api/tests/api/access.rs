//! Who may call, and what the tenants keep from each other.

use axum::body::Body;
use http::{Request, header};
use serde_json::json;
use waxwing_api::auth::AdminTokens;
use waxwing_core::secret::Secret;

use crate::support::{ADMIN, Api};

const PROTECTED: [(&str, &str); 12] = [
    ("GET", "/api/tenants"),
    ("POST", "/tenants/register"),
    ("GET", "/api/tenants/default"),
    ("GET", "/api/settings"),
    ("PATCH", "/api/tenants/default/settings"),
    ("GET", "/tenants/default/channels"),
    ("POST", "/api/channels"),
    (
        "POST",
        "/api/channels/chn_00000000000000000000000000000001/test",
    ),
    ("GET", "/api/templates"),
    ("DELETE", "/api/templates/menu"),
    ("GET", "/api/flows"),
    ("POST", "/tenants/default/flows"),
];

#[tokio::test]
async fn without_the_right_token_there_is_nothing() {
    let api = Api::new().await;
    let almost = &ADMIN[1..];
    for (method, path) in PROTECTED {
        let mut bodies = Vec::new();
        for credential in [
            None,
            Some("Bearer wrong"),
            Some(&*format!("Bearer {almost}")),
            Some(&*format!("Basic {ADMIN}")),
        ] {
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header("x-request-id", "same");
            if let Some(credential) = credential {
                request = request.header(header::AUTHORIZATION, credential);
            }
            let answer = api
                .send(request.body(Body::from("not even JSON")).unwrap())
                .await
                .expect_error(401, &[]);
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
            bodies.push(answer.text);
        }
        assert!(
            bodies.windows(2).all(|pair| pair[0] == pair[1]),
            "{method} {path}: {bodies:?}"
        );
    }
    api.end().await;
}

#[tokio::test]
async fn the_master_key_is_no_token_in_production() {
    for (production, status) in [(false, 200), (true, 401)] {
        let master = Secret::new("the-master-key");
        let api = Api::with(|settings| {
            settings.admin = AdminTokens::new(None, Some(&master), production)
        })
        .await;
        let request =
            Request::get("/api/tenants").header(header::AUTHORIZATION, "Bearer the-master-key");
        api.send(request.body(Body::empty()).unwrap())
            .await
            .expect(status);
        api.end().await;
    }
}

#[tokio::test]
async fn an_unknown_tenant_looks_like_a_malformed_one() {
    let api = Api::new().await;
    for rest in [
        "",
        "/settings",
        "/channels",
        "/templates",
        "/templates/menu",
        "/flows",
    ] {
        let mut bodies = Vec::new();
        for tenant in [
            "tnt_0190000000007000800000000000ffff",
            "tnt_x",
            "nobody",
            "%2e%2e",
            "%ff",
        ] {
            let answer = api.get(&format!("/api/tenants/{tenant}{rest}")).await;
            bodies.push(answer.expect_error(404, &[]).text);
        }
        assert!(
            bodies.windows(2).all(|pair| pair[0] == pair[1]),
            "{rest}: {bodies:?}"
        );
    }
    api.end().await;
}

#[tokio::test]
async fn another_tenants_ids_are_unknown_ids() {
    let api = Api::new().await;
    let (a, b) = (api.tenant("A", "100").await, api.tenant("B", "200").await);
    let channels = api
        .get(&format!("/api/tenants/{b}/channels"))
        .await
        .expect(200);
    let theirs = channels.body["channels"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let random = "chn_0190000000007000800000000000ffff";
    let template = json!({"key": "menu", "kind": "text", "body": "B"});
    api.post(&format!("/api/tenants/{b}/templates"), template.clone())
        .await
        .expect(201);

    for (method, rest, body) in [
        ("GET", "", None),
        ("PATCH", "", Some(json!({"name": "mine"}))),
        ("DELETE", "", None),
        ("POST", "/test", None),
    ] {
        let mut texts = Vec::new();
        for id in [
            theirs.as_str(),
            random,
            "chn_1",
            "msg_0190000000007000800000000000ffff",
        ] {
            let path = format!("/api/tenants/{a}/channels/{id}{rest}");
            texts.push(
                api.call(method, &path, body.clone())
                    .await
                    .expect_error(404, &[])
                    .text,
            );
        }
        assert!(
            texts.windows(2).all(|pair| pair[0] == pair[1]),
            "{method}: {texts:?}"
        );
    }
    for (method, body) in [("GET", None), ("PUT", Some(template)), ("DELETE", None)] {
        let other = api
            .call(
                method,
                &format!("/api/tenants/{a}/templates/menu"),
                body.clone(),
            )
            .await;
        let none = api
            .call(
                method,
                &format!("/api/tenants/{a}/templates/none"),
                body.map(|_| json!({"kind": "text", "body": "x"})),
            )
            .await;
        assert_eq!(
            other.expect_error(404, &[]).text,
            none.expect_error(404, &[]).text
        );
    }
    let still = api
        .get(&format!("/api/tenants/{b}/channels/{theirs}"))
        .await
        .expect(200);
    assert_eq!(
        (
            &still.body["channel"]["status"],
            &still.body["channel"]["name"]
        ),
        (&json!("active"), &json!("B"))
    );
    api.get(&format!("/api/tenants/{b}/templates/menu"))
        .await
        .expect(200);
    api.end().await;
}

#[tokio::test]
async fn three_addresses_lead_to_the_same_tenant() {
    let api = Api::new().await;
    api.post(
        "/api/templates",
        json!({"key": "menu", "kind": "text", "body": "Hi"}),
    )
    .await
    .expect(201);
    let id = "tnt_00000000000070008000000000000001";
    let paths = [
        "/api/templates/menu",
        "/api/tenants/default/templates/menu",
        "/tenants/default/templates/menu",
    ];
    let first = api.get(paths[0]).await.expect(200).text;
    for path in &paths[1..] {
        assert_eq!(api.get(path).await.expect(200).text, first, "{path}");
    }
    assert_eq!(
        api.get(&format!("/api/tenants/{id}/templates/menu"))
            .await
            .expect(200)
            .text,
        first
    );
    let other = api.tenant("Other", "100").await;
    api.get(&format!("/api/tenants/{other}/templates/menu"))
        .await
        .expect(404);
    api.end().await;
}
