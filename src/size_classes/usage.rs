//! What a heap said of itself at one time.

use core::fmt;

use crate::{BlockSize, DEFAULT_CLASSES, PAGE_SIZE};

/// How many blocks a heap had, at one time: see
/// [`SizeClasses::usage`](crate::SizeClasses::usage).
///
/// If heaps free each other's blocks, a block counts as free in the heap in which it was
/// freed, so each of them may count too many or too few as live.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SizeClassesUsage<const N: usize = DEFAULT_CLASSES> {
    /// The block sizes, ascending.
    pub block_sizes: &'static [BlockSize; N],
    /// The most that were live at once, of each size: as
    /// [`SizeClasses::peak_blocks`](crate::SizeClasses::peak_blocks).
    pub peak_blocks: [usize; N],
    /// Those that are free, of each size: as
    /// [`SizeClasses::free_blocks`](crate::SizeClasses::free_blocks).
    pub free_blocks: [usize; N],
    /// The pages of runs: as [`SizeClasses::run_pages`](crate::SizeClasses::run_pages).
    pub run_pages: usize,
    /// The pages of runs that are free: as
    /// [`SizeClasses::free_run_pages`](crate::SizeClasses::free_run_pages).
    pub free_run_pages: usize,
}

impl<const N: usize> SizeClassesUsage<N> {
    /// The blocks that are live, of each size. Runs of pages don't count.
    ///
    /// Linear in the number of classes. Never panics.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # use hpalloc::{Arena, Page, SizeClasses};
    /// # let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::with_table(Arena::from_pages(&mut memory)?, hpalloc::size_table![32, 256]);
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

    /// The bytes of live blocks and live runs: whole blocks, which are larger than what was
    /// asked for.
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

    /// The bytes of free blocks and free runs. Blocks that were not carved yet don't count,
    /// nor do the pages that the source still has.
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
    /// // SAFETY: it came from this heap with this layout, and isn't used any more.
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

    /// For each size that was used: how large it is, how many are live, were at the peak, and
    /// are free.
    fn rows(&self) -> impl Iterator<Item = [usize; 4]> {
        let counts = self.live_blocks().into_iter().zip(self.peak_blocks).zip(self.free_blocks);
        let rows = self.block_sizes.iter().zip(counts);
        let rows = rows.map(|(size, ((live, peak), free))| [size.bytes(), live, peak, free]);
        rows.filter(|row| row[2] > 0 || row[3] > 0)
    }
}

/// The classes, with how many of their blocks are live, how many were at the peak, and
/// how many are free; those that were never used are left out.
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
