//! `cargo xtask chaos mutants`: breaks the product on purpose, one small way at a time, and requires
//! that the harness notices. A harness that passes on a broken build proves nothing.
//!
//! A mutant is a file `xtask/mutants/NAME.txt`:
//!
//! ```text
//! file: crates/waxwing-store/src/inbox.rs
//! why: answers before the commit, so a kill loses an acknowledged webhook
//! expect: kill
//! --- search
//! lines that occur exactly once in the file
//! --- replace
//! what stands there in the broken build
//! --- end
//! ```
//!
//! `expect` says which harness must fail: `kill` (the kill harness; optional lines `engine: postgres`
//! and `kills: 200`), or `test PACKAGE NAME` (every test of the package whose name contains NAME).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::postgres::{Cluster, Durability};
use crate::rig::{self, Engine};
use crate::{Outcome, preflight, process, tree, ui};

/// Kills in one trial unless the mutant says otherwise.
const KILLS: u32 = 150;
/// How nextest ends when tests ran and some failed.
const TESTS_FAILED: i32 = 100;

/// One way to break the product.
#[derive(Debug, PartialEq, Eq)]
pub struct Mutant {
    name: String,
    file: PathBuf,
    why: String,
    expect: Expect,
    search: String,
    replace: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expect {
    Kill { engine: Engine, kills: u32 },
    Test { package: String, name: String },
}

/// What the harness said about a broken build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It failed, as it must.
    Caught,
    /// It passed.
    Survived,
}

/// `cargo xtask chaos mutants [--only NAME]`.
pub fn run(args: &[String]) -> Outcome<()> {
    let mut mutants = load(&process::root())?;
    match args {
        [] => {}
        [flag, name] if flag == "--only" => {
            let known: Vec<String> = mutants.iter().map(|mutant| mutant.name.clone()).collect();
            mutants.retain(|mutant| mutant.name == *name);
            if mutants.is_empty() {
                return Err(format!(
                    "no mutant `{name}`; there are: {}",
                    known.join(", ")
                ));
            }
        }
        _ => return Err("usage: cargo xtask chaos mutants [--only NAME]".to_owned()),
    }
    if mutants.is_empty() {
        return Err("there is no mutant in xtask/mutants".to_owned());
    }
    preflight::nextest()?;
    preflight::postgres()?;
    let kills = mutants
        .iter()
        .any(|mutant| matches!(mutant.expect, Expect::Kill { .. }));
    if kills {
        process::run(process::cargo().args(["build", "--locked", "--package", "waxwing-rig"]))?;
    }
    let cluster = Cluster::start(Durability::Off)?;
    try_all(&mutants, &cluster)
}

/// The mutant whose turn it is: another one with each commit, so that all are tried over time, and
/// the same one whenever a commit is tried again. `None` while there are no mutants.
pub fn of_this_commit() -> Outcome<Option<Mutant>> {
    let mut mutants = load(&process::root())?;
    if mutants.is_empty() {
        return Ok(None);
    }
    let mut git = Command::new("git");
    git.current_dir(process::root()).args(["rev-parse", "HEAD"]);
    let commit = process::read(&mut git).unwrap_or_default();
    let turn = turn(commit.trim(), mutants.len());
    Ok(Some(mutants.swap_remove(turn)))
}

fn turn(commit: &str, count: usize) -> usize {
    let number = commit
        .get(..8)
        .and_then(|hex| usize::from_str_radix(hex, 16).ok())
        .unwrap_or(0);
    number % count
}

/// Tries each mutant and requires that all are caught.
pub fn try_all(mutants: &[Mutant], cluster: &Cluster) -> Outcome<()> {
    let mut lines = Vec::new();
    let mut survivors = 0;
    for mutant in mutants {
        ui::say(&format!("mutant {}: {}", mutant.name, mutant.why));
        let workshop = process::target_dir().join("mutants");
        let mut harness = RealHarness {
            target: workshop.join("target"),
            cluster,
        };
        seed(&harness.target)?;
        let verdict = trial(
            mutant,
            &process::root(),
            &workshop.join("src"),
            &mut harness,
        )?;
        lines.push(match verdict {
            Verdict::Caught => format!("  caught    {}", mutant.name),
            Verdict::Survived => {
                survivors += 1;
                format!("  SURVIVED  {} ({})", mutant.name, mutant.why)
            }
        });
    }
    ui::say(&lines.join("\n"));
    match survivors {
        0 => Ok(()),
        _ => Err(format!(
            "{survivors} mutants survived: the harness does not see what it must"
        )),
    }
}

/// What builds a broken tree and judges it.
trait Harness {
    fn build(&mut self, tree: &Path, mutant: &Mutant) -> Outcome<()>;
    fn judge(&mut self, tree: &Path, mutant: &Mutant) -> Outcome<Verdict>;
}

/// One trial in a copy of the tree. A mutant that does not build is an error, never a catch.
fn trial(mutant: &Mutant, from: &Path, copy: &Path, harness: &mut dyn Harness) -> Outcome<Verdict> {
    tree::mirror(from, copy)?;
    let target = copy.join(&mutant.file);
    let broken = mutant.apply(&text(&target)?)?;
    tree::write(&target, broken.as_bytes())?;
    harness.build(copy, mutant)?;
    harness.judge(copy, mutant)
}

struct RealHarness<'a> {
    target: PathBuf,
    cluster: &'a Cluster,
}

impl RealHarness<'_> {
    fn cargo(&self, tree: &Path) -> Command {
        let mut cargo = process::cargo_in(tree);
        cargo.env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    fn nextest(&self, tree: &Path, package: &str) -> Command {
        let mut cargo = self.cargo(tree);
        cargo
            .args(["nextest", "run", "--locked", "--package", package])
            .env("REQUIRE_POSTGRES", "1")
            .env("WAXWING_TEST_PG_URL", self.cluster.url());
        cargo
    }
}

impl Harness for RealHarness<'_> {
    fn build(&mut self, tree: &Path, mutant: &Mutant) -> Outcome<()> {
        let mut cargo = match &mutant.expect {
            Expect::Kill { .. } => {
                let mut cargo = self.cargo(tree);
                cargo.args(["build", "--locked", "--package", "waxwing"]);
                cargo
            }
            Expect::Test { package, .. } => {
                let mut cargo = self.nextest(tree, package);
                cargo.arg("--no-run");
                cargo
            }
        };
        process::read(&mut cargo).map(drop)
    }

    fn judge(&mut self, tree: &Path, mutant: &Mutant) -> Outcome<Verdict> {
        let held = match &mutant.expect {
            Expect::Kill { engine, kills } => rig::Kill {
                server: &self.target.join("debug/waxwing"),
                engine: *engine,
                kills: *kills,
                cluster: Some(self.cluster),
                shown: false,
            }
            .run()?,
            Expect::Test { package, name } => {
                let mut cargo = self.nextest(tree, package);
                cargo.args(["--", name]);
                match process::capture(&mut cargo)? {
                    (Some(0), _) => true,
                    (Some(TESTS_FAILED), _) => false,
                    (code, said) => {
                        let shown = process::shown(&cargo);
                        return Err(format!("`{shown}` could not run ({code:?})\n{said}"));
                    }
                }
            }
        };
        Ok(if held {
            Verdict::Survived
        } else {
            Verdict::Caught
        })
    }
}

/// Takes over the third-party crates that are built already; cargo knows them by content, not by
/// place, and rebuilds what does not fit.
fn seed(target: &Path) -> Outcome<()> {
    let (built, seeded) = (process::target_dir().join("debug"), target.join("debug"));
    if seeded.exists() {
        return Ok(());
    }
    for part in [".fingerprint", "build", "deps"] {
        let foreign = |file: &std::ffi::OsStr| {
            let name = file.to_string_lossy();
            // What is ours has the path of the tree in its hash and would only be dead weight.
            !["waxwing", "libwaxwing", "xtask", "it-"]
                .iter()
                .any(|ours| name.starts_with(ours))
        };
        let entries = std::fs::read_dir(built.join(part)).into_iter().flatten();
        let files: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| foreign(&entry.file_name()))
            .map(|entry| entry.path())
            .collect();
        let to = seeded.join(part);
        std::fs::create_dir_all(&to)
            .map_err(|error| format!("cannot create {}: {error}", to.display()))?;
        for some in files.chunks(500) {
            let mut copy = Command::new("cp");
            copy.arg("--archive").args(some).arg(&to);
            process::read(&mut copy)?;
        }
    }
    Ok(())
}

/// All mutants, by name.
pub fn load(root: &Path) -> Outcome<Vec<Mutant>> {
    let dir = root.join("xtask/mutants");
    let mut mutants = Vec::new();
    for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        mutants.push(parse(&name, &text(&path)?)?);
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}

/// For `tidy`: what is wrong with the mutants, as (mutant file, words).
pub fn check(root: &Path) -> Outcome<Vec<(PathBuf, String)>> {
    let mut wrong = Vec::new();
    for mutant in load(root)? {
        let outcome = text(&root.join(&mutant.file)).and_then(|text| mutant.apply(&text));
        if let Err(problem) = outcome {
            let file = Path::new("xtask/mutants").join(format!("{}.txt", mutant.name));
            wrong.push((file, problem));
        }
    }
    Ok(wrong)
}

fn text(path: &Path) -> Outcome<String> {
    String::from_utf8(tree::read(path)?)
        .map_err(|_| format!("{} is not UTF-8 text", path.display()))
}

impl Mutant {
    /// Its name, which is that of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The broken text of the file.
    fn apply(&self, source: &str) -> Outcome<String> {
        let found = source.matches(&self.search).count();
        if found != 1 {
            return Err(format!(
                "the search block of mutant {} occurs {found} times in {}, not once",
                self.name,
                self.file.display()
            ));
        }
        Ok(source.replacen(&self.search, &self.replace, 1))
    }
}

fn parse(name: &str, text: &str) -> Outcome<Mutant> {
    let wrong = |what: &str| format!("xtask/mutants/{name}.txt: {what}");
    let (head, rest) = text
        .split_once("--- search\n")
        .ok_or_else(|| wrong("no line `--- search`"))?;
    let (search, rest) = rest
        .split_once("--- replace\n")
        .ok_or_else(|| wrong("no line `--- replace`"))?;
    let (replace, _) = rest
        .split_once("--- end")
        .ok_or_else(|| wrong("no line `--- end`"))?;
    let mut head: Vec<(&str, &str)> = head
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            (key.trim(), value.trim())
        })
        .collect();
    let mut take = |key: &str| {
        let at = head.iter().position(|(name, _)| *name == key)?;
        Some(head.remove(at).1)
    };
    let mut need = |key: &str| {
        take(key)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| wrong(&format!("no `{key}:`")))
    };
    let (file, why, expect) = (need("file")?, need("why")?, need("expect")?);
    let engine = match take("engine") {
        None => Engine::Sqlite,
        Some(name) => Engine::named(name).ok_or_else(|| wrong("`engine` is sqlite or postgres"))?,
    };
    let kills = match take("kills") {
        None => KILLS,
        Some(number) => number.parse().map_err(|_| wrong("`kills` is a number"))?,
    };
    if let Some((key, _)) = head.first() {
        return Err(wrong(&format!("unknown line `{key}`")));
    }
    let words: Vec<&str> = expect.split_whitespace().collect();
    let expect = match words[..] {
        ["kill"] => Expect::Kill { engine, kills },
        ["test", package, test] => Expect::Test {
            package: package.to_owned(),
            name: test.to_owned(),
        },
        _ => return Err(wrong("`expect` is `kill` or `test PACKAGE NAME`")),
    };
    if search.trim().is_empty() || search == replace {
        return Err(wrong(
            "the search block must differ from nothing and from the replacement",
        ));
    }
    Ok(Mutant {
        name: name.to_owned(),
        file: PathBuf::from(file),
        why: why.to_owned(),
        expect,
        search: search.to_owned(),
        replace: replace.to_owned(),
    })
}

#[cfg(test)]
mod tests;
