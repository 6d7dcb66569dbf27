//! Puts the memory layout of the target's machine where the linker finds it: as `memory.x`.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=link");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let script = if arch.starts_with("riscv") { "riscv".to_owned() } else { arch };
    let out = env::var("OUT_DIR").expect("cargo sets it");
    fs::copy(format!("link/{script}.x"), Path::new(&out).join("memory.x")).expect("a script for this architecture");
    println!("cargo::rustc-link-search={out}");
}
