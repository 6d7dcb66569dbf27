use core::alloc::Layout;
use core::ptr::NonNull;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::carver::Carver;
use crate::hardened::{MisuseError, report, reported};
use crate::run_size::RunSize;
use crate::{Arena, BlockSize, DEFAULT_CLASSES, DEFAULT_SIZES, PageSource, RawRegion, SizeTable};

pub use usage::SizeClassesUsage;

use page_runs::PageRuns;

/// A heap: blocks of several sizes over one source of pages, for any [`Layout`], in constant time.
///
/// ```text
///   request ──► class ──►  ┌─────────┬─────────┬─────────┬── ──┬──────────┐
///   100 bytes     │        │   16    │   32    │   48    │     │  16384   │   sizes, from a table
///                 │        ├─────────┼─────────┼─────────┼── ──┼──────────┤
///                 └──112──►│ free    │ free    │ free    │     │ free     │   each as a FixedBlock
///                          │ fresh.. │ fresh.. │ fresh.. │     │ fresh..  │
///                          └────▲────┴────▲────┴────▲────┴── ──┴─────▲────┘
///                               └─────────┴── pages from one source ─┴──── runs of pages, for what is larger
/// ```
///
/// A request is served by the first class whose blocks are large and aligned enough, see [`SizeTable`]. Its blocks come
/// from where those of a [`FixedBlock`](crate::FixedBlock) do. Blocks are never split and never merged, so what an operation
/// costs doesn't depend on what happened before, and how much memory is needed can be said beforehand: see below.
///
/// What no class serves gets a run of whole pages: see [*Large
/// requests*](#large-requests).
///
/// In a [`Locked`](crate::Locked) it is a global allocator:
///
/// ```no_run
/// # #[cfg(all(feature = "mmap", feature = "spin"))] mod heap {
/// use hpalloc::{Arena, Lazy, Locked, Mapping, SizeClasses, Spin};
///
/// #[global_allocator]
/// static HEAP: Locked<SizeClasses<Lazy<Mapping>>, Spin> = Locked::new(SizeClasses::new(Lazy::new(|| Arena::new(64 << 20))));
/// # }
/// ```
///
/// # When to use it
///
/// If the sizes are known, each request must take some 20 instructions, and there are 64 pages or more. Otherwise a
/// [`Heap`](crate::Heap), which merges what is freed, needs far less memory. Over 19 traces of firmware-like programs a heap with the
/// default sizes needs 4.6 times the peak of live bytes, where the heaps of other crates need 1.1 to 2.2. (The traces in `benches/memory`
/// of the repository, which are others: 4.0 on a 64-bit machine and 4.4 on a 32-bit one, where a `Heap` needs 1.3.)
///
/// In a small heap most of the memory lies in classes that don't need it. For requests of 1 to 700 bytes, this share of the heap is live
/// when the first one fails, in the mean:
///
/// | heap, KiB | 8 | 16 | 32 | 64 | 128 | 256 |
/// |---|---:|---:|---:|---:|---:|---:|
/// | live, % | 10 | 11 | 13 | 23 | 56 | 75 |
///
/// # Alignment
///
/// A block is aligned to at most [`PAGE_SIZE`](crate::PAGE_SIZE), 4096 bytes. A request
/// with a larger alignment fails, however much memory is free, and takes none. A
/// [`Heap`](crate::Heap) serves any alignment. It can be the source of the size classes'
/// pages as well, and so both can have the same memory:
///
/// ```
/// # #[cfg(feature = "std")] {
/// use core::alloc::Layout;
/// use hpalloc::{Arena, Boxed, Heap, SizeClasses};
///
/// let memory = Heap::new(Arena::from_region(Boxed::new(1 << 20)?)?);
/// let heap = SizeClasses::new(&memory);
/// let ring = Layout::from_size_align(4096, 64 << 10)?; // one page, on a boundary of 64 KiB
/// assert!(heap.allocate(ring).is_none());
/// assert!(memory.allocate(ring).is_some());
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// # Large requests
///
/// A request that no class serves gets a run of whole pages, of 1, 2, 3, 4, 5, 6, 7, 8,
/// 10, 12, 14, 16, 20.. pages: four sizes for each doubling, so less than a quarter more
/// than it needs.
///
/// A run that was freed serves the next request of its size. While the source has pages,
/// other requests take theirs from it. When the source has none left for a request, the
/// smallest free run that is large enough is cut: for a smaller run, or for the next page
/// of a class. What is left over becomes free runs, at most six. So **no request fails
/// while a free run has the pages for it**. The cost is constant: a search for a bit, and
/// a few stores for each run that is left over.
///
/// Three things that it doesn't do:
///
/// - It doesn't merge. Runs that were cut stay cut, two free runs side by side don't
///   serve a request for both, and a page that went to a class stays there.
/// - It doesn't cut blocks. A free block serves its own class only, even if it has pages
///   of its own.
/// - In a hardened program, heaps [of a family](Self::in_family) don't cut runs.
///
/// A vector that grows beyond the last class leaves its earlier, smaller buffers on the
/// lists of their sizes, which together have about as many pages again. They serve
/// smaller requests once the source is empty, but no larger one. If that hurts, reserve
/// what is needed at once, or name the size in the table.
///
/// How large a request can be follows from that: [`SizeTable::largest_request`] for a new
/// heap, and [`largest_free`](Self::largest_free) for one in use. The pages that remain,
/// times 4096, are too much if they are no size of a run: a heap of 9 pages serves a
/// request of 8 at most.
///
/// # How much memory it takes
///
/// A block of a class that has `k` to a page takes a `k`-th of a page; [`DEFAULT_SIZES`]
/// has the figures. A class in use has its own pages, the last of which may be filled in
/// part. So a program with at most `n[c]` live blocks of class `c` takes no more than the
/// sum of `n[c].div_ceil(k[c])` pages, in whatever order it allocates and frees. The
/// constant for that is a [`MemoryPlan`](crate::MemoryPlan), and
/// [`peak_blocks`](Self::peak_blocks) says which `n` a run of the program took. While the
/// program keeps to its plan, no request finds the source empty, so no run of pages is
/// cut. With few pages in all, use a table of few sizes, because each takes at least a
/// page once it is used.
///
/// Beside the pages it takes four words for each class, and a word for each of 60 sizes
/// of runs. It doesn't count live blocks or bytes, because a counter would take up to
/// three instructions of each `allocate` and `deallocate`, which have some 20.
/// [`usage`](Self::usage) walks the lists of free blocks instead, when it is asked.
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
/// // SAFETY: they came from this heap with these layouts, and aren't used any more.
/// unsafe {
///     heap.deallocate(a, small);
///     heap.deallocate(b, large);
/// }
/// assert_eq!(heap.allocate(large), Some(b));
/// # }
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
pub struct SizeClasses<P: PageSource, const N: usize = DEFAULT_CLASSES> {
    /// *Invariant (Size):* the carver of a class is used with the block size that the table has for it.
    table: &'static SizeTable<N>,
    carvers: [Carver; N],
    runs: PageRuns,
    /// Dropped with the heap and not lent out mutably: the heap's memory is there as long as the heap.
    pages: P,
}

assert_impl_all!(SizeClasses<Arena<RawRegion>>: Send);
assert_not_impl_any!(SizeClasses<Arena<RawRegion>>: Sync, Clone);
assert_not_impl_any!(SizeClasses<&Arena<RawRegion>>: Send, Sync);

impl<P: PageSource> SizeClasses<P> {
    /// A heap with the block sizes of [`DEFAULT_SIZES`]. It takes no page yet.
    ///
    /// Linear in the number of classes, or none at all in a constant. Never panics.
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
    /// A heap with block sizes of your own. It takes no page yet.
    ///
    /// Linear in the number of classes, or none at all in a constant. Never panics.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::with_table(Arena::from_pages(&mut memory)?, hpalloc::size_table![32, 256, 2048]);
    /// assert_eq!(heap.usable_size(Layout::new::<[u64; 5]>()), 256);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn with_table(pages: P, table: &'static SizeTable<N>) -> Self {
        Self { table, carvers: [const { Carver::new() }; N], runs: PageRuns::new(), pages }
    }

    /// A block for the layout, or `None` when none is free and the source has no more pages for one.
    ///
    /// It has [`usable_size`](Self::usable_size) bytes, is aligned as the layout says, and is nobody else's until it is
    /// deallocated or the page source is dropped or reset. What is in it is unknown, and may be uninitialised. A layout of no
    /// bytes gets a block too.
    ///
    /// A layout that is aligned to more than [`PAGE_SIZE`](crate::PAGE_SIZE) can't be served:
    /// a [`Heap`](crate::Heap) serves it, see [Alignment](Self#alignment). Nor can one
    /// that is larger than [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), or for whose pages there
    /// is neither a run in the source nor a [free one](Self#large-requests).
    ///
    /// # Time complexity
    ///
    /// Constant, see [`SizeTable`]. If no block is at hand, it asks the source for pages
    /// once. If the source has none, it cuts a free run into at most seven.
    ///
    /// # Panics
    ///
    /// Only if the source of pages does, or, with `--cfg hpalloc_hardened`, the hook for misuse.
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

    /// As `allocate`, with misuse that is found on the way returned.
    #[inline]
    pub(crate) fn try_allocate(&self, layout: Layout) -> Result<Option<NonNull<u8>>, MisuseError> {
        match self.table.class_of_small(layout).and_then(|class| self.class(class)) {
            Some(class) => self.take(class),
            None => self.allocate_other(layout),
        }
    }

    /// For what isn't small, or aligned to more than a word.
    #[inline(never)]
    fn allocate_other(&self, layout: Layout) -> Result<Option<NonNull<u8>>, MisuseError> {
        if let Some(class) = self.class(self.table.class_of(layout)) {
            return self.take(class);
        }
        let Some(size) = RunSize::of(layout) else { return Ok(None) };
        Ok(self.runs.take(size, &self.pages)?.map(|(run, _)| run))
    }

    /// A class, by its index.
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

    /// The first block of a run of pages from the source, or else from a free run.
    #[cold]
    #[inline(never)]
    fn refill(&self, carver: &Carver, size: BlockSize) -> Result<Option<NonNull<u8>>, MisuseError> {
        // SAFETY: Size, and `take` has found no block.
        match unsafe { carver.refill(size, &self.pages) } {
            Ok(None) => self.take_from_free_run(carver, size),
            block => block,
        }
    }

    /// The first block of a run of pages that was freed.
    #[cold]
    #[inline(never)]
    fn take_from_free_run(&self, carver: &Carver, size: BlockSize) -> Result<Option<NonNull<u8>>, MisuseError> {
        match self.runs.give_up(size.pages_per_run())? {
            // SAFETY: Size, and `take` has found no block. They are the pages of a run, which are nobody else's.
            Some(run) => unsafe { carver.begin_run(size, run) },
            None => Ok(None),
        }
    }

    /// Takes a block back, to hand it out again: the last one first.
    ///
    /// The first word of the block is overwritten.
    ///
    /// # Time complexity
    ///
    /// Constant.
    ///
    /// # Panics
    ///
    /// Only if the source of pages does, or, with `--cfg hpalloc_hardened`, the hook for misuse.
    ///
    /// # Safety
    ///
    /// - `block` was returned for this layout by this heap, or by another with the same table over the same source. With
    ///   `--cfg hpalloc_hardened`, both have to be [of one family](Self::in_family).
    /// - It was not deallocated since.
    /// - Nothing uses it any more.
    /// - The pointer is the one that was returned, or one derived from it that is still valid for the whole block.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let layout = Layout::new::<u64>();
    /// let block = heap.allocate(layout).unwrap();
    /// // SAFETY: it came from this heap with this layout, and isn't used any more.
    /// unsafe { heap.deallocate(block, layout) };
    /// assert_eq!(heap.allocate(layout), Some(block));
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise is the one that is asked for.
        if let Err(error) = unsafe { self.give_back(block, layout) } {
            report(error);
        }
    }

    /// As [`deallocate`](Self::deallocate), with misuse returned instead of reported to the hook.
    ///
    /// Linear in the block size, which is filled. Panics only where the source does.
    ///
    /// # Errors
    ///
    /// The block can't be taken back, and isn't.
    ///
    /// # Safety
    ///
    /// That of `deallocate`, but for what is an error: see [`hardened`](crate::hardened).
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::hardened::Misuse;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut pages)?);
    /// let block = heap.allocate(Layout::new::<u64>()).unwrap();
    /// // SAFETY: what isn't safe about it is what it returns.
    /// let error = unsafe { heap.try_deallocate(block, Layout::new::<[u64; 100]>()) }.unwrap_err();
    /// assert_eq!(error.misuse, Misuse::Foreign);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(hpalloc_hardened)]
    #[cfg_attr(docsrs, doc(cfg(hpalloc_hardened)))]
    pub unsafe fn try_deallocate(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.give_back(block, layout) }
    }

    /// # Safety
    ///
    /// That of `deallocate`.
    #[inline]
    pub(crate) unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        match self.table.class_of_small(layout).and_then(|class| self.class(class)) {
            // SAFETY: the caller's promise is the one that is asked for, and Size.
            Some((carver, size)) => unsafe { carver.give_back(block, size) },
            // SAFETY: likewise.
            None => unsafe { self.give_back_other(block, layout) },
        }
    }

    /// For what isn't small, or aligned to more than a word.
    ///
    /// # Safety
    ///
    /// That of `deallocate`.
    #[inline(never)]
    unsafe fn give_back_other(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        if let Some((carver, size)) = self.class(self.table.class_of(layout)) {
            // SAFETY: the caller's promise is the one that is asked for, and Size.
            return unsafe { carver.give_back(block, size) };
        }
        match RunSize::of(layout) {
            // SAFETY: likewise.
            Some(size) => unsafe { self.runs.give_back(block, size) },
            None => self.runs.refuse(block, layout),
        }
    }

    /// The same heap, as one of a family: see
    /// [`FixedBlock::in_family`](crate::FixedBlock::in_family). In a hardened program, it
    /// doesn't cut [free runs](Self#large-requests).
    ///
    /// Linear in the number of classes. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, Page, SizeClasses};
    /// # let mut pages = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let [one, other] = [SizeClasses::new(&arena), SizeClasses::new(&arena)].map(|heap| heap.in_family(1));
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

    /// The block sizes, ascending.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, Page, SizeClasses};
    /// # let mut memory = [const { Page::new() }; 1];
    /// let heap = SizeClasses::with_table(Arena::from_pages(&mut memory)?, hpalloc::size_table![32, 256]);
    /// assert_eq!(heap.block_sizes()[1].bytes(), 256);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn block_sizes(&self) -> &'static [BlockSize; N] {
        self.table.block_sizes()
    }

    /// The source of the heap's pages.
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

// Last, so that the documentation begins with the methods above.
mod diagnosis;
mod page_runs;
mod resize;
mod usage;
mod zeroed;
