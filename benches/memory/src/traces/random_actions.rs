//! The random actions with which talc is measured.

use fastrand::Rng;

use crate::TraceBuilder;
use crate::random::{below, between, take_any};

/// Returns a random size. Small sizes are more frequent than large ones.
pub(crate) fn size(random: &mut Rng, most: usize) -> usize {
    let limit = between(random, 1..=most);
    between(random, 1..=limit)
}

/// Returns a random alignment: 8 bytes in three of four cases. Each doubling is a quarter
/// as frequent.
pub(crate) fn align(random: &mut Rng) -> usize {
    8 << (random.u16(1..).trailing_zeros() / 2).min(4)
}

/// Of seven actions, three allocate, three free if there are enough blocks, and one
/// reallocates to up to three times the largest allocated size.
pub(super) fn actions(random: &mut Rng, trace: &mut TraceBuilder) {
    const MOST: usize = 1000;
    let mut blocks = Vec::new();
    for _ in 0..30_000 {
        match below(random, 7) {
            6 if !blocks.is_empty() => {
                let block = &blocks[below(random, blocks.len())];
                trace.reallocate(block, between(random, 1..=3 * MOST));
            }
            action if blocks.len() < 60 && (action < 3 || blocks.len() < 50) => {
                blocks.push(trace.allocate(size(random, MOST), align(random)));
            }
            _ => take_any(random, &mut blocks).into_iter().for_each(|block| trace.free(block)),
        }
    }
}
