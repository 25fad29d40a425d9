//! The providers' side of the wire on loopback: their endpoints with their own checks and error bodies, signed webhooks
//! with retries, faults by script, and a phone for the user. It shares no types with the adapters, so that a mistake in one
//! is not repeated in the other. Protocol facts are named as "meta.md section n".
//!
//! Users, threads, windows, faults, timing and the ledger are the same for every provider; what a provider adds is in a
//! module of its own, and the documentation of `provider.rs` says how another one is added.
//!
//! ```
//! use std::time::Duration;
//! use waxwing_emulator::{Emulator, EmulatorConfig, NumberConfig, User};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let emulator = Emulator::start(EmulatorConfig::default()).await?;
//! emulator.add_number(NumberConfig { webhook_url: Some("http://127.0.0.1:9/webhook".into()), ..NumberConfig::default() });
//! let phone = emulator.phone("106540352242922", User::with_phone("16505551234", "Sheena")).expect("the number was added");
//! phone.say("hello");
//! // A server that has META_GRAPH_URL set to `emulator.url()` would answer now.
//! assert!(phone.await_reply(Duration::from_millis(1)).await.is_err());
//! emulator.stop().await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod config;
mod dialog360;
mod emulator;
mod faults;
mod hub;
mod ids;
mod inbound;
mod ledger;
mod media;
mod meta;
mod msg91;
mod outbound;
mod phone;
mod phone_api;
mod provider;
mod server;
mod shown;
mod state;
mod status;
mod timer;
mod twilio;
mod webhook;

pub use config::{
    Checks, Delay, EmulatorConfig, NumberConfig, RateLimits, Referral, SendObserver, SendSeen,
    StatusTiming, User, WallClock, WebhookConfig,
};
pub use dialog360::config::{Dialog360Config, SignatureForm};
pub use emulator::Emulator;
pub use faults::{Fault, FaultMatch, FaultPoint, FaultRule, FaultScript};
pub use ledger::{Counts, Ledger, SendRecord, WebhookKind, WebhookRecord};
pub use meta::signup::Signup;
pub use msg91::config::{Msg91Config, Msg91Form};
pub use phone::{Phone, PhoneError};
pub use provider::{CallEvent, Provider, Registration};
pub use shown::{ShownButton, ShownMedia, ShownMessage, ShownRow, ShownSection, Tick};
pub use state::Reach;
pub use twilio::{SharedKey, TwilioNumber};
