//! The API of a running server, for the commands that speak to one.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use waxwing_core::secret::Secret;
use waxwing_providers::http::{HttpClient, HttpLimits, HttpOutcome, HttpRequest};

use crate::failure::Failure;
use crate::master_key::MasterKey;
use crate::settings::Settings;

/// A little longer than the API takes at most.
const DEADLINE: Duration = Duration::from_secs(35);
/// Lists of the API have at most this many pages here.
const PAGES_MAX: usize = 100;

/// Speaks to a server as the platform admin.
pub struct Client {
    http: HttpClient,
    /// Where it is, without a slash at the end.
    pub base: String,
    authorization: HeaderValue,
}

impl Client {
    /// The server that is named, else the one of `PUBLIC_URL`, else that of this machine.
    ///
    /// # Errors
    /// When there is no token to speak with.
    pub fn new(settings: &Settings, server: Option<&str>) -> Result<Self, Failure> {
        let local = || format!("http://127.0.0.1:{}", settings.port);
        let base = server
            .map(str::to_owned)
            .or_else(|| settings.public_url.clone())
            .unwrap_or_else(local);
        let token = match &settings.admin_token {
            Some(token) => token.clone(),
            None => MasterKey::existing(settings)?.ok_or_else(|| {
                Failure::setting("ADMIN_TOKEN is not set, and there is no master key of a development server here: set ADMIN_TOKEN to the server's")
            })?,
        };
        Self::with_token(&base, &token)
    }

    /// A server and the token of its admin.
    ///
    /// # Errors
    /// When the token cannot be a header.
    pub fn with_token(base: &str, token: &Secret) -> Result<Self, Failure> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| Failure::setting("ADMIN_TOKEN cannot be put into a header"))?;
        authorization.set_sensitive(true);
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self {
            http: HttpClient::new(HttpLimits::default()),
            base,
            authorization,
        })
    }

    /// Reads.
    ///
    /// # Errors
    /// What the server says.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// Makes or does something.
    ///
    /// # Errors
    /// What the server says.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Does something that needs no more than to be named.
    ///
    /// # Errors
    /// What the server says.
    pub async fn act(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::POST, path, None).await
    }

    /// Puts something in its place.
    ///
    /// # Errors
    /// What the server says.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Changes a part of something.
    ///
    /// # Errors
    /// What the server says.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// Takes something away.
    ///
    /// # Errors
    /// What the server says.
    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None).await
    }

    /// All of a list, page by page.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list(&self, path: &str, name: &str) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let mut page = self.get(&format!("{path}?limit=200{cursor}")).await?;
            if let Some(items) = page[name].as_array_mut() {
                all.append(items);
            }
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        Ok(all)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = HttpRequest {
            method,
            url: format!("{}{path}", self.base),
            headers,
            body: body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())),
        };
        let base = &self.base;
        match self.http.call(request, DEADLINE).await {
            HttpOutcome::Response { status, body, .. } => {
                let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
                if (200..300).contains(&status) {
                    Ok(answer)
                } else {
                    Err(refused(base, status, &answer))
                }
            }
            HttpOutcome::NotSent(reason) => Err(Failure::new(format!(
                "no server answers at {base} ({reason}): start one with `waxwing serve`, or name another one with --server"
            ))),
            HttpOutcome::Lost(reason) => Err(Failure::new(format!(
                "{base} gave no whole answer ({reason}): look there before you try again"
            ))),
            HttpOutcome::TooLarge => {
                Err(Failure::new(format!("the answer of {base} is too large")))
            }
        }
    }
}

/// The server's own words, with the fields and the hint.
fn refused(base: &str, status: u16, answer: &Value) -> Failure {
    let mut text = match answer["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("{base} answered {status}; is it a waxwing?"),
    };
    for detail in answer["details"].as_array().into_iter().flatten() {
        let part = |name: &str| detail[name].as_str().unwrap_or_default();
        text.push_str(&format!("\n  {}: {}", part("field"), part("message")));
    }
    if let Some(hint) = answer["hint"].as_str() {
        text.push_str(&format!("\n  {hint}"));
    }
    if let Some(id) = answer["existing"]["id"].as_str() {
        text.push_str(&format!("\n  It is {id}."));
    }
    if status == 401 {
        text.push_str(&format!(
            "\n  The ADMIN_TOKEN here is not the one of the server at {base}."
        ));
    }
    Failure::new(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_are_told_in_the_words_of_the_server() {
        let answer = json!({
            "error": "Unprocessable Entity", "message": "The request is not valid.",
            "details": [{"field": "to", "message": "is missing"}], "hint": "Give a number.",
        });
        let told = refused("http://a", 422, &answer).text;
        assert_eq!(
            told,
            "The request is not valid.\n  to: is missing\n  Give a number."
        );
        assert!(
            refused("http://a", 404, &Value::Null)
                .text
                .contains("is it a waxwing?")
        );
        assert!(
            refused("http://a", 401, &json!({"message": "No."}))
                .text
                .contains("ADMIN_TOKEN")
        );
    }
}
