//! Measures what hpalloc and its peers cost on a host. `cargo speed --help` lists the
//! commands; RESULTS.md has the results.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::contestant::{Contestant, Workload};
use crate::effort::Effort;
use crate::instructions::Operation;

// A module uses only those above it.
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
mod summary;
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
    /// Measure everything, and write the tables of benches/RESULTS.md and README.md and
    /// the charts
    Report {
        /// The number of times that everything is measured
        #[arg(long, default_value = "9", value_parser = clap::value_parser!(u8).range(1..))]
        rounds: u8,
    },
    /// Measure everything once and briefly, to test that it works. Writes only the
    /// charts, to the temporary directory
    Look,
    /// Draw the charts, and write the tables of README.md, from the committed results,
    /// without measuring
    Charts,
    /// Count instructions with Valgrind, and write their table in benches/RESULTS.md
    Instructions {
        /// Write nothing, and fail if a figure is above the one in the table
        #[arg(long)]
        check: bool,
    },
    /// Measure some contestants by processor time, which also works on a busy machine.
    /// Prints the medians, and the time of the first contestant relative to each of the
    /// others
    Compare {
        #[arg(required = true)]
        contestants: Vec<Contestant>,
        /// The workloads [default: those with requests of any size, and the programs]
        #[arg(long, num_args = 1..)]
        workloads: Vec<Workload>,
        /// The number of times that each contestant is measured
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
    /// Run a program once with the global allocator named by the environment variable
    /// `SPEED_ALLOCATOR`. Prints a digest of its output, and the memory that it needed
    Program { workload: Workload },
    /// Perform an operation 1000 times, for Valgrind to count its instructions
    Perform { operation: Operation },
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")) {
        eprintln!("error: can't change to the root of the repository: {error}");
        return ExitCode::FAILURE;
    }
    let done = match options.task {
        Task::Report { rounds } => report::run(rounds.into(), Effort::Full),
        Task::Look => report::run(1, Effort::Quick),
        Task::Charts => report::redraw(),
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
    let program = contestant.program(workload).ok_or("this contestant does not take part in this workload")?;
    let name = rounds::argument(&contestant);
    if workload.prepare().is_some() && std::env::var(global::VARIABLE).ok().as_ref() != Some(&name) {
        return Err(format!("set the environment variable {}={name} to measure this program", global::VARIABLE).into());
    }
    let figures = program(effort);
    println!("{}", figures.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}

fn program(workload: Workload) -> Result<()> {
    let digest = workload.prepare().ok_or("this workload is not a program")?()();
    // Read before anything else is allocated.
    let memory = global::memory();
    println!("{digest} {}", memory.iter().map(usize::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}
