//! `chaos neighbours`: one tenant's provider refuses, resets and falls silent; how long another tenant's replies take
//! meanwhile, beside how long they took when all was calm.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_emulator::{
    Dialog360Config, EmulatorConfig, Fault, FaultMatch, FaultPoint, FaultScript, Msg91Config,
    Provider as Kind, TwilioNumber,
};

use super::scene;
use super::verdict_lines;
use crate::api::{self, Api};
use crate::emu::Provider;
use crate::http::{Client, Conn};
use crate::meta::{self, Does, Item};
use crate::server::{Engine, Ready};
use crate::stats::{now_seconds, quantile};
use crate::world::{self, Menu, Tenant};
use crate::{Outcome, Verdict, say};

/// Messages a second to the tenant that is watched.
const A_SECOND: u64 = 200;
const USERS: u64 = 400;
/// Sends a second of the tenant in trouble.
const TROUBLED_A_SECOND: u64 = 100;
/// How long a fault lasts before anybody looks.
const SETTLE: Duration = Duration::from_millis(500);
/// How many times longer a reply may take than in the calm (issue 3).
const MOST: f64 = 2.0;

/// The place of the watched number and of the troubled one.
const WATCHED: usize = 0;
const TROUBLED: usize = 1;

/// When each user wrote last, and how long each answer took.
#[derive(Debug, Default)]
struct Seen {
    wrote: Vec<Option<Instant>>,
    answers: Vec<f64>,
}

type Watch = Arc<Mutex<Seen>>;

fn look(watch: &Watch) -> MutexGuard<'_, Seen> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answered(watch: &Watch, to: &str, at: Instant) {
    let mut seen = look(watch);
    let user = to
        .parse::<u64>()
        .ok()
        .and_then(|phone| phone.checked_sub(world::USERS))
        .and_then(|user| usize::try_from(user).ok());
    if let Some(wrote) = user.and_then(|user| seen.wrote.get_mut(user)?.take()) {
        let took = at.saturating_duration_since(wrote);
        seen.answers.push(took.as_secs_f64() * 1e3);
    }
}

/// Half of the answers, and 99 of 100, were faster: in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    median: f64,
    tail: f64,
}

/// What goes wrong, in the words of a provider.
fn troubles(kind: Kind) -> [(&'static str, Fault); 3] {
    let code = match kind {
        Kind::Meta | Kind::Dialog360 => 130_429,
        Kind::Twilio => 20_429,
        Kind::Msg91 => 0,
    };
    let storm = Fault::Error {
        code,
        status: Some(429),
        retry_after: None,
    };
    [
        ("429 storm", storm),
        ("resets", Fault::ResetBefore),
        ("silence", Fault::NeverAnswer),
    ]
}

const KINDS: [Kind; 4] = [Kind::Meta, Kind::Dialog360, Kind::Twilio, Kind::Msg91];

/// Runs it: for each provider a calm phase and one for each fault, `seconds` long each.
///
/// # Errors
/// When it cannot be run.
pub fn run(program: &Path, engine: &Engine, seconds: u64) -> Outcome<Verdict> {
    let mut broken = Vec::new();
    for kind in KINDS {
        one(program, engine, kind, seconds, &mut broken)
            .map_err(|problem| format!("{} on {}: {problem}", kind.name(), engine.name()))?;
    }
    let name = format!("neighbours of a tenant in trouble on {}", engine.name());
    Ok(verdict_lines(&name, &broken))
}

fn one(
    program: &Path,
    engine: &Engine,
    kind: Kind,
    seconds: u64,
    broken: &mut Vec<String>,
) -> Outcome<()> {
    let watch = Watch::default();
    let observed = Arc::clone(&watch);
    let watched = meta::phone_number_id(WATCHED);
    let provider = Provider::start(EmulatorConfig {
        observer: Some(Arc::new(move |send| {
            if send.phone_number_id == watched {
                answered(&observed, send.to, send.at);
            }
        })),
        ..EmulatorConfig::bench()
    })?;
    let mut site = scene::site(program, engine, &provider)?;
    let url = provider.get().url();
    for name in ["TWILIO_API_URL", "D360_API_URL", "MSG91_API_URL"] {
        site.set(name, &url);
    }
    let (server, ready) = site.start_ready(scene::READY)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    let shown = runtime.block_on(async {
        let play = Play::set(&ready, &provider, kind, watch).await?;
        play.phases(kind, seconds, broken).await
    })?;
    say::result(&format!(
        "  {:<9} {:<9} {shown}",
        engine.name(),
        kind.name()
    ));
    // Calls hang on purpose; an end in good order would wait for them.
    server.kill()
}

/// A watched tenant and one in trouble.
struct Play<'a> {
    provider: &'a Provider,
    ready: Ready,
    watch: Watch,
    troubled: Tenant,
    channel: String,
    written: AtomicU64,
}

impl<'a> Play<'a> {
    async fn set(ready: &Ready, provider: &'a Provider, kind: Kind, watch: Watch) -> Outcome<Self> {
        let callback = format!("http://{}{}", ready.api, meta::PATH);
        let mut tenants =
            world::build(ready.api, provider, &callback, 2, Menu::Answer, false).await?;
        world::hold_unknown(ready.api, &tenants).await?;
        let troubled = tenants.remove(TROUBLED);
        let channel = channel(&mut Api::new(ready.api), provider, &troubled, kind).await?;
        look(&watch).wrote = vec![None; usize::try_from(USERS).unwrap_or(0)];
        Ok(Self {
            provider,
            ready: *ready,
            watch,
            troubled,
            channel,
            written: AtomicU64::new(0),
        })
    }

    async fn phases(&self, kind: Kind, seconds: u64, broken: &mut Vec<String>) -> Outcome<String> {
        // Everybody writes once, so that contacts are there.
        self.phase(kind, 2).await?;
        let calm = self.phase(kind, 2 * seconds).await?;
        let mut shown = format!("calm {:.2}/{:.2} ms", calm.median, calm.tail);
        for (name, fault) in troubles(kind) {
            // Only the tenant in trouble sends message templates.
            let when = FaultMatch {
                provider: Some(kind),
                ..FaultMatch::kind("template")
            };
            let script = FaultScript::one(FaultPoint::Send, when, fault);
            self.provider.get().set_faults(script);
            tokio::time::sleep(SETTLE).await;
            let times = self.phase(kind, seconds).await?;
            let (median, tail) = (times.median / calm.median, times.tail / calm.tail);
            shown.push_str(&format!(
                ", {name} {:.2}/{:.2} ms ({median:.2}×/{tail:.2}×)",
                times.median, times.tail
            ));
            if median > MOST || tail > MOST {
                broken.push(format!(
                    "{name} at {}: replies of another tenant took {median:.2} times as long in the middle, {tail:.2} times at the 99th of 100",
                    kind.name()
                ));
            }
        }
        Ok(shown)
    }

    /// Both tenants at work for some seconds.
    async fn phase(&self, kind: Kind, seconds: u64) -> Outcome<Times> {
        look(&self.watch).answers.clear();
        let (wrote, sent) = tokio::join!(
            self.write(seconds * A_SECOND),
            self.send(kind, seconds * TROUBLED_A_SECOND)
        );
        wrote.map_err(|error| format!("a webhook could not be posted: {error}"))?;
        sent?;
        let deadline = Instant::now() + Duration::from_secs(10);
        let wanted = usize::try_from(seconds * A_SECOND).unwrap_or(usize::MAX);
        while look(&self.watch).answers.len() < wanted {
            if Instant::now() > deadline {
                let found = look(&self.watch).answers.len();
                return Err(format!("{wanted} messages, {found} answers"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut answers = std::mem::take(&mut look(&self.watch).answers);
        Ok(Times {
            median: quantile(&mut answers, 0.5),
            tail: quantile(&mut answers, 0.99),
        })
    }

    async fn write(&self, count: u64) -> std::io::Result<()> {
        let signer = meta::Signer::new(meta::PLATFORM_SECRET);
        let mut conn = Conn::open(self.ready.api).await?;
        let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / A_SECOND));
        for _ in 0..count {
            let place = self.written.fetch_add(1, Ordering::Relaxed);
            let user = place % USERS;
            let item = Item {
                number: WATCHED,
                wamid: format!("wamid.NEIGHBOUR{place:08}"),
                from: (world::USERS + user).to_string(),
                name: format!("Person {user}"),
                does: Does::Says("hi there".to_owned()),
                at: now_seconds(),
            };
            let request = signer.request(&meta::body(&[item]));
            pace.tick().await;
            let user = usize::try_from(user).unwrap_or(0);
            look(&self.watch).wrote[user] = Some(Instant::now());
            let status = conn.call(&request).await?.status;
            if status != 200 {
                let text = format!("it was answered with {status}");
                return Err(std::io::Error::other(text));
            }
        }
        Ok(())
    }

    async fn send(&self, kind: Kind, count: u64) -> Outcome<()> {
        let mut client = Client::new(self.ready.api, Duration::from_secs(30));
        let path = format!("/api/tenants/{}/send/template", self.troubled.id);
        let name = match kind {
            Kind::Twilio => "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            Kind::Meta | Kind::Dialog360 | Kind::Msg91 => "news",
        };
        let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / TROUBLED_A_SECOND));
        for place in 0..count {
            let body = json!({
                "to": format!("+{}", world::SENT_TO + place % 1_000),
                "channelId": self.channel,
                "messageTemplate": {"name": name, "language": "en"},
            });
            pace.tick().await;
            let answer = client
                .call(&api::request("POST", &path, Some(&body)))
                .await
                .map_err(|error| format!("POST {path}: {error}"))?;
            if answer.status != 202 {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(format!("POST {path} answered {}: {said}", answer.status));
            }
        }
        Ok(())
    }
}

/// The channel of the tenant in trouble, at a provider; it may send faster than the provider allows.
async fn channel(
    api: &mut Api,
    provider: &Provider,
    tenant: &Tenant,
    kind: Kind,
) -> Outcome<String> {
    let path = format!("/api/tenants/{}/channels", tenant.id);
    let made = match kind {
        Kind::Meta => {
            let list = api.expect("GET", &path, None, 200).await?;
            list["channels"][0].clone()
        }
        _ => {
            let body = registration(provider, kind);
            let made = api.expect("POST", &path, Some(&body), 201).await?;
            made["channel"].clone()
        }
    };
    let Some(id) = made["id"].as_str() else {
        return Err(format!("the channel has no id: {made}"));
    };
    let limits = json!({"limits": {"messagesPerSecond": 1_000, "contactBurst": 1_000_000}});
    let path = format!("{path}/{id}");
    api.expect("PATCH", &path, Some(&limits), 200).await?;
    Ok(id.to_owned())
}

/// Makes a number known to the emulator; the body that makes its channel.
fn registration(provider: &Provider, kind: Kind) -> Value {
    let emulator = provider.get();
    match kind {
        Kind::Meta => unreachable!("Meta's number comes with its tenant"),
        Kind::Twilio => {
            let number = TwilioNumber::default();
            emulator.add_number(number.clone());
            json!({"kind": "twilio", "from": number.sender, "accountSid": number.account_sid,
                "credentials": {"authToken": number.auth_token}})
        }
        Kind::Dialog360 => {
            let number = Dialog360Config::default();
            emulator.add_number(number.clone());
            json!({"kind": "dialog360", "phoneNumberId": number.phone_number_id,
                "credentials": {"apiKey": number.api_key}})
        }
        Kind::Msg91 => {
            let number = Msg91Config::default();
            emulator.add_number(number.clone());
            json!({"kind": "msg91", "from": number.integrated_number,
                "credentials": {"authKey": number.authkey}})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_to_who_wrote_are_counted() {
        let watch = Watch::default();
        let now = Instant::now();
        look(&watch).wrote = vec![Some(now), None];
        let at = now + Duration::from_millis(3);
        answered(&watch, &world::USERS.to_string(), at);
        answered(&watch, &world::USERS.to_string(), at);
        answered(&watch, &(world::USERS + 1).to_string(), at);
        answered(&watch, "nobody", at);
        assert_eq!(look(&watch).answers, [3.0]);
    }
}
