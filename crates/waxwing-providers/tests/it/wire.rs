//! Meta's adapter, called as the tests like it.

use http::{HeaderMap, HeaderValue};
use waxwing_core::channel::{Credentials, credential};
use waxwing_core::content::Content;
use waxwing_core::errors::SendOutcome;
use waxwing_core::event::{Parsed, Route};
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::secret::Secret;
use waxwing_providers::http::{HttpOutcome, HttpRequest};
pub use waxwing_providers::messaging::meta::{Handshake, Meta, handshake};
pub use waxwing_providers::messaging::{
    Account, Arrival, BuildError, ChannelCheck, Endpoints, Messaging, Outgoing, Recipient,
    Recorded, Unreadable,
};

fn recorded(body: &[u8]) -> Recorded<'_> {
    Recorded { query: "", body }
}

pub fn parse(body: &[u8]) -> Result<Parsed, Unreadable> {
    Meta.parse(recorded(body))
}

pub fn peek_routes(body: &[u8]) -> Vec<Route> {
    Meta.peek(recorded(body))
}

/// Which of the secrets signed the body.
pub fn verify_signature(body: &[u8], values: &[&str], secrets: &[Secret]) -> Option<usize> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(
            "x-hub-signature-256",
            HeaderValue::from_bytes(value.as_bytes()).ok()?,
        );
    }
    let arrival = Arrival {
        target: "/whatsapp/webhook",
        headers: &headers,
        body,
    };
    secrets.iter().position(|secret| {
        let credentials = Credentials::new().with(credential::APP_SECRET, secret.clone());
        Meta.authentic(arrival, &Endpoints::default(), &credentials)
    })
}

/// A number, its token, and where the Graph API is.
#[derive(Debug, Clone)]
pub struct ChannelConfig {
    pub phone_number_id: String,
    pub access_token: Secret,
    pub graph_url: String,
    pub api_version: String,
}

impl ChannelConfig {
    fn parts(&self) -> (Account, Endpoints) {
        let account = Account {
            sender_id: self.phone_number_id.clone(),
            account_id: None,
            credentials: Credentials::new()
                .with(credential::ACCESS_TOKEN, self.access_token.clone()),
        };
        let endpoints = Endpoints {
            graph_url: self.graph_url.clone(),
            graph_version: self.api_version.clone(),
            ..Endpoints::default()
        };
        (account, endpoints)
    }
}

pub fn build_send(
    config: &ChannelConfig,
    to: &Recipient,
    content: &Content,
    reply_to: Option<&ProviderMessageId>,
    callback: &str,
) -> Result<HttpRequest, BuildError> {
    let (account, endpoints) = config.parts();
    let message = Outgoing {
        to,
        content,
        reply_to,
        callback,
        asset: None,
    };
    Meta.build_send(&account, &endpoints, message)
}

pub fn interpret_send(answer: &HttpOutcome) -> SendOutcome {
    Meta.interpret_send(answer)
}

pub fn build_check(config: &ChannelConfig) -> Result<HttpRequest, BuildError> {
    let (account, endpoints) = config.parts();
    Meta.build_check(&account, &endpoints)
}

pub fn interpret_check(answer: &HttpOutcome) -> ChannelCheck {
    let config = ChannelConfig {
        phone_number_id: "1".to_owned(),
        access_token: Secret::new("token"),
        graph_url: String::new(),
        api_version: String::new(),
    };
    Meta.interpret_check(&config.parts().0, answer)
}
