//! Accounts of people: what an address and a password have to look like, and how long credentials live.

use std::fmt;
use std::time::Duration;

use crate::secret::Secret;

/// A session that is not used for so long is over.
pub const SESSION_IDLE: Duration = Duration::from_secs(12 * 3_600);
/// A session is over after this time however it is used.
pub const SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long an invitation is good.
pub const INVITATION_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long a link for a new password is good.
pub const RESET_LIFE: Duration = Duration::from_secs(3_600);

/// The shortest password, in characters.
pub const PASSWORD_MIN: usize = 12;
/// The longest password, in characters. A bound on work; a phrase fits.
pub const PASSWORD_MAX: usize = 128;
/// The longest address (RFC 5321 4.5.3.1.3).
const EMAIL_MAX: usize = 254;

/// An e-mail address, by which a person logs in: in lower case, without blanks around it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

impl Email {
    /// Reads an address. Whether mail arrives there is not asked: only whether it can be told from others.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let (name, host) = text.rsplit_once('@')?;
        let plain =
            |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | ',');
        let whole_host = host
            .split('.')
            .all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
        let good = !name.is_empty()
            && name.chars().all(plain)
            && whole_host
            && host
                .chars()
                .all(|c| c.is_alphanumeric() || c == '.' || c == '-')
            && text.len() <= EMAIL_MAX;
        good.then_some(Self(text))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Hidden: it names a person.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

/// Words that passwords are made of again and again. What only repeats them, with digits around, is refused.
const COMMON: [&str; 14] = [
    "password", "passwort", "qwertz", "qwerty", "azerty", "letmein", "welcome", "admin",
    "iloveyou", "whatsapp", "waxwing", "changeme", "secret", "abc",
];

/// Why a password is refused; `None` when it is good. Length counts, not kinds of characters (NIST SP 800-63B 5.1.1).
#[must_use]
pub fn password_problem(password: &Secret, email: &Email) -> Option<&'static str> {
    let text = password.expose();
    let length = text.chars().count();
    if length < PASSWORD_MIN {
        return Some("must have at least 12 characters");
    }
    if length > PASSWORD_MAX {
        return Some("must have at most 128 characters");
    }
    let lower = text.to_lowercase();
    let name = email.as_str().split('@').next().unwrap_or_default();
    if lower.contains(email.as_str()) || (name.len() >= 4 && lower.contains(name)) {
        return Some("must not hold the e-mail address");
    }
    let mut rest = lower;
    for word in COMMON {
        rest = rest.replace(word, "");
    }
    let mut kinds: Vec<char> = rest.chars().filter(|c| !c.is_ascii_digit()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.len() < 4 {
        return Some("is too easy to guess");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_by_their_letters_only() {
        let ada = Email::parse(" Ada@Example.com ").unwrap();
        assert_eq!(ada.as_str(), "ada@example.com");
        assert!(!format!("{ada:?}").contains("ada"));
        for good in ["a@b", "o'hara+x@mail.example.org", "jürgen@exämple.de"] {
            assert!(Email::parse(good).is_some(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c",
            "a@b c",
            "a@b..c",
            "a@-b",
            "Ada <a@b.c>",
            "a@b,c@d",
            &long,
        ] {
            assert!(Email::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn passwords_are_long_and_not_the_usual_ones() {
        let email = Email::parse("grace@example.com").unwrap();
        let problem = |text: &str| password_problem(&Secret::new(text), &email);
        for good in ["correct horse battery", "zwölf Zeichen", "7f3kq9xw2mzb"] {
            assert_eq!(problem(good), None, "{good}");
        }
        let long = "ab cd".repeat(30);
        for bad in [
            "short",
            "passwordpassword1",
            "123456789012345",
            "aaaaaaaaaaaaaaa",
            "Password123456",
            "me grace@example.com",
            "gracegracegrace",
            "qwertyqwerty12",
            &long,
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
