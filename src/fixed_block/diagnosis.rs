//! What a pool says of itself.

use core::fmt;

use super::FixedBlock;
use crate::PageSource;

impl<P: PageSource> FixedBlock<P> {
    /// The most blocks that were ever live at once, which is how many were carved: one is carved only when no other is
    /// free. Where pools free each other's blocks, how many this one carved.
    ///
    /// # Time complexity
    ///
    /// Constant, and nothing is counted on the way: it follows from the blocks there are and the fresh part that is left.
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
    /// // SAFETY: the blocks came from this pool and aren't used any more.
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

    /// How many blocks are in the free list. Blocks that were never carved don't count.
    ///
    /// The number of live blocks is [`peak_blocks`](Self::peak_blocks) less this one. No
    /// counter keeps it, because that would take up to three instructions of each `allocate`
    /// and `deallocate`, which have ten and four on `x86_64`.
    ///
    /// # Time complexity
    ///
    /// Linear in the result, with a cache miss for each block: for diagnosis.
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
    /// // SAFETY: the block came from this pool and isn't used any more.
    /// unsafe { pool.deallocate(block) };
    /// assert_eq!(pool.free_blocks(), 1);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn free_blocks(&self) -> usize {
        self.carver.free_blocks(self.block_size)
    }

    /// How many blocks can be allocated before the source is asked for more pages: those that are free, and those of the
    /// newest run that were never carved. Over a slice or in a static, that is all there are.
    ///
    /// # Time complexity
    ///
    /// Linear in the number of free blocks, with a cache miss for each: a pool counts nothing when it allocates.
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
