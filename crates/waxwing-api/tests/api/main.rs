//! The API through its router, on a database of its own for each test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod accounts;
mod audit;
mod bodies;
mod channels;
mod document;
mod flows;
mod layers;
mod message_templates;
mod paging;
mod second_factor;
mod settings;
mod support;
mod templates;
mod tenants;
mod walk;
