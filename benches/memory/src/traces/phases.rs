//! Sizes that shift.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::TraceBuilder;
use crate::random::{between, one_in, spread, take_any};

/// The most live bytes.
const LIVE: usize = 32 << 10;

/// Phases, each with sizes of its own. At its end a share of the blocks survives for three phases more: one in so many,
/// or none.
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

/// Nothing is left of a phase.
pub(super) fn without_survivors(random: &mut Rng, trace: &mut TraceBuilder) {
    phases(random, trace, None);
}

/// One block in ten outlives its phase.
pub(super) fn with_survivors(random: &mut Rng, trace: &mut TraceBuilder) {
    phases(random, trace, Some(10));
}
