//! Running other programs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Outcome, ui};

/// Root of the workspace.
pub fn root() -> PathBuf {
    // Cargo says where the manifest is at run time; the compiled-in value serves a binary that was
    // started by hand.
    let manifest =
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A built binary of the workspace. `profile` is `debug` or `release`.
pub fn built(profile: &str, name: &str) -> PathBuf {
    target_dir().join(profile).join(name)
}

/// `cargo`, the same one that started us, at the root of the workspace.
pub fn cargo() -> Command {
    cargo_in(&root())
}

/// `cargo` in another tree.
pub fn cargo_in(dir: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null());
    // `cargo run` tells its child about the package it ran; the next cargo must not see that.
    for (name, _) in std::env::vars_os() {
        let keep = name.to_str().is_none_or(|name| {
            !name.starts_with("CARGO_PKG_") && !name.starts_with("CARGO_MANIFEST_")
        });
        if !keep {
            command.env_remove(name);
        }
    }
    command
}

/// The command as it would be typed.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let mut text = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        text.push(' ');
        if argument.contains([' ', '(']) {
            text.push_str(&format!("'{argument}'"));
        } else {
            text.push_str(&argument);
        }
    }
    text
}

/// Runs a command whose output the person sees; an exit status other than 0 is an error.
pub fn run(command: &mut Command) -> Outcome<()> {
    let status = command
        .status()
        .map_err(|error| format!("cannot start `{}`: {error}", shown(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{}` ended with {status}", shown(command)))
    }
}

/// Runs a command in silence and returns what it wrote to its standard output. When it fails, the
/// error holds everything it wrote.
pub fn read(command: &mut Command) -> Outcome<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start `{}`: {error}", shown(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    Err(format!(
        "`{}` ended with {}\n{stdout}{}",
        shown(command),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Runs a command, shows its standard output line by line and returns it with the exit code
/// (`None` when a signal ended it).
pub fn tee(command: &mut Command) -> Outcome<(Option<i32>, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start `{}`: {error}", shown(command)))?;
    let mut text = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line =
                line.map_err(|error| format!("cannot read from `{}`: {error}", shown(command)))?;
            ui::say(&line);
            text.push_str(&line);
            text.push('\n');
        }
    }
    let status = child
        .wait()
        .map_err(|error| format!("cannot wait for `{}`: {error}", shown(command)))?;
    Ok((status.code(), text))
}

/// Runs a command in silence and returns its exit code with all that it wrote.
pub fn capture(command: &mut Command) -> Outcome<(Option<i32>, String)> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start `{}`: {error}", shown(command)))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code(), text))
}

/// Whether a program starts and answers.
pub fn answers(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether this process runs as root, which may install packages and must not run PostgreSQL.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_reports_its_status_and_its_words() {
        let problem = read(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]))
            .expect_err("exit 3 is a failure");
        assert!(problem.contains("exit status: 3"), "{problem}");
        assert!(problem.contains("out\nerr"), "{problem}");
    }

    #[test]
    fn tee_returns_the_code_and_the_lines() {
        let (code, text) = tee(Command::new("sh").args(["-c", "echo a; echo b; exit 7"]))
            .expect("the shell starts");
        assert_eq!((code, text.as_str()), (Some(7), "a\nb\n"));
    }

    #[test]
    fn a_program_that_is_not_there_does_not_answer() {
        assert!(answers("true", "--version"));
        assert!(!answers("waxwing-no-such-program", "--version"));
    }
}
