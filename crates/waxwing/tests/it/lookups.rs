//! Unknown outcomes that are settled by looking into the provider's list of messages. Twilio has one.

use serde_json::{Value, json};
use waxwing_core::channel::ChannelKind;
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript};
use waxwing_testkit::{Tenant, TestApp, TestOptions};

use crate::support::on_both;

const ADA: &str = "16505551234";

/// At Twilio, which tells nothing about what becomes of a message.
fn silent(options: TestOptions) -> TestOptions {
    let mut options = options
        .at(ChannelKind::Twilio)
        .set("UNKNOWN_OUTCOME_SECONDS", "1");
    options.emulator.timing.sent = None;
    options
}

/// A tenant that wants nothing to be sent twice, with the emulator at fault once.
async fn careful(app: &TestApp, fault: Fault) -> Tenant {
    let bank = app.bank().await;
    app.writes_first(&bank, ADA).await;
    let settings = format!("/api/tenants/{}/settings", bank.id);
    let hold = json!({"unknownOutcome": "hold"});
    assert_eq!(app.api.patch(&settings, &hold).await.status, 200);
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        FaultMatch::nth(1),
        fault,
    ));
    bank
}

async fn send(app: &TestApp, tenant: &Tenant, text: &str) {
    let path = format!("/tenants/{}/send", tenant.id);
    let body = json!({"to": format!("+{ADA}"), "text": text});
    assert_eq!(app.api.post(&path, &body).await.status, 202);
}

fn all(word: &'static str, count: usize) -> impl Fn(&[Value]) -> bool {
    move |found| found.len() == count && found.iter().all(|message| message["status"] == word)
}

on_both!(a_message_that_is_in_the_list_was_sent, super::silent);
async fn a_message_that_is_in_the_list_was_sent(app: TestApp) {
    let bank = careful(&app, Fault::LoseAnswer).await;
    send(&app, &bank, "Your balance is 5").await;
    let found = app
        .messages_until(&bank, "direction=OUT", all("sent", 1))
        .await;
    let sends = app.emulator.ledger().sends_to(ADA);
    assert_eq!(sends.len(), 1);
    assert_eq!(found[0]["providerMessageId"], &*sends[0].wamid);
    assert_eq!(found[0]["outcomeUnknown"], false);
    assert_eq!(found[0]["mayBeDuplicate"], false);
    assert_eq!(found[0]["attempts"], 1);
}

on_both!(
    a_message_that_is_not_in_the_list_is_sent_again,
    super::silent
);
async fn a_message_that_is_not_in_the_list_is_sent_again(app: TestApp) {
    let fault = Fault::Empty {
        status: 500,
        accepted: false,
    };
    let bank = careful(&app, fault).await;
    send(&app, &bank, "Your balance is 5").await;
    let found = app
        .messages_until(&bank, "direction=OUT", all("sent", 1))
        .await;
    assert_eq!(app.emulator.ledger().sends_to(ADA).len(), 1);
    assert_eq!(found[0]["attempts"], 2);
    assert_eq!(found[0]["mayBeDuplicate"], false, "it surely is none");
}

on_both!(several_of_the_same_text_find_one_each, super::silent);
async fn several_of_the_same_text_find_one_each(app: TestApp) {
    let bank = careful(&app, Fault::LoseAnswer).await;
    let lost = |n| (FaultPoint::Send, FaultMatch::nth(n), Fault::LoseAnswer);
    let (on, when, act) = lost(1);
    let mut script = FaultScript::one(on, when, act);
    for n in [2, 4] {
        let (on, when, act) = lost(n);
        script = script.and(on, when, act);
    }
    app.emulator.set_faults(script);
    for _ in 0..4 {
        send(&app, &bank, "Still there?").await;
    }
    let found = app
        .messages_until(&bank, "direction=OUT", all("sent", 4))
        .await;
    let sends = app.emulator.ledger().sends_to(ADA);
    assert_eq!(sends.len(), 4, "none was doubled");
    let mut ids: Vec<&str> = found
        .iter()
        .filter_map(|message| message["providerMessageId"].as_str())
        .collect();
    let mut wanted: Vec<&str> = sends.iter().map(|send| &*send.wamid).collect();
    ids.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(ids, wanted, "and none was taken for another");
}

on_both!(the_list_also_tells_how_far_a_message_got, |options| {
    options
        .at(waxwing_core::channel::ChannelKind::Twilio)
        .set("UNKNOWN_OUTCOME_SECONDS", "1")
});
async fn the_list_also_tells_how_far_a_message_got(app: TestApp) {
    let bank = careful(&app, Fault::LoseAnswer).await;
    app.emulator.set_faults(
        FaultScript::one(FaultPoint::Send, FaultMatch::nth(1), Fault::LoseAnswer).and(
            FaultPoint::Status,
            FaultMatch::all(),
            Fault::Drop,
        ),
    );
    send(&app, &bank, "Your balance is 5").await;
    let found = app
        .messages_until(&bank, "direction=OUT", |found| {
            matches!(found[0]["status"].as_str(), Some("delivered" | "read"))
        })
        .await;
    assert_eq!(app.emulator.ledger().sends_to(ADA).len(), 1);
    assert_eq!(found[0]["outcomeUnknown"], false);
}
