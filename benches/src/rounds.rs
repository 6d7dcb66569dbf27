//! Runs the measurements in rounds. Each takes a turn in every round, so that other
//! activity of the machine affects all of them.

use std::collections::HashMap;
use std::process::Command;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::contestant::{Contestant, Workload};
use crate::effort::Effort;
use crate::{Result, global};

/// The figures of all measurements.
#[derive(Default)]
pub(crate) struct Measurements {
    /// The figures of each round.
    figures: HashMap<(Workload, Contestant), Vec<Vec<f64>>>,
}

/// Measures the contestants in the workloads that they take part in, once each round.
pub(crate) fn run(
    rounds: usize,
    effort: Effort,
    workloads: &[Workload],
    contestants: &[Contestant],
) -> Result<Measurements> {
    let mut measurements = Measurements::default();
    let taking_part = |workload| {
        let all = contestants.iter().copied();
        all.filter(move |contestant| contestant.program(workload).is_some()).collect::<Vec<_>>()
    };
    let mut workloads: Vec<_> = workloads.iter().map(|&workload| (workload, taking_part(workload))).collect();
    let turns: usize = workloads.iter().map(|(_, contestants)| contestants.len()).sum();
    let style = ProgressStyle::with_template("{wide_msg} {bar:40} {percent:>3}%  {eta} left")?;
    let progress = ProgressBar::new((rounds * turns) as u64).with_style(style);
    let mut random = fastrand::Rng::new();
    for _ in 0..rounds {
        random.shuffle(&mut workloads);
        for (workload, contestants) in &mut workloads {
            // The contestants of a workload are compared, so they run one after the
            // other.
            random.shuffle(contestants);
            for &mut contestant in contestants {
                progress.set_message(format!("{}: {}", workload.title(), contestant.title()));
                let figures = measure(*workload, contestant, effort)?;
                measurements.same_digest(*workload, contestant, &figures)?;
                measurements.figures.entry((*workload, contestant)).or_default().push(figures);
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    Ok(measurements)
}

/// Runs one measurement in its own process, which begins with fresh memory.
fn measure(workload: Workload, contestant: Contestant, effort: Effort) -> Result<Vec<f64>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("measure").args([argument(&workload), argument(&contestant)]);
    command.args(["--effort", &argument(&effort)]);
    if workload.prepare().is_some() {
        command.env(global::VARIABLE, argument(&contestant));
    }
    let output = command.output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{contestant:?} in {workload:?}: {}\n{error}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?)
}

/// Returns the name of a value on the command line.
pub(crate) fn argument(value: &impl ValueEnum) -> String {
    value.to_possible_value().expect("no value is hidden").get_name().to_owned()
}

impl Measurements {
    fn all(&self, workload: Workload, contestant: Contestant, figure: usize) -> Option<Vec<f64>> {
        let rounds = self.figures.get(&(workload, contestant))?;
        Some(rounds.iter().map(|figures| figures[figure]).collect())
    }

    /// Fails if a program's output differs from the output with another allocator or
    /// round.
    fn same_digest(&self, workload: Workload, contestant: Contestant, figures: &[f64]) -> Result<()> {
        if workload.prepare().is_none() {
            return Ok(());
        }
        for (&(_, before), rounds) in self.figures.iter().filter(|((of, _), _)| *of == workload) {
            for other in rounds {
                if other.get(1) != figures.get(1) {
                    let [one, other] = [figures, other].map(|figures| figures.get(1).copied().unwrap_or(f64::NAN));
                    return Err(format!(
                        "the output of {workload:?} has the digest {one} with {contestant:?}, but {other} with {before:?}"
                    )
                    .into());
                }
            }
        }
        Ok(())
    }

    /// Returns `true` if the contestant was measured in the workload.
    pub(crate) fn has(&self, workload: Workload, contestant: Contestant) -> bool {
        self.figures.contains_key(&(workload, contestant))
    }

    /// Returns the median of a figure.
    pub(crate) fn median(&self, workload: Workload, contestant: Contestant, figure: usize) -> Option<f64> {
        self.all(workload, contestant, figure).map(median)
    }

    /// Returns the lowest and the highest value of a figure.
    pub(crate) fn spread(&self, workload: Workload, contestant: Contestant, figure: usize) -> Option<(f64, f64)> {
        let all = self.all(workload, contestant, figure)?;
        Some((all.iter().copied().fold(f64::INFINITY, f64::min), all.iter().copied().fold(0.0, f64::max)))
    }

    /// Returns the ratio of two figures: the median of the rounds' ratios.
    pub(crate) fn ratio(&self, of: Figure, to: Figure) -> Option<f64> {
        let of = self.all(of.0, of.1, of.2)?;
        let to = self.all(to.0, to.1, to.2)?;
        Some(median(of.iter().zip(&to).map(|(of, to)| of / to).collect()))
    }

    /// Returns the number of rounds in which one figure is above the other.
    pub(crate) fn above(&self, of: Figure, other: Figure) -> Option<usize> {
        let of = self.all(of.0, of.1, of.2)?;
        let other = self.all(other.0, other.1, other.2)?;
        Some(of.iter().zip(&other).filter(|(of, other)| of > other).count())
    }

    /// Returns the contestant with the lowest median.
    pub(crate) fn fastest(&self, workload: Workload, of: &[Contestant]) -> Option<Contestant> {
        let median = |contestant: &Contestant| self.median(workload, *contestant, 0).unwrap_or(f64::INFINITY);
        of.iter().copied().min_by(|a, b| median(a).total_cmp(&median(b)))
    }
}

/// A figure: the workload, the contestant, and the figure's index in the measurement.
pub(crate) type Figure = (Workload, Contestant, usize);

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] }
}

/// Formats a number with at least three significant digits.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}
