use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use crate::configuration::CONFIGURATIONS;

/// A process that runs tests of a configuration.
pub(crate) enum Job {
    /// A test program.
    Program { configuration: usize, path: PathBuf },
    /// The examples in the documentation.
    Documentation { configuration: usize },
}

pub(crate) enum Outcome {
    /// The number of tests that passed.
    Passed(usize),
    /// Everything that the process printed.
    Failed(String),
}

impl Job {
    /// Runs the tests.
    ///
    /// A test program may be empty in a configuration, but it must say so. The
    /// documentation always has examples. If none of them runs, their selection is wrong.
    pub(crate) fn run(&self) -> Outcome {
        let mut command = match self {
            Self::Program { path, .. } => Command::new(path),
            Self::Documentation { configuration } => CONFIGURATIONS[*configuration].documentation(),
        };
        // `cargo test` sets this variable to the directory of the tests' package. For
        // this program, Cargo set it to another one.
        command.env("CARGO_MANIFEST_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).stdin(Stdio::null());
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => return Outcome::Failed(format!("{command:?}: {error}")),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let results: Option<Vec<usize>> = text
            .lines()
            .filter_map(|line| line.strip_prefix("test result: ok. "))
            .map(|result| result.split_once(" passed")?.0.parse().ok())
            .collect();
        let passed = results.filter(|results| !results.is_empty()).map(|results| results.iter().sum());
        let may_be_empty = matches!(self, Self::Program { .. });
        match passed {
            Some(passed) if output.status.success() && (passed > 0 || may_be_empty) => Outcome::Passed(passed),
            _ => Outcome::Failed(format!("{text}{}{}", String::from_utf8_lossy(&output.stderr), output.status)),
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { configuration, path } => {
                write!(f, "{}, {}", CONFIGURATIONS[*configuration].name, path.display())
            }
            Self::Documentation { configuration } => {
                write!(f, "{}, examples in the documentation", CONFIGURATIONS[*configuration].name)
            }
        }
    }
}

/// The receiving end of the queue, which the workers share.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Mutex<Receiver<Job>>>);

impl Jobs {
    /// Returns the next job, or `None` after the last one. Waits while the queue is
    /// empty.
    pub(crate) fn next(&self) -> Option<Job> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }
}

pub(crate) fn queue() -> (Sender<Job>, Jobs) {
    let (sender, receiver) = mpsc::channel();
    (sender, Jobs(Arc::new(Mutex::new(receiver))))
}
