//! Rules about the text of files: length, forbidden words, secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Finding, Source};
use crate::Outcome;

/// Lines of a source file. A longer one hides more than one thing.
const LINES_MAX: usize = 600;
/// Files that were longer when the rule came, with the length they must not pass.
const LONG_FILES: &str = "xtask/long-files.txt";
/// What counts as source for the length rule.
const CODE: &[&str] = &["rs", "ts", "tsx", "js", "mjs", "css", "sql", "sh", "py"];

pub(super) fn check(root: &Path, files: &[Source]) -> Outcome<Vec<Finding>> {
    let allowed = std::fs::read_to_string(root.join(LONG_FILES)).unwrap_or_default();
    let mut findings = lengths(&allowed, files)?;
    for file in files {
        findings.extend(words(file));
        findings.extend(secrets(file));
    }
    Ok(findings)
}

/// The allow-list only ever shrinks: a file that got shorter must be listed with its new length, one
/// that fits must leave the list.
fn lengths(allowed: &str, files: &[Source]) -> Outcome<Vec<Finding>> {
    let mut limits: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for line in allowed.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        if let (Some(path), Some(limit)) = (words.next(), words.next()) {
            let limit = limit
                .parse()
                .map_err(|_| format!("{LONG_FILES}: `{line}` is not `PATH LINES`"))?;
            limits.insert(PathBuf::from(path), limit);
        }
    }
    let mut findings = Vec::new();
    let mut find = |file: &Path, text: String| {
        findings.push(Finding {
            file: file.to_path_buf(),
            line: 0,
            rule: "length",
            text,
        });
    };
    for file in files {
        if file.within("fixtures") || !CODE.iter().any(|extension| file.is(extension)) {
            continue;
        }
        let lines = file.text.lines().count();
        match limits.remove(&file.path) {
            None if lines > LINES_MAX => {
                find(
                    &file.path,
                    format!("{lines} lines; {LINES_MAX} is the most"),
                );
            }
            Some(_) if lines <= LINES_MAX => {
                find(&file.path, format!("fits now: remove it from {LONG_FILES}"));
            }
            Some(limit) if lines > limit => {
                find(
                    &file.path,
                    format!("{lines} lines; it had {limit} and may only shrink"),
                );
            }
            Some(limit) if lines < limit => {
                find(
                    &file.path,
                    format!("shrank: set it to {lines} in {LONG_FILES}"),
                );
            }
            None | Some(_) => {}
        }
    }
    for path in limits.keys() {
        find(path, format!("is not there: remove it from {LONG_FILES}"));
    }
    Ok(findings)
}

/// A word that must not occur.
struct Forbidden {
    rule: &'static str,
    word: &'static str,
    only: Scope,
    why: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Anywhere,
    Rust,
    Tests,
}

// The words are put together here so that this file does not break its own rules.
const FORBIDDEN: &[Forbidden] = &[
    Forbidden {
        rule: "machine-path",
        word: concat!("/wo", "rk/"),
        only: Scope::Anywhere,
        why: "the tree builds on any machine",
    },
    Forbidden {
        rule: "machine-path",
        word: concat!("/ro", "ot/"),
        only: Scope::Anywhere,
        why: "the tree builds on any machine",
    },
    Forbidden {
        rule: "unfinished",
        word: concat!("to", "do!("),
        only: Scope::Rust,
        why: "what is merged works",
    },
    Forbidden {
        rule: "unfinished",
        word: concat!("unimpl", "emented!("),
        only: Scope::Rust,
        why: "what is merged works",
    },
    Forbidden {
        rule: "ignored-test",
        word: concat!("#[ign", "ore"),
        only: Scope::Rust,
        why: "a test runs or is removed",
    },
    Forbidden {
        rule: "sleep",
        word: concat!("thread::sl", "eep("),
        only: Scope::Tests,
        why: "a test waits for a condition with a deadline, never for time",
    },
    Forbidden {
        rule: "sleep",
        word: concat!("time::sl", "eep("),
        only: Scope::Tests,
        why: "a test waits for a condition with a deadline, never for time",
    },
];

fn words(file: &Source) -> Vec<Finding> {
    if file.within("fixtures") {
        return Vec::new();
    }
    let tests = tests_start(file);
    let mut findings = Vec::new();
    let mut above = "";
    for (at, line) in file.text.lines().enumerate() {
        for forbidden in FORBIDDEN {
            let applies = match forbidden.only {
                Scope::Anywhere => true,
                Scope::Rust => file.is("rs"),
                Scope::Tests => tests.is_some_and(|start| at >= start),
            };
            if !applies || !line.contains(forbidden.word) {
                continue;
            }
            if excused(line, forbidden.rule) || excused(above, forbidden.rule) {
                continue;
            }
            findings.push(Finding {
                file: file.path.clone(),
                line: at + 1,
                rule: forbidden.rule,
                text: format!("`{}`: {}", forbidden.word, forbidden.why),
            });
        }
        above = line;
    }
    findings
}

/// `tidy: allow RULE: reason`; without a reason it is no excuse.
fn excused(line: &str, rule: &str) -> bool {
    line.split_once("tidy: allow ")
        .and_then(|(_, rest)| rest.strip_prefix(rule)?.strip_prefix(':'))
        .is_some_and(|reason| !reason.trim().is_empty())
}

/// The line at which the tests of a file begin: all of it in a test file, else its test module,
/// which stands at the end. The testkit, whose job is to wait for conditions, is not a test.
fn tests_start(file: &Source) -> Option<usize> {
    if !file.is("rs") {
        return None;
    }
    let stem = file.path.file_stem().unwrap_or_default();
    if file.within("tests") || stem == "tests" || stem.to_string_lossy().ends_with("_tests") {
        return Some(0);
    }
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{')
    })
}

/// A token of a service: where it starts, and what its rest is made of.
struct Token {
    what: &'static str,
    prefix: &'static str,
    alphabet: fn(char) -> bool,
    length_min: usize,
}

const TOKENS: &[Token] = &[
    Token {
        what: "a Meta access token",
        prefix: "EAA",
        alphabet: |c| c.is_ascii_alphanumeric(),
        length_min: 20,
    },
    Token {
        what: "a GitHub token",
        prefix: "ghp_",
        alphabet: |c| c.is_ascii_alphanumeric(),
        length_min: 36,
    },
    Token {
        what: "an OpenRouter key",
        prefix: "sk-or-v1-",
        alphabet: |c| c.is_ascii_hexdigit(),
        length_min: 32,
    },
    Token {
        what: "an AWS access key",
        prefix: "AKIA",
        alphabet: |c| c.is_ascii_uppercase() || c.is_ascii_digit(),
        length_min: 16,
    },
    Token {
        what: "a Twilio account",
        prefix: "AC",
        alphabet: |c| c.is_ascii_digit() || ('a'..='f').contains(&c),
        length_min: 32,
    },
    Token {
        what: "a Twilio API key",
        prefix: "SK",
        alphabet: |c| c.is_ascii_digit() || ('a'..='f').contains(&c),
        length_min: 32,
    },
    Token {
        what: "a Slack token",
        prefix: "xoxb-",
        alphabet: |c| c.is_ascii_alphanumeric() || c == '-',
        length_min: 20,
    },
];

/// Credentials in the tree. Fixtures are exempt from the token rule (they carry the made-up values of
/// the providers' documents), private keys are not wanted anywhere.
fn secrets(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut above = "";
    for (at, line) in file.text.lines().enumerate() {
        let mut what = None;
        if line.contains("-----BEGIN") && line.contains(concat!("PRIVATE", " KEY-----")) {
            what = Some("a private key");
        }
        if !file.within("fixtures") {
            let token = TOKENS.iter().find(|token| holds(line, token));
            what = what.or(token.map(|token| token.what));
        }
        if let Some(what) = what
            && !excused(line, "secret")
            && !excused(above, "secret")
        {
            findings.push(Finding {
                file: file.path.clone(),
                line: at + 1,
                rule: "secret",
                text: format!("looks like {what}; make one up in pieces or read it from settings"),
            });
        }
        above = line;
    }
    findings
}

fn holds(line: &str, token: &Token) -> bool {
    line.match_indices(token.prefix).any(|(at, _)| {
        // In the middle of a longer word it is part of a hash or of base64.
        let starts = !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        let rest = &line[at + token.prefix.len()..];
        let length = rest.chars().take_while(|&c| (token.alphabet)(c)).count();
        starts && length >= token.length_min
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: PathBuf::from(path),
            text: text.to_owned(),
        }
    }

    fn rules(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let file = source(path, text);
        let mut findings = words(&file);
        findings.extend(secrets(&file));
        findings
            .iter()
            .map(|finding| (finding.line, finding.rule))
            .collect()
    }

    #[test]
    fn unfinished_work_and_machine_paths_are_found() {
        let text = format!(
            "fn a() {{ {} }}\nlet x = \"{}\";\n",
            concat!("to", "do!()"),
            concat!("/wo", "rk/main")
        );
        assert_eq!(
            rules("a.rs", &text),
            [(1, "unfinished"), (2, "machine-path")]
        );
        assert_eq!(rules("a.md", &text), [(2, "machine-path")]);
        assert_eq!(rules("fixtures/a.rs", &text), []);
        let ignored = concat!("#[ign", "ore = \"slow\"]\nfn a() {}\n");
        assert_eq!(rules("a.rs", ignored), [(1, "ignored-test")]);
    }

    #[test]
    fn sleeps_are_found_in_tests_only() {
        let sleep = concat!("    tokio::time::sl", "eep(x).await;\n");
        assert_eq!(rules("src/a.rs", sleep), []);
        assert_eq!(rules("tests/it/a.rs", sleep), [(1, "sleep")]);
        assert_eq!(rules("src/a/tests.rs", sleep), [(1, "sleep")]);
        let module = format!("{sleep}#[cfg(test)]\nmod tests {{\n{sleep}}}\n");
        assert_eq!(rules("src/a.rs", &module), [(4, "sleep")]);
    }

    #[test]
    fn an_excuse_needs_a_reason() {
        let sleep = concat!("std::thread::sl", "eep(x);");
        let with = format!("{sleep} // tidy: allow sleep: the poll of wait_until\n");
        assert_eq!(rules("tests/a.rs", &with), []);
        let above = format!("// tidy: allow sleep: the poll of wait_until\n{sleep}\n");
        assert_eq!(rules("tests/a.rs", &above), []);
        let without = format!("{sleep} // tidy: allow sleep:\n");
        assert_eq!(rules("tests/a.rs", &without), [(1, "sleep")]);
        let other = format!("{sleep} // tidy: allow secret: no\n");
        assert_eq!(rules("tests/a.rs", &other), [(1, "sleep")]);
    }

    #[test]
    fn secrets_are_found() {
        let meta = format!("token = \"{}{}\"", "EAA", "G".repeat(24));
        assert_eq!(rules("a.toml", &meta), [(1, "secret")]);
        assert_eq!(rules("fixtures/a.json", &meta), []);
        assert_eq!(
            rules("a.toml", &format!("x{meta}").replace("\"EAA", "zEAA")),
            []
        );
        let twilio = format!("{}{}", "AC", "0123456789abcdef".repeat(2));
        assert_eq!(rules("a.md", &twilio), [(1, "secret")]);
        let key = format!("-----BEGIN RSA {}-----", concat!("PRIVATE", " KEY"));
        assert_eq!(rules("fixtures/key.pem", &key), [(1, "secret")]);
        assert_eq!(rules("a.md", "EAA is how they begin; AC too"), []);
    }

    #[test]
    fn long_files_may_only_shrink() {
        let long = source("src/long.rs", &"x\n".repeat(700));
        let short = source("src/short.rs", "x\n");
        let files = [long, short];
        let found = |allowed: &str| -> Vec<String> {
            lengths(allowed, &files)
                .expect("readable")
                .into_iter()
                .map(|finding| format!("{}: {}", finding.file.display(), finding.text))
                .collect()
        };
        assert_eq!(found(""), ["src/long.rs: 700 lines; 600 is the most"]);
        assert_eq!(found("# a comment\nsrc/long.rs 700\n"), [""; 0]);
        assert_eq!(
            found("src/long.rs 699\n"),
            ["src/long.rs: 700 lines; it had 699 and may only shrink"]
        );
        assert_eq!(
            found("src/long.rs 800\n"),
            ["src/long.rs: shrank: set it to 700 in xtask/long-files.txt"]
        );
        assert_eq!(
            found("src/long.rs 700\nsrc/short.rs 650\nsrc/gone.rs 650\n"),
            [
                "src/short.rs: fits now: remove it from xtask/long-files.txt",
                "src/gone.rs: is not there: remove it from xtask/long-files.txt"
            ]
        );
        assert!(lengths("src/long.rs many\n", &files).is_err());
    }
}
