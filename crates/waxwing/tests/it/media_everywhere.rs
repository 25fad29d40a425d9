//! Files at every provider: received and fetched, sent by upload and by link, gone at the provider.

use serde_json::json;
use waxwing_core::channel::ChannelKind;
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript};
use waxwing_testkit::TestApp;

use crate::media::{download, fetched, picture, upload};
use crate::support::{SOON, on_both, on_every};

on_every!(a_received_file_is_fetched_and_served);
async fn a_received_file_is_fetched_and_served(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    let bytes = picture(200_000);
    phone
        .send_media("image", "image/png", bytes.clone(), Some("look"))
        .unwrap();
    let media = fetched(&app, &bank, 1).await.remove(0);
    assert_eq!(
        (&media["status"], &media["mimeType"], &media["size"]),
        (&json!("stored"), &json!("image/png"), &json!(bytes.len())),
        "{media:#}"
    );
    let mut url = media["url"].clone();
    if let Some(path) = url
        .as_str()
        .and_then(|url| url.strip_prefix(app.api.base()))
    {
        url = path.into();
    }
    let served = download(&app, &url, None).await;
    assert!(
        served.status == 200 && served.bytes == bytes,
        "{}",
        served.status
    );
    let message = app.messages(&bank, "type=image").await.remove(0);
    assert_eq!(message["body"], "look", "{message:#}");
}

on_every!(an_uploaded_file_reaches_the_phone);
async fn an_uploaded_file_reaches_the_phone(app: TestApp) {
    let bank = app.bank().await;
    let bytes = picture(100_000);
    let stored = upload(&app, &bank, "", "image/png", bytes.clone()).await;
    assert_eq!(stored.status, 201, "{}", stored.text);
    let phone = app.phone(&bank, "16505551234", "Ada");
    app.writes_first(&bank, "16505551234").await;
    let send = format!("/tenants/{}/send", bank.id);
    let id = &stored.body["media"]["id"];
    let body = json!({"to": "+16505551234", "image": {"mediaId": id, "caption": "look"}});
    let answer = app.api.post(&send, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let shown = phone.await_reply(SOON).await.unwrap();
    assert_eq!(shown.text, "look", "{shown:?}");
    let media = shown.media.expect("the phone shows a file");
    assert!(media.id.is_some() || media.link.is_some(), "{media:?}");
    // Where the provider fetches by link, the link leads to the bytes.
    if let Some(path) = media
        .link
        .as_deref()
        .and_then(|link| link.strip_prefix(app.api.base()))
    {
        let served = download(&app, &path.into(), None).await;
        assert!(
            served.status == 200 && served.bytes == bytes,
            "{}",
            served.status
        );
    }
    app.messages_until(&bank, "type=image&status=delivered", |found| {
        found.len() == 1
    })
    .await;
}

on_both!(an_upload_that_the_provider_has_forgotten_is_made_again);
async fn an_upload_that_the_provider_has_forgotten_is_made_again(app: TestApp) {
    let bank = app.bank().await;
    let stored = upload(&app, &bank, "", "image/png", picture(10_000)).await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    app.writes_first(&bank, "16505551234").await;
    let send = format!("/tenants/{}/send", bank.id);
    let body = json!({"to": "+16505551234", "image": {"mediaId": stored.body["media"]["id"]}});
    let refuse = |when: FaultMatch| {
        let gone = Fault::Error {
            code: 131_053,
            status: None,
            retry_after: None,
        };
        app.emulator
            .set_faults(FaultScript::one(FaultPoint::Send, when, gone));
    };
    let mut ids = Vec::new();
    for count in [1, 2] {
        assert_eq!(app.api.post(&send, &body).await.status, 202);
        let shown = phone.await_reply(SOON).await.unwrap();
        ids.push(shown.media.and_then(|media| media.id).unwrap());
        let path = "type=image&status=delivered";
        let found = app
            .messages_until(&bank, path, |found| found.len() == count)
            .await;
        assert_eq!(found[0]["attempts"], count, "{:#}", found[0]);
        refuse(FaultMatch::nth(1));
    }
    assert_ne!(ids[0], ids[1]);
    // A file that is refused although it was uploaded just now is no good.
    refuse(FaultMatch::all());
    assert_eq!(app.api.post(&send, &body).await.status, 202);
    let failed = app
        .messages_until(&bank, "status=failed", |found| found.len() == 1)
        .await;
    assert_eq!(
        (&failed[0]["attempts"], &failed[0]["error"]["class"]),
        (&json!(2), &json!("media"))
    );
}

on_every!(a_link_is_handed_on);
async fn a_link_is_handed_on(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    app.writes_first(&bank, "16505551234").await;
    let link = "https://example.com/report.pdf";
    let body = json!({"to": "+16505551234", "document": {"link": link, "filename": "report.pdf"}});
    let answer = app
        .api
        .post(&format!("/tenants/{}/send", bank.id), &body)
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let shown = phone.await_reply(SOON).await.unwrap();
    let media = shown.media.expect("the phone shows a file");
    assert_eq!(media.link.as_deref(), Some(link), "{media:?}");
}

on_every!(a_file_that_is_gone_there_is_a_visible_failure, except_msg91);
async fn a_file_that_is_gone_there_is_a_visible_failure(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    let gone = if app.kind() == ChannelKind::Twilio {
        let account = waxwing_emulator::TwilioNumber::default().account_sid;
        let url = format!(
            "{}/2010-04-01/Accounts/{account}/Messages/MM00000000000000000000000000000001/Media/ME00000000000000000000000000000001",
            app.emulator.url()
        );
        json!({"type": "image", "MessageType": "image", "NumMedia": "1", "MediaUrl0": url,
            "MediaContentType0": "image/png"})
    } else {
        json!({"type": "image", "image": {"id": "1037543291543636", "mime_type": "image/jpeg", "sha256": "x"}})
    };
    phone.send_raw(gone).unwrap();
    let media = fetched(&app, &bank, 1).await.remove(0);
    assert_eq!(
        (&media["status"], &media["error"]["class"]),
        (&json!("failed"), &json!("media")),
        "{media:#}"
    );
}
