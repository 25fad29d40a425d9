use std::ffi::OsString;

use super::show::masked_url;
use super::spec::{SPECS, nearest};
use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const TOKEN: &str = "token-of-the-platform-admin";

fn sources(environment: &[(&str, &str)], dotenv: Option<&str>, toml: Option<&str>) -> Sources {
    let os = |text: &str| OsString::from(text);
    Sources {
        environment: environment
            .iter()
            .map(|(name, value)| (os(name), os(value)))
            .collect(),
        dotenv: dotenv.map(str::to_owned),
        toml: toml.map(str::to_owned),
    }
}

fn settings(environment: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    Settings::from_values(&sources(environment, None, None).read()?)
}

fn problem(environment: &[(&str, &str)]) -> String {
    settings(environment)
        .expect_err("these settings are wrong")
        .join("\n")
}

#[test]
fn nothing_has_to_be_set() {
    let settings = settings(&[]).unwrap();
    assert!(!settings.production && settings.migrate && !settings.log_json);
    assert_eq!((settings.port, settings.metrics_port), (3000, 9090));
    assert_eq!(settings.bind.to_string(), "127.0.0.1");
    assert_eq!(settings.retention_days, 90);
    assert_eq!(settings.unknown_wait, Duration::from_secs(60));
    assert_eq!(settings.meta.graph_url, "https://graph.facebook.com");
    assert!(
        matches!(&settings.database, DatabaseUrl::Sqlite(path) if path.ends_with("data/waxwing.db"))
    );
    assert!(settings.channels.is_empty() && settings.master_key.is_none());
}

#[test]
fn the_environment_wins_over_dotenv_and_that_over_toml() {
    let all = sources(
        &[("PORT", "1")],
        Some("PORT=2\nMETRICS_PORT=2"),
        Some("port = 3\nMETRICS_PORT = 3\nLOG_LEVEL = \"debug\""),
    );
    let values = all.read().unwrap();
    let seen = |name| (values.get(name).unwrap().to_owned(), values.source(name));
    assert_eq!(seen("PORT"), ("1".into(), Source::Environment));
    assert_eq!(seen("METRICS_PORT"), ("2".into(), Source::DotEnv));
    assert_eq!(seen("LOG_LEVEL"), ("debug".into(), Source::Toml));
    assert_eq!(seen("APP_ENV"), ("development".into(), Source::Default));
}

#[test]
fn an_empty_value_is_none() {
    let values = sources(&[("PORT", "")], Some("PORT=7"), None)
        .read()
        .unwrap();
    assert_eq!(values.get("PORT"), Some("7"));
}

#[test]
fn unknown_names_are_told() {
    let cases: [(Sources, &[&str]); 6] = [
        (
            sources(&[("WHATSAPP_ACCES_TOKEN", "x")], None, None),
            &[
                "WHATSAPP_ACCES_TOKEN (environment): there is no such setting; did you mean WHATSAPP_ACCESS_TOKEN?",
            ],
        ),
        (
            sources(&[("WAXWING_NONSENSE", "x")], None, None),
            &["WAXWING_NONSENSE (environment): there is no such setting"],
        ),
        (
            sources(&[], Some("HOME=x"), None),
            &["HOME (.env): there is no such setting"],
        ),
        (
            sources(&[], None, Some("prot = 3")),
            &["PROT (waxwing.toml): there is no such setting; did you mean PORT?"],
        ),
        (
            sources(&[], None, Some("[twilio]\nx = 1")),
            &["TWILIO (waxwing.toml): there is no such setting"],
        ),
        (
            sources(&[], Some("X=1"), Some("y = 1")),
            &[
                "X (.env): there is no such setting",
                "Y (waxwing.toml): there is no such setting",
            ],
        ),
    ];
    for (sources, problems) in cases {
        assert_eq!(sources.read().err().unwrap(), problems);
    }
    // Other people's variables and those of the project's tests are none of ours.
    let foreign = sources(
        &[("HOME", "/"), ("WAXWING_TEST_PG_URL", "x"), ("PATH", "x")],
        None,
        None,
    );
    assert!(foreign.read().is_ok());
    assert_eq!(nearest("COMPLETELY_DIFFERENT"), None);
}

#[test]
fn malformed_values_are_told_without_secrets() {
    let cases = [
        (
            "PORT",
            "80a",
            r#"PORT (environment): "80a" is not valid; expected a port number from 0 to 65535"#,
        ),
        ("PORT", "65536", "expected a port number"),
        ("APP_ENV", "prod", "expected development or production"),
        ("BIND", "localhost", "expected an IP address"),
        ("PUBLIC_URL", "example.com", "expected an address"),
        (
            "PUBLIC_URL",
            "https://user:hunter2@example.com",
            "expected an address",
        ),
        ("META_GRAPH_URL", "ftp://x", "expected an address"),
        (
            "DATABASE_URL",
            "mysql://u:hunter2@h/d",
            "DATABASE_URL (environment): the value (21 characters) is not valid; expected sqlite:<path> or postgres://",
        ),
        ("DATABASE_SCHEMA", "a-b", "small letters"),
        ("DATABASE_MIGRATE", "maybe", "expected on or off"),
        (
            "MASTER_KEY",
            "hunter2",
            "MASTER_KEY (environment): the value (7 characters) is not valid; expected 32 random bytes",
        ),
        ("ADMIN_TOKEN", "hunter2 x", "visible ASCII"),
        ("LOG_LEVEL", "info,=", "expected error, warn, info"),
        ("LOG_FORMAT", "xml", "expected text or json"),
        (
            "WHATSAPP_API_VERSION",
            "25",
            "expected a version such as v25.0",
        ),
        ("WHATSAPP_PHONE_NUMBER_ID", "+1 650", "the provider's id"),
        ("WHATSAPP_MESSAGE_RETENTION_DAYS", "0", "from 1 to 36500"),
        ("TWILIO_ACCOUNT_SID", "AC12", "AC and 32 hexadecimal digits"),
        (
            "TWILIO_WHATSAPP_FROM",
            "14155238886",
            "with + and country code",
        ),
        ("DEFAULT_COUNTRY", "DEU", "two letters"),
        ("REDIS_URL", "http://x", "such as rediss://host:port"),
        ("NODE_NAME", "a b", "letters, digits"),
    ];
    for (name, value, expected) in cases {
        let told = problem(&[(name, value)]);
        assert!(
            told.contains(name) && told.contains(expected),
            "{name}: {told}"
        );
        assert!(
            !told.contains("hunter2") || !super::spec::find(name).unwrap().secret,
            "{told}"
        );
    }
    let toml = sources(&[], None, Some("PORT = 1\nADMIN_TOKEN = hunter2"))
        .read()
        .err()
        .unwrap()
        .join("");
    assert!(
        toml.starts_with("waxwing.toml, line 2: ") && !toml.contains("hunter2"),
        "{toml}"
    );
    let toml = sources(&[], None, Some("PORT = 1.5"))
        .read()
        .err()
        .unwrap()
        .join("");
    assert!(
        toml.contains("PORT (waxwing.toml): expected a text, a whole number"),
        "{toml}"
    );
}

#[test]
fn good_values_of_every_form_are_taken() {
    let account = format!("AC{}", "0f".repeat(16));
    let good = [
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("DATABASE_URL", "sqlite:/x.db"),
        ("REDIS_URL", "redis://:p@h:6379/0"),
        ("MASTER_KEY", KEY),
        ("MASTER_KEY", "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8="),
        ("MASTER_KEY", "ABEiM0RVZneImaq7zN3u_wARIjNEVWZ3iJmqu8zd7v8"),
        ("LOG_LEVEL", "info,waxwing_app=debug"),
        ("BIND", "::"),
        ("DEFAULT_COUNTRY", "de"),
        ("PUBLIC_URL", "https://example.com/"),
        ("OPENROUTER_PRIMARY_MODEL", "openai/gpt-5 mini"),
    ];
    for (name, value) in good {
        assert!(settings(&[(name, value)]).is_ok(), "{name}");
    }
    let twilio = [
        ("TWILIO_WHATSAPP_FROM", "whatsapp:+14155238886"),
        ("TWILIO_ACCOUNT_SID", account.as_str()),
        ("TWILIO_AUTH_TOKEN", "token"),
        ("TWILIO_MESSAGING_SERVICE_SID", "MG1"),
        ("TWILIO_API_KEY_SID", "SK1"),
        ("TWILIO_API_KEY_SECRET", "secret"),
        ("PUBLIC_URL", "https://example.com"),
    ];
    let number = &settings(&twilio).unwrap().channels[0];
    let names: Vec<&str> = number.credentials.names().collect();
    assert_eq!(
        names,
        [
            "apiKeySecret",
            "apiKeySid",
            "authToken",
            "messagingServiceSid"
        ]
    );
    let half: Vec<_> = twilio
        .into_iter()
        .filter(|(name, _)| *name != "TWILIO_API_KEY_SECRET")
        .collect();
    let refused = settings(&half).unwrap_err().join("\n");
    assert!(refused.contains("TWILIO_API_KEY_SECRET"), "{refused}");
    assert_eq!(number.sender_id, format!("{account}/+14155238886"));
    assert_eq!(key(KEY).unwrap()[..3], [0, 0x11, 0x22]);
    assert_eq!(
        key(KEY),
        key("ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=")
    );
    assert_eq!(
        settings(&[("PUBLIC_URL", "https://example.com/")])
            .unwrap()
            .public_url
            .unwrap(),
        "https://example.com"
    );
    assert_eq!(
        settings(&[("DEFAULT_COUNTRY", "de")])
            .unwrap()
            .default_country
            .unwrap(),
        "DE"
    );
}

#[test]
fn production_needs_a_key_and_a_token() {
    let production = ("APP_ENV", "production");
    let told = problem(&[production]);
    assert!(
        told.contains("MASTER_KEY is missing") && told.contains("ADMIN_TOKEN is missing"),
        "{told}"
    );
    assert!(
        problem(&[production, ("MASTER_KEY", KEY), ("ADMIN_TOKEN", "short")]).contains("too short")
    );
    assert!(
        problem(&[production, ("MASTER_KEY", KEY), ("ADMIN_TOKEN", KEY)]).contains("no credential")
    );
    let settings = settings(&[production, ("MASTER_KEY", KEY), ("ADMIN_TOKEN", TOKEN)]).unwrap();
    assert_eq!(settings.bind.to_string(), "0.0.0.0");
    assert!(settings.log_json);
}

#[test]
fn a_number_needs_all_its_parts() {
    let number = ("WHATSAPP_PHONE_NUMBER_ID", "106540352242922");
    let token = ("WHATSAPP_ACCESS_TOKEN", "EAAJB");
    assert!(problem(&[number]).contains("WHATSAPP_ACCESS_TOKEN is not"));
    assert!(problem(&[token]).contains("WHATSAPP_PHONE_NUMBER_ID is not"));
    assert!(problem(&[number, token]).contains("APP_SECRET is not"));
    for (one, missing) in [
        ("TWILIO_AUTH_TOKEN", "TWILIO_ACCOUNT_SID"),
        ("D360_API_KEY", "D360_WEBHOOK_SECRET missing"),
        ("MSG91_AUTH_KEY", "MSG91_WEBHOOK_SECRET"),
    ] {
        assert!(problem(&[(one, "value")]).contains(missing), "{one}");
    }
    let settings = settings(&[
        number,
        token,
        ("APP_SECRET", "s"),
        ("D360_API_KEY", "key"),
        ("D360_WEBHOOK_SECRET", "secret"),
        ("MSG91_AUTH_KEY", "key"),
        ("MSG91_WEBHOOK_SECRET", "secret"),
        ("MSG91_SENDER_ID", "14155238886"),
    ])
    .unwrap();
    let senders: Vec<&str> = settings
        .channels
        .iter()
        .map(|channel| channel.sender_id.as_str())
        .collect();
    assert_eq!(senders, [number.1, "unknown:settings", "14155238886"]);
}

#[test]
fn what_is_shown_holds_no_secret() {
    let secret = "hunter2hunter2hunter2hunter2";
    let mut environment: Vec<(&str, &str)> = SPECS
        .iter()
        .filter(|spec| spec.secret && spec.form == super::form::Form::Token)
        .map(|spec| (spec.name, secret))
        .collect();
    assert!(environment.len() >= 7);
    environment.push(("MASTER_KEY", KEY));
    let account = format!("AC{}", "0f".repeat(16));
    environment.push(("WHATSAPP_PHONE_NUMBER_ID", "106540352242922"));
    environment.push(("TWILIO_ACCOUNT_SID", &account));
    environment.push(("TWILIO_API_KEY_SID", "SK1"));
    environment.push(("TWILIO_WHATSAPP_FROM", "+14155238886"));
    environment.push(("MSG91_SENDER_ID", "14155238886"));
    environment.push(("MEDIA_URL", "s3://files/waxwing"));
    environment.push(("MEDIA_S3_ACCESS_KEY_ID", "AKID"));
    environment.push(("PUBLIC_URL", "https://example.com"));
    environment.push((
        "DATABASE_URL",
        "postgres://waxwing:hunter2@db:5432/waxwing?password=hunter2",
    ));
    environment.push(("REDIS_URL", "redis://:hunter2@h"));
    let values = sources(&environment, None, None).read().unwrap();
    let shown = table(&values, &[("BIND", "127.0.0.1".into())]);
    assert!(
        !shown.contains("hunter2") && !shown.contains(&KEY[..8]),
        "{shown}"
    );
    assert!(
        shown.contains("postgres://waxwing:********@db:5432/waxwing?********"),
        "{shown}"
    );
    let line = |name: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(
        line("OPENROUTER_API_KEY")
            .ends_with("environment (accepted, has no effect in this version)"),
        "{shown}"
    );
    assert!(line("ADMIN_TOKEN").ends_with("environment"));
    assert!(line("BIND").contains("127.0.0.1") && line("BIND").ends_with("default"));
    // Debug of the typed settings is what a careless log line would show.
    let debug = format!("{:?}", settings(&environment[..]).unwrap());
    assert!(!debug.contains("hunter2"), "{debug}");
}

#[test]
fn passwords_of_connection_strings_are_masked() {
    let cases = [
        ("postgres://u:p@h/d", "postgres://u:********@h/d"),
        ("postgres://u:p@ss@h/d", "postgres://u:********@h/d"),
        ("postgres://u@h/d", "postgres://u@h/d"),
        ("postgres://h/d?password=p", "postgres://h/d?********"),
        ("host=h password=p", "********"),
        ("sqlite:/x.db", "sqlite:/x.db"),
    ];
    for (given, shown) in cases {
        assert_eq!(masked_url(given), shown);
    }
}

#[test]
fn the_example_file_is_up_to_date() {
    let example = include_str!("../../../../.env.example");
    assert_eq!(
        example,
        super::example(),
        "write it anew: waxwing config --example > .env.example"
    );
    // As it is, the file sets nothing.
    let values = sources(&[], Some(example), None).read().unwrap();
    assert!(SPECS.iter().all(|spec| !values.is_given(spec.name)));
}

#[test]
fn every_default_has_the_form_of_its_setting() {
    for spec in SPECS {
        assert!(
            spec.default.is_empty() || spec.form.accepts(spec.default),
            "{}",
            spec.name
        );
        assert!(
            !spec.secret || spec.default.is_empty(),
            "{} has a default secret",
            spec.name
        );
    }
}
