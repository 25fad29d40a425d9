//! Where to connect, what each connection is told first, and when not to try.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use super::tls::{Tls, Wanted};
use crate::engine::error::StoreError;
use crate::engine::store::StoreConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The database of a pool.
pub(crate) struct Target {
    pub config: tokio_postgres::Config,
    pub tls: Tls,
    /// Sent right after the login.
    pub greeting: String,
    pub longest_statement: Duration,
    outage: Mutex<Option<Outage>>,
    /// Writes share it; one that others kept from its end again and again has it alone.
    pub writers: RwLock<()>,
}

/// Connecting failed; until then nobody tries again.
struct Outage {
    until: Instant,
    pause: Duration,
    error: StoreError,
}

impl Target {
    pub(crate) fn new(url: &str, settings: &StoreConfig) -> Result<Self, StoreError> {
        let (rest, wanted) = Wanted::split(url);
        // The driver's text could quote a part of the password.
        let mut config: tokio_postgres::Config = rest.parse().map_err(|_| {
            StoreError::Driver("the PostgreSQL connection string cannot be read".to_owned())
        })?;
        let tls = Tls::new(&wanted, &mut config)?;
        if config.get_application_name().is_none() {
            config.application_name("waxwing");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(15));
        Ok(Self {
            config,
            tls,
            greeting: greeting(settings)?,
            longest_statement: settings.longest_statement,
            outage: Mutex::new(None),
            writers: RwLock::new(()),
        })
    }

    /// An error while it is too early to connect again.
    pub(crate) fn may_connect(&self) -> Result<(), StoreError> {
        match &*self.outage() {
            Some(outage) if Instant::now() < outage.until => Err(outage.error.clone()),
            _ => Ok(()),
        }
    }

    pub(crate) fn connected(&self) {
        *self.outage() = None;
    }

    /// Connecting failed: the pause doubles, with jitter so that processes do not return all at once.
    pub(crate) fn failed(&self, error: &StoreError) {
        let mut outage = self.outage();
        let pause = outage
            .as_ref()
            .map_or(FIRST_PAUSE, |last| (last.pause * 2).min(LONGEST_PAUSE));
        *outage = Some(Outage {
            until: Instant::now() + jittered(pause),
            pause,
            error: error.clone(),
        });
    }

    fn outage(&self) -> std::sync::MutexGuard<'_, Option<Outage>> {
        self.outage
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Between half and the whole of a pause.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let random = std::hash::RandomState::new().build_hasher().finish();
    let percent = 50 + u32::try_from(random % 51).unwrap_or(50);
    pause * percent / 100
}

fn greeting(settings: &StoreConfig) -> Result<String, StoreError> {
    let mut text = format!(
        "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = '60s'; \
         SET TIME ZONE 'UTC'; \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local');",
        settings.longest_statement.as_millis().max(1)
    );
    if let Some(schema) = &settings.schema {
        text.push_str(&format!(" SET search_path TO {};", quoted_schema(schema)?));
    }
    Ok(text)
}

/// The name of a schema as an identifier. Names that would need escapes are refused.
pub(crate) fn quoted_schema(schema: &str) -> Result<String, StoreError> {
    let plain = !schema.is_empty()
        && schema.len() <= 63
        && schema
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain {
        Ok(format!("\"{schema}\""))
    } else {
        Err(StoreError::Driver(
            "a schema name has 1 to 63 letters, digits and underscores".to_owned(),
        ))
    }
}
