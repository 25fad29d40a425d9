//! The use cases and workers of Waxwing: what happens between a webhook and an answer.
//!
//! A request is appended ([`ingest`]), its items are handled in order by conversation ([`converse`]), what they make
//! goes out ([`deliver`]). [`send`] is the same queue for programs. [`upkeep`] keeps the process registered, recovers
//! what dead ones left and deletes what is too old. No HTTP server types here, and no SQL.

pub mod accounts;
pub mod audit;
pub mod callback;
pub mod consent;
pub mod contacts;
pub mod converse;
pub mod dead_letters;
pub mod deliver;
pub mod directory;
pub mod ingest;
pub mod keys;
pub mod lease;
pub mod media;
pub mod message_templates;
pub mod metrics;
pub mod privacy;
pub mod retention;
pub mod runtime;
pub mod send;
mod tenants;
pub mod unknown;
pub mod upkeep;

use std::sync::Arc;

use waxwing_core::ids::IdSource;
use waxwing_core::time::Clock;
use waxwing_store::Store;
use waxwing_store::domain::crypto::Keyring;

/// What every use case needs. Cheap to clone.
#[derive(Clone)]
pub struct Base {
    /// The database.
    pub store: Store,
    /// The keys.
    pub keyring: Keyring,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub ids: Arc<dyn IdSource>,
}
