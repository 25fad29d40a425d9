//! The automation of the repository: one command to run the product, one to run every check.
//!
//! Depends on nothing of the workspace and on almost nothing else, because it is compiled before the
//! first `cargo xtask demo` of a fresh clone can start.

mod demo;
mod fuzz;
mod mutants;
mod postgres;
mod preflight;
mod process;
mod rig;
mod schema;
mod stages;
mod tidy;
mod tree;
mod ui;

use std::process::ExitCode;

/// What went wrong, in words for the person at the terminal.
type Problem = String;
/// The result of every step.
type Outcome<T> = Result<T, Problem>;

/// The commands, as documents may name them; `tidy` holds the documents to this list.
const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "demo",
        "[KIT] [options]",
        "build waxwing and start `waxwing demo`: server, emulator and a phone, nothing to configure",
    ),
    (
        "test",
        "[--list | STAGE...]",
        "everything a merge must pass; installs or starts what it needs",
    ),
    (
        "bench",
        "[options]",
        "print the benchmark table for SQLite and PostgreSQL (release build)",
    ),
    (
        "chaos",
        "kill | syscalls | mutants | ... [options]",
        "break a running server on purpose and count what was lost or doubled",
    ),
    (
        "fuzz",
        "[TARGET...] [SECONDS]",
        "try every parser of outside input, or one of them, with whatever breaks it (60 seconds each)",
    ),
    (
        "tidy",
        "",
        "check the architecture, the text of the tree and the documents",
    ),
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_str() {
        "demo" => demo::run(&rest),
        "test" => stages::run(&rest),
        "bench" => rig::bench(&rest),
        "chaos" => rig::chaos(&rest),
        "fuzz" => fuzz::run(&rest),
        "tidy" => tidy::run(),
        "" | "help" | "-h" | "--help" => {
            ui::say(&usage());
            Ok(())
        }
        other => Err(format!(
            "there is no command `{other}`\n\n{}",
            usage().trim_end()
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Empty when it has been told already.
            if !problem.is_empty() {
                ui::complain(&problem);
            }
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = String::from("cargo xtask COMMAND\n\n");
    for (name, arguments, about) in COMMANDS {
        let call = format!("{name} {arguments}");
        text.push_str(&format!("  {call}\n      {about}\n"));
    }
    text
}
