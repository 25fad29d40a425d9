//! What is erased is nowhere any more: not in the database file, not in its log, not among the files; and it stays so
//! when the process is killed in the middle.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_testkit::{Engine, NUMBER, SECRET, Sender, Tenant, TestApp, sign, text_body};

use crate::media::picture;
use crate::support::{SOON, on_both, start};

const ADA: &str = "16505557319";
const WORDS: &str = "a canary sings of Ada";
const NAME: &str = "Adalbertina";

/// The files of a directory that hold a text.
fn holding(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            if bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Waits until the one picture is stored.
async fn stored(app: &TestApp, tenant: &Tenant) {
    app.messages_until(tenant, "type=image", |found| {
        found.len() == 1 && found[0]["media"]["status"] == "stored"
    })
    .await;
}

async fn contact(app: &TestApp, tenant: &Tenant) -> Value {
    let path = format!("/api/tenants/{}/contacts?phone=%2B{ADA}", tenant.id);
    app.api.get(&path).await.body["contacts"][0].clone()
}

async fn done(app: &TestApp, path: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = app.api.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        if !answer.body["doneAt"].is_null() {
            return;
        }
        assert!(Instant::now() < until, "{}\n{}", answer.text, app.logs());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_contact_is_nowhere() {
    let Some(mut app) = start(Engine::Sqlite, |options| options).await else {
        return;
    };
    let bank = app.bank().await;
    let phone = app.phone(&bank, ADA, NAME);
    phone.say(WORDS);
    phone.await_reply(SOON).await.unwrap();
    phone
        .send_media("image", "image/png", picture(50_000), None)
        .unwrap();
    stored(&app, &bank).await;
    let other = app.phone(&bank, "16505550000", "Bob");
    other.say("bob stays");
    other.await_reply(SOON).await.unwrap();
    assert!(!holding(&app.data_dir(), WORDS).is_empty(), "it was there");
    let ada = contact(&app, &bank).await;
    let path = format!(
        "/api/tenants/{}/contacts/{}/erase",
        bank.id,
        ada["id"].as_str().unwrap()
    );
    let begun = app.api.post(&path, &json!({})).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    // Killed in the middle again and again: the next process goes on.
    for _ in 0..5 {
        app.kill();
        app.boot().await;
    }
    done(&app, &path).await;
    let until = Instant::now() + Duration::from_secs(60);
    for text in [WORDS, NAME, ADA] {
        loop {
            let found = holding(&app.data_dir(), text);
            if found.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "{text} is in {found:?}");
            tokio::task::yield_now().await;
        }
    }
    assert!(contact(&app, &bank).await.is_null());
    let messages = app.messages(&bank, "direction=IN").await;
    assert_eq!(messages.len(), 3, "counts stay");
    assert_eq!(
        messages
            .iter()
            .filter(|one| one["content"]["erased"] == true)
            .count(),
        2
    );
    assert!(!holding(&app.data_dir(), "bob stays").is_empty());
    // A provider that tells of it once more changes nothing.
    let sender = Sender::new(ADA, NAME);
    let body = text_body(NUMBER, &sender, "wamid.new", "here I am again");
    app.emulator
        .set_webhook_url(NUMBER, &format!("{}/whatsapp/webhook", app.api.base()));
    assert_eq!(
        app.api.webhook(&body, &sign(SECRET, &body)).await.status,
        200
    );
    app.messages_until(&bank, "direction=IN", |found| found.len() == 4)
        .await;
    let again = contact(&app, &bank).await;
    assert_ne!(again["id"], ada["id"], "somebody new");
}

on_both!(an_export_holds_all_that_is_known_of_a_contact);
async fn an_export_holds_all_that_is_known_of_a_contact(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, ADA, NAME);
    phone.say(WORDS);
    phone.await_reply(SOON).await.unwrap();
    phone.say("stop");
    phone.await_reply(SOON).await.unwrap();
    let bytes = picture(200_000);
    phone
        .send_media("image", "image/png", bytes.clone(), None)
        .unwrap();
    stored(&app, &bank).await;
    let ada = contact(&app, &bank).await;
    let path = format!(
        "/api/tenants/{}/contacts/{}/export",
        bank.id,
        ada["id"].as_str().unwrap()
    );
    let export = app.api.get(&path).await;
    assert_eq!(export.status, 200, "{}", export.text);
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(export.bytes)).unwrap();
    let names: Vec<String> = archive
        .file_names()
        .map(|name| name.unwrap().into_owned())
        .collect();
    let media = names
        .iter()
        .find(|name| name.starts_with("media/"))
        .unwrap()
        .clone();
    let mut read = |name: &str| {
        let mut bytes = Vec::new();
        archive
            .by_name(name)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    };
    assert_eq!(read(&media), bytes);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let about = text(read("contact.json"));
    assert!(about.contains(NAME) && about.contains(ADA), "{about}");
    let messages = text(read("messages.jsonl"));
    assert!(messages.contains(WORDS), "{messages}");
    assert!(messages.lines().count() >= 5, "{messages}");
    assert!(text(read("consents.json")).contains("opted_out"));
    let told = format!("/api/tenants/{}/audit?action=contact.export", bank.id);
    assert_eq!(
        app.api.get(&told).await.body["audit"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

on_both!(a_blocked_contact_is_heard_and_not_answered);
async fn a_blocked_contact_is_heard_and_not_answered(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, ADA, NAME);
    phone.say("hi");
    phone.await_reply(SOON).await.unwrap();
    let ada = contact(&app, &bank).await;
    let path = format!(
        "/api/tenants/{}/contacts/{}",
        bank.id,
        ada["id"].as_str().unwrap()
    );
    assert_eq!(app.api.delete(&path).await.status, 200);
    phone.say("hi");
    let heard = app
        .messages_until(&bank, "direction=IN", |found| found.len() == 2)
        .await;
    assert_eq!(heard[0]["cause"]["cause"], "blocked");
    let send = json!({"to": format!("+{ADA}"), "text": "x"});
    let refused = app
        .api
        .post(&format!("/api/tenants/{}/send", bank.id), &send)
        .await;
    assert_eq!(
        (refused.status, &refused.body["details"][0]["field"]),
        (422, &json!("to"))
    );
    let listed = app
        .api
        .get(&format!("/api/tenants/{}/contacts", bank.id))
        .await;
    assert_eq!(listed.body["contacts"], json!([]));
    assert_eq!(
        app.api
            .post(&format!("{path}/unblock"), &json!({}))
            .await
            .status,
        200
    );
    phone.say("hi");
    phone.await_reply(SOON).await.unwrap();
}

on_both!(an_erased_tenant_is_gone_and_its_number_is_free);
async fn an_erased_tenant_is_gone_and_its_number_is_free(mut app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, ADA, NAME);
    phone.say("hi");
    phone.await_reply(SOON).await.unwrap();
    let path = format!("/api/tenants/{}", bank.id);
    assert_eq!(
        app.api.delete(&path).await.status,
        422,
        "it has to be named"
    );
    assert_eq!(
        app.api.delete(&format!("{path}?name=Bank")).await.status,
        202
    );
    assert_eq!(app.api.get(&path).await.status, 404);
    app.kill();
    app.boot().await;
    // Somebody else takes the number; what is left of the old tenant goes meanwhile.
    let shop = app.tenant("Shop", NUMBER).await;
    app.bank_menu(&shop).await;
    let phone = app.phone(&shop, ADA, NAME);
    phone.say("hi");
    phone.await_reply(SOON).await.unwrap();
    assert_eq!(app.messages(&shop, "direction=IN").await.len(), 1);
    let whole = app.api.get("/api/platform/audit?action=tenant.erase").await;
    assert_eq!(whole.body["audit"][0]["objectId"], json!(bank.id));
}
