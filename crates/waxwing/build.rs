//! How the binary is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |name: &str| std::env::var(name).unwrap_or_default();
    // Of a large program, one megabyte is addresses that the loader adjusts at start, 24 bytes for each. In the packed
    // form (glibc from 2.36 on) they take a bit for each: the file is smaller, and so is what an idle process holds.
    if target("CARGO_CFG_TARGET_OS") == "linux" && target("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
