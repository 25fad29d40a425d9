//! People and programs at the real server: what is given survives a crash, what is taken away ends on every node.

use serde_json::json;
use waxwing_testkit::TestApp;

use crate::support::on_both;

on_both!(credentials_survive_a_kill_and_end_when_they_are_taken_away);
async fn credentials_survive_a_kill_and_end_when_they_are_taken_away(mut app: TestApp) {
    let account = json!({"email": "ada@example.com", "password": "correct horse battery"});
    let made = app.api.post("/api/auth/register", &account).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let session = made.body["token"].as_str().unwrap().to_owned();
    let ada = app.api.with_token(&session);
    let made = ada
        .post("/api/api-keys", &json!({"name": "shop", "role": "sales"}))
        .await;
    let (key, id) = (
        made.body["token"].as_str().unwrap().to_owned(),
        made.body["apiKey"]["id"].as_str().unwrap().to_owned(),
    );
    app.kill();
    app.boot().await;
    let (ada, shop) = (app.api.with_token(&session), app.api.with_token(&key));
    assert_eq!(ada.get("/api/auth/me").await.status, 200);
    assert_eq!(shop.get("/api/contacts").await.status, 200);
    assert_eq!(shop.get("/api/users").await.status, 403);
    assert_eq!(ada.delete(&format!("/api/api-keys/{id}")).await.status, 200);
    assert_eq!(shop.get("/api/contacts").await.status, 401);
    let login = app.api.post("/api/auth/login", &account).await;
    assert_eq!(login.status, 200, "{}", login.text);
    assert_eq!(ada.post("/api/auth/logout", &json!({})).await.status, 200);
    assert_eq!(ada.get("/api/auth/me").await.status, 401);
}

on_both!(strangers_are_slowed_down_by_their_address, |options| {
    options.set("TRUSTED_PROXIES", "127.0.0.1")
});
async fn strangers_are_slowed_down_by_their_address(app: TestApp) {
    let login = |from: &'static str| {
        let body = json!({"email": "nobody@example.com", "password": "not the password"});
        app.api.send(move |client, base| {
            client
                .post(format!("{base}/api/auth/login"))
                .header("x-forwarded-for", from)
                .json(&body)
        })
    };
    for _ in 0..3 {
        assert_eq!(login("198.51.100.1").await.status, 401);
    }
    let stopped = login("198.51.100.1").await;
    assert_eq!(stopped.status, 429);
    assert!(stopped.retry_after.is_some());
    // The operator sees it, without seeing who was typed.
    let address = app.metrics.clone();
    let scraped = app
        .api
        .send(|client, _| client.get(format!("{address}/metrics")));
    let metrics = scraped.await.text;
    for line in [
        "whatsapp_logins_total{result=\"wrong\"} 3",
        "whatsapp_logins_total{result=\"too_fast\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert!(app.logs().contains("a password was wrong"));
    assert!(!app.logs().contains("nobody@"));
    assert_eq!(login("198.51.100.2").await.status, 401);
}
