/// The unit of memory, in bytes: the address and the size of every block are multiples of
/// it.
pub(super) const GRANULE: usize = 8;

/// The number of granules in a region, which is the number of bits in a map.
pub(super) const REGION: usize = u32::BITS as usize;

/// Returns the number of granules that a block of this size needs. For zero bytes, the
/// result is larger than any memory.
#[inline]
pub(super) const fn granules(bytes: usize) -> usize {
    bytes.wrapping_sub(1) / GRANULE + 1
}

/// Returns the binary logarithm of a nonzero number, rounded down. `ilog2` isn't used,
/// because it links a panic.
#[inline]
pub(super) const fn log2(number: usize) -> u32 {
    usize::BITS - 1 - number.leading_zeros()
}
