//! Settings: from the environment, `.env` and `waxwing.toml`, in this order; each known by name and checked by form.

mod channels;
mod dotenv;
mod form;
mod read;
mod show;
mod spec;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use waxwing_api::address::Network;
use waxwing_app::media::S3;
use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::secret::Secret;
use waxwing_providers::messaging::Endpoints;
use waxwing_store::DatabaseUrl;

use self::form::networks;
pub use self::form::{key, switch};
pub use self::read::{Source, Sources, Values};
pub use self::show::{example, table, without_effect};

/// The name of the embedded database in the data directory.
const DATABASE_FILE: &str = "waxwing.db";
/// Tokens of a production server are at least this long.
const TOKEN_MIN: usize = 16;

/// The settings in force.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether `APP_ENV` says production.
    pub production: bool,
    /// Where the API listens.
    pub port: u16,
    /// Where the metrics are served.
    pub metrics_port: u16,
    /// The address of both.
    pub bind: IpAddr,
    /// Where the outside world reaches the server, without a slash at the end.
    pub public_url: Option<String>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The database.
    pub database: DatabaseUrl,
    /// PostgreSQL: the schema.
    pub schema: Option<String>,
    /// Whether the schema is brought up to date at start.
    pub migrate: bool,
    /// Where nodes share their limits; `None`: this process sends alone.
    pub redis: Option<Secret>,
    /// The master key as it was written; `None`: the one of the data directory.
    pub master_key: Option<Secret>,
    /// A file with the master key.
    pub master_key_file: Option<PathBuf>,
    /// A command that prints the master key.
    pub master_key_command: Option<Secret>,
    /// The master key before the present one, as it was written.
    pub master_key_previous: Option<Secret>,
    /// The platform admin's token.
    pub admin_token: Option<Secret>,
    /// Whether anybody may make an account with a tenant.
    pub registration: bool,
    /// Requests of a login or API key in a minute.
    pub api_rate: u32,
    /// Messages of a contact in a minute that reach the bot.
    pub flood: u32,
    /// The proxies that are believed about where a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// The name of the process.
    pub node_name: Option<String>,
    /// What is logged.
    pub log_filter: String,
    /// Whether log lines are JSON.
    pub log_json: bool,
    /// What Meta needs.
    pub meta: MetaSettings,
    /// Twilio: one host in place of all of its own.
    pub twilio_url: Option<String>,
    /// 360dialog's API.
    pub dialog360_url: String,
    /// MSG91's API.
    pub msg91_url: String,
    /// The numbers of the default tenant.
    pub channels: Vec<EnvChannel>,
    /// The file with what messages cost.
    pub rate_card: Option<PathBuf>,
    /// How long messages are kept, in days.
    pub retention_days: u32,
    /// How long contacts are kept of whom nothing is heard, in days.
    pub contact_days: u32,
    /// Whether media are fetched and sent.
    pub media: bool,
    /// The bucket that holds the files; `None`: a folder in the data directory.
    pub media_bucket: Option<S3>,
    /// The default tenant's session, when somebody set it.
    pub session_seconds: Option<u32>,
    /// The default tenant's country, when somebody set it.
    pub default_country: Option<String>,
    /// How long an unknown outcome waits for a status.
    pub unknown_wait: Duration,
    /// Whether message templates are managed and sent.
    pub message_templates: bool,
    /// How often the message templates of an account are read from its provider.
    pub template_sync: Duration,
}

/// Settings about Meta.
#[derive(Debug, Clone)]
pub struct MetaSettings {
    /// Signs the webhooks of channels without a secret of their own.
    pub app_secret: Option<Secret>,
    /// The token of the handshake.
    pub verify_token: Option<Secret>,
    /// The Graph API, without a slash at the end.
    pub graph_url: String,
    /// Its version.
    pub api_version: String,
    /// The app of Embedded Signup, and its configuration.
    pub signup: Option<(String, String)>,
}

impl MetaSettings {
    fn of(values: &Values) -> Self {
        let text = |name: &str| values.get(name).map(str::to_owned);
        let url = text("META_GRAPH_URL").unwrap_or_default();
        Self {
            app_secret: values.get("APP_SECRET").map(Secret::new),
            verify_token: values.get("VERIFY_TOKEN").map(Secret::new),
            graph_url: url.trim_end_matches('/').to_owned(),
            api_version: text("WHATSAPP_API_VERSION").unwrap_or_default(),
            signup: text("META_APP_ID").zip(text("META_SIGNUP_CONFIG_ID")),
        }
    }
}

/// A number of the default tenant that is described by the settings.
#[derive(Debug, Clone)]
pub struct EnvChannel {
    /// Its provider.
    pub kind: ChannelKind,
    /// The provider's id of the number, as channels have it.
    pub sender_id: String,
    /// The provider's id of the account.
    pub account_id: Option<String>,
    /// Its credentials.
    pub credentials: Credentials,
}

impl Settings {
    /// The settings of this process, with the values that they come from.
    ///
    /// # Errors
    /// All that is wrong, each in a sentence.
    pub fn load() -> Result<(Self, Values), Vec<String>> {
        let values = Sources::of_process(Path::new("."))?.read()?;
        Self::from_values(&values).map(|settings| (settings, values))
    }

    /// The settings that values mean.
    ///
    /// # Errors
    /// What does not fit together, each in a sentence.
    pub fn from_values(values: &Values) -> Result<Self, Vec<String>> {
        let text = |name: &str| values.get(name).map(str::to_owned);
        let secret = |name: &str| values.get(name).map(Secret::new);
        let number = |name: &str| {
            values
                .get(name)
                .and_then(|text| text.parse::<u32>().ok())
                .unwrap_or_default()
        };
        let port = |name: &str| {
            values
                .get(name)
                .and_then(|text| text.parse::<u16>().ok())
                .unwrap_or_default()
        };
        let url = |name: &str| {
            values
                .get(name)
                .map(|url| url.trim_end_matches('/').to_owned())
        };

        let production = values.get("APP_ENV") == Some("production");
        let data_dir = PathBuf::from(text("DATA_DIR").unwrap_or_default());
        let database = values
            .get("DATABASE_URL")
            .and_then(|url| DatabaseUrl::parse(url).ok());
        let problems = problems(values, production);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            production,
            port: port("PORT"),
            metrics_port: port("METRICS_PORT"),
            bind: bind(values, production),
            public_url: url("PUBLIC_URL"),
            database: database.unwrap_or_else(|| DatabaseUrl::Sqlite(data_dir.join(DATABASE_FILE))),
            data_dir,
            schema: text("DATABASE_SCHEMA"),
            migrate: values
                .get("DATABASE_MIGRATE")
                .and_then(switch)
                .unwrap_or(true),
            redis: secret("REDIS_URL"),
            master_key: secret("MASTER_KEY"),
            master_key_file: text("MASTER_KEY_FILE").map(PathBuf::from),
            master_key_command: secret("MASTER_KEY_COMMAND"),
            master_key_previous: secret("MASTER_KEY_PREVIOUS"),
            admin_token: secret("ADMIN_TOKEN"),
            registration: values
                .get("REGISTRATION")
                .map_or(!production, |word| word == "open"),
            api_rate: number("API_REQUESTS_PER_MINUTE"),
            flood: number("CONTACT_MESSAGES_PER_MINUTE"),
            trusted_proxies: values
                .get("TRUSTED_PROXIES")
                .and_then(networks)
                .unwrap_or_default(),
            node_name: text("NODE_NAME"),
            log_filter: text("LOG_LEVEL").unwrap_or_default(),
            log_json: values
                .get("LOG_FORMAT")
                .map_or(production, |format| format == "json"),
            meta: MetaSettings::of(values),
            twilio_url: url("TWILIO_API_URL"),
            dialog360_url: url("D360_API_URL").unwrap_or_default(),
            msg91_url: url("MSG91_API_URL").unwrap_or_default(),
            channels: channels::of(values),
            rate_card: text("RATE_CARD").map(PathBuf::from),
            retention_days: number("WHATSAPP_MESSAGE_RETENTION_DAYS"),
            contact_days: number("CONTACT_RETENTION_DAYS"),
            media: values
                .get("WHATSAPP_ENABLE_MEDIA")
                .and_then(switch)
                .unwrap_or(true),
            media_bucket: media_bucket(values),
            session_seconds: values
                .is_given("SESSION_TTL_SECONDS")
                .then(|| number("SESSION_TTL_SECONDS")),
            default_country: text("DEFAULT_COUNTRY").map(|country| country.to_ascii_uppercase()),
            unknown_wait: Duration::from_secs(u64::from(number("UNKNOWN_OUTCOME_SECONDS"))),
            message_templates: values
                .get("WHATSAPP_ENABLE_TEMPLATES")
                .and_then(switch)
                .unwrap_or(true),
            template_sync: Duration::from_secs(u64::from(number("MESSAGE_TEMPLATE_SYNC_SECONDS"))),
        })
    }
}

impl Settings {
    /// How long files are kept: as long as messages, which carry idempotency keys and are kept 90 days at least.
    #[must_use]
    pub fn files_keep(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60) * self.retention_days.max(90)
    }

    /// Where the providers are, and where they reach this server.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            graph_url: self.meta.graph_url.clone(),
            graph_version: self.meta.api_version.clone(),
            twilio_url: self.twilio_url.clone(),
            dialog360_url: self.dialog360_url.clone(),
            msg91_url: self.msg91_url.clone(),
            public_url: self.public_url.clone(),
        }
    }
}

/// The address to listen on: in development only this machine reaches it.
fn bind(values: &Values, production: bool) -> IpAddr {
    match values.get("BIND").and_then(|text| text.parse().ok()) {
        Some(address) => address,
        None if production => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

/// The bucket of the files.
fn media_bucket(values: &Values) -> Option<S3> {
    let place = values.get("MEDIA_URL")?.strip_prefix("s3://")?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let text = |name: &str| values.get(name).unwrap_or_default().to_owned();
    Some(S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        endpoint: values
            .get("MEDIA_S3_ENDPOINT")
            .map(|url| url.trim_end_matches('/').to_owned()),
        region: text("MEDIA_S3_REGION"),
        access_key_id: text("MEDIA_S3_ACCESS_KEY_ID"),
        secret_access_key: Secret::new(text("MEDIA_S3_SECRET_ACCESS_KEY")),
    })
}

/// What each value alone cannot tell.
fn problems(values: &Values, production: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let given = |name| values.is_given(name);
    let sources = ["MASTER_KEY", "MASTER_KEY_FILE", "MASTER_KEY_COMMAND"];
    let keys = sources.iter().filter(|name| given(name)).count();
    if keys > 1 {
        problems.push(format!("only one of {} may be set", sources.join(", ")));
    }
    if production {
        if keys == 0 {
            problems.push("MASTER_KEY is missing: production does not start without a key of its own; make one with `openssl rand -hex 32`, keep it safe, set it as MASTER_KEY".to_owned());
        }
        match values.get("ADMIN_TOKEN") {
            None => problems.push("ADMIN_TOKEN is missing: production does not start without one; make one with `openssl rand -hex 32`".to_owned()),
            Some(token) if token.len() < TOKEN_MIN => {
                problems.push(format!("ADMIN_TOKEN is too short for production: at least {TOKEN_MIN} characters, such as `openssl rand -hex 32` gives"));
            }
            Some(token) if Some(token) == values.get("MASTER_KEY") => {
                problems.push("ADMIN_TOKEN is the MASTER_KEY: the key that seals the data is no credential; make another token".to_owned());
            }
            Some(_) => {}
        }
    }
    for (one, other) in [
        ("MEDIA_URL", "MEDIA_S3_ACCESS_KEY_ID"),
        ("MEDIA_S3_ACCESS_KEY_ID", "MEDIA_S3_SECRET_ACCESS_KEY"),
        ("MEDIA_S3_SECRET_ACCESS_KEY", "MEDIA_URL"),
        ("MEDIA_S3_ENDPOINT", "MEDIA_URL"),
    ] {
        if given(one) && !given(other) {
            problems.push(format!("{one} is set, but {other} is not: a bucket needs MEDIA_URL, MEDIA_S3_ACCESS_KEY_ID and MEDIA_S3_SECRET_ACCESS_KEY"));
        }
    }
    for (one, other) in [
        ("META_APP_ID", "META_SIGNUP_CONFIG_ID"),
        ("META_SIGNUP_CONFIG_ID", "META_APP_ID"),
        ("META_APP_ID", "APP_SECRET"),
    ] {
        if given(one) && !given(other) {
            problems.push(format!("{one} is set, but {other} is not: Embedded Signup needs META_APP_ID, META_SIGNUP_CONFIG_ID and APP_SECRET"));
        }
    }
    for (one, other) in [
        ("WHATSAPP_ACCESS_TOKEN", "WHATSAPP_PHONE_NUMBER_ID"),
        ("WHATSAPP_PHONE_NUMBER_ID", "WHATSAPP_ACCESS_TOKEN"),
        ("WHATSAPP_BUSINESS_ACCOUNT_ID", "WHATSAPP_PHONE_NUMBER_ID"),
        ("WHATSAPP_PHONE_NUMBER_ID", "APP_SECRET"),
    ] {
        if given(one) && !given(other) {
            problems.push(format!("{one} is set, but {other} is not: a number needs its id, its access token and the app secret that signs its webhooks"));
        }
    }
    for (provider, names) in channels::TOGETHER {
        let missing: Vec<&str> = names.iter().copied().filter(|name| !given(name)).collect();
        if !missing.is_empty() && missing.len() < names.len() {
            let missing = missing.join(" and ");
            problems.push(format!(
                "a number at {provider} needs {}: {missing} missing",
                names.join(", ")
            ));
        }
    }
    if given("TWILIO_ACCOUNT_SID") && !given("PUBLIC_URL") {
        problems.push("PUBLIC_URL is missing: Twilio signs the address of a webhook, so this server has to know its own".to_owned());
    }
    problems
}
