//! `chaos dbdown`: PostgreSQL goes away under the server. Connections are cut at any moment, also between a COMMIT and
//! its answer; then the database is refused for some seconds; then, where that is possible, it is really stopped and
//! started. Webhooks are answered 503 meanwhile and come again; nothing is lost and nothing doubled.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::book::Book;
use super::scene::{self, Scene};
use super::traffic::Traffic;
use super::verdict_lines;
use crate::emu::Provider;
use crate::proxy::Proxy;
use crate::server::Engine;
use crate::stats::Dice;
use crate::{Outcome, Verdict, say};

const CUTS: u32 = 40;
const DOWN: Duration = Duration::from_secs(6);
const SETTLE: Duration = Duration::from_secs(60);

/// The address in a connection URL, and the URL with another one.
fn split(url: &str) -> Outcome<(SocketAddr, impl Fn(SocketAddr) -> String)> {
    let unreadable = || "--pg-url must be postgres://user@host:port/database".to_owned();
    let (scheme, rest) = url.split_once("://").ok_or_else(unreadable)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').ok_or_else(unreadable)?;
    let address = host
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(unreadable)?;
    let (scheme, user, path) = (scheme.to_owned(), user.to_owned(), path.to_owned());
    Ok((address, move |other| {
        format!("{scheme}://{user}@{other}/{path}")
    }))
}

/// Runs it.
///
/// # Errors
/// When it cannot be run.
pub fn run(program: &Path, engine: &Engine, seed: u64) -> Outcome<Verdict> {
    let Engine::Postgres(url) = engine else {
        scene::skipped(
            "dbdown on sqlite",
            "the database is part of the server; see `chaos disk`",
        );
        return Ok(Verdict::Skipped);
    };
    let (address, with) = split(url)?;
    let mut dice = Dice::new(seed);
    let runtime = scene::runtime()?;
    let proxy = runtime.block_on(Proxy::start(address))?;
    let book = Arc::new(Book::new(4, 6));
    let provider = Provider::start(scene::provider_config(&book))?;
    let mut site = scene::site(program, engine, &provider)?;
    site.set("DATABASE_URL", &with(proxy.address()));
    let (mut server, ready) = site.start_ready(scene::READY)?;
    let scene = Scene::build(&server, &ready, provider, book, 4, dice.roll())?;
    scene.greeted(Traffic::sent_to(6))?;
    scene.everybody(6, &mut dice);
    std::thread::sleep(Duration::from_secs(2));

    let mut broken = Vec::new();
    for _ in 0..CUTS {
        std::thread::sleep(Duration::from_millis(40 + dice.below(150)));
        proxy.cut();
    }
    say::progress(&format!("  {CUTS} times all connections were cut"));
    std::thread::sleep(Duration::from_secs(1));
    proxy.down();
    away(&scene, "refused", DOWN, &mut broken);
    proxy.up();
    std::thread::sleep(Duration::from_secs(2));
    match Cluster::find(url) {
        Ok(cluster) => {
            cluster.control(&["-m", "immediate", "stop"])?;
            away(&scene, "stopped", Duration::from_secs(3), &mut broken);
            cluster.start()?;
            std::thread::sleep(Duration::from_secs(2));
        }
        Err(why) => scene::skipped("stopping the cluster itself", &why),
    }
    if let Some(status) = server.ended()? {
        let words = server.last_words();
        broken.push(format!("the server ended by itself ({status})\n{words}"));
    }
    let findings = scene.judge(SETTLE);
    broken.extend(findings.broken);
    scene::end(server, &mut broken);
    let tally = &scene.book.tally;
    say::result(&format!(
        "{}: {CUTS} cuts and the database away twice: {} messages of users, {} posts answered 503, {} without an answer, {} sends, {} accepted, {} held as unknown; seed {seed}",
        engine.name(),
        scene.book.written().len(),
        tally.unavailable.load(Ordering::Relaxed),
        tally.unanswered.load(Ordering::Relaxed),
        scene.book.asked().len(),
        findings.sent,
        findings.unknown,
    ));
    Ok(verdict_lines("dbdown on postgres", &broken))
}

/// While the database is away, webhooks must be answered, and with 503.
fn away(scene: &Scene, how: &str, wait: Duration, broken: &mut Vec<String>) {
    let count = || scene.book.tally.unavailable.load(Ordering::Relaxed);
    let before = count();
    std::thread::sleep(wait);
    if count() == before {
        broken.push(format!(
            "no webhook was answered with 503 while the database was {how}"
        ));
    }
}

/// The cluster behind the URL, when this process may stop it.
struct Cluster {
    control: PathBuf,
    data: PathBuf,
    owner: (u32, u32),
}

impl Cluster {
    fn find(url: &str) -> Outcome<Self> {
        let output = Command::new("psql")
            .args([url, "-Atqc", "SHOW data_directory"])
            .output()
            .map_err(|error| format!("there is no psql: {error}"))?;
        let data = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let metadata = std::fs::metadata(&data)
            .map_err(|_| "the cluster is not on this machine, or not ours".to_owned())?;
        if !data.join("postgresql.conf").is_file() {
            return Err("the cluster keeps its settings elsewhere".to_owned());
        }
        let program = Command::new("psql")
            .args([
                url,
                "-Atqc",
                "SELECT setting FROM pg_config WHERE name = 'BINDIR'",
            ])
            .output()
            .map_err(|error| format!("there is no psql: {error}"))?;
        let control = PathBuf::from(String::from_utf8_lossy(&program.stdout).trim()).join("pg_ctl");
        if !control.is_file() {
            return Err("there is no pg_ctl".to_owned());
        }
        Ok(Self {
            control,
            data,
            owner: (metadata.uid(), metadata.gid()),
        })
    }

    fn control(&self, arguments: &[&str]) -> Outcome<()> {
        let (uid, gid) = self.owner;
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={gid}"))
            .args(["--clear-groups", "--"])
            .arg(&self.control)
            .args(["--wait", "--timeout=60", "--pgdata"])
            .arg(&self.data)
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("pg_ctl {arguments:?} ended with {status}")),
            Err(error) => Err(format!("cannot start pg_ctl: {error}")),
        }
    }

    fn start(&self) -> Outcome<()> {
        let log = self.data.join("rig-restart.log");
        self.control(&["--log", &log.to_string_lossy(), "start"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let (address, with) = split("postgres://me@127.0.0.1:5432/db").expect("it can be read");
        assert_eq!(address.port(), 5432);
        assert_eq!(
            with("127.0.0.1:9".parse().unwrap()),
            "postgres://me@127.0.0.1:9/db"
        );
        assert!(split("nonsense").is_err());
    }
}
