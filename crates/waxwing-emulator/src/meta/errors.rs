//! Meta's error envelope and the table of its codes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::ids::{Rng, trace};

/// One row of `data/codes.json`: what Meta answers for a code, and what it puts into a `failed` status.
#[derive(Debug, Deserialize)]
pub(crate) struct Code {
    pub(crate) code: i64,
    pub(crate) status: Option<u16>,
    pub(crate) title: String,
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    subcode: Option<i64>,
    transient: Option<bool>,
    details: Option<String>,
    #[serde(default)]
    headers: HashMap<String, String>,
    failed: Option<Failed>,
}

#[derive(Debug, Deserialize)]
struct Failed {
    title: String,
    details: Option<String>,
    href: Option<String>,
}

fn table() -> &'static HashMap<i64, Code> {
    static TABLE: OnceLock<HashMap<i64, Code>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let rows: Vec<Code> = serde_json::from_str(include_str!("../../data/codes.json"))
            .expect("the embedded table is valid JSON");
        rows.into_iter().map(|row| (row.code, row)).collect()
    })
}

/// The row of a code, if it is documented.
pub(crate) fn code(code: i64) -> Option<&'static Code> {
    table().get(&code)
}

/// An error object of the Graph API with its HTTP status.
#[derive(Debug, Clone)]
pub(crate) struct GraphError {
    pub(crate) status: u16,
    pub(crate) code: i64,
    pub(crate) subcode: Option<i64>,
    pub(crate) kind: &'static str,
    pub(crate) message: Cow<'static, str>,
    pub(crate) details: Option<Cow<'static, str>>,
    pub(crate) transient: Option<bool>,
    /// Title and text for people, in template management.
    pub(crate) user: Option<Box<(&'static str, Cow<'static, str>)>>,
    pub(crate) headers: Option<&'static HashMap<String, String>>,
}

impl GraphError {
    /// The documented answer for a code; an unknown code gets a plain one.
    pub(crate) fn of(number: i64) -> Self {
        let Some(row) = code(number) else {
            return Self {
                status: 400,
                code: number,
                subcode: None,
                kind: "OAuthException",
                message: format!("(#{number}) An unknown error occurred").into(),
                details: None,
                transient: None,
                user: None,
                headers: None,
            };
        };
        let message = row.message.as_deref().map_or_else(
            || Cow::Owned(format!("(#{number}) {}", row.title)),
            Cow::Borrowed,
        );
        Self {
            status: row.status.unwrap_or(400),
            code: number,
            subcode: row.subcode,
            kind: row.kind.as_deref().unwrap_or("OAuthException"),
            message,
            details: row.details.as_deref().map(Cow::Borrowed),
            transient: row.transient,
            user: None,
            headers: Some(&row.headers),
        }
    }

    /// The documented answer with details of our own.
    pub(crate) fn detailed(number: i64, details: impl Into<Cow<'static, str>>) -> Self {
        Self {
            details: Some(details.into()),
            ..Self::of(number)
        }
    }

    /// 131009, a parameter with a bad value.
    pub(crate) fn value(details: impl Into<Cow<'static, str>>) -> Self {
        Self::detailed(131_009, details)
    }

    /// 131008, a parameter that is missing.
    pub(crate) fn missing(name: &str) -> Self {
        Self::detailed(131_008, format!("{name} is required"))
    }

    /// 100, a request that is wrong as a whole.
    pub(crate) fn invalid(details: impl Into<Cow<'static, str>>) -> Self {
        Self::detailed(100, details)
    }

    /// 100 with subcode 33: an object that does not exist or may not be used.
    pub(crate) fn unknown_object(verb: &str, id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        Self {
            subcode: Some(33),
            kind: "GraphMethodException",
            message: format!(
                "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
                 permissions, or does not support this operation."
            )
            .into(),
            details: None,
            ..Self::of(100)
        }
    }

    /// 803: an id that is no number.
    pub(crate) fn unknown_alias(id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        Self {
            message: format!("(#803) Some of the aliases you requested do not exist: {id}").into(),
            ..Self::of(803)
        }
    }

    /// An error of template management: 100 with the cause in the subcode.
    pub(crate) fn template(
        subcode: i64,
        title: &'static str,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            subcode: Some(subcode),
            message: "Invalid parameter".into(),
            details: None,
            transient: Some(false),
            user: Some(Box::new((title, text.into()))),
            ..Self::of(100)
        }
    }

    /// The JSON body.
    pub(crate) fn body(&self, rng: &Rng) -> Vec<u8> {
        let id = trace::<23>(rng);
        let wire = Wire {
            error: WireError {
                message: &self.message,
                kind: self.kind,
                code: self.code,
                error_subcode: self.subcode,
                is_transient: self.transient,
                error_data: self.details.as_deref().map(|details| WireData {
                    messaging_product: "whatsapp",
                    details,
                }),
                error_user_title: self.user.as_ref().map(|u| u.0),
                error_user_msg: self.user.as_ref().map(|u| u.1.as_ref()),
                fbtrace_id: std::str::from_utf8(&id).unwrap_or("A"),
            },
        };
        serde_json::to_vec(&wire).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    error: WireError<'a>,
}

#[derive(Serialize)]
struct WireError<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    code: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_subcode: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_transient: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_data: Option<WireData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_user_title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_user_msg: Option<&'a str>,
    fbtrace_id: &'a str,
}

#[derive(Serialize)]
struct WireData<'a> {
    messaging_product: &'a str,
    details: &'a str,
}

/// The webhook form of an error, in `failed` statuses.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WebhookError {
    pub(crate) code: i64,
    pub(crate) title: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_data: Option<WebhookErrorData>,
    pub(crate) href: String,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct WebhookErrorData {
    pub(crate) details: String,
}

impl WebhookError {
    pub(crate) fn of(number: i64) -> Self {
        let row = code(number);
        let failed = row.and_then(|row| row.failed.as_ref());
        let title = failed
            .map(|f| f.title.clone())
            .or_else(|| row.map(|r| r.title.clone()));
        let title = title.unwrap_or_else(|| "An unknown error occurred".into());
        let details = failed.map_or_else(
            || row.and_then(|r| r.details.clone()),
            |f| f.details.clone(),
        );
        Self {
            code: number,
            message: title.clone(),
            title,
            error_data: details.map(|details| WebhookErrorData { details }),
            href: failed.and_then(|f| f.href.clone()).unwrap_or_else(|| {
                "https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes".into()
            }),
        }
    }
}
