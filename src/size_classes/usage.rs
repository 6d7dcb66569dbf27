//! A snapshot of a heap's counts.

use core::fmt;

use crate::{BlockSize, DEFAULT_CLASSES, PAGE_SIZE};

/// The number of live, peak and free blocks of a heap at one time, returned by
/// [`SizeClasses::usage`](crate::SizeClasses::usage).
///
/// If heaps free each other's blocks, a block counts as free in the heap that it was
/// freed to. Each heap may then report too many or too few live blocks.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SizeClassesUsage<const N: usize = DEFAULT_CLASSES> {
    /// The block sizes in ascending order.
    pub block_sizes: &'static [BlockSize; N],
    /// The most blocks of each size that were ever live at the same time; see
    /// [`SizeClasses::peak_blocks`](crate::SizeClasses::peak_blocks).
    pub peak_blocks: [usize; N],
    /// The number of free blocks of each size; see
    /// [`SizeClasses::free_blocks`](crate::SizeClasses::free_blocks).
    pub free_blocks: [usize; N],
    /// The number of pages in runs; see
    /// [`SizeClasses::run_pages`](crate::SizeClasses::run_pages).
    pub run_pages: usize,
    /// The number of pages in free runs; see
    /// [`SizeClasses::free_run_pages`](crate::SizeClasses::free_run_pages).
    pub free_run_pages: usize,
}

impl<const N: usize> SizeClassesUsage<N> {
    /// Returns the number of live blocks of each size. Runs of pages don't count.
    ///
    /// Linear in the number of classes. Never panics.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # use hpalloc::{Arena, Page, SizeClasses};
    /// # let mut memory = [const { Page::new() }; 2];
    /// # let arena = Arena::from_pages(&mut memory)?;
    /// let heap = SizeClasses::with_table(arena, hpalloc::size_table![32, 256]);
    /// heap.allocate(Layout::new::<u64>()).unwrap();
    /// assert_eq!(heap.usage().live_blocks(), [1, 0]);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub fn live_blocks(&self) -> [usize; N] {
        let mut live = self.peak_blocks;
        for (live, free) in live.iter_mut().zip(self.free_blocks) {
            *live = live.saturating_sub(free);
        }
        live
    }

    /// Returns the bytes of live blocks and live runs. Whole blocks count, which are
    /// larger than the requests.
    ///
    /// Linear in the number of classes. Never panics.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # use hpalloc::{Arena, Page, SizeClasses};
    /// # let mut memory = [const { Page::new() }; 8];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// heap.allocate(Layout::new::<[u8; 100]>()).unwrap();
    /// heap.allocate(Layout::new::<[u8; 20_000]>()).unwrap();
    /// assert_eq!(heap.usage().live_bytes(), 112 + 5 * 4096);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.bytes(self.live_blocks(), self.run_pages.saturating_sub(self.free_run_pages))
    }

    /// Returns the bytes of free blocks and free runs. Neither blocks that were never
    /// carved nor the source's remaining pages count.
    ///
    /// Linear in the number of classes. Never panics.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # use hpalloc::{Arena, Page, SizeClasses};
    /// # let mut memory = [const { Page::new() }; 8];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let layout = Layout::new::<[u8; 100]>();
    /// let block = heap.allocate(layout).unwrap();
    /// // SAFETY: the block came from this heap with this layout, and is no longer used.
    /// unsafe { heap.deallocate(block, layout) };
    /// assert_eq!((heap.usage().live_bytes(), heap.usage().free_bytes()), (0, 112));
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.bytes(self.free_blocks, self.free_run_pages)
    }

    fn bytes(&self, blocks: [usize; N], run_pages: usize) -> usize {
        let bytes = self.block_sizes.iter().zip(blocks).map(|(size, blocks)| size.bytes() * blocks);
        bytes.sum::<usize>() + run_pages * PAGE_SIZE
    }

    /// The block size and the live, peak and free blocks of each size that was ever used.
    fn rows(&self) -> impl Iterator<Item = [usize; 4]> {
        let counts = self.live_blocks().into_iter().zip(self.peak_blocks).zip(self.free_blocks);
        let rows = self.block_sizes.iter().zip(counts);
        let rows = rows.map(|(size, ((live, peak), free))| [size.bytes(), live, peak, free]);
        rows.filter(|row| row[2] > 0 || row[3] > 0)
    }
}

/// Writes a table with the live, peak and free blocks of each class, without the classes
/// that were never used, and of the runs of pages.
impl<const N: usize> fmt::Display for SizeClassesUsage<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>10}{:>11}{:>11}{:>11}", "block size", "live", "peak", "free")?;
        for [size, live, peak, free] in self.rows() {
            writeln!(f, "{size:>10}{live:>11}{peak:>11}{free:>11}")?;
        }
        let (pages, free) = (self.run_pages, self.free_run_pages);
        writeln!(f, "{:>10}{:>11}{pages:>11}{free:>11}", "run pages", pages.saturating_sub(free))
    }
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for SizeClassesUsage<N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "SizeClasses {{ ");
        for [size, live, peak, _] in self.rows() {
            defmt::write!(f, "{=usize} bytes: {=usize} live, {=usize} at the peak; ", size, live, peak);
        }
        let live = self.run_pages.saturating_sub(self.free_run_pages);
        defmt::write!(f, "pages of runs: {=usize} live, {=usize} in all }}", live, self.run_pages);
    }
}
