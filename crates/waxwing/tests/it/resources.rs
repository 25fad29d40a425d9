//! Twilio's Content resources, which stand behind buttons and lists.

use serde_json::{Value, json};
use waxwing_core::channel::ChannelKind;
use waxwing_emulator::TwilioNumber;
use waxwing_testkit::{Engine, TestApp};

/// A call of Twilio's Content API, past the server.
async fn content_api(app: &TestApp, method: &str, path: &str) -> Value {
    let number = TwilioNumber::default();
    let url = format!("{}/v1/{path}", app.emulator.url());
    let method = method.parse().unwrap();
    let answer = app
        .api
        .send(|client, _| {
            client
                .request(method, url)
                .basic_auth(number.account_sid, Some(number.auth_token))
        })
        .await;
    assert!((200..300).contains(&answer.status), "{}", answer.text);
    answer.body
}

async fn resources(app: &TestApp) -> Vec<String> {
    let list = content_api(app, "GET", "Content").await;
    let sids = list["contents"].as_array().unwrap().iter();
    sids.map(|content| content["sid"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_resource_serves_many_messages_and_is_made_anew_when_it_is_gone() {
    let options = |mut options: waxwing_testkit::TestOptions| {
        options.emulator.checks.templates = true;
        options.at(ChannelKind::Twilio)
    };
    let app = crate::support::start(Engine::Sqlite, options)
        .await
        .unwrap();
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let send = format!("/tenants/{}/send/template", bank.id);
    let body = json!({"to": "+16505551234", "templateKey": "cards"});
    let before = resources(&app).await;
    for count in 1..=3 {
        assert_eq!(app.api.post(&send, &body).await.status, 202);
        app.messages_until(&bank, "status=delivered", |found| found.len() == count)
            .await;
    }
    let made: Vec<String> = resources(&app)
        .await
        .into_iter()
        .filter(|sid| !before.contains(sid))
        .collect();
    assert_eq!(made.len(), 1, "{made:?}");

    content_api(&app, "DELETE", &format!("Content/{}", made[0])).await;
    assert_eq!(app.api.post(&send, &body).await.status, 202);
    let found = app
        .messages_until(&bank, "status=delivered", |found| found.len() == 4)
        .await;
    assert_eq!(found[0]["attempts"], 2, "refused, then with another one");
    assert!(!resources(&app).await.contains(&made[0]), "another one");
}
