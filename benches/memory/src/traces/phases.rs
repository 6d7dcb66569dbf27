//! Sizes that change from phase to phase.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::TraceBuilder;
use crate::random::{between, one_in, spread, take_any};

/// The maximum number of live bytes.
const LIVE: usize = 32 << 10;

/// Phases, each with its own range of sizes. At the end of a phase, one block in
/// `survivors` is kept for three more phases, or none.
fn phases(random: &mut Rng, trace: &mut TraceBuilder, survivors: Option<usize>) {
    let mut survived = VecDeque::new();
    for _ in 0..24 {
        let base = spread(random, 8..=1200);
        let mut live = Vec::new();
        for _ in 0..1500 {
            let size = between(random, base..=2 * base);
            while trace.live() + size > LIVE || one_in(random, 4) {
                let Some(block) = take_any(random, &mut live) else { break };
                trace.free(block);
            }
            if trace.live() + size <= LIVE {
                live.push(trace.allocate(size, 8));
            }
        }
        let mut surviving = Vec::new();
        while let Some(block) = take_any(random, &mut live) {
            if survivors.is_some_and(|times| one_in(random, times)) {
                surviving.push(block);
            } else {
                trace.free(block);
            }
        }
        survived.push_back(surviving);
        if survived.len() > 3 {
            survived.pop_front().into_iter().flatten().for_each(|block| trace.free(block));
        }
    }
}

/// All blocks are freed at the end of their phase.
pub(super) fn without_survivors(random: &mut Rng, trace: &mut TraceBuilder) {
    phases(random, trace, None);
}

/// One block in ten outlives its phase.
pub(super) fn with_survivors(random: &mut Rng, trace: &mut TraceBuilder) {
    phases(random, trace, Some(10));
}
