//! The statistics of a pool.

use core::fmt;

use super::FixedBlock;
use crate::PageSource;

impl<P: PageSource> FixedBlock<P> {
    /// Returns the high-water mark: the largest number of blocks that have been live at
    /// the same time.
    ///
    /// It is the number of blocks that were carved, because a block is carved only if no
    /// other is free. If pools free each other's blocks, it is only the number of blocks
    /// that this pool carved.
    ///
    /// # Time complexity
    ///
    /// Constant. No operation maintains a counter: it is the number of blocks in all
    /// runs, minus the fresh ones.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 64)?;
    /// let (a, b) = (pool.allocate().unwrap(), pool.allocate().unwrap());
    /// // SAFETY: the blocks came from this pool and are no longer used.
    /// unsafe {
    ///     pool.deallocate(a);
    ///     pool.deallocate(b);
    /// }
    /// pool.allocate().unwrap();
    /// assert_eq!(pool.peak_blocks(), 2);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn peak_blocks(&self) -> usize {
        self.carver.carved(self.block_size)
    }

    /// Returns the number of blocks in the free list. Blocks that were never carved are
    /// not in it.
    ///
    /// The number of live blocks is [`peak_blocks`](Self::peak_blocks) minus this number.
    /// A pool has no counter for it, because a counter would add up to three instructions
    /// to each `allocate` and `deallocate`, which have six and four on `x86_64`.
    ///
    /// # Time complexity
    ///
    /// Linear in the result, with a cache miss for each block. Meant for diagnosis.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 64)?;
    /// let block = pool.allocate().unwrap();
    /// assert_eq!(pool.free_blocks(), 0);
    /// // SAFETY: the block came from this pool and is no longer used.
    /// unsafe { pool.deallocate(block) };
    /// assert_eq!(pool.free_blocks(), 1);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn free_blocks(&self) -> usize {
        self.carver.free_blocks(self.block_size)
    }

    /// Returns the number of blocks that can be allocated before the pool takes more
    /// pages from its source.
    ///
    /// These are the free blocks and the fresh blocks of the newest run. A pool in a
    /// slice or in a static has no others.
    ///
    /// # Time complexity
    ///
    /// Linear in the number of free blocks, with a cache miss for each, because a pool
    /// doesn't count them when it allocates and frees.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 64)?;
    /// assert_eq!(pool.available(), 0);
    /// let block = pool.allocate().unwrap();
    /// assert_eq!(pool.available(), 63);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn available(&self) -> usize {
        self.carver.begin(self.block_size, &self.pages);
        self.carver.free_blocks(self.block_size) + self.carver.fresh_blocks(self.block_size)
    }
}

impl<P: PageSource> fmt::Debug for FixedBlock<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedBlock")
            .field("block_size", &self.block_size())
            .field("peak_blocks", &self.peak_blocks())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<P: PageSource> defmt::Format for FixedBlock<P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "FixedBlock {{ blocks of {=usize} bytes, {=usize} at the peak }}",
            self.block_size(),
            self.peak_blocks()
        );
    }
}
