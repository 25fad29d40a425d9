//! Signatures: the vectors of Twilio's own libraries and ours, and every webhook of the fixtures.

use http::HeaderMap;
use serde_json::{Value, json};
use waxwing_core::channel::{Credentials, credential};
use waxwing_core::secret::Secret;
use waxwing_providers::messaging::twilio::Twilio;
use waxwing_providers::messaging::{Arrival, Endpoints, Messaging};

use super::{PUBLIC_URL, TOKEN, header_map, webhooks};
use crate::support;

const KEY_ID: &str = "webhooks_sharedkey_00000000000000000000000001";

fn token(secret: &str) -> Credentials {
    Credentials::new().with(credential::AUTH_TOKEN, Secret::new(secret))
}

fn shared(secret: &str) -> Credentials {
    let keys = json!({ KEY_ID: secret, "webhooks_sharedkey_2": "another" });
    token("unused").with(credential::SHARED_KEYS, Secret::new(keys.to_string()))
}

/// Splits a URL after its authority, as a configured address and a requested target.
fn is_authentic(url: &str, headers: &HeaderMap, body: &[u8], credentials: &Credentials) -> bool {
    let authority = url.find("://").unwrap() + 3;
    let path = url[authority..].find('/').unwrap() + authority;
    let endpoints = Endpoints {
        public_url: Some(url[..path].to_owned()),
        ..Endpoints::default()
    };
    let arrival = Arrival {
        target: &url[path..],
        headers,
        body,
    };
    Twilio.authentic(arrival, &endpoints, credentials)
}

#[test]
fn every_vector() {
    let vectors = support::json("twilio/signature-vectors.json");
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 50);
    let (mut accepted, mut refused) = (0, 0);
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().unwrap_or_default();
        let mut headers = header_map(&vector["headers"]);
        if let Some(kind) = vector["content_type"].as_str() {
            headers.insert("content-type", kind.parse().unwrap());
        }
        let credentials = if headers.contains_key("x-twilio-webhooks-signature-settings")
            && vector["algorithm"] == "HMAC_SHA256"
        {
            shared(text("secret"))
        } else {
            token(text("secret"))
        };
        let found = is_authentic(text("url"), &headers, text("body").as_bytes(), &credentials);
        assert_eq!(Value::Bool(found), vector["valid"], "{}", text("id"));
        if found {
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    assert_eq!((accepted, refused), (33, 17));
}

#[test]
fn every_webhook_is_signed() {
    for webhook in webhooks() {
        let url = format!("{PUBLIC_URL}{}", webhook.target);
        let check = |credentials: &Credentials| {
            is_authentic(&url, &webhook.headers, &webhook.body, credentials)
        };
        let name = &webhook.name;
        assert!(check(&token(TOKEN)), "{name}");
        // While tokens are exchanged, both count.
        let rotating =
            token("the new one").with(credential::SECONDARY_AUTH_TOKEN, Secret::new(TOKEN));
        assert!(check(&rotating), "{name}");
        assert!(!check(&token("the new one")), "{name}");
        assert!(!check(&Credentials::new()), "{name}");
        // Shared keys rule out the token, also when they cannot be read.
        let both = token(TOKEN);
        for keys in [r#"{"webhooks_sharedkey_2":"another"}"#, "{}", "nonsense"] {
            let both = both
                .clone()
                .with(credential::SHARED_KEYS, Secret::new(keys));
            assert!(!check(&both), "{name}: {keys}");
        }
    }
}

fn first() -> super::Webhook {
    webhooks().into_iter().next().unwrap()
}

#[test]
fn without_a_public_address_nothing_is_authentic() {
    let webhook = first();
    let arrival = Arrival {
        target: &webhook.target,
        headers: &webhook.headers,
        body: &webhook.body,
    };
    let authentic = |public_url: Option<&str>| {
        let endpoints = Endpoints {
            public_url: public_url.map(str::to_owned),
            ..Endpoints::default()
        };
        Twilio.authentic(arrival, &endpoints, &token(TOKEN))
    };
    assert!(authentic(Some(PUBLIC_URL)));
    assert!(authentic(Some("https://waxwing.example.com/")));
    assert!(authentic(Some("https://waxwing.example.com:443")));
    assert!(!authentic(Some("http://waxwing.example.com")));
    assert!(!authentic(Some("https://waxwing.example.com/prefix")));
    assert!(!authentic(Some("waxwing.example.com")));
    assert!(!authentic(None));
}

#[test]
fn headers_that_come_twice_or_say_nonsense_are_refused() {
    let webhook = first();
    let url = format!("{PUBLIC_URL}{}", webhook.target);
    let check = |change: &dyn Fn(&mut HeaderMap)| {
        let mut headers = webhook.headers.clone();
        change(&mut headers);
        is_authentic(&url, &headers, &webhook.body, &token(TOKEN))
    };
    let settings = "x-twilio-webhooks-signature-settings";
    let set = |text: &'static str| {
        check(&move |headers: &mut HeaderMap| {
            headers.insert(settings, text.parse().unwrap());
        })
    };
    assert!(check(&|_| {}));
    assert!(set(""));
    assert!(set("algorithm=HMAC_SHA1"));
    assert!(!set("algorithm=HMAC_SHA256"));
    assert!(!set("algorithm=hmac_sha1"));
    assert!(!set("key=k,algorithm=none"));
    assert!(!check(&|headers| {
        headers.append(settings, "".parse().unwrap());
        headers.append(settings, "".parse().unwrap());
    }));
    assert!(!check(&|headers| {
        let signature = headers["x-twilio-signature"].clone();
        headers.append("x-twilio-signature", signature);
    }));
    // The same bytes as something that is no form: the signature does not cover them.
    assert!(!check(&|headers| {
        headers.insert("content-type", "text/plain".parse().unwrap());
    }));
}

#[test]
fn more_parameters_than_twilio_ever_sends_are_refused() {
    let mut webhook = first();
    let url = format!("{PUBLIC_URL}{}", webhook.target);
    webhook.body = "a=1&".repeat(100_000).into_bytes();
    assert!(!is_authentic(
        &url,
        &webhook.headers,
        &webhook.body,
        &token(TOKEN)
    ));
}
