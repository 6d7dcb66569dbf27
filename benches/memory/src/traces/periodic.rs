//! The workload with which TLSF was published: periodic tasks of a real-time system.

use fastrand::Rng;

use crate::random::{below, between, spread};
use crate::{Block, TraceBuilder};

/// A task. Every `period` ticks it allocates `blocks` blocks of about `size` bytes, and
/// it holds each of them for up to `hold` ticks.
struct Task {
    period: usize,
    size: usize,
    blocks: usize,
    hold: usize,
}

/// Twenty tasks.
pub(super) fn tasks(random: &mut Rng, trace: &mut TraceBuilder) {
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let period = spread(random, 4..=200);
            let (size, blocks) = (spread(random, 16..=2048), between(random, 1..=4));
            Task { period, size, blocks, hold: period * between(random, 1..=2) }
        })
        .collect();
    let mut held: Vec<(usize, Block)> = Vec::new();
    for tick in 0..6000 {
        while let Some(index) = held.iter().position(|&(until, _)| until <= tick) {
            trace.free(held.remove(index).1);
        }
        for (number, task) in tasks.iter().enumerate() {
            if (tick + number) % task.period == 0 {
                for _ in 0..task.blocks {
                    let size = task.size / 2 + below(random, task.size);
                    held.push((tick + between(random, 1..=task.hold), trace.allocate(size, 8)));
                }
            }
        }
    }
}
