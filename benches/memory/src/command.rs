//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::bounds::Bound;
use crate::matrix::Matrix;
use crate::{Contestant, Program, Result, all_heaps, binary, both_widths, efficiency, long_run, report, traces};

/// The smallest memory with which a program succeeds, for hpalloc and its peers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, and prints the tables of this machine.
    Tables(Options),
    /// Measures on 64 and on 32 bits, and writes RESULTS.md.
    Report {
        #[command(flatten)]
        options: Options,
        /// Features that the 32-bit program is built with.
        #[arg(long)]
        features: Option<String>,
    },
    /// Lists the traces and the heaps.
    List,
    /// Writes the traces to a file, for a program on a target.
    WriteTraces {
        /// Where to.
        file: PathBuf,
        /// The seed of each trace.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// What is measured.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// One seed and short runs: under a minute.
    #[arg(long)]
    quick: bool,
    /// How many seeds each trace is made with.
    #[arg(long, default_value_t = 4)]
    seeds: u64,
    /// The first of them: others than the usual ones show whether a heap was fitted to those.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// How many operations a long run has.
    #[arg(long, default_value_t = 10_000_000)]
    operations: usize,
    /// Only the traces with this in their names.
    #[arg(long)]
    trace: Option<String>,
    /// Only the candidates with one of these in their names. (The peers are always there.)
    #[arg(long)]
    heap: Vec<String>,
    /// Only the smallest memory, not heap efficiency and long runs.
    #[arg(long)]
    only_smallest: bool,
    /// Fails if a heap needs more than this over the best peer of each trace.
    #[arg(long, value_name = "NAME:MEAN:MAXIMUM")]
    check: Vec<Bound>,
    /// How many threads measure.
    #[arg(long)]
    jobs: Option<usize>,
}

impl Options {
    /// The arguments that say the same.
    fn arguments(&self) -> Vec<String> {
        let Self { quick, seeds, first_seed, operations, trace, heap, only_smallest, check, jobs } = self;
        let mut arguments = vec![
            format!("--seeds={seeds}"),
            format!("--first-seed={first_seed}"),
            format!("--operations={operations}"),
        ];
        arguments.extend(quick.then(|| "--quick".to_owned()));
        arguments.extend(only_smallest.then(|| "--only-smallest".to_owned()));
        arguments.extend(trace.iter().map(|trace| format!("--trace={trace}")));
        arguments.extend(heap.iter().map(|heap| format!("--heap={heap}")));
        arguments.extend(check.iter().map(|bound| format!("--check={bound}")));
        arguments.extend(jobs.iter().map(|jobs| format!("--jobs={jobs}")));
        arguments
    }
}

/// The whole program, with heaps beside those that are built in, which come first in the tables.
#[must_use]
pub fn run(mut contestants: Vec<Contestant>) -> ExitCode {
    contestants.extend(all_heaps());
    let result = match Cli::parse().command {
        Command::Tables(options) => tables(&options, contestants),
        Command::Report { options, features } => both_widths::report(&options.arguments(), features.as_deref()),
        Command::List => {
            list(&contestants);
            Ok(())
        }
        Command::WriteTraces { file, seed } => binary::write(&file, seed),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tables(options: &Options, mut contestants: Vec<Contestant>) -> Result<()> {
    if let Some(jobs) = options.jobs {
        rayon::ThreadPoolBuilder::new().num_threads(jobs).build_global()?;
    }
    let named = |contestant: &Contestant| options.heap.iter().any(|name| contestant.name().contains(name.as_str()));
    contestants
        .retain(|contestant| options.heap.is_empty() || contestant.kind() == crate::Kind::Peer || named(contestant));
    let wanted = |program: &&Program| options.trace.as_ref().is_none_or(|trace| program.name.contains(trace.as_str()));
    let programs: Vec<_> = traces::ALL.iter().filter(wanted).copied().collect();
    let seeds = options.first_seed..options.first_seed + if options.quick { 1 } else { options.seeds };
    let matrix = Matrix::measure(&programs, &contestants, seeds.clone());
    let summaries = report::summaries(&matrix, &programs, &contestants);
    println!(
        "{} bits; seeds: {}\n",
        usize::BITS,
        seeds.clone().map(|seed| seed.to_string()).collect::<Vec<_>>().join(", ")
    );
    let runs = programs.len() * seeds.count();
    println!("{}", report::ratios(&matrix, &programs, &contestants));
    println!("{}", report::summary(&summaries, runs));
    println!("{}", report::configurations(&matrix, &programs, &contestants));
    if !options.only_smallest {
        let (rounds, operations, seeds) = if options.quick { (20, 100_000, 1) } else { (200, options.operations, 3) };
        println!("{}", efficiency::table(&contestants, rounds));
        println!("{}", long_run::table(&contestants, operations, seeds));
    }
    options.check.iter().try_for_each(|bound| bound.check(&summaries, runs))
}

fn list(contestants: &[Contestant]) {
    for program in traces::ALL {
        let trace = program.trace(1);
        let operations = trace.operations().len();
        println!("{}: {operations} operations, {} bytes live at most", program.name, trace.peak());
    }
    for contestant in contestants {
        println!("{}: {:?}", contestant.name(), contestant.configurations());
    }
}
