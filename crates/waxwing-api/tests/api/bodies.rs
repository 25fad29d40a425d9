//! How bodies are read, and what stands around every answer.

use axum::body::Body;
use http::{Request, header};
use serde_json::json;

use crate::support::{ADMIN, Api};

fn request(content_type: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request =
        Request::post("/api/templates").header(header::AUTHORIZATION, format!("Bearer {ADMIN}"));
    if let Some(content_type) = content_type {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    request.body(body.into()).unwrap()
}

const GOOD: &str = r#"{"key":"a","kind":"text","body":"x"}"#;

#[tokio::test]
async fn the_content_type_decides_first() {
    let api = Api::new().await;
    for wrong in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonx"),
        Some(""),
    ] {
        api.send(request(wrong, GOOD)).await.expect_error(415, &[]);
    }
    let mut compressed = request(Some("application/json"), GOOD);
    compressed
        .headers_mut()
        .insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
    api.send(compressed).await.expect_error(415, &[]);
    api.send(request(Some("Application/JSON; charset=utf-8"), GOOD))
        .await
        .expect(201);
    api.end().await;
}

#[tokio::test]
async fn long_bodies_are_refused_announced_or_not() {
    let api = Api::new().await;
    let long = format!(
        "{{\"key\":\"a\",\"kind\":\"text\",\"body\":\"{}\"}}",
        "x".repeat(1024 * 1024)
    );
    let mut announced = request(Some("application/json"), GOOD);
    announced
        .headers_mut()
        .insert(header::CONTENT_LENGTH, long.len().into());
    api.send(announced).await.expect_error(413, &[]);
    api.send(request(Some("application/json"), long))
        .await
        .expect_error(413, &[]);
    api.end().await;
}

#[tokio::test]
async fn what_is_not_json_is_400_with_line_and_column() {
    let api = Api::new().await;
    for body in [
        "",
        "{",
        "{\"key\":}",
        "nonsense",
        "{} {}",
        "\u{0}",
        "{\"key\":\"\u{7}\"}",
        "'single'",
    ] {
        let answer = api
            .send(request(Some("application/json"), body))
            .await
            .expect_error(400, &[]);
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.contains("line 1, column"), "{message}");
    }
    let bytes = b"{\"key\":\"\xff\xfe\"}".to_vec();
    api.send(request(Some("application/json"), bytes))
        .await
        .expect_error(400, &[]);
    let deep = format!("{{\"id\":{}", "[".repeat(500_000));
    api.send(request(Some("application/json"), deep))
        .await
        .expect_error(400, &[]);
    api.end().await;
}

#[tokio::test]
async fn json_of_another_shape_is_422_with_the_field() {
    let api = Api::new().await;
    let cases = [
        ("[]", "body"),
        ("null", "body"),
        ("\"text\"", "body"),
        (r#"{"key":5,"kind":"text","body":"x"}"#, "key"),
        (r#"{"kind":"text","body":{}}"#, "body"),
        (r#"{"kind":"poem","body":"x"}"#, "kind"),
        (r#"{"kind":"text","body":"x","bodyy":"y"}"#, "bodyy"),
        (r#"{"kind":"text","kind":"text","body":"x"}"#, "kind"),
        (
            r#"{"kind":"interactive_button","body":"x","buttons":[{"id":1}]}"#,
            "buttons[0].id",
        ),
        (
            r#"{"kind":"interactive_button","body":"x","buttons":{}}"#,
            "buttons",
        ),
    ];
    for (body, field) in cases {
        api.send(request(Some("application/json"), body))
            .await
            .expect_error(422, &[field]);
    }
    api.end().await;
}

#[tokio::test]
async fn every_answer_has_its_headers() {
    let api = Api::new().await;
    for (path, status) in [
        ("/api/templates", 200),
        ("/nowhere", 404),
        ("/openapi.json", 200),
        ("/docs", 200),
    ] {
        let answer = api.get(path).await.expect(status);
        let header = |name: &str| {
            answer
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        assert_eq!(header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(
            header("content-security-policy")
                .unwrap()
                .contains("default-src 'self'"),
            "{path}"
        );
        assert!(
            header("strict-transport-security").is_some()
                && header("cross-origin-opener-policy").is_some()
        );
        assert_eq!(
            header("cache-control"),
            Some(if path.starts_with("/api") || status == 404 {
                "no-store"
            } else {
                "no-cache"
            }),
            "{path}"
        );
        assert_eq!(header("x-request-id").unwrap().len(), 32, "{path}");
    }
    api.end().await;
}

#[tokio::test]
async fn a_request_id_comes_back_when_a_log_can_hold_it() {
    let api = Api::new().await;
    let long = "a".repeat(129);
    for (given, kept) in [
        ("abc-1.2_Z", true),
        ("with blank", false),
        ("{\"a\":1}", false),
        ("", false),
        (&*long, false),
    ] {
        let request = Request::get("/nowhere")
            .header("x-request-id", given)
            .body(Body::empty())
            .unwrap();
        let answer = api.send(request).await.expect_error(404, &[]);
        assert_eq!(answer.headers["x-request-id"] == given, kept, "{given}");
    }
    api.end().await;
}

#[tokio::test]
async fn wrong_methods_are_405_with_a_body() {
    let api = Api::new().await;
    for (method, path) in [
        ("DELETE", "/api/templates"),
        ("PUT", "/api/tenants"),
        ("GET", "/tenants/register"),
        ("POST", "/docs"),
    ] {
        let answer = api.call(method, path, None).await.expect_error(405, &[]);
        assert!(
            answer.headers.contains_key(header::ALLOW),
            "{method} {path}"
        );
    }
    api.end().await;
}

#[tokio::test]
async fn a_store_that_is_away_is_503_with_retry_after() {
    let api = Api::new().await;
    api.state.store.clone().close().await;
    for (method, path, body) in [
        ("GET", "/api/templates", None),
        ("GET", "/api/tenants", None),
        (
            "POST",
            "/tenants/register",
            Some(json!({"name": "A", "phoneNumberId": "1", "accessToken": "t"})),
        ),
    ] {
        let answer = api.call(method, path, body).await.expect_error(503, &[]);
        assert!(
            answer.headers[header::RETRY_AFTER]
                .to_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
                >= 1
        );
        assert!(
            !answer.text.to_lowercase().contains("sqlite"),
            "{}",
            answer.text
        );
    }
    api.end().await;
}
