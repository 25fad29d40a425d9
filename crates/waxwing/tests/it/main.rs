//! Whole-system tests: the real binary against the emulator, over real sockets, on both engines.

mod conversation;
mod durability;
mod sends;
mod statuses;
mod support;
mod tenants;
mod webhooks;
