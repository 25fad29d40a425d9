//! Numbers, templates and media over the Graph API.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use waxwing_emulator::{EmulatorConfig, NumberConfig, User};

use crate::receiver::Receiver;
use crate::{DEADLINE, NUMBER, TOKEN, WABA, client, get, post, send, start};

fn fixture(name: &str) -> Value {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/api")).join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn documented_reads_have_the_same_answer() {
    let emulator = start(EmulatorConfig::default(), None).await;
    emulator.add_number(NumberConfig {
        phone_number_id: "106540352242999".into(),
        display_phone_number: "15550783999".into(),
        verified_name: "Jasper's Ice Cream".into(),
        ..NumberConfig::default()
    });
    for name in [
        "health-status-available.json",
        "phone-number-get.json",
        "subscribed-apps-subscribe.json",
    ] {
        let exchange = fixture(name);
        let path = exchange["request"]["path"].as_str().unwrap();
        let (status, body) = if exchange["request"]["method"] == "GET" {
            get(&emulator, path).await
        } else {
            post(&emulator, path, &json!({})).await.unwrap()
        };
        assert_eq!(u64::from(status), exchange["response"]["status"], "{name}");
        assert_eq!(body, exchange["response"]["body"], "{name}");
    }
    let (_, list) = get(
        &emulator,
        fixture("phone-numbers-list.json")["request"]["path"]
            .as_str()
            .unwrap(),
    )
    .await;
    let expected = &fixture("phone-numbers-list.json")["response"]["body"]["data"];
    for (ours, theirs) in list["data"]
        .as_array()
        .unwrap()
        .iter()
        .zip(expected.as_array().unwrap())
    {
        assert_eq!(ours["display_phone_number"], theirs["display_phone_number"]);
        assert_eq!(ours["verified_name"], theirs["verified_name"]);
    }
    let (status, unknown) = get(&emulator, "/v25.0/1").await;
    let expected = fixture("media-get-unknown-id.json");
    assert_eq!(u64::from(status), expected["response"]["status"]);
    assert_eq!(
        unknown["error"]["message"],
        expected["response"]["body"]["error"]["message"]
    );
    assert_eq!(unknown["error"]["error_subcode"], 33);
}

/// Uploads a picture as a sample; its handle.
async fn uploaded(emulator: &waxwing_emulator::Emulator) -> String {
    let open = |mime: &str| format!("/v25.0/app/uploads?file_length=5&file_type={mime}");
    let (status, refused) = post(emulator, &open("text/html"), &json!({}))
        .await
        .unwrap();
    assert_eq!(status, 400, "{refused}");
    let (status, session) = post(emulator, &open("image/png"), &json!({}))
        .await
        .unwrap();
    assert_eq!(status, 200, "{session}");
    let url = format!(
        "{}/v25.0/{}",
        emulator.url(),
        session["id"].as_str().unwrap()
    );
    let fill = async |offset: Option<&str>, bytes: &'static str| {
        let mut request = client()
            .post(&url)
            .header("authorization", format!("OAuth {TOKEN}"))
            .body(bytes);
        if let Some(offset) = offset {
            request = request.header("file_offset", offset);
        }
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap(),
        )
    };
    assert_eq!(fill(None, "12345").await.0, 400);
    assert_eq!(fill(Some("0"), "1234").await.0, 400);
    let (status, done) = fill(Some("0"), "12345").await;
    assert_eq!(status, 200, "{done}");
    assert_eq!(fill(Some("0"), "12345").await.0, 400, "it is done");
    done["h"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn documented_template_creations_have_the_same_answer() {
    let emulator = start(
        EmulatorConfig {
            template_review: Duration::from_secs(60),
            ..EmulatorConfig::default()
        },
        None,
    )
    .await;
    let path = format!("/v25.0/{WABA}/message_templates");
    let mut names: Vec<String> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/api"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n.starts_with("template-create-") && !n.contains("name-exists"))
            .collect();
    names.sort();
    for name in &names {
        let exchange = fixture(name);
        let mut request = exchange["request"]["body"].clone();
        // The documented handle is cut short.
        if let Some(handle) = request.pointer_mut("/components/0/example/header_handle/0") {
            let (status, forged) = post(&emulator, &path, &exchange["request"]["body"])
                .await
                .unwrap();
            assert_eq!(status, 400, "{name}: {forged}");
            *handle = json!(uploaded(&emulator).await);
        }
        let (status, body) = post(&emulator, &path, &request).await.unwrap();
        let expected = &exchange["response"]["body"];
        assert_eq!(
            u64::from(status),
            exchange["response"]["status"],
            "{name}: {body}"
        );
        for field in ["status", "category"] {
            assert_eq!(body[field], expected[field], "{name}: {body}");
        }
        assert_eq!(
            body["error"]["error_subcode"], expected["error"]["error_subcode"],
            "{name}: {body}"
        );
        assert_eq!(
            body["error"]["error_user_msg"], expected["error"]["error_user_msg"],
            "{name}"
        );
    }
    assert!(names.len() >= 6, "{names:?}");
    let exists = json!({ "name": "hello_world", "language": "en-US", "category": "UTILITY", "components": [{ "type": "BODY", "text": "x" }] });
    let (_, body) = post(&emulator, &path, &exists).await.unwrap();
    assert_eq!(body["error"]["error_subcode"], 2_388_024);
    let (_, page) = get(&emulator, &format!("{path}?fields=name,status&limit=2")).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    let next = page["paging"]["next"]
        .as_str()
        .unwrap()
        .strip_prefix(&emulator.url())
        .unwrap()
        .to_owned();
    let (_, second) = get(&emulator, &next).await;
    assert_ne!(page["data"][0]["name"], second["data"][0]["name"]);
}

#[tokio::test]
async fn templates_live_and_are_checked_at_each_send() {
    let receiver = Receiver::start().await;
    let config = EmulatorConfig {
        template_review: Duration::from_millis(1),
        ..EmulatorConfig::default()
    };
    let emulator = start(config, Some(receiver.url())).await;
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Asha"))
        .unwrap();
    let request = json!({ "name": "trip", "language": "en_US", "category": "MARKETING", "components": [
        { "type": "BODY", "text": "Hello {{1}}, your trip {{2}} starts tomorrow morning at eight.", "example": { "body_text": [["Asha", "BK"]] } },
        { "type": "BUTTONS", "buttons": [{ "type": "QUICK_REPLY", "text": "Confirm" }] },
    ]});
    let (_, created) = post(
        &emulator,
        &format!("/v25.0/{WABA}/message_templates"),
        &request,
    )
    .await
    .unwrap();
    let template = created["id"].as_str().unwrap().to_owned();
    receiver.wait("approved", |r| r.hooks().len() == 1).await;
    let body = |parameters: &[&str]| {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|p| json!({ "type": "text", "text": p }))
            .collect();
        json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "template", "template": {
        "name": "trip", "language": { "code": "en_US" }, "components": [
            { "type": "body", "parameters": parameters },
            { "type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{ "type": "payload", "payload": "CONFIRM" }] },
        ]}})
    };
    let code =
        async |body: &Value| send(&emulator, body).await.unwrap().1["error"]["code"].as_i64();
    assert_eq!(code(&body(&["Asha"])).await, Some(132_000));
    let mut unknown = body(&["Asha", "BK-2041"]);
    unknown["template"]["language"]["code"] = json!("de");
    assert_eq!(code(&unknown).await, Some(132_001));
    assert_eq!(code(&body(&["Asha", "BK-2041"])).await, None);
    let shown = phone.await_reply(DEADLINE).await.unwrap();
    assert_eq!(
        shown.text,
        "Hello Asha, your trip BK-2041 starts tomorrow morning at eight."
    );
    phone.tap("CONFIRM").unwrap();
    receiver.wait("the tap", |r| r.messages().len() == 1).await;
    let tap = receiver.messages().remove(0);
    assert_eq!(
        (&tap["type"], &tap["button"]),
        (
            &json!("button"),
            &json!({ "payload": "CONFIRM", "text": "Confirm" })
        )
    );
    assert_eq!(tap["context"]["id"], shown.id);
    phone.marketing(true);
    assert_eq!(
        code(&body(&["Asha", "BK"])).await,
        None,
        "opted out users fail later"
    );
    receiver
        .wait("opted out", |r| {
            r.statuses()
                .iter()
                .any(|s| s["errors"][0]["code"] == 131_050)
        })
        .await;
    for (status, expected) in [("PAUSED", 132_015), ("DISABLED", 132_016)] {
        emulator.set_template_status(WABA, &template, status);
        assert_eq!(code(&body(&["Asha", "BK"])).await, Some(expected));
    }
    let url = format!(
        "{}/v25.0/{WABA}/message_templates?name=trip",
        emulator.url()
    );
    assert_eq!(
        client()
            .delete(url)
            .bearer_auth(TOKEN)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(code(&body(&["Asha", "BK"])).await, Some(132_001));
}

#[tokio::test]
async fn media_travels_both_ways_and_its_addresses_end() {
    let receiver = Receiver::start().await;
    let config = EmulatorConfig {
        media_url_life: Duration::from_secs(300),
        ..EmulatorConfig::default()
    };
    let now = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(1_795_219_200));
    let clock = std::sync::Arc::clone(&now);
    let clock = std::sync::Arc::new(move || {
        std::time::SystemTime::UNIX_EPOCH
            + Duration::from_secs(clock.load(std::sync::atomic::Ordering::Relaxed))
    });
    let emulator = start(EmulatorConfig { clock, ..config }, Some(receiver.url())).await;
    let upload = async |mime: &str, body: &str| {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--b\r\nContent-Disposition: \
             form-data; name=\"file\"; filename=\"photo.jpg\"\r\nContent-Type: {mime}\r\n\r\n{body}\r\n--b--\r\n"
        );
        let request = client()
            .post(format!("{}/v25.0/{NUMBER}/media", emulator.url()))
            .bearer_auth(TOKEN);
        let request = request
            .header("content-type", "multipart/form-data; boundary=b")
            .body(form);
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        body
    };
    assert_eq!(upload("image/tiff", "x").await["error"]["code"], 131_053);
    let media = upload("image/jpeg", "pixels").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let image = |id: &str| json!({ "messaging_product": "whatsapp", "to": "+16505551234", "type": "image", "image": { "id": id } });
    assert_eq!(send(&emulator, &image(&media)).await.unwrap().0, 200);
    assert_eq!(send(&emulator, &image("123")).await.unwrap().0, 400);
    let (_, info) = get(
        &emulator,
        &format!("/v25.0/{media}?phone_number_id={NUMBER}"),
    )
    .await;
    assert_eq!(
        (info["mime_type"].as_str(), info["file_size"].as_str()),
        (Some("image/jpeg"), Some("6"))
    );
    let url = info["url"].as_str().unwrap();
    let fetch = async |token: &str| {
        let answer = client().get(url).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(fetch(TOKEN).await, (200, "pixels".into()));
    assert_eq!(fetch("wrong").await.0, 401);
    now.fetch_add(301, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(fetch(TOKEN).await, (404, String::new()));
    let phone = emulator
        .phone(NUMBER, User::with_phone("16505551234", "Asha"))
        .unwrap();
    phone
        .send_media("image", "image/png", "png".into(), Some("look"))
        .unwrap();
    receiver
        .wait("the image", |r| r.messages().len() == 1)
        .await;
    let message = receiver.messages().remove(0);
    let bytes = client()
        .get(message["image"]["url"].as_str().unwrap())
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!(bytes.text().await.unwrap(), "png");
    assert_eq!(message["image"]["caption"], "look");
    let gone = client()
        .delete(format!("{}/v25.0/{media}", emulator.url()))
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!(
        gone.json::<Value>().await.unwrap(),
        json!({ "success": true })
    );
    assert_eq!(get(&emulator, &format!("/v25.0/{media}")).await.0, 400);
}
