//! What the other commands need on the machine: found, installed when that is possible, or named
//! with the command that installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, postgres, process, ui};

/// A program that something here needs.
struct Need {
    name: &'static str,
    why: &'static str,
    present: fn() -> bool,
    source: Source,
}

/// Where it comes from.
enum Source {
    /// Debian packages; installing needs root.
    Debian(&'static [&'static str]),
    /// A crate at a pinned version, installed for this user.
    Crate(&'static str, &'static str),
    /// A component of the toolchain.
    Component(&'static str),
}

const COMPILER: Need = Need {
    name: "a C compiler",
    why: "SQLite and ring are compiled from C",
    present: || process::answers("cc", "--version"),
    source: Source::Debian(&["gcc", "libc6-dev"]),
};
const RUSTFMT: Need = Need {
    name: "rustfmt",
    why: "the format is checked",
    present: || component("fmt"),
    source: Source::Component("rustfmt"),
};
const CLIPPY: Need = Need {
    name: "clippy",
    why: "the lints are checked",
    present: || component("clippy"),
    source: Source::Component("clippy"),
};
const NEXTEST: Need = Need {
    name: "cargo-nextest",
    why: "it runs the tests",
    present: || component("nextest"),
    source: Source::Crate("cargo-nextest", "0.9.143"),
};
const DENY: Need = Need {
    name: "cargo-deny",
    why: "it checks licences, sources and who uses what",
    present: || component("deny"),
    source: Source::Crate("cargo-deny", "0.20.2"),
};
const POSTGRES: Need = Need {
    name: "PostgreSQL",
    why: "every test of the store runs on it as well",
    present: || postgres::programs().is_some(),
    source: Source::Debian(&["postgresql"]),
};
const NODE: Need = Need {
    name: "Node with npm",
    why: "Twilio's own client library is run against ours",
    present: || process::answers("node", "--version") && process::answers("npm", "--version"),
    source: Source::Debian(&["nodejs", "npm"]),
};
const REDIS: Need = Need {
    name: "Redis",
    why: "nodes that share their limits are tested with it",
    present: || process::answers("redis-server", "--version"),
    source: Source::Debian(&["redis-server"]),
};
const CHROMIUM: Need = Need {
    name: "Chromium",
    why: "the dashboard is tested in a browser",
    present: || Path::new("/usr/bin/chromium").exists(),
    source: Source::Debian(&["chromium", "chromium-driver"]),
};
const CPP: Need = Need {
    name: "a C++ compiler",
    why: "libFuzzer is compiled from C++",
    present: || process::answers("c++", "--version"),
    source: Source::Debian(&["g++"]),
};
const PYTHON: Need = Need {
    name: "Python with venv",
    why: "schemathesis holds the server to its OpenAPI document",
    present: || {
        process::read(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_ok()
    },
    source: Source::Debian(&["python3", "python3-venv"]),
};
const STRACE: Need = Need {
    name: "strace",
    why: "system calls are made to fail with it",
    present: || process::answers("strace", "-V"),
    source: Source::Debian(&["strace"]),
};

fn component(name: &str) -> bool {
    process::read(process::cargo().args([name, "--version"])).is_ok()
}

/// Makes sure that C can be compiled.
pub fn compiler() -> Outcome<()> {
    satisfy(&[COMPILER])
}

/// Makes sure that PostgreSQL can be started.
pub fn postgres() -> Outcome<()> {
    satisfy(&[POSTGRES])
}

/// Makes sure that C++ can be compiled.
pub fn cpp() -> Outcome<()> {
    satisfy(&[CPP])
}

/// Makes sure that Python is there.
pub fn python() -> Outcome<()> {
    satisfy(&[PYTHON])
}

/// Makes sure that strace is there.
pub fn strace() -> Outcome<()> {
    satisfy(&[STRACE])
}

/// Makes sure that cargo-nextest is there.
pub fn nextest() -> Outcome<()> {
    satisfy(&[NEXTEST])
}

/// Makes sure of everything `cargo xtask test` uses; returns what was there and what was installed.
pub fn everything() -> Outcome<String> {
    let mut needs = vec![
        COMPILER, RUSTFMT, CLIPPY, NEXTEST, DENY, POSTGRES, NODE, REDIS, PYTHON, CPP,
    ];
    if process::root().join("dashboard/package.json").exists() {
        needs.push(CHROMIUM);
    }
    let missing = needs.iter().filter(|need| !(need.present)()).count();
    satisfy(&needs)?;
    Ok(match missing {
        0 => format!("{} tools present", needs.len()),
        _ => format!(
            "{} tools present, {missing} of them just installed",
            needs.len()
        ),
    })
}

fn satisfy(needs: &[Need]) -> Outcome<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let can_install = process::is_root() && process::answers("apt-get", "--version");
    let beyond_us: Vec<&Need> = missing
        .iter()
        .copied()
        .filter(|need| match need.source {
            Source::Debian(_) => !can_install,
            Source::Component(_) => true,
            Source::Crate(..) => false,
        })
        .collect();
    // Told before minutes are spent on what can be installed.
    if !beyond_us.is_empty() {
        return Err(how_to_get(&beyond_us));
    }
    let packages = packages(&missing);
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    for need in &missing {
        if let Source::Crate(name, version) = need.source {
            ui::say(&format!(
                "installing {name} {version} ({}; takes a few minutes)",
                need.why
            ));
            let arguments = ["install", "--locked", "--version", version, name];
            process::run(process::cargo().args(arguments))?;
        }
    }
    let still: Vec<&Need> = missing
        .into_iter()
        .filter(|need| !(need.present)())
        .collect();
    if still.is_empty() {
        Ok(())
    } else {
        Err(how_to_get(&still))
    }
}

fn packages(needs: &[&Need]) -> Vec<&'static str> {
    needs
        .iter()
        .flat_map(|need| match need.source {
            Source::Debian(packages) => packages,
            Source::Crate(..) | Source::Component(_) => &[],
        })
        .copied()
        .collect()
}

fn install_packages(packages: &[&str]) -> Outcome<()> {
    ui::say(&format!(
        "installing Debian packages: {}",
        packages.join(" ")
    ));
    let mut update = Command::new("apt-get");
    process::read(update.args(["update", "--quiet"]))?;
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--quiet", "--yes", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Packages must not start services: the tests start a cluster of their own.
        .env("RUNLEVEL", "1");
    process::read(&mut install)?;
    Ok(())
}

fn how_to_get(needs: &[&Need]) -> String {
    let mut text = String::from("this machine lacks:\n");
    for need in needs {
        let how = match need.source {
            Source::Debian(packages) => {
                format!("on Debian, as root: apt-get install {}", packages.join(" "))
            }
            Source::Crate(name, version) => {
                format!("cargo install --locked --version {version} {name}")
            }
            Source::Component(name) => format!("rustup component add {name}"),
        };
        text.push_str(&format!("  {} ({})\n      {how}\n", need.name, need.why));
    }
    text.trim_end().to_owned()
}

/// A local copy of the advisory database, if there is one.
pub fn advisory_database() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    ["advisory-dbs", "advisory-db"]
        .iter()
        .map(|name| home.join(name))
        .find(|dir| std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Need = Need {
        name: "a thing",
        why: "a reason",
        present: || false,
        source: Source::Component("a-component"),
    };

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let problem = satisfy(&[ABSENT]).expect_err("nothing installs a component");
        assert_eq!(
            problem,
            "this machine lacks:\n  a thing (a reason)\n      rustup component add a-component"
        );
    }

    #[test]
    fn remedies_for_packages_and_crates() {
        let text = how_to_get(&[&POSTGRES, &DENY]);
        assert!(text.contains("apt-get install postgresql"), "{text}");
        assert!(
            text.contains("cargo install --locked --version 0.20.2 cargo-deny"),
            "{text}"
        );
        assert_eq!(packages(&[&POSTGRES, &DENY]), ["postgresql"]);
    }
}
