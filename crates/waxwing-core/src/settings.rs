//! What a tenant can set about its own conversations.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::consent::ConsentSettings;
use crate::delivery::UnknownPolicy;

/// Settings of a tenant, as the API shows and the store keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TenantSettings {
    /// ISO 3166 code for phone numbers written without a country code.
    pub default_country: Option<String>,
    /// How long a session lives after the contact's last message, in seconds.
    pub session_seconds: u32,
    /// What happens to messages whose outcome stays unknown.
    pub unknown_outcome: UnknownPolicy,
    /// How people opt out of marketing and in again.
    pub consent: ConsentSettings,
    /// Whether what people write and call themselves is sealed, from now on. Then it is not found by searching.
    pub encrypt_content: bool,
    /// Whether owners and managers get in with a second factor only.
    pub require_second_factor: bool,
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self {
            default_country: None,
            session_seconds: 3_600,
            unknown_outcome: UnknownPolicy::default(),
            consent: ConsentSettings::default(),
            encrypt_content: false,
            require_second_factor: false,
        }
    }
}

impl TenantSettings {
    /// The session's life as a duration.
    #[must_use]
    pub fn session_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.session_seconds))
    }
}
