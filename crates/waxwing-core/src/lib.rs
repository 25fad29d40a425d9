//! The pure core of Waxwing: vocabulary and rules.
//!
//! Nothing in this crate does I/O, reads a clock or draws a random number. Time and ids come in through
//! [`time::Clock`] and [`ids::IdSource`] or as plain arguments, decisions go out as plain data. Providers, the store,
//! HTTP and the command line are adapters around it.

pub mod access;
pub mod account;
pub mod account_news;
pub mod audit;
pub mod call;
pub mod channel;
pub mod consent;
pub mod content;
pub mod delivery;
pub mod errors;
pub mod event;
pub mod flow;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod lookup;
pub mod media;
pub mod message_template;
pub mod outbox;
pub mod pacing;
pub mod phone;
pub mod rates;
pub mod secret;
pub mod settings;
pub mod status;
pub mod step;
pub mod template;
pub mod time;
pub mod window;
