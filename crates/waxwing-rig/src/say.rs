//! The only place that prints: results go to standard output, progress to standard error.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks to its terminal; this is the only place that does"
)]

use std::io::Write as _;

/// Prints a line of the result.
pub fn result(text: &str) {
    println!("{text}");
    // Order with what other processes of the terminal write; a closed pipe is the reader's choice.
    let _ = std::io::stdout().flush();
}

/// Prints a line of progress.
pub fn progress(text: &str) {
    eprintln!("{text}");
}
