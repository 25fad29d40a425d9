//! `chaos disk`: the disk fills up, and later a flush fails. No webhook may be answered with 200 that is not on disk;
//! when there is space again everything goes on; a failed flush ends the process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::book::Book;
use super::scene::{self, Scene};
use super::traffic::Person;
use super::verdict_lines;
use crate::emu::Provider;
use crate::http::Client;
use crate::server::{Engine, Server, Site};
use crate::{Outcome, Verdict, say, world};

/// A small file system in memory; gone when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf, size: &str) -> Outcome<Self> {
        std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        let options = format!("size={size}");
        let done = quiet("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&path)
            .status();
        match done {
            Ok(status) if status.success() => Ok(Self(path)),
            _ => Err("a file system cannot be mounted; this needs root".to_owned()),
        }
    }

    fn resize(&self, size: &str) -> Outcome<()> {
        let options = format!("remount,size={size}");
        let done = quiet("mount").args(["-o", &options]).arg(&self.0).status();
        match done {
            Ok(status) if status.success() => Ok(()),
            _ => Err("the file system cannot be made larger".to_owned()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazy: the server may still hold files for a moment.
        let _ = quiet("umount").arg("-l").arg(&self.0).status();
    }
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

const SMALL: &str = "8m";
const LARGE: &str = "256m";
const SETTLE: Duration = Duration::from_secs(60);

/// Runs it.
///
/// # Errors
/// When it cannot be run.
pub fn run(program: &Path, engine: &Engine) -> Outcome<Verdict> {
    if *engine != Engine::Sqlite {
        scene::skipped(
            "disk on postgres",
            "its disk is not the server's; see `chaos dbdown`",
        );
        return Ok(Verdict::Skipped);
    }
    Ok(full(program, engine)?.and(flush(program, engine)?))
}

/// The disk is full.
fn full(program: &Path, engine: &Engine) -> Outcome<Verdict> {
    let book = Arc::new(Book::new(2, 4));
    let provider = Provider::start(scene::provider_config(&book))?;
    let mut site = scene::site(program, engine, &provider)?;
    let disk = match SmallDisk::mount(site.dir().join("small"), SMALL) {
        Ok(disk) => disk,
        Err(why) => {
            scene::skipped("disk full", &why);
            return Ok(Verdict::Skipped);
        }
    };
    site.set_data(&disk.0.join("data"));
    let (mut server, ready) = site.start_ready(scene::READY)?;
    let scene = Scene::build(&server, &ready, provider, book, 2, 1)?;
    let mut broken = Vec::new();
    let stored = fill(&scene)?;
    say::progress(&format!("  the disk is full after {stored} webhooks"));
    // It must stay alive and honest while there is no space.
    let refused = honest_while_full(&scene, &mut broken)?;
    if let Some(status) = server.ended()? {
        say::progress(&format!(
            "  the server ended ({status}); it is started again"
        ));
        disk.resize(LARGE)?;
        server = site.start_ready(scene::READY)?.0;
    } else {
        disk.resize(LARGE)?;
    }
    let freed = Instant::now();
    let person = Person { number: 0, user: 1 };
    let text = world::chain_text(0, 0, &person.name());
    say_until_stored(&scene, &person, world::START, Some(0))?;
    let back = freed.elapsed();
    let answered = scene
        .runtime
        .block_on(scene.book.await_text(0, 1, &text, SETTLE));
    if answered.is_none() {
        broken.push("nothing is answered after there is space again".to_owned());
    }
    if back > Duration::from_secs(5) {
        broken.push(format!(
            "webhooks were refused for {back:?} after there was space again"
        ));
    }
    let findings = scene.judge(SETTLE);
    broken.extend(findings.broken);
    scene::end(server, &mut broken);
    check_file(&site, &mut broken);
    say::result(&format!(
        "sqlite: a disk of {SMALL}: full after {stored} webhooks, {refused} refused with 503, accepted again {:.1} s after there was space",
        back.as_secs_f64()
    ));
    drop(disk);
    Ok(verdict_lines("disk full on sqlite", &broken))
}

/// Posts large messages until one is refused; gives how many were stored. The refused one is posted again at the end by
/// nobody: it was not acknowledged.
fn fill(scene: &Scene) -> Outcome<usize> {
    let person = Person { number: 0, user: 0 };
    let filler = "x".repeat(3_500);
    scene.runtime.block_on(async {
        let mut client = Client::new(scene.traffic.address, Duration::from_secs(10));
        for count in 0..20_000 {
            let (place, item) = scene.says(&person, &format!("{count} {filler}"), None);
            let answer = client.call(&scene.traffic.request(&[item])).await;
            match answer.map(|answer| answer.status) {
                Ok(200) => scene.book.acknowledge(place..place + 1),
                Ok(503) | Err(_) => return Ok(count),
                Ok(status) => {
                    return Err(format!(
                        "a webhook was answered with {status} on a full disk"
                    ));
                }
            }
        }
        Err("the disk did not fill up".to_owned())
    })
}

fn honest_while_full(scene: &Scene, broken: &mut Vec<String>) -> Outcome<usize> {
    let person = Person { number: 1, user: 2 };
    let filler = "y".repeat(3_500);
    let mut refused = 0;
    scene.runtime.block_on(async {
        let mut client = Client::new(scene.traffic.address, Duration::from_secs(10));
        for count in 0..50 {
            let (place, item) = scene.says(&person, &format!("{count} {filler}"), None);
            match client.call(&scene.traffic.request(&[item])).await {
                Ok(answer) if answer.status == 200 => scene.book.acknowledge(place..place + 1),
                Ok(answer) if answer.status == 503 => refused += 1,
                Ok(answer) => broken.push(format!(
                    "a webhook was answered with {} on a full disk",
                    answer.status
                )),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    Ok(refused)
}

/// One message, posted until it is acknowledged.
fn say_until_stored(
    scene: &Scene,
    person: &Person,
    text: &str,
    step: Option<usize>,
) -> Outcome<()> {
    let (place, item) = scene.says(person, text, step);
    let request = scene.traffic.request(&[item]);
    let mut dice = crate::stats::Dice::new(1);
    let stored = scene.runtime.block_on(async {
        let mut client = Client::new(scene.traffic.address, Duration::from_secs(10));
        let deliver = scene.traffic.deliver(&mut client, &request, &mut dice);
        tokio::time::timeout(SETTLE, deliver).await
    });
    match stored {
        Ok(true) => {
            scene.book.acknowledge(place..place + 1);
            Ok(())
        }
        Ok(false) => Err("a webhook was refused for good".to_owned()),
        Err(_) => Err(format!("a webhook is still refused after {SETTLE:?}")),
    }
}

/// A flush fails: the process must end, and what it acknowledged must be there.
fn flush(program: &Path, engine: &Engine) -> Outcome<Verdict> {
    let name = "failed flush on sqlite";
    if !scene::there("strace", "-V") {
        scene::skipped(name, "there is no strace");
        return Ok(Verdict::Skipped);
    }
    let book = Arc::new(Book::new(1, 8));
    let provider = Provider::start(scene::provider_config(&book))?;
    let site = scene::site(program, engine, &provider)?;
    let (mut server, ready) = site.start_ready(scene::READY)?;
    let scene = Scene::build(&server, &ready, provider, book, 1, 1)?;
    say_until_stored(
        &scene,
        &Person { number: 0, user: 0 },
        world::START,
        Some(0),
    )?;
    let mut broken = Vec::new();
    let tracer = break_flushes(&server)?;
    let person = Person { number: 0, user: 1 };
    let (place, item) = scene.says(&person, world::START, Some(0));
    let request = scene.traffic.request(&[item]);
    let answer = scene.runtime.block_on(async {
        let mut client = Client::new(scene.traffic.address, Duration::from_secs(10));
        client.call(&request).await
    });
    if answer.is_ok_and(|answer| answer.status == 200) {
        scene.book.acknowledge(place..place + 1);
        broken.push("a webhook was answered with 200 although its flush failed".to_owned());
    }
    match server.wait_ended(Duration::from_secs(10)) {
        Some(status) if status.success() => {
            broken.push("the server ended as if all was well after a failed flush".to_owned());
        }
        Some(_) => {}
        None => broken.push("the server goes on after a failed flush".to_owned()),
    }
    drop(tracer);
    drop(server);
    let (server, _) = site.start_ready(scene::READY)?;
    say_until_stored(
        &scene,
        &Person { number: 0, user: 2 },
        world::START,
        Some(0),
    )?;
    let findings = scene.judge(SETTLE);
    broken.extend(findings.broken);
    scene::end(server, &mut broken);
    check_file(&site, &mut broken);
    let refused = scene.book.tally.unavailable.load(Ordering::Relaxed);
    say::result(&format!(
        "sqlite: a failed flush ended the server; {refused} tries refused before"
    ));
    Ok(verdict_lines(name, &broken))
}

/// strace, under which every flush fails; it is ended with the server.
fn break_flushes(server: &Server) -> Outcome<Ended> {
    let child = quiet("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"])
        .args([
            "-e",
            "inject=fsync,fdatasync:error=EIO",
            "-p",
            &server.pid().to_string(),
        ])
        .spawn()
        .map_err(|error| format!("cannot start strace: {error}"))?;
    let traced = format!("/proc/{}/status", server.pid());
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let status = std::fs::read_to_string(&traced).unwrap_or_default();
        let tracer = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        if tracer.is_some_and(|pid| pid.trim() == child.id().to_string()) {
            // The other threads follow within the same pass.
            std::thread::sleep(Duration::from_millis(200));
            return Ok(Ended(child));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(Ended(child));
    Err("strace does not attach".to_owned())
}

/// A program that is ended when this is dropped.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn check_file(site: &Site, broken: &mut Vec<String>) {
    match site.integrity() {
        None => scene::skipped("integrity check", "there is no sqlite3"),
        Some(said) if said == "ok" => {}
        Some(said) => broken.push(format!("the database is damaged: {said}")),
    }
}
