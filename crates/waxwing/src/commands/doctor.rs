//! `waxwing doctor`: looks at everything that a server needs, and says what to mend.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use waxwing_app::deliver;
use waxwing_app::directory::account_of;
use waxwing_core::channel::ChannelKind;
use waxwing_core::secret::Secret;
use waxwing_providers::http::{HttpClient, HttpLimits, HttpOutcome, HttpRequest};
use waxwing_providers::messaging::adapter;
use waxwing_store::domain::channels::{self, ChannelRecord};
use waxwing_store::domain::crypto::Masters;
use waxwing_store::domain::keys::{self, KeyFit};
use waxwing_store::{DatabaseUrl, StepState, Store, StoreError};

use crate::client::Client;
use crate::failure::Failure;
use crate::master_key::MasterKey;
use crate::serve;
use crate::settings::{Settings, Values, without_effect};
use crate::terminal::say;

const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Channels that are asked about; more would take too long.
const CHANNELS_MAX: usize = 50;
const CHALLENGE: &str = "1158201444";

/// What was found.
#[derive(Default)]
struct Findings {
    problems: usize,
}

impl Findings {
    fn good(&self, what: &str, text: &str) {
        say(&format!("ok       {what}: {text}"));
    }

    fn note(&self, what: &str, text: &str) {
        say(&format!("note     {what}: {text}"));
    }

    fn problem(&mut self, what: &str, text: &str) {
        self.problems += 1;
        say(&format!("PROBLEM  {what}: {text}"));
    }
}

/// Looks at everything.
///
/// # Errors
/// When there is something to mend; what, was said before.
pub async fn run(
    loaded: Result<(Settings, Values), Vec<String>>,
    server: Option<&str>,
) -> Result<(), Failure> {
    let mut findings = Findings::default();
    let (settings, values) = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => {
            problems
                .iter()
                .for_each(|problem| findings.problem("settings", problem));
            return Err(ended(findings.problems));
        }
    };
    look_at_settings(&mut findings, &settings, &values);
    let http = HttpClient::new(HttpLimits::default());
    let master = look_at_data_dir(&mut findings, &settings);
    if let Some(master) = &master {
        look_at_database(&mut findings, &settings, master, &http, server).await;
    }
    look_at_redis(&mut findings, &settings).await;
    look_at_public_url(&mut findings, &settings, &http).await;
    if findings.problems == 0 {
        say("Nothing to mend.");
        Ok(())
    } else {
        Err(ended(findings.problems))
    }
}

fn ended(problems: usize) -> Failure {
    let things = if problems == 1 { "thing" } else { "things" };
    Failure::new(format!("{problems} {things} to mend"))
}

fn look_at_settings(findings: &mut Findings, settings: &Settings, values: &Values) {
    let environment = if settings.production {
        "production"
    } else {
        "development"
    };
    findings.good(
        "settings",
        &format!("each has its form; APP_ENV is {environment}"),
    );
    for name in without_effect(values) {
        findings.note(
            "settings",
            &format!("{name} is accepted, but has no effect in this version"),
        );
    }
    if settings.meta.app_secret.is_none() {
        findings.note(
            "settings",
            "APP_SECRET is not set: only channels with an app secret of their own receive webhooks",
        );
    }
    if settings.meta.verify_token.is_none() {
        findings.note(
            "settings",
            "VERIFY_TOKEN is not set: Meta cannot verify the webhook address",
        );
    }
    if settings.production
        && !settings
            .public_url
            .as_deref()
            .is_some_and(|url| url.starts_with("https://"))
    {
        findings.note(
            "settings",
            "PUBLIC_URL is not an https address: Meta calls only https",
        );
    }
}

fn look_at_data_dir(findings: &mut Findings, settings: &Settings) -> Option<MasterKey> {
    let path = &settings.data_dir;
    match std::fs::metadata(path) {
        Ok(found) if !found.is_dir() => findings.problem(
            "data directory",
            &format!("{} is no directory; set DATA_DIR to one", path.display()),
        ),
        Ok(_) if !can_write(path) => findings.problem(
            "data directory",
            &format!(
                "{} cannot be written; give this user the right, or set DATA_DIR to another one",
                path.display()
            ),
        ),
        Ok(_) => findings.good("data directory", &path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => findings.note(
            "data directory",
            &format!("{} is not there yet; the server makes it", path.display()),
        ),
        Err(error) => findings.problem(
            "data directory",
            &format!("{} cannot be looked at: {error}", path.display()),
        ),
    }
    match MasterKey::find(settings) {
        Ok(master) => {
            findings.good("master key", &master.whence());
            Some(master)
        }
        Err(failure) => {
            findings.problem("master key", &failure.text);
            None
        }
    }
}

/// Whether a file can be made there. Rights alone do not tell: the disk may be full or mounted for reading.
fn can_write(path: &Path) -> bool {
    let probe = path.join(".doctor");
    let made = std::fs::write(&probe, b"x").is_ok();
    // A probe that stays does no harm.
    let _ = std::fs::remove_file(&probe);
    made
}

async fn look_at_database(
    findings: &mut Findings,
    settings: &Settings,
    master: &MasterKey,
    http: &HttpClient,
    server: Option<&str>,
) {
    if let DatabaseUrl::Sqlite(path) = &settings.database
        && !path.exists()
    {
        findings.note(
            "database",
            &format!("{} is not there yet; the server makes it", path.display()),
        );
        return;
    }
    let store = match Store::open(serve::store_config(settings)).await {
        Ok(store) => store,
        // The embedded database belongs to the server that runs.
        Err(StoreError::Unavailable(why))
            if matches!(settings.database, DatabaseUrl::Sqlite(_)) =>
        {
            ask_server(findings, settings, server, &why).await;
            return;
        }
        Err(error) => {
            findings.problem("database", &Failure::from(error).text);
            return;
        }
    };
    if let Err(problem) = look_into(findings, settings, &store, &master.masters(), http).await {
        findings.problem("database", &Failure::from(problem).text);
    }
    store.close().await;
}

async fn look_into(
    findings: &mut Findings,
    settings: &Settings,
    store: &Store,
    masters: &Masters,
    http: &HttpClient,
) -> Result<(), StoreError> {
    store.ping().await?;
    let way = match store.encrypted().await? {
        Some(true) => ", the connection is encrypted",
        Some(false) => ", the connection is not encrypted",
        None => "",
    };
    findings.good(
        "database",
        &format!("{} answers{way}", store.engine().name()),
    );
    let pending: Vec<String> = store
        .migrate_status()
        .await?
        .into_iter()
        .filter(|line| line.state == StepState::Pending)
        .map(|line| line.name)
        .collect();
    if !pending.is_empty() {
        let text = format!(
            "{} steps are not applied ({})",
            pending.len(),
            pending.join(", ")
        );
        if settings.migrate {
            findings.note(
                "schema",
                &format!("{text}; the server applies them when it starts"),
            );
        } else {
            findings.problem("schema", &format!("{text}; run `waxwing migrate up`"));
        }
        return Ok(());
    }
    findings.good("schema", "up to date");
    let own = masters.clone();
    let keyring = store.read_snapshot(move |tx| {
        let fit = keys::fit(tx, &own)?;
        Ok((fit, keys::open(tx, &own)?))
    });
    let keyring = match keyring.await? {
        (KeyFit::Right, Some(keyring)) => {
            findings.good("master key", "the database was sealed under it");
            keyring
        }
        (KeyFit::Unused, _) => {
            findings.note("master key", "nothing was sealed yet");
            return Ok(());
        }
        _ => {
            findings.problem(
                "master key",
                "the database was sealed under another key; set the right MASTER_KEY",
            );
            return Ok(());
        }
    };
    let (found, unreadable) = store
        .read(move |tx| channels::load_directory(tx, &keyring))
        .await?;
    for id in unreadable {
        findings.problem(
            "channel",
            &format!("{id}: its credentials do not open; set them again"),
        );
    }
    if found.is_empty() {
        findings.note("channels", "there are none yet; set WHATSAPP_ACCESS_TOKEN and WHATSAPP_PHONE_NUMBER_ID, or use `waxwing channel add`");
    }
    if found.len() > CHANNELS_MAX {
        findings.note(
            "channels",
            &format!(
                "only the first {CHANNELS_MAX} of {} are asked about",
                found.len()
            ),
        );
    }
    for channel in found.iter().take(CHANNELS_MAX) {
        look_at_channel(findings, settings, channel, http).await;
    }
    Ok(())
}

async fn look_at_channel(
    findings: &mut Findings,
    settings: &Settings,
    channel: &ChannelRecord,
    http: &HttpClient,
) {
    let what = format!("channel {} ({})", channel.channel_id, channel.name);
    let wanted = channel.kind.webhook_credential();
    let platform = channel.kind == ChannelKind::Meta && settings.meta.app_secret.is_some();
    if channel.credentials.get(wanted).is_none() && !platform {
        findings.problem(
            &what,
            &format!(
                "nothing authenticates its webhooks ({wanted} is not set), so they are refused"
            ),
        );
    }
    if channel.kind == ChannelKind::Twilio && settings.public_url.is_none() {
        findings.problem(
            &what,
            "PUBLIC_URL is not set: Twilio signs the address of its webhooks, so they are refused",
        );
    }
    let provider = adapter(channel.kind);
    let account = account_of(channel);
    let request = match provider.build_check(&account, &settings.endpoints()) {
        Ok(request) => request,
        Err(error) => {
            findings.problem(&what, &error.to_string());
            return;
        }
    };
    let check = provider.interpret_check(&account, &http.call(request, CALL_TIMEOUT).await);
    if check.ok {
        let number = check.display_phone_number.unwrap_or_default();
        findings.good(&what, &format!("{number} may send"));
    }
    for problem in check.problems {
        if check.ok {
            findings.note(&what, &problem);
        } else {
            findings.problem(&what, &problem);
        }
    }
}

/// The server that has the embedded database knows what cannot be looked at from outside.
async fn ask_server(findings: &mut Findings, settings: &Settings, server: Option<&str>, why: &str) {
    let asked = async {
        let local = format!("http://127.0.0.1:{}", settings.port);
        let client = Client::new(settings, Some(server.unwrap_or(&local)))?;
        client.get("/health").await?;
        findings.good(
            "server",
            &format!("{} runs, its database and workers are healthy", client.base),
        );
        for tenant in client.list("/api/tenants", "tenants").await? {
            let tenant = tenant["id"].as_str().unwrap_or_default().to_owned();
            for channel in client
                .list(&format!("/api/tenants/{tenant}/channels"), "channels")
                .await?
                .iter()
                .take(CHANNELS_MAX)
            {
                let id = channel["id"].as_str().unwrap_or_default();
                let what = format!(
                    "channel {id} ({})",
                    channel["name"].as_str().unwrap_or_default()
                );
                let test = client
                    .act(&format!("/api/tenants/{tenant}/channels/{id}/test"))
                    .await?["test"]
                    .take();
                if test["passed"] == true {
                    findings.good(&what, "the provider says it may send");
                }
                for problem in test["problems"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|text| text.as_str())
                {
                    if test["passed"] == true {
                        findings.note(&what, problem);
                    } else {
                        findings.problem(&what, problem);
                    }
                }
            }
        }
        Ok::<(), Failure>(())
    };
    if let Err(failure) = asked.await {
        findings.problem(
            "server",
            &format!(
                "the database cannot be opened here ({why}), and no server can be asked: {}",
                failure.text
            ),
        );
    }
}

async fn look_at_redis(findings: &mut Findings, settings: &Settings) {
    let Some(url) = &settings.redis else {
        return;
    };
    match deliver::look_at_redis(url).await {
        Ok(version) => findings.good("Redis", &format!("version {version} answers")),
        Err(error) => findings.problem(
            "Redis",
            &format!("{error}; set REDIS_URL right, or leave it out where one node sends alone. Until it answers, every node sends at its part of each rate"),
        ),
    }
}

async fn look_at_public_url(findings: &mut Findings, settings: &Settings, http: &HttpClient) {
    let Some(base) = &settings.public_url else {
        findings.note(
            "reachability",
            "PUBLIC_URL is not set, so it cannot be tried whether webhooks arrive",
        );
        return;
    };
    let call = |path: String| {
        let request = HttpRequest {
            method: Method::GET,
            url: format!("{base}{path}"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        http.call(request, CALL_TIMEOUT)
    };
    match call("/health/live".to_owned()).await {
        HttpOutcome::Response { status: 200, .. } => {
            findings.good("reachability", &format!("{base} answers"))
        }
        HttpOutcome::Response { status, .. } => {
            findings.problem("reachability", &format!("{base}/health/live answers {status}; does the proxy in front forward to PORT {}?", settings.port));
            return;
        }
        HttpOutcome::NotSent(reason) | HttpOutcome::Lost(reason) => {
            findings.problem("reachability", &format!("{base} cannot be reached ({reason}); does the server run, and does the name lead to it?"));
            return;
        }
        HttpOutcome::TooLarge => {
            findings.problem(
                "reachability",
                &format!("{base} answers with something else; is it this server?"),
            );
            return;
        }
    }
    if let Some(token) = &settings.meta.verify_token {
        let answer = call(format!(
            "/whatsapp/webhook?hub.mode=subscribe&hub.challenge={CHALLENGE}&hub.verify_token={}",
            encoded(token)
        ))
        .await;
        match answer {
            HttpOutcome::Response { status: 200, body, .. } if body == CHALLENGE => {
                findings.good("webhook", &format!("the handshake works; at Meta the callback URL is {base}/whatsapp/webhook"));
            }
            HttpOutcome::Response { status: 403, .. } => {
                findings.problem("webhook", "the server refuses the handshake: its VERIFY_TOKEN is not the one here; start it again with this one");
            }
            _ => findings.problem("webhook", &format!("{base}/whatsapp/webhook does not answer the handshake; does the proxy forward this path?")),
        }
    }
}

/// A token for a query: everything but letters and digits in per cent.
fn encoded(token: &Secret) -> String {
    token
        .expose()
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_encoded_for_queries() {
        assert_eq!(encoded(&Secret::new("aZ9&=%+")), "aZ9%26%3D%25%2B");
    }

    #[tokio::test]
    async fn wrong_settings_are_all_told_and_end_badly() {
        let problems = vec!["PORT is wrong".to_owned(), "BIND is wrong".to_owned()];
        let failure = run(Err(problems), None).await.unwrap_err();
        assert_eq!(
            (failure.text.as_str(), failure.code),
            ("2 things to mend", 1)
        );
    }
}
