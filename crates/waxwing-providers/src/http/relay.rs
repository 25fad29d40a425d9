//! Calls of other libraries (the object store) through the one outbound client.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;

use super::{HttpClient, reason};

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a relayed call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// Surely nothing was sent.
    #[error("not sent: {0}")]
    NotSent(String),
    /// Bytes may have left.
    #[error("{0}")]
    Lost(String),
}

/// The body of a relayed answer.
pub type RelayBody = BoxBody<Bytes, std::io::Error>;

impl HttpClient {
    /// Makes a call as it is, once, to an address that the operator named. The answer is not limited: whoever reads it
    /// piece by piece decides.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub async fn relay<B>(
        &self,
        request: http::Request<B>,
    ) -> Result<http::Response<RelayBody>, RelayError>
    where
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|_| RelayError::NotSent("the URL is not an HTTP URL".to_owned()))?;
        let client = self.half(url.scheme()).await.map_err(RelayError::NotSent)?;
        let mut call = reqwest::Request::new(parts.method, url);
        *call.headers_mut() = parts.headers;
        *call.body_mut() = Some(reqwest::Body::wrap(body));
        let response = tokio::time::timeout(PATIENCE, client.execute(call))
            .await
            .map_err(|_| RelayError::Lost("no answer within the time limit".to_owned()))?
            .map_err(|error| {
                if error.is_connect() || error.is_builder() {
                    RelayError::NotSent(reason(&error))
                } else {
                    RelayError::Lost(reason(&error))
                }
            })?;
        let response: http::Response<reqwest::Body> = response.into();
        Ok(response.map(|body| {
            body.map_err(|error| std::io::Error::other(reason(&error)))
                .boxed()
        }))
    }
}
