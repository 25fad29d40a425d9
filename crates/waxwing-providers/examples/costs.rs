//! What the pure functions cost on this machine: `cargo run --release -p waxwing-providers --example costs`.

use std::hint::black_box;
use std::time::Instant;

use waxwing_core::channel::{Credentials, credential};
use waxwing_core::content::{Button, Content, Frame};
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::meta::Meta;
use waxwing_providers::messaging::{
    Account, Arrival, Endpoints, Messaging as _, Outgoing, Recipient, Recorded,
};

const ROUNDS: u32 = 20_000;
const RUNS: usize = 5;

#[expect(clippy::print_stdout, reason = "the example is there to print")]
fn cost(name: &str, mut work: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            work();
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:28} {:8.2} us", best * 1e6 / f64::from(ROUNDS));
}

fn main() {
    let body = br#"{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","phone_number_id":"106540352242922"},"contacts":[{"profile":{"name":"Sheena Nelson"},"wa_id":"16505551234"}],"messages":[{"from":"16505551234","id":"wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=","timestamp":"1795219200","type":"text","text":{"body":"What is my balance?"}}]},"field":"messages"}]}]}"#;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"0123456789abcdef0123456789abcdef");
    let header = format!("sha256={}", hex::encode(ring::hmac::sign(&key, body)));
    let mut headers = http::HeaderMap::new();
    headers.insert(
        "x-hub-signature-256",
        header.parse().expect("hexadecimal digits"),
    );
    let arrival = Arrival {
        target: "/whatsapp/webhook",
        headers: &headers,
        body,
    };
    let request = Recorded { query: "", body };
    let endpoints = Endpoints::default();
    let secret = Secret::new("0123456789abcdef0123456789abcdef");
    let account = Account {
        sender_id: "106540352242922".into(),
        account_id: None,
        credentials: Credentials::new()
            .with(credential::APP_SECRET, secret)
            .with(credential::ACCESS_TOKEN, Secret::new("EAAJB-test-token")),
    };
    cost("authentic", || {
        black_box(Meta.authentic(black_box(arrival), &endpoints, &account.credentials));
    });
    cost("peek", || {
        black_box(Meta.peek(black_box(request)));
    });
    cost("parse, one message", || {
        black_box(Meta.parse(black_box(request)).is_ok());
    });
    let phone = Phone::from_wa_id("16505551234").expect("a phone number");
    let to = Recipient::Phone(phone);
    let content = Content::InteractiveButton {
        frame: Frame::default(),
        body: "How can we help you today?".into(),
        buttons: ["Balance", "Cards", "Other"]
            .into_iter()
            .map(|title| Button {
                id: title.to_lowercase(),
                title: title.into(),
            })
            .collect(),
    };
    cost("build_send, three buttons", || {
        let message = Outgoing {
            to: &to,
            content: black_box(&content),
            reply_to: None,
            callback: "1.attempt",
            asset: None,
        };
        black_box(Meta.build_send(&account, &endpoints, message).is_ok());
    });
    let answer = HttpOutcome::Response {
        status: 200,
        headers: http::HeaderMap::new(),
        body: r#"{"messaging_product":"whatsapp","contacts":[{"input":"+16505551234","wa_id":"16505551234"}],"messages":[{"id":"wamid.HBgLMTY1MDU1NTEyMzQVAgARGBJEQzA="}]}"#.into(),
    };
    cost("interpret_send", || {
        black_box(Meta.interpret_send(black_box(&answer)));
    });
}
