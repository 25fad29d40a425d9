//! What all providers have in common, and what each has to bring along.
//!
//! Users, threads, windows, limits, the ledger, faults, timing and the phone are the same for every provider. A provider
//! is a module that
//! 1. turns requests into a [`crate::outbound::Draft`], with its own checks, error bodies and answers
//!    (`serve`, called by `server::dispatch` for the requests that `claims` recognises), and
//! 2. turns what users do, and the statuses of messages, into webhooks: [`Wire`].
//!
//! To add one: a variant of [`Provider`] exists already; write the module with a public configuration of a number, its
//! line (the state behind a number) that implements [`Wire`], and `claims` and `serve`; then add the line to [`Line`], the
//! configuration to [`Registration`], the accounts (if it needs any) to `Hub`, and the claim to `server::dispatch`. The
//! compiler names every place that a new variant needs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::config::{NumberConfig, User};
use crate::dialog360::Dialog360Line;
use crate::dialog360::config::Dialog360Config;
use crate::hub::Hub;
use crate::ids::Way;
use crate::inbound::Inbound;
use crate::meta::MetaLine;
use crate::msg91::Msg91Line;
use crate::msg91::config::Msg91Config;
use crate::state::Number;
use crate::status::{Item, OutMessage, Stage};
use crate::twilio::{TwilioLine, TwilioNumber};

/// Whose protocol a number speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Meta's Cloud API.
    Meta,
    /// 360dialog.
    Dialog360,
    /// Twilio.
    Twilio,
    /// MSG91.
    Msg91,
}

impl Provider {
    /// The name in scripts, in the phone's API and in registrations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Dialog360 => "dialog360",
            Self::Twilio => "twilio",
            Self::Msg91 => "msg91",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A business number of any provider, as [`crate::Emulator::add_number`] takes it. As JSON it is the provider's
/// configuration with a property `provider`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "provider", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Registration {
    /// A number of Meta's Cloud API.
    Meta(NumberConfig),
    /// A number at 360dialog.
    Dialog360(Dialog360Config),
    /// A number at MSG91.
    Msg91(Msg91Config),
    /// A WhatsApp sender of Twilio's.
    Twilio(TwilioNumber),
}

impl From<Dialog360Config> for Registration {
    fn from(config: Dialog360Config) -> Self {
        Self::Dialog360(config)
    }
}

impl From<Msg91Config> for Registration {
    fn from(config: Msg91Config) -> Self {
        Self::Msg91(config)
    }
}

impl From<TwilioNumber> for Registration {
    fn from(config: TwilioNumber) -> Self {
        Self::Twilio(config)
    }
}

impl From<NumberConfig> for Registration {
    fn from(config: NumberConfig) -> Self {
        Self::Meta(config)
    }
}

/// The provider's state behind a number.
#[derive(Debug)]
pub(crate) enum Line {
    Meta(Box<MetaLine>),
    Dialog360(Box<Dialog360Line>),
    Msg91(Box<Msg91Line>),
    Twilio(Box<TwilioLine>),
}

impl Line {
    pub(crate) fn wire(&self) -> &dyn Wire {
        match self {
            Self::Meta(line) => &**line,
            Self::Dialog360(line) => &**line,
            Self::Msg91(line) => &**line,
            Self::Twilio(line) => &**line,
        }
    }
}

/// Why an accepted message will fail, whatever the provider calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doom {
    NotOnWhatsApp,
    /// The user wants no marketing and this is marketing.
    OptedOut,
    /// Free-form content outside the customer service window.
    WindowClosed,
}

/// News of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallNews<'a> {
    pub(crate) id: &'a str,
    /// Whether the user called.
    pub(crate) by_user: bool,
    pub(crate) event: CallEvent,
}

/// What happened to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEvent {
    /// It rings, with an offer or answer of a connection.
    Connect,
    /// A call of the business rings at the user.
    Ringing,
    /// The user took a call of the business.
    Accepted,
    /// The user did not want a call of the business.
    Rejected,
    /// It ended, after so many seconds of talking; 0 when nobody had answered.
    Ended(u64),
}

/// A message of a user on its way to the business.
pub(crate) struct Said<'a> {
    pub(crate) id: &'a str,
    pub(crate) user: &'a User,
    /// Seconds since 1970.
    pub(crate) at: u64,
    pub(crate) inbound: &'a Inbound,
}

/// In which form a message is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// The n-th copy, made to look different outside the message itself.
    Copy(u32),
    /// A placeholder that comes before the message; only Meta has it.
    Ghost,
}

/// A webhook before it is signed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parcel {
    pub(crate) body: Bytes,
    /// Where to, when not to the number's own address.
    pub(crate) url: Option<String>,
    /// Meta: template and account events go to the app's own callback, whatever overrides exist (meta.md section 2.5).
    pub(crate) default_only: bool,
    /// Sign with another secret.
    pub(crate) wrong_signature: bool,
    /// Headers that all attempts carry.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Parcel {
    pub(crate) fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }
}

/// One attempt of a webhook: where it goes and with what.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    /// Time limit, when it is not the emulator's.
    pub(crate) timeout: Option<Duration>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    /// No connection, or there was no address to connect to.
    NoConnection,
    /// Connected, but no answer in time or a broken one.
    NoAnswer,
}

impl Outcome {
    pub(crate) const fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }
}

/// What follows an attempt.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It arrived.
    Done,
    /// It is tried again after a while.
    Again(Duration),
    /// Another webhook is posted in its place, as a fallback.
    Instead(Box<Parcel>),
    /// It is given up.
    Over,
}

/// The attempts made so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempts {
    /// Failed ones before this one.
    pub(crate) before: u32,
    /// Start of the first one.
    pub(crate) first: Instant,
}

/// What a provider brings along for one of its numbers.
pub(crate) trait Wire: fmt::Debug + Send + Sync {
    fn provider(&self) -> Provider;

    /// The number as digits.
    fn display(&self) -> &str;

    /// Name shown to users.
    fn name(&self) -> &str;

    /// Sets the address of webhooks, for servers that start after the emulator.
    fn set_webhook(&self, url: &str);

    /// Whether webhooks are sent at all.
    fn delivers(&self) -> bool {
        true
    }

    /// Most statuses in one webhook, given what the configuration wants.
    fn batch(&self, _wanted: usize) -> usize {
        1
    }

    /// A fresh id for a message of a kind, from or to a user.
    fn message_id(&self, hub: &Hub, user: &str, way: Way, kind: &str) -> String;

    /// A message of a user was made, before it is posted.
    fn said(&self, _hub: &Hub, _said: &Said<'_>) {}

    /// A fresh id for a file that a user sends.
    fn media_id(&self, hub: &Hub) -> String {
        crate::ids::object_id(&hub.rng)
    }

    /// The provider's code for a reason to fail.
    fn fail_code(&self, doom: Doom) -> i64;

    /// The webhook of a user's message; `None` when the provider has none of this form.
    fn message(&self, hub: &Hub, number: &Number, said: &Said<'_>, form: Form) -> Option<Parcel>;

    /// A user who was `old` is now `user`; `None` when the provider does not tell.
    fn number_changed(&self, hub: &Hub, number: &Number, old: &str, user: &User) -> Option<Parcel> {
        let _ = (hub, number, old, user);
        None
    }

    /// A user wants no more marketing, or wants it again; `None` when the provider does not tell.
    fn preference(&self, hub: &Hub, number: &Number, user: &User, stop: bool) -> Option<Parcel> {
        let _ = (hub, number, user, stop);
        None
    }

    /// News of a call with a user; `None` when the provider has no calls.
    fn call(&self, hub: &Hub, number: &Number, user: &User, news: &CallNews<'_>) -> Option<Parcel> {
        let _ = (hub, number, user, news);
        None
    }

    /// A message reaches a stage, told or not; false when it does not, because it was taken back.
    fn reached(&self, _message: &OutMessage, _stage: Stage, _now_ms: u64) -> bool {
        true
    }

    /// The webhook of some statuses, at most [`Wire::batch`]; `None` when nobody wants to know.
    fn statuses(&self, hub: &Hub, number: &Number, items: &[Item]) -> Option<Parcel>;

    /// The refusal of a send in the provider's own words, for faults of a script.
    fn own_error(&self, hub: &Hub, status: u16, text: &str) -> Answer {
        let _ = hub;
        Answer::plain(status, "text/plain", text.to_owned())
    }

    /// Prepares an attempt; `None` while there is no address.
    fn post(&self, parcel: &Parcel) -> Option<Post>;

    /// Judges an attempt.
    fn verdict(&self, hub: &Hub, parcel: &Parcel, attempts: Attempts, outcome: Outcome) -> Verdict;
}

impl Hub {
    /// Exponential backoff within the limits of the configuration.
    pub(crate) fn backoff(&self, attempts: Attempts) -> Verdict {
        let config = &self.config.webhooks;
        let step = 2_u32.saturating_pow(attempts.before.min(20));
        let delay = config
            .retry_base
            .saturating_mul(step)
            .min(config.retry_max)
            .mul_f64(0.8 + self.rng.share() * 0.4);
        if attempts.first.elapsed() + delay > config.retry_for {
            Verdict::Over
        } else {
            Verdict::Again(delay)
        }
    }

    /// Adds a number of any provider, or replaces the one with the same id.
    pub(crate) fn add_number(&self, registration: Registration) -> Arc<Number> {
        let (id, line) = match registration {
            Registration::Meta(config) => (
                config.phone_number_id.clone(),
                Line::Meta(Box::new(self.meta.line(config, &self.rng))),
            ),
            Registration::Dialog360(config) => (
                config.phone_number_id.clone(),
                Line::Dialog360(Box::new(Dialog360Line::new(self, config))),
            ),
            Registration::Msg91(config) => (
                config.integrated_number.clone(),
                Line::Msg91(Box::new(Msg91Line::new(self, config))),
            ),
            Registration::Twilio(config) => (
                config.id(),
                Line::Twilio(Box::new(self.twilio.line(config))),
            ),
        };
        self.insert(Number::new(&id, line))
    }
}
