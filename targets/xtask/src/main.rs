//! Runs hpalloc's tests and programs on bare-metal targets, and measures it there: `cargo xtask --help`.

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
    /// Run the tests on these targets, or on all: the files in `tests/`, as on the host
    Test {
        /// Such as thumbv7m-none-eabi
        targets: Vec<String>,
    },
    /// Build for chips without atomics, and see that what a target can't have, and what people write at first, is refused with a
    /// sentence
    Chips,
    /// Run the firmware, the heap, the kernel, the WebAssembly module and the freestanding
    /// Linux program, and check what they print
    Programs,
    /// Read the machine code of the hot path, which has no loop, call, atomic or division, and so many instructions; and
    /// see that nothing panics in a program that calls every function
    Codegen,
    /// Count the instructions of a `Heap` on these targets, or on all, and print them for each trace and each family of states
    Heap {
        /// Such as thumbv7m-none-eabi
        targets: Vec<String>,
    },
    /// Measure code bytes and instructions, and write the tables of targets/README.md
    Report {
        /// Fail where a figure of hpalloc's is above the one in the tables, instead of writing them
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")) {
        eprintln!("error: the repository: {error}");
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
