//! Signatures and the handshake.

use crate::wire::{self as meta, Handshake};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::Value;
use waxwing_core::secret::Secret;

use crate::support;

fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

#[test]
fn signature_vectors_hold() {
    let vectors = support::json("signatures.json");
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 19);
    for case in cases {
        let body = STANDARD
            .decode(case["bodyBase64"].as_str().unwrap())
            .unwrap();
        let headers: Vec<&str> = match &case["header"] {
            Value::Null => Vec::new(),
            Value::String(header) => vec![header],
            headers => headers
                .as_array()
                .unwrap()
                .iter()
                .map(|h| h.as_str().unwrap())
                .collect(),
        };
        let secrets: Vec<Secret> = match case.get("secrets") {
            Some(secrets) => secrets.as_array().unwrap().clone(),
            None => vec![vectors["appSecret"].clone()],
        }
        .iter()
        .map(|secret| Secret::new(secret.as_str().unwrap()))
        .collect();
        let found = meta::verify_signature(&body, &headers, &secrets);
        assert_eq!(
            found.is_some(),
            case["valid"].as_bool().unwrap(),
            "{}",
            case["name"]
        );
    }
}

#[test]
fn the_secret_that_fits_is_named() {
    let secrets = ["one", "two", "three"].map(Secret::new);
    for (index, secret) in ["one", "two", "three"].into_iter().enumerate() {
        let header = sign(secret, b"body");
        assert_eq!(
            meta::verify_signature(b"body", &[&header], &secrets),
            Some(index)
        );
    }
    let strange = sign("four", b"body");
    assert_eq!(meta::verify_signature(b"body", &[&strange], &secrets), None);
    assert_eq!(meta::verify_signature(b"body", &[&strange], &[]), None);
}

#[test]
fn an_empty_secret_never_fits() {
    let header = sign("", b"body");
    assert_eq!(
        meta::verify_signature(b"body", &[&header], &[Secret::new("")]),
        None
    );
}

#[test]
fn one_flipped_byte_anywhere_fails() {
    for (file, body) in support::files("inbound") {
        let header = sign("secret", &body);
        let secrets = [Secret::new("secret")];
        assert_eq!(
            meta::verify_signature(&body, &[&header], &secrets),
            Some(0),
            "{file}"
        );
        for place in [0, body.len() / 2, body.len().saturating_sub(1)] {
            let mut flipped = body.clone();
            let Some(byte) = flipped.get_mut(place) else {
                continue;
            };
            *byte ^= 1;
            assert_eq!(
                meta::verify_signature(&flipped, &[&header], &secrets),
                None,
                "{file}"
            );
        }
    }
}

#[test]
fn handshake_cases_hold() {
    let cases = support::json("verification.json");
    let token = Secret::new(cases["verifyToken"].as_str().unwrap());
    let list = cases["cases"].as_array().unwrap();
    assert_eq!(list.len(), 13);
    for case in list {
        let expected = match case["status"].as_u64().unwrap() {
            200 => Handshake::Challenge(case["body"].as_str().unwrap().into()),
            403 => Handshake::Forbidden,
            _ => Handshake::BadRequest,
        };
        let found = meta::handshake(case["query"].as_str().unwrap(), &token);
        assert_eq!(found, expected, "{}", case["name"]);
    }
}

#[test]
fn an_empty_token_opens_nothing() {
    let query = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=";
    assert_eq!(
        meta::handshake(query, &Secret::new("")),
        Handshake::Forbidden
    );
}

#[test]
fn a_challenge_is_not_a_way_to_make_us_send_anything() {
    let token = Secret::new("t");
    for challenge in [String::new(), "x".repeat(1_025)] {
        let query = format!("hub.mode=subscribe&hub.verify_token=t&hub.challenge={challenge}");
        assert_eq!(meta::handshake(&query, &token), Handshake::BadRequest);
    }
}
