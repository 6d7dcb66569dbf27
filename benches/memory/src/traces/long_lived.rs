//! A few objects that stay and many that don't.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use fastrand::Rng;

use crate::TraceBuilder;
use crate::random::{below, one_in, spread};

/// Thirty long-lived objects, which are made along the way and seldom replaced, and many short-lived ones.
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

/// Objects of up to 4 KiB.
pub(super) fn in_64_kib(random: &mut Rng, trace: &mut TraceBuilder) {
    objects(random, trace, 128..=4096, 16..=1024);
}

/// Objects of up to 400 bytes.
pub(super) fn in_8_kib(random: &mut Rng, trace: &mut TraceBuilder) {
    objects(random, trace, 32..=400, 8..=200);
}
