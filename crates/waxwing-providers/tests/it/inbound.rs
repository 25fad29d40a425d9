//! Every example of a webhook against what an independent reader found in it, and against its snapshot.

use std::collections::HashSet;

use crate::wire::{self as meta, Unreadable};
use ring::digest;
use serde_json::{Map, Value, json};
use waxwing_core::event::{ItemBody, Parsed};

use crate::expectation::{self, Item};
use crate::support;

/// Items that a snapshot shows of a longer request.
const SHOWN: usize = 20;

fn compare(file: &str, body: &[u8], expected: &Value) {
    let parsed = meta::parse(body).unwrap_or_else(|error| panic!("{file}: {error}"));
    let found = expectation::items(&parsed);
    let expected = expected["items"].as_array().unwrap();
    if file == "odd-value-is-a-string.json" {
        // The reader saw no item; we say that something is there and cannot be read.
        assert!(expected.is_empty() && matches!(found.as_slice(), [Item::Broken(_)]));
        return;
    }
    assert_eq!(found.len(), expected.len(), "{file}: {parsed:#?}");
    for (found, expected) in found.into_iter().zip(expected) {
        let expected = expected.as_object().unwrap().clone();
        match found {
            Item::Broken(reason) => {
                assert!(is_unusable(&expected), "{file}: {reason}");
            }
            Item::Good(mut found) => {
                assert!(!is_unusable(&expected), "{file}: should be broken");
                let expected = adapt(expected, &mut found, body);
                assert_eq!(Value::Object(found), Value::Object(expected), "{file}");
            }
        }
    }
}

/// A message that nobody can be found for or that no mark against duplicates fits.
fn is_unusable(expected: &Map<String, Value>) -> bool {
    expected["kind"] == "message"
        && (!expected.contains_key("id")
            || !(expected.contains_key("fromPhone") || expected.contains_key("fromUserId")))
}

/// Where our vocabulary is another one on purpose.
fn adapt(
    mut expected: Map<String, Value>,
    found: &mut Map<String, Value>,
    body: &[u8],
) -> Map<String, Value> {
    // U+0000 is removed, because PostgreSQL refuses it.
    if let Some(Value::String(text)) = expected.get_mut("text") {
        *text = text.replace('\0', "");
    }
    // Long texts are given by their digest.
    if expected.contains_key("textSha256") {
        let text = found.remove("text").unwrap();
        let text = text.as_str().unwrap();
        found.insert("textLength".into(), text.chars().count().into());
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        found.insert("textSha256".into(), hex::encode(digest).into());
    }
    match expected["kind"].as_str().unwrap() {
        "system" => {
            // A notice about a person changes no name.
            expected.remove("name");
        }
        "echo" => {
            // Our own number; the route says which it is.
            expected.remove("fromPhone");
        }
        "template-status" | "template-quality" | "template-category" | "template-components" => {
            // Folded to the form of the API.
            let language = expected["language"].as_str().unwrap().replace('-', "_");
            expected.insert("language".into(), language.into());
        }
        "other" => {
            // Events for partners come under a business id; the account stands inside (protocols/meta.md 8).
            let body: Value = serde_json::from_slice(body).unwrap();
            let account = body.pointer("/entry/0/changes/0/value/waba_info/waba_id");
            if let Some(account) = account {
                expected.insert("wabaId".into(), account.clone());
            }
        }
        _ => {}
    }
    // The old name of a recorded note.
    if expected.get("type") == Some(&json!("voice")) {
        expected.insert("type".into(), "audio".into());
    }
    if !expected.contains_key("type") {
        // A message that does not say what it is, is what it carries.
        if expected["kind"] == "message" {
            found.remove("type").unwrap();
        }
    } else if found.get("type") == Some(&json!("unsupported")) {
        // We keep one word for what it is: WhatsApp's word for what it does not hand over, else the unknown kind.
        if expected["type"] != "unsupported" {
            let kind = expected
                .insert("type".into(), "unsupported".into())
                .unwrap();
            expected.insert("subtype".into(), kind);
        }
    }
    expected
}

#[test]
fn every_example_says_what_the_independent_reader_found() {
    let expectations = support::json("inbound-expectations.json");
    let expectations = expectations["files"].as_object().unwrap();
    let files = support::files("inbound");
    assert_eq!(files.len(), 297);
    assert_eq!(files.len(), expectations.len());
    for (file, body) in &files {
        let expected = &expectations[file];
        if expected.get("unreadable").is_some() || expected.get("itemCount").is_some() {
            continue;
        }
        compare(file, body, expected);
    }
}

#[test]
fn a_thousand_updates_are_a_thousand_items() {
    let (_, body) = support::files("inbound")
        .into_iter()
        .find(|(file, _)| file == "batch-1000-updates.json")
        .unwrap();
    let parsed = meta::parse(&body).unwrap();
    let senders: HashSet<_> = parsed
        .items
        .iter()
        .map(|item| match &item.body {
            ItemBody::Message(message) => message.sender.phone.clone().unwrap(),
            other => panic!("not a message: {other:?}"),
        })
        .collect();
    assert_eq!((parsed.items.len(), senders.len()), (1_000, 250));
    assert!(parsed.broken.is_empty());
}

/// The text of the only message of a request.
fn only_text(parsed: &Parsed) -> &str {
    let [item] = parsed.items.as_slice() else {
        panic!("{} items", parsed.items.len());
    };
    let ItemBody::Message(message) = &item.body else {
        panic!("not a message: {item:?}");
    };
    message.content.text().unwrap()
}

#[test]
fn bodies_that_strict_readers_refuse() {
    let mut seen = 0;
    for (file, body) in support::files("inbound") {
        let expected = match file.as_str() {
            "message-text-lone-surrogate.body" => Ok("broken \u{fffd} emoji"),
            "odd-invalid-utf8.body" => Ok("\u{fffd}\u{fffd} caf\u{fffd}"),
            "odd-utf8-bom.body" => Ok("bom"),
            "odd-empty-body.body" => Err(Unreadable::Empty),
            "odd-not-json.body" => Err(Unreadable::NotJson),
            "odd-truncated-json.body" => Err(Unreadable::CutOff),
            other => {
                assert!(!other.ends_with(".body"), "{other}");
                continue;
            }
        };
        let parsed = meta::parse(&body);
        assert_eq!(
            parsed.as_ref().map(only_text).map_err(|error| *error),
            expected,
            "{file}"
        );
        seen += 1;
    }
    assert_eq!(seen, 6);
    assert_eq!(meta::parse(b"17"), Err(Unreadable::NotAnObject));
    assert_eq!(meta::parse(b" \n"), Err(Unreadable::Empty));
}

#[test]
fn every_example_as_a_whole() {
    insta::glob!("../../fixtures/inbound", "*.*", |path| {
        let body = std::fs::read(path).unwrap();
        match meta::parse(&body) {
            Ok(mut parsed) => {
                parsed.items.truncate(SHOWN);
                insta::assert_json_snapshot!("parsed", parsed);
            }
            Err(error) => insta::assert_json_snapshot!("parsed", error.to_string()),
        }
    });
}

#[test]
fn a_look_at_a_body_names_every_place_once() {
    for (file, body) in support::files("inbound") {
        let mut expected = Vec::new();
        if let Ok(parsed) = meta::parse(&body) {
            let items = parsed.items.iter().map(|item| (item.index, &item.route));
            let broken = parsed.broken.iter().map(|item| (item.index, &item.route));
            let mut all: Vec<_> = items.chain(broken).collect();
            all.sort_by_key(|(index, _)| *index);
            for (_, route) in all {
                if !expected.contains(route) {
                    expected.push(route.clone());
                }
            }
        }
        let mut peeked = meta::peek_routes(&body);
        // A look does not see whether the lists in a value are empty.
        if expected.is_empty() {
            assert!(peeked.len() <= 1, "{file}");
            continue;
        }
        if file == "odd-value-is-a-string.json" {
            continue;
        }
        peeked.retain(|route| expected.contains(route));
        assert_eq!(peeked, expected, "{file}");
    }
}
