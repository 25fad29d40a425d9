//! Twilio's side of the wire.

mod fixtures;
mod sending;
mod webhooks;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::Value;
use waxwing_emulator::{Emulator, EmulatorConfig, Phone, StatusTiming, TwilioNumber, User};

use crate::client;
use crate::receiver::{Hook, Receiver};

const ACCOUNT: &str = concat!("AC", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
const TOKEN: &str = "waxwingtestauthtoken000000000001";
const SENDER: &str = "whatsapp:+15005550006";
const ADA: &str = "447700900123";
const TO: &str = "whatsapp:+447700900123";

fn number(receiver: &Receiver) -> TwilioNumber {
    TwilioNumber {
        webhook_url: Some(receiver.url()),
        ..TwilioNumber::default()
    }
}

async fn start(config: EmulatorConfig, number: TwilioNumber) -> Emulator {
    let emulator = Emulator::start(config).await.unwrap();
    emulator.add_number(number);
    emulator
}

fn ada(emulator: &Emulator) -> Phone {
    emulator
        .phone(SENDER, User::with_phone(ADA, "Ada Lovelace"))
        .unwrap()
}

/// The day of the fixtures, so that their dates are near.
fn fixed_clock() -> waxwing_emulator::WallClock {
    let now = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_248_000);
    std::sync::Arc::new(move || now)
}

fn read_too() -> EmulatorConfig {
    EmulatorConfig {
        timing: StatusTiming {
            read: Some(waxwing_emulator::Delay::millis(2, 4)),
            ..StatusTiming::default()
        },
        ..EmulatorConfig::default()
    }
}

async fn call(
    emulator: &Emulator,
    method: &str,
    path: &str,
    body: Option<String>,
    json: bool,
) -> reqwest::Result<(u16, Value)> {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = client()
        .request(method, format!("{}{path}", emulator.url()))
        .basic_auth(ACCOUNT, Some(TOKEN));
    if let Some(body) = body {
        let kind = if json {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        request = request.header("content-type", kind).body(body);
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await?;
    Ok((
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    ))
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// Sends a message of the sender to Ada with some more fields.
async fn send(emulator: &Emulator, fields: &[(&str, &str)]) -> reqwest::Result<(u16, Value)> {
    let mut all = vec![("To", TO), ("From", SENDER)];
    all.extend_from_slice(fields);
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    call(emulator, "POST", &path, Some(form(&all)), false).await
}

async fn get(emulator: &Emulator, path: &str) -> (u16, Value) {
    call(emulator, "GET", path, None, false).await.unwrap()
}

async fn message(emulator: &Emulator, sid: &str) -> Value {
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json");
    get(emulator, &path).await.1
}

/// Computes a signature from the description of it: the address, then names and values sorted.
fn signature(algorithm: hmac::Algorithm, secret: &str, url: &str, hook: &Hook) -> String {
    let mut text = url.to_owned();
    for (name, value) in hook.form() {
        text.push_str(&name);
        text.push_str(&value);
    }
    STANDARD.encode(hmac::sign(
        &hmac::Key::new(algorithm, secret.as_bytes()),
        text.as_bytes(),
    ))
}

fn header<'a>(hook: &'a Hook, name: &str) -> &'a str {
    hook.headers.get(name).map_or("", |v| v.to_str().unwrap())
}

fn statuses(receiver: &Receiver) -> Vec<String> {
    receiver
        .hooks()
        .iter()
        .filter_map(|hook| hook.form().get("MessageStatus").cloned())
        .collect()
}

const SOON: Duration = Duration::from_secs(20);
