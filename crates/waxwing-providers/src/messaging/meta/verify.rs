//! Who called: the signature of a webhook and the handshake that sets its address (protocols/meta.md 2).

use std::borrow::Cow;

use ring::hmac;
use waxwing_core::secret::Secret;

/// Characters of a challenge that is sent back. Meta's have ten digits today.
const CHALLENGE_MAX: usize = 1_024;

/// Whether Meta signed `body` with the app secret `secret`.
///
/// `header_value` is the one value of `X-Hub-Signature-256`: `sha256=` and 64 hexadecimal digits over the raw bytes as
/// they came. Takes the same time for every wrong signature. An empty secret never fits.
pub(super) fn is_signed(body: &[u8], header_value: &str, secret: &Secret) -> bool {
    let mut signature = [0; 32];
    let digits = header_value.strip_prefix("sha256=");
    if digits.is_none_or(|digits| hex::decode_to_slice(digits, &mut signature).is_err()) {
        return false;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    hmac::verify(&key, body, &signature).is_ok() && !secret.is_empty()
}

/// The answer to a GET on the webhook address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// 200 with this text as the whole body, as `text/plain` so that no browser runs it.
    Challenge(String),
    /// 403: the token or the mode is wrong.
    Forbidden,
    /// 400: nothing to send back.
    BadRequest,
}

/// Answers Meta's check of the webhook address: `query` is the raw query string without `?`.
#[must_use]
pub fn handshake(query: &str, token: &Secret) -> Handshake {
    let (mut mode, mut challenge, mut given) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let slot: &mut Option<Cow<'_, str>> = match name.as_ref() {
            "hub.mode" => &mut mode,
            "hub.challenge" => &mut challenge,
            "hub.verify_token" => &mut given,
            _ => continue,
        };
        // The first of several counts.
        slot.get_or_insert(value);
    }
    let fits = is_token(given.as_deref().unwrap_or_default(), token);
    if !fits || mode.as_deref() != Some("subscribe") {
        return Handshake::Forbidden;
    }
    match challenge {
        Some(challenge) if (1..=CHALLENGE_MAX).contains(&challenge.len()) => {
            Handshake::Challenge(challenge.into_owned())
        }
        _ => Handshake::BadRequest,
    }
}

/// Compares over tags of both texts, so that the time tells nothing about where they differ or how long they are.
fn is_token(given: &str, token: &Secret) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"waxwing verify token");
    let expected = hmac::sign(&key, token.expose().as_bytes());
    hmac::verify(&key, given.as_bytes(), expected.as_ref()).is_ok() && !token.is_empty()
}
