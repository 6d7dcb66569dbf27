//! Counters and reports about the state of a heap.

use core::fmt;

use super::{SizeClasses, SizeClassesUsage};
use crate::carver::Carver;
use crate::{BlockSize, PageSource};

impl<P: PageSource, const N: usize> SizeClasses<P, N> {
    /// Returns the most blocks of each class that were ever live at the same time.
    ///
    /// That is the number of blocks that were carved; see
    /// [`FixedBlock::peak_blocks`](crate::FixedBlock::peak_blocks).
    ///
    /// # Time complexity
    ///
    /// Linear in the number of classes.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses, size_table};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let heap = SizeClasses::with_table(arena, size_table![32, 256]);
    /// heap.allocate(Layout::new::<u64>()).unwrap();
    /// heap.allocate(Layout::new::<u64>()).unwrap();
    /// assert_eq!(heap.peak_blocks(), [2, 0]);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub fn peak_blocks(&self) -> [usize; N] {
        let mut peaks = [0; N];
        for (peak, (carver, &size)) in peaks.iter_mut().zip(self.classes()) {
            *peak = carver.carved(size);
        }
        peaks
    }

    /// Returns the number of blocks in the free list of each class. Blocks that were
    /// never carved don't count.
    ///
    /// # Time complexity
    ///
    /// Linear in the number of free blocks, with a cache miss for each: for diagnosis.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses, size_table};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let heap = SizeClasses::with_table(arena, size_table![32, 256]);
    /// let layout = Layout::new::<u64>();
    /// let block = heap.allocate(layout).unwrap();
    /// // SAFETY: the block came from this heap with this layout, and is no longer used.
    /// unsafe { heap.deallocate(block, layout) };
    /// assert_eq!(heap.free_blocks(), [1, 0]);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub fn free_blocks(&self) -> [usize; N] {
        let mut counts = [0; N];
        for (count, (carver, &size)) in counts.iter_mut().zip(self.classes()) {
            *count = carver.free_blocks(size);
        }
        counts
    }

    /// Returns the number of pages in runs, live and free.
    ///
    /// These are the pages that were taken from the source for [large
    /// requests](Self#large-requests), except those that have since gone to a class.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 8];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// heap.allocate(Layout::new::<[u8; 20_000]>()).unwrap();
    /// assert_eq!((heap.run_pages(), heap.free_run_pages()), (5, 0));
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub fn run_pages(&self) -> usize {
        self.runs.pages()
    }

    /// Returns the number of pages in free runs.
    ///
    /// # Time complexity
    ///
    /// Linear in the number of free runs, with a cache miss for each: for diagnosis.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 8];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let layout = Layout::new::<[u8; 20_000]>();
    /// let block = heap.allocate(layout).unwrap();
    /// // SAFETY: the block came from this heap with this layout, and is no longer used.
    /// unsafe { heap.deallocate(block, layout) };
    /// assert_eq!(heap.free_run_pages(), 5);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub fn free_run_pages(&self) -> usize {
        self.runs.free_pages()
    }

    /// Returns the size in bytes of the largest request that succeeds now, or 0 if none
    /// does.
    ///
    /// The request must be aligned to at most a word. A smaller request may still fail,
    /// if its class has neither a block nor a page.
    ///
    /// The result counts free blocks, free runs, and the pages of a source that only this
    /// heap uses, such as an arena that it owns. If others can take pages too, as from a
    /// reference to an arena, ask the source how many remain and pass the number to
    /// [`SizeTable::largest_request`](crate::SizeTable::largest_request): a request for
    /// the larger of the two results succeeds.
    ///
    /// In a hardened build, a [member of a family](Self::in_family) doesn't cut runs, so
    /// a request that is smaller than a free run may fail.
    ///
    /// # Time complexity
    ///
    /// Linear in the number of classes and of sources: for diagnosis.
    ///
    /// # Panics
    ///
    /// Only if the page source panics.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, DEFAULT_SIZES, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 9];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let largest = heap.largest_free();
    /// assert_eq!(largest, DEFAULT_SIZES.largest_request(8)); // no run has 9 pages
    /// assert!(heap.allocate(Layout::from_size_align(largest, 1)?).is_some());
    ///
    /// let mut memory = [const { Page::new() }; 9];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let shared = SizeClasses::new(&arena);
    /// assert_eq!(shared.largest_free(), 0); // others may take the pages
    /// assert_eq!(DEFAULT_SIZES.largest_request(arena.pages_remaining()), largest);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn largest_free(&self) -> usize {
        let with_pages = self.table.largest_request(self.runs.most_pages().max(most_pages(&self.pages)));
        let with_blocks = self.classes().filter(|(carver, _)| carver.has_block()).map(|(_, size)| size.bytes());
        with_blocks.last().unwrap_or(0).max(with_pages)
    }

    /// Returns all of these counts, to be inspected or printed after the heap is
    /// unlocked.
    ///
    /// # Time complexity
    ///
    /// That of [`free_blocks`](Self::free_blocks) and
    /// [`free_run_pages`](Self::free_run_pages).
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 8];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// for words in [1, 8, 8, 2500] {
    ///     heap.allocate(Layout::array::<u64>(words)?).unwrap();
    /// }
    /// assert_eq!(
    ///     heap.usage().to_string(),
    ///     "\
    /// block size       live       peak       free
    ///         16          1          1          0
    ///         64          2          2          0
    ///  run pages          5          5          0
    /// ",
    /// );
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn usage(&self) -> SizeClassesUsage<N> {
        SizeClassesUsage {
            block_sizes: self.block_sizes(),
            peak_blocks: self.peak_blocks(),
            free_blocks: self.free_blocks(),
            run_pages: self.run_pages(),
            free_run_pages: self.free_run_pages(),
        }
    }

    fn classes(&self) -> impl Iterator<Item = (&Carver, &'static BlockSize)> {
        self.carvers.iter().zip(self.block_sizes())
    }
}

/// The length in pages of the source's longest run; 0 if others may take pages from it.
fn most_pages(source: &impl PageSource) -> usize {
    let mut most = 0;
    loop {
        // A slice or array of sources returns the pages of its first source that has more
        // than `most`.
        match source.exclusive_pages(most + 1) {
            pages if pages > most => most = pages,
            _ => return most,
        }
    }
}

/// Writes the table of [`usage`](Self::usage).
///
/// Don't print a global allocator while it is locked: printing may allocate.
impl<P: PageSource, const N: usize> fmt::Display for SizeClasses<P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.usage().fmt(f)
    }
}

impl<P: PageSource, const N: usize> fmt::Debug for SizeClasses<P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SizeClasses")
            .field("block_sizes", self.block_sizes())
            .field("peak_blocks", &self.peak_blocks())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<P: PageSource, const N: usize> defmt::Format for SizeClasses<P, N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::Format::format(&self.usage(), f);
    }
}
