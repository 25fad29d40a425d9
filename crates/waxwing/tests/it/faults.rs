//! What providers refuse, forget, and say too early or never: each fault in the words of each provider, the state in
//! which its message must end, and the explanation that goes with it.

use serde_json::{Value, json};
use waxwing_core::channel::ChannelKind::{self, Dialog360, Meta, Msg91, Twilio};
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript};
use waxwing_testkit::{Tenant, TestApp, TestOptions};

use crate::support::{SOON, on_every};

fn person(n: usize) -> String {
    format!("1650555{n:04}")
}

async fn send(app: &TestApp, tenant: &Tenant, to: usize, content: Value) -> String {
    let mut body = content;
    body["to"] = json!(format!("+{}", person(to)));
    let path = match body.get("messageTemplate") {
        Some(_) => format!("/tenants/{}/send/template", tenant.id),
        None => format!("/tenants/{}/send", tenant.id),
    };
    let answer = app.api.post(&path, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.body["message"]["id"].as_str().unwrap().to_owned()
}

/// Waits until the messages that went out are as wanted.
async fn out_until(
    app: &TestApp,
    tenant: &Tenant,
    wanted: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    app.messages_until(tenant, "direction=OUT", wanted).await
}

fn all(found: &[Value], status: &str) -> bool {
    found.iter().all(|message| message["status"] == status)
}

fn everything(act: Fault) -> FaultScript {
    FaultScript::one(FaultPoint::Send, FaultMatch::all(), act)
}

/// A refusal with a code of the provider's, in the answer to the send.
fn refused(code: i64) -> Fault {
    Fault::Error {
        code,
        status: None,
        retry_after: None,
    }
}

/// What the API says about a message: class, code, and a hint that speaks of something.
fn explained(message: &Value, class: &str, code: Option<i64>, speaks_of: &str) {
    let error = &message["error"];
    let code = code.map(|code| code.to_string());
    assert_eq!(
        (&error["class"], &error["code"]),
        (&json!(class), &json!(code)),
        "{message:#}"
    );
    let hint = error["hint"].as_str().unwrap_or_default();
    assert!(hint.contains(speaks_of), "{hint}");
    let words = error["message"].as_str().unwrap_or_default();
    assert!(!words.is_empty(), "the provider's own words");
}

/// A message that failed is a dead letter with the same explanation, and nothing else is.
async fn only_dead_letter(app: &TestApp, tenant: &Tenant, message: &Value) {
    let path = format!("/api/tenants/{}/dead-letters", tenant.id);
    let letters = app.api.get(&path).await;
    let letters = letters.body["deadLetters"].as_array().unwrap().clone();
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert_eq!(letters[0]["messageId"], message["id"]);
    assert_eq!(letters[0]["code"], message["error"]["code"]);
}

fn accepted(app: &TestApp, to: usize) -> usize {
    app.emulator.ledger().sends_to(&person(to)).len()
}

/// Too many requests, and when to come back.
fn too_many(kind: ChannelKind) -> (Fault, Option<i64>) {
    let code = match kind {
        Meta | Dialog360 => 130_429,
        Twilio => 20_429,
        // MSG91 has no codes for it.
        Msg91 => 0,
    };
    let fault = Fault::Error {
        code,
        status: Some(429),
        retry_after: Some(1),
    };
    (fault, (code != 0).then_some(code))
}

on_every!(a_storm_of_429_keeps_messages_and_costs_no_attempt);
async fn a_storm_of_429_keeps_messages_and_costs_no_attempt(app: TestApp) {
    const COUNT: usize = 6;
    let bank = app.bank().await;
    for n in 0..COUNT {
        app.writes_first(&bank, &person(n)).await;
    }
    let (storm, code) = too_many(app.kind());
    app.emulator.set_faults(everything(storm));
    for n in 0..COUNT {
        send(&app, &bank, n, json!({"text": "soon"})).await;
    }
    let throttled = |message: &Value| message["error"]["class"] == "throttled";
    let found = out_until(&app, &bank, |found| found.iter().any(throttled)).await;
    assert!(
        found
            .iter()
            .all(|m| m["status"] == "queued" || m["status"] == "sending"),
        "{found:#?}"
    );
    let refused = found.iter().find(|message| throttled(message)).unwrap();
    explained(
        refused,
        "throttled",
        code,
        "faster than the provider allows",
    );

    app.emulator.set_faults(FaultScript::default());
    let found = out_until(&app, &bank, |found| all(found, "delivered")).await;
    for (n, message) in found.iter().enumerate() {
        assert_eq!(message["attempts"], 1, "{message:#}");
        assert_eq!(message["error"], Value::Null, "it is over: {message:#}");
        assert_eq!(accepted(&app, n), 1);
    }
}

// Where the limit of sender and person shows in the answer, the message waits for its turn; Twilio takes it and fails it
// afterwards, so a person has to say when it is sent again.
on_every!(too_much_for_one_person_is_told_and_holds_up_nobody_else);
async fn too_much_for_one_person_is_told_and_holds_up_nobody_else(app: TestApp) {
    let bank = app.bank().await;
    for n in 0..2 {
        app.writes_first(&bank, &person(n)).await;
    }
    let (act, code) = match app.kind() {
        Twilio => (Fault::Fail { code: 63_018 }, 63_018),
        _ => (refused(131_056), 131_056),
    };
    let script = FaultScript::one(FaultPoint::Send, FaultMatch::to(person(0)), act);
    app.emulator.set_faults(script);
    let limited = send(&app, &bank, 0, json!({"text": "too much"})).await;
    let free = send(&app, &bank, 1, json!({"text": "enough"})).await;
    let of = |found: &[Value], id: &str| found.iter().find(|m| m["id"] == id).unwrap().clone();
    let found = out_until(&app, &bank, |found| {
        of(found, &free)["status"] == "delivered"
            && of(found, &limited)["error"]["class"] == "throttled"
    })
    .await;
    let message = of(&found, &limited);
    explained(&message, "throttled", Some(code), "faster than");
    if app.kind() == Twilio {
        assert_eq!(message["status"], "failed");
        only_dead_letter(&app, &bank, &message).await;
        return;
    }
    assert_ne!(message["status"], "failed", "{message:#}");
    app.emulator.set_faults(FaultScript::default());
    let found = out_until(&app, &bank, |found| all(found, "delivered")).await;
    assert_eq!(of(&found, &limited)["error"], Value::Null);
    assert_eq!((accepted(&app, 0), accepted(&app, 1)), (1, 1));
}

on_every!(a_window_that_only_the_provider_knows_closed);
async fn a_window_that_only_the_provider_knows_closed(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, &person(0)).await;
    let code = match app.kind() {
        Twilio => 63_016,
        _ => 131_047,
    };
    app.emulator.set_faults(everything(Fault::Fail { code }));
    send(&app, &bank, 0, json!({"text": "late"})).await;
    let found = out_until(&app, &bank, |found| all(found, "failed")).await;
    explained(
        &found[0],
        "window_closed",
        Some(code),
        "approved message template",
    );
    assert_eq!(found[0]["attempts"], 1);
    only_dead_letter(&app, &bank, &found[0]).await;
    // What was learnt spares the next one the way: it is refused before it is queued.
    let path = format!("/tenants/{}/send", bank.id);
    let next = json!({"to": format!("+{}", person(0)), "text": "later still"});
    let answer = app.api.post(&path, &next).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert_eq!(answer.body["details"][0]["field"], "outsideWindow");
}

on_every!(a_paused_message_template_is_named_as_the_reason);
async fn a_paused_message_template_is_named_as_the_reason(app: TestApp) {
    let bank = app.bank().await;
    let (name, act, code) = match app.kind() {
        // At Twilio a message template is named by its ContentSid, and the refusal comes after the message was taken.
        Twilio => (
            "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            Fault::Fail { code: 63_041 },
            63_041,
        ),
        Msg91 => ("hello", Fault::Fail { code: 132_015 }, 132_015),
        Meta | Dialog360 => ("hello", refused(132_015), 132_015),
    };
    app.emulator.set_faults(everything(act));
    let template = json!({"messageTemplate": {"name": name, "language": "en"}});
    send(&app, &bank, 0, template).await;
    let found = out_until(&app, &bank, |found| all(found, "failed")).await;
    explained(&found[0], "template", Some(code), "message template");
    assert_eq!(found[0]["attempts"], 1, "a pause is not waited out");
    only_dead_letter(&app, &bank, &found[0]).await;
}

/// Addresses of files are dead before anybody can use them.
fn dead_links(mut options: TestOptions) -> TestOptions {
    options.emulator.media_url_life = std::time::Duration::ZERO;
    options
}

on_every!(
    a_received_file_that_has_expired_is_a_visible_failure,
    super::dead_links
);
async fn a_received_file_that_has_expired_is_a_visible_failure(app: TestApp) {
    let bank = app.bank().await;
    let phone = app.phone(&bank, &person(0), "Ada");
    let bytes = bytes::Bytes::from_static(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    phone.send_media("image", "image/png", bytes, None).unwrap();
    let failed = |found: &[Value]| {
        found
            .first()
            .is_some_and(|message| message["media"]["status"] == "failed")
    };
    let found = app.messages_until(&bank, "direction=IN", failed).await;
    let media = &found[0]["media"];
    assert_eq!(media["error"]["class"], "media", "{media:#}");
    assert!(media["url"].is_null());
    // Only the file is missing: the message is there and is answered.
    assert_eq!(found[0]["type"], "image");
    phone.await_reply(SOON).await.unwrap();
}

on_every!(a_sent_file_that_the_provider_cannot_get_fails_with_the_reason);
async fn a_sent_file_that_the_provider_cannot_get_fails_with_the_reason(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, &person(0)).await;
    let code = match app.kind() {
        Twilio => 63_019,
        _ => 131_052,
    };
    app.emulator.set_faults(everything(Fault::Fail { code }));
    let picture = json!({"image": {"link": "https://files.example.com/gone.png"}});
    send(&app, &bank, 0, picture).await;
    let found = out_until(&app, &bank, |found| all(found, "failed")).await;
    explained(&found[0], "media", Some(code), "must be reachable");
    only_dead_letter(&app, &bank, &found[0]).await;
}

/// Outcomes that nobody tells are given up soon.
fn soon_given_up(options: TestOptions) -> TestOptions {
    options.set("UNKNOWN_OUTCOME_SECONDS", "1")
}

// Callbacks name the attempt at all providers but MSG91, whose reports of session messages name only the id that the lost
// answer held.
on_every!(
    silence_after_acceptance_is_settled_or_shown,
    super::soon_given_up
);
async fn silence_after_acceptance_is_settled_or_shown(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, &person(0)).await;
    let settings = format!("/api/tenants/{}/settings", bank.id);
    let hold = json!({"unknownOutcome": "hold"});
    assert_eq!(app.api.patch(&settings, &hold).await.status, 200);
    // Silence lasts until the deadline of the call; a lost connection shows the same at once.
    let act = match app.kind() {
        Msg91 => Fault::LoseAnswer,
        _ => Fault::NeverAnswer,
    };
    app.emulator.set_faults(everything(act));
    send(&app, &bank, 0, json!({"text": "heard?"})).await;
    if app.kind() == Msg91 {
        let unknown = |found: &[Value]| found[0]["outcomeUnknown"] == true;
        let found = out_until(&app, &bank, unknown).await;
        explained(&found[0], "unknown", None, "may have been sent");
        let path = format!("/api/tenants/{}/dead-letters", bank.id);
        let end = std::time::Instant::now() + SOON;
        while app.api.get(&path).await.body["deadLetters"] == json!([]) {
            assert!(std::time::Instant::now() < end, "it is held for a person");
        }
    } else {
        let found = out_until(&app, &bank, |found| all(found, "delivered")).await;
        assert_eq!(found[0]["attempts"], 1);
        assert_eq!(found[0]["outcomeUnknown"], false);
        assert_eq!(found[0]["error"], Value::Null);
    }
    assert_eq!(accepted(&app, 0), 1, "nothing is repeated blindly");
}

on_every!(a_status_that_overtakes_the_answer_counts);
async fn a_status_that_overtakes_the_answer_counts(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, &person(0)).await;
    app.emulator.set_faults(everything(Fault::StatusFirst));
    send(&app, &bank, 0, json!({"text": "quick"})).await;
    let found = out_until(&app, &bank, |found| all(found, "delivered")).await;
    assert_eq!(found[0]["attempts"], 1);
    assert_eq!(found[0]["error"], Value::Null);
    assert!(found[0]["sentAt"].is_string() && found[0]["providerMessageId"].is_string());
    assert_eq!(accepted(&app, 0), 1);
}
