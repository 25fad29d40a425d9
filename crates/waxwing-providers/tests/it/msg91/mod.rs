//! MSG91: its examples, who may call its webhook, and whatever else comes.

mod answers;
mod events;
mod robust;
mod send;

use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::event::Parsed;
use waxwing_core::secret::Secret;
use waxwing_providers::messaging::msg91::Msg91;
use waxwing_providers::messaging::{self, Account, Arrival, Endpoints, Messaging, Recorded};

use crate::support;

pub fn recorded(body: &[u8]) -> Recorded<'_> {
    Recorded { query: "", body }
}

pub fn parse(body: &str) -> Parsed {
    Msg91.parse(recorded(body.as_bytes())).unwrap()
}

pub fn account() -> Account {
    Account {
        sender_id: "15005550006".into(),
        account_id: None,
        credentials: Credentials::new().with(credential::AUTH_KEY, Secret::new("test-authkey")),
    }
}

pub fn webhooks() -> Vec<(String, Value)> {
    support::files("msg91/webhooks")
        .into_iter()
        .map(|(file, fixture)| (file, serde_json::from_slice(&fixture).unwrap()))
        .collect()
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
    Msg91.authentic(arrival, &Endpoints::default(), &credentials)
}

pub fn event(fields: &Value) -> String {
    let mut event = json!({
        "customerNumber": "447700900123",
        "integratedNumber": "15005550006",
        "uuid": "wamid.X",
        "eventName": "received",
        "direction": "0",
    });
    for (key, value) in fields.as_object().unwrap() {
        event[key] = value.clone();
    }
    event.to_string()
}

#[test]
fn it_is_found_by_its_kind() {
    let adapter = messaging::adapter(ChannelKind::Msg91);
    assert_eq!(adapter.kind(), ChannelKind::Msg91);
    assert_eq!(adapter.name(), "MSG91");
    assert_eq!(adapter.query_to_keep("secret=x"), "");
    let pace = adapter.pace();
    assert_eq!((pace.messages, pace.per.as_secs()), (100, 60));
}

#[test]
fn only_who_shows_the_secret_may_call() {
    const PATH: &str = "/webhook/msg91/ch_1";
    const SECRET: &str = "s3cret with blanks";
    for name in ["X-Webhook-Secret", "msg91-webhook-secret"] {
        assert!(is_authentic(PATH, &[(name, SECRET)], SECRET), "{name}");
        assert!(!is_authentic(PATH, &[(name, "s3cret")], SECRET), "{name}");
        assert!(!is_authentic(PATH, &[(name, "")], ""), "{name}");
    }
    assert!(is_authentic(
        PATH,
        &[("Authorization", "Bearer s3cret with blanks")],
        SECRET
    ));
    assert!(is_authentic(
        "/webhook/msg91/ch_1?secret=s3cret+with%20blanks",
        &[],
        SECRET
    ));
    assert!(is_authentic(
        PATH,
        &[("X-Webhook-Secret", "old"), ("X-Webhook-Secret", SECRET)],
        SECRET
    ));
    assert!(!is_authentic(PATH, &[], SECRET));
    assert!(!is_authentic(PATH, &[("Authorization", SECRET)], SECRET));
    assert!(!is_authentic(
        "/webhook/msg91/ch_1?secret=other",
        &[],
        SECRET
    ));
    assert!(!is_authentic("/webhook/msg91/ch_1?secret=", &[], ""));
}
