//! Words for the person at the terminal.

/// Writes a line to standard output.
pub fn say(line: &str) {
    use std::io::Write as _;
    // Whoever closed the other end wants no more lines.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes a problem to standard error.
pub fn complain(problem: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "waxwing: {problem}");
}
