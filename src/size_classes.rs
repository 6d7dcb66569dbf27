use core::alloc::Layout;
use core::ptr::NonNull;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::carver::Carver;
use crate::hardened::{MisuseError, report, reported};
use crate::run_size::RunSize;
use crate::{Arena, BlockSize, DEFAULT_CLASSES, DEFAULT_SIZES, PageSource, RawRegion, SizeTable};

pub use usage::SizeClassesUsage;

use page_runs::PageRuns;

/// A heap of fixed block sizes, its *size classes*, over one source of pages.
///
/// It serves every [`Layout`] that is aligned to at most one page. The time is constant,
/// apart from the call that takes pages from the source.
///
/// ```text
///   request ──► class ──► ┌────────┬────────┬────────┬── ─┬────────┐
///   100 bytes     │       │   16   │   32   │   48   │    │ 16384  │  block sizes
///                 │       ├────────┼────────┼────────┼── ─┼────────┤
///                 └─112─► │ free   │ free   │ free   │    │ free   │  a FixedBlock
///                         │ fresh  │ fresh  │ fresh  │    │ fresh  │  per class
///                         └───▲────┴───▲────┴───▲────┴── ─┴───▲────┘
///                             └────────┴────────┴─────────────┤
///                                       one page source ──────┴──► runs of pages,
///                                                                  for larger requests
/// ```
///
/// A request is served by the first class whose blocks are large enough and sufficiently
/// aligned; see [`SizeTable`]. Within a class, blocks are allocated as in a
/// [`FixedBlock`](crate::FixedBlock). Blocks are never split or merged, so the cost of an
/// operation doesn't depend on what happened before, and the memory that a program needs
/// can be [computed in advance](#memory-use).
///
/// A request that no class serves gets a run of whole pages; see [*Large
/// requests*](#large-requests).
///
/// In a [`Locked`](crate::Locked), it is a global allocator:
///
/// ```no_run
/// # #[cfg(all(feature = "mmap", feature = "spin"))] mod heap {
/// use hpalloc::{Arena, Lazy, Locked, Mapping, SizeClasses, Spin};
///
/// #[global_allocator]
/// static HEAP: Locked<SizeClasses<Lazy<Mapping>>, Spin> =
///     Locked::new(SizeClasses::new(Lazy::new(|| Arena::new(64 << 20))));
/// # }
/// ```
///
/// # When to use it
///
/// Use size classes if you know the sizes of your requests, requests must cost fewer
/// instructions than with a [`Heap`](crate::Heap), and there are 64 pages or more. A
/// lock, the first use of a [`Lazy`](crate::Lazy), and page faults are extra.
///
/// Otherwise use a [`Heap`](crate::Heap), which merges freed memory and needs far less of
/// it: over 23 programs, size classes with the default sizes need 4.0 times the live
/// bytes on a 64-bit machine and 4.4 times on a 32-bit one, and a `Heap` needs 1.3 times.
///
/// In a small heap, most of the memory belongs to classes that don't need it. When random
/// requests first fail, 3 % of a heap of 16 KiB is live, 6 % of 64 KiB, and 68 % of 256
/// KiB (`benches/memory` in the repository).
///
/// # Alignment
///
/// Blocks are aligned to at most [`PAGE_SIZE`](crate::PAGE_SIZE), 4096 bytes. A request
/// with a larger alignment fails, however much memory is free, and consumes nothing.
///
/// A [`Heap`](crate::Heap) serves any alignment. It is also a page source, so
/// `SizeClasses::new(&heap)` shares its memory: send requests with a larger alignment to
/// the heap itself.
///
/// # Large requests
///
/// A request that no class serves gets a run of whole pages. Runs have 1, 2, 3, 4, 5, 6,
/// 7, 8, 10, 12, 14, 16, 20.. pages: four sizes per doubling, so a run has less than a
/// quarter more pages than the request needs.
///
/// A freed run serves the next request of its size. Other requests take pages from the
/// source as long as it has any. When the source has no run for a request, the smallest
/// free run that is large enough is cut, to serve a request for a smaller run or to
/// refill a class. The rest becomes at most six free runs. So **no request fails while a
/// free run has the pages for it**. The cost is constant: a search for a bit, and a few
/// stores for each run that the cut leaves.
///
/// There are three limits:
///
/// - Runs are not merged. A run that was cut stays cut, two adjacent free runs don't
///   serve a request for both, and a page that went to a class stays there.
/// - Blocks are not cut. A free block serves only its own class, even if it occupies
///   whole pages.
/// - In a hardened build, [members of a family](Self::in_family) don't cut runs.
///
/// A vector that grows beyond the last class leaves its earlier, smaller buffers on the
/// free lists of their sizes. Together they have about as many pages as the vector
/// itself. Once the source is empty they serve smaller requests, but never a larger one.
/// If that matters, reserve the final capacity up front, or add the size to the table.
///
/// These rules also limit how large a request can be. [`SizeTable::largest_request`]
/// returns the limit for a new heap, and [`largest_free`](Self::largest_free) for a heap
/// in use. The limit is less than the remaining pages if their number is not a run size:
/// a heap of 9 pages serves at most 8 in one request.
///
/// # Memory use
///
/// A block of a class that has `k` blocks per page uses a `k`-th of a page; see
/// [`DEFAULT_SIZES`] for the figures. Each class in use has its own pages, of which the
/// last may be partly unused. So a program with at most `n[c]` live blocks of class `c`
/// needs no more than the sum of `n[c].div_ceil(k[c])` pages, in whatever order it
/// allocates and frees. [`MemoryPlan`](crate::MemoryPlan) computes that sum as a
/// constant, and [`peak_blocks`](Self::peak_blocks) returns the `n` of one execution of
/// the program. While the program keeps to its plan, no request finds the source empty,
/// so no run is cut. If there are few pages, use a table of few sizes, because each size
/// needs at least one page once it is used.
///
/// The heap itself has four words per class, and one word for each of 60 run sizes. It
/// doesn't count live blocks or bytes: a counter would add up to three instructions to
/// each `allocate` and `deallocate`, which have about 20. [`usage`](Self::usage) walks
/// the free lists instead.
///
/// # Example
///
/// ```
/// # #[cfg(not(hpalloc_hardened))] {
/// use core::alloc::Layout;
/// use hpalloc::{Arena, Page, SizeClasses};
///
/// let mut memory = [const { Page::new() }; 8];
/// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
///
/// let (small, large) = (Layout::new::<[u8; 100]>(), Layout::new::<[u8; 20_000]>());
/// let (a, b) = (heap.allocate(small).unwrap(), heap.allocate(large).unwrap());
/// assert_eq!((heap.usable_size(small), heap.usable_size(large)), (112, 5 * 4096));
///
/// // SAFETY: both came from this heap with these layouts, and are no longer used.
/// unsafe {
///     heap.deallocate(a, small);
///     heap.deallocate(b, large);
/// }
/// assert_eq!(heap.allocate(large), Some(b));
/// # }
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
pub struct SizeClasses<P: PageSource, const N: usize = DEFAULT_CLASSES> {
    /// *Invariant (Size):* the carver of a class is always used with that class's block
    /// size in the table.
    table: &'static SizeTable<N>,
    carvers: [Carver; N],
    runs: PageRuns,
    /// Dropped with the heap and never lent out mutably, so the memory lives as long as
    /// the heap.
    pages: P,
}

assert_impl_all!(SizeClasses<Arena<RawRegion>>: Send);
assert_not_impl_any!(SizeClasses<Arena<RawRegion>>: Sync, Clone);
assert_not_impl_any!(SizeClasses<&Arena<RawRegion>>: Send, Sync);

impl<P: PageSource> SizeClasses<P> {
    /// Creates a heap with the block sizes of [`DEFAULT_SIZES`]. It takes no pages yet.
    ///
    /// Linear in the number of classes, or no time at all in a constant. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// assert_eq!(heap.block_sizes()[0].bytes(), 16);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn new(pages: P) -> Self {
        Self::with_table(pages, DEFAULT_SIZES)
    }
}

impl<P: PageSource, const N: usize> SizeClasses<P, N> {
    /// Creates a heap with your own block sizes. It takes no pages yet.
    ///
    /// Linear in the number of classes, or no time at all in a constant. Never panics.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses, size_table};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let heap = SizeClasses::with_table(arena, size_table![32, 256, 2048]);
    /// assert_eq!(heap.usable_size(Layout::new::<[u64; 5]>()), 256);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn with_table(pages: P, table: &'static SizeTable<N>) -> Self {
        Self { table, carvers: [const { Carver::new() }; N], runs: PageRuns::new(), pages }
    }

    /// Allocates a block for the layout.
    ///
    /// Returns `None` if no block of the class is free and neither the source nor a [free
    /// run](Self#large-requests) has the pages for one. A layout also fails if it is
    /// larger than [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), or aligned to more than
    /// [`PAGE_SIZE`](crate::PAGE_SIZE); for such alignments use a [`Heap`](crate::Heap),
    /// see [Alignment](Self#alignment).
    ///
    /// The block has [`usable_size`](Self::usable_size) bytes, is aligned as the layout
    /// requires, and belongs to the caller until it is deallocated or the page source is
    /// dropped or reset. Its contents are unspecified and may be uninitialized. A layout
    /// of size zero gets a block as well.
    ///
    /// # Time complexity
    ///
    /// Constant, see [`SizeTable`]. If the class has no block, one call to the source for
    /// pages is extra. If the source has none, a free run is cut into at most seven.
    ///
    /// # Panics
    ///
    /// Only if the page source panics, or, with `--cfg hpalloc_hardened`, the misuse
    /// hook.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let line = heap.allocate(Layout::from_size_align(100, 64)?).unwrap();
    /// assert_eq!(line.addr().get() % 64, 0);
    /// assert!(heap.allocate(Layout::new::<[u8; 9000]>()).is_none());
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "an ignored block is leaked"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        reported(|| self.try_allocate(layout))
    }

    /// Allocates like `allocate`, but returns misuse detected on the way instead of
    /// reporting it.
    #[inline]
    pub(crate) fn try_allocate(&self, layout: Layout) -> Result<Option<NonNull<u8>>, MisuseError> {
        match self.table.class_of_small(layout).and_then(|class| self.class(class)) {
            Some(class) => self.take(class),
            None => self.allocate_other(layout),
        }
    }

    /// Serves requests that aren't small, or are aligned to more than a word.
    #[inline(never)]
    fn allocate_other(&self, layout: Layout) -> Result<Option<NonNull<u8>>, MisuseError> {
        if let Some(class) = self.class(self.table.class_of(layout)) {
            return self.take(class);
        }
        let Some(size) = RunSize::of(layout) else { return Ok(None) };
        Ok(self.runs.take(size, &self.pages)?.map(|(run, _)| run))
    }

    /// Returns the carver and the block size of a class.
    #[inline]
    fn class(&self, class: usize) -> Option<(&Carver, BlockSize)> {
        self.carvers.get(class).zip(self.table.block_sizes().get(class).copied())
    }

    #[inline]
    fn take(&self, (carver, size): (&Carver, BlockSize)) -> Result<Option<NonNull<u8>>, MisuseError> {
        // SAFETY: Size.
        match unsafe { carver.take(size) } {
            Ok(None) => self.refill(carver, size),
            block => block,
        }
    }

    /// Takes pages for the class from the source, or else from a free run, and returns
    /// the first block of them.
    #[cold]
    #[inline(never)]
    fn refill(&self, carver: &Carver, size: BlockSize) -> Result<Option<NonNull<u8>>, MisuseError> {
        // SAFETY: Size; and `take` returned no block, so the class has none.
        match unsafe { carver.refill(size, &self.pages) } {
            Ok(None) => self.take_from_free_run(carver, size),
            block => block,
        }
    }

    /// Takes pages for the class from a free run, and returns the first block of them.
    #[cold]
    #[inline(never)]
    fn take_from_free_run(&self, carver: &Carver, size: BlockSize) -> Result<Option<NonNull<u8>>, MisuseError> {
        match self.runs.give_up(size.pages_per_run())? {
            // SAFETY: Size; `take` returned no block, and the pages of the run are
            // unused.
            Some(run) => unsafe { carver.begin_run(size, run) },
            None => Ok(None),
        }
    }

    /// Frees a block. The next `allocate` of its class returns the block that was freed
    /// last.
    ///
    /// The first word of the block is overwritten.
    ///
    /// # Time complexity
    ///
    /// Constant.
    ///
    /// # Panics
    ///
    /// Never, except that with `--cfg hpalloc_hardened` the misuse hook may panic.
    ///
    /// # Safety
    ///
    /// - `block` was returned for this layout by this heap, or by another one with the
    ///   same table over the same source. With `--cfg hpalloc_hardened`, the two heaps
    ///   must be [members of one family](Self::in_family).
    /// - It was not deallocated since.
    /// - It is no longer used.
    /// - The pointer is the returned one, or derived from it and still valid for the
    ///   whole block.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let layout = Layout::new::<u64>();
    /// let block = heap.allocate(layout).unwrap();
    /// // SAFETY: the block came from this heap with this layout, and is no longer used.
    /// unsafe { heap.deallocate(block, layout) };
    /// assert_eq!(heap.allocate(layout), Some(block));
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller upholds the same contract.
        if let Err(error) = unsafe { self.give_back(block, layout) } {
            report(error);
        }
    }

    /// Frees a block like [`deallocate`](Self::deallocate), but returns misuse instead of
    /// reporting it to the hook.
    ///
    /// Linear in the block size, because the block is filled, plus a search for the
    /// block's run. Never panics.
    ///
    /// # Errors
    ///
    /// The misuse that was detected. The block is not freed.
    ///
    /// # Safety
    ///
    /// That of `deallocate`, except for misuse that is [detected](crate::hardened) and
    /// returned.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::hardened::Misuse;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut pages)?);
    /// let block = heap.allocate(Layout::new::<u64>()).unwrap();
    /// let wrong = Layout::new::<[u64; 100]>();
    /// // SAFETY: the wrong layout is detected.
    /// let error = unsafe { heap.try_deallocate(block, wrong) }.unwrap_err();
    /// assert_eq!(error.misuse, Misuse::Foreign);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(hpalloc_hardened)]
    #[cfg_attr(docsrs, doc(cfg(hpalloc_hardened)))]
    pub unsafe fn try_deallocate(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller upholds the same contract.
        unsafe { self.give_back(block, layout) }
    }

    /// # Safety
    ///
    /// That of `deallocate`.
    #[inline]
    pub(crate) unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        match self.table.class_of_small(layout).and_then(|class| self.class(class)) {
            // SAFETY: the caller upholds the same contract; and Size.
            Some((carver, size)) => unsafe { carver.give_back(block, size) },
            // SAFETY: the caller upholds the same contract.
            None => unsafe { self.give_back_other(block, layout) },
        }
    }

    /// Frees blocks that aren't small, or are aligned to more than a word.
    ///
    /// # Safety
    ///
    /// That of `deallocate`.
    #[inline(never)]
    unsafe fn give_back_other(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        if let Some((carver, size)) = self.class(self.table.class_of(layout)) {
            // SAFETY: the caller upholds the same contract; and Size.
            return unsafe { carver.give_back(block, size) };
        }
        match RunSize::of(layout) {
            // SAFETY: the caller upholds the same contract.
            Some(size) => unsafe { self.runs.give_back(block, size) },
            None => self.runs.refuse(block, layout),
        }
    }

    /// Makes the heap a member of a family, whose members may free each other's blocks;
    /// see [`FixedBlock::in_family`](crate::FixedBlock::in_family).
    ///
    /// In a hardened build, such a heap doesn't cut [free runs](Self#large-requests).
    ///
    /// Linear in the number of classes. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, Page, SizeClasses};
    /// # let mut pages = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let [one, other] = [(); 2].map(|()| SizeClasses::new(&arena).in_family(1));
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn in_family(mut self, family: u16) -> Self {
        let mut class = 0;
        while class < N {
            self.carvers[class].in_family(family);
            class += 1;
        }
        self.runs.in_family(family);
        self
    }

    /// Returns the block sizes in ascending order.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, Page, SizeClasses};
    /// # let mut memory = [const { Page::new() }; 1];
    /// # let arena = Arena::from_pages(&mut memory)?;
    /// let heap = SizeClasses::with_table(arena, hpalloc::size_table![32, 256]);
    /// assert_eq!(heap.block_sizes()[1].bytes(), 256);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn block_sizes(&self) -> &'static [BlockSize; N] {
        self.table.block_sizes()
    }

    /// Returns the heap's page source.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// heap.allocate(Layout::new::<u64>()).unwrap();
    /// assert_eq!(heap.page_source().pages_allocated(), 1);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn page_source(&self) -> &P {
        &self.pages
    }
}

// These modules come last so that the documentation lists the methods above first.
mod diagnosis;
mod page_runs;
mod resize;
mod usage;
mod zeroed;
