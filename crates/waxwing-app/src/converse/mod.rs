//! Converse: the recorded requests of a partition become effects, in order by conversation.
//!
//! One worker for each partition reads what waits, parses it, and commits the effects of the whole batch in one
//! transaction ([`apply`]): duplicate marks, messages, state, replies, outbox rows and the end of the request itself.
//! Whatever happens to the process, a request has either had all of its effects or none.

mod apply;
mod batch;
mod people;
mod worker;

pub use worker::{ConverseOptions, run};
