/// The unit of memory: every block starts at a multiple of it and takes a multiple of it.
pub(super) const GRANULE: usize = 8;

/// How many granules a region has: as many as a map has bits.
pub(super) const REGION: usize = u32::BITS as usize;

/// How many granules a block of so many bytes takes. More than any memory has if it has no bytes.
#[inline]
pub(super) const fn granules(bytes: usize) -> usize {
    bytes.wrapping_sub(1) / GRANULE + 1
}

/// The logarithm of a number that isn't zero, rounded down; `ilog2` links a panic.
#[inline]
pub(super) const fn log2(number: usize) -> u32 {
    usize::BITS - 1 - number.leading_zeros()
}
