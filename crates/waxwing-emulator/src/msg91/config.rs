//! Settings of a number at MSG91.

use std::fmt;

use serde::Deserialize;

/// The outer form of a webhook's body. The customer chooses it in MSG91's panel (msg91.md section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Msg91Form {
    /// One JSON object.
    #[default]
    Object,
    /// An array with one object.
    Array,
    /// A form whose field `payload` holds the JSON object.
    Payload,
}

/// One number integrated at MSG91.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Msg91Config {
    /// Value of the header `authkey`. Several numbers may share it, and then share its limit.
    pub authkey: String,
    /// The number as digits; the emulator names the number by it.
    pub integrated_number: String,
    /// Name shown to users.
    pub verified_name: String,
    /// `companyId` of the webhooks.
    pub company_id: String,
    /// Where webhooks go.
    pub webhook_url: Option<String>,
    /// Headers that the customer entered in the panel; there is no other authentication.
    pub webhook_headers: Vec<(String, String)>,
    /// The outer form of the body.
    pub form: Msg91Form,
    /// Fields that the customer's body names otherwise: ours first, the customer's second. A field renamed to nothing is
    /// left out.
    pub names: Vec<(String, String)>,
    /// Post "On Outbound Request Received" for every accepted message.
    pub request_events: bool,
    /// Post sent messages again in the form of received ones, as was seen in production.
    pub echoes: bool,
    /// Stop all webhooks when more than 2 % of at least 10 requests failed.
    pub pausing: bool,
    /// Answer the template list as a bare array, as some accounts do.
    pub bare_lists: bool,
}

impl Default for Msg91Config {
    fn default() -> Self {
        Self {
            authkey: "test-authkey".into(),
            integrated_number: "15005550006".into(),
            verified_name: "Waxwing Tours".into(),
            company_id: "384905".into(),
            webhook_url: None,
            webhook_headers: vec![(
                "X-Webhook-Secret".into(),
                "waxwing-test-msg91-secret".into(),
            )],
            form: Msg91Form::Object,
            names: Vec::new(),
            request_events: true,
            echoes: true,
            pausing: true,
            bare_lists: false,
        }
    }
}

impl fmt::Debug for Msg91Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Msg91Config")
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}
