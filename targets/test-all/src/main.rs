//! Runs all tests of hpalloc on the host, in three configurations: `cargo test-all`.
//!
//! `cargo test` runs one test program after the other, and a second configuration is not
//! built before the tests of the first one have passed. Here the next configuration is
//! built while the programs of the previous one run.

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

mod configuration;
mod job;

use configuration::{CONFIGURATIONS, Configuration};
use job::{Job, Outcome};

const INTRODUCTION: &str = "\
Runs all tests and the examples in the documentation, in three configurations: with all features,
as a hardened build, and without the feature `mmap`. On two cores this takes about 4 minutes the
first time, most of it to build the tests.";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The results so far of one configuration's test programs, or of its documentation.
#[derive(Default)]
struct Step {
    /// The number of jobs, once it is known.
    jobs: Option<usize>,
    finished: usize,
    passed: usize,
    build_seconds: f64,
    run_seconds: f64,
}

/// A report of the builder or of a worker.
enum Event {
    /// The test programs of a configuration are built.
    Built { configuration: usize, programs: usize, seconds: f64 },
    /// A job has ended.
    Ran { job: Job, seconds: f64, outcome: Outcome },
    /// A configuration does not build.
    NotBuilt { configuration: usize, output: String },
}

fn main() -> ExitCode {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    if let Err(error) = std::env::set_current_dir(root) {
        eprintln!("error: cannot enter the repository at {root}: {error}");
        return ExitCode::FAILURE;
    }
    println!("{INTRODUCTION}\n");
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => return ExitCode::SUCCESS,
        Some(argument) => {
            eprintln!("error: there is no option {argument}: to run some of the tests, use `cargo test`");
            return ExitCode::from(2);
        }
    }
    let start = Instant::now();
    let (passed, failures) = run();
    let seconds = start.elapsed().as_secs();
    if failures == 0 {
        println!("test result: ok. {passed} passed; 0 failed; finished in {seconds} s");
        ExitCode::SUCCESS
    } else {
        println!("test result: FAILED. {passed} passed; {failures} programs failed; finished in {seconds} s");
        ExitCode::FAILURE
    }
}

/// Runs everything and prints a line per step. Returns the number of tests that passed
/// and the number of builds and programs that failed.
fn run() -> (usize, usize) {
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let (queue, jobs) = job::queue();
    let (events, received) = mpsc::channel();
    thread::scope(|scope| {
        let builder_events = events.clone();
        scope.spawn(move || build(&queue, &builder_events));
        for _ in 0..workers {
            let (jobs, events) = (jobs.clone(), events.clone());
            scope.spawn(move || {
                while let Some(job) = jobs.next() {
                    let start = Instant::now();
                    let outcome = job.run();
                    let event = Event::Ran { job, seconds: start.elapsed().as_secs_f64(), outcome };
                    events.send(event).expect("the main thread receives until all senders are gone");
                }
            });
        }
        drop(events);
        report(received)
    })
}

/// Builds the configurations in turn, and queues their jobs.
fn build(queue: &mpsc::Sender<Job>, events: &mpsc::Sender<Event>) {
    let send = |job| queue.send(job).expect("the workers take jobs until the queue is closed");
    for (configuration, it) in CONFIGURATIONS.iter().enumerate() {
        let start = Instant::now();
        let event = match it.build() {
            Ok(programs) => {
                let count = programs.len();
                for path in programs {
                    send(Job::Program { configuration, path });
                }
                Event::Built { configuration, programs: count, seconds: start.elapsed().as_secs_f64() }
            }
            Err(error) => Event::NotBuilt { configuration, output: error.to_string() },
        };
        events.send(event).expect("the main thread receives until all senders are gone");
    }
    // The documentation comes last, because Cargo locks the target directory. During a
    // build, these jobs would wait.
    for configuration in 0..CONFIGURATIONS.len() {
        send(Job::Documentation { configuration });
    }
}

/// Prints the reports of the builder and the workers. Returns the number of tests that
/// passed and of failures.
fn report(events: mpsc::Receiver<Event>) -> (usize, usize) {
    let mut programs: [Step; CONFIGURATIONS.len()] = Default::default();
    let (mut passed, mut failures) = (0, 0);
    for event in events {
        match event {
            Event::NotBuilt { configuration, output } => {
                println!("{output}\nFAILED  {}: the tests do not build", CONFIGURATIONS[configuration].name);
                failures += 1;
            }
            Event::Built { configuration, programs: count, seconds } => {
                let step = &mut programs[configuration];
                (step.jobs, step.build_seconds) = (Some(count), seconds);
                step.print_if_finished(&CONFIGURATIONS[configuration]);
            }
            Event::Ran { job, outcome: Outcome::Failed(output), .. } => {
                println!("{output}\nFAILED  {job}");
                failures += 1;
            }
            Event::Ran { job: job @ Job::Documentation { .. }, seconds, outcome: Outcome::Passed(count) } => {
                println!("ok  {job}: {count} tests passed  ({seconds:.0} s)");
                passed += count;
            }
            Event::Ran { job: Job::Program { configuration, .. }, seconds, outcome: Outcome::Passed(count) } => {
                let step = &mut programs[configuration];
                step.finished += 1;
                step.passed += count;
                step.run_seconds += seconds;
                passed += count;
                step.print_if_finished(&CONFIGURATIONS[configuration]);
            }
        }
    }
    (passed, failures)
}

impl Step {
    fn print_if_finished(&self, configuration: &Configuration) {
        if self.jobs == Some(self.finished) {
            println!(
                "ok  {}, {} programs: {} tests passed  ({:.0} s to build, {:.0} s to run)",
                configuration.name, self.finished, self.passed, self.build_seconds, self.run_seconds
            );
        }
    }
}
