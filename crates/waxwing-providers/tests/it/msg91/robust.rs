//! Whatever comes: no panic, bounded work.

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::Messaging;
use waxwing_providers::messaging::msg91::Msg91;

use super::{account, event, parse, recorded, webhooks};
use crate::mutation::{mutate, mutation};
use crate::support;

fn check(body: &[u8]) {
    let _ = Msg91.peek(recorded(body));
    if let Ok(parsed) = Msg91.parse(recorded(body)) {
        let good = parsed.items.iter().map(|item| item.index);
        let mut all: Vec<u32> = good
            .chain(parsed.broken.iter().map(|item| item.index))
            .collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..u32::try_from(all.len()).unwrap()));
        assert_eq!(Msg91.parse(recorded(body)).unwrap(), parsed);
    }
}

fn examples() -> Vec<Vec<u8>> {
    let answers = support::files("msg91/responses")
        .into_iter()
        .map(|(_, answer)| {
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            answer["json"].to_string().into_bytes()
        });
    webhooks()
        .into_iter()
        .map(|(_, fixture)| fixture["request"]["body"].as_str().unwrap().into())
        .chain(answers)
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

#[test]
fn hostile_bodies_take_bounded_time() {
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let fields = "customerNumber=447700900123&".repeat(50_000);
    let inner = vec![r#"{"type":"text"}"#; 50_000].join(",");
    for body in [
        deep.clone(),
        event(&json!({"messages": deep, "text": "hi"})),
        event(&json!({"messages": format!("[{inner}]")})),
        fields,
        format!("payload={}", "%5B".repeat(100_000)),
    ] {
        let start = std::time::Instant::now();
        check(body.as_bytes());
        assert!(start.elapsed().as_secs() < 20, "{}", &body[..60]);
    }
}

#[test]
fn many_events_and_numbers_are_bounded() {
    let many = format!(
        "[{}]",
        vec![event(&json!({"text": "hi"})); 20_100].join(",")
    );
    let parsed = parse(&many);
    assert_eq!((parsed.items.len(), parsed.broken.len()), (20_000, 1));
    let numbers: Vec<String> = (0..200)
        .map(|n| event(&json!({"integratedNumber": format!("15005551{n:03}")})))
        .collect();
    let body = format!("[{}]", numbers.join(","));
    assert_eq!(Msg91.peek(recorded(body.as_bytes())).len(), 64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

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
        let _ = Msg91.interpret_send(&answer);
        let _ = Msg91.interpret_check(&account(), &answer);
    }

    #[test]
    fn any_text_is_survived(body in "\\PC{0,300}", words in "\\PC{0,80}") {
        check(body.as_bytes());
        check(event(&json!({"text": words, "messages": body, "ts": words, "reason": body})).as_bytes());
    }
}
