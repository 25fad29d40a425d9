//! Whole-system tests: the real binary against the emulator, over real sockets, on both engines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accounts;
mod audit;
mod calls;
mod consent;
mod contacts;
mod contents;
mod conversation;
mod durability;
mod faults;
mod floods;
mod keys;
mod limits;
mod lookups;
mod media;
mod media_everywhere;
mod message_templates;
mod message_templates_everywhere;
mod pacing;
mod privacy;
mod readme;
mod receipts;
mod resources;
mod retention;
mod secrecy;
mod sends;
mod signup;
mod statuses;
mod support;
mod tenants;
mod twilio;
mod twilio_client;
mod webhooks;
mod window;
