use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::{BlockSize, BlockSizeError, FixedBlock, MAX_ARENA_SIZE, Page, PageSource};

/// The page source of a pool or a heap whose memory is a slice: it has no pages. See
/// [`FixedBlock::from_uninit`](crate::FixedBlock::from_uninit).
///
/// ```
/// use hpalloc::{NoPages, Pool};
///
/// // A type that must name the page source of its pool.
/// struct Events<'memory> {
///     pool: Pool<u32, NoPages<'memory>>,
/// }
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NoPages<'r> {
    /// The borrow of the memory, which lasts as long as the pool.
    memory: PhantomData<&'r mut [MaybeUninit<u8>]>,
}

impl NoPages<'_> {
    pub(crate) const fn new() -> Self {
        Self { memory: PhantomData }
    }
}

// SAFETY: no pages are returned.
unsafe impl PageSource for NoPages<'_> {
    #[inline]
    fn take_pages(&self, _: usize) -> Option<NonNull<Page>> {
        None
    }
}

impl<'r> FixedBlock<NoPages<'r>> {
    /// Creates a pool in a slice of memory of any size, for chips whose memory is counted
    /// in bytes rather than pages.
    ///
    /// The first block starts at the first address that is aligned for one (see
    /// [`BlockSize::align`]), and the pool has all blocks that fit from there. For `n`
    /// blocks, pass an aligned slice of [`BlockSize::bytes_for`]`(n)` bytes.
    ///
    /// Constant time, with one division. Never panics.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), [`NoRoom`](BlockSizeError::NoRoom) if the slice has
    /// no room for a block, and [`MemoryTooLarge`](BlockSizeError::MemoryTooLarge) if it
    /// is larger than [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use core::mem::MaybeUninit;
    /// use hpalloc::{BlockSizeError, FixedBlock};
    ///
    /// #[repr(align(8))]
    /// struct Memory([MaybeUninit<u8>; 1024]);
    ///
    /// let mut memory = Memory([MaybeUninit::uninit(); 1024]);
    /// let pool = FixedBlock::from_uninit(&mut memory.0, 24)?;
    /// assert_eq!(core::iter::from_fn(|| pool.allocate()).count(), 42);
    /// # }
    /// # Ok::<(), hpalloc::BlockSizeError>(())
    /// ```
    pub fn from_uninit(memory: &'r mut [MaybeUninit<u8>], block_size: usize) -> Result<Self, BlockSizeError> {
        Self::in_memory(memory, BlockSize::new(block_size)?)
    }

    /// Creates a pool as [`from_uninit`](Self::from_uninit) does, with a block size that
    /// has been checked.
    pub(crate) fn in_memory(memory: &'r mut [MaybeUninit<u8>], block_size: BlockSize) -> Result<Self, BlockSizeError> {
        let (bytes, address, len) = (block_size.stride(), memory.as_ptr().addr(), memory.len());
        if len > MAX_ARENA_SIZE {
            return Err(BlockSizeError::MemoryTooLarge { len, max: MAX_ARENA_SIZE });
        }
        // The distance to the next multiple of the alignment, which is a power of two.
        let before = address.wrapping_neg() & (block_size.align() - 1);
        // The block size is never zero, but the compiler may not know that.
        let blocks = len.saturating_sub(before).checked_div(bytes).unwrap_or(0);
        match memory.get_mut(before..before + blocks * bytes) {
            Some(whole) if blocks > 0 => {
                let whole = whole.as_mut_ptr_range();
                let pool = Self::with_block_size(NoPages::new(), block_size);
                // SAFETY: the memory stays borrowed for as long as the pool and its
                // blocks exist, and starts at an address that is aligned for blocks.
                unsafe { pool.carver.begin_with(whole.start.cast(), whole.end.cast(), blocks) };
                Ok(pool)
            }
            _ => Err(BlockSizeError::NoRoom { bytes, address, len }),
        }
    }
}
