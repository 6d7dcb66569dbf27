//! Measures the smallest memory in which each trace succeeds, with hpalloc and its peers.

use std::process::ExitCode;

fn main() -> ExitCode {
    hpalloc_memory::run(Vec::new())
}
