//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::Measure;
use crate::chaos::syscalls::Scenario;
use crate::server::Engine;
use crate::{Outcome, Verdict, bench, chaos, say, stats};

/// Measures a running Waxwing and breaks it on purpose.
#[derive(Debug, Parser)]
#[command(name = "waxwing-rig", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures and prints one table.
    Bench {
        #[command(flatten)]
        target: Target,
        /// Only these.
        #[arg(long, value_enum)]
        only: Vec<Measure>,
        /// Runs of each measurement.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Print JSON instead of the table.
        #[arg(long)]
        json: bool,
        /// Webhooks of one run.
        #[arg(long, default_value_t = 100_000)]
        webhooks: usize,
        /// Users who write at once when replies are counted.
        #[arg(long, default_value_t = 256)]
        outstanding: usize,
        /// Seconds that replies are counted.
        #[arg(long, default_value_t = 12)]
        seconds: usize,
        /// Sends to drain.
        #[arg(long, default_value_t = 10_000)]
        sends: u64,
        /// Tenants that the drained sends belong to.
        #[arg(long, default_value_t = 1)]
        drain_tenants: usize,
    },
    /// Breaks a running server and counts what was lost or doubled.
    #[command(subcommand)]
    Chaos(Chaos),
}

/// Which server, and on what.
#[derive(Debug, Clone, Args)]
struct Target {
    /// The program to run.
    #[arg(long, default_value = "target/release/waxwing")]
    server: PathBuf,
    /// The database.
    #[arg(long, value_enum, default_value_t = EngineName::All)]
    engine: EngineName,
    /// Where PostgreSQL is: a superuser's connection URL.
    #[arg(long)]
    pg_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineName {
    /// The embedded database.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// Both.
    All,
}

impl Target {
    /// The engines to run on; one that cannot be had is named.
    fn engines(&self) -> Outcome<Vec<Engine>> {
        let postgres = self.pg_url.clone().map(Engine::Postgres);
        match (self.engine, postgres) {
            (EngineName::Sqlite, _) => Ok(vec![Engine::Sqlite]),
            (EngineName::Postgres, Some(postgres)) => Ok(vec![postgres]),
            (EngineName::Postgres, None) => Err("PostgreSQL needs --pg-url".to_owned()),
            (EngineName::All, Some(postgres)) => Ok(vec![Engine::Sqlite, postgres]),
            (EngineName::All, None) => {
                say::progress("postgres: skipped, there is no --pg-url");
                Ok(vec![Engine::Sqlite])
            }
        }
    }

    fn each(&self, run: impl Fn(&Engine) -> Outcome<Verdict>) -> Outcome<Verdict> {
        let mut verdict = Verdict::Skipped;
        for engine in self.engines()? {
            verdict = verdict.and(run(&engine)?);
        }
        Ok(verdict)
    }
}

#[derive(Debug, Subcommand)]
enum Chaos {
    /// Kills the server while clients talk to it.
    Kill {
        #[command(flatten)]
        target: Target,
        /// How often.
        #[arg(long, default_value_t = 500)]
        kills: u32,
        /// The seed of the run; a random one is printed.
        #[arg(long)]
        seed: Option<u64>,
        /// People of each tenant who write.
        #[arg(long, default_value_t = 8)]
        people: u64,
        /// Tenants.
        #[arg(long, default_value_t = 5)]
        tenants: usize,
    },
    /// Kills the server at each of its system calls while it handles one request (needs strace).
    Syscalls {
        #[command(flatten)]
        target: Target,
        /// The request; all when not given.
        #[arg(long, value_enum)]
        scenario: Vec<Scenario>,
        /// The first call to die at.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
    /// Many people write to many tenants at once.
    Isolation {
        #[command(flatten)]
        target: Target,
        /// People who write at once.
        #[arg(long, default_value_t = 256)]
        senders: usize,
        /// Tenants.
        #[arg(long, default_value_t = 1_000)]
        tenants: usize,
        /// People of each tenant.
        #[arg(long, default_value_t = 4)]
        people: u64,
        /// The seed of the run; a random one is printed.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Everything that a provider can do wrong, and what it must lead to.
    Faults {
        #[command(flatten)]
        target: Target,
    },
    /// One tenant's provider is in trouble; how long another tenant's replies take meanwhile.
    Neighbours {
        #[command(flatten)]
        target: Target,
        /// Seconds of each fault.
        #[arg(long, default_value_t = 8)]
        seconds: u64,
    },
    /// The disk is full; a flush fails (the first needs root, the second strace).
    Disk {
        #[command(flatten)]
        target: Target,
    },
    /// PostgreSQL goes away and comes back.
    Dbdown {
        #[command(flatten)]
        target: Target,
        /// The seed of the run; a random one is printed.
        #[arg(long)]
        seed: Option<u64>,
    },
}

fn seed(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| stats::now_micros() % 1_000_000)
}

/// Reads the command line and runs.
///
/// # Errors
/// When it cannot be run.
pub fn run() -> Outcome<Verdict> {
    match Cli::parse().command {
        Command::Bench {
            target,
            only,
            runs,
            json,
            webhooks,
            outstanding,
            seconds,
            sends,
            drain_tenants,
        } => bench::run(&bench::Plan {
            engines: target.engines()?,
            program: target.server,
            only,
            runs: runs.max(1),
            json,
            webhooks,
            outstanding,
            seconds: seconds.max(2),
            sends,
            drain_tenants: drain_tenants.max(1),
        }),
        Command::Chaos(kind) => run_chaos(kind),
    }
}

fn run_chaos(kind: Chaos) -> Outcome<Verdict> {
    match kind {
        Chaos::Kill {
            target,
            kills,
            seed: given,
            people,
            tenants,
        } => {
            let plan = chaos::kill::Plan {
                kills,
                seed: seed(given),
                people,
                tenants,
            };
            target.each(|engine| chaos::kill::run(&target.server, engine, &plan))
        }
        Chaos::Syscalls {
            target,
            scenario,
            from,
        } => {
            let all = Scenario::value_variants();
            let chosen = if scenario.is_empty() { all } else { &scenario };
            target.each(|engine| {
                let mut verdict = Verdict::Skipped;
                for scenario in chosen {
                    let one = chaos::syscalls::run(&target.server, engine, *scenario, from)?;
                    verdict = verdict.and(one);
                }
                Ok(verdict)
            })
        }
        Chaos::Isolation {
            target,
            senders,
            tenants,
            people,
            seed: given,
        } => {
            let plan = chaos::isolation::Plan {
                tenants,
                senders,
                people,
                seed: seed(given),
            };
            target.each(|engine| chaos::isolation::run(&target.server, engine, plan))
        }
        Chaos::Faults { target } => {
            target.each(|engine| chaos::faults::run(&target.server, engine))
        }
        Chaos::Neighbours { target, seconds } => {
            target.each(|engine| chaos::neighbours::run(&target.server, engine, seconds.max(2)))
        }
        Chaos::Disk { target } => target.each(|engine| chaos::disk::run(&target.server, engine)),
        Chaos::Dbdown {
            target,
            seed: given,
        } => {
            let seed = seed(given);
            target.each(|engine| chaos::dbdown::run(&target.server, engine, seed))
        }
    }
}
