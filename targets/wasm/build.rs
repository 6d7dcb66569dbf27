//! Limits the module's memory, so that the program can exhaust it.

fn main() {
    println!("cargo::rustc-link-arg-bins=--max-memory={}", 16 << 20);
}
