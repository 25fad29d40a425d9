//! `cargo xtask bench` and `cargo xtask chaos`: builds the server and `waxwing-rig`, gives the rig a
//! PostgreSQL cluster where it wants one, and hands over.
//!
//! The rig's exit status is part of the contract: 0 when every promise held, 1 when one was broken,
//! anything else when it could not run. Only 1 counts as a caught mutant.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::postgres::{Cluster, Durability};
use crate::{Outcome, mutants, preflight, process, ui};

/// The rig's status for "a promise was broken".
pub const BROKEN: i32 = 1;

/// What `chaos` can do here; the rig explains the rest of its options itself.
pub const CHAOS: &[&str] = &[
    "kill",
    "syscalls",
    "isolation",
    "faults",
    "neighbours",
    "disk",
    "dbdown",
    "mutants",
];

/// A database engine of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The embedded default.
    Sqlite,
    /// For several nodes.
    Postgres,
}

impl Engine {
    /// Both, the embedded one first.
    pub const ALL: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

    /// As the rig's `--engine` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        }
    }

    /// The engine of that name.
    pub fn named(name: &str) -> Option<Engine> {
        Engine::ALL.into_iter().find(|engine| engine.name() == name)
    }
}

/// Builds both programs in the release profile and prints the benchmark table.
pub fn bench(args: &[String]) -> Outcome<()> {
    let profile = Profile::Release;
    profile.build()?;
    let mut rig = profile.rig();
    rig.args(["bench", "--server"])
        .arg(profile.server())
        .args(args);
    with_database(args, Durability::On, &mut rig)
}

/// Runs one kind of trouble.
pub fn chaos(args: &[String]) -> Outcome<()> {
    let Some((kind, rest)) = args.split_first() else {
        return Err(format!(
            "say which: cargo xtask chaos {}",
            CHAOS.join(" | ")
        ));
    };
    if kind == "mutants" {
        return mutants::run(rest);
    }
    if kind == "syscalls" {
        preflight::strace()?;
    }
    let profile = if rest.iter().any(|arg| arg == "--dev") {
        Profile::Dev
    } else {
        Profile::Release
    };
    let rest: Vec<String> = rest.iter().filter(|arg| *arg != "--dev").cloned().collect();
    profile.build()?;
    let both = kind == "kill" && option(&rest, "--engine").is_none() && !wants_help(&rest);
    let engines: &[&[&str]] = if both {
        &[&["--engine", "sqlite"], &["--engine", "postgres"]]
    } else {
        &[&[]]
    };
    for engine in engines {
        let mut arguments: Vec<String> = engine.iter().map(|&word| word.to_owned()).collect();
        arguments.extend_from_slice(&rest);
        let mut rig = profile.rig();
        rig.arg("chaos").arg(kind).arg("--server");
        rig.arg(profile.server()).args(&arguments);
        with_database(&arguments, Durability::Off, &mut rig)?;
    }
    Ok(())
}

/// Runs the rig, with a cluster of its own unless it is told to use another or none.
fn with_database(args: &[String], durability: Durability, rig: &mut Command) -> Outcome<()> {
    let none = option(args, "--pg-url").is_some()
        || option(args, "--engine") == Some(Engine::Sqlite.name())
        || wants_help(args);
    if none {
        return process::run(rig);
    }
    preflight::postgres().map_err(|problem| {
        format!("{problem}\nor measure the embedded database alone: --engine sqlite")
    })?;
    let cluster = Cluster::start(durability)?;
    process::run(rig.args(["--pg-url", &cluster.url()]))
}

/// `chaos isolation` as it stands in the test command. `Ok(false)` means that a promise was broken.
pub fn isolation(engine: Engine, cluster: Option<&Cluster>) -> Outcome<bool> {
    let profile = Profile::Dev;
    let mut rig = profile.rig();
    rig.args(["chaos", "isolation", "--server"])
        .arg(profile.server())
        .args(["--engine", engine.name()]);
    if let Some(cluster) = cluster {
        rig.args(["--pg-url", &cluster.url()]);
    }
    let shown = process::shown(&rig);
    ui::say(&shown);
    let (code, said) = process::tee(&mut rig)?;
    match code {
        // A rig that ends well without a verdict has shown nothing.
        Some(0) if said.contains("PASS isolation") => Ok(true),
        Some(BROKEN) => Ok(false),
        _ => Err(format!("`{shown}` could not run (exit code {code:?})")),
    }
}

/// One round of `chaos kill`.
pub struct Kill<'a> {
    /// The server to kill.
    pub server: &'a Path,
    /// The database it runs on.
    pub engine: Engine,
    /// How often.
    pub kills: u32,
    /// For PostgreSQL.
    pub cluster: Option<&'a Cluster>,
    /// Whether the rig's report is shown as it comes. That of a mutant is not: it tells of a failure
    /// that is wanted, and would be read as one that is not.
    pub shown: bool,
}

impl Kill<'_> {
    /// `Ok(false)` means that a promise was broken.
    pub fn run(&self) -> Outcome<bool> {
        let kills = self.kills;
        let mut rig = Profile::Dev.rig();
        rig.args(["chaos", "kill", "--server"]).arg(self.server);
        rig.args([
            "--engine",
            self.engine.name(),
            "--kills",
            &kills.to_string(),
        ]);
        if let (Engine::Postgres, Some(cluster)) = (self.engine, self.cluster) {
            rig.args(["--pg-url", &cluster.url()]);
        }
        let shown = process::shown(&rig);
        let (code, said) = if self.shown {
            ui::say(&shown);
            process::tee(&mut rig)?
        } else {
            process::capture(&mut rig)?
        };
        let done = kills_reported(&said);
        match code {
            // A rig that ends well without having killed anything has shown nothing.
            Some(0) if done >= Some(kills) => Ok(true),
            Some(0) => Err(format!(
                "`{shown}` reports {done:?} kills instead of {kills}"
            )),
            Some(BROKEN) => Ok(false),
            _ if self.shown => Err(format!("`{shown}` could not run (exit code {code:?})")),
            _ => Err(format!(
                "`{shown}` could not run (exit code {code:?})\n{said}"
            )),
        }
    }
}

/// The number before the word `kills` in the last line that has one.
fn kills_reported(said: &str) -> Option<u32> {
    let words: Vec<&str> = said.split_whitespace().collect();
    words
        .windows(2)
        .rev()
        .filter(|pair| pair[1].trim_end_matches([',', '.', ':', ';']) == "kills")
        .find_map(|pair| pair[0].replace(',', "").parse().ok())
}

/// The value of `--name value` or `--name=value`.
fn option<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().enumerate().find_map(|(at, arg)| {
        if arg == name {
            return args.get(at + 1).map(String::as_str);
        }
        arg.strip_prefix(name)?.strip_prefix('=')
    })
}

fn wants_help(args: &[String]) -> bool {
    args.iter().any(|arg| arg == "--help" || arg == "-h")
}

/// A build profile.
#[derive(Clone, Copy)]
pub enum Profile {
    /// `target/debug`: what the tests use.
    Dev,
    /// `target/release`: what users run.
    Release,
}

impl Profile {
    fn dir(self) -> &'static str {
        match self {
            Profile::Dev => "debug",
            Profile::Release => "release",
        }
    }

    /// The server.
    pub fn server(self) -> PathBuf {
        process::built(self.dir(), "waxwing")
    }

    fn rig(self) -> Command {
        Command::new(process::built(self.dir(), "waxwing-rig"))
    }

    /// Builds the server as users get it, then the rig. Two calls, since one would unite the features
    /// of their dependencies and measure a server that nobody runs.
    fn build(self) -> Outcome<()> {
        for package in ["waxwing", "waxwing-rig"] {
            let mut cargo = process::cargo();
            cargo.args(["build", "--locked", "--package", package]);
            if let Profile::Release = self {
                cargo.arg("--release");
            }
            process::run(&mut cargo)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_kills_is_read_from_the_report() {
        assert_eq!(
            kills_reported("round 1\n250 kills so far\nsqlite: 500 kills, 0 lost"),
            Some(500)
        );
        assert_eq!(kills_reported("10,000 kills"), Some(10_000));
        assert_eq!(kills_reported("no kills at all"), None);
        assert_eq!(kills_reported(""), None);
        assert!(kills_reported("499 kills") < Some(500));
        assert!(kills_reported("nothing") < Some(500));
    }

    #[test]
    fn options_are_found_in_both_spellings() {
        let args = [
            "--kills".to_owned(),
            "5".to_owned(),
            "--engine=sqlite".to_owned(),
        ];
        assert_eq!(option(&args, "--kills"), Some("5"));
        assert_eq!(option(&args, "--engine"), Some("sqlite"));
        assert_eq!(option(&args, "--eng"), None);
        assert_eq!(option(&args, "--pg-url"), None);
    }
}
