//! The documents name only what exists: commands and files.

use std::path::Path;

use super::{Finding, Source, sources};
use crate::{COMMANDS, Outcome, rig, stages};

pub(super) fn check(root: &Path, files: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in documents(files) {
        for (at, line) in file.text.lines().enumerate() {
            let mut find = |rule: &'static str, text: String| {
                findings.push(Finding {
                    file: file.path.clone(),
                    line: at + 1,
                    rule,
                    text,
                });
            };
            for words in calls(line, "cargo xtask ") {
                if let Some(problem) = unknown_call(&words) {
                    find("command", problem);
                }
            }
            for target in links(line) {
                let dir = file.path.parent().unwrap_or(Path::new(""));
                if !root.join(dir).join(&target).exists() {
                    find("link", format!("there is no {target}"));
                }
            }
        }
    }
    findings
}

/// `waxwing ...` as the documents write it in code, with the place: the words after it that can be
/// commands. The binary itself says which of them it has.
pub fn documented_waxwing_commands(root: &Path) -> Outcome<Vec<(String, Vec<String>)>> {
    let files = sources(root)?;
    let mut found = Vec::new();
    for file in documents(&files) {
        let mut fenced = false;
        for (at, line) in file.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            for words in waxwing_calls(line, fenced) {
                found.push((format!("{}:{}", file.path.display(), at + 1), words));
            }
        }
    }
    Ok(found)
}

/// Decisions tell of the time they were made and are left out.
fn documents(files: &[Source]) -> impl Iterator<Item = &Source> {
    files
        .iter()
        .filter(|file| file.is("md") && !file.within("decisions") && !file.within("fixtures"))
}

/// The words after each occurrence of a command, as far as they can be names.
fn calls(line: &str, command: &str) -> Vec<Vec<String>> {
    line.split(command).skip(1).map(names).collect()
}

fn names(rest: &str) -> Vec<String> {
    // A call in running text ends with its code span.
    let rest = rest
        .split(['`', '#', '|', ';', '&', '"'])
        .next()
        .unwrap_or_default();
    rest.split(' ')
        .map(|word| word.trim_end_matches(['.', ',', ':', ')']))
        .take_while(|word| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
        .map(str::to_owned)
        .collect()
}

fn waxwing_calls(line: &str, fenced: bool) -> Vec<Vec<String>> {
    let spans: Vec<&str> = if fenced {
        vec![line]
    } else {
        line.split('`').skip(1).step_by(2).collect()
    };
    spans
        .into_iter()
        .filter_map(|span| {
            let span = span.trim_start().trim_start_matches("$ ");
            let (program, rest) = span.split_once(' ')?;
            let is_waxwing = program == "waxwing" || program.ends_with("/waxwing");
            let words = is_waxwing.then(|| names(rest))?;
            (!words.is_empty()).then_some(words)
        })
        .collect()
}

fn unknown_call(words: &[String]) -> Option<String> {
    let (command, rest) = words.split_first()?;
    if !COMMANDS.iter().any(|(name, ..)| name == command) {
        return Some(format!("there is no `cargo xtask {command}`"));
    }
    let next = rest.first()?;
    let known = match command.as_str() {
        "chaos" => rig::CHAOS.contains(&next.as_str()),
        "test" => stages::exists(next),
        _ => true,
    };
    (!known).then(|| format!("there is no `cargo xtask {command} {next}`"))
}

/// Targets of relative links, without their fragment.
fn links(line: &str) -> Vec<String> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains(':') && !target.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn found(text: &str) -> Vec<String> {
        let root = crate::process::root();
        let files = [Source {
            path: PathBuf::from("README.md"),
            text: text.to_owned(),
        }];
        check(&root, &files)
            .into_iter()
            .map(|finding| finding.text)
            .collect()
    }

    #[test]
    fn commands_that_exist_are_fine() {
        assert_eq!(
            found("cargo xtask demo\n`cargo xtask test` or `cargo xtask test fmt clippy`.\n"),
            [""; 0]
        );
        assert_eq!(
            found("cargo xtask chaos kill --kills 10000   # long"),
            [""; 0]
        );
        assert_eq!(found("run cargo xtask demo, then write"), [""; 0]);
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        assert_eq!(found("`cargo xtask ci`"), ["there is no `cargo xtask ci`"]);
        assert_eq!(
            found("cargo xtask chaos weather"),
            ["there is no `cargo xtask chaos weather`"]
        );
        assert_eq!(
            found("cargo xtask test sorcery"),
            ["there is no `cargo xtask test sorcery`"]
        );
    }

    #[test]
    fn links_lead_somewhere() {
        assert_eq!(
            found("[a](Cargo.toml) [b](xtask/src#x) [c](#here)"),
            [""; 0]
        );
        assert_eq!(found("[a](no/such.md)"), ["there is no no/such.md"]);
    }

    #[test]
    fn calls_of_the_binary_are_read_from_code_only() {
        let words = |line, fenced| -> Vec<String> {
            waxwing_calls(line, fenced)
                .into_iter()
                .map(|words| words.join(" "))
                .collect()
        };
        assert_eq!(words("waxwing serve --role all", true), ["serve"]);
        assert_eq!(
            words("$ ./target/release/waxwing migrate up", true),
            ["migrate up"]
        );
        assert_eq!(
            words("so `waxwing dead-letters list ID` helps", false),
            ["dead-letters list"]
        );
        assert_eq!(words("the waxwing serve command", false), [""; 0]);
        assert_eq!(words("waxwing --version", true), [""; 0]);
        assert_eq!(words("`waxwing`", false), [""; 0]);
    }
}
