//! What answers mean.

use serde_json::{Value, json};
use waxwing_core::errors::{ErrorClass, SendOutcome, ThrottleScope};
use waxwing_core::identity::ProviderMessageId;
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::msg91::Msg91;
use waxwing_providers::messaging::{Endpoints, Messaging};

use super::account;
use crate::support;

fn outcome(fixture: &Value) -> HttpOutcome {
    let body = fixture.get("json").or_else(|| fixture.get("raw")).unwrap();
    support::outcome(&json!({
        "status": fixture["status"], "headers": fixture["headers"], "body": body,
    }))
}

#[test]
fn every_example_of_an_answer_has_its_outcome() {
    let files = support::files("msg91/responses");
    assert_eq!(files.len(), 10);
    for (file, fixture) in files {
        let fixture: Value = serde_json::from_slice(&fixture).unwrap();
        let found = Msg91.interpret_send(&outcome(&fixture));
        let fits = match file.as_str() {
            "success.json" => matches!(&found, SendOutcome::Accepted(accepted)
                if accepted.provider_id.as_ref().map(ProviderMessageId::as_str)
                    == Some("7dc9157ab37f4ab683e73d4f0a7c0001")),
            "200-has-error-number.json" => matches!(&found, SendOutcome::ChannelBroken(error)
                if error.class == ErrorClass::ChannelBroken && error.message == "Given number is not integrated"),
            "200-has-error-object.json" => matches!(&found, SendOutcome::Rejected(error)
                if error.class == ErrorClass::Permanent && error.message.contains("field is required")),
            "200-status-fail.json" => {
                matches!(&found, SendOutcome::Rejected(error) if error.class == ErrorClass::Template)
            }
            "200-truncated.json" | "200-without-request-id.json" | "500-html.json" => {
                matches!(&found, SendOutcome::Unknown(error) if error.class == ErrorClass::Unknown)
            }
            "401-authkey.json" | "418-ip-not-allowed.json" => {
                matches!(&found, SendOutcome::ChannelBroken(error) if error.class == ErrorClass::Credentials)
            }
            "429-too-many.json" => matches!(&found, SendOutcome::Throttled { scope, error, .. }
                if *scope == ThrottleScope::Account && error.class == ErrorClass::Throttled),
            other => panic!("{other}"),
        };
        assert!(fits, "{file}: {found:?}");
    }
}

#[test]
fn a_send_is_accepted_only_when_everything_says_so() {
    let answer = |status: u16, body: Value| {
        Msg91.interpret_send(&support::outcome(
            &json!({"status": status, "headers": {}, "body": body}),
        ))
    };
    let good = json!({"status": "success", "hasError": false, "request_id": "r", "data": "ok"});
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    assert!(matches!(
        answer(200, good.clone()),
        SendOutcome::Accepted(_)
    ));
    assert!(matches!(
        answer(201, good.clone()),
        SendOutcome::Accepted(_)
    ));
    for bad in [
        answer(200, with("request_id", json!(""))),
        answer(200, with("request_id", Value::Null)),
        answer(200, with("status", Value::Null)),
        answer(200, json!({})),
        answer(200, json!([])),
        answer(500, good.clone()),
        answer(503, json!({"hasError": true, "errors": "down"})),
        answer(302, json!("")),
        answer(408, json!("")),
        Msg91.interpret_send(&HttpOutcome::Lost("reset".into())),
        Msg91.interpret_send(&HttpOutcome::TooLarge),
    ] {
        assert!(matches!(bad, SendOutcome::Unknown(_)), "{bad:?}");
    }
    for bad in [
        answer(200, with("hasError", json!(true))),
        answer(200, with("hasError", json!("true"))),
        answer(200, with("status", json!("fail"))),
        answer(400, json!({"errors": "no"})),
        answer(404, json!("<html>")),
    ] {
        assert!(matches!(bad, SendOutcome::Rejected(_)), "{bad:?}");
    }
    assert!(matches!(
        Msg91.interpret_send(&HttpOutcome::NotSent("refused".into())),
        SendOutcome::Retry { .. }
    ));
}

#[test]
fn metas_codes_in_texts_count() {
    let refused = |errors: &str| {
        let body = json!({"status": "fail", "hasError": true, "errors": errors});
        Msg91.interpret_send(&support::outcome(
            &json!({"status": 200, "headers": {}, "body": body}),
        ))
    };
    let rejected = |errors: &str| match refused(errors) {
        SendOutcome::Rejected(error) => (error.class, error.code),
        other => panic!("{errors}: {other:?}"),
    };
    let code = |code: &str| Some(code.to_owned());
    assert_eq!(
        rejected("131047: Re-engagement"),
        (ErrorClass::WindowClosed, code("131047"))
    );
    assert_eq!(
        rejected("(#132001) Template name"),
        (ErrorClass::Template, code("132001"))
    );
    assert_eq!(
        rejected("failed with 131026."),
        (ErrorClass::NotReachable, code("131026"))
    );
    assert_eq!(
        rejected("139999: new"),
        (ErrorClass::Permanent, code("139999"))
    );
    assert_eq!(
        rejected("24 hours have passed"),
        (ErrorClass::WindowClosed, None)
    );
    assert_eq!(
        rejected("recipient 447700900123 is odd"),
        (ErrorClass::Permanent, None)
    );
    assert!(matches!(
        refused("131056: pair rate"),
        SendOutcome::Throttled {
            scope: ThrottleScope::Recipient,
            ..
        }
    ));
    assert!(matches!(refused("130429"), SendOutcome::Throttled { .. }));
    assert!(matches!(
        refused("401: Unauthorized"),
        SendOutcome::ChannelBroken(error) if error.class == ErrorClass::Credentials
    ));
    assert!(matches!(
        refused("Low balance"),
        SendOutcome::ChannelBroken(_)
    ));
    let SendOutcome::Rejected(error) = refused("recipient 447700900123 is odd") else {
        panic!("rejected");
    };
    assert_eq!(error.message, "recipient … is odd");
}

#[test]
fn a_check_finds_the_number_in_the_account() {
    let example = support::json("msg91/requests/numbers.json");
    let request = Msg91
        .build_check(&account(), &Endpoints::default())
        .unwrap();
    assert_eq!(request.method, http::Method::GET);
    assert_eq!(
        request.url,
        format!(
            "https://control.msg91.com{}",
            example["request"]["path"].as_str().unwrap()
        )
    );
    for (name, value) in example["request"]["headers"].as_object().unwrap() {
        assert_eq!(request.headers[name.as_str()], value.as_str().unwrap());
    }
    let check = |status: u16, body: Value| {
        let answer = support::outcome(&json!({"status": status, "headers": {}, "body": body}));
        Msg91.interpret_check(&account(), &answer)
    };
    let good = check(200, example["response"]["json"].clone());
    assert!(good.ok && good.problems.is_empty());
    assert_eq!(good.display_phone_number.as_deref(), Some("+15005550006"));
    assert_eq!(good.can_send.as_deref(), Some("ACTIVE"));
    let other = check(200, json!([{"integrated_number": "447700900999"}]));
    assert!(!other.ok && other.problems.len() == 1);
    // The inner fields are not confirmed: what is not understood is no problem.
    assert!(check(200, json!({"status": "success", "data": [{"x": 1}]})).ok);
    for (status, body, class) in [
        (
            401,
            json!({"errors": "Unauthorized"}),
            ErrorClass::Credentials,
        ),
        (418, json!("nothing"), ErrorClass::Credentials),
        (
            200,
            json!({"hasError": true, "errors": "odd"}),
            ErrorClass::Permanent,
        ),
        (502, json!("<html>"), ErrorClass::Retry),
        (200, json!("<html>"), ErrorClass::Permanent),
        (200, json!("17"), ErrorClass::Permanent),
    ] {
        let found = check(status, body);
        assert!(!found.ok && found.error.unwrap().class == class, "{status}");
    }
    assert!(
        !Msg91
            .interpret_check(&account(), &HttpOutcome::Lost("reset".into()))
            .ok
    );
}
