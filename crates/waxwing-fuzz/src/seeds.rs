//! What the search starts from: real payloads, and inputs that once broke something.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Files that are read at most; there are some hundreds.
const FILES_MAX: usize = 10_000;

/// The payloads of the providers' fixtures, bodies taken out of the exchanges that hold them, and `corpus/{target}`.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&here.join("../waxwing-providers/fixtures"), &mut files);
    let payloads = files.len();
    collect(&here.join("corpus").join(target), &mut files);
    let mut seeds = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let Ok(bytes) = fs::read(file) else { continue };
        if at < payloads
            && let Ok(value) = serde_json::from_slice::<Value>(&bytes)
        {
            bodies(&value, &mut seeds);
        }
        seeds.push(bytes);
    }
    seeds
}

/// Bodies of requests and answers that stand inside a recorded exchange.
fn bodies(value: &Value, seeds: &mut Vec<Vec<u8>>) {
    let Value::Object(members) = value else {
        return;
    };
    for (name, member) in members {
        match (name.as_str(), member) {
            ("body" | "raw" | "text", Value::String(text)) => seeds.push(text.clone().into_bytes()),
            ("body" | "json", Value::Object(_) | Value::Array(_)) => {
                seeds.push(member.to_string().into_bytes());
            }
            _ => bodies(member, seeds),
        }
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files);
        } else if files.len() < FILES_MAX {
            files.push(path);
        }
    }
}
