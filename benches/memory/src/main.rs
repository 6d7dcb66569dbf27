//! The smallest memory with which each trace succeeds, for hpalloc and its peers.

use std::process::ExitCode;

fn main() -> ExitCode {
    hpalloc_memory::run(Vec::new())
}
