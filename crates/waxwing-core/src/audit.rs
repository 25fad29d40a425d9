//! What an entry of the audit log says: who did what to which object, from where, before and after.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

use crate::ids::{ApiKeyId, ContactId, TenantId, UserId};
use crate::time::Timestamp;

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The operator of the platform.
    PlatformAdmin,
    /// A person who is logged in, or proves who they are.
    User(UserId),
    /// A program with an API key.
    ApiKey(ApiKeyId),
    /// Somebody who writes from a phone.
    Contact(ContactId),
    /// A part of this program that works by itself, by name.
    System(&'static str),
}

/// `platform-admin`, the id of a user, key or contact, or `system:` with the name of the part.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlatformAdmin => f.write_str("platform-admin"),
            Self::User(id) => id.fmt(f),
            Self::ApiKey(id) => id.fmt(f),
            Self::Contact(id) => id.fmt(f),
            Self::System(part) => write!(f, "system:{part}"),
        }
    }
}

/// Who does what, when and from where; what it is done to is known later.
#[derive(Debug, Clone)]
pub struct Deed {
    /// In which tenant; `None` for what belongs to the platform.
    pub tenant: Option<TenantId>,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// From where; `None` for what comes from inside.
    pub address: Option<IpAddr>,
    /// What, such as `template.create`.
    pub action: &'static str,
}

/// What it is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The kind, as in the API: `template`, `channel` …
    pub kind: &'static str,
    /// Which one; never a name or a number of a person.
    pub id: Option<String>,
}

impl Object {
    /// One object.
    #[must_use]
    pub fn one(kind: &'static str, id: impl fmt::Display) -> Self {
        Self {
            kind,
            id: Some(id.to_string()),
        }
    }

    /// All objects of a kind, or the only one.
    #[must_use]
    pub const fn all(kind: &'static str) -> Self {
        Self { kind, id: None }
    }
}

/// How it was and how it is. No secrets, and no texts or numbers of contacts: those are erased with the contact, and
/// this is not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Before; `None` for what was not there.
    pub before: Option<Value>,
    /// After; `None` for what is not there any more.
    pub after: Option<Value>,
}

impl Change {
    /// Nothing is told of it.
    #[must_use]
    pub const fn untold() -> Self {
        Self {
            before: None,
            after: None,
        }
    }

    /// It was made.
    #[must_use]
    pub const fn made(after: Value) -> Self {
        Self {
            before: None,
            after: Some(after),
        }
    }

    /// It was changed.
    #[must_use]
    pub const fn of(before: Value, after: Value) -> Self {
        Self {
            before: Some(before),
            after: Some(after),
        }
    }

    /// It was taken away.
    #[must_use]
    pub const fn gone(before: Value) -> Self {
        Self {
            before: Some(before),
            after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn actors_are_told_apart_by_their_text() {
        let id = Uuid::from_u128(1);
        let all = [
            Actor::PlatformAdmin,
            Actor::User(UserId::from_uuid(id)),
            Actor::ApiKey(ApiKeyId::from_uuid(id)),
            Actor::Contact(ContactId::from_uuid(id)),
            Actor::System("retention"),
        ];
        let texts = all.map(|actor| actor.to_string());
        for (n, text) in texts.iter().enumerate() {
            assert!(!texts[n + 1..].contains(text), "{text}");
        }
        assert_eq!(texts[4], "system:retention");
    }
}
