//! The numbers that the settings describe, one for each provider.

use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::secret::Secret;

use super::{EnvChannel, Values};

/// Settings that only make sense together, by the name of the provider.
pub const TOGETHER: [(&str, &[&str]); 4] = [
    (
        "Twilio",
        &[
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
            "TWILIO_WHATSAPP_FROM",
        ],
    ),
    (
        "Twilio with an API key",
        &["TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET"],
    ),
    ("360dialog", &["D360_API_KEY", "D360_WEBHOOK_SECRET"]),
    (
        "MSG91",
        &["MSG91_AUTH_KEY", "MSG91_WEBHOOK_SECRET", "MSG91_SENDER_ID"],
    ),
];

/// The numbers that are described whole.
pub fn of(values: &Values) -> Vec<EnvChannel> {
    let text = |name: &str| values.get(name).map(str::to_owned);
    let secret = |name: &str| values.get(name).map(Secret::new);
    let meta = || {
        Some(EnvChannel {
            kind: ChannelKind::Meta,
            sender_id: text("WHATSAPP_PHONE_NUMBER_ID")?,
            account_id: text("WHATSAPP_BUSINESS_ACCOUNT_ID"),
            credentials: Credentials::new()
                .with(credential::ACCESS_TOKEN, secret("WHATSAPP_ACCESS_TOKEN")?),
        })
    };
    let twilio = || {
        let account = text("TWILIO_ACCOUNT_SID")?;
        let from = text("TWILIO_WHATSAPP_FROM")?;
        let from = from.strip_prefix("whatsapp:").unwrap_or(&from);
        let mut credentials =
            Credentials::new().with(credential::AUTH_TOKEN, secret("TWILIO_AUTH_TOKEN")?);
        for (name, setting) in [
            (credential::API_KEY_SID, "TWILIO_API_KEY_SID"),
            (credential::API_KEY_SECRET, "TWILIO_API_KEY_SECRET"),
            (
                credential::MESSAGING_SERVICE_SID,
                "TWILIO_MESSAGING_SERVICE_SID",
            ),
        ] {
            if let Some(value) = secret(setting) {
                credentials.set(name, value);
            }
        }
        Some(EnvChannel {
            kind: ChannelKind::Twilio,
            sender_id: format!("{account}/{from}"),
            account_id: Some(account),
            credentials,
        })
    };
    let dialog360 = || {
        Some(EnvChannel {
            kind: ChannelKind::Dialog360,
            sender_id: text("D360_PHONE_NUMBER_ID")
                .unwrap_or_else(|| ChannelKind::unknown_sender("settings")),
            account_id: None,
            credentials: Credentials::new()
                .with(credential::API_KEY, secret("D360_API_KEY")?)
                .with(credential::WEBHOOK_SECRET, secret("D360_WEBHOOK_SECRET")?),
        })
    };
    let msg91 = || {
        let sender = text("MSG91_SENDER_ID")?;
        Some(EnvChannel {
            kind: ChannelKind::Msg91,
            sender_id: sender.trim_start_matches('+').to_owned(),
            account_id: None,
            credentials: Credentials::new()
                .with(credential::AUTH_KEY, secret("MSG91_AUTH_KEY")?)
                .with(credential::WEBHOOK_SECRET, secret("MSG91_WEBHOOK_SECRET")?),
        })
    };
    [meta(), twilio(), dialog360(), msg91()]
        .into_iter()
        .flatten()
        .collect()
}
