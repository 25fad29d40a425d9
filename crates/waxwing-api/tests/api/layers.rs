//! What stands around every route.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use axum::routing::get;
use http::{Request, header};
use serde_json::Value;
use tower::ServiceExt as _;
use waxwing_api::layers;

use crate::support::{ADMIN, Api};

async fn boom() -> &'static str {
    panic!("a panic with a secret word: {}", "swordfish");
}

async fn never() -> &'static str {
    std::future::pending().await
}

async fn answer(api: &Api, path: &str) -> (Response, Value) {
    let routes = Router::new()
        .route("/boom", get(boom))
        .route("/never", get(never));
    let router = layers::outer(layers::api(routes, &api.state)).with_state(api.state.clone());
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap();
    (Response::from_parts(parts, Body::empty()), body)
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let api = Api::new().await;
    let (response, body) = answer(&api, "/boom").await;
    assert_eq!(
        (response.status().as_u16(), &body["error"]),
        (500, &"Internal Server Error".into())
    );
    assert!(
        response.headers().contains_key("x-request-id")
            && response
                .headers()
                .contains_key(header::CONTENT_SECURITY_POLICY)
    );
    assert!(!body.to_string().contains("swordfish"), "{body}");
    api.end().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let api = Api::new().await;
    // Time now jumps to the next thing that waits for it.
    tokio::time::pause();
    let (response, body) = answer(&api, "/never").await;
    tokio::time::resume();
    assert_eq!(
        (response.status().as_u16(), &body["error"]),
        (503, &"Service Unavailable".into())
    );
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    api.end().await;
}

/// What a subscriber writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_request_and_tenant_and_nothing_that_was_sent() {
    let api = Api::new().await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    {
        let _guard = tracing::subscriber::set_default(subscriber);
        let request = Request::post("/api/tenants/default/templates/secretkey?cursor=secretquery")
            .header(header::AUTHORIZATION, format!("Bearer {ADMIN}"))
            .header("x-request-id", "id-of-the-test")
            .body(Body::from("secretbody"))
            .unwrap();
        api.send(request).await.expect(405);
        let request = Request::put("/api/tenants/default/templates/secretkey?cursor=secretquery")
            .header(header::AUTHORIZATION, format!("Bearer {ADMIN}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-request-id", "id-of-the-test")
            .body(Body::from(r#"{"kind": "text", "body": "secretbody"}"#))
            .unwrap();
        api.send(request).await.expect(404);
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("\"status\":404"))
        .unwrap();
    for part in [
        "id-of-the-test",
        "tnt_00000000000070008000000000000001",
        "/api/tenants/{tenant}/templates/{key}",
        "PUT",
    ] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    for secret in ["secretkey", "secretquery", "secretbody", ADMIN] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    api.end().await;
}
