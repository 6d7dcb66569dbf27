use std::ops::Range;

use rayon::prelude::*;

use crate::progress::bar;
use crate::{Contestant, Kind, Memory, Program, smallest};

/// The smallest memory of each contestant for each trace.
#[derive(Debug)]
pub(crate) struct Matrix {
    /// Indexed by program, then by seed.
    runs: Vec<Vec<Run>>,
}

/// The results of one trace.
#[derive(Debug)]
pub(crate) struct Run {
    /// The maximum number of live bytes.
    pub(crate) peak: usize,
    /// For each contestant, the smallest memory in bytes and the name of the
    /// configuration that needs it.
    pub(crate) smallest: Vec<Option<(usize, String)>>,
    /// The smallest memory of the peers, in bytes.
    pub(crate) best_peer: usize,
}

impl Run {
    /// Returns the memory of a contestant over that of the best peer.
    #[allow(clippy::cast_precision_loss, reason = "a memory has less than 2^52 bytes")]
    pub(crate) fn ratio(&self, contestant: usize) -> Option<f64> {
        let (bytes, _) = self.smallest[contestant].as_ref()?;
        Some(*bytes as f64 / self.best_peer as f64)
    }
}

impl Matrix {
    /// Measures all programs, each with every seed.
    pub(crate) fn measure(programs: &[Program], contestants: &[Contestant], seeds: Range<u64>) -> Self {
        let tasks: Vec<_> =
            programs.iter().flat_map(|program| seeds.clone().map(move |seed| (program, seed))).collect();
        let bar = bar(tasks.len(), "smallest memory");
        let runs: Vec<_> = tasks
            .into_par_iter()
            .map_init(
                || Memory::new(0),
                |memory, (program, seed)| {
                    let run = run(program, seed, contestants, memory);
                    bar.inc(1);
                    run
                },
            )
            .collect();
        bar.finish_and_clear();
        let mut runs = runs.into_iter();
        Self { runs: programs.iter().map(|_| seeds.clone().filter_map(|_| runs.next()).collect()).collect() }
    }

    /// Returns the runs of a program, one for each seed.
    pub(crate) fn of(&self, program: usize) -> &[Run] {
        &self.runs[program]
    }
}

fn run(program: &Program, seed: u64, contestants: &[Contestant], memory: &mut Memory) -> Run {
    let trace = program.trace(seed);
    memory.set_offset(fastrand::Rng::with_seed(seed).u64(..));
    let smallest: Vec<_> = contestants
        .iter()
        .map(|contestant| {
            contestant.with_configurations(&trace, |configurations| {
                let mut best = None;
                for configuration in configurations {
                    let below = best.as_ref().map_or(usize::MAX, |&(bytes, _)| bytes);
                    if let Some(bytes) = smallest(&trace, configuration, below, memory) {
                        best = Some((bytes, configuration.name().to_owned()));
                    }
                }
                best
            })
        })
        .collect();
    let peers = contestants.iter().zip(&smallest).filter(|(contestant, _)| contestant.kind() == Kind::Peer);
    let best_peer = peers.filter_map(|(_, smallest)| smallest.as_ref()).map(|&(bytes, _)| bytes).min();
    Run { peak: trace.peak(), smallest, best_peer: best_peer.unwrap_or(trace.peak()) }
}
