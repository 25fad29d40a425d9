//! Waxwing: a self-hosted, multi-tenant WhatsApp Business platform in one binary.
//!
//! This crate reads the settings, wires the parts together ([`mod@serve`]) and holds the command line ([`cli`]).

mod cli;
mod client;
mod commands;
mod data_dir;
mod demo;
mod failure;
mod http;
mod limits;
mod logs;
mod master_key;
mod metrics;
mod own_number;
mod serve;
mod settings;
mod signals;
mod terminal;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use self::cli::{Cli, Command};
use self::commands::{audit, keys, people, remote, retention};
use self::failure::Failure;
use self::serve::{Role, Server};
use self::settings::{Settings, Sources};
use self::signals::Signals;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::complain(&failure.text);
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Config { example: true } => {
            terminal::say(settings::example().trim_end());
            Ok(())
        }
        Command::Config { example: false } => commands::config::run(),
        Command::Serve { role, ready_file } => {
            let settings = load()?;
            logs::start(&settings.log_filter, settings.log_json);
            limits::raise_files();
            block_on(serve(&settings, role, ready_file.as_deref()))
        }
        Command::Read { kind, query } => read(&kind, &query),
        Command::Demo(args) => {
            let sources = Sources::of_process(Path::new("."));
            let settings = sources.and_then(Sources::read).and_then(demo::settings);
            let settings = settings.map_err(|problems| Failure::settings(&problems))?;
            logs::start(&settings.log_filter, settings.log_json);
            limits::raise_files();
            block_on(demo::run(settings, &args))
        }
        Command::Doctor { server } => {
            quiet();
            block_on(commands::doctor::run(Settings::load(), server.as_deref()))
        }
        Command::Migrate { way } => {
            with_settings(async |settings| commands::migrate::run(&settings, &way).await)
        }
        Command::Emulate(args) => {
            with_settings(async |settings| commands::emulate::run(&settings, &args).await)
        }
        Command::Send(args) => with_settings(async |settings| remote::send(&settings, &args).await),
        Command::Tenant { action } => {
            with_settings(async |settings| remote::tenant(&settings, &action).await)
        }
        Command::Channel { action } => {
            with_settings(async |settings| remote::channel(&settings, &action).await)
        }
        Command::User { action } => {
            with_settings(async |settings| people::user(&settings, &action).await)
        }
        Command::Key { action } => {
            with_settings(async |settings| people::key(&settings, &action).await)
        }
        Command::Audit { action } => {
            with_settings(async |settings| audit::run(&settings, &action).await)
        }
        Command::Retention { action } => {
            with_settings(async |settings| retention::run(&settings, &action).await)
        }
        Command::RotateKeys { no_wait, remote } => {
            with_settings(async |settings| keys::rotate(&settings, &remote, no_wait).await)
        }
        Command::DeadLetters { action } => {
            with_settings(async |settings| remote::dead_letters(&settings, &action).await)
        }
    }
}

/// Reads a webhook request as the workers do.
fn read(kind: &str, query: &str) -> Result<(), Failure> {
    let mut body = Vec::new();
    let most = u64::try_from(waxwing_core::limits::WEBHOOK_BODY_BYTES).unwrap_or(u64::MAX);
    let input = std::io::Read::take(std::io::stdin().lock(), most);
    std::io::Read::read_to_end(&mut { input }, &mut body)
        .map_err(|error| Failure::new(format!("the body cannot be read: {error}")))?;
    waxwing_app::converse::read_only(kind, query, &body);
    Ok(())
}

fn load() -> Result<Settings, Failure> {
    Settings::load()
        .map(|(settings, _)| settings)
        .map_err(|problems| Failure::settings(&problems))
}

/// Runs a command that speaks by itself.
fn with_settings(
    command: impl AsyncFnOnce(Settings) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let settings = load()?;
    quiet();
    block_on(command(settings))
}

/// Commands speak by themselves; only what went wrong below them is logged.
fn quiet() {
    logs::start("warn", false);
}

/// Runs to the end on threads for all cores, at least two.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("threads cannot be started: {error}")))?
        .block_on(work)
}

async fn serve(settings: &Settings, role: Role, ready_file: Option<&Path>) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let server = tokio::select! {
        server = Server::start(settings, role) => server?,
        () = signals.next() => return Ok(()),
    };
    if let Some(path) = ready_file {
        server.write_ready_file(path)?;
    }
    signals.next().await;
    signals.or_at_once(server.stop()).await;
    Ok(())
}
