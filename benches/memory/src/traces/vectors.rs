//! Vectors that grow.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::random::{below, between, one_in, spread};
use crate::{Block, TraceBuilder};

/// Vectors that double until they have their final size, `at_once` of them at the same
/// time, among small objects.
fn vectors(random: &mut Rng, trace: &mut TraceBuilder, at_once: usize) {
    let mut growing: Vec<(Block, usize)> = Vec::new();
    let mut done = VecDeque::new();
    let mut small = Vec::new();
    for _ in 0..10_000 {
        while growing.len() < at_once {
            let first = 16 << below(random, 3);
            let limit = spread(random, 256..=24 << 10);
            growing.push((trace.allocate(first, 8), limit));
        }
        if one_in(random, 4) {
            let index = below(random, growing.len());
            let (block, limit) = &growing[index];
            let size = trace.size(block);
            if size < *limit {
                trace.reallocate(block, 2 * size);
            } else {
                let (block, _) = growing.swap_remove(index);
                if random.bool() {
                    trace.reallocate(&block, size / 2 + below(random, size / 2) + 1);
                }
                done.push_back(block);
            }
        }
        if done.len() > 1 {
            done.pop_front().into_iter().for_each(|block| trace.free(block));
        }
        small.push(trace.allocate(between(random, 8..=96), 8));
        if small.len() > 60 {
            trace.free(small.swap_remove(below(random, 61)));
        }
    }
}

/// One vector at a time.
pub(super) fn one(random: &mut Rng, trace: &mut TraceBuilder) {
    vectors(random, trace, 1);
}

/// Two vectors that grow alternately.
pub(super) fn two(random: &mut Rng, trace: &mut TraceBuilder) {
    vectors(random, trace, 2);
}
