//! Twilio's adapter against the fixtures of `fixtures/twilio` (its manifest is in the protocol notes).

mod inbound;
mod lookup;
mod media;
mod outcome;
mod send;
mod signature;

use http::{HeaderMap, HeaderName};
use serde_json::Value;
use waxwing_core::channel::{Credentials, credential};
use waxwing_core::secret::Secret;
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::{Account, Endpoints};

use crate::support;

pub const PUBLIC_URL: &str = "https://waxwing.example.com";
pub const ACCOUNT: &str = concat!("AC", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
pub const TOKEN: &str = "waxwingtestauthtoken000000000001";

/// A webhook as it arrives.
pub struct Webhook {
    pub name: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub fixture: Value,
}

impl Webhook {
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

pub fn header_map(fixture: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fixture.as_object().unwrap() {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, value.as_str().unwrap().parse().unwrap());
    }
    headers
}

pub fn webhooks() -> Vec<Webhook> {
    let files = support::files("twilio/webhooks");
    assert_eq!(files.len(), 59);
    files
        .into_iter()
        .map(|(name, file)| {
            let fixture: Value = serde_json::from_slice(&file).unwrap();
            assert_eq!(fixture["auth_token"], TOKEN, "{name}");
            let request = &fixture["request"];
            let url = request["url"].as_str().unwrap();
            Webhook {
                name,
                target: url.strip_prefix(PUBLIC_URL).unwrap().to_owned(),
                headers: header_map(&request["headers"]),
                body: request["body"].as_str().unwrap().as_bytes().to_vec(),
                fixture,
            }
        })
        .collect()
}

/// The answer of a file of `rest`.
pub fn answer(fixture: &Value) -> HttpOutcome {
    let response = &fixture["response"];
    let body = match response["raw"].as_str() {
        Some(raw) => raw.as_bytes().to_vec(),
        None => serde_json::to_vec(&response["json"]).unwrap(),
    };
    HttpOutcome::Response {
        status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
        headers: header_map(&response["headers"]),
        body: body.into(),
    }
}

pub fn rest(name: &str) -> Value {
    support::json(&format!("twilio/rest/{name}.json"))
}

pub fn account() -> Account {
    Account {
        sender_id: format!("{ACCOUNT}/+15005550006"),
        account_id: Some(ACCOUNT.to_owned()),
        credentials: Credentials::new().with(credential::AUTH_TOKEN, Secret::new(TOKEN)),
    }
}

pub fn endpoints() -> Endpoints {
    Endpoints {
        public_url: Some(PUBLIC_URL.to_owned()),
        ..Endpoints::default()
    }
}
