//! The tables of the smallest memory.

use std::fmt::Write as _;

use tables::Table;

use crate::matrix::Matrix;
use crate::{Contestant, Program};

/// What a contestant needs over all traces, over what the best peer of each needs.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) name: String,
    /// Geometric mean over all traces and seeds.
    pub(crate) mean: f64,
    /// The worst of the traces that aren't adversarial, as a mean of its seeds, and its name.
    pub(crate) worst: (f64, &'static str),
    /// The worst with one seed.
    worst_seed: (f64, &'static str),
    /// The worst of the adversarial traces.
    adversarial: Option<(f64, &'static str)>,
    /// Geometric mean over the live bytes instead of the best peer.
    over_live: f64,
    /// With so many traces it had enough memory.
    pub(crate) succeeded: usize,
}

/// The geometric mean.
fn mean(ratios: impl IntoIterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<_> = ratios.into_iter().map(f64::ln).collect();
    #[allow(clippy::cast_precision_loss, reason = "they are few")]
    let count = logarithms.len() as f64;
    (count > 0.0).then(|| (logarithms.iter().sum::<f64>() / count).exp())
}

/// The mean over the seeds of one trace; `None` if it succeeds with none of them, infinite if not with all.
fn over_seeds(matrix: &Matrix, program: usize, contestant: usize) -> Option<f64> {
    mean(matrix.of(program).iter().map(|run| run.ratio(contestant).unwrap_or(f64::INFINITY)))
}

/// What each contestant needs in all.
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
        #[allow(clippy::cast_precision_loss, reason = "a memory is of less than 2^52 bytes")]
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

/// A ratio as it stands in the tables.
fn ratio(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio.is_finite() => format!("{ratio:.2}"),
        _ => "-".to_owned(),
    }
}

/// For each trace and contestant: bytes over those of the best peer of that trace.
pub(crate) fn ratios(matrix: &Matrix, programs: &[Program], contestants: &[Contestant]) -> String {
    let mut titles = vec!["live, KiB", "best peer, KiB"];
    titles.extend(contestants.iter().map(Contestant::name));
    let mut table = Table::new("trace", &titles);
    #[allow(clippy::cast_precision_loss, reason = "a memory is of less than 2^52 bytes")]
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

/// A line for each contestant.
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

/// Which configurations were best, and for how many traces.
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
