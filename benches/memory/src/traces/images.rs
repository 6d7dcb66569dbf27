//! Large blocks among small ones.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::TraceBuilder;
use crate::random::{between, one_in, take_any};

/// Up to four images of 8 to 32 KiB at a time, and about 300 objects of a graphical
/// interface.
pub(super) fn frames(random: &mut Rng, trace: &mut TraceBuilder) {
    let (mut images, mut objects) = (VecDeque::new(), Vec::new());
    for _ in 0..20_000 {
        if one_in(random, 20) {
            if images.len() >= between(random, 2..=4)
                && let Some(image) = images.pop_front()
            {
                trace.free(image);
            }
            if images.len() < 4 {
                images.push_back(trace.allocate(between(random, 8 << 10..=32 << 10), 4));
            }
        }
        if objects.len() < 300 && !one_in(random, 3) {
            objects.push(trace.allocate(between(random, 16..=128), 8));
        } else if let Some(object) = take_any(random, &mut objects) {
            trace.free(object);
        }
    }
}
