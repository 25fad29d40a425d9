//! Settings of an emulator: where it listens, how it times statuses, which of Meta's limits it enforces.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::faults::FaultScript;
use crate::provider::Provider;
use serde::{Deserialize, Serialize};

/// Source of wall-clock time; a test may inject one to open and close customer service windows.
pub type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Called synchronously for every accepted send, before the answer is written. Keep it short: it runs on the hot path.
pub type SendObserver = Arc<dyn Fn(&SendSeen<'_>) + Send + Sync>;

/// What a [`SendObserver`] gets to see of one accepted send.
#[derive(Debug, Clone, Copy)]
pub struct SendSeen<'a> {
    /// Provider of the number.
    pub provider: Provider,
    /// Number that sent the message, by its id in the emulator.
    pub phone_number_id: &'a str,
    /// Message id that the answer carries.
    pub wamid: &'a str,
    /// Recipient as digits, business-scoped user id or group id.
    pub to: &'a str,
    /// Message type (`text`, `interactive`, …).
    pub kind: &'a str,
    /// Visible text, empty for kinds without one.
    pub text: &'a str,
    /// `biz_opaque_callback_data` of the request.
    pub callback_data: Option<&'a str>,
    /// Moment of acceptance.
    pub at: Instant,
}

/// How an emulator behaves. [`Default`] is faithful to the providers, on a free loopback port.
#[derive(Clone)]
pub struct EmulatorConfig {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Seed of message ids, delays and probabilities. The default is random, so that a restarted emulator never repeats
    /// message ids against a database that remembers them.
    pub seed: u64,
    /// Faults in force from the start.
    pub faults: FaultScript,
    /// When the statuses of an accepted message are emitted.
    pub timing: StatusTiming,
    /// How webhooks are sent.
    pub webhooks: WebhookConfig,
    /// Rate limits in force.
    pub limits: RateLimits,
    /// Checks that need knowledge beyond the request itself.
    pub checks: Checks,
    /// Record every accepted send and every webhook. Without it only the counters are kept.
    pub ledger: bool,
    /// Most sends (and, separately, most webhooks) that the ledger keeps; older ones are forgotten and counted.
    pub ledger_capacity: usize,
    /// Wait this long before answering an accepted send.
    pub answer_delay: Duration,
    /// Give every recipient a phone with a thread, up to [`EmulatorConfig::max_users`]. Users that were named by
    /// [`crate::Emulator::phone`] or by the phone API always have one.
    pub threads: bool,
    /// Most users per number.
    pub max_users: usize,
    /// Most messages kept per thread.
    pub thread_length: usize,
    /// Most bytes of uploaded media kept in memory, over all numbers.
    pub media_bytes: usize,
    /// Life of a media download URL. Meta documents five minutes; MSG91's live for a month, or not at all when this is
    /// zero.
    pub media_url_life: Duration,
    /// Time between the creation of a message template and its review.
    pub template_review: Duration,
    /// Hook for load generators.
    pub observer: Option<SendObserver>,
    /// Wall clock for timestamps and customer service windows.
    pub clock: WallClock,
}

impl fmt::Debug for EmulatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatorConfig")
            .field("listen", &self.listen)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the emulator plays the world outside; its default clock is the real one"
)]
fn system_now() -> SystemTime {
    SystemTime::now()
}

fn random_seed() -> u64 {
    let mut bytes = [0_u8; 8];
    let random = ring::rand::SystemRandom::new();
    match ring::rand::SecureRandom::fill(&random, &mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // Without a random source the time still keeps two runs apart.
        Err(ring::error::Unspecified) => system_now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(1, |d| u64::try_from(d.as_nanos()).unwrap_or(1)),
    }
}

impl Default for EmulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: random_seed(),
            faults: FaultScript::default(),
            timing: StatusTiming::default(),
            webhooks: WebhookConfig::default(),
            limits: RateLimits::default(),
            checks: Checks::default(),
            ledger: true,
            ledger_capacity: 1_000_000,
            answer_delay: Duration::ZERO,
            threads: true,
            max_users: 10_000,
            thread_length: 200,
            media_bytes: 64 << 20,
            media_url_life: Duration::from_secs(300),
            template_review: Duration::from_millis(500),
            observer: None,
            clock: Arc::new(system_now),
        }
    }
}

impl EmulatorConfig {
    /// For tests of the server's own logic: no rate limits, no window, no template or media book-keeping, everything
    /// else as [`Default`].
    #[must_use]
    pub fn lenient() -> Self {
        Self {
            limits: RateLimits::off(),
            checks: Checks::off(),
            ..Self::default()
        }
    }

    /// For load: as [`EmulatorConfig::lenient`], without ledger and threads, with statuses batched 100 to a request.
    #[must_use]
    pub fn bench() -> Self {
        Self {
            ledger: false,
            threads: false,
            webhooks: WebhookConfig {
                batch_size: 100,
                batch_delay: Duration::from_millis(5),
                ..WebhookConfig::default()
            },
            ..Self::lenient()
        }
    }
}

/// Range of a random delay, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// Shortest delay.
    pub min: Duration,
    /// Longest delay.
    pub max: Duration,
}

impl Delay {
    /// A delay between `min` and `max` milliseconds.
    #[must_use]
    pub const fn millis(min: u64, max: u64) -> Self {
        Self {
            min: Duration::from_millis(min),
            max: Duration::from_millis(max),
        }
    }

    pub(crate) fn draw(self, share: f64) -> Duration {
        self.min + self.max.saturating_sub(self.min).mul_f64(share)
    }
}

/// Delays between the stages of an accepted message, each counted from the stage before it.
#[derive(Debug, Clone, Copy)]
pub struct StatusTiming {
    /// From the answer to `sent`; `None` emits no statuses at all.
    pub sent: Option<Delay>,
    /// From `sent` to `delivered`.
    pub delivered: Delay,
    /// From `delivered` to `read` (and `played` for voice messages); `None` leaves messages unread.
    pub read: Option<Delay>,
}

impl Default for StatusTiming {
    fn default() -> Self {
        Self {
            sent: Some(Delay::millis(2, 6)),
            delivered: Delay::millis(3, 10),
            read: None,
        }
    }
}

/// How webhooks are delivered.
#[derive(Debug, Clone, Copy)]
pub struct WebhookConfig {
    /// Requests in flight at once. One keeps webhooks in order; Meta promises no order.
    pub concurrency: usize,
    /// Most statuses in one request, 1 to 1000 (Meta's maximum).
    pub batch_size: usize,
    /// Longest time that a status waits for others when `batch_size` is above 1.
    pub batch_delay: Duration,
    /// First delay after a failed attempt; it doubles up to [`WebhookConfig::retry_max`].
    pub retry_base: Duration,
    /// Longest delay between two attempts.
    pub retry_max: Duration,
    /// Give up this long after the first attempt. Meta documents 7 days, and 36 hours elsewhere.
    pub retry_for: Duration,
    /// Time limit of one attempt.
    pub timeout: Duration,
    /// Most webhooks waiting; above it new ones are dropped and counted as given up.
    pub queue: usize,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            concurrency: 16,
            batch_size: 1,
            batch_delay: Duration::from_millis(5),
            retry_base: Duration::from_millis(50),
            retry_max: Duration::from_secs(2),
            retry_for: Duration::from_secs(3600),
            timeout: Duration::from_secs(10),
            queue: 200_000,
        }
    }
}

/// Meta's rate limits (meta.md section 17).
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// Messages a second per number, answered with 130429 above; Meta's standard is 80, 1000 after the upgrade.
    pub throughput: Option<u32>,
    /// One message in six seconds per recipient with a burst of 45, answered with 131056 above.
    pub pair: bool,
    /// Calls a minute of one MSG91 key, answered with 429 above; 100 is said of it, without a source (msg91.md section 6).
    pub per_minute: Option<u32>,
}

impl RateLimits {
    /// No limits.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            throughput: None,
            pair: false,
            per_minute: None,
        }
    }

    /// The limits of a number that was not upgraded.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            throughput: Some(80),
            pair: true,
            per_minute: Some(100),
        }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            throughput: Some(1000),
            pair: true,
            per_minute: Some(100),
        }
    }
}

/// Checks against what the emulator knows.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// Free-form messages outside the 24 hours after the user's last message fail with 131047, asynchronously.
    pub window: bool,
    /// Templates must exist, be approved and get the parameters they were created with (132000, 132001, 132012, …).
    pub templates: bool,
    /// Media ids must have been uploaded here.
    pub media: bool,
}

impl Checks {
    /// None of them.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            window: false,
            templates: false,
            media: false,
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            window: true,
            templates: true,
            media: true,
        }
    }
}

/// One business phone number of Meta's Cloud API and the app that serves it.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumberConfig {
    /// Id under which the Graph API addresses the number.
    pub phone_number_id: String,
    /// WhatsApp Business Account that owns it.
    pub waba_id: String,
    /// Digits, as in `metadata.display_phone_number`.
    pub display_phone_number: String,
    /// Name shown to users.
    pub verified_name: String,
    /// Bearer token that may use the number.
    pub access_token: String,
    /// Secret that signs the webhooks.
    pub app_secret: String,
    /// The app's callback; it may be set later by [`crate::Emulator::set_webhook_url`].
    pub webhook_url: Option<String>,
    /// Token of the verification handshake.
    pub verify_token: String,
    /// Whether the app is subscribed to the account. Without it nothing is delivered.
    pub subscribed: bool,
}

impl Default for NumberConfig {
    fn default() -> Self {
        Self {
            phone_number_id: "106540352242922".into(),
            waba_id: "102290129340398".into(),
            display_phone_number: "15550783881".into(),
            verified_name: "Jasper's Market".into(),
            access_token: "EAAJB-test-token".into(),
            app_secret: "0123456789abcdef0123456789abcdef".into(),
            webhook_url: None,
            verify_token: "waxwing-verify-token".into(),
            subscribed: true,
        }
    }
}

impl fmt::Debug for NumberConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NumberConfig")
            .field("phone_number_id", &self.phone_number_id)
            .finish_non_exhaustive()
    }
}

/// The advertisement that a user came from, as Meta words it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Referral {
    /// Address of the advertisement or post.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_url: String,
    /// Its id.
    pub source_id: String,
    /// `ad` or `post`.
    pub source_type: String,
    /// Headline.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub headline: String,
    /// Text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Id of the click.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctwa_clid: Option<String>,
}

/// A WhatsApp user.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Phone as digits; `None` for a user who hides it behind a username.
    pub wa_id: Option<String>,
    /// Business-scoped user id (`US.1349…`).
    pub user_id: Option<String>,
    /// Profile name.
    pub name: String,
    /// Username, display only.
    pub username: Option<String>,
}

impl User {
    /// A user with a phone and no business-scoped id.
    #[must_use]
    pub fn with_phone(wa_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            wa_id: Some(wa_id.into()),
            name: name.into(),
            ..Self::default()
        }
    }

    /// A user whose phone is withheld.
    #[must_use]
    pub fn with_user_id(user_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            user_id: Some(user_id.into()),
            name: name.into(),
            ..Self::default()
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("has_phone", &self.wa_id.is_some())
            .field("has_user_id", &self.user_id.is_some())
            .finish_non_exhaustive()
    }
}
