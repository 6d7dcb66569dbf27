//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::bounds::Bound;
use crate::matrix::Matrix;
use crate::{Contestant, Program, Result, all_heaps, binary, both_widths, efficiency, long_run, report, traces};

/// Measures the smallest memory in which a program succeeds, with hpalloc and its peers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures on this machine and prints the tables.
    Tables(Options),
    /// Measures on 64 and on 32 bits and writes the tables to RESULTS.md.
    Report {
        #[command(flatten)]
        options: Options,
        /// Features with which the 32-bit program is built.
        #[arg(long)]
        features: Option<String>,
    },
    /// Lists the traces and the heaps.
    List,
    /// Writes the traces to a file, which a program on a target replays.
    WriteTraces {
        /// The file to write.
        file: PathBuf,
        /// The seed of each trace.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// The options of a measurement.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Use one seed and short runs: finishes in less than a minute.
    #[arg(long)]
    quick: bool,
    /// The number of seeds for each trace.
    #[arg(long, default_value_t = 4)]
    seeds: u64,
    /// The first seed. Seeds that a heap was not tuned with show whether its results are
    /// general.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// The number of operations of a long run.
    #[arg(long, default_value_t = 10_000_000)]
    operations: usize,
    /// Measure only the traces whose names contain this text.
    #[arg(long)]
    trace: Option<String>,
    /// Measure only the candidates whose names contain this text; may be repeated. The
    /// peers are always measured.
    #[arg(long)]
    heap: Vec<String>,
    /// Measure only the smallest memory, without heap efficiency and long runs.
    #[arg(long)]
    only_smallest: bool,
    /// Fail if a heap needs more memory than this, relative to the best peer of each
    /// trace; may be repeated. MEAN bounds the geometric mean over all traces. MAXIMUM
    /// bounds each trace that isn't adversarial.
    #[arg(long, value_name = "NAME:MEAN:MAXIMUM")]
    check: Vec<Bound>,
    /// The number of threads that measure.
    #[arg(long)]
    jobs: Option<usize>,
}

impl Options {
    /// Returns the arguments that stand for these options.
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

/// Runs the whole program. These contestants come first in the tables, followed by the
/// built-in heaps.
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
        println!("{}: {operations} operations, at most {} live bytes", program.name, trace.peak());
    }
    for contestant in contestants {
        println!("{}: {:?}", contestant.name(), contestant.configurations());
    }
}
