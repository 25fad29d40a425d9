//! The seam to the providers' management of message templates: pure functions, as in [`super::Messaging`].
//!
//! Creating, editing and deleting have no idempotency key anywhere, but a name exists once: what was lost on the way is
//! found by listing.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::message_template::{
    MessageTemplate, RemoteTemplate, TemplateCategory, TemplateStatus,
};

use super::adapter::{Account, BuildError, Endpoints};
use super::cloud::scrub::scrub;
use super::cloud::text;
use crate::http::{HttpOutcome, HttpRequest};

/// A page of templates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TemplatePage {
    /// The templates that could be read.
    pub templates: Vec<RemoteTemplate>,
    /// How many could not be read.
    pub unreadable: usize,
    /// What [`TemplateApi::build_list`] takes for the next page; `None` on the last.
    pub next: Option<String>,
}

/// What the provider said when a template was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its id there.
    pub provider_id: Option<String>,
    /// Where it stands.
    pub status: TemplateStatus,
    /// The category that the provider gave it, which may be another one.
    pub category: Option<TemplateCategory>,
    /// Why it was refused at once.
    pub reason: Option<String>,
}

/// How a call about templates failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateFailure {
    /// The provider refused it; nothing was changed.
    Refused,
    /// The provider does not have that template.
    Gone,
    /// A template of this name and language exists there already.
    Exists,
    /// Too many calls; nothing was changed.
    Throttled,
    /// Nothing was changed; it may work later.
    Unreachable,
    /// Nobody knows whether it was done.
    Unknown,
}

/// Why a call about templates failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// How it failed.
    pub failure: TemplateFailure,
    /// The provider's error.
    pub error: Box<ProviderError>,
    /// The provider's own name of the cause (Meta: `error_subcode`).
    pub subcode: Option<String>,
    /// A title for people (Meta: `error_user_title`).
    pub title: Option<String>,
    /// A text for people (Meta: `error_user_msg`).
    pub text: Option<String>,
}

impl TemplateError {
    pub(crate) fn own(
        failure: TemplateFailure,
        class: ErrorClass,
        message: impl Into<String>,
    ) -> Self {
        Self {
            failure,
            error: Box::new(ProviderError::own(class, message)),
            subcode: None,
            title: None,
            text: None,
        }
    }

    /// What people should read: the provider's words for people, else its error.
    #[must_use]
    pub fn words(&self) -> String {
        match (&self.title, &self.text) {
            (Some(title), Some(text)) => format!("{title}: {text}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => self.error.message.clone(),
        }
    }
}

/// How a provider takes the sample file of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleWay {
    /// It is uploaded and named by a handle.
    Handle,
    /// It is fetched by link when the template is handed in.
    Link,
    /// It is fetched by link for every message, since it is what is sent.
    LastingLink,
}

/// A sample file that is to be uploaded.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Its type.
    pub mime: &'a str,
    /// Its size in bytes.
    pub bytes: u64,
    /// A name with the ending of its type.
    pub filename: &'a str,
}

/// The management of message templates at one provider.
pub trait TemplateApi: std::fmt::Debug + Send + Sync {
    /// Whether the provider tells by webhook what becomes of a template; otherwise it has to be asked.
    fn tells(&self) -> bool;

    /// Builds the call that hands a template in (Twilio: that makes the resource).
    ///
    /// # Errors
    /// A [`BuildError`] when the channel or the provider cannot have it.
    fn build_create(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        template: &MessageTemplate,
    ) -> Result<HttpRequest, BuildError>;

    /// What the answer to [`TemplateApi::build_create`] says.
    ///
    /// # Errors
    /// Why it was not made.
    fn interpret_create(&self, answer: &HttpOutcome) -> Result<Created, TemplateError>;

    /// Builds the call that asks for the approval of what was made, where that is a call of its own (Twilio).
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable.
    fn build_approval(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _provider_id: &str,
        _template: &MessageTemplate,
    ) -> Result<Option<HttpRequest>, BuildError> {
        Ok(None)
    }

    /// What the answer to [`TemplateApi::build_approval`] says.
    ///
    /// # Errors
    /// Why it was not handed in.
    fn interpret_approval(&self, answer: &HttpOutcome) -> Result<Created, TemplateError> {
        self.interpret_create(answer)
    }

    /// Builds the call for a page of the account's templates.
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable.
    fn build_list(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        page: Option<&str>,
    ) -> Result<HttpRequest, BuildError>;

    /// What the answer to [`TemplateApi::build_list`] says.
    ///
    /// # Errors
    /// Why there is no list.
    fn interpret_list(&self, answer: &HttpOutcome) -> Result<TemplatePage, TemplateError>;

    /// Builds the call that asks how one template stands, where that is cheaper than the list. `None` when it is not.
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable.
    fn build_status(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _provider_id: &str,
    ) -> Result<Option<HttpRequest>, BuildError> {
        Ok(None)
    }

    /// What the answer to [`TemplateApi::build_status`] says.
    ///
    /// # Errors
    /// Why it is not known.
    fn interpret_status(&self, answer: &HttpOutcome) -> Result<Created, TemplateError> {
        self.interpret_create(answer)
    }

    /// Builds the call that replaces the components of a template. `None` when the provider has none: a changed
    /// template is another one there. With `category`, that is changed too.
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable.
    fn build_edit(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _provider_id: &str,
        _template: &MessageTemplate,
        _category: bool,
    ) -> Result<Option<HttpRequest>, BuildError> {
        Ok(None)
    }

    /// Builds the call that deletes a template. `None` when the provider has none.
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable.
    fn build_delete(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _provider_id: Option<&str>,
        _name: &str,
    ) -> Result<Option<HttpRequest>, BuildError> {
        Ok(None)
    }

    /// How the provider takes the sample file of a header.
    fn sample_way(&self) -> SampleWay {
        SampleWay::Link
    }

    /// Builds the call that opens the upload of a sample, for [`SampleWay::Handle`].
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable or the provider has no uploads.
    fn build_sample(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _sample: Sample<'_>,
    ) -> Result<HttpRequest, BuildError> {
        Err(BuildError::Content(
            "the provider takes no uploads".to_owned(),
        ))
    }

    /// What the answer to [`TemplateApi::build_sample`] says: the name of the upload.
    ///
    /// # Errors
    /// Why there is none.
    fn interpret_sample(&self, answer: &HttpOutcome) -> Result<String, TemplateError> {
        read(answer).and_then(|(status, _)| Err(unreadable(status)))
    }

    /// Builds the call that carries the bytes of a sample; they are its body.
    ///
    /// # Errors
    /// A [`BuildError`] when the channel is not usable or the provider has no uploads.
    fn build_sample_bytes(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        _upload: &str,
    ) -> Result<HttpRequest, BuildError> {
        Err(BuildError::Content(
            "the provider takes no uploads".to_owned(),
        ))
    }

    /// What the answer to [`TemplateApi::build_sample_bytes`] says: the handle.
    ///
    /// # Errors
    /// Why there is none.
    fn interpret_sample_bytes(&self, answer: &HttpOutcome) -> Result<String, TemplateError> {
        read(answer).and_then(|(status, _)| Err(unreadable(status)))
    }

    /// Whether a deletion takes all languages of the name.
    fn deletes_all_languages(&self) -> bool {
        false
    }

    /// Whether an edit or a deletion was done.
    ///
    /// # Errors
    /// Why not.
    fn interpret_done(&self, answer: &HttpOutcome) -> Result<(), TemplateError>;
}

/// A call with JSON, or without a body.
pub(crate) fn request(
    method: Method,
    url: String,
    mut headers: HeaderMap,
    body: Option<&Value>,
) -> HttpRequest {
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    HttpRequest {
        method,
        url,
        headers,
        body: body.map_or_else(bytes::Bytes::new, |body| body.to_string().into()),
    }
}

/// The status and the JSON of an answer; null when it is none.
pub(crate) fn read(answer: &HttpOutcome) -> Result<(u16, Value), TemplateError> {
    match answer {
        HttpOutcome::Response { status, body, .. } => {
            let body = text::readable(body);
            Ok((*status, serde_json::from_str(&body).unwrap_or_default()))
        }
        HttpOutcome::NotSent(reason) => Err(TemplateError::own(
            TemplateFailure::Unreachable,
            ErrorClass::Retry,
            format!("the provider could not be reached: {}", scrub(reason)),
        )),
        HttpOutcome::Lost(reason) => Err(TemplateError::own(
            TemplateFailure::Unknown,
            ErrorClass::Unknown,
            format!("no answer came: {}", scrub(reason)),
        )),
        HttpOutcome::TooLarge => Err(TemplateError::own(
            TemplateFailure::Unknown,
            ErrorClass::Unknown,
            "the answer was too large to read",
        )),
    }
}

/// An answer that is none of the provider's.
pub(crate) fn unreadable(status: u16) -> TemplateError {
    let (failure, class) = match status {
        429 => (TemplateFailure::Throttled, ErrorClass::Throttled),
        404 => (TemplateFailure::Gone, ErrorClass::Permanent),
        401 | 403 => (TemplateFailure::Refused, ErrorClass::Credentials),
        400..=499 if status != 408 => (TemplateFailure::Refused, ErrorClass::Permanent),
        _ => (TemplateFailure::Unknown, ErrorClass::Unknown),
    };
    TemplateError::own(
        failure,
        class,
        format!("HTTP {status} without a readable answer"),
    )
}

/// A text or a number as text; `None` for an empty one and for everything else.
pub(crate) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The provider's reason, unless it says that there is none.
pub(crate) fn reason(value: &Value) -> Option<String> {
    word(value)
        .filter(|text| !text.eq_ignore_ascii_case("NONE"))
        .map(|text| scrub(&text))
}
