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

/// Rows under their headings, in columns.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all: Vec<Vec<String>> =
        vec![headings.iter().map(|&heading| heading.to_owned()).collect()];
    all.extend(rows);
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            all.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in all {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}
