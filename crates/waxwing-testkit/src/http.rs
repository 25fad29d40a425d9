//! A client for the API of the server under test.

use serde_json::Value;

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body as JSON; `Null` when it is none.
    pub body: Value,
    /// The body as text.
    pub text: String,
    /// The body as it came.
    pub bytes: Vec<u8>,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// `Retry-After`, when there.
    pub retry_after: Option<String>,
}

/// Calls the API with the admin token.
#[derive(Debug, Clone)]
pub struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Api {
    pub(crate) fn new(base: &str, token: &str) -> Self {
        // The client asks for a provider even where it only speaks plain http. A second install changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client without TLS builds");
        Self {
            client,
            base: base.to_owned(),
            token: token.to_owned(),
        }
    }

    /// The same server with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// The address of the server.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The admin token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// GET with the admin token.
    pub async fn get(&self, path: &str) -> Answer {
        self.answer(self.client.get(self.url(path)).bearer_auth(&self.token))
            .await
    }

    /// POST of JSON with the admin token.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.answer(
            self.client
                .post(self.url(path))
                .bearer_auth(&self.token)
                .json(body),
        )
        .await
    }

    /// PATCH of JSON with the admin token.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.answer(
            self.client
                .patch(self.url(path))
                .bearer_auth(&self.token)
                .json(body),
        )
        .await
    }

    /// DELETE with the admin token.
    pub async fn delete(&self, path: &str) -> Answer {
        self.answer(self.client.delete(self.url(path)).bearer_auth(&self.token))
            .await
    }

    /// POST of a webhook with a signature.
    pub async fn webhook(&self, body: &[u8], signature: &str) -> Answer {
        let request = self
            .client
            .post(self.url("/whatsapp/webhook"))
            .header("x-hub-signature-256", signature);
        self.answer(
            request
                .header("content-type", "application/json")
                .body(body.to_vec()),
        )
        .await
    }

    /// A request of the test's own making.
    pub async fn send(
        &self,
        make: impl FnOnce(&reqwest::Client, &str) -> reqwest::RequestBuilder,
    ) -> Answer {
        self.answer(make(&self.client, &self.base)).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the server answers");
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .map(ToOwned::to_owned);
        let headers = response.headers().clone();
        let bytes = response
            .bytes()
            .await
            .expect("the answer is whole")
            .to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer {
            status,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
            bytes,
            headers,
            retry_after,
        }
    }
}
