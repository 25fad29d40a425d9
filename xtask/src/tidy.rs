//! `cargo xtask tidy`: rules that the compiler and clippy do not know.
//!
//! Each rule carries its reason in what it prints. A line that breaks one for a good reason says so
//! beside it: `tidy: allow RULE: reason`, at its end or on the line above.

mod docs;
mod security;
mod text;
mod workspace;

use std::path::{Path, PathBuf};

use crate::{Outcome, mutants, process, tree, ui};

pub use docs::documented_waxwing_commands;

/// Something that must be different.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: PathBuf,
    /// Counted from 1; 0 means the whole file.
    line: usize,
    rule: &'static str,
    text: String,
}

impl Finding {
    fn shown(&self) -> String {
        let file = self.file.display();
        match self.line {
            0 => format!("{file}: {}: {}", self.rule, self.text),
            line => format!("{file}:{line}: {}: {}", self.rule, self.text),
        }
    }
}

/// Checks everything and prints what was found.
pub fn run() -> Outcome<()> {
    let root = process::root();
    let files = sources(&root)?;
    let mut findings = workspace::check(&root)?;
    findings.extend(text::check(&root, &files)?);
    findings.extend(docs::check(&root, &files));
    findings.extend(security::check(&files));
    findings.extend(
        mutants::check(&root)?
            .into_iter()
            .map(|(file, text)| Finding {
                file,
                line: 0,
                rule: "mutant",
                text,
            }),
    );
    if findings.is_empty() {
        ui::say(&format!("{} text files are tidy", files.len()));
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(Finding::shown).collect();
    ui::say(&lines.join("\n"));
    Err(format!("tidy found {} things", findings.len()))
}

/// A text file of the tree.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn is(&self, extension: &str) -> bool {
        self.path
            .extension()
            .is_some_and(|found| found == extension)
    }

    fn within(&self, part: &str) -> bool {
        self.path.iter().any(|found| found == part)
    }
}

/// The text files of the tree. Files that are not UTF-8 text (images, binary fixtures) are left out.
fn sources(root: &Path) -> Outcome<Vec<Source>> {
    let mut sources = Vec::new();
    for path in tree::files(root)? {
        if let Ok(text) = String::from_utf8(tree::read(&root.join(&path))?) {
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}
