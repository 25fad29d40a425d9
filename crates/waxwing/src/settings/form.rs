//! The forms that values of settings can have.

use std::net::IpAddr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use waxwing_api::address::Network;
use waxwing_store::DatabaseUrl;
use zeroize::Zeroizing;

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A port number; 0 takes a free one.
    Port,
    /// A whole number within bounds.
    Number(u32, u32),
    /// `on` or `off`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An address with one of these schemes, without query and credentials.
    Url(&'static [&'static str]),
    /// A database of the store.
    Database,
    /// An IP address to listen on.
    Address,
    /// IP addresses and networks, with commas between them.
    Networks,
    /// A path of the file system.
    Path,
    /// 32 bytes in hexadecimal digits or base64.
    Key,
    /// Visible ASCII characters, as a header can hold them.
    Token,
    /// One line of text.
    Text,
    /// The id of an object at a provider.
    ProviderId,
    /// Letters, digits, `.`, `_` and `-`.
    Name,
    /// The name of a database schema.
    Schema,
    /// An ISO 3166 code.
    Country,
    /// A version of the Graph API.
    GraphVersion,
    /// A filter of log lines.
    LogFilter,
    /// A Twilio account.
    TwilioAccount,
    /// A phone number, with or without `whatsapp:` in front.
    TwilioSender,
}

impl Form {
    /// What a value has to look like.
    pub fn expected(self) -> String {
        match self {
            Self::Port => "a port number from 0 to 65535".into(),
            Self::Number(low, high) => format!("a whole number from {low} to {high}"),
            Self::Switch => "on or off".into(),
            Self::Word(words) => words.join(" or "),
            Self::Url(schemes) => format!("an address such as {}://host:port", schemes[schemes.len() - 1]),
            Self::Database => "sqlite:<path> or postgres://user:password@host/database".into(),
            Self::Address => "an IP address such as 127.0.0.1 or 0.0.0.0".into(),
            Self::Networks => "addresses and networks such as 127.0.0.1,10.0.0.0/8".into(),
            Self::Path => "a path".into(),
            Self::Key => "32 random bytes as 64 hexadecimal digits or as base64, such as `openssl rand -hex 32` gives".into(),
            Self::Token => "1 to 4096 visible ASCII characters without blanks".into(),
            Self::Text => "one line of at most 1000 characters".into(),
            Self::ProviderId => "the provider's id: 1 to 64 letters, digits, `.`, `_` or `-`".into(),
            Self::Name => "1 to 64 letters, digits, `.`, `_` or `-`".into(),
            Self::Schema => "1 to 63 small letters, digits or `_`, not beginning with a digit".into(),
            Self::Country => "an ISO 3166 code of two letters, such as DE".into(),
            Self::GraphVersion => "a version such as v25.0".into(),
            Self::LogFilter => "error, warn, info, debug, trace, off, or a filter such as info,waxwing_app=debug".into(),
            Self::TwilioAccount => "AC and 32 hexadecimal digits".into(),
            Self::TwilioSender => "a phone number with + and country code, such as whatsapp:+14155238886".into(),
        }
    }

    /// Whether a value has the form.
    pub fn accepts(self, value: &str) -> bool {
        match self {
            Self::Port => value.parse::<u16>().is_ok(),
            Self::Number(low, high) => value
                .parse()
                .is_ok_and(|number: u32| (low..=high).contains(&number)),
            Self::Switch => switch(value).is_some(),
            Self::Word(words) => words.contains(&value),
            Self::Url(schemes) => is_url(value, schemes),
            Self::Database => DatabaseUrl::parse(value).is_ok(),
            Self::Address => value.parse::<IpAddr>().is_ok(),
            Self::Networks => networks(value).is_some(),
            Self::Path => !value.contains('\0'),
            Self::Key => key(value).is_some(),
            Self::Token => value.len() <= 4096 && value.bytes().all(|byte| byte.is_ascii_graphic()),
            Self::Text => value.chars().count() <= 1000 && !value.chars().any(char::is_control),
            Self::ProviderId | Self::Name => {
                value.len() <= 64
                    && value.bytes().any(|byte| byte != b'.')
                    && value
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            }
            Self::Schema => {
                value.len() <= 63
                    && !value.starts_with(|c: char| c.is_ascii_digit())
                    && value.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
                    })
            }
            Self::Country => {
                value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_alphabetic())
            }
            Self::GraphVersion => value
                .strip_prefix('v')
                .and_then(|rest| rest.split_once('.'))
                .is_some_and(|(major, minor)| {
                    major.parse::<u16>().is_ok() && minor.parse::<u16>().is_ok()
                }),
            Self::LogFilter => tracing_subscriber::EnvFilter::try_new(value).is_ok(),
            Self::TwilioAccount => value.strip_prefix("AC").is_some_and(|rest| {
                rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
            }),
            Self::TwilioSender => {
                let digits = value
                    .strip_prefix("whatsapp:")
                    .unwrap_or(value)
                    .strip_prefix('+');
                digits.is_some_and(|digits| {
                    (8..=15).contains(&digits.len())
                        && digits.bytes().all(|byte| byte.is_ascii_digit())
                })
            }
        }
    }
}

fn is_url(value: &str, schemes: &[&str]) -> bool {
    let Ok(uri) = value.parse::<http::Uri>() else {
        return false;
    };
    let credentials = uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    uri.scheme_str()
        .is_some_and(|scheme| schemes.contains(&scheme))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.query().is_none()
        && (!credentials || !schemes.contains(&"https"))
}

/// The networks of a list.
pub fn networks(value: &str) -> Option<Vec<Network>> {
    value
        .split(',')
        .map(|one| one.trim().parse().ok())
        .collect()
}

/// What a switch says.
pub fn switch(value: &str) -> Option<bool> {
    match value {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// The bytes of a key: 64 hexadecimal digits or base64 of either alphabet, padded or not.
pub fn key(value: &str) -> Option<Zeroizing<[u8; 32]>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = Zeroizing::new(match value.len() {
        64 => hex::decode(value).ok()?,
        43 | 44 => [&alphabet::STANDARD, &alphabet::URL_SAFE]
            .into_iter()
            .find_map(|alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(value).ok())?,
        _ => return None,
    });
    let mut key = Zeroizing::new([0; 32]);
    (bytes.len() == key.len()).then(|| key.copy_from_slice(&bytes))?;
    Some(key)
}
