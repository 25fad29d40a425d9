//! The emulator seen from outside: over its HTTP surface and through the webhooks it posts.

#![expect(
    clippy::unwrap_used,
    reason = "a failed helper fails the test that called it"
)]
#![expect(
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "tables and stories are read from top to bottom"
)]

mod dialog360;
mod faults;
mod graph;
mod msg91;
mod phone;
mod receiver;
mod send;
mod twilio;
mod webhooks;

use std::time::Duration;

use serde_json::{Value, json};
use waxwing_emulator::{Emulator, EmulatorConfig, NumberConfig};

/// Long enough for a loaded machine; every wait ends on a condition.
const DEADLINE: Duration = Duration::from_secs(20);
const NUMBER: &str = "106540352242922";
const WABA: &str = "102290129340398";
const TOKEN: &str = "EAAJB-test-token";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

/// An emulator with the default number, whose webhooks go to `webhook`.
async fn start(config: EmulatorConfig, webhook: Option<String>) -> Emulator {
    let emulator = Emulator::start(config).await.unwrap();
    emulator.add_number(NumberConfig {
        webhook_url: webhook,
        ..NumberConfig::default()
    });
    emulator
}

fn text(to: &str, body: &str) -> Value {
    json!({ "messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "text",
            "text": { "body": body } })
}

async fn post(emulator: &Emulator, path: &str, body: &Value) -> reqwest::Result<(u16, Value)> {
    let request = client()
        .post(format!("{}{path}", emulator.url()))
        .bearer_auth(TOKEN)
        .json(body);
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

async fn send(emulator: &Emulator, body: &Value) -> reqwest::Result<(u16, Value)> {
    post(emulator, &format!("/v25.0/{NUMBER}/messages"), body).await
}

async fn get(emulator: &Emulator, path: &str) -> (u16, Value) {
    let answer = client()
        .get(format!("{}{path}", emulator.url()))
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap();
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or(Value::Null),
    )
}

fn id(answer: &Value) -> String {
    answer["messages"][0]["id"].as_str().unwrap().to_owned()
}
