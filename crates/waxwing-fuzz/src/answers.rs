//! Answers of providers to our calls. They are trusted no more than the requests that come in: a proxy, a wrong host or
//! a bad day can put anything into them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_providers::http::HttpOutcome;
use waxwing_providers::messaging::media::media_api;
use waxwing_providers::messaging::{Account, Endpoints, adapter, template_api};

pub(crate) fn meta(data: &[u8]) {
    interpret(ChannelKind::Meta, data);
}

pub(crate) fn dialog360(data: &[u8]) {
    interpret(ChannelKind::Dialog360, data);
}

pub(crate) fn twilio(data: &[u8]) {
    interpret(ChannelKind::Twilio, data);
}

pub(crate) fn msg91(data: &[u8]) {
    interpret(ChannelKind::Msg91, data);
}

/// The first two bytes choose the status and whether there is a `Retry-After`; the rest is the body.
fn interpret(kind: ChannelKind, data: &[u8]) {
    const STATUSES: [u16; 12] = [200, 201, 204, 301, 400, 401, 403, 404, 429, 500, 502, 503];
    let (&choice, rest) = data.split_first().unwrap_or((&0, &[]));
    let status = STATUSES[usize::from(choice) % STATUSES.len()];
    let mut headers = HeaderMap::new();
    if choice >= 128
        && let Ok(value) = HeaderValue::from_bytes(&rest[..rest.len().min(8)])
    {
        headers.insert(header::RETRY_AFTER, value);
    }
    // A seed is the body of a real answer, so all of it is tried as one, too.
    for body in [rest, data] {
        let answer = HttpOutcome::Response {
            status,
            headers: headers.clone(),
            body: Bytes::copy_from_slice(body),
        };
        all_readers(kind, &answer);
    }
}

fn all_readers(kind: ChannelKind, answer: &HttpOutcome) {
    let account = Account {
        sender_id: "106540352242922".to_owned(),
        account_id: Some("102290129340398".to_owned()),
        credentials: Credentials::new(),
    };
    let endpoints = Endpoints::default();
    let provider = adapter(kind);
    let _ = provider.interpret_send(answer);
    let _ = provider.interpret_asset(answer);
    let _ = provider.interpret_lookup(&account, &endpoints, answer);
    let _ = provider.interpret_check(&account, answer);
    let _ = media_api(kind).uploaded(answer);
    let templates = template_api(kind);
    let _ = templates.interpret_create(answer);
    let _ = templates.interpret_approval(answer);
    let _ = templates.interpret_list(answer);
    let _ = templates.interpret_status(answer);
    let _ = templates.interpret_sample(answer);
    let _ = templates.interpret_sample_bytes(answer);
    let _ = templates.interpret_done(answer);
}
