//! The end of files: what is older than the retention is deleted from store and disk, and messages say so.

use std::time::Duration;

use serde_json::Value;
use waxwing_core::ids::{MediaId, TenantId};
use waxwing_store::{DatabaseUrl, Scope, Statement, Store, StoreConfig, params};
use waxwing_testkit::{Engine, Tenant, TestApp, wait_for};

use crate::media::{download, fetched, files, picture};
use crate::support::start;

static AGE: Statement = Statement::new(
    "AGE",
    "UPDATE media SET expires_at = 1 WHERE tenant_id = $1 AND id = $2",
    Scope::Tenant,
);

/// Lets the time of a file be over while the server is down, and starts it again: it sweeps then.
async fn age(app: &mut TestApp, tenant: &Tenant, media: &Value) {
    app.kill();
    let path = app.data_dir().join("waxwing.db");
    let url = DatabaseUrl::Sqlite(path);
    let store = Store::open(StoreConfig::new(url)).await.unwrap();
    let tenant: TenantId = tenant.id.parse().unwrap();
    let media: MediaId = media["id"].as_str().unwrap().parse().unwrap();
    let aged = store
        .write(move |tx| tx.execute(&AGE, &params![tenant, media]))
        .await
        .unwrap();
    assert_eq!(aged, 1);
    store.close().await;
    app.boot().await;
}

async fn message_of(app: &TestApp, tenant: &Tenant, media: &Value) -> Value {
    let all = app.messages(tenant, "type=image").await;
    let mut of = all
        .into_iter()
        .filter(|message| message["content"]["mediaId"] == media["id"]);
    of.next().expect("the message stays")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_end_and_what_others_use_stays() {
    let Some(mut app) = start(Engine::Sqlite, |options| options).await else {
        return;
    };
    let bank = app.bank().await;
    for wa_id in ["16505551234", "16505551235"] {
        let phone = app.phone(&bank, wa_id, "Ada");
        phone
            .send_media("image", "image/png", picture(100_000), None)
            .unwrap();
    }
    let both = fetched(&app, &bank, 2).await;
    let folder = app.data_dir().join("media");
    let kept = async |count: usize| {
        let there = || (files(&folder) == count).then_some(());
        wait_for(Duration::from_secs(20), there).await
    };
    age(&mut app, &bank, &both[0]).await;
    let gone = format!(
        "/api/tenants/{}/media/{}",
        bank.id,
        both[0]["id"].as_str().unwrap()
    );
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while app.api.get(&gone).await.status != 404 {
        assert!(std::time::Instant::now() < end, "{}", app.logs());
        tokio::task::yield_now().await;
    }
    let told = message_of(&app, &bank, &both[0]).await;
    assert_eq!(told["media"]["status"], "deleted", "{told:#}");
    assert!(told["media"]["url"].is_null(), "{told:#}");
    let other = message_of(&app, &bank, &both[1]).await;
    assert_eq!(
        download(&app, &other["media"]["url"], None).await.status,
        200
    );
    // The same picture was kept once, and what is left is the other's.
    assert!(kept(1).await.is_some(), "{}", app.logs());
    // A link from before leads nowhere.
    assert_eq!(download(&app, &both[0]["url"], None).await.status, 404);

    age(&mut app, &bank, &both[1]).await;
    assert!(
        kept(0).await.is_some(),
        "nothing is left on the disk\n{}",
        app.logs()
    );
    let told = message_of(&app, &bank, &both[1]).await;
    assert_eq!(told["media"]["status"], "deleted", "{told:#}");
}
