use static_assertions::const_assert;

use crate::{BlockSizeError, MAX_ARENA_SIZE, PAGE_SIZE};

mod traits;

/// A block size for general use, in bytes: one cache line of most machines.
///
/// ```
/// use hpalloc::{BlockSize, DEFAULT_BLOCK_SIZE};
///
/// assert_eq!(DEFAULT_BLOCK_SIZE, 64);
/// assert_eq!(BlockSize::default().bytes(), DEFAULT_BLOCK_SIZE);
/// ```
pub const DEFAULT_BLOCK_SIZE: usize = 64;

/// The smallest block: a free one holds a link.
const MIN: usize = size_of::<*mut u8>();
/// What every block size is a multiple of, for the same reason.
const ALIGN: usize = align_of::<*mut u8>();

// `bytes` and `blocks_per_run` of a `BlockSize` are `u32`.
const_assert!(MAX_ARENA_SIZE <= u32::MAX as usize);

/// The bytes of the guard after each block in a program built with `--cfg hpalloc_hardened`: two words.
pub(crate) const GUARD_BYTES: usize = if cfg!(hpalloc_hardened) { 2 * size_of::<usize>() } else { 0 };
/// The bytes of the record at the end of each run in such a program: four words.
pub(crate) const RECORD_BYTES: usize = if cfg!(hpalloc_hardened) { 4 * size_of::<usize>() } else { 0 };

/// The size of a pool's blocks, checked, with the arithmetic that a pool needs.
///
/// Holding one proves that the size is at least that of a pointer (4 or 8 bytes), a multiple of a pointer's alignment
/// and at most [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
///
/// Blocks are cut from *runs* of pages: one page where at least one block fits it, otherwise as many pages as one block
/// needs. Everything that takes a division is computed when the value is made, which can be at compile time.
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
/// Sizes are ordered by their bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize {
    /// Positive, as the type promises. First, because it decides the order; the rest follows
    /// from it.
    bytes: u32,
    /// Positive. `stride * blocks_per_run` fits the run's pages.
    blocks_per_run: u32,
    /// A power of two that divides the size, from that of a pointer to [`PAGE_SIZE`]. In other programs it is the largest
    /// one, and nothing depends on another.
    #[cfg(hpalloc_hardened)]
    align: u32,
}

#[cfg(not(hpalloc_hardened))]
const_assert!(size_of::<BlockSize>() == 8);

impl BlockSize {
    /// The block size of exactly `bytes` bytes.
    ///
    /// Constant time, with one division. Never panics.
    ///
    /// # Errors
    ///
    /// [`TooSmall`](BlockSizeError::TooSmall), [`Misaligned`](BlockSizeError::Misaligned) or
    /// [`TooLarge`](BlockSizeError::TooLarge), with the bound. A size is never rounded; [`of`](Self::of) does that for
    /// a type.
    ///
    /// ```
    /// use hpalloc::{BlockSize, BlockSizeError};
    ///
    /// assert_eq!(BlockSize::new(64)?.bytes(), 64);
    /// assert!(matches!(BlockSize::new(0), Err(BlockSizeError::TooSmall { bytes: 0, .. })));
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

    /// The block size of so many bytes, for blocks that are aligned to `align`. Both are as the type says.
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

    /// As [`of`](Self::of), for blocks that lie as close together as the alignment of a `T` and a pointer allows, as in a
    /// static. Only what guards a block in a hardened program makes a difference.
    pub(crate) const fn packed<T>() -> Self {
        let align = if align_of::<T>() > ALIGN { align_of::<T>() } else { ALIGN };
        Self::aligned(Self::of::<T>().bytes(), align)
    }

    /// The smallest block size that holds a `T`, aligned.
    ///
    /// A `T` that no block can hold does not compile: one larger than [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), or
    /// with an alignment above [`PAGE_SIZE`](crate::PAGE_SIZE).
    ///
    /// Constant time, or none at all in a constant. Never panics.
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
                "T's alignment is above PAGE_SIZE, the largest that a block can have"
            );
            assert!(
                size_of::<T>() <= MAX_ARENA_SIZE,
                "T is larger than MAX_ARENA_SIZE, the largest that a block can be"
            );
            let bytes = if size_of::<T>() > MIN { size_of::<T>() } else { MIN };
            let align = if align_of::<T>() > ALIGN { align_of::<T>() } else { ALIGN };
            match Self::new(bytes.next_multiple_of(align)) {
                Ok(size) => size,
                Err(_) => panic!("a block size that is aligned and within the bounds"),
            }
        }
    }

    /// The size in bytes.
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

    /// What every block's address is a multiple of, in bytes: the largest power of two that divides the size, but at
    /// most [`PAGE_SIZE`](crate::PAGE_SIZE). (Not in a [`StaticPool`](crate::StaticPool): see
    /// [`FixedBlock::block_align`](crate::FixedBlock::block_align).)
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

    /// How many blocks a page holds; 0 where a block is larger than a page.
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

    /// How many bytes `blocks` blocks take, without rounding to pages: what
    /// [`FixedBlock::from_uninit`](crate::FixedBlock::from_uninit) needs for so many, at an address that is a multiple of
    /// [`align`](Self::align). Elsewhere up to `align() - 1` bytes more. `None` where no memory has so many.
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

    /// How far apart blocks are.
    pub(crate) const fn stride(self) -> usize {
        stride(self.bytes(), self.align())
    }

    /// How many blocks are cut from a run of pages. At least one.
    pub(crate) const fn blocks_per_run(self) -> usize {
        self.blocks_per_run as usize
    }

    /// How many pages a run has. At least one.
    #[allow(
        clippy::manual_div_ceil,
        reason = "`div_ceil` provides for an overflow, which a block size is too small for"
    )]
    pub(crate) const fn pages_per_run(self) -> usize {
        (taken_by_one(self.bytes()) + PAGE_SIZE - 1) / PAGE_SIZE
    }

    /// How many bytes of a run are cut into blocks. No more than its pages have.
    pub(crate) const fn bytes_per_run(self) -> usize {
        self.stride() * self.blocks_per_run()
    }

    /// Whether so many bytes are a number of blocks.
    pub(crate) const fn divides(self, bytes: usize) -> bool {
        // Where they aren't, the other is a number that is far too large.
        self.blocks_in(bytes) as u64 * self.stride() as u64 == bytes as u64
    }

    /// How many blocks are in `bytes`, which must be a multiple of what a block takes.
    ///
    /// Without a division, which a Cortex-M0 doesn't have: where a division leaves no remainder, it is a shift for the
    /// divisor's power of two and a multiplication by the inverse, modulo 2^32, of the odd rest (Warren, *Hacker's
    /// Delight*, 2nd edition, section 10-16). The inverse is found by Newton's method: an odd number is its own inverse
    /// in the lowest three bits, and each step doubles the bits that are right.
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

/// The largest power of two that divides the size, but at most a page.
const fn align(bytes: usize) -> usize {
    // The lowest bit that is set in either.
    let bits = bytes | PAGE_SIZE;
    bits & bits.wrapping_neg()
}

/// How many bytes a run of one block takes.
#[inline]
const fn taken_by_one(bytes: usize) -> usize {
    bytes + GUARD_BYTES + RECORD_BYTES
}

/// What a block takes: with what guards its end, and so that the next is aligned.
#[inline]
const fn stride(bytes: usize, align: usize) -> usize {
    if GUARD_BYTES == 0 {
        return bytes;
    }
    (bytes + GUARD_BYTES + align - 1) & !(align - 1)
}

impl Default for BlockSize {
    /// [`DEFAULT_BLOCK_SIZE`].
    fn default() -> Self {
        Self::of::<[u64; DEFAULT_BLOCK_SIZE / 8]>()
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockSize, PAGE_SIZE};

    /// The blocks of a run are its bytes over the block size, for every size up to two pages and some beyond.
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

    /// A run's blocks fit it. Of a page, one more wouldn't; of several, one page less wouldn't do.
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
