//! What hpalloc and its peers cost on a host: `cargo speed --help`, and RESULTS.md for what came out.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::contestant::{Contestant, Workload};
use crate::effort::Effort;
use crate::instructions::Operation;

// The order of these lines is that of the layers: a module uses only those above it.
mod allocator;
mod ours;
mod mallocs;
mod heaps;
mod peers;
mod global;
mod floor;
mod seed;
mod effort;
mod workload;
mod general;
mod programs;
mod contestant;
mod rounds;
mod memory;
mod charts;
mod report;
mod compare;
mod instructions;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RESULTS: &str = "benches/RESULTS.md";

/// Measures hpalloc beside its peers on this machine.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure everything in rounds, print the tables, and write benches/RESULTS.md, the table of the README, and the
    /// charts
    Report {
        #[arg(long, default_value = "9", value_parser = clap::value_parser!(u8).range(1..))]
        rounds: u8,
    },
    /// Do the same once, in short, and write nothing but charts to the temporary directory: to see that it works
    Look,
    /// Count instructions, and write the table of benches/RESULTS.md
    Instructions {
        /// Fail where a figure is above the one in the table, instead of writing it
        #[arg(long)]
        check: bool,
    },
    /// Measure some contestants in rounds, by processor time, and print how many times as long as each of the others the first
    /// takes: for a machine that does other things meanwhile
    Compare {
        #[arg(required = true)]
        contestants: Vec<Contestant>,
        /// In which workloads. Without it: those of requests of any size, and the programs
        #[arg(long, num_args = 1..)]
        workloads: Vec<Workload>,
        #[arg(long, default_value = "5", value_parser = clap::value_parser!(u8).range(1..))]
        rounds: u8,
    },
    /// Measure one contestant in one workload, in this process, and print the figures
    Measure {
        workload: Workload,
        contestant: Contestant,
        #[arg(long, default_value = "full")]
        effort: Effort,
    },
    /// Run a program once, with the global allocator that the environment variable `SPEED_ALLOCATOR` names; print a digest of
    /// its output, and what memory it took
    Program { workload: Workload },
    /// Do an operation 1000 times, for Valgrind to count its instructions
    Perform { operation: Operation },
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")) {
        eprintln!("error: the repository: {error}");
        return ExitCode::FAILURE;
    }
    let done = match options.task {
        Task::Report { rounds } => report::run(rounds.into(), Effort::Full),
        Task::Look => report::run(1, Effort::Quick),
        Task::Instructions { check } => instructions::run(check),
        Task::Compare { contestants, workloads, rounds } => compare::run(&contestants, workloads, rounds.into()),
        Task::Measure { workload, contestant, effort } => measure(workload, contestant, effort),
        Task::Program { workload } => program(workload),
        Task::Perform { operation } => instructions::perform(operation),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(workload: Workload, contestant: Contestant, effort: Effort) -> Result<()> {
    let program = contestant.program(workload).ok_or("this contestant does not take part in that workload")?;
    let name = rounds::argument(&contestant);
    if workload.prepare().is_some() && std::env::var(global::VARIABLE).ok().as_ref() != Some(&name) {
        return Err(format!("to measure this, set {}={name}", global::VARIABLE).into());
    }
    let figures = program(effort);
    println!("{}", figures.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}

fn program(workload: Workload) -> Result<()> {
    let digest = workload.prepare().ok_or("this workload is no program")?()();
    // Before anything else is allocated.
    let memory = global::memory();
    println!("{digest} {}", memory.iter().map(usize::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}
