//! Adapters of WhatsApp providers.
//!
//! Everything about a provider is a pure function of bytes and settings: [`messaging::meta`] verifies, parses, builds
//! and interprets without touching a socket. [`http`] is the only place from which Waxwing calls out; the application
//! builds a request, hands it to [`http::HttpClient`] and has the outcome interpreted.

pub mod http;
pub mod messaging;
