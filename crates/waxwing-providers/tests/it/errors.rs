//! Every example of an error against what we make of it.

use std::time::Duration;

use crate::wire::interpret_send;
use serde_json::{Value, json};
use waxwing_core::errors::{ErrorClass, SendOutcome, ThrottleScope};
use waxwing_providers::http::HttpOutcome;

use crate::support;

/// What has to follow from a class of the examples.
pub fn holds(class: &str, outcome: &SendOutcome) -> bool {
    let throttled = |scope: ThrottleScope| {
        matches!(outcome, SendOutcome::Throttled { scope: found, error, .. }
            if *found == scope && error.class == ErrorClass::Throttled)
    };
    let rejected =
        |class: ErrorClass| matches!(outcome, SendOutcome::Rejected(error) if error.class == class);
    let broken = |class: ErrorClass| matches!(outcome, SendOutcome::ChannelBroken(error) if error.class == class);
    match class {
        "auth" => broken(ErrorClass::Credentials),
        "channel-broken" => broken(ErrorClass::ChannelBroken),
        "throttled-app" => throttled(ThrottleScope::App),
        "throttled-account" => throttled(ThrottleScope::Account),
        "throttled-channel" => throttled(ThrottleScope::Channel),
        "throttled-recipient" => throttled(ThrottleScope::Recipient),
        "throttled-quality" => throttled(ThrottleScope::Quality),
        "window-closed" => rejected(ErrorClass::WindowClosed),
        "undeliverable" => rejected(ErrorClass::NotReachable),
        "opted-out" => rejected(ErrorClass::OptedOut),
        "marketing-limited" => rejected(ErrorClass::MarketingLimited),
        "template" => rejected(ErrorClass::Template),
        "media" => rejected(ErrorClass::Media),
        "permanent" => rejected(ErrorClass::Permanent),
        "transient" => {
            matches!(outcome, SendOutcome::Retry { attempts_max: None, error, .. }
                if error.class == ErrorClass::Retry)
        }
        "transient-few" => {
            matches!(outcome, SendOutcome::Retry { attempts_max: Some(3), error, .. }
                if error.class == ErrorClass::Retry)
        }
        "retry-later" => {
            matches!(outcome, SendOutcome::Retry { after: Some(_), error, .. }
                if error.class == ErrorClass::Later)
        }
        // Never sent again blindly. An acceptance without an id waits for a status as well (reliability.md 2).
        "ambiguous" => match outcome {
            SendOutcome::Unknown(error) => error.class == ErrorClass::Unknown,
            SendOutcome::Accepted(accepted) => accepted.provider_id.is_none(),
            _ => false,
        },
        "ok" => {
            matches!(outcome, SendOutcome::Accepted(accepted) if accepted.provider_id.is_some())
        }
        other => panic!("no such class: {other}"),
    }
}

#[test]
fn every_example_has_its_outcome() {
    let files = support::files("errors");
    assert_eq!(files.len(), 52);
    for (file, fixture) in files {
        let fixture: Value = serde_json::from_slice(&fixture).unwrap();
        let outcome = interpret_send(&support::outcome(&fixture));
        let class = fixture["class"].as_str().unwrap();
        assert!(holds(class, &outcome), "{file}: {class}: {outcome:?}");
    }
}

#[test]
fn every_example_as_a_whole() {
    let mut all = serde_json::Map::new();
    for (file, fixture) in support::files("errors") {
        let fixture: Value = serde_json::from_slice(&fixture).unwrap();
        let outcome = interpret_send(&support::outcome(&fixture));
        all.insert(file, format!("{outcome:?}").into());
    }
    insta::assert_json_snapshot!("outcomes", all);
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> SendOutcome {
    let headers = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    interpret_send(&HttpOutcome::Response {
        status,
        headers,
        body: body.to_owned().into(),
    })
}

fn error(status: u16, error: &Value) -> SendOutcome {
    answer(status, &[], &json!({ "error": error }).to_string())
}

#[test]
fn what_never_left_is_tried_again_and_what_may_have_left_is_not() {
    let not_sent = interpret_send(&HttpOutcome::NotSent("refused".into()));
    assert!(matches!(
        not_sent,
        SendOutcome::Retry {
            attempts_max: None,
            ..
        }
    ));
    for outcome in [HttpOutcome::Lost("reset".into()), HttpOutcome::TooLarge] {
        assert!(
            matches!(interpret_send(&outcome), SendOutcome::Unknown(_)),
            "{outcome:?}"
        );
    }
}

#[test]
fn answers_that_are_not_metas() {
    for (status, body) in [
        (200, ""),
        (200, "<html>"),
        (200, "{}"),
        (200, "[]"),
        (200, r#"{"error":"oops"}"#),
        (204, ""),
        (302, ""),
        (408, ""),
        (500, "{}"),
        (503, r#"{"error":"oops"}"#),
        (503, r#"{"error":{"message":"no code"}}"#),
        (504, "<html>"),
    ] {
        let outcome = answer(status, &[], body);
        assert!(
            matches!(outcome, SendOutcome::Unknown(_)),
            "{status} {body}: {outcome:?}"
        );
    }
    for status in [400, 401, 403, 404, 413] {
        let outcome = answer(status, &[], "<html>");
        assert!(
            matches!(&outcome, SendOutcome::Rejected(error) if error.class == ErrorClass::Permanent),
            "{status}: {outcome:?}"
        );
    }
}

#[test]
fn waits_are_metas_then_the_tables() {
    let after = |outcome: SendOutcome| match outcome {
        SendOutcome::Throttled { after, .. } | SendOutcome::Retry { after, .. } => after,
        other => panic!("{other:?}"),
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let throughput = json!({"error":{"code":130429,"message":"slow down"}}).to_string();
    assert_eq!(after(answer(400, &[], &throughput)), None);
    assert_eq!(
        after(answer(429, &[("retry-after", "120")], &throughput)),
        seconds(120)
    );
    assert_eq!(
        after(answer(429, &[("retry-after", "7")], "busy")),
        seconds(7)
    );
    assert_eq!(after(answer(429, &[("retry-after", "soon")], "busy")), None);
    assert_eq!(
        after(answer(429, &[("retry-after", "99999999999")], "busy")),
        seconds(86_400)
    );
    assert_eq!(after(error(500, &json!({"code":131016}))), None);
    assert_eq!(after(error(400, &json!({"code":134101}))), seconds(600));
    assert_eq!(after(error(400, &json!({"code":133015}))), seconds(300));
    assert_eq!(after(error(400, &json!({"code":131048}))), seconds(3_600));
    let account = support::json("errors/rate-waba-80007.json");
    assert_eq!(
        after(interpret_send(&support::outcome(&account))),
        seconds(17 * 60)
    );
}

#[test]
fn a_passing_fault_is_known_by_its_mark_and_its_status() {
    let retry = |outcome: &SendOutcome| matches!(outcome, SendOutcome::Retry { .. });
    assert!(retry(&error(
        400,
        &json!({"code":139_999,"is_transient":true})
    )));
    assert!(retry(&error(500, &json!({"code":139_999}))));
    assert!(!retry(&error(400, &json!({"code":139_999}))));
    // Known codes keep their class: this one is permanent in spite of its status, and these say more than the mark.
    assert!(!retry(&error(500, &json!({"code":134_102}))));
    assert!(!retry(&error(
        400,
        &json!({"code":190,"is_transient":true})
    )));
    assert!(!retry(&error(
        400,
        &json!({"code":131_047,"is_transient":true})
    )));
    assert!(matches!(
        error(400, &json!({"code":"131047"})),
        SendOutcome::Rejected(error) if error.class == ErrorClass::WindowClosed
    ));
}

#[test]
fn media_is_repeated_only_where_meta_could_not_fetch_it() {
    let details = |text: &str| error(400, &json!({"code":131_053,"error_data":{"details":text}}));
    assert!(matches!(
        details("Downloading media from weblink failed with http code 404"),
        SendOutcome::Retry { attempts_max: Some(3), error, .. } if error.class == ErrorClass::Media
    ));
    assert!(matches!(
        details("Unsupported mime type"),
        SendOutcome::Rejected(_)
    ));
}

#[test]
fn messages_name_nobody() {
    let outcome = error(
        400,
        &json!({
            "code": 131_030,
            "message": "Recipient +1 650 555 1234 (wamid.HBgLMTY1MDU1NTEyMzQVAgARGBJF) refused",
            "error_data": {"details": "token madeUpTokenWith1Digit0f2, object '106540352242922'"}
        }),
    );
    let SendOutcome::Rejected(error) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        error.message,
        "Recipient … (…) refused: token …, object '…'"
    );
}
