use static_assertions::const_assert;

use crate::{BlockSizeError, MAX_ARENA_SIZE, PAGE_SIZE};

mod traits;

/// A block size for general use, in bytes: one cache line on most machines.
///
/// ```
/// use hpalloc::{BlockSize, DEFAULT_BLOCK_SIZE};
///
/// assert_eq!(DEFAULT_BLOCK_SIZE, 64);
/// assert_eq!(BlockSize::default().bytes(), DEFAULT_BLOCK_SIZE);
/// ```
pub const DEFAULT_BLOCK_SIZE: usize = 64;

/// The minimum block size in bytes: a free block holds a link.
const MIN: usize = size_of::<*mut u8>();
/// The alignment of a link, of which every block size is a multiple.
const ALIGN: usize = align_of::<*mut u8>();

// `bytes` and `blocks_per_run` of a `BlockSize` are `u32`.
const_assert!(MAX_ARENA_SIZE <= u32::MAX as usize);

/// The size of the guard after each block in bytes: two words in a hardened build.
pub(crate) const GUARD_BYTES: usize = if cfg!(hpalloc_hardened) { 2 * size_of::<usize>() } else { 0 };
/// The size of the record at the end of each run in bytes: four words in a hardened
/// build.
pub(crate) const RECORD_BYTES: usize = if cfg!(hpalloc_hardened) { 4 * size_of::<usize>() } else { 0 };

/// A checked block size, with the arithmetic that a pool needs.
///
/// A value proves that the size is at least that of a pointer (4 or 8 bytes), a multiple
/// of a pointer's alignment, and at most [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
///
/// Blocks are cut from *runs* of pages. A run is one page if a block fits in a page,
/// otherwise the number of pages that one block needs. All divisions are done when the
/// value is created, which can be at compile time.
///
/// ```
/// # #[cfg(not(hpalloc_hardened))] {
/// use hpalloc::BlockSize;
///
/// const SIZE: BlockSize = BlockSize::of::<[u64; 3]>();
/// assert_eq!(SIZE.bytes(), 24);
/// assert_eq!(SIZE.align(), 8);
/// assert_eq!(SIZE.blocks_per_page(), 170);
/// # }
/// ```
///
/// Block sizes are ordered by their number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize {
    /// Within the bounds of the type, and so positive. It comes first because it
    /// determines the order. The other fields follow from it.
    bytes: u32,
    /// Positive. `stride * blocks_per_run` bytes fit in the pages of a run.
    blocks_per_run: u32,
    /// A power of two that divides the size, from the alignment of a pointer to
    /// [`PAGE_SIZE`]. A build without hardening always uses the largest one, so it need
    /// not be stored.
    #[cfg(hpalloc_hardened)]
    align: u32,
}

#[cfg(not(hpalloc_hardened))]
const_assert!(size_of::<BlockSize>() == 8);

impl BlockSize {
    /// Creates the block size of exactly `bytes` bytes.
    ///
    /// Constant time, with one division. Never panics.
    ///
    /// # Errors
    ///
    /// [`TooSmall`](BlockSizeError::TooSmall), [`Misaligned`](BlockSizeError::Misaligned)
    /// or [`TooLarge`](BlockSizeError::TooLarge), with the bound. The size is never
    /// rounded up; [`of`](Self::of) does that for a type.
    ///
    /// ```
    /// use hpalloc::{BlockSize, BlockSizeError};
    ///
    /// assert_eq!(BlockSize::new(64)?.bytes(), 64);
    /// let error = BlockSize::new(0).unwrap_err();
    /// assert!(matches!(error, BlockSizeError::TooSmall { bytes: 0, .. }));
    /// # Ok::<(), BlockSizeError>(())
    /// ```
    pub const fn new(bytes: usize) -> Result<Self, BlockSizeError> {
        if bytes < MIN {
            return Err(BlockSizeError::TooSmall { bytes, min: MIN });
        }
        if bytes > MAX_ARENA_SIZE {
            return Err(BlockSizeError::TooLarge { bytes, max: MAX_ARENA_SIZE });
        }
        if bytes % ALIGN != 0 {
            return Err(BlockSizeError::Misaligned { bytes, align: ALIGN });
        }
        Ok(Self::aligned(bytes, align(bytes)))
    }

    /// Creates the block size of `bytes` bytes for blocks that are aligned to `align`.
    /// The caller must have checked both.
    const fn aligned(bytes: usize, align: usize) -> Self {
        let rest = PAGE_SIZE.saturating_sub(taken_by_one(bytes));
        let blocks_per_run = rest / stride(bytes, align) + 1;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "MAX_ARENA_SIZE fits, and a page has fewer blocks than bytes"
        )]
        Self {
            bytes: bytes as u32,
            blocks_per_run: blocks_per_run as u32,
            #[cfg(hpalloc_hardened)]
            align: align as u32,
        }
    }

    /// Creates the block size that [`of`](Self::of) creates, except that the blocks are
    /// as close together as the alignment of a `T` and a pointer allows, as in a static.
    /// It differs from `of` only in a hardened build, where each block has a guard after
    /// it.
    pub(crate) const fn packed<T>() -> Self {
        let align = if align_of::<T>() > ALIGN { align_of::<T>() } else { ALIGN };
        Self::aligned(Self::of::<T>().bytes(), align)
    }

    /// Returns the smallest block size that holds a `T`, aligned.
    ///
    /// The call does not compile if no block can hold a `T`: if `T` is larger than
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), or has an alignment above
    /// [`PAGE_SIZE`](crate::PAGE_SIZE).
    ///
    /// Constant time. In a constant, it is computed at compile time. Never panics.
    ///
    /// ```
    /// use hpalloc::BlockSize;
    ///
    /// assert_eq!(BlockSize::of::<[u64; 5]>().bytes(), 40);
    /// assert_eq!(BlockSize::of::<u8>().bytes(), size_of::<usize>());
    /// ```
    ///
    /// ```compile_fail,E0080
    /// #[repr(align(8192))]
    /// struct OverAligned(u8);
    ///
    /// hpalloc::BlockSize::of::<OverAligned>();
    /// ```
    #[must_use]
    pub const fn of<T>() -> Self {
        const {
            assert!(
                align_of::<T>() <= PAGE_SIZE,
                "the alignment of T is above PAGE_SIZE, the maximum alignment of a block"
            );
            assert!(size_of::<T>() <= MAX_ARENA_SIZE, "T is larger than MAX_ARENA_SIZE, the maximum size of a block");
            let bytes = if size_of::<T>() > MIN { size_of::<T>() } else { MIN };
            let align = if align_of::<T>() > ALIGN { align_of::<T>() } else { ALIGN };
            match Self::new(bytes.next_multiple_of(align)) {
                Ok(size) => size,
                Err(_) => panic!("unreachable: the size is aligned and within the bounds"),
            }
        }
    }

    /// Returns the size in bytes.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// assert_eq!(hpalloc::BlockSize::new(96)?.bytes(), 96);
    /// # Ok::<(), hpalloc::BlockSizeError>(())
    /// ```
    #[must_use]
    #[inline]
    pub const fn bytes(self) -> usize {
        self.bytes as usize
    }

    /// Returns the alignment of every block in bytes: the largest power of two that
    /// divides the size, but at most [`PAGE_SIZE`](crate::PAGE_SIZE).
    ///
    /// The blocks of a [`StaticPool`](crate::StaticPool) can have a smaller alignment:
    /// see [`FixedBlock::block_align`](crate::FixedBlock::block_align).
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::BlockSize;
    ///
    /// assert_eq!(BlockSize::new(96)?.align(), 32);
    /// assert_eq!(BlockSize::new(3 * 8192)?.align(), 4096);
    /// # Ok::<(), hpalloc::BlockSizeError>(())
    /// ```
    #[must_use]
    pub const fn align(self) -> usize {
        #[cfg(hpalloc_hardened)]
        return self.align as usize;
        #[cfg(not(hpalloc_hardened))]
        align(self.bytes())
    }

    /// Returns the number of blocks in a page, or 0 if a block is larger than a page.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::BlockSize;
    ///
    /// assert_eq!(BlockSize::new(96)?.blocks_per_page(), 42);
    /// assert_eq!(BlockSize::new(8192)?.blocks_per_page(), 0);
    /// # }
    /// # Ok::<(), hpalloc::BlockSizeError>(())
    /// ```
    #[must_use]
    pub const fn blocks_per_page(self) -> usize {
        if self.pages_per_run() > 1 { 0 } else { self.blocks_per_run() }
    }

    /// Returns the number of bytes that `blocks` blocks need, without rounding up to
    /// pages, or `None` if it exceeds `usize::MAX`.
    ///
    /// [`FixedBlock::from_uninit`](crate::FixedBlock::from_uninit) has room for these
    /// blocks in that many bytes, if they start at a multiple of [`align`](Self::align).
    /// If they start elsewhere, it needs up to `align() - 1` bytes more.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::BlockSize;
    ///
    /// const BYTES: usize = BlockSize::of::<[u64; 3]>().bytes_for(42).unwrap();
    /// assert_eq!(BYTES, 1008);
    /// assert_eq!(BlockSize::of::<u64>().bytes_for(usize::MAX), None);
    /// # }
    /// ```
    #[must_use]
    pub const fn bytes_for(self, blocks: usize) -> Option<usize> {
        self.stride().checked_mul(blocks)
    }

    /// Returns the distance from the start of a block to the start of the next.
    pub(crate) const fn stride(self) -> usize {
        stride(self.bytes(), self.align())
    }

    /// Returns the number of blocks in a run. At least one.
    pub(crate) const fn blocks_per_run(self) -> usize {
        self.blocks_per_run as usize
    }

    /// Returns the number of pages in a run. At least one.
    #[allow(clippy::manual_div_ceil, reason = "block sizes are too small for the overflow that `div_ceil` handles")]
    pub(crate) const fn pages_per_run(self) -> usize {
        (taken_by_one(self.bytes()) + PAGE_SIZE - 1) / PAGE_SIZE
    }

    /// Returns the number of bytes in a run that are cut into blocks, which fit in its
    /// pages.
    pub(crate) const fn bytes_per_run(self) -> usize {
        self.stride() * self.blocks_per_run()
    }

    /// Returns `true` if `bytes` is a multiple of the stride.
    pub(crate) const fn divides(self, bytes: usize) -> bool {
        // For other numbers `blocks_in` is not exact, so the product differs. It can't
        // overflow, because both factors have at most 32 bits.
        self.blocks_in(bytes) as u64 * self.stride() as u64 == bytes as u64
    }

    /// Returns the number of blocks in `bytes`, which must be a multiple of the stride.
    ///
    /// It uses no division, because a Cortex-M0 has no instruction for one. A division
    /// without a remainder is a shift by the divisor's power of two, and a multiplication
    /// by the inverse of the odd rest modulo 2^32 (Warren, *Hacker's Delight*, 2nd
    /// edition, section 10-16). Newton's method computes the inverse: an odd number is
    /// its own inverse in the lowest three bits, and each step doubles the number of
    /// correct bits.
    pub(crate) const fn blocks_in(self, bytes: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "MAX_ARENA_SIZE and a page fit")]
        let stride = self.stride() as u32;
        let shift = stride.trailing_zeros();
        let odd = stride >> shift;
        let mut inverse = odd;
        let mut right_bits = 3;
        while right_bits < u32::BITS {
            inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
            right_bits *= 2;
        }
        #[allow(clippy::cast_possible_truncation, reason = "no run is larger than MAX_ARENA_SIZE, which fits")]
        let bytes = bytes as u32;
        (bytes >> shift).wrapping_mul(inverse) as usize
    }
}

/// Returns the largest power of two that divides the size, but at most [`PAGE_SIZE`].
const fn align(bytes: usize) -> usize {
    // The lowest bit that is set in the size or in `PAGE_SIZE`.
    let bits = bytes | PAGE_SIZE;
    bits & bits.wrapping_neg()
}

/// Returns the number of bytes that a run of one block needs.
#[inline]
const fn taken_by_one(bytes: usize) -> usize {
    bytes + GUARD_BYTES + RECORD_BYTES
}

/// Returns the size of a block and its guard, rounded up so that the next block is
/// aligned.
#[inline]
const fn stride(bytes: usize, align: usize) -> usize {
    if GUARD_BYTES == 0 {
        return bytes;
    }
    (bytes + GUARD_BYTES + align - 1) & !(align - 1)
}

impl Default for BlockSize {
    /// Returns the block size of [`DEFAULT_BLOCK_SIZE`] bytes.
    fn default() -> Self {
        Self::of::<[u64; DEFAULT_BLOCK_SIZE / 8]>()
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockSize, PAGE_SIZE};

    /// The number of blocks in a run is its size divided by the stride, for every block
    /// size up to two pages and some larger ones.
    #[test]
    fn exact_division_agrees_with_division() {
        let sizes = (MIN_STEP..=2 * PAGE_SIZE).step_by(MIN_STEP).chain([3 * PAGE_SIZE + 8, crate::MAX_ARENA_SIZE]);
        for bytes in sizes {
            let size = BlockSize::new(bytes).unwrap();
            for blocks in 0..=size.blocks_per_run() {
                assert_eq!(size.blocks_in(blocks * size.stride()), blocks, "{size:?}");
            }
        }
    }

    /// The blocks of a run fit in it. A run of one page has no room for another block,
    /// and a run of several pages would be too small with one page less.
    #[test]
    fn runs_are_filled() {
        for bytes in (MIN_STEP..=3 * PAGE_SIZE).step_by(MIN_STEP) {
            let size = BlockSize::new(bytes).unwrap();
            let run = size.pages_per_run() * PAGE_SIZE;
            assert!(size.bytes_per_run() <= run, "{size:?}");
            let taken = size.bytes_per_run() - size.stride() + super::taken_by_one(bytes);
            assert!(taken <= run && taken > run - PAGE_SIZE, "{size:?}");
            assert!(size.pages_per_run() > 1 || taken + size.stride() > run, "{size:?}");
        }
    }

    const MIN_STEP: usize = super::MIN;
}
