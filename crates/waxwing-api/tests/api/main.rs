//! The API through its router, on a database of its own for each test.

mod access;
mod bodies;
mod channels;
mod document;
mod flows;
mod paging;
mod settings;
mod support;
mod templates;
mod tenants;
