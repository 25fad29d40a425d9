//! `cargo xtask fuzz`: every parser of outside input under libFuzzer, for as long as wanted.
//!
//! What breaks is kept in `target/fuzz/found`; put it into `crates/waxwing-fuzz/corpus/TARGET` with the mending, and the
//! tests replay it for ever.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use crate::{Outcome, preflight, process, ui};

/// Seconds for each target before a merge.
const SECONDS_OF_A_MERGE: u32 = 4;
/// Targets that run beside each other.
const AT_ONCE: usize = 2;
/// What tells libFuzzer which way an input took. All of it is known to the stable compiler.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
/// The longest input, in bytes.
const INPUT_MAX: u32 = 16 * 1024;
/// No input may take longer, in seconds. Parsers take microseconds; this is wall time on a machine that may be busy.
const INPUT_TIME: u32 = 5;
/// No input may need more, in MiB.
const MEMORY_MAX: u32 = 1024;

/// `cargo xtask fuzz [TARGET] [SECONDS]`.
pub fn run(args: &[String]) -> Outcome<()> {
    let seconds = args.iter().find_map(|arg| arg.parse::<u32>().ok());
    let named: Vec<&String> = args
        .iter()
        .filter(|arg| arg.parse::<u32>().is_err())
        .collect();
    let known = targets()?;
    if let Some(stranger) = named.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "no target `{stranger}`; there are: {}",
            known.join(" ")
        ));
    }
    let chosen: Vec<String> = match named.as_slice() {
        [] => known,
        some => some.iter().map(|name| (*name).clone()).collect(),
    };
    let note = search(&chosen, seconds.unwrap_or(60))?;
    ui::say(&note);
    Ok(())
}

/// All targets for the time that a merge has.
pub fn of_a_merge() -> Outcome<String> {
    search(&targets()?, SECONDS_OF_A_MERGE)
}

/// The names in the table of the crate.
fn targets() -> Outcome<Vec<String>> {
    let file = process::root().join("crates/waxwing-fuzz/src/lib.rs");
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let table = text.split_once("TARGETS").map_or("", |(_, rest)| rest);
    let names: Vec<String> = table
        .lines()
        .take_while(|line| line.trim() != "];")
        .filter_map(|line| line.trim().strip_prefix("(\"")?.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect();
    if names.is_empty() {
        return Err(format!("{} has no table of targets", file.display()));
    }
    Ok(names)
}

fn search(targets: &[String], seconds: u32) -> Outcome<String> {
    let program = build()?;
    let dir = process::target_dir().join("fuzz");
    std::fs::create_dir_all(dir.join("found"))
        .map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
    let waiting = Mutex::new(targets.iter());
    let runs = Mutex::new(0_u64);
    let problems = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().ok().and_then(|mut all| all.next());
                    let Some(target) = next else { break };
                    match one(&program, target, seconds) {
                        Ok(count) => {
                            *runs.lock().unwrap_or_else(|broken| broken.into_inner()) += count
                        }
                        Err(problem) => problems
                            .lock()
                            .unwrap_or_else(|broken| broken.into_inner())
                            .push(problem),
                    }
                }
            });
        }
    });
    let problems = problems
        .into_inner()
        .unwrap_or_else(|broken| broken.into_inner());
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let runs = runs
        .into_inner()
        .unwrap_or_else(|broken| broken.into_inner());
    Ok(format!("{runs} inputs to {} parsers", targets.len()))
}

/// Builds with instrumentation, for the machine's own target by name so that build scripts are left as they are.
fn build() -> Outcome<PathBuf> {
    preflight::cpp()?;
    let host = process::read(Command::new("rustc").args(["-vV"]))?;
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or("rustc does not say what machine this is")?
        .to_owned();
    let dir = process::target_dir().join("fuzz");
    ui::say("building the parsers with instrumentation");
    process::read(
        process::cargo_in(&process::root().join("fuzz"))
            .args(["build", "--locked", "--release", "--target", &host])
            .env("CARGO_TARGET_DIR", &dir)
            .env("RUSTFLAGS", FLAGS),
    )?;
    Ok(dir.join(host).join("release/fuzz"))
}

/// Tries one target; the answer is with how many inputs.
fn one(program: &PathBuf, target: &str, seconds: u32) -> Outcome<u64> {
    let dir = process::target_dir().join("fuzz");
    // What earlier runs found worth keeping, and what is known.
    let (learnt, seeds) = (
        dir.join("corpus").join(target),
        dir.join("seeds").join(target),
    );
    for dir in [&learnt, &seeds] {
        std::fs::create_dir_all(dir)
            .map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
    }
    let begun = Instant::now();
    let (code, text) = process::capture(
        Command::new(program)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={INPUT_TIME}"))
            .arg(format!("-rss_limit_mb={MEMORY_MAX}"))
            .arg(format!("-max_len={INPUT_MAX}"))
            .arg(format!(
                "-artifact_prefix={}/{target}-",
                dir.join("found").display()
            ))
            .args([&learnt, &seeds])
            .env("RUST_BACKTRACE", "0")
            .env("FUZZ_TARGET", target)
            .env("FUZZ_SEEDS", &seeds),
    )?;
    if code != Some(0) {
        let tail: Vec<&str> = text.lines().rev().take(25).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        return Err(format!("{target} was broken\n{}", tail.join("\n")));
    }
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("Done ")?.split_once(' '))
        .and_then(|(count, _)| count.parse().ok())
        .ok_or_else(|| format!("{target} did not say how much it tried\n{text}"))?;
    ui::say(&format!(
        "  {target:<22} {count:>9} inputs in {}",
        ui::elapsed(begun.elapsed())
    ));
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_targets_is_read() {
        let names = targets().expect("there is a table");
        assert!(names.iter().any(|name| name == "webhook-meta"), "{names:?}");
        assert!(names.len() > 20, "{names:?}");
    }
}
