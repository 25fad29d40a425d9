//! Telling a contact that a message was read, on each provider as far as it goes.

use serde_json::json;
use waxwing_core::channel::ChannelKind;
use waxwing_testkit::TestApp;

use crate::support::on_every;

on_every!(a_message_is_marked_as_read_where_that_is_possible);
async fn a_message_is_marked_as_read_where_that_is_possible(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let id = app.messages(&bank, "direction=IN").await[0]["id"].clone();
    let path = |id: &str| format!("/api/tenants/{}/messages/{id}/read", bank.id);
    let mine = path(id.as_str().unwrap());
    let (read, typing) = match app.kind() {
        ChannelKind::Meta | ChannelKind::Dialog360 => (200, 200),
        ChannelKind::Twilio => (422, 200),
        ChannelKind::Msg91 => (422, 422),
    };
    let answer = app.api.post(&mine, &json!({})).await;
    assert_eq!(answer.status, read, "{}", answer.text);
    let answer = app.api.post(&mine, &json!({"typing": true})).await;
    assert_eq!(answer.status, typing, "{}", answer.text);
    let answer = app.api.post(&mine, &json!({"typing": "yes"})).await;
    assert_eq!(answer.status, 422, "{}", answer.text);

    let send = format!("/tenants/{}/send", bank.id);
    let sent = app
        .api
        .post(&send, &json!({"to": "+16505551234", "text": "x"}))
        .await;
    let ours = path(sent.body["message"]["id"].as_str().unwrap());
    assert_eq!(app.api.post(&ours, &json!({})).await.status, 422);
    let nobodys = path("msg_00000000000000000000000000000000");
    assert_eq!(app.api.post(&nobodys, &json!({})).await.status, 404);
    if app.kind() == ChannelKind::Meta {
        let other = app.tenant("Other", "777").await;
        let foreign = mine.replace(&bank.id, &other.id);
        assert_eq!(app.api.post(&foreign, &json!({})).await.status, 404);
    }
}
