//! How a channel looks in JSON, in and out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::secret::Secret;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::channels::{
    ACCESS_TOKEN, APP_SECRET, ChannelKind, ChannelRecord, VERIFY_TOKEN,
};

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
    /// The provider's id of the number.
    pub phone_number_id: String,
    /// The provider's id of the account.
    pub waba_id: Option<String>,
    /// The number as people write it.
    pub display_phone: Option<String>,
    /// `active`; `broken` when the provider refuses what it sends; `disabled` when it was switched off.
    #[schema(value_type = String, example = "active")]
    pub status: &'static str,
    /// Why it is broken.
    pub status_reason: Option<String>,
    /// Whose secret signs its webhooks: `channel` or `platform`.
    #[schema(value_type = String, example = "platform")]
    pub webhook_secret: &'static str,
    /// The names of the credentials that are set, each with the word `set`.
    #[schema(value_type = BTreeMap<String, String>, example = json!({"accessToken": "set"}))]
    pub credentials: BTreeMap<String, &'static str>,
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

impl From<ChannelRecord> for ChannelView {
    fn from(record: ChannelRecord) -> Self {
        Self {
            id: record.channel_id,
            tenant_id: record.tenant_id,
            kind: record.kind.into(),
            name: record.name,
            phone_number_id: record.sender_id,
            waba_id: record.account_id,
            display_phone: record.display_phone,
            status: record.status.as_str(),
            status_reason: record.status_reason,
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
            last_webhook_at: record.last_webhook_at,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

/// Credentials of a channel. In a change, what is absent stays and null takes away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsInput {
    /// The token that sends.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    access_token: Option<Option<Secret>>,
    /// The secret of the app that signs webhooks, when it is not the platform's.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    app_secret: Option<Option<Secret>>,
    /// The token of the webhook handshake, when it is not the platform's.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    verify_token: Option<Option<Secret>>,
}

impl CredentialsInput {
    /// The changes by name; an empty secret takes away.
    pub(super) fn changes(self, checks: &mut Checks) -> Vec<(&'static str, Secret)> {
        let given = [
            (ACCESS_TOKEN, self.access_token),
            (APP_SECRET, self.app_secret),
            (VERIFY_TOKEN, self.verify_token),
        ];
        let mut changes = Vec::new();
        for (name, value) in given {
            match value {
                None => {}
                Some(Some(value)) => {
                    checks.credential(&format!("credentials.{name}"), &value);
                    changes.push((name, value));
                }
                Some(None) if name == ACCESS_TOKEN => {
                    checks.wrong(
                        format!("credentials.{name}"),
                        "can be replaced, but not taken away",
                    );
                }
                Some(None) => changes.push((name, Secret::new(""))),
            }
        }
        changes
    }
}

/// A channel to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateChannel {
    /// Its provider. This version speaks to `meta`.
    #[serde(alias = "provider")]
    #[schema(required, value_type = ProviderKind)]
    pub(super) kind: Option<ProviderKind>,
    /// A name for people.
    #[schema(max_length = 200)]
    pub(super) name: Option<String>,
    /// The provider's id of the number, not its digits.
    #[serde(alias = "senderId")]
    #[schema(required, value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "106540352242922")]
    pub(super) phone_number_id: Option<String>,
    /// The provider's id of the account.
    #[serde(alias = "accountId")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub(super) waba_id: Option<String>,
    /// The number as people write it.
    #[schema(max_length = 200)]
    pub(super) display_phone: Option<String>,
    /// Its credentials; `accessToken` is needed.
    #[schema(required, value_type = CredentialsInput)]
    pub(super) credentials: Option<CredentialsInput>,
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
    /// Whether it is switched on. Switched off, its number is free for another channel.
    pub(super) enabled: Option<bool>,
}
