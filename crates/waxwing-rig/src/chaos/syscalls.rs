//! `chaos syscalls`: the server is killed at its first, second, third … system call of each kind while it handles one
//! request, by strace. After each kill it is started again, and the one request must have taken effect as promised.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::json;
use waxwing_emulator::{Delay, EmulatorConfig, StatusTiming};

use super::book::Book;
use super::scene::{self, Scene};
use super::settle;
use super::traffic::Person;
use super::verdict_lines;
use crate::emu::Provider;
use crate::http::Client;
use crate::server::{Engine, Server};
use crate::stats::Dice;
use crate::{Outcome, Verdict, say, world};

/// The calls at which the server dies.
const CALLS: &str = "pwrite64,fsync,fdatasync,ftruncate,unlink,sendto,write,writev";
/// More calls than any of these requests makes in one thread.
const CALLS_MAX: u64 = 400;
/// How long the server may take for the request and all that follows from it.
const WORK: Duration = Duration::from_millis(900);

/// The one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// A message of a user, which is answered.
    Webhook,
    /// A send through the API.
    Send,
    /// The statuses of a message.
    Status,
}

/// strace, attached to the server.
struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        // Both fail only when it has ended with the server.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Tracer {
    fn attach(server: &Server, nth: u64) -> Outcome<Self> {
        let mut child = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e"])
            .arg(format!("trace={CALLS}"))
            .args(["-e", "signal=none", "-e"])
            .arg(format!("inject={CALLS}:signal=KILL:when={nth}"))
            .args(["-p", &server.pid().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start strace: {error}"))?;
        let errors = child.stderr.take().ok_or("strace has no standard error")?;
        let tracer = Self(child);
        let mut lines = BufReader::new(errors).lines();
        let said = lines.next().and_then(Result::ok).unwrap_or_default();
        // The rest is read so that strace never waits for it.
        std::thread::spawn(move || lines.for_each(drop));
        if said.contains("attached") {
            Ok(tracer)
        } else {
            Err(format!("strace cannot attach: {said}"))
        }
    }
}

/// Runs one scenario.
///
/// # Errors
/// When it cannot be run.
pub fn run(program: &Path, engine: &Engine, scenario: Scenario, from: u64) -> Outcome<Verdict> {
    let name = format!("syscalls on {}, {scenario:?}", engine.name());
    if !scene::there("strace", "-V") {
        scene::skipped(&name, "there is no strace");
        return Ok(Verdict::Skipped);
    }
    let users = usize::try_from(CALLS_MAX).unwrap_or(0) + 1;
    let book = Arc::new(Book::new(1, users));
    let config = EmulatorConfig {
        timing: StatusTiming {
            sent: Some(match scenario {
                // Time to attach between the answer and the first status.
                Scenario::Status => Delay::millis(400, 400),
                _ => Delay::millis(5, 5),
            }),
            delivered: Delay::millis(20, 20),
            read: Some(Delay::millis(20, 20)),
        },
        ..scene::provider_config(&book)
    };
    let provider = Provider::start(config)?;
    let site = scene::site(program, engine, &provider)?;
    let (server, ready) = site.start_ready(scene::READY)?;
    let scene = Scene::build(&server, &ready, provider, book, 1, 1)?;
    scene.greeted(world::SENT_TO..world::SENT_TO + CALLS_MAX)?;
    server.kill()?;
    let mut broken = Vec::new();
    let began = Instant::now();
    let mut kills = 0;
    for nth in from..CALLS_MAX {
        let (mut server, _) = site.start_ready(scene::READY)?;
        let before = prepare(&scene, scenario, nth)?;
        let tracer = match Tracer::attach(&server, nth) {
            Ok(tracer) => tracer,
            Err(why) => {
                scene::skipped(&name, &why);
                return Ok(Verdict::Skipped);
            }
        };
        let task = before.unwrap_or_else(|| begin(&scene, scenario, nth));
        let killed = server.wait_ended(WORK).is_some();
        drop(tracer);
        if killed {
            kills += 1;
            server = site.start_ready(scene::READY)?.0;
        }
        let answered = scene.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), task)
                .await
                .is_ok()
        });
        if !answered {
            broken.push(format!("call {nth}: the client is not answered"));
        }
        let findings = scene.runtime.block_on(settle::verdict(
            scene.traffic.address,
            &scene.traffic.tenants,
            &scene.book,
            scene.provider.get(),
            Duration::from_secs(10),
        ));
        broken.extend(
            findings
                .broken
                .into_iter()
                .map(|text| format!("call {nth}: {text}")),
        );
        // What one kill broke would be found again after each later one.
        if !killed || !broken.is_empty() {
            break;
        }
        if let Err(death) = server.kill() {
            broken.push(format!("after call {nth}: {death}"));
        }
        if nth % 10 == 0 {
            say::progress(&format!("  killed at call {nth}"));
        }
    }
    if kills == 0 {
        broken.push("no call was met: the injection does not work here".to_owned());
    }
    say::result(&format!(
        "{}: {scenario:?}: killed at {kills} calls, from {from} to the end, in {:.1} s",
        engine.name(),
        began.elapsed().as_secs_f64()
    ));
    Ok(verdict_lines(&name, &broken))
}

type Task = tokio::task::JoinHandle<()>;

/// What has to happen before strace watches: for statuses, the send.
fn prepare(scene: &Scene, scenario: Scenario, nth: u64) -> Outcome<Option<Task>> {
    if scenario != Scenario::Status {
        return Ok(None);
    }
    let task = begin(scene, Scenario::Send, nth);
    let text = format!("n0 send k-{nth}");
    let ledger = scene.provider.get().ledger();
    let arrived = scene.runtime.block_on(ledger.wait_for(
        |ledger| ledger.count(|send| *send.body == *text && send.answered) > 0,
        Duration::from_secs(10),
    ));
    if arrived {
        // The answer is recorded.
        std::thread::sleep(Duration::from_millis(30));
        Ok(Some(task))
    } else {
        Err("a message did not reach the provider".to_owned())
    }
}

/// Begins the request; the task ends when the client is answered.
fn begin(scene: &Scene, scenario: Scenario, nth: u64) -> Task {
    let traffic = Arc::clone(&scene.traffic);
    let mut dice = Dice::new(nth);
    match scenario {
        Scenario::Webhook => {
            let person = Person {
                number: 0,
                user: nth,
            };
            let (place, item) = scene.says(&person, world::START, Some(0));
            scene.runtime.spawn(async move {
                let mut client = Client::new(traffic.address, Duration::from_secs(5));
                let request = traffic.request(&[item]);
                if traffic.deliver(&mut client, &request, &mut dice).await {
                    traffic.book.acknowledge(place..place + 1);
                }
            })
        }
        Scenario::Send | Scenario::Status => {
            let (key, text) = (format!("k-{nth}"), format!("n0 send k-{nth}"));
            let to = (world::SENT_TO + nth).to_string();
            let place = traffic.book.ask(0, &key, &to, &text);
            let body = json!({"to": format!("+{to}"), "text": text, "idempotency_key": key});
            scene.runtime.spawn(async move {
                traffic.call(0, place, &body, dice).await;
            })
        }
    }
}
