//! The one error of the API and its documented body.

use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use waxwing_core::content::Violation;
use waxwing_store::StoreError;

/// What handlers return.
pub type ApiResult<T> = Result<T, ApiError>;

/// How long a caller should wait when the database is away or busy.
const STORE_RETRY: Duration = Duration::from_secs(2);

/// An error with its answer. Texts are for the caller: they never hold a driver's words, a secret or a phone number.
pub struct ApiError(Box<Inner>);

struct Inner {
    status: StatusCode,
    message: String,
    details: Vec<Violation>,
    hint: Option<String>,
    retry_after: Option<Duration>,
    existing: Option<serde_json::Value>,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The name of the status, such as `Conflict`.
    #[schema(example = "Conflict")]
    pub error: String,
    /// What is wrong.
    pub message: String,
    /// The fields that are wrong; empty when no field is to blame.
    pub details: Vec<ErrorDetail>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// With a used idempotency key: the message that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub existing: Option<serde_json::Value>,
}

/// A field that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// The path of the field, such as `buttons[0].title`.
    #[schema(example = "buttons[0].title")]
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl ApiError {
    /// An error with a status and a message.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            message: message.into(),
            details: Vec::new(),
            hint: None,
            retry_after: None,
            existing: None,
        }))
    }

    /// 400: the request cannot be read.
    #[must_use]
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400: one field of the request cannot be read.
    #[must_use]
    pub fn malformed_field(field: &str, message: &str) -> Self {
        Self::malformed(format!("`{field}` {message}.")).field(field, message)
    }

    /// 401: no credential, or one that is not known.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "A valid credential is needed.")
    }

    /// 403: known, but not allowed.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404. The same for an id that is malformed, unknown, or another tenant's.
    #[must_use]
    pub fn not_found(kind: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("There is no such {kind}."))
    }

    /// 409: something with the same key exists.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 409: a field has a value that is used.
    #[must_use]
    pub fn conflict_field(field: &str, message: &str) -> Self {
        let mut error = Self::conflict(format!("`{field}` {message}."));
        error.0.details.push(Violation::new(field, message));
        error
    }

    /// 413: the body is longer than `bytes`.
    #[must_use]
    pub fn too_large(bytes: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body is longer than {bytes} bytes."),
        )
    }

    /// 415: the body has another type than the route takes.
    #[must_use]
    pub fn unsupported_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// 422: readable, but these fields are wrong.
    #[must_use]
    pub fn invalid(details: Vec<Violation>) -> Self {
        let message = match details.as_slice() {
            [] => "The request is not valid.".to_owned(),
            [only] => format!("`{}` {}.", only.field, only.message),
            [first, rest @ ..] => {
                format!(
                    "`{}` {}, and {} more.",
                    first.field,
                    first.message,
                    rest.len()
                )
            }
        };
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, message);
        error.0.details = details;
        error
    }

    /// 422 for one field.
    #[must_use]
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(vec![Violation::new(field, message)])
    }

    /// 429: the caller is too fast.
    #[must_use]
    pub fn throttled(after: Duration) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests.");
        error.0.retry_after = Some(after);
        error
    }

    /// 503: works again later.
    #[must_use]
    pub fn unavailable(message: impl Into<String>, after: Duration) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, message);
        error.0.retry_after = Some(after);
        error
    }

    /// 500. What went wrong belongs in the log.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong inside.",
        )
        .hint("The log of the server has more under the request id of this answer.")
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names a field, with what is wrong with it.
    #[must_use]
    pub fn field(mut self, field: &str, message: &str) -> Self {
        self.0.details.push(Violation::new(field, message));
        self
    }

    /// Adds the resource that exists already, under `existing`.
    #[must_use]
    pub fn existing(mut self, resource: serde_json::Value) -> Self {
        self.0.existing = Some(resource);
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The fields that are wrong.
    #[must_use]
    pub fn details(&self) -> &[Violation] {
        &self.0.details
    }
}

/// Without `existing`, which may hold personal data.
impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.0.status)
            .field("message", &self.0.message)
            .field("details", &self.0.details)
            .finish_non_exhaustive()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let away = |message: &str| Self::unavailable(message, STORE_RETRY);
        match &error {
            StoreError::Conflict { constraint } => {
                tracing::debug!(constraint, "the request meets an existing row");
                Self::conflict("Something with the same key exists already.")
            }
            StoreError::Busy | StoreError::Full | StoreError::Timeout => {
                tracing::warn!(%error, "the store is overloaded");
                away("The server is busy. Nothing was changed.")
            }
            StoreError::Unavailable(_) | StoreError::DiskFull | StoreError::Closed => {
                tracing::error!(%error, "the store does not work");
                away("The database is not available. Nothing was changed.")
            }
            StoreError::UnknownCommit => {
                tracing::error!(%error, "the outcome of a change is unknown");
                away("The connection to the database broke while the change was saved: it may or may not be there.")
                    .hint("Read the resource before you try again.")
            }
            _ => {
                tracing::error!(%error, "the store refused a statement");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Inner {
            status,
            message,
            details,
            hint,
            retry_after,
            existing,
        } = *self.0;
        let body = ErrorBody {
            error: status.canonical_reason().unwrap_or("Error").to_owned(),
            message,
            details: details
                .into_iter()
                .map(|violation| ErrorDetail {
                    field: violation.field,
                    message: violation.message,
                })
                .collect(),
            hint,
            existing,
        };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = retry_after {
            let seconds = after.as_secs().max(1);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
