//! Every setting there is: its name, its form, its default, and what it is for.

use super::form::Form;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// The form of its value.
    pub form: Form,
    /// Its value when none is given; empty for none.
    pub default: &'static str,
    /// Its value is never shown.
    pub secret: bool,
    /// What it is for belongs to a later version: it is checked, but has no effect yet.
    pub later: bool,
    /// What it is for.
    pub about: &'static str,
}

const fn spec(name: &'static str, form: Form, default: &'static str, about: &'static str) -> Spec {
    Spec {
        name,
        form,
        default,
        secret: false,
        later: false,
        about,
    }
}

impl Spec {
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn later(mut self) -> Self {
        self.later = true;
        self
    }
}

const HTTP: Form = Form::Url(&["http", "https"]);

/// All settings, in the order in which they are shown.
pub const SPECS: &[Spec] = &[
    spec(
        "APP_ENV",
        Form::Word(&["development", "production"]),
        "development",
        "production refuses to start without MASTER_KEY and ADMIN_TOKEN",
    ),
    spec(
        "PORT",
        Form::Port,
        "3000",
        "where the API and the webhooks are served; 0 takes a free port",
    ),
    spec(
        "METRICS_PORT",
        Form::Port,
        "9090",
        "where /metrics is served; 0 takes a free port",
    ),
    spec(
        "BIND",
        Form::Address,
        "",
        "the address of both; 127.0.0.1 in development, 0.0.0.0 in production",
    ),
    spec(
        "PUBLIC_URL",
        HTTP,
        "",
        "where the outside world reaches this server",
    ),
    spec(
        "DATA_DIR",
        Form::Path,
        "./data",
        "the embedded database, the generated master key, the lock of the process",
    ),
    spec(
        "DATABASE_URL",
        Form::Database,
        "",
        "sqlite:<path> or postgres://…?sslmode=…&sslrootcert=…; a SQLite file in DATA_DIR when absent",
    )
    .secret(),
    spec(
        "DATABASE_SCHEMA",
        Form::Schema,
        "",
        "PostgreSQL: the schema that holds the tables",
    ),
    spec(
        "DATABASE_MIGRATE",
        Form::Switch,
        "on",
        "whether `serve` brings the schema up to date",
    ),
    spec(
        "REDIS_URL",
        Form::Url(&["redis", "rediss"]),
        "",
        "redis://… or rediss://…: where several nodes share how fast they send",
    )
    .secret(),
    spec(
        "MASTER_KEY",
        Form::Key,
        "",
        "seals personal data; made in DATA_DIR in development",
    )
    .secret(),
    spec(
        "MASTER_KEY_FILE",
        Form::Path,
        "",
        "a file with the master key, in place of MASTER_KEY",
    ),
    spec(
        "MASTER_KEY_COMMAND",
        Form::Text,
        "",
        "a command that prints the master key, such as one that asks a KMS to decrypt it, in place of MASTER_KEY",
    )
    .secret(),
    spec(
        "MASTER_KEY_PREVIOUS",
        Form::Key,
        "",
        "the master key before this one, until `waxwing rotate-keys` was run",
    )
    .secret(),
    spec(
        "ADMIN_TOKEN",
        Form::Token,
        "",
        "the platform admin's token; in development MASTER_KEY while absent",
    )
    .secret(),
    spec(
        "REGISTRATION",
        Form::Word(&["open", "closed"]),
        "",
        "whether anybody may make an account with a tenant; open in development, closed in production",
    ),
    spec(
        "API_REQUESTS_PER_MINUTE",
        Form::Number(1, 10_000_000),
        "1200",
        "requests of one login or API key; a tenant may have four times as many",
    ),
    spec(
        "CONTACT_MESSAGES_PER_MINUTE",
        Form::Number(1, 1_000_000),
        "10",
        "messages of one contact that reach the bot; more are stored and not answered",
    ),
    spec(
        "TRUSTED_PROXIES",
        Form::Networks,
        "",
        "addresses and networks of the proxies in front, such as 127.0.0.1,10.0.0.0/8: their X-Forwarded-For is believed",
    ),
    spec(
        "NODE_NAME",
        Form::Name,
        "",
        "the name of this process, unique among those on one database",
    ),
    spec(
        "LOG_LEVEL",
        Form::LogFilter,
        "info",
        "error, warn, info, debug, trace, or a filter such as info,waxwing_app=debug",
    ),
    spec(
        "LOG_FORMAT",
        Form::Word(&["text", "json"]),
        "",
        "text in development, json in production",
    ),
    spec(
        "APP_SECRET",
        Form::Token,
        "",
        "Meta: the app secret that signs webhooks",
    )
    .secret(),
    spec(
        "VERIFY_TOKEN",
        Form::Token,
        "",
        "Meta: the token of the webhook handshake",
    )
    .secret(),
    spec(
        "META_APP_ID",
        Form::ProviderId,
        "",
        "Meta: the app through which businesses connect their numbers (Embedded Signup); with APP_SECRET",
    ),
    spec(
        "META_SIGNUP_CONFIG_ID",
        Form::ProviderId,
        "",
        "Meta: the configuration of the app's Facebook Login for Business",
    ),
    spec(
        "WHATSAPP_API_VERSION",
        Form::GraphVersion,
        "v25.0",
        "Meta: the version of the Graph API",
    ),
    spec(
        "WHATSAPP_ACCESS_TOKEN",
        Form::Token,
        "",
        "Meta: sends for the default tenant's number",
    )
    .secret(),
    spec(
        "WHATSAPP_PHONE_NUMBER_ID",
        Form::ProviderId,
        "",
        "Meta: the default tenant's number, its id and not its digits",
    ),
    spec(
        "WHATSAPP_BUSINESS_ACCOUNT_ID",
        Form::ProviderId,
        "",
        "Meta: the account of that number",
    ),
    spec(
        "META_GRAPH_URL",
        HTTP,
        "https://graph.facebook.com",
        "Meta: another host for the Graph API, such as the emulator",
    ),
    spec(
        "TWILIO_ACCOUNT_SID",
        Form::TwilioAccount,
        "",
        "Twilio: the account",
    ),
    spec(
        "TWILIO_AUTH_TOKEN",
        Form::Token,
        "",
        "Twilio: signs webhooks, and sends where there is no API key",
    )
    .secret(),
    spec(
        "TWILIO_API_KEY_SID",
        Form::ProviderId,
        "",
        "Twilio: the API key that sends in place of the auth token",
    ),
    spec(
        "TWILIO_API_KEY_SECRET",
        Form::Token,
        "",
        "Twilio: the secret of the API key",
    )
    .secret(),
    spec(
        "TWILIO_WHATSAPP_FROM",
        Form::TwilioSender,
        "",
        "Twilio: the sending number",
    ),
    spec(
        "TWILIO_MESSAGING_SERVICE_SID",
        Form::ProviderId,
        "",
        "Twilio: the messaging service that chooses the number to send from",
    ),
    spec(
        "TWILIO_API_URL",
        HTTP,
        "",
        "Twilio: one host in place of all of Twilio's own",
    ),
    spec(
        "D360_API_KEY",
        Form::Token,
        "",
        "360dialog: the key of the number",
    )
    .secret(),
    spec(
        "D360_API_URL",
        HTTP,
        "https://waba-v2.360dialog.io",
        "360dialog: another host",
    ),
    spec(
        "D360_PHONE_NUMBER_ID",
        Form::ProviderId,
        "",
        "360dialog: the phone number id of the number",
    ),
    spec(
        "D360_WEBHOOK_SECRET",
        Form::Token,
        "",
        "360dialog: proves its webhooks",
    )
    .secret(),
    spec("MSG91_AUTH_KEY", Form::Token, "", "MSG91: the key").secret(),
    spec(
        "MSG91_WEBHOOK_SECRET",
        Form::Token,
        "",
        "MSG91: proves its webhooks",
    )
    .secret(),
    spec(
        "MSG91_SENDER_ID",
        Form::ProviderId,
        "",
        "MSG91: the sending number",
    ),
    spec(
        "MSG91_API_URL",
        HTTP,
        "https://control.msg91.com",
        "MSG91: another host",
    ),
    spec("OPENROUTER_API_KEY", Form::Token, "", "AI: the key")
        .secret()
        .later(),
    spec("OPENROUTER_PRIMARY_MODEL", Form::Text, "", "AI: the model").later(),
    spec(
        "OPENROUTER_FALLBACK_MODEL",
        Form::Text,
        "",
        "AI: the model when the first one fails",
    )
    .later(),
    spec(
        "OPENROUTER_API_URL",
        HTTP,
        "https://openrouter.ai/api/v1",
        "AI: any OpenAI-compatible server",
    )
    .later(),
    spec(
        "WHATSAPP_ENABLE_MEDIA",
        Form::Switch,
        "on",
        "whether media are fetched and sent",
    ),
    spec(
        "MEDIA_URL",
        Form::Url(&["s3"]),
        "",
        "the bucket that holds the files, s3://bucket/prefix; DATA_DIR/media when absent",
    ),
    spec(
        "MEDIA_S3_ENDPOINT",
        HTTP,
        "",
        "the S3-compatible service of that bucket; Amazon's own when absent",
    ),
    spec("MEDIA_S3_REGION", Form::Name, "us-east-1", "its region"),
    spec(
        "MEDIA_S3_ACCESS_KEY_ID",
        Form::Token,
        "",
        "the name of the key that reads and writes the bucket",
    ),
    spec("MEDIA_S3_SECRET_ACCESS_KEY", Form::Token, "", "that key").secret(),
    spec(
        "WHATSAPP_ENABLE_TEMPLATES",
        Form::Switch,
        "on",
        "whether message templates are managed and sent",
    ),
    spec(
        "MESSAGE_TEMPLATE_SYNC_SECONDS",
        Form::Number(1, 86_400),
        "3600",
        "how often the message templates of an account are read from its provider",
    ),
    spec(
        "RATE_CARD",
        Form::Path,
        "",
        "a CSV file with what messages cost: valid_from,prefix,market,category,currency,price",
    ),
    spec(
        "WHATSAPP_MESSAGE_RETENTION_DAYS",
        Form::Number(1, 36_500),
        "90",
        "how long messages and raw webhooks are kept; messages at least 90 days",
    ),
    spec(
        "CONTACT_RETENTION_DAYS",
        Form::Number(1, 36_500),
        "180",
        "a contact of whom nothing was heard for so long is erased",
    ),
    spec(
        "SESSION_TTL_SECONDS",
        Form::Number(60, 30 * 86_400),
        "3600",
        "the default tenant: a session ends after this inactivity",
    ),
    spec(
        "DEFAULT_COUNTRY",
        Form::Country,
        "",
        "the default tenant: the country of numbers without country code",
    ),
    spec(
        "UNKNOWN_OUTCOME_SECONDS",
        Form::Number(1, 86_400),
        "60",
        "how long a send without answer waits for a status",
    ),
];

/// Variables of the environment that begin so are meant for Waxwing: an unknown one is a mistake.
const PREFIXES: &[&str] = &[
    "WAXWING_",
    "WHATSAPP_",
    "TWILIO_",
    "D360_",
    "MSG91_",
    "OPENROUTER_",
    "DATABASE_",
    "META_",
];

/// What the project's own tests use.
const NOT_OURS: &str = "WAXWING_TEST_";

/// The setting of a name.
pub fn find(name: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.name == name)
}

/// Whether an unknown variable of the environment looks as if it was meant for Waxwing.
pub fn seems_ours(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with(NOT_OURS)
}

/// The known name that an unknown one was probably meant to be.
pub fn nearest(name: &str) -> Option<&'static str> {
    let (distance, nearest) = SPECS
        .iter()
        .map(|spec| (distance(name, spec.name), spec.name))
        .min()?;
    (distance <= 2 + name.len() / 10).then_some(nearest)
}

/// How many characters have to be put in, taken out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}
