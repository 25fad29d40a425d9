//! Any parser of outside input under libFuzzer: `FUZZ_TARGET` says which. `cargo xtask fuzz` builds and runs it.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use waxwing_fuzz::{Target, seeds, target};

static TARGET: OnceLock<Target> = OnceLock::new();

/// Finds the target, and puts what is known into the directory `FUZZ_SEEDS`.
fn choose() {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET names no target: {name:?}"));
    TARGET.get_or_init(|| found);
    if let Some(dir) = std::env::var_os("FUZZ_SEEDS") {
        for (at, seed) in seeds(&name).iter().enumerate() {
            let file = Path::new(&dir).join(format!("seed-{at:05}"));
            std::fs::write(&file, seed)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
}

fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(data);
    }
});
