//! Meta's WhatsApp Cloud API (protocols/meta.md). Pure: bytes and settings in, plain data out.

mod request;
mod verify;

pub use request::{
    ChannelCheck, ChannelConfig, build_check, build_send, interpret_check, interpret_send,
};
pub use verify::{Handshake, handshake, verify_signature};
use waxwing_core::event::{Parsed, Route};

use super::cloud::parse as cloud_parse;
pub use super::cloud::parse::Unreadable;
pub use super::cloud::send::{BuildError, Recipient};

/// The distinct numbers and accounts that a webhook body names, at most 64, in the order of the body.
///
/// Meant for the moment before the signature is checked: it tells whose secrets to try and where the request will be
/// worked on. Its answer is not to be trusted for anything else. Works on any bytes; an unreadable body names nothing.
#[must_use]
pub fn peek_routes(body: &[u8]) -> Vec<Route> {
    cloud_parse::peek(body)
}

/// Reads a webhook body whose signature was checked.
///
/// Items come in the order of the body, numbered over good and broken ones alike; the same bytes give the same
/// numbers. A broken item never loses its neighbours: byte order marks, U+0000, halves of surrogate pairs, bytes that
/// are no UTF-8, deep nesting, properties that occur twice or have an unexpected kind are all survived. A request for
/// another product of Meta has no items.
///
/// # Errors
/// When the body as a whole is not JSON; it has to be kept as it is.
pub fn parse(body: &[u8]) -> Result<Parsed, Unreadable> {
    cloud_parse::parse(body)
}
