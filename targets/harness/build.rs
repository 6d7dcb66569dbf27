//! Writes the memory layout of the target's machine to `memory.x`, in a folder that the
//! linker searches.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=link");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the variable");
    let is_small = env::var("TARGET").is_ok_and(|target| target.starts_with("thumbv6m"))
        && env::var_os("CARGO_FEATURE_MPS2").is_none();
    let scripts: &[&str] = match &*arch {
        "arm" if is_small => &["microbit", "pages"],
        "arm" => &["mps2", "pages"],
        "riscv32" | "riscv64" => &["riscv"],
        other => &[other],
    };
    let memory: String = scripts
        .iter()
        .map(|script| fs::read_to_string(format!("link/{script}.x")).expect("a script for this architecture"))
        .collect();
    let out = env::var("OUT_DIR").expect("cargo sets the variable");
    fs::write(Path::new(&out).join("memory.x"), memory).expect("the output folder is writable");
    println!("cargo::rustc-link-search={out}");
}
