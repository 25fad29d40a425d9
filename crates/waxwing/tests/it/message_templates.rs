//! Message templates: drafted, checked, handed in, approved by webhook, sent, paused, moved to another category, and read
//! from the provider.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript};
use waxwing_testkit::{Tenant, TestApp, TestOptions};

use crate::support::{SOON, on_both};

/// Reviews at once, and knows its templates.
fn reviewing(mut options: TestOptions) -> TestOptions {
    options.emulator.checks.templates = true;
    options.emulator.template_review = Duration::from_millis(1);
    options
}

fn waba(tenant: &Tenant) -> String {
    format!("9{}", tenant.number)
}

fn order() -> Value {
    json!({"name": "order_confirmation", "language": "en_US", "category": "UTILITY", "components": [
        {"type": "BODY", "text": "Thank you for your order, {{1}}! Your number is {{2}}. We write again when it leaves.",
         "example": {"body_text": [["Ada", "860198"]]}},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Track", "url": "https://example.com/orders/{{1}}",
         "example": ["https://example.com/orders/860198"]}]}]})
}

/// Looks at something until it is as wanted.
async fn until(app: &TestApp, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + SOON;
    loop {
        let answer = app.api.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        if wanted(&answer.body) {
            return answer.body;
        }
        assert!(
            Instant::now() < end,
            "{path}: {:#}\n{}",
            answer.body,
            app.logs()
        );
        tokio::task::yield_now().await;
    }
}

async fn event(
    app: &TestApp,
    tenant: &Tenant,
    kind: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let path = format!("/api/tenants/{}/events?type={kind}", tenant.id);
    let found = until(app, &path, |body| {
        body["events"]
            .as_array()
            .is_some_and(|events| events.iter().any(|event| wanted(&event["data"])))
    })
    .await;
    let events = found["events"].as_array().unwrap();
    let event = events.iter().find(|event| wanted(&event["data"]));
    event.unwrap()["data"].clone()
}

/// Drafts and hands in a template, and waits for its approval; its path.
async fn approved(app: &TestApp, tenant: &Tenant) -> String {
    let base = format!("/api/tenants/{}/message-templates", tenant.id);
    let made = app.api.post(&base, &order()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["findings"], json!([]));
    let id = made.body["messageTemplate"]["id"].as_str().unwrap();
    let path = format!("{base}/{id}");
    let submitted = app.api.post(&format!("{path}/submit"), &json!({})).await;
    assert_eq!(submitted.status, 200, "{}", submitted.text);
    until(app, &path, |body| {
        body["messageTemplate"]["status"] == "approved"
    })
    .await;
    path
}

on_both!(a_template_is_approved_and_sent, super::reviewing);
async fn a_template_is_approved_and_sent(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    let path = approved(&app, &bank).await;
    let told = event(&app, &bank, "message_template.status_changed", |data| {
        data["status"] == "approved"
    })
    .await;
    assert_eq!(
        (&told["name"], &told["language"]),
        (&json!("order_confirmation"), &json!("en_US"))
    );

    let send = format!("/tenants/{}/send/template", bank.id);
    let with = |variables: Value| {
        json!({"to": "+16505551234", "messageTemplate": {
            "name": "order_confirmation", "language": "en-US", "variables": variables}})
    };
    let wrong = app.api.post(&send, &with(json!(["Ada"]))).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    let answer = app
        .api
        .post(
            &send,
            &with(json!({"body": ["Ada", "17"], "buttons": ["17"]})),
        )
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let reply = phone.await_reply(SOON).await.unwrap();
    assert!(
        reply.text.contains("order, Ada! Your number is 17."),
        "{}",
        reply.text
    );
    app.messages_until(&bank, "direction=OUT", |found| {
        found[0]["status"] == "delivered"
    })
    .await;

    // In Meta's form it is checked as well.
    let body = json!({"to": "+16505551234", "messageTemplate": {"name": "order_confirmation", "language": "en_US",
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ada"}, {"type": "text", "text": "a\nb"}]}]}});
    let refused = app.api.post(&send, &body).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert_eq!(
        refused.body["details"][0]["field"],
        "messageTemplate.components[0].parameters[1].text"
    );

    // Paused by the provider: refused before it is queued, with the reason.
    let template = app.api.get(&path).await.body;
    let provider_id = template["messageTemplate"]["providerId"].as_str().unwrap();
    app.emulator
        .set_template_status(&waba(&bank), provider_id, "PAUSED");
    let paused = until(&app, &path, |body| {
        body["messageTemplate"]["status"] == "paused"
    })
    .await;
    assert!(
        paused["messageTemplate"]["reason"]
            .as_str()
            .unwrap()
            .contains("quality")
    );
    let answer = app
        .api
        .post(
            &send,
            &with(json!({"body": ["Ada", "17"], "buttons": ["17"]})),
        )
        .await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("paused"), "{}", answer.text);

    // Gone at the provider and here.
    let gone = app.api.delete(&path).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    assert_eq!(app.api.get(&path).await.status, 404);
}

on_both!(a_refused_send_corrects_its_template, super::reviewing);
async fn a_refused_send_corrects_its_template(app: TestApp) {
    let bank = app.bank().await;
    let path = approved(&app, &bank).await;
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        FaultMatch::nth(1),
        Fault::Error {
            code: 132_015,
            status: None,
            retry_after: None,
        },
    ));
    let body = json!({"to": "+16505551234", "messageTemplate": {"name": "order_confirmation", "language": "en_US",
        "variables": {"body": ["Ada", "17"], "buttons": ["17"]}}});
    let answer = app
        .api
        .post(&format!("/tenants/{}/send/template", bank.id), &body)
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let failed = app
        .messages_until(&bank, "status=failed", |found| found.len() == 1)
        .await;
    let error = &failed[0]["error"];
    assert_eq!(
        (&error["class"], &error["code"]),
        (&json!("template"), &json!("132015"))
    );
    assert!(error["hint"].as_str().unwrap().contains("template"));
    until(&app, &path, |body| {
        body["messageTemplate"]["status"] == "paused"
    })
    .await;
    event(&app, &bank, "message_template.status_changed", |data| {
        data["status"] == "paused" && data["previous"] == "approved"
    })
    .await;
}

on_both!(refusals_name_the_rule, super::reviewing);
async fn refusals_name_the_rule(app: TestApp) {
    let bank = app.bank().await;
    let base = format!("/api/tenants/{}/message-templates", bank.id);
    let draft = |name: &str, text: &str| {
        json!({"name": name, "language": "en_US", "category": "UTILITY",
            "components": [{"type": "BODY", "text": text}]})
    };
    let path = |made: &Value| format!("{base}/{}", made["messageTemplate"]["id"].as_str().unwrap());

    let made = app
        .api
        .post(&base, &draft("bad", "Your code is {{1}}"))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let bad = path(&made.body);
    let refused = app
        .api
        .post(&format!("{bad}/submit"), &json!({"acceptWarnings": true}))
        .await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(
        refused.text.contains("begins or ends with a variable"),
        "{}",
        refused.text
    );
    assert_eq!(
        app.api.get(&bad).await.body["messageTemplate"]["status"],
        "draft"
    );

    // A warning can be accepted; the provider then does what was predicted.
    let made = app
        .api
        .post(
            &base,
            &draft("greeting", "Happy holidays! Enjoy 10 percent off."),
        )
        .await;
    assert_eq!(
        made.body["messageTemplate"]["predictedCategory"],
        "MARKETING"
    );
    let warned = path(&made.body);
    let refused = app.api.post(&format!("{warned}/submit"), &json!({})).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("acceptWarnings"), "{}", refused.text);
    let taken = app
        .api
        .post(
            &format!("{warned}/submit"),
            &json!({"acceptWarnings": true}),
        )
        .await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    assert_eq!(taken.body["messageTemplate"]["category"], "MARKETING");
    event(&app, &bank, "message_template.category_changed", |data| {
        data["category"] == "MARKETING" && data["previous"] == "UTILITY"
    })
    .await;
    let again = app
        .api
        .post(
            &format!("{warned}/submit"),
            &json!({"acceptWarnings": true}),
        )
        .await;
    assert_eq!(again.status, 409, "{}", again.text);
}

on_both!(a_rejected_template_can_be_corrected, super::reviewing);
/// Rejected by the reviewers, corrected, handed in again.
async fn a_rejected_template_can_be_corrected(app: TestApp) {
    let bank = app.bank().await;
    let base = format!("/api/tenants/{}/message-templates", bank.id);
    let draft = json!({"name": "please_reject", "language": "en_US", "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Your order leaves us today."}]});
    let made = app.api.post(&base, &draft).await;
    let id = made.body["messageTemplate"]["id"].as_str().unwrap();
    let rejected = format!("{base}/{id}");
    let submitted = app
        .api
        .post(&format!("{rejected}/submit"), &json!({}))
        .await;
    assert_eq!(submitted.status, 200, "{}", submitted.text);
    let told = until(&app, &rejected, |body| {
        body["messageTemplate"]["status"] == "rejected"
    })
    .await;
    assert_eq!(told["messageTemplate"]["reason"], "INVALID_FORMAT");
    let changed =
        json!({"components": [{"type": "BODY", "text": "Your order leaves us on Monday."}]});
    let answer = app.api.patch(&rejected, &changed).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    event(&app, &bank, "message_template.status_changed", |data| {
        data["status"] == "pending" && data["previous"] == "rejected"
    })
    .await;
}

on_both!(templates_made_elsewhere_are_read, super::reviewing);
async fn templates_made_elsewhere_are_read(app: TestApp) {
    let bank = app.bank().await;
    let base = format!("/api/tenants/{}/message-templates", bank.id);
    let id = app.emulator.add_template(&waba(&bank), &order()).unwrap();
    let synced = app.api.post(&format!("{base}/sync"), &json!({})).await;
    assert_eq!(synced.status, 200, "{}", synced.text);
    // The emulator has a sample template of its own; the regular look may have brought it already.
    let account = &synced.body["accounts"][0];
    let read = account["created"].as_u64().unwrap() + account["unchanged"].as_u64().unwrap();
    assert_eq!(read, 2, "{}", synced.text);
    let list = app.api.get(&format!("{base}?status=approved")).await.body;
    let names: Vec<_> = list["messageTemplates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["hello_world", "order_confirmation"]);
    assert_eq!(list["messageTemplates"][1]["providerId"], json!(id));
    let again = app
        .api
        .post(
            &format!("{base}/sync"),
            &json!({"channelId": bank.channel_id}),
        )
        .await;
    assert_eq!(again.body["accounts"][0]["unchanged"], 2, "{}", again.text);

    // A draft of the same name is refused, and one that exists there is found instead of made.
    assert_eq!(app.api.post(&base, &order()).await.status, 409);

    // The category of it is changed by WhatsApp: announced first, then done.
    let path = format!(
        "{base}/{}",
        list["messageTemplates"][1]["id"].as_str().unwrap()
    );
    let news = |value: Value| {
        let mut all = json!({"message_template_id": id.parse::<u64>().unwrap(),
            "message_template_name": "order_confirmation", "message_template_language": "en-US"});
        all.as_object_mut()
            .unwrap()
            .extend(value.as_object().unwrap().clone());
        app.emulator
            .deliver_change(&bank.number, "template_category_update", &all);
    };
    news(
        json!({"new_category": "UTILITY", "correct_category": "MARKETING", "category_update_timestamp": 1_746_169_200}),
    );
    until(&app, &path, |body| {
        body["messageTemplate"]["nextCategory"] == "MARKETING"
    })
    .await;
    news(json!({"previous_category": "UTILITY", "new_category": "MARKETING"}));
    until(&app, &path, |body| {
        body["messageTemplate"]["category"] == "MARKETING"
    })
    .await;
    event(&app, &bank, "message_template.category_changed", |data| {
        data["category"] == "MARKETING"
    })
    .await;

    // Deleted elsewhere: the list does not have it any more.
    let waba = waba(&bank);
    let url = format!(
        "{}/v25.0/{waba}/message_templates?name=order_confirmation",
        app.emulator.url()
    );
    let gone = app
        .api
        .send(|client, _| client.delete(url).bearer_auth("EAAJB-test-token"))
        .await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    let synced = app.api.post(&format!("{base}/sync"), &json!({})).await;
    assert_eq!(synced.body["accounts"][0]["deleted"], 1, "{}", synced.text);
    assert_eq!(
        app.api.get(&path).await.body["messageTemplate"]["status"],
        "deleted"
    );
}

on_both!(templates_are_read_by_the_clock, |options| super::reviewing(
    options
)
.set("MESSAGE_TEMPLATE_SYNC_SECONDS", "1"));
async fn templates_are_read_by_the_clock(app: TestApp) {
    let bank = app.bank().await;
    app.emulator.add_template(&waba(&bank), &order()).unwrap();
    let base = format!("/api/tenants/{}/message-templates", bank.id);
    until(&app, &format!("{base}?name=order_confirmation"), |body| {
        body["messageTemplates"]
            .as_array()
            .is_some_and(|list| list.len() == 1)
    })
    .await;
    let channel = format!("/api/tenants/{}/channels/{}", bank.id, bank.channel_id);
    until(&app, &channel, |body| {
        body["channel"]["health"]["templatesSyncedAt"].is_string()
    })
    .await;
    // The list shows it as well.
    let all = format!("/api/tenants/{}/channels", bank.id);
    until(&app, &all, |body| {
        body["channels"][0]["health"]["templatesSyncedAt"].is_string()
    })
    .await;
}

on_both!(news_of_the_account_change_the_channel);
async fn news_of_the_account_change_the_channel(app: TestApp) {
    let bank = app.bank().await;
    let path = format!("/api/tenants/{}/channels/{}", bank.id, bank.channel_id);
    let news = |field: &str, value: Value| app.emulator.deliver_change(&bank.number, field, &value);
    news(
        "phone_number_quality_update",
        json!({"display_phone_number": "15550783881", "event": "THROUGHPUT_UPGRADE", "current_limit": "TIER_UNLIMITED"}),
    );
    let faster = until(&app, &path, |body| {
        body["channel"]["health"]["throughput"] == 1_000
    })
    .await;
    assert_eq!(
        faster["channel"]["health"]["messagingLimit"],
        "TIER_UNLIMITED"
    );
    event(&app, &bank, "channel.quality_changed", |data| {
        data["throughput"] == 1_000
    })
    .await;

    news(
        "account_update",
        json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "ADULT"}}),
    );
    let warned = until(&app, &path, |body| {
        body["channel"]["health"]["alert"].is_string()
    })
    .await;
    assert_eq!(
        warned["channel"]["status"], "active",
        "a warning stops nothing"
    );
    event(&app, &bank, "channel.alert", |data| {
        data["alert"] == "ACCOUNT_VIOLATION: ADULT"
    })
    .await;

    news(
        "account_update",
        json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "April 17, 2025"}}),
    );
    until(&app, &path, |body| body["channel"]["status"] == "broken").await;
    event(&app, &bank, "channel.broken", |data| {
        data["error"]["class"] == "channel_broken"
    })
    .await;

    news(
        "account_update",
        json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}}),
    );
    let restored = until(&app, &path, |body| body["channel"]["status"] == "active").await;
    assert_eq!(restored["channel"]["health"]["alert"], Value::Null);
}

on_both!(templates_can_be_switched_off, |options| options
    .set("WHATSAPP_ENABLE_TEMPLATES", "off"));
async fn templates_can_be_switched_off(app: TestApp) {
    let bank = app.bank().await;
    let base = format!("/api/tenants/{}/message-templates", bank.id);
    assert_eq!(app.api.post(&base, &order()).await.status, 403);
    let body = json!({"to": "+16505551234", "messageTemplate": {"name": "hello_world", "language": "en_US"}});
    let answer = app
        .api
        .post(&format!("/tenants/{}/send/template", bank.id), &body)
        .await;
    assert_eq!(answer.status, 403, "{}", answer.text);
}
