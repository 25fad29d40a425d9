//! Twilio: the Messages, Content, typing and senders APIs, and the form webhooks with their signature. Protocol facts are
//! named as "twilio.md section n".

mod account;
mod content;
mod errors;
mod hooks;
mod media;
mod messages;
mod render;
mod resource;
mod senders;
pub(crate) mod serve;
mod sign;

pub(crate) use account::{Accounts, TwilioLine};

use std::fmt;

use serde::Deserialize;

/// A key that signs webhooks with SHA-256 in place of the account's token (twilio.md section 4).
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedKey {
    /// Its id, `webhooks_sharedkey_…`.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKey").finish_non_exhaustive()
    }
}

/// One WhatsApp sender of a Twilio account. Its id in the emulator is [`TwilioNumber::id`].
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwilioNumber {
    /// The account; it is created with its first number.
    pub account_sid: String,
    /// The account's token: password of the API, key of the signatures. That of the number added last counts.
    pub auth_token: String,
    /// API keys of the account, as sid and secret.
    pub api_keys: Vec<(String, String)>,
    /// The number with its plus sign.
    pub sender: String,
    /// Sid of the sender, `XE…`.
    pub sender_sid: String,
    /// Name shown to users.
    pub name: String,
    /// Messaging service that sends with this number.
    pub messaging_service_sid: Option<String>,
    /// Where users' messages go. It may carry connection overrides as a fragment (`#rc=3&rp=all`). It may be set later by
    /// [`crate::Emulator::set_webhook_url`] or by the senders API.
    pub webhook_url: Option<String>,
    /// Where a message goes that the first address did not take.
    pub fallback_url: Option<String>,
    /// Where statuses go of messages without a `StatusCallback` of their own.
    pub status_callback_url: Option<String>,
    /// Sign with this key and SHA-256.
    pub shared_key: Option<SharedKey>,
    /// Send `ExternalUserId` without the prefix `whatsapp:`; both forms were seen.
    pub bare_external_user_id: bool,
    /// Send the choice of a list as `ButtonPayload` and `ButtonText`, as older integrations describe it.
    pub list_as_button: bool,
}

impl TwilioNumber {
    /// The number's id in the emulator: `whatsapp:` and the number with its plus sign.
    #[must_use]
    pub fn id(&self) -> String {
        format!("whatsapp:{}", self.sender)
    }
}

impl Default for TwilioNumber {
    fn default() -> Self {
        Self {
            account_sid: concat!("AC", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").into(),
            auth_token: "waxwingtestauthtoken000000000001".into(),
            api_keys: Vec::new(),
            sender: "+15005550006".into(),
            sender_sid: "XEaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
            name: "Waxwing Tours".into(),
            messaging_service_sid: None,
            webhook_url: None,
            fallback_url: None,
            status_callback_url: None,
            shared_key: None,
            bare_external_user_id: false,
            list_as_button: false,
        }
    }
}

impl fmt::Debug for TwilioNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioNumber").finish_non_exhaustive()
    }
}
