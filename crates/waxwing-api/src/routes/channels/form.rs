//! How a channel looks in JSON, in and out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use waxwing_core::channel::{ChannelKind, ChannelLimits, credential};
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::channel_health::HealthRow;
use waxwing_store::domain::channels::ChannelRecord;

use crate::check::Checks;
use crate::extract::nullable;

/// A provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Meta's Cloud API.
    Meta,
    /// Twilio.
    Twilio,
    /// 360dialog.
    Dialog360,
    /// MSG91.
    Msg91,
}

impl From<ProviderKind> for ChannelKind {
    fn from(kind: ProviderKind) -> Self {
        match kind {
            ProviderKind::Meta => Self::Meta,
            ProviderKind::Twilio => Self::Twilio,
            ProviderKind::Dialog360 => Self::Dialog360,
            ProviderKind::Msg91 => Self::Msg91,
        }
    }
}

impl From<ChannelKind> for ProviderKind {
    fn from(kind: ChannelKind) -> Self {
        match kind {
            ChannelKind::Meta => Self::Meta,
            ChannelKind::Twilio => Self::Twilio,
            ChannelKind::Dialog360 => Self::Dialog360,
            ChannelKind::Msg91 => Self::Msg91,
        }
    }
}

/// What a provider has to be told so that its webhooks arrive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Webhooks {
    /// Where messages and statuses go. Without `PUBLIC_URL` only the path.
    pub url: String,
    /// Where statuses go, when that is another address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statuses: Option<String>,
    /// The header that has to be set, with the channel's `webhookSecret` in place of `…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<&'static str>,
    /// What else to know.
    pub note: &'static str,
}

impl Webhooks {
    /// What the provider of a channel has to be told.
    #[must_use]
    pub fn of(kind: ChannelKind, channel: ChannelId, public_url: Option<&str>) -> Self {
        let at = |path: String| format!("{}{path}", public_url.unwrap_or_default());
        match kind {
            ChannelKind::Meta => Self {
                url: at("/whatsapp/webhook".to_owned()),
                statuses: None,
                header: None,
                note: "Set it in the app's WhatsApp configuration with the verify token, and subscribe the account to the app.",
            },
            // The fragment makes Twilio try again when this server does not answer (protocols/twilio.md 3).
            ChannelKind::Twilio => Self {
                url: at("/webhook/twilio#rc=3&rp=all".to_owned()),
                statuses: Some(at("/api/webhooks/whatsapp/status".to_owned())),
                header: None,
                note: "Set the first on the sender or messaging service, as its fallback address as well. Statuses need no setting: each message names their address.",
            },
            ChannelKind::Dialog360 => Self {
                url: at(format!("/webhook/dialog360/{channel}")),
                statuses: None,
                header: Some("Authorization: Bearer …"),
                note: "Set it with the header by POST /v1/configs/webhook.",
            },
            ChannelKind::Msg91 => Self {
                url: at(format!("/webhook/msg91/{channel}")),
                statuses: None,
                header: Some("X-Webhook-Secret: …"),
                note: "Add it in the panel for inbound messages and for reports, as POST with JSON, with the header and with every field under its own name.",
            },
        }
    }
}

/// A secret that was made for a channel. It is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeSecret {
    /// `webhookSecret`.
    #[schema(value_type = String)]
    pub name: &'static str,
    /// The secret.
    pub value: String,
}

impl MadeSecret {
    /// A new webhook secret.
    #[must_use]
    pub fn new(value: &Secret) -> Self {
        Self {
            name: credential::WEBHOOK_SECRET,
            value: value.expose().to_owned(),
        }
    }
}

/// A channel: one sending number at one provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelView {
    /// Its id.
    #[schema(value_type = String, example = "chn_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    pub id: ChannelId,
    /// Whose it is.
    #[schema(value_type = String)]
    pub tenant_id: TenantId,
    /// Its provider.
    pub kind: ProviderKind,
    /// A name for people.
    pub name: String,
    /// The provider's id of the number: at Twilio `AccountSid/+number`, at MSG91 its digits. Null while 360dialog has not
    /// told it.
    pub phone_number_id: Option<String>,
    /// The provider's id of the account.
    pub waba_id: Option<String>,
    /// The number as people write it.
    pub display_phone: Option<String>,
    /// `active`; `broken` when the provider refuses what it sends; `disabled` when it was switched off.
    #[schema(value_type = String, example = "active")]
    pub status: &'static str,
    /// Why it is broken.
    pub status_reason: Option<String>,
    /// `closed`: it sends. `open`: its provider failed too often, so its messages wait until `circuitUntil`. `half_open`: one
    /// message tries whether the provider works again.
    #[schema(value_type = String, example = "closed")]
    pub circuit: &'static str,
    /// Until when nothing is sent because the provider failed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub circuit_until: Option<Timestamp>,
    /// How fast it may send.
    pub limits: LimitsView,
    /// What the provider has to be told about webhooks.
    pub webhooks: Webhooks,
    /// Whose secret signs its webhooks: `channel` or `platform`.
    #[schema(value_type = String, example = "platform")]
    pub webhook_secret: &'static str,
    /// The names of the credentials that are set, each with the word `set`.
    #[schema(value_type = BTreeMap<String, String>, example = json!({"accessToken": "set"}))]
    pub credentials: BTreeMap<String, &'static str>,
    /// What the provider tells about the number; absent in lists and while nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthView>,
    /// When a webhook came for it last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_webhook_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// What the provider tells about a number.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthView {
    /// The provider's word for its quality.
    quality: Option<String>,
    /// How many messages a second it may send, when the provider has told.
    throughput: Option<i64>,
    /// How many people a day it may write to first, in the provider's word.
    messaging_limit: Option<String>,
    /// What is wrong with the account.
    alert: Option<String>,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    alerted_at: Option<Timestamp>,
    /// When its message templates were read last.
    #[schema(value_type = Option<String>, format = DateTime)]
    templates_synced_at: Option<Timestamp>,
    /// Why they could not be read.
    templates_error: Option<String>,
}

impl From<HealthRow> for HealthView {
    fn from(row: HealthRow) -> Self {
        Self {
            quality: row.quality,
            throughput: row.throughput,
            messaging_limit: row.messaging_limit,
            alert: row.alert,
            alerted_at: row.alerted_at,
            templates_synced_at: row.templates_synced_at,
            templates_error: row.templates_error,
        }
    }
}

impl ChannelView {
    /// A channel as its tenant sees it. `public_url` is where the world reaches this server.
    #[must_use]
    pub fn new(record: ChannelRecord, public_url: Option<&str>, now: Timestamp) -> Self {
        let until = record.circuit_until;
        Self {
            id: record.channel_id,
            tenant_id: record.tenant_id,
            kind: record.kind.into(),
            name: record.name,
            phone_number_id: Some(record.sender_id)
                .filter(|sender| !ChannelKind::is_unknown_sender(sender)),
            webhooks: Webhooks::of(record.kind, record.channel_id, public_url),
            waba_id: record.account_id,
            display_phone: record.display_phone,
            status: record.status.as_str(),
            status_reason: record.status_reason,
            circuit: if until == Timestamp::default() {
                "closed"
            } else if until > now {
                "open"
            } else {
                "half_open"
            },
            circuit_until: Some(until).filter(|until| *until > now),
            limits: record.limits.into(),
            webhook_secret: if record.secret_hash.is_some() {
                "channel"
            } else {
                "platform"
            },
            credentials: record
                .credentials
                .names()
                .map(|name| (name.to_owned(), "set"))
                .collect(),
            health: None,
            last_webhook_at: record.last_webhook_at,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

/// How fast a channel may send, where that is not the provider's usual (null).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitsView {
    /// Messages a second.
    pub messages_per_second: Option<u32>,
    /// Calls to the provider at the same time.
    pub concurrency: Option<u32>,
    /// Messages to one contact that may go at once; after them one in six seconds.
    pub contact_burst: Option<u32>,
}

impl From<ChannelLimits> for LimitsView {
    fn from(limits: ChannelLimits) -> Self {
        Self {
            messages_per_second: limits.messages_per_second,
            concurrency: limits.concurrency,
            contact_burst: limits.contact_burst,
        }
    }
}

/// Changes of a channel's speed; what is absent stays, null is the provider's usual.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsInput {
    /// Messages a second: 80 of a usual number at Meta, 1000 after its upgrade.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 100_000)]
    messages_per_second: Option<Option<u32>>,
    /// Calls to the provider at the same time.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_024)]
    concurrency: Option<Option<u32>>,
    /// Messages to one contact that may go at once; after them one in six seconds. Meta's and 360dialog's usual is 45, the
    /// others have no such limit.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    contact_burst: Option<Option<u32>>,
}

impl LimitsInput {
    pub(super) fn check(self, checks: &mut Checks) {
        let fields = [
            ("messagesPerSecond", self.messages_per_second, 100_000),
            ("concurrency", self.concurrency, 1_024),
            ("contactBurst", self.contact_burst, 1_000_000),
        ];
        for (name, given, max) in fields {
            if given
                .flatten()
                .is_some_and(|value| !(1..=max).contains(&value))
            {
                checks.wrong(format!("limits.{name}"), format!("must be 1 to {max}"));
            }
        }
    }

    pub(super) fn over(self, limits: ChannelLimits) -> ChannelLimits {
        ChannelLimits {
            messages_per_second: self
                .messages_per_second
                .unwrap_or(limits.messages_per_second),
            concurrency: self.concurrency.unwrap_or(limits.concurrency),
            contact_burst: self.contact_burst.unwrap_or(limits.contact_burst),
        }
    }
}

/// Credentials of a channel by name. In a change, what is absent stays and null takes away.
///
/// Meta: `accessToken`, `appSecret` (when it is not the platform's), `verifyToken`. Twilio: `authToken`,
/// `secondaryAuthToken` (while tokens are exchanged), `apiKeySid` and `apiKeySecret` (they send in place of the auth
/// token, which is needed all the same: only it signs webhooks), `messagingServiceSid` (it chooses the number to send
/// from), `sharedKeys` (a JSON object of key id and secret). 360dialog: `apiKey`, `webhookSecret`. MSG91: `authKey`,
/// `webhookSecret`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = BTreeMap<String, String>, example = json!({"accessToken": "EAAJB…"}))]
pub struct CredentialsInput(BTreeMap<String, Option<Secret>>);

impl CredentialsInput {
    /// The changes by name; an empty secret takes away.
    pub(super) fn changes(
        self,
        kind: ChannelKind,
        checks: &mut Checks,
    ) -> Vec<(&'static str, Secret)> {
        let mut changes = Vec::new();
        for (given, value) in self.0 {
            let field = format!("credentials.{given}");
            let known = kind.credentials().iter().find(|name| **name == given);
            let Some(name) = known.copied() else {
                let names = kind.credentials().join(", ");
                checks.wrong(
                    field,
                    format!("is no credential of {}: it has {names}", kind.as_str()),
                );
                continue;
            };
            match value {
                Some(value) => {
                    checks.credential(&field, &value);
                    changes.push((name, value));
                }
                None if name == kind.sending_credential() => {
                    checks.wrong(field, "can be replaced, but not taken away");
                }
                None => changes.push((name, Secret::new(""))),
            }
        }
        changes
    }
}

/// A channel to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateChannel {
    /// Its provider.
    #[serde(alias = "provider")]
    #[schema(required, value_type = ProviderKind)]
    pub(super) kind: Option<ProviderKind>,
    /// A name for people.
    #[schema(max_length = 200)]
    pub(super) name: Option<String>,
    /// The number: at Meta and 360dialog the phone number id (360dialog works without it), at Twilio and MSG91 the
    /// phone number itself.
    #[serde(alias = "senderId", alias = "from", alias = "integratedNumber")]
    #[schema(value_type = Option<String>, max_length = 64, example = "106540352242922")]
    pub(super) phone_number_id: Option<String>,
    /// The provider's id of the account: at Meta the WhatsApp Business Account, at Twilio the `AccountSid`, which is
    /// needed there.
    #[serde(alias = "accountId", alias = "accountSid")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub(super) waba_id: Option<String>,
    /// The number as people write it.
    #[schema(max_length = 200)]
    pub(super) display_phone: Option<String>,
    /// Its credentials. The one that sends is needed: `accessToken`, `authToken`, `apiKey` or `authKey`. A
    /// `webhookSecret` that is not given is made.
    #[schema(required, value_type = CredentialsInput)]
    pub(super) credentials: Option<CredentialsInput>,
}

impl CreateChannel {
    /// The id under which the provider's adapter knows the number, with the number as people write it.
    pub(super) fn sender(
        &self,
        kind: ChannelKind,
        id: ChannelId,
        checks: &mut Checks,
    ) -> (String, Option<String>) {
        let given = self.phone_number_id.as_deref();
        match kind {
            ChannelKind::Dialog360 if given.is_none() => (
                ChannelKind::unknown_sender(&id.uuid().simple().to_string()),
                self.display_phone.clone(),
            ),
            ChannelKind::Meta | ChannelKind::Dialog360 => {
                let sender = checks.required("phoneNumberId", given.map(str::to_owned));
                checks.provider_id("phoneNumberId", &sender);
                (sender, self.display_phone.clone())
            }
            ChannelKind::Twilio | ChannelKind::Msg91 => {
                let text = checks.required("phoneNumberId", given.map(str::to_owned));
                let text = text.strip_prefix("whatsapp:").unwrap_or(&text);
                let phone = match text.strip_prefix('+') {
                    Some(_) => Phone::parse(text, None),
                    None => Phone::parse(&format!("+{text}"), None),
                };
                let Ok(phone) = phone else {
                    checks.wrong("phoneNumberId", "must be a phone number with country code");
                    return Default::default();
                };
                let shown = self.display_phone.clone().or_else(|| Some(phone.e164()));
                if kind == ChannelKind::Msg91 {
                    return (phone.digits().to_owned(), shown);
                }
                let account = checks.required("wabaId", self.waba_id.clone());
                (format!("{account}/{}", phone.e164()), shown)
            }
        }
    }
}

/// Changes of a channel; what is absent stays. Provider and number cannot change: another number is another channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchChannel {
    /// A name for people.
    #[schema(min_length = 1, max_length = 200)]
    pub(super) name: Option<String>,
    /// The provider's id of the account; null for none.
    #[serde(default, alias = "accountId", deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub(super) waba_id: Option<Option<String>>,
    /// The number as people write it; null for none.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 200)]
    pub(super) display_phone: Option<Option<String>>,
    /// Credentials to change.
    pub(super) credentials: Option<CredentialsInput>,
    /// How fast it may send.
    pub(super) limits: Option<LimitsInput>,
    /// Whether it is switched on. Switched off, its number is free for another channel.
    pub(super) enabled: Option<bool>,
}
