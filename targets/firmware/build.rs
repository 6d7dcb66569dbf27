//! Adds the linker script for the sections of defmt's log format.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
}
