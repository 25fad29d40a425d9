//! What the person at the terminal sees.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks to its terminal; this is the only place that does"
)]

use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Prints a line.
pub fn say(text: &str) {
    println!("{text}");
    // Order with the output of child processes, which write to the same descriptor unbuffered.
    // A closed pipe is the reader's choice, not an error of ours.
    let _ = std::io::stdout().flush();
}

/// Prints an error.
pub fn complain(text: &str) {
    eprintln!("error: {text}");
}

/// Whether progress can overwrite its own line.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Replaces the current line of a terminal.
pub fn overwrite(text: &str) {
    print!("\r\x1b[K{text}");
    let _ = std::io::stdout().flush();
}

/// A duration as a person reads it: `0.4 s`, `12.3 s`, `3 min 07 s`.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = duration.as_secs_f64().round();
        let minutes = (whole / 60.0).floor();
        format!("{minutes:.0} min {:02.0} s", whole - minutes * 60.0)
    }
}

/// One row of the closing table.
pub struct Row {
    /// Name of the stage.
    pub name: String,
    /// `passed`, `FAILED`, `skipped`, `not run`.
    pub result: &'static str,
    /// Time it took, if it ran.
    pub took: Option<Duration>,
    /// A remark.
    pub note: String,
}

/// The closing table.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let took = row.took.map(elapsed).unwrap_or_default();
        let line = format!(
            "  {:<width$}  {:<8}  {took:>12}  {}",
            row.name, row.result, row.note
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(elapsed(Duration::from_millis(420)), "0.4 s");
        assert_eq!(elapsed(Duration::from_millis(59_940)), "59.9 s");
        assert_eq!(elapsed(Duration::from_millis(59_990)), "1 min 00 s");
        assert_eq!(elapsed(Duration::from_millis(187_400)), "3 min 07 s");
        assert_eq!(elapsed(Duration::from_millis(119_700)), "2 min 00 s");
    }

    #[test]
    fn the_table_has_one_line_for_each_row_and_no_trailing_blanks() {
        let text = table(&[
            Row {
                name: "fmt".into(),
                result: "passed",
                took: Some(Duration::from_secs(2)),
                note: String::new(),
            },
            Row {
                name: "clippy".into(),
                result: "not run",
                took: None,
                note: String::new(),
            },
        ]);
        assert_eq!(
            text,
            "  fmt     passed           2.0 s\n  clippy  not run\n"
        );
    }
}
