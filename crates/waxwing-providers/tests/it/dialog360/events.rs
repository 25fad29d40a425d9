//! Every example of a webhook in both forms, and damaged ones.

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::Value;
use waxwing_core::content::Content;
use waxwing_core::event::{ItemBody, Route};
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::Messaging;
use waxwing_providers::messaging::dialog360::Dialog360;
use waxwing_providers::messaging::meta::Meta;

use super::{account, parse, recorded};
use crate::mutation::{mutate, mutation};
use crate::support;

#[test]
fn examples_of_the_cloud_form_say_what_metas_say() {
    let files = support::files("dialog360/inbound");
    assert_eq!(files.len(), 26);
    for (file, body) in files {
        let metas = support::fixtures()
            .join("inbound")
            .join(file.strip_prefix("cloud-").unwrap());
        let metas = std::fs::read(metas).unwrap();
        let expected = Meta.parse(recorded(&metas)).unwrap();
        assert!(!expected.items.is_empty(), "{file}");
        // The same envelope, of another number and account.
        let expected = serde_json::to_string(&expected)
            .unwrap()
            .replace("106540352242922", "318922994632101")
            .replace("102290129340398", "104996122399160");
        let found = serde_json::to_string(&parse(&body)).unwrap();
        assert_eq!(found, expected, "{file}");
        let place = &parse(&body).items[0].route;
        assert!(Dialog360.peek(recorded(&body)).contains(place), "{file}");
    }
}

#[test]
fn examples_of_the_old_form_are_read_as_well() {
    let files = support::files("dialog360/legacy-inbound");
    assert_eq!(files.len(), 11);
    for (file, body) in files {
        let parsed = parse(&body);
        let source: Value = serde_json::from_slice(&body).unwrap();
        assert!(parsed.broken.is_empty(), "{file}: {parsed:?}");
        let [item] = parsed.items.as_slice() else {
            panic!("{file}: {parsed:?}");
        };
        // Only the address of the webhook tells which number it is.
        assert_eq!(item.route, Route::default(), "{file}");
        assert!(Dialog360.peek(recorded(&body)).is_empty(), "{file}");
        match &item.body {
            ItemBody::Message(message) => {
                let expected = &source["messages"][0];
                assert_eq!(message.provider_id.as_str(), expected["id"], "{file}");
                let phone = message.sender.phone.as_ref().unwrap();
                assert_eq!(phone.digits(), expected["from"], "{file}");
                let name = source["contacts"][0]["profile"]["name"].as_str();
                assert_eq!(message.profile_name.as_deref(), name, "{file}");
                let seconds: i64 = expected["timestamp"].as_str().unwrap().parse().unwrap();
                assert_eq!(message.sent_at.unwrap().seconds(), seconds, "{file}");
            }
            ItemBody::Status(status) => {
                let expected = &source["statuses"][0];
                assert_eq!(status.provider_id.as_str(), expected["id"], "{file}");
                assert_eq!(status.word, expected["status"].as_str().unwrap(), "{file}");
                assert_eq!(status.at, None, "{file}");
            }
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn what_the_old_form_carries() {
    let content = |file: &str| {
        let body = support::json(&format!("dialog360/legacy-inbound/{file}"));
        let parsed = parse(body.to_string().as_bytes());
        match parsed.items.into_iter().next().unwrap().body {
            ItemBody::Message(message) => message.content,
            other => panic!("{file}: {other:?}"),
        }
    };
    assert_eq!(content("v1-text.json").text(), Some("Test"));
    let Content::Image(image) = content("v1-image.json") else {
        panic!("an image");
    };
    assert_eq!(
        image.id.as_deref(),
        Some("b1c68f38-8734-4ad3-b4a1-ef0c10d683")
    );
    assert!(matches!(
        content("v1-button-without-payload.json"),
        Content::Button { payload: None, text } if text == "Yes this is a button"
    ));
    assert!(matches!(
        content("v1-interactive-button-reply.json"),
        Content::ButtonReply { id, title } if id == "1" && title == "First Button"
    ));
    assert!(
        matches!(content("v1-location.json"), Content::Location { name: Some(name), .. } if name == "Bay Bridge")
    );
    assert!(matches!(
        content("v1-contacts-two-one-without-wa-id.json"),
        Content::Contacts { contacts } if contacts.len() == 2
    ));
    assert!(matches!(
        content("v1-unsupported.json"),
        Content::Unsupported { codes, .. } if codes == [131_051]
    ));
}

fn check(body: &[u8]) {
    let _ = Dialog360.peek(recorded(body));
    if let Ok(parsed) = Dialog360.parse(recorded(body)) {
        assert_eq!(Dialog360.parse(recorded(body)).unwrap(), parsed);
    }
}

fn examples() -> Vec<Vec<u8>> {
    [
        "dialog360/inbound",
        "dialog360/legacy-inbound",
        "dialog360/errors",
    ]
    .into_iter()
    .flat_map(support::files)
    .map(|(_, body)| body)
    .collect()
}

#[test]
fn examples_cut_off_anywhere_do_no_harm() {
    for body in examples() {
        for end in (0..body.len()).step_by((body.len() / 40).max(1)) {
            check(&body[..end]);
            check(&body[end..]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_comes_does_no_harm(
        index in any::<prop::sample::Index>(),
        status in 100..600_u16,
        mutations in proptest::collection::vec(mutation(), 0..12),
    ) {
        let all = examples();
        let mut body = all[index.index(all.len())].clone();
        for step in &mutations {
            mutate(&mut body, step);
        }
        check(&body);
        let answer = HttpOutcome::Response { status, headers: HeaderMap::new(), body: body.into() };
        let _ = Dialog360.interpret_send(&answer);
        let _ = Dialog360.interpret_check(&account(), &answer);
    }
}
