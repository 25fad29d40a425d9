//! Converse: the recorded requests of a partition become effects, in order by conversation.
//!
//! One worker for each partition reads what waits, parses it, and commits the effects of the whole batch in one
//! transaction (`apply`): duplicate marks, messages, state, replies, outbox rows and the end of the request itself.
//! Whatever happens to the process, a request has either had all of its effects or none.

mod account;
mod apply;
mod batch;
mod calls;
mod files;
mod notices;
mod people;
mod probe;
mod worker;

use waxwing_core::channel::ChannelKind;

pub use probe::Probe;
pub use worker::{ConverseOptions, run};

/// Reads a request as the workers do; what a [`Probe`]'s child process does with its arguments and its input.
pub fn read_only(kind: &str, query: &str, body: &[u8]) {
    if let Some(kind) = ChannelKind::parse(kind) {
        std::hint::black_box(batch::read(kind, query, body)).ok();
    }
}
