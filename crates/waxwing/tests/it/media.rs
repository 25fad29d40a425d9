//! Files: received ones are fetched, kept once, and served with headers that let them do nothing; uploaded ones are sent.

use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};
use waxwing_testkit::{Answer, NUMBER, Tenant, TestApp};

use crate::support::{SOON, on_both};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";

pub fn picture(size: usize) -> Bytes {
    let mut bytes = PNG.to_vec();
    bytes.extend((0..size).map(|n| (n % 251) as u8));
    bytes.into()
}

/// Waits until the file of every inbound message has left `pending`.
pub async fn fetched(app: &TestApp, tenant: &Tenant, count: usize) -> Vec<Value> {
    let done = |found: &[Value]| {
        found.len() == count
            && found.iter().all(|message| {
                message["media"]["status"]
                    .as_str()
                    .is_some_and(|status| status != "pending")
            })
    };
    let found = app.messages_until(tenant, "direction=IN", done).await;
    found
        .into_iter()
        .map(|message| message["media"].clone())
        .collect()
}

pub async fn download(app: &TestApp, url: &Value, range: Option<&str>) -> Answer {
    let path = url.as_str().expect("a link").to_owned();
    app.api
        .send(|client, base| {
            let request = client.get(format!("{base}{path}"));
            match range {
                Some(range) => request.header("range", range),
                None => request,
            }
        })
        .await
}

pub async fn upload(
    app: &TestApp,
    tenant: &Tenant,
    query: &str,
    mime: &str,
    body: Bytes,
) -> Answer {
    let path = format!("/api/tenants/{}/media{query}", tenant.id);
    let (mime, token) = (mime.to_owned(), app.api.token().to_owned());
    app.api
        .send(|client, base| {
            client
                .post(format!("{base}{path}"))
                .bearer_auth(token)
                .header("content-type", mime)
                .body(body)
        })
        .await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers[name].to_str().unwrap()
}

/// The files below a folder.
pub fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| {
            if entry.path().is_dir() {
                files(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

async fn scraped(app: &TestApp) -> String {
    let metrics = app.metrics.clone();
    app.api
        .send(|client, _| client.get(format!("{metrics}/metrics")))
        .await
        .text
}

on_both!(a_received_picture_is_kept_and_served_safely);
async fn a_received_picture_is_kept_and_served_safely(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    let bytes = picture(300_000);
    phone
        .send_media("image", "image/png", bytes.clone(), Some("look"))
        .unwrap();
    let media = fetched(&app, &bank, 1).await.remove(0);
    assert_eq!(media["status"], "stored", "{media:#}");
    assert_eq!(
        (&media["mimeType"], &media["kind"], &media["typeMismatch"]),
        (&json!("image/png"), &json!("image"), &json!(false))
    );
    assert_eq!(media["size"], bytes.len());

    let whole = download(&app, &media["url"], None).await;
    assert_eq!(whole.status, 200, "{}", whole.text);
    assert!(whole.bytes == bytes, "the bytes come back");
    assert_eq!(header(&whole, "content-type"), "image/png");
    assert_eq!(header(&whole, "x-content-type-options"), "nosniff");
    assert!(header(&whole, "content-security-policy").contains("sandbox"));
    assert!(header(&whole, "content-security-policy").contains("default-src 'none'"));
    assert!(header(&whole, "content-disposition").starts_with("inline; "));
    assert_eq!(header(&whole, "cache-control"), "private, no-store");
    let part = download(&app, &media["url"], Some("bytes=100000-100099")).await;
    assert_eq!(
        (part.status, &part.bytes[..]),
        (206, &bytes[100_000..100_100])
    );
    assert_eq!(
        header(&part, "content-range"),
        format!("bytes 100000-100099/{}", bytes.len())
    );
    assert_eq!(
        download(&app, &media["url"], Some("bytes=9999999-"))
            .await
            .status,
        416
    );
    let forged = format!("{}A", media["url"].as_str().unwrap());
    assert_eq!(download(&app, &forged.into(), None).await.status, 404);

    let path = format!(
        "/api/tenants/{}/media/{}",
        bank.id,
        media["id"].as_str().unwrap()
    );
    let one = app.api.get(&path).await;
    assert_eq!(one.body["media"]["sha256"], media["sha256"]);
    let content = app.api.get(&format!("{path}/content")).await;
    let linked = download(&app, &content.body["url"], None).await;
    assert!(linked.bytes == bytes, "the link leads to the bytes");
    let other = app.tenant("Other", "106540352242999").await;
    let foreign = path.replace(&bank.id, &other.id);
    assert_eq!(app.api.get(&foreign).await.status, 404);
    let raw = std::fs::read(newest(&app.data_dir().join("media"))).unwrap();
    assert!(
        !raw.windows(64).any(|part| part == &bytes[..64]),
        "sealed on the disk"
    );

    // The same picture again, from somebody else: another file, the same object.
    app.phone(&bank, "16505551235", "Grace")
        .send_media("image", "image/png", bytes, None)
        .unwrap();
    let both = fetched(&app, &bank, 2).await;
    assert_eq!(both[0]["sha256"], both[1]["sha256"]);
    assert_ne!(both[0]["id"], both[1]["id"]);
    // Events show when those before them can no longer come.
    let path = format!("/api/tenants/{}/events?type=media.stored", bank.id);
    let mut events = app.api.get(&path).await;
    while events.body["events"]
        .as_array()
        .is_some_and(|events| events.len() < 2)
    {
        events = app.api.get(&path).await;
    }
    assert_eq!(
        events.body["events"].as_array().map(Vec::len),
        Some(2),
        "{}",
        events.text
    );
}

/// Some file below a folder.
fn newest(folder: &Path) -> std::path::PathBuf {
    let entry = std::fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    if entry.is_dir() {
        newest(&entry)
    } else {
        entry
    }
}

on_both!(what_is_not_what_it_says_is_never_shown);
async fn what_is_not_what_it_says_is_never_shown(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    let page = Bytes::from_static(b"<!doctype html><script>alert(document.cookie)</script>");
    phone
        .send_media("image", "image/jpeg", page.clone(), None)
        .unwrap();
    let media = fetched(&app, &bank, 1).await.remove(0);
    assert_eq!(
        (&media["status"], &media["typeMismatch"], &media["mimeType"]),
        (&json!("stored"), &json!(true), &json!("text/html"))
    );
    let served = download(&app, &media["url"], None).await;
    assert_eq!(header(&served, "content-type"), "application/octet-stream");
    assert!(header(&served, "content-disposition").starts_with("attachment; "));
    assert_eq!(header(&served, "x-content-type-options"), "nosniff");
}

on_both!(a_file_that_cannot_be_had_is_a_visible_failure);
async fn a_file_that_cannot_be_had_is_a_visible_failure(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    let gone = json!({"type": "image", "image": {"id": "1037543291543636", "mime_type": "image/jpeg", "sha256": "x"}});
    phone.send_raw(gone).unwrap();
    let media = fetched(&app, &bank, 1).await.remove(0);
    assert_eq!(
        (&media["status"], &media["error"]["class"]),
        (&json!("failed"), &json!("media")),
        "{media:#}"
    );
    assert!(media["url"].is_null());
    let large = picture(1_500_000);
    phone
        .send_media("sticker", "image/webp", large, None)
        .unwrap();
    let both = fetched(&app, &bank, 2).await;
    assert_eq!(both[0]["status"], "failed", "{both:#?}");
    assert!(
        both[0]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("large"),
        "{both:#?}"
    );
    let failed = app
        .api
        .get(&format!("/api/tenants/{}/media?status=failed", bank.id))
        .await;
    assert_eq!(failed.body["media"].as_array().map(Vec::len), Some(2));
    // The conversation goes on all the same.
    phone.await_reply(SOON).await.unwrap();
    let path = format!(
        "/api/tenants/{}/media/{}/retry",
        bank.id,
        media["id"].as_str().unwrap()
    );
    assert_eq!(app.api.post(&path, &json!({})).await.status, 202);
    fetched(&app, &bank, 2).await;
}

on_both!(fetching_goes_on_after_a_kill);
async fn fetching_goes_on_after_a_kill(mut app: TestApp) {
    const COUNT: usize = 24;
    let bank = app.bank().await;
    let mut sent = 0;
    for round in 0..3 {
        for n in 0..COUNT / 3 {
            let phone = app.phone(&bank, &format!("1650555{round}{n:03}"), "Ada");
            phone
                .send_media("image", "image/png", picture(400_000 + sent), None)
                .unwrap();
            sent += 1;
        }
        app.messages_until(&bank, "direction=IN", |found| found.len() == sent)
            .await;
        app.kill();
        app.boot().await;
        app.emulator
            .set_webhook_url(NUMBER, &format!("{}/whatsapp/webhook", app.api.base()));
    }
    let all = fetched(&app, &bank, COUNT).await;
    let mut hashes = std::collections::BTreeSet::new();
    for media in &all {
        assert_eq!(media["status"], "stored", "{media:#}");
        hashes.insert(media["sha256"].as_str().unwrap().to_owned());
        assert_eq!(download(&app, &media["url"], None).await.status, 200);
    }
    assert_eq!(hashes.len(), COUNT);
    assert!(files(&app.data_dir().join("media")) >= COUNT);
}

on_both!(an_uploaded_file_is_sent_and_uploaded_to_the_provider_once);
async fn an_uploaded_file_is_sent_and_uploaded_to_the_provider_once(app: TestApp) {
    let bank = app.bank().await;
    let bytes = picture(200_000);
    let stored = upload(
        &app,
        &bank,
        "?filename=..%2Fa%20b.png",
        "image/png",
        bytes.clone(),
    )
    .await;
    assert_eq!(stored.status, 201, "{}", stored.text);
    let media = &stored.body["media"];
    assert_eq!(
        (&media["status"], &media["kind"], &media["filename"]),
        (&json!("stored"), &json!("image"), &json!("a b.png"))
    );
    let phone = app.phone(&bank, "16505551234", "Ada");
    let send = format!("/tenants/{}/send", bank.id);
    // Only who has written lately can be sent more than a message template.
    phone.say("hi");
    phone.await_reply(SOON).await.unwrap();
    for _ in 0..2 {
        let body =
            json!({"to": "+16505551234", "image": {"mediaId": media["id"], "caption": "look"}});
        let answer = app.api.post(&send, &body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(answer.body["message"]["media"]["id"], media["id"]);
        let shown = phone.await_reply(SOON).await.unwrap();
        assert_eq!(
            (shown.kind.as_str(), shown.text.as_str()),
            ("image", "look")
        );
    }
    app.messages_until(&bank, "type=image&status=delivered", |found| {
        found.len() == 2
    })
    .await;
    let metrics = scraped(&app).await;
    assert!(
        metrics.contains("whatsapp_media_uploads_total{provider=\"meta\",result=\"uploaded\"} 1"),
        "{metrics}"
    );

    let sends = [
        (
            json!({"to": "+16505551234", "video": {"mediaId": media["id"]}}),
            "video.mediaId",
        ),
        (
            json!({"to": "+16505551234", "image": {"mediaId": "med_00000000000000000000000000000007"}}),
            "image.mediaId",
        ),
        (
            json!({"to": "+16505551234", "image": {"link": "http://169.254.169.254/latest"}}),
            "image.link",
        ),
        (
            json!({"to": "+16505551234", "image": {"link": "https://user:pw@example.com/a.png"}}),
            "image.link",
        ),
        (
            json!({"to": "+16505551234", "image": {"mediaId": media["id"], "id": "1"}}),
            "image",
        ),
    ];
    for (body, field) in sends {
        let answer = app.api.post(&send, &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        assert_eq!(answer.body["details"][0]["field"], field, "{}", answer.text);
    }
}

on_both!(uploads_have_limits);
async fn uploads_have_limits(app: TestApp) {
    let bank = app.bank().await;
    let pdf = Bytes::from_static(b"%PDF-1.7\n%x");
    let cases = [
        ("", "image/jpeg", pdf.clone(), 415),
        ("?kind=image", "application/pdf", pdf.clone(), 415),
        ("?kind=odd", "application/pdf", pdf.clone(), 422),
        ("", "image/png", picture(5 * 1024 * 1024), 413),
        ("", "application/pdf", Bytes::new(), 422),
        ("", "application/json", pdf.clone(), 415),
        ("", "application/pdf", pdf.clone(), 201),
        ("?kind=document", "image/png", picture(5 * 1024 * 1024), 201),
    ];
    for (query, mime, body, status) in cases {
        let answer = upload(&app, &bank, query, mime, body).await;
        assert_eq!(answer.status, status, "{query} {mime}: {}", answer.text);
    }
    let form = |name: &str| {
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\ndocument\r\n--x\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"r.pdf\"\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.4 form\r\n--x--\r\n"
        )
    };
    let kind = "multipart/form-data; boundary=x";
    let stored = upload(&app, &bank, "", kind, form("file").into()).await;
    assert_eq!(stored.status, 201, "{}", stored.text);
    assert_eq!(
        (
            &stored.body["media"]["filename"],
            &stored.body["media"]["kind"]
        ),
        (&json!("r.pdf"), &json!("document"))
    );
    assert_eq!(
        upload(&app, &bank, "", kind, form("other").into())
            .await
            .status,
        422
    );
    assert_eq!(
        upload(&app, &bank, "", kind, "--x\r\nbroken".into())
            .await
            .status,
        400
    );
    let list = app
        .api
        .get(&format!("/api/tenants/{}/media", bank.id))
        .await;
    assert_eq!(
        list.body["media"].as_array().map(Vec::len),
        Some(3),
        "{}",
        list.text
    );
}

on_both!(media_can_be_switched_off, |options| options
    .set("WHATSAPP_ENABLE_MEDIA", "off"));
async fn media_can_be_switched_off(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    phone
        .send_media("image", "image/png", picture(10), None)
        .unwrap();
    let found = app
        .messages_until(&bank, "direction=IN", |found| found.len() == 1)
        .await;
    assert!(found[0]["media"].is_null() && found[0]["content"]["mediaId"].is_null());
    assert_eq!(
        upload(&app, &bank, "", "image/png", picture(10))
            .await
            .status,
        403
    );
    let body = json!({"to": "+16505551234", "image": {"link": "https://example.com/a.png"}});
    assert_eq!(
        app.api
            .post(&format!("/tenants/{}/send", bank.id), &body)
            .await
            .status,
        403
    );
}

/// A server inside that must never be called; it counts who connects.
async fn trap() -> (u16, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    (port, count)
}

on_both!(links_that_lead_inside_are_never_called);
async fn links_that_lead_inside_are_never_called(app: TestApp) {
    let bank = app.bank().await;
    let (port, calls) = trap().await;
    let channel = json!({"kind": "msg91", "from": "+15005550006",
        "credentials": {"authKey": "key", "webhookSecret": "a-secret-of-more-than-16"}});
    let made = app
        .api
        .post(&format!("/api/tenants/{}/channels", bank.id), &channel)
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let hook = format!(
        "/webhook/msg91/{}",
        made.body["channel"]["id"].as_str().unwrap()
    );
    let links = [
        format!("http://127.0.0.1:{port}/secret"),
        format!("http://localhost:{port}/secret"),
        format!("http://[::1]:{port}/secret"),
        format!("http://[::ffff:127.0.0.1]:{port}/secret"),
        format!("http://2130706433:{port}/secret"),
        format!("http://user:pw@127.0.0.1:{port}/secret"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ];
    let count = links.len();
    for (n, link) in links.into_iter().enumerate() {
        let body = json!({"customerNumber": "16505551234", "integratedNumber": "15005550006", "direction": "0",
            "eventName": "received", "uuid": format!("wamid.ssrf{n}"), "contentType": "image", "url": link});
        let answer = app
            .api
            .send(|client, base| {
                client
                    .post(format!("{base}{hook}"))
                    .header("x-webhook-secret", "a-secret-of-more-than-16")
                    .json(&body)
            })
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    for media in fetched(&app, &bank, count).await {
        assert_eq!(
            (&media["status"], &media["error"]["class"]),
            (&json!("failed"), &json!("media")),
            "{media:#}"
        );
    }
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 0);
}
