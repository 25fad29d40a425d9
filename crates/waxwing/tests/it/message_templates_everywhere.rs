//! Message templates at every provider, and the sample files of their headers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use waxwing_core::channel::ChannelKind;
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript};
use waxwing_testkit::{Tenant, TestApp, TestOptions};

use crate::media::{fetched, picture, upload};
use crate::support::{SOON, on_both};

/// Reviews at once, and knows its templates.
fn reviewing(mut options: TestOptions) -> TestOptions {
    options.emulator.checks.templates = true;
    options.emulator.template_review = Duration::from_millis(1);
    options
}

/// Waits for the approval; providers that tell nothing are asked.
async fn approved(app: &TestApp, tenant: &Tenant, path: &str) -> Value {
    let end = Instant::now() + SOON;
    loop {
        let synced = format!("/api/tenants/{}/message-templates/sync", tenant.id);
        let synced = app.api.post(&synced, &json!({})).await;
        assert_eq!(synced.status, 200, "{}", synced.text);
        let found = app.api.get(path).await.body["messageTemplate"].clone();
        if found["status"] == "approved" {
            return found;
        }
        assert!(Instant::now() < end, "{found:#}\n{}", synced.text);
        tokio::task::yield_now().await;
    }
}

async fn made_and_sent(app: TestApp) {
    let bank = app.bank().await;
    let base = format!("/api/tenants/{}/message-templates", bank.id);
    let draft = json!({"name": "order_confirmation", "language": "en", "category": "UTILITY", "components": [
        {"type": "BODY", "text": "Thank you for your order, {{1}}! Your number is {{2}}. We write again when it leaves.",
         "example": {"body_text": [["Ada", "860198"]]}}]});
    let made = app.api.post(&base, &draft).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!(
        "{base}/{}",
        made.body["messageTemplate"]["id"].as_str().unwrap()
    );
    let submitted = app.api.post(&format!("{path}/submit"), &json!({})).await;
    assert_eq!(submitted.status, 200, "{}", submitted.text);
    approved(&app, &bank, &path).await;

    let phone = app.phone(&bank, "16505551234", "Ada");
    let send = format!("/tenants/{}/send/template", bank.id);
    let body = json!({"to": "+16505551234", "messageTemplate": {
        "name": "order_confirmation", "language": "en", "variables": {"body": ["Ada", "17"]}}});
    let answer = app.api.post(&send, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let reply = phone.await_reply(SOON).await.unwrap();
    assert!(
        reply.text.contains("order, Ada! Your number is 17."),
        "{reply:?}"
    );
    app.messages_until(&bank, "direction=OUT", |found| {
        found[0]["status"] == "delivered"
    })
    .await;
    a_refusal_corrects(&app, &path, &send, &body).await;
    let gone = app.api.delete(&path).await;
    if app.kind() == ChannelKind::Msg91 {
        assert_eq!(gone.status, 409, "it has no deletion: {}", gone.text);
    } else {
        assert_eq!(gone.status, 200, "{}", gone.text);
    }
}

/// The provider says that the template is paused, as soon as it is asked or later; from then on, so do we.
async fn a_refusal_corrects(app: &TestApp, template: &str, send: &str, body: &Value) {
    let paused = match app.kind() {
        ChannelKind::Twilio => Fault::Fail { code: 63_041 },
        ChannelKind::Msg91 => Fault::Fail { code: 132_015 },
        ChannelKind::Meta | ChannelKind::Dialog360 => Fault::Error {
            code: 132_015,
            status: None,
            retry_after: None,
        },
    };
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        FaultMatch::default(),
        paused,
    ));
    let answer = app.api.post(send, body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let end = Instant::now() + SOON;
    loop {
        let found = app.api.get(template).await.body["messageTemplate"].clone();
        if found["status"] == "paused" {
            break;
        }
        assert!(Instant::now() < end, "{found:#}");
        tokio::task::yield_now().await;
    }
    let answer = app.api.post(send, body).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
}

mod a_template_is_made_and_sent {
    use waxwing_core::channel::ChannelKind;
    use waxwing_testkit::Engine;

    async fn at(kind: ChannelKind) {
        let adjust = |options: waxwing_testkit::TestOptions| super::reviewing(options.at(kind));
        if let Some(app) = crate::support::start(Engine::Sqlite, adjust).await {
            super::made_and_sent(app).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn dialog360() {
        at(ChannelKind::Dialog360).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn twilio() {
        at(ChannelKind::Twilio).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn msg91() {
        at(ChannelKind::Msg91).await;
    }
}

fn pictured(name: &str, sample: &str) -> Value {
    json!({"name": name, "language": "en_US", "category": "UTILITY", "components": [
        {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [sample]}},
        {"type": "BODY", "text": "Your order has left our house and will be with you tomorrow."}]})
}

on_both!(a_sample_file_goes_along, super::reviewing);
async fn a_sample_file_goes_along(app: TestApp) {
    let bank = app.bank().await;
    let base = format!("/api/tenants/{}/message-templates", bank.id);
    let submit = async |name: &str, sample: &str| {
        let made = app.api.post(&base, &pictured(name, sample)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let path = format!(
            "{base}/{}",
            made.body["messageTemplate"]["id"].as_str().unwrap()
        );
        (
            app.api.post(&format!("{path}/submit"), &json!({})).await,
            path,
        )
    };
    let stored = upload(&app, &bank, "", "image/png", picture(50_000)).await;
    let id = stored.body["media"]["id"].as_str().unwrap();
    let (taken, path) = submit("from_a_file", id).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    approved(&app, &bank, &path).await;

    // A link that Waxwing may call: it leads to the provider.
    let phone = app.phone(&bank, "16505551234", "Ada");
    phone
        .send_media("image", "image/png", picture(40_000), None)
        .unwrap();
    fetched(&app, &bank, 1).await;
    let message = app.messages(&bank, "type=image").await.remove(0);
    let place = format!(
        "{}/v25.0/{}?access_token=EAAJB-test-token",
        app.emulator.url(),
        message["content"]["id"].as_str().unwrap()
    );
    let place = app.api.send(|client, _| client.get(place)).await;
    let link = format!(
        "{}&access_token=EAAJB-test-token",
        place.body["url"].as_str().unwrap()
    );
    let (taken, _) = submit("from_a_link", &link).await;
    assert_eq!(taken.status, 200, "{}", taken.text);

    let pdf = upload(
        &app,
        &bank,
        "",
        "application/pdf",
        Bytes::from_static(b"%PDF-1.7\n%x"),
    )
    .await;
    let pdf = pdf.body["media"]["id"].as_str().unwrap();
    let refused = [
        ("a_paper", pdf, "application/pdf"),
        ("nothing", "med_00000000000000000000000000000007", "no file"),
        (
            "inside",
            "http://169.254.169.254/latest/meta-data",
            "refused",
        ),
        ("forged", "4::aW1hZ2U=:00", "handle"),
    ];
    for (name, sample, words) in refused {
        let (answer, path) = submit(name, sample).await;
        assert!(
            (400..500).contains(&answer.status) || answer.status == 502,
            "{name}: {}",
            answer.text
        );
        let text = answer.text.to_lowercase();
        assert!(
            text.contains(words) || words == "refused",
            "{name}: {}",
            answer.text
        );
        let found = app.api.get(&path).await;
        assert_eq!(
            found.body["messageTemplate"]["status"], "draft",
            "{}",
            found.text
        );
    }
}
