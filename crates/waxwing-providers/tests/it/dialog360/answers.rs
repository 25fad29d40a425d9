//! What answers mean.

use serde_json::{Value, json};
use waxwing_core::errors::{ErrorClass, SendOutcome, ThrottleScope};
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::dialog360::Dialog360;
use waxwing_providers::messaging::{Endpoints, Messaging};

use super::{SECRET, account, interpret, send::assert_request};
use crate::errors::holds;
use crate::support;

#[test]
fn every_example_of_an_error_has_its_outcome() {
    let files = support::files("dialog360/errors");
    assert_eq!(files.len(), 14);
    for (file, fixture) in files {
        let fixture: Value = serde_json::from_slice(&fixture).unwrap();
        let outcome = interpret(&fixture);
        let class = fixture["class"].as_str().unwrap();
        assert!(holds(class, &outcome), "{file}: {class}: {outcome:?}");
    }
}

pub fn answer(status: u16, body: &Value) -> SendOutcome {
    interpret(&json!({"status": status, "headers": {}, "body": body}))
}

fn own(status: u16, words: &str) -> SendOutcome {
    answer(
        status,
        &json!({"meta": {"success": false, "http_code": status, "developer_message": words}}),
    )
}

#[test]
fn errors_of_its_own_are_known_by_status_and_words() {
    type Check = fn(&SendOutcome) -> bool;
    let broken: Check = |outcome| matches!(outcome, SendOutcome::ChannelBroken(_));
    let throttled: Check = |outcome| matches!(outcome, SendOutcome::Throttled { scope, .. } if *scope == ThrottleScope::Channel);
    let rejected: Check = |outcome| matches!(outcome, SendOutcome::Rejected(_));
    let retry: Check = |outcome| matches!(outcome, SendOutcome::Retry { .. });
    let unknown: Check = |outcome| matches!(outcome, SendOutcome::Unknown(_));
    let cases: [(u16, &str, Check); 14] = [
        (400, "invalid API key given", broken),
        (400, "This ACCOUNT IS DISABLED.", broken),
        (400, "Lack of payment", broken),
        (400, "request Rate Limit Exceeded", throttled),
        (400, "Unsupported message type", rejected),
        (404, "Not found", rejected),
        (403, "whatever", broken),
        (429, "", throttled),
        (500, "Internal", retry),
        (503, "Too many concurrent requests", retry),
        (502, "Bad gateway", unknown),
        (504, "Timeout", unknown),
        (408, "Timeout", unknown),
        // A refusal under a good status.
        (200, "Something", unknown),
    ];
    for (status, words, check) in cases {
        let outcome = own(status, words);
        assert!(check(&outcome), "{status} {words}: {outcome:?}");
    }
    let hidden = answer(
        200,
        &json!({"meta": {"success": false, "http_code": 401, "developer_message": "x"}}),
    );
    assert!(
        matches!(hidden, SendOutcome::ChannelBroken(error) if error.class == ErrorClass::Credentials)
    );
}

#[test]
fn the_trace_id_is_kept_and_numbers_are_not() {
    let fixture = support::json("dialog360/errors/invalid-api-key-401.json");
    let SendOutcome::ChannelBroken(error) = interpret(&fixture) else {
        panic!("{fixture}");
    };
    assert_eq!(
        error.message,
        "Invalid api_key (trace 23f0cb1a-1d3a-4a7e-9f0c-2b7a3c9d5e11)"
    );
    let SendOutcome::Rejected(error) = own(400, "no +1 650 555 1234 here") else {
        panic!("rejected");
    };
    assert_eq!(error.message, "no … here");
}

#[test]
fn what_has_no_json_may_have_been_sent() {
    for status in [200, 302, 400, 401, 404, 500, 503] {
        let outcome = answer(status, &json!("<html>"));
        assert!(
            matches!(outcome, SendOutcome::Unknown(_)),
            "{status}: {outcome:?}"
        );
    }
    assert!(matches!(
        answer(429, &json!("busy")),
        SendOutcome::Throttled { .. }
    ));
    assert!(matches!(
        Dialog360.interpret_send(&HttpOutcome::NotSent("refused".into())),
        SendOutcome::Retry { .. }
    ));
    for lost in [HttpOutcome::Lost("reset".into()), HttpOutcome::TooLarge] {
        assert!(matches!(
            Dialog360.interpret_send(&lost),
            SendOutcome::Unknown(_)
        ));
    }
}

#[test]
fn a_check_tells_whether_webhooks_come_to_us() {
    let example = support::json("dialog360/exchanges/webhook-get.json");
    let request = Dialog360
        .build_check(&account(), &Endpoints::default())
        .unwrap();
    assert_request("webhook-get.json", &request, &example["request"]);

    let check = |status: u16, body: Value| {
        let answer = support::outcome(&json!({"status": status, "headers": {}, "body": body}));
        Dialog360.interpret_check(&account(), &answer)
    };
    let body = |file: &str| support::json(&format!("dialog360/{file}"))["body"].clone();
    let good = check(200, example["response"]["body"].clone());
    assert!(good.ok && good.problems.is_empty());
    let set = support::json("dialog360/exchanges/webhook-set.json");
    assert!(
        check(200, set["response"]["body"].clone())
            .problems
            .is_empty()
    );

    let ours = "https://waxwing.example.com/webhook/dialog360/ch_123";
    let cases = [
        (json!({}), "no webhook address"),
        (json!({"url": ""}), "no webhook address"),
        (
            json!({"url": "https://other.example.com/hook?token=topsecret"}),
            "another webhook address",
        ),
        (
            json!({"url": ours, "headers": {"Authorization": "Bearer old"}}),
            "without this channel's secret",
        ),
        (
            json!({"url": ours, "headers": {}}),
            "without this channel's secret",
        ),
    ];
    for (body, expected) in cases {
        let found = check(200, body.clone());
        assert!(found.ok, "{body}");
        assert!(
            found.problems[0].contains(expected),
            "{body}: {:?}",
            found.problems
        );
        assert!(!found.problems[0].contains("topsecret"));
    }
    let with_query = json!({"url": format!("{ours}?secret={SECRET}"), "headers": {}});
    assert!(check(200, with_query).problems.is_empty());

    let refused = check(401, body("errors/invalid-api-key-401-other-form.json"));
    assert!(!refused.ok && refused.problems.len() == 1);
    assert_eq!(refused.error.unwrap().class, ErrorClass::Credentials);
    let broken = check(400, body("errors/lack-of-payment-400.json"));
    assert_eq!(broken.error.unwrap().class, ErrorClass::ChannelBroken);
    let page = check(502, json!("<html>"));
    assert!(!page.ok && page.error.unwrap().class == ErrorClass::Retry);
    let gone = Dialog360.interpret_check(&account(), &HttpOutcome::NotSent("refused".into()));
    assert!(!gone.ok && gone.problems.len() == 1);
}
