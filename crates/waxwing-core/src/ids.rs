//! Identifiers: UUIDv7 newtypes, prefixed text at the edge (`msg_…`), plain UUIDs in the store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where new ids come from. Injected, so that tests and simulations decide the ids.
pub trait IdSource: Send + Sync {
    /// A new time-ordered id. Ids of one source rise strictly.
    fn next(&self) -> Uuid;
}

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id: expected `{prefix}_` and 32 hexadecimal digits")]
pub struct ParseIdError {
    /// What the id names, such as `message`.
    pub kind: &'static str,
    /// The prefix that ids of this kind carry.
    pub prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of the text form, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID that is known to name such an object (from the store or a fresh [`IdSource`] id).
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// A fresh id.
            pub fn new(ids: &dyn IdSource) -> Self {
                Self(ids.next())
            }

            /// The bare UUID, as the store keeps it.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = ParseIdError { kind: $kind, prefix: $prefix };
                let digits = text
                    .strip_prefix(concat!($prefix, "_"))
                    // One spelling of each id: what is compared as text is compared rightly.
                    .filter(|digits| digits.len() == 32 && !digits.bytes().any(|one| one.is_ascii_uppercase()))
                    .ok_or_else(|| error.clone())?;
                Uuid::try_parse(digits).map(Self).map_err(|_| error)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A tenant: a customer organisation of the platform.
    TenantId, "tnt", "tenant"
);
id!(
    /// A channel: one WhatsApp sender of a tenant at one provider.
    ChannelId, "chn", "channel"
);
id!(
    /// A contact: a person on WhatsApp, known to one tenant.
    ContactId, "ctc", "contact"
);
id!(
    /// The union of two contacts that are one person.
    MergeId, "mrg", "merge"
);
id!(
    /// A conversation: the thread between one channel and one contact.
    ConversationId, "cnv", "conversation"
);
id!(
    /// A message of a conversation, in or out.
    MessageId, "msg", "message"
);
id!(
    /// One try to hand an outbound message to a provider.
    AttemptId, "att", "attempt"
);
id!(
    /// A template of a tenant.
    TemplateId, "tpl", "template"
);
id!(
    /// A message template: a text that WhatsApp approves.
    MessageTemplateId, "mtp", "message template"
);
id!(
    /// A published rule set of a tenant.
    FlowId, "flw", "flow"
);
id!(
    /// A stored webhook request.
    WebhookEventId, "whe", "webhook event"
);
id!(
    /// A domain event of the outbox.
    OutboxEventId, "evt", "event"
);
id!(
    /// A dead letter: an event or message that failed for good.
    DeadLetterId, "ddl", "dead letter"
);
id!(
    /// A file of a tenant: received with a message, or uploaded.
    MediaId, "med", "media"
);
id!(
    /// A person who logs in.
    UserId, "usr", "user"
);
id!(
    /// One login of a user, from then to the logout.
    SessionId, "ses", "session"
);
id!(
    /// A credential of a program, for one tenant.
    ApiKeyId, "key", "API key"
);
id!(
    /// An invitation of a person to a tenant.
    InvitationId, "inv", "invitation"
);
id!(
    /// An entry of the audit log.
    AuditEntryId, "aud", "audit entry"
);
id!(
    /// One start of one process; names the holder of leases and claims.
    NodeId, "nod", "node"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_kinds_do_not_mix() {
        let id = MessageId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "msg_00000000000000000000000000000007");
        assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
        assert!(id.to_string().parse::<ContactId>().is_err());
        for bad in [
            "",
            "msg_",
            "msg_7",
            "00000000000000000000000000000007",
            "msg_zz000000000000000000000000000007",
        ] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad}");
        }
    }
}
