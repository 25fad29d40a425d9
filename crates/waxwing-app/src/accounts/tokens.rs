//! Tokens: 256 random bits, shown once. Only keyed hashes of them are kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use waxwing_core::secret::Secret;
use waxwing_store::domain::crypto::{BlindPurpose, Keyring};

/// What a token opens. Its first letters say so, so that leaked ones are recognised and one is not taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// An API key.
    ApiKey,
    /// A session.
    Session,
    /// An invitation to a tenant.
    Invitation,
    /// A link for a new password.
    PasswordReset,
}

impl TokenKind {
    /// How its tokens begin.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "wax_",
            Self::Session => "was_",
            Self::Invitation => "wai_",
            Self::PasswordReset => "wap_",
        }
    }

    /// A fresh token.
    ///
    /// # Panics
    /// When the system's random generator does not work.
    #[must_use]
    pub fn fresh(self) -> Secret {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the system's random generator works");
        Secret::new(format!(
            "{}{}",
            self.prefix(),
            URL_SAFE_NO_PAD.encode(bytes)
        ))
    }

    /// The hash by which a token of this kind is kept; `None` for what is none.
    #[must_use]
    pub fn hash(self, keyring: &Keyring, token: &str) -> Option<Vec<u8>> {
        let rest = token.strip_prefix(self.prefix())?;
        (rest.len() == 43).then(|| keyring.blind_system(BlindPurpose::Token, &[token.as_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_kind_and_never_twice_the_same() {
        let keyring = Keyring::for_tests(7);
        let key = TokenKind::ApiKey.fresh();
        assert!(key.expose().starts_with("wax_") && key.expose().len() == 47);
        assert_ne!(key.expose(), TokenKind::ApiKey.fresh().expose());
        assert!(TokenKind::ApiKey.hash(&keyring, key.expose()).is_some());
        assert!(TokenKind::Session.hash(&keyring, key.expose()).is_none());
        for none in ["", "wax_", "wax_short", "x"] {
            assert!(TokenKind::ApiKey.hash(&keyring, none).is_none(), "{none}");
        }
    }
}
