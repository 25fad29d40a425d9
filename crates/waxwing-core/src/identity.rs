//! Who a person on WhatsApp is: phone, business-scoped user id, or both.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::phone::Phone;

/// A business-scoped user id: two capital letters, a dot, 1 to 128 letters and digits, with an optional `ENT.` after
/// the first dot for parent ids (protocols/meta.md 4.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Bsuid(String);

impl Bsuid {
    /// Parses a user id; `None` when the text has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (country, rest) = text.split_once('.')?;
        let rest = rest.strip_prefix("ENT.").unwrap_or(rest);
        let country_ok =
            country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        let rest_ok = (1..=128).contains(&rest.len())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (country_ok && rest_ok).then(|| Self(text.to_owned()))
    }

    /// The id as the provider writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bsuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.…", &self.0[..2])
    }
}

/// The ids under which one person appears in a webhook item. At least one of phone and user id is needed to answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The phone, when the provider gave it.
    pub phone: Option<Phone>,
    /// The business-scoped user id.
    pub user_id: Option<Bsuid>,
    /// The user id in the parent portfolio.
    pub parent_user_id: Option<Bsuid>,
    /// The name the person chose on WhatsApp; for display only, it may change at any time.
    pub username: Option<String>,
}

impl Identity {
    /// Whether the person can be recognised and answered.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.phone.is_some() || self.user_id.is_some()
    }

    /// The aliases of this identity, strongest first: what the store looks a contact up by.
    #[must_use]
    pub fn aliases(&self) -> Vec<Alias> {
        let phone = self.phone.as_ref().map(|phone| Alias {
            kind: AliasKind::Phone,
            value: phone.matching_digits(),
        });
        let user = self.user_id.as_ref().map(|user| Alias {
            kind: AliasKind::UserId,
            value: user.as_str().to_owned(),
        });
        phone.into_iter().chain(user).collect()
    }

    /// A key that is the same for items of one sender within one request; orders a lane before the contact is known.
    #[must_use]
    pub fn lane_key(&self) -> Option<String> {
        self.aliases()
            .into_iter()
            .next()
            .map(|alias| format!("{}:{}", alias.kind.as_str(), alias.value))
    }
}

/// The kinds of ids that lead to a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AliasKind {
    /// The digits of [`Phone::matching_digits`].
    Phone,
    /// A business-scoped user id.
    UserId,
}

impl AliasKind {
    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::UserId => "user_id",
        }
    }
}

/// One id of a contact, unique within a tenant.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias {
    /// What kind of id.
    pub kind: AliasKind,
    /// The id; hashed before it is stored.
    pub value: String,
}

impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.kind.as_str())
    }
}

/// The provider's id of a message. It holds the user's phone number in clear (protocols/meta.md 4.4), so it is hidden
/// from logs and encrypted in the store.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderMessageId(String);

impl ProviderMessageId {
    /// Wraps an id; `None` for an empty text or one longer than 512 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= 512).then(|| Self(text.to_owned()))
    }

    /// The id as the provider writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProviderMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderMessageId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_strict() {
        for good in ["US.13491208655302741918", "BR.A1", "US.ENT.99"] {
            assert!(Bsuid::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "US",
            "US.",
            "us.1",
            "uUS.1",
            "USA.1",
            "US.1-2",
            "16505551234",
        ] {
            assert!(Bsuid::parse(bad).is_none(), "{bad}");
        }
    }
}
