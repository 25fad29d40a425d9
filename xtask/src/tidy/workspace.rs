//! The shape of the workspace: which crate may depend on which, and on what outside.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Finding;
use crate::{Outcome, process};

/// What a crate may depend on within the workspace, in its own code and in its tests.
struct Allowed {
    name: &'static str,
    normal: &'static [&'static str],
    dev: &'static [&'static str],
}

/// The arrows all point down. The emulator does not know the adapters: it must not share their
/// faults. The rig drives the binary from outside, so it knows nothing of what is inside.
const EDGES: &[Allowed] = &[
    Allowed {
        name: "waxwing-core",
        normal: &[],
        dev: &[],
    },
    Allowed {
        name: "waxwing-store",
        normal: &["waxwing-core"],
        dev: &["waxwing-testkit"],
    },
    Allowed {
        name: "waxwing-providers",
        normal: &["waxwing-core"],
        dev: &["waxwing-emulator", "waxwing-testkit"],
    },
    Allowed {
        name: "waxwing-emulator",
        normal: &["waxwing-core"],
        dev: &[],
    },
    Allowed {
        name: "waxwing-app",
        normal: &["waxwing-core", "waxwing-store", "waxwing-providers"],
        dev: &["waxwing-emulator", "waxwing-testkit"],
    },
    Allowed {
        name: "waxwing-api",
        normal: &[
            "waxwing-core",
            "waxwing-store",
            "waxwing-providers",
            "waxwing-app",
        ],
        dev: &["waxwing-emulator", "waxwing-testkit"],
    },
    Allowed {
        name: "waxwing",
        normal: &[
            "waxwing-core",
            "waxwing-store",
            "waxwing-providers",
            "waxwing-emulator",
            "waxwing-app",
            "waxwing-api",
        ],
        dev: &["waxwing-testkit"],
    },
    Allowed {
        name: "waxwing-testkit",
        normal: &["waxwing-core", "waxwing-emulator"],
        dev: &[],
    },
    Allowed {
        name: "waxwing-rig",
        normal: &["waxwing-core", "waxwing-emulator", "waxwing-testkit"],
        dev: &[],
    },
    Allowed {
        name: "waxwing-fuzz",
        normal: &["waxwing-core", "waxwing-providers"],
        dev: &[],
    },
    Allowed {
        name: "xtask",
        normal: &[],
        dev: &[],
    },
];

/// Outside crates that only some may use, in any of their dependencies.
const OWNED: &[(&str, &[&str])] = &[
    ("rusqlite", &["waxwing-store"]),
    ("tokio-postgres", &["waxwing-store"]),
    (
        "reqwest",
        &["waxwing-providers", "waxwing-emulator", "waxwing-testkit"],
    ),
    ("redis", &["waxwing-app"]),
    ("axum", &["waxwing-api", "waxwing-emulator", "waxwing"]),
];

/// The only outside crate of xtask: see its manifest.
const XTASK_MAY_USE: &[&str] = &["serde_json"];

pub(super) fn check(root: &Path) -> Outcome<Vec<Finding>> {
    let text = process::read(process::cargo().args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version=1",
    ]))?;
    let metadata: Value = serde_json::from_str(&text)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let mut findings = Vec::new();
    for package in packages(&metadata) {
        findings.extend(judge(&package));
        let manifest = package
            .manifest
            .strip_prefix(root)
            .unwrap_or(&package.manifest);
        let text = std::fs::read_to_string(&package.manifest)
            .map_err(|error| format!("cannot read {}: {error}", manifest.display()))?;
        findings.extend(lints(manifest, &text));
    }
    for finding in &mut findings {
        if let Ok(relative) = finding.file.strip_prefix(root) {
            finding.file = relative.to_path_buf();
        }
    }
    Ok(findings)
}

struct Package {
    name: String,
    manifest: PathBuf,
    /// Name and whether only tests use it.
    dependencies: Vec<(String, bool)>,
}

fn packages(metadata: &Value) -> Vec<Package> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: word(&package["name"]),
            manifest: PathBuf::from(word(&package["manifest_path"])),
            dependencies: list(&package["dependencies"])
                .iter()
                .map(|dependency| (word(&dependency["name"]), dependency["kind"] == "dev"))
                .collect(),
        })
        .collect()
}

fn judge(package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |text: String| {
        findings.push(Finding {
            file: package.manifest.clone(),
            line: 0,
            rule: "architecture",
            text,
        });
    };
    let name = package.name.as_str();
    let Some(allowed) = EDGES.iter().find(|allowed| allowed.name == name) else {
        find(format!(
            "crate {name} has no place in the table of xtask/src/tidy/workspace.rs"
        ));
        return findings;
    };
    for (dependency, dev) in &package.dependencies {
        let ours = EDGES.iter().any(|allowed| allowed.name == dependency);
        let may = allowed.normal.contains(&dependency.as_str())
            || (*dev && allowed.dev.contains(&dependency.as_str()));
        if ours && !may {
            let kind = if *dev { "in its tests" } else { "in its code" };
            find(format!("{name} must not depend on {dependency} {kind}"));
        }
        let owner = OWNED.iter().find(|(owned, _)| owned == dependency);
        if let Some((owned, users)) = owner.filter(|(_, users)| !users.contains(&name)) {
            find(format!(
                "{owned} is for {} alone, not for {name}",
                users.join(", ")
            ));
        }
        if name == "xtask" && !XTASK_MAY_USE.contains(&dependency.as_str()) {
            find(format!(
                "xtask is compiled before the demo can start: not {dependency}"
            ));
        }
    }
    findings
}

/// Every crate takes the lints of the workspace.
fn lints(manifest: &Path, text: &str) -> Option<Finding> {
    let mut lines = text.lines().map(str::trim);
    let inherits = lines.any(|line| line == "[lints]")
        && lines.find(|line| !line.is_empty()) == Some("workspace = true");
    (!inherits).then(|| Finding {
        file: manifest.to_path_buf(),
        line: 0,
        rule: "lints",
        text: "a crate takes the lints of the workspace: [lints] workspace = true".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, dependencies: &[(&str, bool)]) -> Vec<String> {
        let package = Package {
            name: name.to_owned(),
            manifest: PathBuf::from("Cargo.toml"),
            dependencies: dependencies
                .iter()
                .map(|&(name, dev)| (name.to_owned(), dev))
                .collect(),
        };
        judge(&package)
            .into_iter()
            .map(|finding| finding.text)
            .collect()
    }

    #[test]
    fn the_workspace_has_the_shape_it_should_have() {
        let findings = check(&process::root()).expect("cargo metadata works");
        assert_eq!(findings, []);
    }

    #[test]
    fn arrows_point_down() {
        assert_eq!(
            found(
                "waxwing-store",
                &[("waxwing-core", false), ("serde", false)]
            ),
            [""; 0]
        );
        assert_eq!(
            found("waxwing-store", &[("waxwing-providers", false)]),
            ["waxwing-store must not depend on waxwing-providers in its code"]
        );
        assert_eq!(
            found("waxwing-emulator", &[("waxwing-providers", true)]),
            ["waxwing-emulator must not depend on waxwing-providers in its tests"]
        );
    }

    #[test]
    fn the_testkit_is_for_tests() {
        assert_eq!(found("waxwing-app", &[("waxwing-testkit", true)]), [""; 0]);
        assert_eq!(
            found("waxwing-app", &[("waxwing-testkit", false)]),
            ["waxwing-app must not depend on waxwing-testkit in its code"]
        );
    }

    #[test]
    fn outside_needs_have_one_owner() {
        assert_eq!(found("waxwing-store", &[("rusqlite", false)]), [""; 0]);
        assert_eq!(
            found("waxwing-app", &[("rusqlite", true)]),
            ["rusqlite is for waxwing-store alone, not for waxwing-app"]
        );
        assert_eq!(found("waxwing-core", &[("axum", false)]).len(), 1);
        assert_eq!(found("waxwing-rig", &[("reqwest", false)]).len(), 1);
        assert_eq!(found("xtask", &[("clap", false)]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert_eq!(found("waxwing-utils", &[]).len(), 1);
    }

    #[test]
    fn a_crate_without_lints_is_found() {
        let path = Path::new("Cargo.toml");
        assert_eq!(
            lints(path, "[package]\n\n[lints]\nworkspace = true\n"),
            None
        );
        assert!(lints(path, "[package]\nname = 'x'\n").is_some());
        assert!(lints(path, "[lints.rust]\nunsafe_code = 'allow'\n").is_some());
    }

    #[test]
    fn metadata_is_read() {
        let metadata: Value = serde_json::from_str(
            r#"{"packages":[{"name":"a","manifest_path":"/x/Cargo.toml","dependencies":[
                {"name":"b","kind":null},{"name":"c","kind":"dev"},{"name":"d","kind":"build"}]}]}"#,
        )
        .expect("JSON");
        let packages = packages(&metadata);
        let expected =
            [("b", false), ("c", true), ("d", false)].map(|(name, dev)| (name.to_owned(), dev));
        assert_eq!(packages[0].dependencies, expected);
    }
}
