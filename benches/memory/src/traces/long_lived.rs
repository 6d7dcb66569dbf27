//! A few long-lived objects among many short-lived ones.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use fastrand::Rng;

use crate::TraceBuilder;
use crate::random::{below, one_in, spread};

/// Up to 30 long-lived objects, which are allocated during the run and rarely replaced,
/// and up to 24 short-lived objects.
fn objects(random: &mut Rng, trace: &mut TraceBuilder, long: RangeInclusive<usize>, short: RangeInclusive<usize>) {
    let (mut long_lived, mut short_lived) = (Vec::new(), VecDeque::new());
    for _ in 0..60_000 {
        if one_in(random, 60) {
            if long_lived.len() == 30 {
                trace.free(long_lived.swap_remove(below(random, 30)));
            }
            long_lived.push(trace.allocate(spread(random, long.clone()), 8));
        }
        if short_lived.len() < 24 && random.bool() {
            short_lived.push_back(trace.allocate(spread(random, short.clone()), 8));
        } else if let Some(block) = if random.bool() { short_lived.pop_back() } else { short_lived.pop_front() } {
            trace.free(block);
        }
    }
}

/// Long-lived objects of up to 4 KiB, and short-lived ones of up to 1 KiB.
pub(super) fn in_64_kib(random: &mut Rng, trace: &mut TraceBuilder) {
    objects(random, trace, 128..=4096, 16..=1024);
}

/// Long-lived objects of up to 400 bytes, and short-lived ones of up to 200 bytes.
pub(super) fn in_8_kib(random: &mut Rng, trace: &mut TraceBuilder) {
    objects(random, trace, 32..=400, 8..=200);
}
