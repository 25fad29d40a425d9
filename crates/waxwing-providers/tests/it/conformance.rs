//! What every provider's adapter has to keep. A new adapter is one more entry of [`providers`].

use std::collections::HashSet;

use http::HeaderMap;
use proptest::prelude::*;
use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::content::Content;
use waxwing_core::errors::SendOutcome;
use waxwing_core::event::Route;
use waxwing_core::identity::{Bsuid, ProviderMessageId};
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;
use waxwing_providers::http::{HttpOutcome, HttpRequest};
use waxwing_providers::messaging::{Arrival, BuildError, Outgoing, Recipient, Recorded, adapter};

use crate::providers::{Provider, hello, inbound_only, providers, sendable};
use crate::twilio;

#[test]
fn adapters_are_found_by_their_kind() {
    for provider in providers() {
        let kind = provider.adapter.kind();
        assert_eq!(adapter(kind).kind(), kind);
        assert!(!provider.adapter.name().is_empty());
        let pace = provider.adapter.pace();
        assert!(pace.messages > 0 && pace.concurrency > 0 && !pace.per.is_zero());
    }
}

#[test]
fn only_who_has_the_secret_is_authentic() {
    for provider in providers() {
        let adapter = provider.adapter;
        let credentials = &provider.account.credentials;
        let authentic = |arrival: Arrival<'_>, credentials: &Credentials| {
            adapter.authentic(arrival, &provider.endpoints, credentials)
        };
        let secret = adapter.kind().webhook_credential();
        let wrong = Credentials::new().with(secret, Secret::new("somebody else's"));
        for genuine in &provider.genuine {
            let name = format!("{}: {}", adapter.name(), genuine.name);
            let arrival = genuine.arrival(&genuine.body);
            assert!(authentic(arrival, credentials), "{name}");
            assert!(!authentic(arrival, &wrong), "{name}");
            assert!(!authentic(arrival, &Credentials::new()), "{name}");
            let more = [genuine.body.as_slice(), b"&x=1"].concat();
            assert_eq!(
                authentic(genuine.arrival(&more), credentials),
                !provider.signs_body,
                "{name}"
            );
            let bare = HeaderMap::new();
            let bare = Arrival {
                headers: &bare,
                ..arrival
            };
            assert!(!authentic(bare, credentials), "{name}");
        }
    }
}

#[test]
fn a_first_look_names_the_places_of_all_items() {
    for provider in providers() {
        let mut named = 0;
        for genuine in &provider.genuine {
            let kept = provider.adapter.query_to_keep(genuine.query());
            let request = Recorded {
                query: &kept,
                body: &genuine.body,
            };
            let name = format!("{}: {}", provider.adapter.name(), genuine.name);
            let peeked = provider.adapter.peek(request);
            assert!(peeked.len() <= 64, "{name}");
            let distinct: HashSet<&Route> = peeked.iter().collect();
            assert_eq!(distinct.len(), peeked.len(), "{name}");
            let Ok(parsed) = provider.adapter.parse(request) else {
                assert_eq!(peeked, [], "{name}");
                continue;
            };
            let items = parsed.items.iter().map(|item| &item.route);
            let broken = parsed.broken.iter().map(|item| &item.route);
            for route in items.chain(broken) {
                let says_something = route.sender_id.is_some() || route.account_id.is_some();
                assert!(
                    !says_something || peeked.contains(route),
                    "{name}: {route:?}"
                );
                named += usize::from(says_something);
            }
        }
        assert!(named > 25, "{}", provider.adapter.name());
    }
}

#[test]
fn reading_is_repeatable_and_needs_no_more_of_the_query_than_was_kept() {
    for provider in providers() {
        let adapter = provider.adapter;
        for genuine in &provider.genuine {
            let name = format!("{}: {}", adapter.name(), genuine.name);
            let kept = adapter.query_to_keep(genuine.query());
            assert_eq!(adapter.query_to_keep(&kept), kept, "{name}");
            let parse = |query: &str| {
                adapter.parse(Recorded {
                    query,
                    body: &genuine.body,
                })
            };
            let parsed = parse(&kept);
            assert_eq!(parsed, parse(&kept), "{name}");
            assert_eq!(parsed, parse(genuine.query()), "{name}");
            let Ok(parsed) = parsed else { continue };
            let items = parsed.items.iter().map(|item| item.index);
            let broken = parsed.broken.iter().map(|item| item.index);
            let mut indexes: Vec<u32> = items.chain(broken).collect();
            indexes.sort_unstable();
            let count = u32::try_from(indexes.len()).unwrap();
            assert!(indexes.iter().copied().eq(0..count), "{name}");
        }
    }
}

fn send(provider: &Provider, to: &Recipient, content: &Content) -> Result<HttpRequest, BuildError> {
    let (adapter, account) = (provider.adapter, &provider.account);
    let need = adapter.asset(account, &provider.endpoints, content)?;
    if let Some(need) = &need {
        let again = adapter.asset(account, &provider.endpoints, content)?;
        assert_eq!(Some(&need.key), again.map(|need| need.key).as_ref());
        shows_no_secret(provider, &need.request);
    }
    let answers = ProviderMessageId::parse("message-1").unwrap();
    let message = Outgoing {
        to,
        content,
        reply_to: Some(&answers),
        callback: "attempt-1",
        asset: need.as_ref().map(|_| "HX1"),
    };
    adapter.build_send(account, &provider.endpoints, message)
}

/// Nothing that is logged of a request has a credential in it, and neither has its address.
fn shows_no_secret(provider: &Provider, request: &HttpRequest) {
    let shown = format!("{request:?} {} {:?}", request.url, provider.account);
    for (name, secret) in provider.account.credentials.iter() {
        assert!(!shown.contains(secret.expose()), "{name}");
    }
    for value in request.headers.values() {
        let hidden = value.is_sensitive();
        assert!(
            hidden || value == "application/json" || value == "application/x-www-form-urlencoded"
        );
    }
}

#[test]
fn every_content_is_built_or_refused() {
    let people = [
        Recipient::Phone(Phone::from_wa_id("447700900123").unwrap()),
        Recipient::UserId(Bsuid::parse("GB.1234567890123").unwrap()),
    ];
    for provider in providers() {
        let name = provider.adapter.name();
        for to in &people {
            for content in sendable(provider.template) {
                let kind = content.kind();
                let carried = !provider.not_carried.contains(&kind);
                match send(&provider, to, &content) {
                    Ok(request) => {
                        assert!(carried, "{name}: {kind}");
                        assert!(request.url.starts_with("https://"), "{name}: {kind}");
                        shows_no_secret(&provider, &request);
                    }
                    Err(BuildError::NotCarried { provider: said, .. }) => {
                        assert_eq!(said, name);
                        assert!(!carried, "{name}: {kind}");
                    }
                    Err(BuildError::NeedsPhone(_)) => {
                        assert!(matches!(to, Recipient::UserId(_)), "{name}: {kind}");
                    }
                    Err(error) => panic!("{name}: {kind}: {error}"),
                }
            }
            for content in inbound_only() {
                let error = send(&provider, to, &content).unwrap_err();
                assert_eq!(error, BuildError::NotSendable(content.kind()), "{name}");
            }
        }
    }
}

#[test]
fn every_kind_is_tried() {
    let mut kinds: Vec<&str> = sendable("x").iter().map(Content::kind).collect();
    kinds.extend(inbound_only().iter().map(Content::kind));
    assert_eq!(kinds.len(), 22);
    assert_eq!(kinds.iter().collect::<HashSet<_>>().len(), kinds.len());
}

#[test]
fn nothing_is_built_without_credentials_or_a_number() {
    let to = Recipient::Phone(Phone::from_wa_id("447700900123").unwrap());
    for mut provider in providers() {
        let name = provider.adapter.name();
        let hello = &hello();
        let credentials = std::mem::take(&mut provider.account.credentials);
        assert!(
            matches!(send(&provider, &to, hello), Err(BuildError::Credential(_))),
            "{name}"
        );
        assert!(
            provider
                .adapter
                .build_check(&provider.account, &provider.endpoints)
                .is_err()
        );
        provider.account.credentials = credentials;
        assert!(send(&provider, &to, hello).is_ok(), "{name}");
        for bad in ["", "../..", "a b", "?x=1"] {
            provider.account.sender_id = bad.into();
            assert!(
                matches!(send(&provider, &to, hello), Err(BuildError::Channel(_))),
                "{name}: {bad}"
            );
        }
    }
}

#[test]
fn reads_and_checks_show_no_secret() {
    let message = ProviderMessageId::parse("message-1").unwrap();
    for provider in providers() {
        let (adapter, account) = (provider.adapter, &provider.account);
        let check = adapter.build_check(account, &provider.endpoints).unwrap();
        shows_no_secret(&provider, &check);
        for typing in [false, true] {
            let read = adapter.build_read(account, &provider.endpoints, &message, typing);
            if let Some(read) = read.unwrap() {
                shows_no_secret(&provider, &read);
            }
        }
    }
}

#[test]
fn what_never_left_is_tried_again_and_what_may_have_left_is_not() {
    for provider in providers() {
        let adapter = provider.adapter;
        let not_sent = adapter.interpret_send(&HttpOutcome::NotSent("refused".into()));
        assert!(matches!(not_sent, SendOutcome::Retry { .. }));
        let answer = |status| HttpOutcome::Response {
            status,
            headers: HeaderMap::new(),
            body: "<html>".into(),
        };
        let doubtful = [
            HttpOutcome::Lost("reset".into()),
            HttpOutcome::TooLarge,
            answer(200),
            answer(302),
            answer(500),
            answer(502),
            answer(503),
            answer(504),
        ];
        for lost in doubtful {
            let outcome = adapter.interpret_send(&lost);
            assert!(
                matches!(outcome, SendOutcome::Unknown(_)),
                "{}: {lost:?}: {outcome:?}",
                adapter.name()
            );
        }
        let busy = adapter.interpret_send(&answer(429));
        assert!(matches!(busy, SendOutcome::Throttled { .. }));
    }
}

/// Bytes that look a little like what comes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "&",
        "=",
        "%",
        "%00",
        "%ff",
        "+",
        "null",
        "1e999",
        "AccountSid=AC1",
        "MessageSid=SM1",
        "From=whatsapp%3A%2B447700900123",
        "To=whatsapp%3A%2B15005550006",
        "Body=x",
        "MessageStatus=failed",
        "ErrorCode=63016",
        "FlowData=%7B",
        "Latitude=1",
        "Longitude=x",
        "\"code\":20429",
        "\"sid\":\"SM1\"",
        "\"entry\":[",
        "\"messages\":[",
        "\"error\":{",
        "\"senders\":[{",
        "payload=",
        "\"customerNumber\":\"447700900123\"",
        "\"integratedNumber\":\"15005550006\"",
        "\"direction\":\"1\"",
        "\"requestId\":\"r\"",
        "\"hasError\":true",
        "\"developer_message\":\"x\"",
        "\\ud83d",
        "\\u0000",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(words, 0..40).prop_map(|words| words.concat().into_bytes()),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_in_does_no_harm(
        body in bytes(),
        query in "[a-zA-Z0-9=&%+;/?#\u{e9}]{0,60}",
        signature in "[ -~]{0,60}",
        form in any::<bool>(),
    ) {
        let mut headers = HeaderMap::new();
        for name in [
            "x-twilio-signature",
            "x-hub-signature-256",
            "x-twilio-webhooks-signature-settings",
            "x-webhook-secret",
            "authorization",
        ] {
            headers.insert(name, signature.parse().unwrap());
        }
        if form {
            let kind = "application/x-www-form-urlencoded".parse().unwrap();
            headers.insert("content-type", kind);
        }
        for kind in ChannelKind::ALL {
            let adapter = adapter(kind);
            let kept = adapter.query_to_keep(&query);
            prop_assert!(kept.len() <= query.len());
            let request = Recorded { query: &kept, body: &body };
            let peeked = adapter.peek(request);
            if let Ok(parsed) = adapter.parse(request) {
                for item in &parsed.items {
                    let route = &item.route;
                    let says_something = route.sender_id.is_some() || route.account_id.is_some();
                    prop_assert!(!says_something || peeked.contains(route));
                }
            }
            let target = format!("/webhook?{query}");
            let arrival = Arrival { target: &target, headers: &headers, body: &body };
            let credentials = kind
                .credentials()
                .iter()
                .fold(Credentials::new(), |all, name| all.with(name, Secret::new("secret")));
            prop_assert!(!adapter.authentic(arrival, &twilio::endpoints(), &credentials));
        }
    }

    #[test]
    fn whatever_is_answered_does_no_harm(status in 0_u16..1_000, body in bytes()) {
        let answer = HttpOutcome::Response { status, headers: HeaderMap::new(), body: body.into() };
        for kind in ChannelKind::ALL {
            let adapter = adapter(kind);
            let outcome = adapter.interpret_send(&answer);
            if let SendOutcome::Accepted(_) = outcome {
                prop_assert!((200..300).contains(&status));
            }
            if let Err(outcome) = adapter.interpret_asset(&answer) {
                prop_assert!(!matches!(*outcome, SendOutcome::Unknown(_)));
            }
            let account = twilio::account();
            let check = adapter.interpret_check(&account, &answer);
            prop_assert!(!check.ok || (200..300).contains(&status));
        }
    }
}
