//! Robson's pattern: every other block is freed, and the next blocks don't fit the holes.

use fastrand::Rng;

use crate::TraceBuilder;
use crate::random::between;

/// The maximum number of live bytes.
const LIVE: usize = 32 << 10;

/// Fills the heap with blocks of one size, frees every other block, and continues with
/// the next size.
fn holes(trace: &mut TraceBuilder, sizes: impl Iterator<Item = usize>) {
    let mut blocks = Vec::new();
    for size in sizes {
        while trace.live() + size <= LIVE {
            blocks.push(trace.allocate(size, 4));
        }
        let mut kept = false;
        for block in std::mem::take(&mut blocks) {
            kept = !kept;
            if kept {
                blocks.push(block);
            } else {
                trace.free(block);
            }
        }
    }
}

/// Each size is about a quarter larger than the size before.
pub(super) fn by_a_quarter(random: &mut Rng, trace: &mut TraceBuilder) {
    let mut size = 16;
    let sizes = std::iter::from_fn(|| {
        size += between(random, size / 5..=size * 3 / 10);
        (size < 2500).then_some(size)
    });
    holes(trace, sizes);
}

/// Each size is twice the size before.
pub(super) fn powers_of_two(random: &mut Rng, trace: &mut TraceBuilder) {
    let first = between(random, 3..=5);
    holes(trace, (first..12).map(|power| 1 << power));
}
