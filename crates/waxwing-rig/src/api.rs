//! Calls of the server's HTTP API.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{self, Client};
use crate::server::ADMIN_TOKEN;
use crate::{Outcome, meta};

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A message as the API shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its conversation.
    pub conversation_id: String,
    /// `IN` or `OUT`.
    pub direction: String,
    /// What a person reads.
    pub body: Option<String>,
    /// Where it stands.
    pub status: String,
    /// The provider's id.
    pub provider_message_id: Option<String>,
    /// The caller's key.
    pub idempotency_key: Option<String>,
    /// Who it is for.
    pub to: Option<String>,
    /// Who it is from.
    pub from: Option<String>,
    /// What went wrong.
    pub error: Option<MessageError>,
    /// Nobody knows whether it was sent.
    pub outcome_unknown: bool,
    /// It was sent twice on purpose.
    #[serde(default)]
    pub may_be_duplicate: bool,
    /// The template it comes from.
    pub template_key: Option<String>,
}

/// What went wrong with a message.
#[derive(Debug, Clone, Deserialize)]
pub struct MessageError {
    /// What it means.
    pub class: String,
    /// In words.
    pub message: String,
}

/// The API of a server.
#[derive(Debug)]
pub struct Api {
    client: Client,
}

impl Api {
    /// The API at an address.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            client: Client::new(address, TIMEOUT),
        }
    }

    /// One call, not repeated.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<(u16, Value)> {
        let request = request(method, path, body);
        let answer = self
            .client
            .call(&request)
            .await
            .map_err(|error| format!("{method} {path}: {error}"))?;
        let value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok((answer.status, value))
    }

    /// A call that must succeed with this status.
    ///
    /// # Errors
    /// When it does not.
    pub async fn expect(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        status: u16,
    ) -> Outcome<Value> {
        let (got, value) = self.call(method, path, body).await?;
        if got == status {
            Ok(value)
        } else {
            Err(format!("{method} {path} answered {got}: {value}"))
        }
    }

    /// Registers the tenant of a number; gives its id.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn register(&mut self, number: usize, secret: Option<&str>) -> Outcome<String> {
        let mut body = json!({
            "name": format!("Tenant {number}"),
            "phoneNumberId": meta::phone_number_id(number),
            "wabaId": meta::waba_id(number),
            "accessToken": access_token(number),
        });
        if let Some(secret) = secret {
            body["appSecret"] = json!(secret);
        }
        let answer = self
            .expect("POST", "/tenants/register", Some(&body), 201)
            .await?;
        let tenant = &answer["tenant"];
        let (Some(id), Some(channel)) = (tenant["id"].as_str(), tenant["channel"]["id"].as_str())
        else {
            return Err(format!("the registered tenant has no id: {answer}"));
        };
        // The rig measures the server; the provider of these numbers takes what comes.
        let path = format!("/api/tenants/{id}/channels/{channel}");
        let limits = json!({"limits": {"messagesPerSecond": 100_000, "contactBurst": 1_000_000}});
        self.expect("PATCH", &path, Some(&limits), 200).await?;
        Ok(id.to_owned())
    }

    /// Sets how fast the oldest channel of a tenant sends; `None` is the provider's usual.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn pace(&mut self, tenant: &str, messages_per_second: Option<u32>) -> Outcome<()> {
        let path = format!("/api/tenants/{tenant}/channels");
        let list = self.expect("GET", &path, None, 200).await?;
        let Some(channel) = list["channels"][0]["id"].as_str() else {
            return Err(format!("the tenant has no channel: {list}"));
        };
        let path = format!("{path}/{channel}");
        let limits = json!({"limits": {"messagesPerSecond": messages_per_second}});
        self.expect("PATCH", &path, Some(&limits), 200)
            .await
            .map(drop)
    }

    /// All messages of a tenant that fit a query (`&status=queued`), the latest first.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub async fn messages(&mut self, tenant: &str, query: &str) -> Outcome<Vec<Message>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/tenants/{tenant}/messages?limit=200{query}{cursor}");
            let mut page = self.expect("GET", &path, None, 200).await?;
            let rows: Vec<Message> = serde_json::from_value(page["messages"].take())
                .map_err(|error| format!("GET {path}: {error}"))?;
            all.extend(rows);
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// One message, with its attempts.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn message(&mut self, tenant: &str, id: &str) -> Outcome<Value> {
        let path = format!("/api/tenants/{tenant}/messages/{id}");
        let mut answer = self.expect("GET", &path, None, 200).await?;
        Ok(answer["message"].take())
    }
}

/// The access token of a number.
#[must_use]
pub fn access_token(number: usize) -> String {
    format!("EAARIG{number:05}")
}

/// A request of the platform admin.
#[must_use]
pub fn request(method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
    let authorization = format!("Bearer {ADMIN_TOKEN}");
    let text = body.map(Value::to_string).unwrap_or_default();
    let mut headers = vec![("authorization", authorization.as_str())];
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    http::request(method, path, &headers, text.as_bytes())
}
