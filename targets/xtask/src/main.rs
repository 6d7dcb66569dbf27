//! Runs hpalloc's tests and programs on bare-metal targets, and measures it there:
//! `cargo xtask --help`.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod chips;
mod codegen;
mod elf;
mod heap;
mod mistakes;
mod programs;
mod report;
mod target;
mod tests;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs hpalloc's tests and programs on bare-metal targets, and measures it there.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the tests in `tests/`, as on the host, on the given targets or on all
    Test {
        /// For example thumbv7m-none-eabi
        targets: Vec<String>,
    },
    /// Build for chips without atomics, and check the error messages for features that a
    /// target cannot have and for common first mistakes
    Chips,
    /// Run the firmware, the heap, the kernel, the WebAssembly module and the
    /// freestanding Linux program, and check their output
    Programs,
    /// Check the machine code of the hot path: no loop, call, atomic or division, and a
    /// bounded number of instructions. Check that a program that calls every function
    /// cannot panic
    Codegen,
    /// Count the instructions of a `Heap` on the given targets or on all, and print them
    /// for each trace and each family of states
    Heap {
        /// For example thumbv7m-none-eabi
        targets: Vec<String>,
    },
    /// Measure code size and instructions, and write the tables of targets/README.md
    Report {
        /// Do not write the tables, but fail if a figure of hpalloc is above the one in
        /// them
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")) {
        eprintln!("error: cannot enter the repository: {error}");
        return ExitCode::FAILURE;
    }
    let done = match options.task {
        Task::Test { targets } => tests::run(&targets),
        Task::Chips => chips::run().and_then(|()| mistakes::run()),
        Task::Programs => programs::run(),
        Task::Codegen => codegen::run(),
        Task::Heap { targets } => heap::print(&targets),
        Task::Report { check } => report::run(check),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
