//! Links the sections that defmt's log format is kept in.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
}
