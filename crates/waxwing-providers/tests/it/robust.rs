//! Whatever comes in: no panic, bounded work, neighbours unharmed.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::wire as meta;
use proptest::prelude::*;
use serde_json::Value;
use waxwing_core::event::Parsed;
use waxwing_core::secret::Secret;
use waxwing_providers::http::HttpOutcome;

use crate::mutation::{mutate, mutation};
use crate::support;

/// What no body may take, on a slow machine in a debug build.
const PATIENCE: Duration = Duration::from_secs(20);

fn check(body: &[u8]) {
    let _ = meta::peek_routes(body);
    if let Ok(parsed) = meta::parse(body) {
        let mut indexes: Vec<u32> = parsed
            .items
            .iter()
            .map(|item| item.index)
            .chain(parsed.broken.iter().map(|item| item.index))
            .collect();
        indexes.sort_unstable();
        assert!(
            indexes
                .iter()
                .copied()
                .eq(0..u32::try_from(indexes.len()).unwrap())
        );
        assert_eq!(meta::parse(body).unwrap(), parsed);
    }
}

#[test]
fn examples_cut_off_anywhere_do_no_harm() {
    for (_, body) in support::files("inbound") {
        let step = (body.len() / 60).max(1);
        for end in (0..body.len()).step_by(step) {
            check(&body[..end]);
            check(&body[end..]);
        }
    }
}

/// Puts a property that nobody knows at the front of every object.
fn with_strangers(body: &str) -> String {
    let mut out = String::with_capacity(body.len() * 2);
    let (mut in_text, mut escaped) = (false, false);
    for (at, c) in body.char_indices() {
        out.push(c);
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '{' if !in_text => {
                out.push_str(r#""zz_unknown":[{"a":null},1.5e300,"\ud83d","\u0000"]"#);
                if !body[at + 1..].trim_start().starts_with('}') {
                    out.push(',');
                }
            }
            _ => {}
        }
    }
    out
}

fn without_strangers(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("zz_unknown");
            map.values_mut().for_each(without_strangers);
        }
        Value::Array(list) => list.iter_mut().for_each(without_strangers),
        _ => {}
    }
}

#[test]
fn properties_that_nobody_knows_change_nothing() {
    let mut compared = 0;
    for (file, body) in support::files("inbound") {
        let (Ok(parsed), Ok(text)) = (meta::parse(&body), std::str::from_utf8(&body)) else {
            continue;
        };
        let more = meta::parse(with_strangers(text).as_bytes())
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut more = serde_json::to_value(more).unwrap();
        without_strangers(&mut more);
        assert_eq!(more, serde_json::to_value(parsed).unwrap(), "{file}");
        compared += 1;
    }
    assert!(compared > 290, "{compared}");
}

/// A request with these elements of `messages`.
fn request(messages: &str) -> String {
    format!(
        r#"{{"entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"metadata":{{"phone_number_id":"2"}},"messages":[{messages}]}}}}]}}]}}"#
    )
}

const GOOD: &str = r#"{"from":"16505551234","id":"good","type":"text","text":{"body":"hi"}}"#;

fn parsed(messages: &str) -> Parsed {
    meta::parse(request(messages).as_bytes()).unwrap()
}

#[test]
fn broken_neighbours_do_no_harm() {
    let deep = format!(
        r#"{{"from":"16505551234","id":"a","deep":{}1{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let deep_cards = format!(
        r#"{{"from":"16505551234","id":"a","type":"contacts","contacts":[{}1{}]}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let cases: [(&str, usize); 16] = [
        ("17", 1),
        ("null", 1),
        ("\"text\"", 1),
        ("[]", 1),
        ("{}", 1),
        (r#"{"id":"a"}"#, 1),
        (r#"{"from":"16505551234"}"#, 1),
        (r#"{"from":"bla","id":"a"}"#, 1),
        (r#"{"from":{"a":1},"id":"a"}"#, 1),
        (r#"{"from":"16505551234","id":["a"]}"#, 1),
        (
            r#"{"from":"16505551234","id":"a","type":"text","text":"\ud83d"}"#,
            0,
        ),
        (r#"{"from":16505551234,"id":17,"type":5,"text":7}"#, 0),
        (
            r#"{"from":"16505551234","id":"a","type":"image","image":[1]}"#,
            0,
        ),
        (
            r#"{"from":"16505551234","id":"a","type":"location","location":{"latitude":1e999}}"#,
            0,
        ),
        (&deep, 0),
        (&deep_cards, 0),
    ];
    for (bad, broken) in cases {
        let shown = &bad[..bad.len().min(80)];
        let found = parsed(&format!("{GOOD},{bad},{GOOD}"));
        assert_eq!(found.broken.len(), broken, "{shown}");
        assert_eq!(found.items.len(), 3 - broken, "{shown}");
        let last = found.items.last().unwrap();
        assert_eq!(last.index, 2, "{shown}");
    }
}

#[test]
fn contacts_are_joined_by_id_among_many() {
    let contacts: Vec<String> = (0..50)
        .map(|n| format!(r#"{{"wa_id":"165055500{n:02}","user_id":"US.{n}","profile":{{"name":"Person {n}"}}}}"#))
        .collect();
    let messages: Vec<String> = (0..50)
        .rev()
        .map(|n| format!(r#"{{"from":"165055500{n:02}","id":"m{n}","text":{{"body":"hi"}}}}"#))
        .collect();
    let body = format!(
        r#"{{"entry":[{{"changes":[{{"value":{{"contacts":[{}],"messages":[{}]}}}}]}}]}}"#,
        contacts.join(","),
        messages.join(",")
    );
    let found = serde_json::to_value(meta::parse(body.as_bytes()).unwrap()).unwrap();
    let items = found["items"].as_array().unwrap();
    assert_eq!(items.len(), 50);
    for (item, n) in items.iter().zip((0..50).rev()) {
        assert_eq!(item["body"]["profileName"], format!("Person {n}"));
        assert_eq!(item["body"]["sender"]["userId"], format!("US.{n}"));
    }
}

#[test]
fn strangers_get_nobodys_name() {
    let body = r#"{"entry":[{"changes":[{"value":{
        "contacts":[{"wa_id":"16505550001","profile":{"name":"A"}},{"wa_id":"16505550002","profile":{"name":"B"}}],
        "messages":[{"from":"16505550003","id":"m","text":{"body":"hi"}}]}}]}]}"#;
    let found = serde_json::to_value(meta::parse(body.as_bytes()).unwrap()).unwrap();
    assert_eq!(found["items"][0]["body"]["profileName"], Value::Null);
}

#[test]
fn more_items_than_a_request_may_have_are_said_and_not_read() {
    let found = parsed(&vec![GOOD; 20_100].join(","));
    assert_eq!(found.items.len(), 20_000);
    assert_eq!(found.broken.len(), 1);
    assert!(found.broken[0].reason.contains("more items"));
}

#[test]
fn hostile_bodies_take_bounded_time() {
    const SIZE: usize = 4 * 1024 * 1024;
    let fill = |part: &str| part.repeat(SIZE / part.len());
    let long_list = |part: &str| format!("[{}{part}]", fill(&format!("{part},")));
    let in_changes = |list: &str| format!(r#"{{"entry":[{{"changes":{list}}}]}}"#);
    let contact = r#"{"wa_id":"16505551234","user_id":"US.1"}"#;
    let bodies = [
        fill("["),
        fill("{\"a\":"),
        fill("\\ud83d"),
        format!("\"{}\"", fill("\\ud83d")),
        format!(r#"{{"entry":{}}}"#, long_list("{}")),
        in_changes(&long_list("{}")),
        in_changes(&long_list(r#"{"value":{"a":1},"field":"x"}"#)),
        request(&fill("{},")).replace(",]", "]"),
        format!(
            r#"{{"entry":[{{"changes":[{{"value":{{"contacts":{},"messages":[{}]}}}}]}}]}}"#,
            long_list(contact),
            vec![GOOD; 5_000].join(",")
        ),
        request(&format!(
            r#"{{"from":"16505551234","id":"a","type":"order","order":{{"product_items":{}}}}}"#,
            long_list("[]")
        )),
    ];
    for body in bodies {
        let start = Instant::now();
        check(body.as_bytes());
        assert!(start.elapsed() < PATIENCE, "{}", &body[..100]);
    }
}

static EXAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    support::files("inbound")
        .into_iter()
        .map(|(_, body)| body)
        .filter(|body| !body.is_empty() && body.len() < 5_000)
        .collect()
});

static ANSWERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    support::files("errors")
        .into_iter()
        .map(|(_, fixture)| {
            let fixture: Value = serde_json::from_slice(&fixture).unwrap();
            serde_json::to_vec(&fixture["body"]).unwrap()
        })
        .collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes(body in proptest::collection::vec(any::<u8>(), 0..2_000), header in "\\PC{0,90}") {
        check(&body);
        let _ = meta::verify_signature(&body, &[&header], &[Secret::new("secret")]);
        let _ = meta::handshake(&String::from_utf8_lossy(&body), &Secret::new("token"));
        let _ = meta::interpret_send(&HttpOutcome::Response {
            status: 200,
            headers: http::HeaderMap::new(),
            body: body.into(),
        });
    }

    #[test]
    fn mutated_examples(
        index in any::<prop::sample::Index>(),
        mutations in proptest::collection::vec(mutation(), 1..12),
    ) {
        let mut body = EXAMPLES[index.index(EXAMPLES.len())].clone();
        for step in &mutations {
            mutate(&mut body, step);
        }
        check(&body);
    }

    #[test]
    fn mutated_answers(
        index in any::<prop::sample::Index>(),
        status in 100..600_u16,
        mutations in proptest::collection::vec(mutation(), 1..12),
    ) {
        let mut body = ANSWERS[index.index(ANSWERS.len())].clone();
        for step in &mutations {
            mutate(&mut body, step);
        }
        let answer = HttpOutcome::Response { status, headers: http::HeaderMap::new(), body: body.into() };
        let _ = meta::interpret_send(&answer);
        let _ = meta::interpret_check(&answer);
    }
}
