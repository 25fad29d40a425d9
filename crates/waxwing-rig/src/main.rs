//! `waxwing-rig`: measures a running Waxwing and breaks it on purpose, from outside: it starts the release binary,
//! talks to it as clients do, plays the provider with the emulator, and keeps a ledger on each side.
//!
//! Exit status: 0 when every promise held, 1 when one was broken, 2 when it could not run.

mod api;
mod bench;
mod chaos;
mod cli;
mod emu;
mod http;
mod meta;
mod proxy;
mod say;
mod server;
mod stats;
mod world;

use std::process::ExitCode;

/// The result of every step; the error says in words why it could not be done.
pub type Outcome<T> = Result<T, String>;

/// What a run showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every promise held.
    Held,
    /// A promise was broken.
    Broken,
    /// Something that the run needs is not there; it said so.
    Skipped,
}

impl Verdict {
    /// The verdict of two runs together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Broken, _) | (_, Self::Broken) => Self::Broken,
            (Self::Held, _) | (_, Self::Held) => Self::Held,
            (Self::Skipped, Self::Skipped) => Self::Skipped,
        }
    }
}

fn main() -> ExitCode {
    match cli::run() {
        Ok(Verdict::Held | Verdict::Skipped) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::from(1),
        Err(problem) => {
            say::progress(&format!("error: {problem}"));
            ExitCode::from(2)
        }
    }
}
