//! Trouble on purpose, and the count of what was lost or doubled.

pub mod book;
pub mod check;
pub mod dbdown;
pub mod disk;
pub mod faults;
pub mod isolation;
pub mod kill;
pub mod neighbours;
pub mod scene;
pub mod settle;
pub mod syscalls;
pub mod traffic;

use crate::{Verdict, say};

/// How many broken promises are shown.
const SHOWN: usize = 20;

/// Prints the verdict of a run.
#[must_use]
pub fn verdict_lines(what: &str, broken: &[String]) -> Verdict {
    if broken.is_empty() {
        say::result(&format!("PASS {what}"));
        return Verdict::Held;
    }
    say::result(&format!("FAIL {what}: {} things are wrong", broken.len()));
    for problem in broken.iter().take(SHOWN) {
        say::result(&format!("  - {problem}"));
    }
    if broken.len() > SHOWN {
        say::result(&format!("  … and {} more", broken.len() - SHOWN));
    }
    Verdict::Broken
}
