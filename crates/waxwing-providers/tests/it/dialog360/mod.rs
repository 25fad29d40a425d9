//! 360dialog: its examples, who may call its webhook, and whatever else comes.

mod answers;
mod events;
mod send;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::errors::SendOutcome;
use waxwing_core::event::Parsed;
use waxwing_core::secret::Secret;
use waxwing_providers::messaging::dialog360::Dialog360;
use waxwing_providers::messaging::{self, Account, Arrival, Endpoints, Messaging, Recorded};

use crate::support;

pub const SECRET: &str = "a-long-random-secret";

pub fn recorded(body: &[u8]) -> Recorded<'_> {
    Recorded { query: "", body }
}

pub fn parse(body: &[u8]) -> Parsed {
    Dialog360.parse(recorded(body)).unwrap()
}

pub fn account() -> Account {
    Account {
        sender_id: "318922994632101".into(),
        account_id: None,
        credentials: Credentials::new()
            .with(credential::API_KEY, Secret::new("test-d360-key"))
            .with(credential::WEBHOOK_SECRET, Secret::new(SECRET)),
    }
}

pub fn interpret(fixture: &Value) -> SendOutcome {
    Dialog360.interpret_send(&support::outcome(fixture))
}

pub fn is_authentic(target: &str, headers: &[(&str, &str)], secret: &str) -> bool {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
    }
    let arrival = Arrival {
        target,
        headers: &map,
        body: b"{}",
    };
    let credentials = Credentials::new().with(credential::WEBHOOK_SECRET, Secret::new(secret));
    Dialog360.authentic(arrival, &Endpoints::default(), &credentials)
}

#[test]
fn it_is_found_by_its_kind() {
    let adapter = messaging::adapter(ChannelKind::Dialog360);
    assert_eq!(adapter.kind(), ChannelKind::Dialog360);
    assert_eq!(adapter.name(), "360dialog");
    assert_eq!(adapter.query_to_keep("secret=x"), "");
    assert_eq!(adapter.pace().messages, 80);
}

#[test]
fn only_who_shows_the_secret_may_call() {
    const PATH: &str = "/webhook/dialog360/ch_123";
    let bearer = format!("Bearer {SECRET}");
    let query = format!("{PATH}?a=1&secret={SECRET}");
    assert!(is_authentic(PATH, &[("Authorization", &bearer)], SECRET));
    assert!(is_authentic(&query, &[], SECRET));
    // One right value is enough: the address may have been set before the header was.
    assert!(is_authentic(
        &query,
        &[("Authorization", "Bearer old")],
        SECRET
    ));
    for (target, headers) in [
        (PATH, &[][..]),
        (PATH, &[("Authorization", SECRET)]),
        (PATH, &[("Authorization", "Bearer ")]),
        (PATH, &[("Authorization", "Basic a-long-random-secret")]),
        (PATH, &[("Authorization", "Bearer a-long-random-secre")]),
        (PATH, &[("X-Webhook-Secret", SECRET)]),
        ("/webhook/dialog360/ch_123?secret=", &[]),
        (
            "/webhook/dialog360/ch_123?secrets=a-long-random-secret",
            &[],
        ),
        ("/webhook/dialog360/a-long-random-secret", &[]),
    ] {
        assert!(
            !is_authentic(target, headers, SECRET),
            "{target} {headers:?}"
        );
    }
    // Without a secret of the channel nothing opens, least of all an empty one.
    assert!(!is_authentic(PATH, &[("Authorization", "Bearer ")], ""));
    assert!(!is_authentic("/webhook/dialog360/ch_123?secret=", &[], ""));
}

#[test]
fn a_partners_signature_neither_opens_nor_closes() {
    let example = support::json("dialog360/partner-signature.json");
    let secret = example["platformSecret"].as_str().unwrap();
    let hex = example["hex"].as_str().unwrap();
    assert_eq!(
        STANDARD
            .decode(example["base64"].as_str().unwrap())
            .unwrap(),
        hex::decode(hex).unwrap()
    );
    let signature = [("x-360dialog-signature", hex)];
    assert!(!is_authentic(
        "/webhook/dialog360/ch_123",
        &signature,
        secret
    ));
    let query = format!("/webhook/dialog360/ch_123?secret={SECRET}");
    assert!(is_authentic(&query, &signature, SECRET));
}
