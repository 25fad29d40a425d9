//! Test equipment: the real server binary against the emulator, over real sockets.
//!
//! A [`TestApp`] owns a server process, an emulator and a data directory (or a PostgreSQL schema); dropping it ends the
//! process. Waiting is always for a condition, with a deadline.

mod app;
mod http;
mod provider;
mod redis;
mod webhook;

pub use app::{ADMIN_TOKEN, Engine, MASTER_KEY, Node, TestApp, TestOptions, wait_for};
pub use http::{Answer, Api};
pub use redis::RedisServer;
pub use webhook::{NUMBER, SECRET, Sender, Tenant, VERIFY_TOKEN, sign, status_body, text_body};
