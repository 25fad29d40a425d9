//! The adapters against recorded and composed examples of the providers, and the client against small TCP servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod dialog360;
mod errors;
mod expectation;
mod http;
mod inbound;
mod media;
mod msg91;
mod mutation;
mod providers;
mod robust;
mod samples;
mod send;
mod support;
mod templates;
mod twilio;
mod verify;
mod wire;
