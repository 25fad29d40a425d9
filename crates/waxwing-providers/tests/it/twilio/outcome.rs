//! Every example of an answer, and what it means for the message.

use std::time::Duration;

use serde_json::{Value, json};
use waxwing_core::errors::{ErrorClass, SendOutcome, ThrottleScope};
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::twilio::Twilio;
use waxwing_providers::messaging::{Account, Messaging};

use super::{account, answer, rest};
use crate::support;

/// What an outcome is, in short.
fn short(outcome: &SendOutcome) -> (&'static str, Option<ErrorClass>) {
    match outcome {
        SendOutcome::Accepted(_) => ("accepted", None),
        SendOutcome::Throttled { error, .. } => ("throttled", Some(error.class)),
        SendOutcome::Retry { error, .. } => ("retry", Some(error.class)),
        SendOutcome::Rejected(error) => ("rejected", Some(error.class)),
        SendOutcome::ChannelBroken(error) => ("channel", Some(error.class)),
        SendOutcome::Unknown(error) => ("unknown", Some(error.class)),
    }
}

#[test]
fn every_error_of_the_examples() {
    use ErrorClass as E;
    let expected = [
        ("error-200-truncated-json", "unknown", E::Unknown),
        ("error-400-body-too-long", "rejected", E::Permanent),
        ("error-400-channel-mismatch", "channel", E::ChannelBroken),
        ("error-400-content-sid", "rejected", E::Template),
        ("error-400-content-variables", "rejected", E::Template),
        ("error-400-media-url", "rejected", E::Media),
        ("error-400-no-body", "rejected", E::Permanent),
        ("error-400-no-channel", "channel", E::ChannelBroken),
        ("error-400-no-from", "channel", E::ChannelBroken),
        ("error-400-opted-out", "rejected", E::OptedOut),
        ("error-400-queue-full", "throttled", E::Throttled),
        ("error-400-region", "rejected", E::Permanent),
        ("error-400-schedule-too-soon", "rejected", E::Permanent),
        ("error-400-status-callback", "channel", E::ChannelBroken),
        ("error-400-to-invalid", "rejected", E::NotReachable),
        ("error-400-trial-unverified", "rejected", E::Permanent),
        ("error-401-authenticate", "channel", E::Credentials),
        ("error-403-permission", "channel", E::Credentials),
        ("error-404-account", "channel", E::ChannelBroken),
        ("error-429-daily-limit-trial", "throttled", E::Throttled),
        ("error-429-too-many", "throttled", E::Throttled),
        ("error-500-empty", "unknown", E::Unknown),
        ("error-500-internal", "unknown", E::Unknown),
        ("error-503-html", "unknown", E::Unknown),
        ("error-503-unavailable", "unknown", E::Unknown),
    ];
    let files: Vec<String> = support::files("twilio/rest")
        .into_iter()
        .filter_map(|(name, _)| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name.starts_with("error-"))
        .collect();
    let names: Vec<&str> = expected.iter().map(|(name, ..)| *name).collect();
    assert_eq!(files, names);
    for (name, kind, class) in expected {
        let fixture = rest(name);
        let outcome = Twilio.interpret_send(&answer(&fixture));
        assert_eq!(short(&outcome), (kind, Some(class)), "{name}");
        let (SendOutcome::Throttled { error, .. }
        | SendOutcome::Retry { error, .. }
        | SendOutcome::Rejected(error)
        | SendOutcome::ChannelBroken(error)
        | SendOutcome::Unknown(error)) = outcome
        else {
            panic!("{name}");
        };
        let code = fixture["response"]["json"]["code"].as_i64();
        assert_eq!(error.code, code.map(|code| code.to_string()), "{name}");
    }
}

#[test]
fn every_accepted_send_has_its_id() {
    let mut seen = 0;
    for (name, file) in support::files("twilio/rest") {
        if !name.starts_with("send-") {
            continue;
        }
        let fixture: Value = serde_json::from_slice(&file).unwrap();
        let SendOutcome::Accepted(accepted) = Twilio.interpret_send(&answer(&fixture)) else {
            panic!("{name}");
        };
        let id = accepted.provider_id.unwrap();
        assert_eq!(
            Some(id.as_str()),
            fixture["response"]["json"]["sid"].as_str()
        );
        seen += 1;
    }
    assert_eq!(seen, 8);
}

fn respond(status: u16, headers: &[(&'static str, &str)], body: &str) -> SendOutcome {
    let headers = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    Twilio.interpret_send(&HttpOutcome::Response {
        status,
        headers,
        body: body.to_owned().into(),
    })
}

fn error(status: u16, code: i64) -> SendOutcome {
    let body = json!({"code": code, "message": "no", "status": status});
    respond(status, &[], &body.to_string())
}

/// The table of codes against what the adapter makes of each as an answer.
#[test]
fn every_code_of_the_table() {
    let table: Value =
        serde_json::from_str(include_str!("../../../src/messaging/twilio/codes.json")).unwrap();
    for row in table.as_array().unwrap() {
        let code = row["code"].as_i64().unwrap();
        let (kind, class) = short(&error(400, code));
        let class = class.unwrap();
        let fits = match row["class"].as_str().unwrap() {
            "auth" => kind == "channel" && class == ErrorClass::Credentials,
            "account" => kind == "channel" && class == ErrorClass::ChannelBroken,
            "config" => matches!(
                (kind, class),
                ("channel", ErrorClass::ChannelBroken) | ("rejected", ErrorClass::Permanent)
            ),
            "rate_limited" => kind == "throttled" && class == ErrorClass::Throttled,
            "transient" if [20_500, 20_503].contains(&code) => kind == "unknown",
            "transient" => kind == "retry" && class == ErrorClass::Retry,
            "unknown" => kind == "retry" && class == ErrorClass::Later,
            "window_closed" => kind == "rejected" && class == ErrorClass::WindowClosed,
            "opt_out" => kind == "rejected" && class == ErrorClass::OptedOut,
            "not_on_whatsapp" | "invalid_recipient" | "unreachable" | "restricted_user" => {
                kind == "rejected" && class == ErrorClass::NotReachable
            }
            "template" => class == ErrorClass::Template,
            "media" => class == ErrorClass::Media,
            "policy" => {
                kind == "rejected"
                    && matches!(class, ErrorClass::Permanent | ErrorClass::MarketingLimited)
            }
            "content" | "conflict" | "expired" | "otp" | "webhook" => {
                kind == "rejected" && class == ErrorClass::Permanent
            }
            other => panic!("no such class: {other}"),
        };
        assert!(fits, "{code}: {kind} {class:?}");
        // What is never to be repeated is not, and what is worth it is.
        match row["retry"].as_str().unwrap() {
            // Sending names nothing but the account, so the account is what is missing.
            "never" if code == 20_404 => assert_eq!(kind, "channel"),
            "never" => assert_eq!(kind, "rejected", "{code}"),
            "after_fix" | "use_template" => {
                assert!(matches!(kind, "rejected" | "channel"), "{code}: {kind}");
            }
            "backoff" => assert!(matches!(kind, "retry" | "throttled" | "unknown"), "{code}"),
            _ => {}
        }
    }
}

#[test]
fn what_may_have_been_made_is_never_sent_again() {
    let cases = [
        (200, ""),
        (201, "{}"),
        (201, r#"{"sid":""}"#),
        (201, r#"{"sid":null}"#),
        (201, r#"{"sid":["SM1"]}"#),
        (204, ""),
        (302, ""),
        (408, ""),
        (500, r#"{"code":21610}"#),
        (502, "<html>"),
        (504, ""),
        (400, r#"{"code":20500}"#),
    ];
    for (status, body) in cases {
        let outcome = respond(status, &[], body);
        assert_eq!(short(&outcome).0, "unknown", "{status} {body}: {outcome:?}");
    }
    for lost in [HttpOutcome::Lost("reset".into()), HttpOutcome::TooLarge] {
        assert_eq!(short(&Twilio.interpret_send(&lost)).0, "unknown");
    }
    let not_sent = Twilio.interpret_send(&HttpOutcome::NotSent("refused".into()));
    assert_eq!(short(&not_sent), ("retry", Some(ErrorClass::Retry)));
}

#[test]
fn answers_without_an_error_object() {
    for status in [400, 403, 404, 413] {
        let (kind, class) = short(&respond(status, &[], "<html>"));
        assert_eq!((kind, class), ("rejected", Some(ErrorClass::Permanent)));
    }
    let refused = respond(401, &[], "");
    assert_eq!(short(&refused), ("channel", Some(ErrorClass::Credentials)));
    assert_eq!(short(&respond(429, &[], "busy")).0, "throttled");
}

#[test]
fn rate_limits_name_what_has_to_slow_down() {
    let throttle = |outcome: SendOutcome| match outcome {
        SendOutcome::Throttled { scope, after, .. } => (scope, after.map(|after| after.as_secs())),
        other => panic!("{other:?}"),
    };
    assert_eq!(throttle(error(429, 20_429)), (ThrottleScope::Account, None));
    assert_eq!(throttle(error(500, 20_429)), (ThrottleScope::Account, None));
    assert_eq!(throttle(error(400, 21_611)), (ThrottleScope::Channel, None));
    assert_eq!(
        throttle(error(400, 63_018)),
        (ThrottleScope::Channel, Some(600))
    );
    assert_eq!(
        throttle(error(429, 63_038)),
        (ThrottleScope::Account, Some(3_600))
    );
    let asked = respond(429, &[("retry-after", "7")], r#"{"code":20429}"#);
    assert_eq!(throttle(asked), (ThrottleScope::Account, Some(7)));
}

#[test]
fn a_message_that_failed_at_once_is_said_in_the_answer() {
    let failed = |code: Value| {
        let body = json!({"sid": "SM1", "status": "failed", "error_code": code,
            "error_message": "To +447700900123 refused"});
        respond(201, &[], &body.to_string())
    };
    let SendOutcome::Rejected(error) = failed(json!(63_024)) else {
        panic!()
    };
    assert_eq!(error.class, ErrorClass::NotReachable);
    assert_eq!(error.message, "To … refused");
    assert_eq!(short(&failed(Value::Null)).0, "accepted");
}

#[test]
fn content_resources_are_made_or_not_and_nothing_is_in_doubt() {
    for name in ["content-create-quick-reply", "content-create-list-picker"] {
        let fixture = rest(name);
        let sid = Twilio.interpret_asset(&answer(&fixture)).unwrap();
        assert_eq!(sid, fixture["response"]["json"]["sid"].as_str().unwrap());
    }
    let kind = |answer: &HttpOutcome| short(&Twilio.interpret_asset(answer).unwrap_err());
    let refused = answer(&rest("content-create-error"));
    assert_eq!(kind(&refused), ("rejected", Some(ErrorClass::Permanent)));
    for again in [
        HttpOutcome::Lost("reset".into()),
        answer(&rest("error-500-empty")),
        answer(&rest("error-200-truncated-json")),
    ] {
        assert_eq!(kind(&again), ("retry", Some(ErrorClass::Retry)));
    }
}

#[test]
fn a_check_finds_the_number_among_the_senders() {
    let fixture = rest("senders-list");
    let check = Twilio.interpret_check(&account(), &answer(&fixture));
    assert!(check.ok, "{check:?}");
    assert_eq!(check.display_phone_number.as_deref(), Some("+15005550006"));
    assert_eq!(check.verified_name.as_deref(), Some("Waxwing Tours"));
    assert_eq!(check.quality.as_deref(), Some("HIGH"));
    assert_eq!(check.can_send.as_deref(), Some("ONLINE"));
    assert_eq!((check.problems.len(), check.error), (0, None));

    let mut offline = fixture.clone();
    offline["response"]["json"]["senders"][0]["status"] = "OFFLINE".into();
    offline["response"]["json"]["senders"][0]["offline_reasons"] =
        json!([{"code": 63020, "message": "Payment of +447700900123 is due", "more_info": ""}]);
    let check = Twilio.interpret_check(&account(), &answer(&offline));
    assert!(!check.ok);
    let problems = ["The sender is OFFLINE.", "Payment of … is due (63020)"];
    assert_eq!(check.problems, problems);

    let of = |number: &str, answer: &HttpOutcome| {
        let account = Account {
            sender_id: format!("AC1/{number}"),
            ..account()
        };
        Twilio.interpret_check(&account, answer)
    };
    let other = of("+447700900999", &answer(&fixture));
    assert!(!other.ok && other.error.is_none() && other.problems.len() == 1);
    assert!(of("+14155238886", &answer(&fixture)).ok);
    let refused = of("+15005550006", &answer(&rest("error-401-authenticate")));
    assert_eq!(refused.error.unwrap().class, ErrorClass::Credentials);
    let lost = of("+15005550006", &HttpOutcome::Lost("reset".into()));
    assert_eq!(lost.error.unwrap().class, ErrorClass::Retry);
    let gateway = of("+15005550006", &answer(&rest("error-503-html")));
    assert_eq!(gateway.error.unwrap().class, ErrorClass::Retry);
    assert!(!of("nobody", &answer(&fixture)).ok);
}

#[test]
fn the_pace_is_the_protocols() {
    let pace = Twilio.pace();
    assert_eq!((pace.messages, pace.concurrency), (20, 10));
    assert_eq!(pace.per, Duration::from_secs(1));
}
