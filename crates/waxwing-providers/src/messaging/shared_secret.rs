//! Webhooks of providers that do not sign: the provider repeats a secret of our own making, in a header that was set
//! with the webhook or in the query of its address (protocols/360dialog.md 4, protocols/msg91.md 4).

use http::HeaderName;
use http::header::AUTHORIZATION;
use ring::hmac;
use waxwing_core::secret::Secret;

use crate::messaging::adapter::Arrival;

/// The parameter of the query that may hold the secret.
const PARAMETER: &str = "secret";
/// Values that are compared: nobody sends more of them honestly.
const VALUES_MAX: usize = 16;

/// Whether a request shows `secret`: as `Bearer` in `Authorization`, in one of `headers`, or in the query.
///
/// Without a secret nothing fits. All values are compared, each over tags of both texts, so that the time tells
/// nothing about where they differ or how long the secret is.
pub(crate) fn is_shown(
    arrival: Arrival<'_>,
    headers: &[HeaderName],
    secret: Option<&Secret>,
) -> bool {
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"waxwing webhook secret");
    let expected = hmac::sign(&key, secret.expose().as_bytes());
    let fits = |given: &[u8]| hmac::verify(&key, given, expected.as_ref()).is_ok();

    let mut found = false;
    for value in arrival
        .headers
        .get_all(AUTHORIZATION)
        .iter()
        .take(VALUES_MAX)
    {
        if let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.split_once(' ')) {
            found |= scheme.eq_ignore_ascii_case("bearer") & fits(token.trim().as_bytes());
        }
    }
    for name in headers {
        for value in arrival.headers.get_all(name).iter().take(VALUES_MAX) {
            found |= fits(value.as_bytes());
        }
    }
    let query = arrival
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    for (name, value) in form_urlencoded::parse(query.as_bytes()).take(VALUES_MAX) {
        if name == PARAMETER {
            found |= fits(value.as_bytes());
        }
    }
    found
}
