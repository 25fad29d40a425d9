//! Sending through the API: checks, idempotency, retries, failures, dead letters, unknown outcomes.

use serde_json::{Value, json};
use waxwing_core::channel::ChannelKind;
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultScript};
use waxwing_testkit::TestApp;

use crate::support::{SOON, on_both, on_every};

on_every!(a_message_is_sent_and_climbs_the_ladder);
async fn a_message_is_sent_and_climbs_the_ladder(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let phone = app.phone(&bank, "16505551234", "Ada");
    let path = format!("/tenants/{}/send", bank.id);
    let answer = app
        .api
        .post(&path, &json!({"to": "+16505551234", "text": "Hello"}))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let message = &answer.body["message"];
    assert_eq!(
        (&message["direction"], &message["to"]),
        (&json!("OUT"), &json!("+16505551234"))
    );
    assert_eq!(phone.await_reply(SOON).await.unwrap().text, "Hello");
    let found = app
        .messages_until(&bank, "direction=OUT", |found| {
            found[0]["status"] == "delivered"
        })
        .await;
    assert_eq!(found[0]["attempts"], 1);
    assert!(found[0]["providerMessageId"].is_string());
    assert!(found[0]["sentAt"].is_string() && found[0]["deliveredAt"].is_string());
    let one = app
        .api
        .get(&format!(
            "/api/tenants/{}/messages/{}",
            bank.id,
            message["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(one.body["message"]["attemptLog"][0]["outcome"], "sent");
}

on_both!(bad_sends_are_refused_with_the_field);
async fn bad_sends_are_refused_with_the_field(app: TestApp) {
    let bank = app.bank().await;
    let send = format!("/tenants/{}/send", bank.id);
    let template = format!("/tenants/{}/send/template", bank.id);
    let button = |title: &str| json!({"id": title, "title": title});
    let cases = [
        (&send, json!({"text": "x"}), "to"),
        (&send, json!({"to": "nonsense", "text": "x"}), "to"),
        (&send, json!({"to": "0170 1234567", "text": "x"}), "to"),
        (&send, json!({"to": "+16505551234"}), "text"),
        (&send, json!({"to": "+16505551234", "text": ""}), "text"),
        (
            &send,
            json!({"to": "+16505551234", "text": "x".repeat(4_097)}),
            "text",
        ),
        (
            &send,
            json!({"to": "+16505551234", "text": "x", "image": {"id": "1"}}),
            "text",
        ),
        (
            &send,
            json!({"to": "+16505551234", "image": {"link": "ftp://x"}}),
            "image.link",
        ),
        (
            &send,
            json!({"to": "+16505551234", "text": "x", "idempotency_key": ""}),
            "idempotency_key",
        ),
        (
            &send,
            json!({"to": "+16505551234", "text": "x", "channelId": "chn_0"}),
            "channelId",
        ),
        (
            &send,
            json!({"to": "+16505551234", "interactive": {"body": "x",
                "buttons": [button("1"), button("2"), button("3"), button("4")]}}),
            "buttons",
        ),
        (
            &template,
            json!({"to": "+16505551234", "templateKey": "nope"}),
            "templateKey",
        ),
        (
            &template,
            json!({"to": "+16505551234", "templateKey": "menu"}),
            "variables.name",
        ),
    ];
    for (path, body, field) in cases {
        let answer = app.api.post(path, &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        let fields: Vec<&str> = answer.body["details"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|detail| detail["field"].as_str())
            .collect();
        assert!(fields.contains(&field), "{body}: {fields:?}");
    }
    assert!(
        app.messages(&bank, "direction=OUT").await.is_empty(),
        "nothing was queued"
    );
}

on_every!(an_idempotency_key_never_makes_two_messages);
async fn an_idempotency_key_never_makes_two_messages(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let path = format!("/tenants/{}/send", bank.id);
    let body = json!({"to": "+16505551234", "text": "once", "idempotency_key": "order-7"});
    let posts: Vec<_> = (0..50)
        .map(|_| {
            let (api, path, body) = (app.api.clone(), path.clone(), body.clone());
            tokio::spawn(async move { api.post(&path, &body).await })
        })
        .collect();
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for post in posts {
        let answer = post.await.unwrap();
        match answer.status {
            202 => accepted.push(answer.body["message"]["id"].clone()),
            409 => refused.push(answer.body["existing"]["id"].clone()),
            other => panic!("{other}: {}", answer.text),
        }
    }
    assert_eq!((accepted.len(), refused.len()), (1, 49));
    assert!(
        refused.iter().all(|id| *id == accepted[0]),
        "409 names the original"
    );
    let other =
        json!({"to": "+16505551234", "text": "something else", "idempotency_key": "order-7"});
    let answer = app.api.post(&path, &other).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    let sent = app
        .emulator
        .ledger()
        .wait_for(|ledger| !ledger.sends_to("16505551234").is_empty(), SOON)
        .await;
    assert!(sent);
    app.messages_until(&bank, "direction=OUT", |found| {
        found[0]["status"] == "delivered"
    })
    .await;
    assert_eq!(app.emulator.ledger().sends_to("16505551234").len(), 1);
}

fn script(act: Fault) -> FaultScript {
    FaultScript::one(FaultPoint::Send, FaultMatch::nth(1), act)
}

/// A refusal that passes, in the words of a provider.
fn passing(kind: ChannelKind) -> Fault {
    match kind {
        ChannelKind::Meta | ChannelKind::Dialog360 => Fault::Error {
            code: 131_016,
            status: Some(503),
            retry_after: None,
        },
        // An answer with 5xx leaves the outcome open there; only this one surely sent nothing (protocols/twilio.md 9).
        ChannelKind::Twilio => Fault::Error {
            code: 20_429,
            status: Some(429),
            retry_after: None,
        },
        ChannelKind::Msg91 => Fault::OwnError {
            status: 429,
            text: "Too many requests".to_owned(),
        },
    }
}

on_every!(a_passing_fault_is_retried);
async fn a_passing_fault_is_retried(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    app.emulator.set_faults(script(passing(app.kind())));
    let path = format!("/tenants/{}/send", bank.id);
    assert_eq!(
        app.api
            .post(&path, &json!({"to": "+16505551234", "text": "again"}))
            .await
            .status,
        202
    );
    let found = app
        .messages_until(&bank, "direction=OUT", |found| {
            found[0]["status"] == "delivered"
        })
        .await;
    // A rate limit costs no attempt, a fault does.
    let throttled = matches!(app.kind(), ChannelKind::Twilio | ChannelKind::Msg91);
    assert_eq!(found[0]["attempts"], if throttled { 1 } else { 2 });
    assert_eq!(app.emulator.ledger().sends_to("16505551234").len(), 1);
}

on_every!(a_permanent_failure_becomes_a_dead_letter_that_can_be_retried);
async fn a_permanent_failure_becomes_a_dead_letter_that_can_be_retried(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let code = match app.kind() {
        ChannelKind::Twilio => 63_024,
        _ => 131_026,
    };
    app.emulator.set_faults(script(Fault::Error {
        code,
        status: None,
        retry_after: None,
    }));
    let path = format!("/tenants/{}/send", bank.id);
    assert_eq!(
        app.api
            .post(&path, &json!({"to": "+16505551234", "text": "x"}))
            .await
            .status,
        202
    );
    let failed = app
        .messages_until(&bank, "status=failed", |found| found.len() == 1)
        .await;
    let error = &failed[0]["error"];
    assert_eq!(
        (&error["class"], &error["code"]),
        (&json!("not_reachable"), &json!(code.to_string()))
    );
    assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()));

    let letters = format!("/api/tenants/{}/dead-letters", bank.id);
    let list = app.api.get(&letters).await;
    let letter = &list.body["deadLetters"][0];
    assert_eq!(letter["messageId"], failed[0]["id"]);
    let retry = format!("{letters}/{}/retry", letter["id"].as_str().unwrap());
    let answer = app.api.post(&retry, &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    app.messages_until(&bank, "status=delivered", |found| found.len() == 1)
        .await;
    assert_eq!(app.api.get(&letters).await.body["deadLetters"], json!([]));
    assert_eq!(
        app.api.post(&retry, &json!({})).await.status,
        404,
        "it is not open any more"
    );
}

on_both!(a_broken_channel_keeps_its_queue);
async fn a_broken_channel_keeps_its_queue(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    app.emulator.set_faults(script(Fault::Error {
        code: 190,
        status: None,
        retry_after: None,
    }));
    let path = format!("/tenants/{}/send", bank.id);
    for text in ["one", "two"] {
        assert_eq!(
            app.api
                .post(&path, &json!({"to": "+16505551234", "text": text}))
                .await
                .status,
            202
        );
    }
    let channel = format!("/api/tenants/{}/channels/{}", bank.id, bank.channel_id);
    let mut view = app.api.get(&channel).await;
    while view.body["channel"]["status"] != "broken" {
        view = app.api.get(&channel).await;
    }
    let waiting = app
        .messages_until(&bank, "status=queued", |found| found.len() == 2)
        .await;
    assert_eq!(waiting[1]["error"]["class"], "credentials");
    // The trouble is over at the provider's: a test that passes lets the queue go out, in order.
    let answer = app.api.post(&format!("{channel}/test"), &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    app.messages_until(&bank, "status=delivered", |found| found.len() == 2)
        .await;
    let sent: Vec<String> = app
        .emulator
        .ledger()
        .sends_to("16505551234")
        .iter()
        .map(|send| send.body.to_string())
        .collect();
    assert_eq!(sent, ["one", "two"]);
}

// Not at MSG91: reports of its session messages name nothing that we know without the answer.
on_every!(
    a_lost_answer_is_settled_by_its_status_and_not_sent_again,
    except_msg91
);
async fn a_lost_answer_is_settled_by_its_status_and_not_sent_again(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    app.emulator.set_faults(script(Fault::LoseAnswer));
    let path = format!("/tenants/{}/send", bank.id);
    assert_eq!(
        app.api
            .post(&path, &json!({"to": "+16505551234", "text": "x"}))
            .await
            .status,
        202
    );
    let found = app
        .messages_until(&bank, "status=delivered", |found| found.len() == 1)
        .await;
    assert_eq!(found[0]["outcomeUnknown"], false);
    assert!(
        found[0]["providerMessageId"].as_str().is_some(),
        "the id was learnt from the status"
    );
    assert_eq!(app.emulator.ledger().sends_to("16505551234").len(), 1);
}

on_both!(
    an_unknown_outcome_without_a_status_is_shown_and_held,
    |options| {
        let mut options = options.set("UNKNOWN_OUTCOME_SECONDS", "1");
        options.emulator.timing.sent = None;
        options
    }
);
async fn an_unknown_outcome_without_a_status_is_shown_and_held(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let settings = format!("/api/tenants/{}/settings", bank.id);
    assert_eq!(
        app.api
            .patch(&settings, &json!({"unknownOutcome": "hold"}))
            .await
            .status,
        200
    );
    app.emulator.set_faults(script(Fault::LoseAnswer));
    let path = format!("/tenants/{}/send", bank.id);
    assert_eq!(
        app.api
            .post(&path, &json!({"to": "+16505551234", "text": "x"}))
            .await
            .status,
        202
    );
    let unknown = |found: &[Value]| found[0]["outcomeUnknown"] == true;
    let found = app.messages_until(&bank, "direction=OUT", unknown).await;
    assert_eq!(found[0]["error"]["class"], "unknown");
    let letters = format!("/api/tenants/{}/dead-letters", bank.id);
    while app.api.get(&letters).await.body["deadLetters"]
        .as_array()
        .is_some_and(Vec::is_empty)
    {}
    assert_eq!(
        app.emulator.ledger().sends_to("16505551234").len(),
        1,
        "nothing is repeated blindly"
    );
}

on_both!(an_unknown_reply_is_sent_once_more_and_marked, |options| {
    let mut options = options.set("UNKNOWN_OUTCOME_SECONDS", "1");
    options.emulator.timing.sent = None;
    options
});
async fn an_unknown_reply_is_sent_once_more_and_marked(app: TestApp) {
    let bank = app.bank().await;
    app.emulator.set_faults(FaultScript::one(
        FaultPoint::Send,
        FaultMatch::all(),
        Fault::LoseAnswer,
    ));
    app.phone(&bank, "16505551234", "Ada").say("hi");
    let held = |found: &[Value]| {
        !found.is_empty() && found[0]["attempts"] == 2 && found[0]["outcomeUnknown"] == true
    };
    let found = app.messages_until(&bank, "direction=OUT", held).await;
    assert_eq!(found[0]["mayBeDuplicate"], true);
    let letters = format!("/api/tenants/{}/dead-letters", bank.id);
    while app.api.get(&letters).await.body["deadLetters"]
        .as_array()
        .is_some_and(Vec::is_empty)
    {}
    assert_eq!(
        app.emulator.ledger().sends_to("16505551234").len(),
        2,
        "once more and never again"
    );
}

on_both!(a_message_that_waits_can_be_taken_back);
async fn a_message_that_waits_can_be_taken_back(app: TestApp) {
    let bank = app.bank().await;
    let path = format!("/tenants/{}/send", bank.id);
    let body = json!({"to": "+16505551234", "text": "later", "sendAt": "2099-01-01T00:00:00Z"});
    assert_eq!(
        app.api.post(&path, &body).await.status,
        422,
        "more than a year ahead"
    );
    let body = json!({"to": "+16505551234", "text": "later", "sendAt": "2027-06-01T00:00:00Z"});
    let answer = app.api.post(&path, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let cancel = format!(
        "/api/tenants/{}/messages/{}/cancel",
        bank.id,
        answer.body["message"]["id"].as_str().unwrap()
    );
    assert_eq!(
        app.api.post(&cancel, &json!({})).await.body["message"]["status"],
        "cancelled"
    );
    assert_eq!(app.api.post(&cancel, &json!({})).await.status, 409);
    assert!(app.emulator.ledger().sends_to("16505551234").is_empty());
}

on_every!(messages_of_one_contact_go_out_in_order);
async fn messages_of_one_contact_go_out_in_order(app: TestApp) {
    let bank = app.bank().await;
    app.writes_first(&bank, "16505551234").await;
    let path = format!("/tenants/{}/send", bank.id);
    app.emulator.set_faults(script(passing(app.kind())));
    let texts: Vec<String> = (0..20).map(|n| format!("message {n}")).collect();
    for text in &texts {
        assert_eq!(
            app.api
                .post(&path, &json!({"to": "+16505551234", "text": text}))
                .await
                .status,
            202
        );
    }
    app.messages_until(&bank, "status=delivered", |found| {
        found.len() == texts.len()
    })
    .await;
    let sent: Vec<String> = app
        .emulator
        .ledger()
        .sends_to("16505551234")
        .iter()
        .map(|send| send.body.to_string())
        .collect();
    assert_eq!(sent, texts, "also when the first needs a second attempt");
}
