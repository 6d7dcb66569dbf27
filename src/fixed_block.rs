use core::ptr::NonNull;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::carver::Carver;
use crate::hardened::{MisuseError, report, reported};
use crate::seal::SEAL;
use crate::{Arena, BlockSize, BlockSizeError, Borrowed, PageSource, RawRegion};

pub use in_memory::NoPages;

/// Blocks of one size, cut from the pages of a [`PageSource`], allocated and freed in constant time.
///
/// ```text
///   run      ┌────┬────┬────┬────┬────┬────┬──┐
///            │ b0 │ b1 │ b2 │ b3 │    │    │  │ rest: less than a block
///            └────┴─▲──┴────┴─▲──┴────┴────┴──┘
///                   │         │  ▲         ▲
///        free ──────┴────────►┘  fresh     end
/// ```
///
/// A block comes from the first of these that has one:
///
/// 1. the *free list*, last in, first out: the links live in the free blocks themselves;
/// 2. the *fresh* part of the newest run of pages, from which blocks are carved one at a time, in ascending order. A run
///    is one page, or for blocks larger than a page as many pages as one block needs;
/// 3. a new run, taken from the page source.
///
/// No step has a loop or a division, so over an arena the worst case is a small fixed number of instructions. (Another
/// source adds what it needs: one of several tries each of them.) Memory that was never allocated is never touched. A block
/// has no header, so blocks of one run lie back to back. Blocks are not merged, and pages are not given back before their
/// source is.
///
/// The pool belongs to one thread at a time: there are no atomics, and it is never `Sync`.
///
/// ```compile_fail,E0277
/// # use hpalloc::{Arena, FixedBlock, Page};
/// # let mut pages = [const { Page::new() }; 2];
/// let pool = FixedBlock::new(Arena::from_pages(&mut pages).unwrap(), 64).unwrap();
/// std::thread::scope(|scope| {
///     scope.spawn(|| pool.allocate());
/// });
/// ```
///
/// A pool that owns its arena can move to another thread; one that borrows an arena can't, because others may share it:
///
/// ```
/// # use hpalloc::{Arena, FixedBlock, Page};
/// # let mut pages = [const { Page::new() }; 2];
/// let pool = FixedBlock::new(Arena::from_pages(&mut pages).unwrap(), 64).unwrap();
/// std::thread::scope(|scope| {
///     scope.spawn(move || pool.allocate().is_some());
/// });
/// ```
///
/// ```compile_fail,E0277
/// # use hpalloc::{Arena, FixedBlock, Page};
/// # let mut pages = [const { Page::new() }; 2];
/// let arena = Arena::from_pages(&mut pages).unwrap();
/// let pool = FixedBlock::new(&arena, 64).unwrap();
/// std::thread::scope(|scope| {
///     scope.spawn(move || pool.allocate().is_some());
/// });
/// ```
///
/// # Example
///
/// ```
/// use hpalloc::{Arena, FixedBlock, Page};
///
/// let mut memory = [const { Page::new() }; 4];
/// let arena = Arena::from_pages(&mut memory)?;
/// let small = FixedBlock::new(&arena, 64)?;
/// let large = FixedBlock::new(&arena, 1024)?;
///
/// let block = small.allocate().unwrap();
/// // SAFETY: the block is 64 bytes that nobody else uses.
/// unsafe { block.write_bytes(0xAB, 64) };
/// assert!(large.allocate().is_some());
///
/// // SAFETY: it came from this pool and isn't used any more.
/// unsafe { small.deallocate(block) };
/// assert_eq!(small.allocate(), Some(block));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct FixedBlock<P: PageSource> {
    /// *Invariant (Size):* used with `block_size`, which doesn't change.
    carver: Carver,
    block_size: BlockSize,
    /// Dropped with the pool and not lent out mutably: the pool's memory is there as long as the pool.
    pages: P,
}

#[cfg(not(any(hpalloc_hardened, hpalloc_asan)))]
static_assertions::const_assert!(
    size_of::<FixedBlock<&Arena<RawRegion>>>() <= 5 * size_of::<usize>() + size_of::<BlockSize>()
);
assert_impl_all!(FixedBlock<Arena<Borrowed<'static>>>: Send);
assert_not_impl_any!(FixedBlock<Arena<RawRegion>>: Sync, Clone);
assert_not_impl_any!(FixedBlock<&Arena<RawRegion>>: Send, Sync);

/// A pool over a longer-lived source serves where one over a shorter-lived source is asked for.
const fn _covariant<'short>(
    pool: &'short FixedBlock<&'static Arena<RawRegion>>,
) -> &'short FixedBlock<&'short Arena<RawRegion>> {
    pool
}

impl<P: PageSource> FixedBlock<P> {
    /// A pool of blocks of `block_size` bytes. It takes no page yet.
    ///
    /// Constant time, with one division. Never panics.
    ///
    /// # Errors
    ///
    /// [`TooSmall`](BlockSizeError::TooSmall) below the size of a pointer, [`Misaligned`](BlockSizeError::Misaligned)
    /// unless it is a multiple of a pointer's alignment, [`TooLarge`](BlockSizeError::TooLarge) above
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE). The source is dropped then.
    ///
    /// ```
    /// use hpalloc::{Arena, BlockSizeError, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// assert_eq!(FixedBlock::new(&arena, 48)?.block_size(), 48);
    /// assert!(matches!(FixedBlock::new(&arena, 1), Err(BlockSizeError::TooSmall { bytes: 1, .. })));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn new(pages: P, block_size: usize) -> Result<Self, BlockSizeError> {
        BlockSize::new(block_size).map(|block_size| Self::with_block_size(pages, block_size))
    }

    /// A pool of blocks of a size that was checked before, as in a constant. It takes no page yet.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, BlockSize, FixedBlock, Page};
    ///
    /// const SIZE: BlockSize = BlockSize::of::<[u32; 6]>();
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let pool = FixedBlock::with_block_size(Arena::from_pages(&mut pages)?, SIZE);
    /// assert_eq!(pool.block_size(), 24);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    #[must_use]
    pub const fn with_block_size(pages: P, block_size: BlockSize) -> Self {
        Self { carver: Carver::new(), block_size, pages }
    }

    /// A block, or `None` when none is free and the source has no more pages for one.
    ///
    /// It is [`block_size`](Self::block_size) bytes, aligned to [`block_align`](Self::block_align), valid for reads and
    /// writes until it is deallocated or the page source is dropped or reset, and nobody else's. What is in it is unknown,
    /// and may be uninitialised.
    ///
    /// # Time complexity
    ///
    /// Constant: no loop and no division. Where no block is at hand it calls [`PageSource::take_pages`] once.
    ///
    /// # Panics
    ///
    /// Only if the source of pages does, or, with `--cfg hpalloc_hardened`, the hook for misuse.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 2048)?;
    /// assert!(pool.allocate().is_some());
    /// assert!(pool.allocate().is_some());
    /// assert!(pool.allocate().is_none());
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "an ignored block is leaked"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn allocate(&self) -> Option<NonNull<u8>> {
        reported(|| self.try_allocate())
    }

    /// As `allocate`, with misuse that is found on the way returned: the block that would be next was written to, and is left
    /// out.
    #[inline]
    pub(crate) fn try_allocate(&self) -> Result<Option<NonNull<u8>>, MisuseError> {
        // SAFETY: Size.
        match unsafe { self.carver.take(self.block_size) } {
            Ok(None) => self.refill(),
            block => block,
        }
    }

    /// The first block of a run of pages from the source.
    #[cold]
    #[inline(never)]
    fn refill(&self) -> Result<Option<NonNull<u8>>, MisuseError> {
        // SAFETY: Size, and `allocate` has found no block.
        unsafe { self.carver.refill(self.block_size, &self.pages) }
    }

    /// Takes a block back, to hand it out again: the last one first.
    ///
    /// The first word of the block is overwritten.
    ///
    /// # Time complexity
    ///
    /// Constant: two stores.
    ///
    /// # Panics
    ///
    /// Only if the source of pages does, or, with `--cfg hpalloc_hardened`, the hook for misuse.
    ///
    /// # Safety
    ///
    /// - `block` was returned by [`allocate`](Self::allocate) of this pool, or of another pool of the same block size over
    ///   the same source (a reference to the same arena, say), so that its pages are there for as long as this pool's. With
    ///   `--cfg hpalloc_hardened`, both have to be [of one family](Self::in_family).
    /// - It was not deallocated since: a block that is in the free list twice is handed out twice.
    /// - Nothing uses it any more.
    /// - The pointer is the one that was returned, or one derived from it that is still valid for the whole block.
    ///
    /// ```
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 64)?;
    /// let block = pool.allocate().unwrap();
    /// // SAFETY: the block came from this pool and isn't used any more.
    /// unsafe { pool.deallocate(block) };
    /// assert_eq!(pool.free_blocks(), 1);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn deallocate(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise is the one that is asked for.
        if let Err(error) = unsafe { self.give_back(block) } {
            report(error);
        }
    }

    /// # Safety
    ///
    /// That of `deallocate`.
    #[inline]
    pub(crate) unsafe fn give_back(&self, block: NonNull<u8>) -> Result<(), MisuseError> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.carver.give_back(block, self.block_size) }
    }

    /// Whether the block is a live one of this pool, as far as that is known: with `--cfg hpalloc_hardened`.
    ///
    /// # Safety
    ///
    /// In a family, that of `deallocate`. Any other pool looks at its own memory alone.
    #[inline]
    pub(crate) unsafe fn check(&self, block: NonNull<u8>) -> Result<(), MisuseError> {
        // SAFETY: Size, and the caller's promise is the one that is asked for.
        unsafe { self.carver.check(block, self.block_size) }.map(drop)
    }

    /// A block was given up for good.
    pub(crate) fn forget(&self) {
        self.carver.forget();
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
    /// use hpalloc::hardened::Misuse;
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let (small, large) = (FixedBlock::new(&arena, 64)?, FixedBlock::new(&arena, 96)?);
    /// let block = small.allocate().unwrap();
    /// // SAFETY: what isn't safe about it is what it returns.
    /// assert_eq!(unsafe { large.try_deallocate(block) }.unwrap_err().misuse, Misuse::Foreign);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(hpalloc_hardened)]
    #[cfg_attr(docsrs, doc(cfg(hpalloc_hardened)))]
    pub unsafe fn try_deallocate(&self, block: NonNull<u8>) -> Result<(), MisuseError> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.give_back(block) }
    }

    /// The same pool, as one of a family: pools with the same number, block size and source, which may free each other's
    /// blocks. Part of making a pool: once it has memory, this has no effect. (A pool in a slice has it from the start, and can't
    /// share its source.)
    ///
    /// Only a program that is built with `--cfg hpalloc_hardened` needs it, because there a block of another pool is reported
    /// as foreign. (In other programs, pools of one block size and one source need not say so.) What is checked is less than for a
    /// pool on its own, see *Families* in `SECURITY.md`: the pool has to believe that a block that isn't its own is of the
    /// family, and leaks are not reported.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let [one, other] = [FixedBlock::new(&arena, 64)?, FixedBlock::new(&arena, 64)?].map(|pool| pool.in_family(1));
    /// let block = one.allocate().unwrap();
    /// // SAFETY: the pools are of one family and over one arena, and the block isn't used any more.
    /// unsafe { other.deallocate(block) };
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn in_family(mut self, family: u16) -> Self {
        self.carver.in_family(family);
        self
    }

    /// The size of a block in bytes.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, FixedBlock, Page};
    /// # let mut pages = [const { Page::new() }; 1];
    /// assert_eq!(FixedBlock::new(Arena::from_pages(&mut pages)?, 80)?.block_size(), 80);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn block_size(&self) -> usize {
        self.block_size.bytes()
    }

    /// What the address of every block is a multiple of: see [`BlockSize::align`]. In a [`StaticPool`](crate::StaticPool),
    /// whose memory may start anywhere, it can be less, but not less than its values and a pointer need.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, FixedBlock, Page};
    /// # let mut pages = [const { Page::new() }; 1];
    /// assert_eq!(FixedBlock::new(Arena::from_pages(&mut pages)?, 80)?.block_align(), 16);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn block_align(&self) -> usize {
        self.block_size.align().min(self.pages.align_limit(SEAL))
    }

    /// How many blocks a page holds; 0 where a block is larger than a page.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// # use hpalloc::{Arena, FixedBlock, Page};
    /// # let mut pages = [const { Page::new() }; 1];
    /// assert_eq!(FixedBlock::new(Arena::from_pages(&mut pages)?, 80)?.blocks_per_page(), 51);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn blocks_per_page(&self) -> usize {
        self.block_size.blocks_per_page()
    }

    /// The source of the pool's pages.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 64)?;
    /// pool.allocate().unwrap();
    /// assert_eq!(pool.page_source().pages_remaining(), 1);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn page_source(&self) -> &P {
        &self.pages
    }
}

// Last, so that the documentation begins with the methods above.
mod diagnosis;
mod in_memory;
