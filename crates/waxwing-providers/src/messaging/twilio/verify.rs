//! Whether Twilio signed a webhook (protocols/twilio.md 4).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use ring::{digest, hmac};
use waxwing_core::channel::{Credentials, credential};
use waxwing_core::secret::Secret;

use super::params::PAIRS_MAX;
use crate::messaging::adapter::{Arrival, Endpoints};

const SIGNATURE: &str = "x-twilio-signature";
const SETTINGS: &str = "x-twilio-webhooks-signature-settings";
/// The query parameter that ties a body that is no form to the signed URL.
const BODY_HASH: &str = "bodySHA256=";

/// Whether someone who has these credentials signed the request for our public address.
pub(super) fn is_signed(
    arrival: Arrival<'_>,
    endpoints: &Endpoints,
    credentials: &Credentials,
) -> bool {
    let keys = keys(arrival.headers, credentials);
    let urls = endpoints
        .public_url
        .as_deref()
        .map(|public| urls(public, arrival.target))
        .unwrap_or_default();
    let signature = only(arrival.headers, SIGNATURE).and_then(|text| STANDARD.decode(text).ok());
    let (Some(signature), Some(params)) = (signature, signed_params(arrival)) else {
        return false;
    };
    let mut fits = false;
    for url in &urls {
        let text = format!("{url}{params}");
        for key in &keys {
            // No way out before the end: a wrong signature takes the same time whatever it is.
            fits |= hmac::verify(key, text.as_bytes(), &signature).is_ok();
        }
    }
    fits
}

/// The one value of a header; `None` when it is missing, comes twice or is no text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (value, more) = (values.next()?, values.next());
    value.to_str().ok().filter(|_| more.is_none())
}

/// The keys that may have signed. With shared keys on the channel, the auth token is not one of them: otherwise a
/// forger could choose the weaker way. A header that cannot be understood leaves none.
fn keys(headers: &HeaderMap, credentials: &Credentials) -> Vec<hmac::Key> {
    let shared = credentials.get(credential::SHARED_KEYS);
    let (mut id, mut algorithm) = (None, None);
    if headers.contains_key(SETTINGS) {
        let Some(settings) = only(headers, SETTINGS) else {
            return Vec::new();
        };
        for part in settings.split(',') {
            match part.split_once('=').map(|(k, v)| (k.trim(), v.trim())) {
                Some(("key", value)) => id = Some(value),
                Some(("algorithm", value)) => algorithm = Some(value),
                _ => {}
            }
        }
    }
    match (algorithm, shared) {
        (Some("HMAC_SHA256"), Some(shared)) => id
            .and_then(|id| shared_key(shared, id))
            .map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()))
            .into_iter()
            .collect(),
        (None | Some("HMAC_SHA1"), None) => {
            [credential::AUTH_TOKEN, credential::SECONDARY_AUTH_TOKEN]
                .into_iter()
                .filter_map(|name| credentials.get(name))
                .filter(|token| !token.is_empty())
                .map(|token| {
                    hmac::Key::new(
                        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                        token.expose().as_bytes(),
                    )
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// A shared key by its id, out of the JSON object of ids and secrets.
fn shared_key(shared: &Secret, id: &str) -> Option<Secret> {
    let mut keys: BTreeMap<String, Secret> = serde_json::from_str(shared.expose()).ok()?;
    keys.remove(id).filter(|secret| !secret.is_empty())
}

/// What Twilio appends to the URL: for a form its distinct names and values in the order of their bytes, for anything
/// else nothing. `None` when the body is not covered by the signature at all.
fn signed_params(arrival: Arrival<'_>) -> Option<String> {
    let kind = arrival
        .headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return is_body_named(arrival).then(String::new);
    }
    let mut params: BTreeMap<Cow<'_, str>, BTreeSet<Cow<'_, str>>> = BTreeMap::new();
    for (index, (name, value)) in form_urlencoded::parse(arrival.body).enumerate() {
        if index == PAIRS_MAX {
            return None;
        }
        params.entry(name).or_default().insert(value);
    }
    let mut text = String::with_capacity(arrival.body.len());
    for (name, values) in &params {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    Some(text)
}

/// Whether the signed URL names this body by its hash. Without a hash only the empty body is covered.
fn is_body_named(arrival: Arrival<'_>) -> bool {
    let query = arrival
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let named = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix(BODY_HASH))
        .next_back();
    match named {
        Some(hash) => hash == hex::encode(digest::digest(&digest::SHA256, arrival.body)),
        None => arrival.body.is_empty(),
    }
}

/// The forms of the URL that Twilio may have signed: as configured, without the port, with the standard port.
///
/// Joined as text: readers of URLs escape, drop and collapse parts that Twilio signs as they are.
fn urls(public: &str, target: &str) -> Vec<String> {
    let public = public.trim_end_matches('/');
    let target = target.split('#').next().unwrap_or_default();
    let standard = match public.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => 443,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => 80,
        _ => return Vec::new(),
    };
    if !target.starts_with('/') {
        return Vec::new();
    }
    let start = public.find("://").map_or(0, |at| at + 3);
    let end = public[start..]
        .find(['/', '?', '#'])
        .map_or(public.len(), |at| start + at);
    let host = public[start..end]
        .rfind('@')
        .map_or(start, |at| start + at + 1);
    // The colons of an IPv6 host stand in brackets.
    let past_brackets = public[host..end]
        .rfind(']')
        .map_or(host, |at| host + at + 1);
    let colon = public[past_brackets..end]
        .rfind(':')
        .map(|at| past_brackets + at);
    let (before, after) = (&public[..colon.unwrap_or(end)], &public[end..]);
    let other = match colon {
        Some(_) => format!("{before}{after}{target}"),
        None => format!("{before}:{standard}{after}{target}"),
    };
    let mut urls = vec![format!("{public}{target}"), other];
    // Some of Twilio's back ends sign an apostrophe of the query as its escape.
    if let Some(query) = target.find('?').filter(|at| target[*at..].contains('\'')) {
        let end = target.len() - query;
        for url in urls.clone() {
            let (address, query) = url.split_at(url.len() - end);
            urls.push(format!("{address}{}", query.replace('\'', "%27")));
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apostrophe_of_the_query_may_be_escaped() {
        let found = urls("https://a.example", "/it's?b='x'&c=%27");
        assert_eq!(
            found,
            [
                "https://a.example/it's?b='x'&c=%27",
                "https://a.example:443/it's?b='x'&c=%27",
                "https://a.example/it's?b=%27x%27&c=%27",
                "https://a.example:443/it's?b=%27x%27&c=%27",
            ]
        );
        assert_eq!(urls("https://a.example", "/it's").len(), 2);
    }

    #[test]
    fn ports_come_and_go() {
        let cases = [
            ("https://a.example", "/w", "https://a.example:443/w"),
            ("http://a.example/", "/w?x=1", "http://a.example:80/w?x=1"),
            ("https://a.example:8443/p", "/w", "https://a.example/p/w"),
            ("https://u:p@a.example", "/w", "https://u:p@a.example:443/w"),
            ("https://u:p@a.example:1", "/w", "https://u:p@a.example/w"),
            ("https://[::1]", "/w", "https://[::1]:443/w"),
            ("https://[::1]:9", "/w", "https://[::1]/w"),
        ];
        for (public, target, other) in cases {
            let found = urls(public, target);
            let configured = format!("{}{target}", public.trim_end_matches('/'));
            assert_eq!(found, [configured, other.to_owned()], "{public}");
        }
        assert!(urls("ftp://a.example", "/w").is_empty());
        assert!(urls("https://a.example", "http://b.example/").is_empty());
        assert!(urls("a.example", "/w").is_empty());
    }
}
