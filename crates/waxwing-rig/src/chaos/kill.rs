//! `chaos kill`: the server is killed again and again while clients talk to it; then everything must add up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use waxwing_emulator::{
    Delay, EmulatorConfig, Fault, FaultMatch, FaultPoint, FaultRule, FaultScript, StatusTiming,
    WebhookConfig,
};

use super::book::Book;
use super::traffic::{Person, Traffic};
use super::{settle, verdict_lines};
use crate::emu::Provider;
use crate::server::{Engine, Site, quiet_port};
use crate::stats::Dice;
use crate::world::{self, Menu};
use crate::{Outcome, Verdict, meta, say};

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often the server is killed.
    pub kills: u32,
    /// The seed of the run.
    pub seed: u64,
    /// People of each tenant who write.
    pub people: u64,
    /// Tenants.
    pub tenants: usize,
}

/// Shortest and longest life of a server, in milliseconds.
const LIFE: (u64, u64) = (2, 120);
/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// How long an outcome stays unknown before it is left to a person, in this run.
const UNKNOWN_SECONDS: u64 = 2;
/// How long everything may take to come to rest after the last kill.
const SETTLE: Duration = Duration::from_secs(60);

/// The provider's bad habits during the run.
fn provider_config(seed: u64, book: &Arc<Book>) -> EmulatorConfig {
    let rule = |on, when, act| FaultRule { on, when, act };
    let share = FaultMatch::probability;
    let late_sent = FaultMatch {
        kind: Some("sent".to_owned()),
        ..share(0.15)
    };
    let again = Fault::Duplicate {
        times: 1,
        after_ms: 25,
        other_envelope: false,
    };
    let rules = vec![
        rule(FaultPoint::Send, share(0.05), Fault::LoseAnswer),
        rule(FaultPoint::Send, share(0.02), Fault::Fail { code: 131_026 }),
        rule(FaultPoint::Send, share(0.02), Fault::StatusFirst),
        rule(FaultPoint::Status, late_sent, Fault::Delay { ms: 40 }),
        rule(FaultPoint::Status, share(0.1), again),
    ];
    let book = Arc::clone(book);
    EmulatorConfig {
        seed,
        faults: FaultScript {
            seed: Some(seed),
            rules,
        },
        timing: StatusTiming {
            sent: Some(Delay::millis(1, 5)),
            delivered: Delay::millis(1, 10),
            read: Some(Delay::millis(1, 15)),
        },
        webhooks: WebhookConfig {
            batch_size: 4,
            batch_delay: Duration::from_millis(2),
            retry_base: Duration::from_millis(5),
            retry_max: Duration::from_millis(60),
            timeout: Duration::from_secs(5),
            ..WebhookConfig::default()
        },
        threads: false,
        observer: Some(Arc::new(move |seen| book.show(seen))),
        ..EmulatorConfig::lenient()
    }
}

/// What the kills hit.
#[derive(Debug, Default)]
struct Toll {
    starting: u32,
    serving: u32,
    /// Servers that ended without being killed.
    deaths: Vec<String>,
    slowest_ready: Duration,
}

/// Runs it.
///
/// # Errors
/// When it cannot be run; a broken promise is a [`Verdict`].
pub fn run(program: &Path, engine: &Engine, plan: &Plan) -> Outcome<Verdict> {
    let mut dice = Dice::new(plan.seed);
    let users = usize::try_from(plan.people).map_err(|_| "too many people")?;
    let book = Arc::new(Book::new(plan.tenants, users));
    let provider = Provider::start(provider_config(dice.roll(), &book))?;
    let mut site = Site::new(program, engine, &provider.get().url())?;
    let port = quiet_port()?;
    site.set("PORT", &port.to_string());
    site.set("LOG_LEVEL", "warn");
    site.set("UNKNOWN_OUTCOME_SECONDS", &UNKNOWN_SECONDS.to_string());
    say::progress(&format!(
        "{}: {} kills to come, seed {}",
        engine.name(),
        plan.kills,
        plan.seed
    ));

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    let (server, ready) = site.start_ready(READY)?;
    let callback = format!("http://{}{}", ready.api, meta::PATH);
    let tenants = runtime.block_on(async {
        let tenants = world::build(
            ready.api,
            &provider,
            &callback,
            plan.tenants,
            Menu::Chain,
            true,
        )
        .await?;
        world::hold_unknown(ready.api, &tenants).await?;
        Ok::<_, String>(tenants)
    });
    let tenants = tenants.map_err(|problem| format!("{problem}\n{}", server.last_words()))?;

    let seed = dice.roll();
    let traffic = Traffic::new(ready.api, Arc::clone(&book), tenants, seed);
    runtime.block_on(traffic.greeted(Traffic::sent_to(plan.people)))?;
    people(&runtime, &traffic, plan, &mut dice);
    let began = Instant::now();
    let toll = kill_all(&site, server, plan, &mut dice)?;
    let took = began.elapsed();

    let (server, ready) = site.start_ready(READY)?;
    traffic.stop();
    let (findings, ended) = runtime.block_on(async {
        let ended = traffic.ended(SETTLE).await;
        // Long enough for every unknown outcome to be held, or for one to be wrongly sent again.
        tokio::time::sleep(Duration::from_secs(UNKNOWN_SECONDS + 2)).await;
        let findings =
            settle::verdict(ready.api, &traffic.tenants, &book, provider.get(), SETTLE).await;
        (findings, ended)
    });
    runtime.shutdown_background();

    let mut broken = toll.deaths.clone();
    if !ended {
        broken.push("clients were still not answered a minute after the last kill".to_owned());
    }
    broken.extend(findings.broken.iter().cloned());
    if let Err(problem) = server.stop(Duration::from_secs(30)) {
        broken.push(problem);
    }
    let integrity = integrity(&site, engine, &mut broken);

    let rate = f64::from(plan.kills) / took.as_secs_f64();
    say::result(&format!(
        "{}: {} kills in {:.1} s ({rate:.1}/s), {} of them while starting and {} while serving; slowest start {:.0} ms; seed {}",
        engine.name(),
        plan.kills,
        took.as_secs_f64(),
        toll.starting,
        toll.serving,
        toll.slowest_ready.as_secs_f64() * 1e3,
        plan.seed,
    ));
    report(&book, &provider, &findings);
    say::result(&format!("  integrity      {integrity}"));
    Ok(verdict_lines(engine.name(), &broken))
}

fn people(runtime: &tokio::runtime::Runtime, traffic: &Arc<Traffic>, plan: &Plan, dice: &mut Dice) {
    let shared: Vec<usize> = (0..plan.tenants)
        .filter(|number| traffic.tenants[*number].secret.is_none())
        .collect();
    for user in 0..plan.people {
        // Every fourth user writes to two tenants of the platform's app in one request.
        let pairs = if user % 4 == 0 { shared.len() / 2 } else { 0 };
        let person = |number: usize| Person { number, user };
        for pair in shared[..pairs * 2].chunks(2) {
            let group = pair.iter().copied().map(person).collect();
            runtime.spawn(Arc::clone(traffic).chat(group, dice.fork()));
        }
        for number in 0..plan.tenants {
            if !shared[..pairs * 2].contains(&number) {
                let alone = vec![person(number)];
                runtime.spawn(Arc::clone(traffic).chat(alone, dice.fork()));
            }
        }
    }
    for number in 0..plan.tenants {
        runtime.spawn(Arc::clone(traffic).program(number, plan.people, dice.fork()));
    }
    runtime.spawn(Arc::clone(traffic).look(dice.fork()));
}

fn kill_all(
    site: &Site,
    first: crate::server::Server,
    plan: &Plan,
    dice: &mut Dice,
) -> Outcome<Toll> {
    let mut toll = Toll::default();
    let mut next = Some(first);
    let mut before = 0;
    let began = Instant::now();
    for count in 1..=plan.kills {
        let mut server = match next.take() {
            Some(server) => server,
            None => site.start()?,
        };
        let life = Duration::from_millis(LIFE.0 + dice.below(LIFE.1 - LIFE.0 + 1));
        // Half of them live that long after they are ready, the others are killed wherever they are by then.
        if dice.chance(50) {
            match server.wait_ready(READY) {
                Ok(ready) => toll.slowest_ready = toll.slowest_ready.max(ready.after),
                Err(problem) => toll.deaths.push(problem),
            }
        }
        std::thread::sleep(life);
        if server.ready()?.is_some() {
            toll.serving += 1;
        } else {
            toll.starting += 1;
        }
        let pid = server.pid();
        if let Err(death) = server.kill() {
            let after = format!("{death}\n(the server killed before it was process {before})");
            toll.deaths.push(after);
        }
        before = pid;
        if toll.deaths.len() >= 5 {
            return Err(format!(
                "the server does not live by itself:\n{}",
                toll.deaths.join("\n")
            ));
        }
        if count % 100 == 0 {
            let rate = f64::from(count) / began.elapsed().as_secs_f64();
            say::progress(&format!("  killed {count} times, {rate:.1}/s"));
        }
    }
    Ok(toll)
}

/// Lets SQLite check its file.
fn integrity(site: &Site, engine: &Engine, broken: &mut Vec<String>) -> String {
    if *engine != Engine::Sqlite {
        return "PostgreSQL recovers by itself: nothing to check".to_owned();
    }
    match site.integrity() {
        None => "skipped: there is no sqlite3".to_owned(),
        Some(said) if said == "ok" => said,
        Some(said) => {
            broken.push(format!("the database is damaged: {said}"));
            said
        }
    }
}

fn report(book: &Book, provider: &Provider, findings: &super::check::Findings) {
    let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (tally, counts) = (&book.tally, provider.get().ledger().counts());
    say::result(&format!(
        "  webhooks       {} messages of users, {} posts ({} without an answer, {} answered 503), {} copies ({} in other envelopes)",
        book.written().len(),
        get(&tally.posts),
        get(&tally.unanswered),
        get(&tally.unavailable),
        get(&tally.copies),
        get(&tally.other_envelopes),
    ));
    say::result(&format!(
        "  sends          {} asked for in {} calls, {} answers named an earlier one's message",
        book.asked().len(),
        get(&tally.calls),
        get(&tally.repeated),
    ));
    say::result(&format!(
        "  provider       {} accepted, {} of the answers lost on purpose, {} statuses in {} webhooks ({} tries failed)",
        counts.accepted,
        counts.accepted - counts.answered,
        counts.statuses,
        counts.delivered,
        counts.failed_attempts,
    ));
    say::result(&format!(
        "  messages       {} sent, {} of unknown outcome and held (tenants are set to hold: nothing is sent again), {} failed with a reason",
        findings.sent, findings.unknown, findings.failed,
    ));
}
