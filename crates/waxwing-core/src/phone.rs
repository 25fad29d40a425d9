//! Phone numbers: one normaliser for the whole system.
//!
//! A [`Phone`] is in E.164 form. Providers deliver digits without `+`; people type national forms. Both become the
//! same type here, or an error.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A phone number in E.164 form. `Debug` masks it; use [`Phone::e164`] where it must be whole.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Phone {
    digits: String,
}

/// Why a text is not a phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// Nothing but blanks.
    #[error("is empty")]
    Empty,
    /// Something else than digits, `+`, blanks, dots, dashes and brackets.
    #[error("has characters that no phone number has")]
    Characters,
    /// Fewer than 8 or more than 15 digits (E.164 allows 15).
    #[error("must have 8 to 15 digits with the country code")]
    Length,
    /// No country begins with 0.
    #[error("must begin with a country code, not with 0")]
    CountryCode,
    /// Without `+` and without a default country nobody can tell which country is meant.
    #[error("needs a leading + with the country code, as the tenant has no default country")]
    NoCountry,
    /// The numbering plan of the country has no such number.
    #[error("is not a valid number of its country")]
    Invalid,
}

impl Phone {
    /// Parses the digits that a provider delivers (`wa_id`, `from`): a full international number without `+`.
    ///
    /// # Errors
    /// When the text is not 8 to 15 digits that begin with a country code. A leading `+` is allowed.
    pub fn from_wa_id(text: &str) -> Result<Self, PhoneError> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        if digits.is_empty() {
            return Err(PhoneError::Empty);
        }
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PhoneError::Characters);
        }
        if digits.starts_with('0') {
            return Err(PhoneError::CountryCode);
        }
        if !(8..=15).contains(&digits.len()) {
            return Err(PhoneError::Length);
        }
        Ok(Self {
            digits: digits.to_owned(),
        })
    }

    /// Parses what a person or a program wrote: `+49 170 1234567`, `0049…` with a default country, or a national form.
    ///
    /// `default_country` is an ISO 3166 code such as `DE`. It is needed for texts without `+`. The numbering plans
    /// (several MiB) are loaded only when such a text comes.
    ///
    /// # Errors
    /// A [`PhoneError`] that says what is wrong with the text.
    pub fn parse(text: &str, default_country: Option<&str>) -> Result<Self, PhoneError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PhoneError::Empty);
        }
        if !text.chars().all(|c| {
            c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.' | '/' | '\u{a0}')
        }) {
            return Err(PhoneError::Characters);
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if let Some(rest) = text.strip_prefix('+') {
            if rest.contains('+') {
                return Err(PhoneError::Characters);
            }
            return Self::from_wa_id(&digits);
        }
        let country: phonenumber::country::Id = default_country
            .and_then(|code| code.parse().ok())
            .ok_or(PhoneError::NoCountry)?;
        let number = phonenumber::parse(Some(country), text).map_err(|_| PhoneError::Invalid)?;
        if !phonenumber::is_valid(&number) {
            return Err(PhoneError::Invalid);
        }
        Self::from_wa_id(&number.format().mode(phonenumber::Mode::E164).to_string())
    }

    /// The number with its leading `+`, as it goes to providers and API users.
    #[must_use]
    pub fn e164(&self) -> String {
        format!("+{}", self.digits)
    }

    /// The digits without `+`, as Meta delivers them.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// The digits by which a person is recognised: Brazilian mobiles without the ninth digit, Argentine ones without
    /// the 9 and Mexican ones without the 1 are the same people as with it (protocols/meta.md 4.1, observed by
    /// others). Only for matching, never for sending.
    #[must_use]
    pub fn matching_digits(&self) -> String {
        let digits = self.digits.as_str();
        match digits.len() {
            13 if digits.starts_with("55") && digits.as_bytes()[4] == b'9' => {
                [&digits[..4], &digits[5..]].concat()
            }
            13 if digits.starts_with("549") => ["54", &digits[3..]].concat(),
            13 if digits.starts_with("521") => ["52", &digits[3..]].concat(),
            _ => digits.to_owned(),
        }
    }

    /// The number with all but the first two and last two digits hidden, for logs and lists.
    #[must_use]
    pub fn masked(&self) -> String {
        format!(
            "+{}…{}",
            &self.digits[..2],
            &self.digits[self.digits.len() - 2..]
        )
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for Phone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.e164())
    }
}

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text, None).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_people_write() {
        let cases: [(&str, Option<&str>, Result<&str, PhoneError>); 10] = [
            ("+49 170 1234567", None, Ok("+491701234567")),
            ("+1 (650) 555-1234", None, Ok("+16505551234")),
            ("0170 1234567", Some("DE"), Ok("+491701234567")),
            ("0170 1234567", None, Err(PhoneError::NoCountry)),
            ("98765 43210", Some("IN"), Ok("+919876543210")),
            ("", None, Err(PhoneError::Empty)),
            ("+12", None, Err(PhoneError::Length)),
            ("call me", None, Err(PhoneError::Characters)),
            ("+0123456789", None, Err(PhoneError::CountryCode)),
            ("12", Some("DE"), Err(PhoneError::Invalid)),
        ];
        for (text, country, expected) in cases {
            let parsed = Phone::parse(text, country).map(|phone| phone.e164());
            assert_eq!(
                parsed.as_deref().map_err(|error| *error),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn variants_of_one_person_match() {
        for (one, other) in [
            ("5511987654321", "551187654321"),
            ("5491123456789", "541123456789"),
            ("5215512345678", "525512345678"),
        ] {
            let (one, other) = (
                Phone::from_wa_id(one).unwrap(),
                Phone::from_wa_id(other).unwrap(),
            );
            assert_eq!(one.matching_digits(), other.matching_digits());
            assert_ne!(one, other);
        }
    }

    #[test]
    fn debug_hides_the_number() {
        assert_eq!(
            format!("{:?}", Phone::from_wa_id("16505551234").unwrap()),
            "+16…34"
        );
    }
}
