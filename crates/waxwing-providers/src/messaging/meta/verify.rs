//! Who called: the signature of a webhook and the handshake that sets its address (protocols/meta.md 2).

use std::borrow::Cow;

use ring::hmac;
use waxwing_core::secret::Secret;

/// Characters of a challenge that is sent back. Meta's have ten digits today.
const CHALLENGE_MAX: usize = 1_024;

/// Finds the secret under which Meta signed `body`: the index in `secrets`, or `None` when none fits.
///
/// `header_values` are all values of `X-Hub-Signature-256`; other than exactly one is refused. The value is `sha256=`
/// and 64 hexadecimal digits over the raw bytes as they came. Comparisons take the same time for every wrong
/// signature. An empty secret never fits.
#[must_use]
pub fn verify_signature(body: &[u8], header_values: &[&str], secrets: &[Secret]) -> Option<usize> {
    let [value] = header_values else {
        return None;
    };
    let mut signature = [0; 32];
    hex::decode_to_slice(value.strip_prefix("sha256=")?, &mut signature).ok()?;
    secrets.iter().position(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        hmac::verify(&key, body, &signature).is_ok() && !secret.is_empty()
    })
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
