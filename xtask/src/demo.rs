//! `cargo xtask demo`: from a clone to a phone that answers.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::{Outcome, preflight, process, ui};

/// How often progress is shown where it cannot overwrite its own line.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Builds the release binary, saying how far it is, and becomes `waxwing demo`.
pub fn run(args: &[String]) -> Outcome<()> {
    let started = Instant::now();
    ui::say("[1/3] looking for a C compiler (SQLite and the TLS library need one)");
    preflight::compiler()?;
    ui::say("[2/3] building waxwing (release; the first build takes a few minutes)");
    build(started)?;
    let binary = process::built("release", "waxwing");
    ui::say(&format!(
        "[3/3] starting `waxwing demo`, {} after the start (Ctrl-C stops it)",
        ui::elapsed(started.elapsed())
    ));
    // Replaces this process, so that signals reach the server and its exit status is ours.
    let error = Command::new(&binary).arg("demo").args(args).exec();
    Err(format!("cannot start {}: {error}", binary.display()))
}

fn build(started: Instant) -> Outcome<()> {
    let mut child = process::cargo()
        .args(["build", "--locked", "--release", "--package", "waxwing"])
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env_remove("CARGO_TERM_QUIET")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    let stderr = child.stderr.take().ok_or("cargo has no standard error")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            // Fails only when nobody listens any more, and then the line is not wanted.
            if line.map(|line| sender.send(line)).is_err() {
                break;
            }
        }
    });
    let log = follow(&receiver, started);
    let status = child
        .wait()
        .map_err(|error| format!("cannot wait for cargo: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the build failed\n\n{log}"))
    }
}

/// Turns cargo's words into progress until it closes its end; returns what else it said.
fn follow(lines: &Receiver<String>, started: Instant) -> String {
    let mut log = String::new();
    let mut progress = Progress::default();
    let mut total: Option<Receiver<usize>> = None;
    let mut shown = Instant::now();
    let terminal = ui::is_terminal();
    loop {
        let event = lines.recv_timeout(Duration::from_secs(1));
        match event {
            Ok(line) => {
                // What was counted is of no use in an error report.
                if !progress.hear(&line) {
                    log.push_str(&line);
                    log.push('\n');
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // Counting the packages costs a quarter of a second, so a warm start does without.
        if progress.compiled > 0 && total.is_none() {
            total = Some(count_packages());
        }
        if let Some(count) = total.as_ref().and_then(|total| total.try_recv().ok()) {
            progress.total = Some(count);
        }
        let Some(text) = progress.text() else {
            continue;
        };
        let text = format!("      {text}, {}", ui::elapsed(started.elapsed()));
        if terminal {
            ui::overwrite(&text);
        } else if shown.elapsed() >= PROGRESS_EVERY {
            ui::say(&text);
            shown = Instant::now();
        }
    }
    if terminal && progress.text().is_some() {
        ui::overwrite("");
    }
    log
}

/// What cargo has said so far.
#[derive(Default)]
struct Progress {
    fetched: usize,
    compiled: usize,
    total: Option<usize>,
    last: String,
    waiting: bool,
}

impl Progress {
    /// Whether the line was about progress.
    fn hear(&mut self, line: &str) -> bool {
        let mut words = line.split_whitespace();
        let (verb, object) = (words.next(), words.next().unwrap_or_default());
        self.waiting = verb == Some("Blocking");
        match verb {
            Some("Downloaded") => self.fetched += 1,
            Some("Compiling") => {
                self.compiled += 1;
                self.last = object.to_owned();
            }
            _ => return self.waiting,
        }
        true
    }

    fn text(&self) -> Option<String> {
        if self.waiting {
            return Some("waiting for another cargo to finish".to_owned());
        }
        if self.compiled > 0 {
            // The count is cargo's estimate of what a clean build needs; never show "300 of 299".
            let of = match self.total {
                Some(total) if total >= self.compiled => format!(" of {total}"),
                _ => String::new(),
            };
            return Some(format!(
                "compiling crate {}{of} ({})",
                self.compiled, self.last
            ));
        }
        (self.fetched > 0).then(|| format!("downloaded {} crates", self.fetched))
    }
}

/// How many packages a clean build compiles, found while the build goes on.
fn count_packages() -> Receiver<usize> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let tree = process::read(process::cargo().args([
            "tree",
            "--locked",
            "--package=waxwing",
            "--edges=normal,build",
            "--prefix=none",
            "--format={p}",
        ]));
        if let Ok(tree) = tree {
            let packages: HashSet<&str> = tree
                .lines()
                .map(|line| line.trim_end_matches(" (*)"))
                .filter(|line| !line.is_empty())
                .collect();
            // Nobody may be waiting any more; the count is a nicety.
            let _ = sender.send(packages.len());
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str], total: Option<usize>) -> Option<String> {
        let mut progress = Progress {
            total,
            ..Progress::default()
        };
        for line in lines {
            progress.hear(line);
        }
        progress.text()
    }

    #[test]
    fn a_warm_build_shows_nothing() {
        assert_eq!(
            after(
                &["    Finished `release` profile [optimized] target(s) in 0.11s"],
                None
            ),
            None
        );
    }

    #[test]
    fn progress_counts_crates() {
        let lines = ["   Compiling libc v0.2.1", "   Compiling ring v0.17.14"];
        assert_eq!(
            after(&lines, Some(287)).as_deref(),
            Some("compiling crate 2 of 287 (ring)")
        );
        assert_eq!(
            after(&lines, Some(1)).as_deref(),
            Some("compiling crate 2 (ring)")
        );
        assert_eq!(
            after(&["  Downloaded ring v0.17.14"], None).as_deref(),
            Some("downloaded 1 crates")
        );
    }

    #[test]
    fn a_lock_held_by_another_cargo_is_told() {
        let blocked = "    Blocking waiting for file lock on build directory";
        assert_eq!(
            after(&[blocked], None).as_deref(),
            Some("waiting for another cargo to finish")
        );
        assert_eq!(
            after(&[blocked, "   Compiling ring v0.17.14"], None).as_deref(),
            Some("compiling crate 1 (ring)")
        );
    }
}
