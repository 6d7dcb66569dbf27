//! The tables of the smallest memory.

use std::fmt::Write as _;

use tables::Table;

use crate::matrix::Matrix;
use crate::{Contestant, Program};

/// The memory that a contestant needs, divided by that of the best peer, over all traces.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) name: String,
    /// The geometric mean over all traces and seeds.
    pub(crate) mean: f64,
    /// The worst ratio of a trace that isn't adversarial, as the mean of its seeds, and
    /// the name of the trace.
    pub(crate) worst: (f64, &'static str),
    /// The worst ratio of a trace that isn't adversarial, for a single seed.
    worst_seed: (f64, &'static str),
    /// The worst ratio of an adversarial trace.
    adversarial: Option<(f64, &'static str)>,
    /// The geometric mean of the memory over the live bytes.
    over_live: f64,
    /// The number of runs that succeeded.
    pub(crate) succeeded: usize,
}

/// Returns the geometric mean, or `None` if there are no ratios.
fn mean(ratios: impl IntoIterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<_> = ratios.into_iter().map(f64::ln).collect();
    #[allow(clippy::cast_precision_loss, reason = "there are few ratios")]
    let count = logarithms.len() as f64;
    (count > 0.0).then(|| (logarithms.iter().sum::<f64>() / count).exp())
}

/// Returns the mean over the seeds of one trace. It is infinite if the contestant fails
/// with a seed.
fn over_seeds(matrix: &Matrix, program: usize, contestant: usize) -> Option<f64> {
    mean(matrix.of(program).iter().map(|run| run.ratio(contestant).unwrap_or(f64::INFINITY)))
}

/// Returns the summary of each contestant.
pub(crate) fn summaries(matrix: &Matrix, programs: &[Program], contestants: &[Contestant]) -> Vec<Summary> {
    let one = |index: usize, contestant: &Contestant| {
        let runs = || programs.iter().enumerate().flat_map(|(program, _)| matrix.of(program));
        let worst = |adversarial: bool| {
            let rows = programs.iter().enumerate().filter(|(_, program)| program.adversarial == adversarial);
            rows.filter_map(|(row, program)| Some((over_seeds(matrix, row, index)?, program.name)))
                .max_by(|(a, _), (b, _)| a.total_cmp(b))
        };
        let worst_seed =
            programs.iter().enumerate().filter(|(_, program)| !program.adversarial).flat_map(|(row, program)| {
                matrix.of(row).iter().map(|run| (run.ratio(index).unwrap_or(f64::INFINITY), program.name))
            });
        #[allow(clippy::cast_precision_loss, reason = "a memory has less than 2^52 bytes")]
        let over_live =
            |run: &crate::matrix::Run| run.ratio(index).map(|ratio| ratio * run.best_peer as f64 / run.peak as f64);
        Summary {
            name: contestant.name().to_owned(),
            mean: mean(runs().filter_map(|run| run.ratio(index))).unwrap_or(f64::INFINITY),
            worst: worst(false).unwrap_or((f64::INFINITY, "")),
            worst_seed: worst_seed.max_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap_or((f64::INFINITY, "")),
            adversarial: worst(true),
            over_live: mean(runs().filter_map(over_live)).unwrap_or(f64::INFINITY),
            succeeded: runs().filter(|run| run.smallest[index].is_some()).count(),
        }
    };
    contestants.iter().enumerate().map(|(index, contestant)| one(index, contestant)).collect()
}

/// Formats a ratio for the tables.
fn ratio(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio.is_finite() => format!("{ratio:.2}"),
        _ => "-".to_owned(),
    }
}

/// Returns a table with, for each trace and contestant, the memory over that of the best
/// peer of the trace.
pub(crate) fn ratios(matrix: &Matrix, programs: &[Program], contestants: &[Contestant]) -> String {
    let mut titles = vec!["live, KiB", "best peer, KiB"];
    titles.extend(contestants.iter().map(Contestant::name));
    let mut table = Table::new("trace", &titles);
    #[allow(clippy::cast_precision_loss, reason = "a memory has less than 2^52 bytes")]
    let kib = |bytes: usize| bytes as f64 / 1024.0;
    for (row, program) in programs.iter().enumerate() {
        let runs = matrix.of(row);
        let sizes = [mean(runs.iter().map(|run| kib(run.peak))), mean(runs.iter().map(|run| kib(run.best_peer)))];
        let sizes = sizes.map(|size| format!("{:.1}", size.unwrap_or(0.0)));
        let cells = (0..contestants.len()).map(|contestant| ratio(over_seeds(matrix, row, contestant)));
        table.row(program.name, sizes.into_iter().chain(cells));
    }
    table.into_text()
}

/// Returns a table with a summary of each contestant.
pub(crate) fn summary(summaries: &[Summary], runs: usize) -> String {
    let titles = [
        "geometric mean",
        "maximum",
        "of the trace",
        "maximum of one seed",
        "adversarial",
        "mean over live bytes",
        "succeeded",
    ];
    let mut table = Table::new("over the best peer of each trace", &titles);
    for summary in summaries {
        let (worst, trace) = summary.worst;
        let (worst_seed, of) = summary.worst_seed;
        let mut seed = ratio(Some(worst_seed));
        if of != trace {
            let _ = write!(seed, " ({of})");
        }
        let cells = [
            format!("{:.3}", summary.mean),
            ratio(Some(worst)),
            trace.to_owned(),
            seed,
            ratio(summary.adversarial.map(|(worst, _)| worst)),
            ratio(Some(summary.over_live)),
            format!("{} of {runs}", summary.succeeded),
        ];
        table.row(&summary.name, cells);
    }
    table.into_text()
}

/// Returns a list of the configurations that were best, with the number of runs for each.
pub(crate) fn configurations(matrix: &Matrix, programs: &[Program], contestants: &[Contestant]) -> String {
    let mut text = String::new();
    for (index, contestant) in contestants.iter().enumerate() {
        let mut counts = std::collections::BTreeMap::new();
        for run in (0..programs.len()).flat_map(|program| matrix.of(program)) {
            if let Some((_, name)) = &run.smallest[index]
                && !name.is_empty()
            {
                *counts.entry(name).or_insert(0) += 1;
            }
        }
        if counts.len() > 1 {
            let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} ({count})")).collect();
            let _ = writeln!(text, "- {}: {}", contestant.name(), counts.join("; "));
        }
    }
    text
}
