//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::server::Engine;
use crate::{Outcome, Verdict, chaos, say, stats};

/// Measures a running Waxwing and breaks it on purpose.
#[derive(Debug, Parser)]
#[command(name = "waxwing-rig", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
}

/// Reads the command line and runs.
///
/// # Errors
/// When it cannot be run.
pub fn run() -> Outcome<Verdict> {
    match Cli::parse().command {
        Command::Chaos(kind) => run_chaos(kind),
    }
}

fn run_chaos(kind: Chaos) -> Outcome<Verdict> {
    match kind {
        Chaos::Kill {
            target,
            kills,
            seed,
            people,
            tenants,
        } => {
            let seed = seed.unwrap_or_else(|| stats::now_micros() % 1_000_000);
            let plan = chaos::kill::Plan {
                kills,
                seed,
                people,
                tenants,
            };
            target.each(|engine| chaos::kill::run(&target.server, engine, &plan))
        }
    }
}
