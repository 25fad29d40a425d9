//! Requests of providers, before and after they are believed.

use http::{HeaderMap, HeaderName, HeaderValue};
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::secret::Secret;
use waxwing_providers::messaging::meta::{self, Handshake};
use waxwing_providers::messaging::{Arrival, Endpoints, Recorded, adapter};

/// What nothing that is tried can know.
const SECRET: &str = "7f0d6c7e1f6a4b0e9a53c1d2e8b4f690";
/// Routes of a request that are looked at before it is believed.
const ROUTES_MAX: usize = 64;

pub(crate) fn meta(data: &[u8]) {
    parse(ChannelKind::Meta, data);
}

pub(crate) fn dialog360(data: &[u8]) {
    parse(ChannelKind::Dialog360, data);
}

pub(crate) fn twilio(data: &[u8]) {
    parse(ChannelKind::Twilio, data);
}

pub(crate) fn msg91(data: &[u8]) {
    parse(ChannelKind::Msg91, data);
}

/// The first line is the query, the rest the body; without a second line all of it is the body.
fn parse(kind: ChannelKind, data: &[u8]) {
    let text = std::str::from_utf8(data).unwrap_or_default();
    let (query, body) = match text.split_once("\r\n") {
        Some((query, body)) => (query, body.as_bytes()),
        None => ("", data),
    };
    let provider = adapter(kind);
    let kept = provider.query_to_keep(query);
    let recorded = Recorded { query: &kept, body };
    let routes = provider.peek(recorded);
    assert!(routes.len() <= ROUTES_MAX, "more routes than are tried");
    let Ok(parsed) = provider.parse(recorded) else {
        assert!(
            provider.parse(recorded).is_err(),
            "the same bytes are read differently"
        );
        return;
    };
    let again = provider.parse(recorded);
    assert!(
        again.is_ok_and(|again| again == parsed),
        "the same bytes are read differently"
    );
    let mut places: Vec<u32> = parsed
        .items
        .iter()
        .map(|item| item.index)
        .chain(parsed.broken.iter().map(|item| item.index))
        .collect();
    places.sort_unstable();
    let count = places.len();
    places.dedup();
    assert_eq!(places.len(), count, "two items have one place");
}

pub(crate) fn signature_meta(data: &[u8]) {
    let secrets = Credentials::new().with(credential::APP_SECRET, Secret::new(SECRET));
    nobody_is_believed(ChannelKind::Meta, "x-hub-signature-256", &secrets, data);
}

pub(crate) fn signature_twilio(data: &[u8]) {
    let secrets = Credentials::new().with(credential::AUTH_TOKEN, Secret::new(SECRET));
    nobody_is_believed(ChannelKind::Twilio, "x-twilio-signature", &secrets, data);
}

pub(crate) fn signature_dialog360(data: &[u8]) {
    let secrets = Credentials::new().with(credential::WEBHOOK_SECRET, Secret::new(SECRET));
    nobody_is_believed(ChannelKind::Dialog360, "x-webhook-secret", &secrets, data);
}

pub(crate) fn signature_msg91(data: &[u8]) {
    let secrets = Credentials::new().with(credential::WEBHOOK_SECRET, Secret::new(SECRET));
    nobody_is_believed(ChannelKind::Msg91, "x-webhook-secret", &secrets, data);
}

/// Lines of the request: the target, the value of the header that authenticates, another header, the body.
fn nobody_is_believed(kind: ChannelKind, name: &'static str, secrets: &Credentials, data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let target = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let value = parts.next().unwrap_or_default();
    let other = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.append(HeaderName::from_static(name), value);
    }
    if let Ok(value) = HeaderValue::from_bytes(other) {
        headers.append(HeaderName::from_static("content-type"), value.clone());
        headers.append(HeaderName::from_static(name), value);
    }
    let endpoints = Endpoints {
        public_url: Some("https://waxwing.example.com".to_owned()),
        ..Endpoints::default()
    };
    let arrival = Arrival {
        target: &target,
        headers: &headers,
        body,
    };
    let provider = adapter(kind);
    for known in [secrets, &Credentials::new()] {
        assert!(
            !provider.authentic(arrival, &endpoints, known),
            "somebody without the secret is believed"
        );
    }
}

pub(crate) fn handshake(data: &[u8]) {
    let query = String::from_utf8_lossy(data);
    let answer = meta::handshake(&query, &Secret::new(SECRET));
    assert_eq!(answer, Handshake::Forbidden, "a wrong token is accepted");
    // Somebody who does know it decides about the rest.
    let signed = format!("hub.verify_token={SECRET}&{query}");
    if let Handshake::Challenge(text) = meta::handshake(&signed, &Secret::new(SECRET)) {
        assert!(
            !text.is_empty() && text.len() <= 1_024,
            "a challenge without end"
        );
    }
}
