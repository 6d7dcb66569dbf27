//! What a heap says of itself.

use core::fmt;

use super::{SizeClasses, SizeClassesUsage};
use crate::carver::Carver;
use crate::{BlockSize, PageSource};

impl<P: PageSource, const N: usize> SizeClasses<P, N> {
    /// For each class the most blocks that were ever live at once, which is how many were carved: see
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
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::with_table(Arena::from_pages(&mut memory)?, hpalloc::size_table![32, 256]);
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

    /// For each class how many blocks are in its free list. Blocks that were never carved don't count.
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
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::with_table(Arena::from_pages(&mut memory)?, hpalloc::size_table![32, 256]);
    /// let layout = Layout::new::<u64>();
    /// let block = heap.allocate(layout).unwrap();
    /// // SAFETY: it came from this heap with this layout, and isn't used any more.
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

    /// The pages of runs: those that were taken from the source for [large
    /// requests](Self#large-requests), except the ones that went to a class since.
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

    /// The pages of runs that are free.
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
    /// // SAFETY: it came from this heap with this layout, and isn't used any more.
    /// unsafe { heap.deallocate(block, layout) };
    /// assert_eq!(heap.free_run_pages(), 5);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub fn free_run_pages(&self) -> usize {
        self.runs.free_pages()
    }

    /// The largest request that succeeds now, in bytes, if it is aligned to a word at most; 0
    /// if none does. A smaller one may fail all the same, if its class has neither a block
    /// nor a page.
    ///
    /// That counts free blocks, free runs, and the pages that a source has which only this
    /// heap uses, such as an arena. If others can take pages too, as with a reference to an
    /// arena, ask the source, and
    /// [`SizeTable::largest_request`](crate::SizeTable::largest_request) what that many pages
    /// are good for: the larger number of the two succeeds. (In a hardened program, a heap
    /// [of a family](Self::in_family) doesn't cut runs, so that a request for less than a run
    /// may fail.)
    ///
    /// # Time complexity
    ///
    /// Linear in the number of classes and of sources: for diagnosis.
    ///
    /// # Panics
    ///
    /// Only if the source of pages does.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, DEFAULT_SIZES, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 9];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let shared = SizeClasses::new(&arena);
    /// assert_eq!(shared.largest_free(), 0); // others may take the pages
    /// let largest = DEFAULT_SIZES.largest_request(arena.pages_remaining());
    /// assert!(shared.allocate(Layout::from_size_align(largest, 1)?).is_some());
    ///
    /// let mut memory = [const { Page::new() }; 9];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// assert_eq!(heap.largest_free(), largest); // runs have 8 pages or 10
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn largest_free(&self) -> usize {
        let with_pages = self.table.largest_request(self.runs.most_pages().max(most_pages(&self.pages)));
        let with_blocks = self.classes().filter(|(carver, _)| carver.has_block()).map(|(_, size)| size.bytes());
        with_blocks.last().unwrap_or(0).max(with_pages)
    }

    /// All of that at once, to be looked at or printed when the heap isn't locked any more.
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
    /// for layout in [Layout::new::<u8>(), Layout::new::<[u64; 8]>(), Layout::new::<[u64; 8]>(), Layout::new::<[u64; 2500]>()] {
    ///     heap.allocate(layout).unwrap();
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
    /// # Ok::<(), hpalloc::ArenaError>(())
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

/// How many pages the longest run of a source has; 0 if others may take them.
fn most_pages(source: &impl PageSource) -> usize {
    let mut most = 0;
    loop {
        // Of several sources, the first that has more.
        match source.exclusive_pages(most + 1) {
            pages if pages > most => most = pages,
            _ => return most,
        }
    }
}

/// What [`usage`](Self::usage) says.
///
/// (Not of the global allocator, while it is locked: printing may allocate.)
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
