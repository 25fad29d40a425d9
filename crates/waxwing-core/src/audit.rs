//! Who did it: the actor of a change.

use std::fmt;

use crate::ids::{ApiKeyId, ContactId, UserId};

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The operator of the platform.
    PlatformAdmin,
    /// A person who is logged in.
    User(UserId),
    /// A program with an API key.
    ApiKey(ApiKeyId),
    /// A staff member who writes from a phone.
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
