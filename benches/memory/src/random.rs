//! Random numbers that are the same on 32 and on 64 bits.

use std::ops::RangeInclusive;

use fastrand::Rng;

/// Returns a number in the range.
pub(crate) fn between(random: &mut Rng, range: RangeInclusive<usize>) -> usize {
    let bound = |bound: usize| u32::try_from(bound).expect("bounds are below 2^32");
    random.u32(bound(*range.start())..=bound(*range.end())) as usize
}

/// Returns a number below `end`, which must not be zero.
pub(crate) fn below(random: &mut Rng, end: usize) -> usize {
    between(random, 0..=end - 1)
}

/// Returns a number in the range. Every order of magnitude, in powers of two, is equally
/// likely.
pub(crate) fn spread(random: &mut Rng, range: RangeInclusive<usize>) -> usize {
    let (low, high) = (*range.start(), *range.end());
    let mut limit = low;
    let doublings = (high / low.max(1)).ilog2() as usize;
    limit <<= below(random, doublings + 1);
    between(random, limit..=(2 * limit).min(high))
}

/// Returns `true` with a probability of one in `times`.
pub(crate) fn one_in(random: &mut Rng, times: usize) -> bool {
    below(random, times) == 0
}

/// Removes a random element, or returns `None` if the vector is empty.
pub(crate) fn take_any<T>(random: &mut Rng, of: &mut Vec<T>) -> Option<T> {
    if of.is_empty() {
        return None;
    }
    let index = below(random, of.len());
    Some(of.swap_remove(index))
}
