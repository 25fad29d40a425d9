//! The upload of sample files at Meta.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::{Value, json};
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::secret::Secret;
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::{
    Account, Endpoints, Sample, SampleWay, TemplateFailure, template_api,
};

fn account() -> Account {
    Account {
        sender_id: "106540352242922".to_owned(),
        account_id: Some("102290129340398".to_owned()),
        credentials: Credentials::new()
            .with(credential::ACCESS_TOKEN, Secret::new("EAAJB-test-token")),
    }
}

fn answer(status: u16, body: &Value) -> HttpOutcome {
    HttpOutcome::Response {
        status,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
    }
}

#[test]
fn a_sample_goes_in_two_calls() {
    let (account, endpoints) = (account(), Endpoints::default());
    let api = template_api(ChannelKind::Meta);
    assert_eq!(api.sample_way(), SampleWay::Handle);
    let sample = Sample {
        mime: "image/png",
        bytes: 17,
        filename: "sample.png",
    };
    let open = api.build_sample(&account, &endpoints, sample).unwrap();
    assert!(
        open.url
            .ends_with("/app/uploads?file_name=sample.png&file_length=17&file_type=image%2Fpng"),
        "{}",
        open.url
    );
    assert!(
        open.headers["authorization"]
            .to_str()
            .unwrap()
            .starts_with("Bearer ")
    );
    let session = api
        .interpret_sample(&answer(200, &json!({"id": "upload:MTphd==?sig=ARZ_-x"})))
        .unwrap();
    let fill = api
        .build_sample_bytes(&account, &endpoints, &session)
        .unwrap();
    assert!(
        fill.url.ends_with("/upload:MTphd==?sig=ARZ_-x"),
        "{}",
        fill.url
    );
    assert!(
        fill.headers["authorization"]
            .to_str()
            .unwrap()
            .starts_with("OAuth ")
    );
    assert_eq!(fill.headers["file_offset"], "0");
    let handle = api.interpret_sample_bytes(&answer(200, &json!({"h": "4::aW1h:x"})));
    assert_eq!(handle.unwrap(), "4::aW1h:x");
}

#[test]
fn a_session_leads_nowhere_else() {
    let (account, endpoints) = (account(), Endpoints::default());
    let api = template_api(ChannelKind::Meta);
    for odd in [
        "",
        "upload",
        "../me",
        "upload:a/../b",
        "upload:a b",
        "upload:a#b",
        "https://example.com/",
    ] {
        assert!(
            api.build_sample_bytes(&account, &endpoints, odd).is_err(),
            "{odd}"
        );
        assert!(
            api.interpret_sample(&answer(200, &json!({"id": odd})))
                .is_err(),
            "{odd}"
        );
    }
    let refused = api.interpret_sample(&answer(
        400,
        &json!({"error": {"code": 100, "message": "no"}}),
    ));
    assert_eq!(refused.unwrap_err().failure, TemplateFailure::Refused);
    let kinds: BTreeMap<&str, SampleWay> = ChannelKind::ALL
        .into_iter()
        .map(|kind| (kind.as_str(), template_api(kind).sample_way()))
        .collect();
    assert_eq!(kinds["twilio"], SampleWay::LastingLink);
    assert_eq!(kinds["dialog360"], SampleWay::Link);
}
