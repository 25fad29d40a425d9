//! `docs/security.md` names tests that exist, and every requirement of the standard once.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::{Finding, Source};

const DOCUMENT: &str = "docs/security.md";
/// Requirements of the levels 1 and 2 of ASVS 5.0.
const REQUIREMENTS: usize = 253;
/// The heading of the table of requirements.
const STANDARD: &str = "## OWASP ASVS";

pub(super) fn check(files: &[Source]) -> Vec<Finding> {
    let path = Path::new(DOCUMENT);
    match files.iter().find(|file| file.path == path) {
        Some(document) => judge(&document.text, &names_of_functions(files))
            .into_iter()
            .map(|(line, text)| Finding {
                file: path.to_path_buf(),
                line,
                rule: "security",
                text,
            })
            .collect(),
        None => Vec::new(),
    }
}

/// Every word behind `fn` or in a macro that makes tests.
fn names_of_functions(files: &[Source]) -> HashSet<&str> {
    files
        .iter()
        .filter(|file| file.is("rs"))
        .flat_map(|file| {
            ["fn ", "store_test!("]
                .into_iter()
                .flat_map(|before| file.text.split(before).skip(1))
        })
        .map(|rest| {
            let end = rest
                .find(|one: char| !one.is_ascii_alphanumeric() && one != '_')
                .unwrap_or(rest.len());
            &rest[..end]
        })
        .collect()
}

/// Line and problem.
fn judge(text: &str, functions: &HashSet<&str>) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut in_standard = false;
    for (at, line) in text.lines().enumerate() {
        in_standard |= line.starts_with(STANDARD);
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        // A row of a table with the tests in its last cell.
        let [_, first, middle @ .., last, ""] = cells.as_slice() else {
            continue;
        };
        for name in last.split('`').skip(1).step_by(2) {
            if is_test_name(name) && !functions.contains(name) {
                problems.push((at + 1, format!("there is no test `{name}`")));
            }
        }
        if !in_standard || !first.starts_with(|one: char| one.is_ascii_digit()) {
            continue;
        }
        for number in first.split(", ") {
            if let Some(before) = seen.insert(number.to_owned(), at + 1) {
                problems.push((at + 1, format!("{number} stands in line {before}, too")));
            }
        }
        let excused = middle
            .iter()
            .any(|cell| cell.contains("not applicable") || cell.contains("open:"));
        if last.is_empty() && !excused {
            problems.push((at + 1, format!("{first} is shown by nothing")));
        }
    }
    if seen.len() != REQUIREMENTS {
        let count = seen.len();
        problems.push((
            0,
            format!("{count} requirements stand here, {REQUIREMENTS} should"),
        ));
    }
    problems
}

fn is_test_name(word: &str) -> bool {
    word.contains('_')
        && word
            .bytes()
            .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(rows: &str) -> Vec<String> {
        let text = format!("{STANDARD}\n{rows}");
        let functions = HashSet::from(["a_test_that_is_there"]);
        let mut found: Vec<String> = judge(&text, &functions)
            .into_iter()
            .map(|(line, text)| format!("{line}: {text}"))
            .collect();
        // That the few rows of a test are not all of them.
        found.pop();
        found
    }

    #[test]
    fn rows_name_tests_that_are_there() {
        assert!(problems("| 1.1.1, 1.1.2 | a | b | `a_test_that_is_there` |").is_empty());
        assert_eq!(
            problems("| 1.1.1 | a | b | `a_test_that_is_gone` |"),
            ["2: there is no test `a_test_that_is_gone`"]
        );
    }

    #[test]
    fn rows_stand_once_and_are_shown_or_excused() {
        assert_eq!(
            problems("| 1.1.1 | a | b | |"),
            ["2: 1.1.1 is shown by nothing"]
        );
        assert!(problems("| 1.1.1 | a | not applicable: no mail | |").is_empty());
        assert_eq!(
            problems("| 1.1.1 | a | open: b | |\n| 1.1.1 | a | open: b | |"),
            ["3: 1.1.1 stands in line 2, too"]
        );
    }
}
