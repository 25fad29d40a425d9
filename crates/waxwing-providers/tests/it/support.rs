//! Reading the fixtures.

use std::path::{Path, PathBuf};

use serde_json::Value;

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The files of a folder with their names, in the order of the names.
pub fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = std::fs::read_dir(fixtures().join(folder))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{folder}");
    found
}

pub fn json(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join(path)).unwrap()).unwrap()
}

/// An answer as a fixture writes it: `status`, `headers`, and `body` as JSON or as text.
pub fn outcome(fixture: &Value) -> waxwing_providers::http::HttpOutcome {
    let mut headers = ::http::HeaderMap::new();
    for (name, value) in fixture["headers"].as_object().unwrap() {
        let name = ::http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, value.as_str().unwrap().parse().unwrap());
    }
    let body = match &fixture["body"] {
        Value::String(text) => text.clone().into_bytes(),
        json => serde_json::to_vec(json).unwrap(),
    };
    waxwing_providers::http::HttpOutcome::Response {
        status: u16::try_from(fixture["status"].as_u64().unwrap()).unwrap(),
        headers,
        body: body.into(),
    }
}
