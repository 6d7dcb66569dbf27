use core::ptr::NonNull;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::carver::Carver;
use crate::hardened::{MisuseError, report, reported};
use crate::seal::SEAL;
use crate::{Arena, BlockSize, BlockSizeError, Borrowed, PageSource, RawRegion};

pub use in_memory::NoPages;

/// A pool of blocks of one size, which allocates and frees in constant time. The blocks
/// are cut from the pages of a [`PageSource`].
///
/// ```text
///   run      ┌────┬────┬────┬────┬────┬────┬──┐
///            │ b0 │ b1 │ b2 │ b3 │    │    │  │ rest: too small for a block
///            └────┴─▲──┴────┴─▲──┴────┴────┴──┘
///                   │         │  ▲         ▲
///        free ──────┴────────►┘  fresh     end
/// ```
///
/// A block comes from the first of these that has one:
///
/// 1. the *free list*, last in, first out. Its links are stored in the free blocks
///    themselves;
/// 2. the *fresh* part of the newest run of pages, from which blocks are carved one at a
///    time, in ascending order. A run is one page or, if a block is larger than a page,
///    the number of pages that one block needs;
/// 3. a new run, taken from the page source.
///
/// No step has a loop or a division, so over an arena the worst case is a small, fixed
/// number of instructions. Other sources add their own cost: an array of sources, for
/// example, tries each of them. On a host, the first access to a page may also cause a
/// page fault.
///
/// Except in a hardened build, memory that was never allocated is never touched. Blocks
/// have no headers, so the blocks of a run are contiguous. They are not merged, and no
/// page returns to the source before the source is reset or dropped.
///
/// A pool belongs to one thread at a time: it uses no atomics, and it is never `Sync`.
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
/// A pool that owns its arena can move to another thread. One that borrows an arena
/// can't, because other pools may share the arena:
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
/// // SAFETY: the block is 64 bytes that nothing else uses.
/// unsafe { block.write_bytes(0xAB, 64) };
/// assert!(large.allocate().is_some());
///
/// // SAFETY: the block came from this pool and is no longer used.
/// unsafe { small.deallocate(block) };
/// assert_eq!(small.allocate(), Some(block));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct FixedBlock<P: PageSource> {
    /// *Invariant (Size):* every call passes `block_size`, which does not change.
    carver: Carver,
    block_size: BlockSize,
    /// Dropped with the pool and never lent mutably, so the pool's memory is valid as
    /// long as the pool exists.
    pages: P,
}

#[cfg(not(any(hpalloc_hardened, hpalloc_asan)))]
static_assertions::const_assert!(
    size_of::<FixedBlock<&Arena<RawRegion>>>() <= 5 * size_of::<usize>() + size_of::<BlockSize>()
);
assert_impl_all!(FixedBlock<Arena<Borrowed<'static>>>: Send);
assert_not_impl_any!(FixedBlock<Arena<RawRegion>>: Sync, Clone);
assert_not_impl_any!(FixedBlock<&Arena<RawRegion>>: Send, Sync);

/// Checks at compile time that a pool is covariant in the lifetime of its source.
const fn _covariant<'short>(
    pool: &'short FixedBlock<&'static Arena<RawRegion>>,
) -> &'short FixedBlock<&'short Arena<RawRegion>> {
    pool
}

impl<P: PageSource> FixedBlock<P> {
    /// Creates a pool of blocks of `block_size` bytes. It takes no page yet.
    ///
    /// Constant time, with one division. Never panics.
    ///
    /// # Errors
    ///
    /// [`TooSmall`](BlockSizeError::TooSmall) if the size is below that of a pointer,
    /// [`Misaligned`](BlockSizeError::Misaligned) if it is not a multiple of a pointer's
    /// alignment, [`TooLarge`](BlockSizeError::TooLarge) if it is above
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE). On error, the source is dropped.
    ///
    /// ```
    /// use hpalloc::{Arena, BlockSizeError, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// assert_eq!(FixedBlock::new(&arena, 48)?.block_size(), 48);
    ///
    /// let error = FixedBlock::new(&arena, 1).unwrap_err();
    /// assert!(matches!(error, BlockSizeError::TooSmall { bytes: 1, .. }));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn new(pages: P, block_size: usize) -> Result<Self, BlockSizeError> {
        BlockSize::new(block_size).map(|block_size| Self::with_block_size(pages, block_size))
    }

    /// Creates a pool of blocks of a size that has been checked, for example in a
    /// constant. It takes no page yet.
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

    /// Allocates a block. Returns `None` if no block is free and the source has no more
    /// pages.
    ///
    /// The block has [`block_size`](Self::block_size) bytes and is aligned to
    /// [`block_align`](Self::block_align). It is valid for reads and writes, and nothing
    /// else uses it, until it is deallocated or the page source is reset or dropped. Its
    /// contents are unspecified and may be uninitialized.
    ///
    /// # Time complexity
    ///
    /// Constant: no loop and no division. If the pool has neither a free nor a fresh
    /// block, it calls [`PageSource::take_pages`] once.
    ///
    /// With `--cfg hpalloc_hardened`, linear in the block size.
    ///
    /// # Panics
    ///
    /// Only if the page source panics or, with `--cfg hpalloc_hardened`, the misuse hook
    /// does.
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

    /// Allocates a block as `allocate` does, but returns detected misuse instead of
    /// reporting it. The misuse is a write to the free block that would be next, and that
    /// block is left out.
    #[inline]
    pub(crate) fn try_allocate(&self) -> Result<Option<NonNull<u8>>, MisuseError> {
        // SAFETY: Size.
        match unsafe { self.carver.take(self.block_size) } {
            Ok(None) => self.refill(),
            block => block,
        }
    }

    /// Takes a run of pages from the source and returns its first block.
    #[cold]
    #[inline(never)]
    fn refill(&self) -> Result<Option<NonNull<u8>>, MisuseError> {
        // SAFETY: Size, and `take` has just returned `None`.
        unsafe { self.carver.refill(self.block_size, &self.pages) }
    }

    /// Returns a block to the pool. The block that was freed last is the next to be
    /// allocated.
    ///
    /// The first word of the block is overwritten.
    ///
    /// # Time complexity
    ///
    /// Constant: two stores.
    ///
    /// With `--cfg hpalloc_hardened`, linear in the block size, plus the search for the
    /// block's run.
    ///
    /// # Panics
    ///
    /// Only if, with `--cfg hpalloc_hardened`, the misuse hook panics.
    ///
    /// # Safety
    ///
    /// - `block` must come from [`allocate`](Self::allocate) of this pool, or of another
    ///   pool with the same block size over the same source, such as a reference to the
    ///   same arena. The pages of the block are then valid for as long as those of this
    ///   pool. With `--cfg hpalloc_hardened`, both pools must be [members of one
    ///   family](Self::in_family).
    /// - It must not have been deallocated since: a block that is in the free list twice
    ///   is handed out twice.
    /// - Nothing may use it any more.
    /// - The pointer must be the one that was returned, or one derived from it that is
    ///   still valid for the whole block.
    ///
    /// ```
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 64)?;
    /// let block = pool.allocate().unwrap();
    /// // SAFETY: the block came from this pool and is no longer used.
    /// unsafe { pool.deallocate(block) };
    /// assert_eq!(pool.free_blocks(), 1);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn deallocate(&self, block: NonNull<u8>) {
        // SAFETY: by the caller's promise.
        if let Err(error) = unsafe { self.give_back(block) } {
            report(error);
        }
    }

    /// # Safety
    ///
    /// That of `deallocate`.
    #[inline]
    pub(crate) unsafe fn give_back(&self, block: NonNull<u8>) -> Result<(), MisuseError> {
        // SAFETY: by the caller's promise.
        unsafe { self.carver.give_back(block, self.block_size) }
    }

    /// Checks that the block is a live block of this pool, as far as the pool knows.
    /// Without `--cfg hpalloc_hardened`, it checks nothing.
    ///
    /// # Safety
    ///
    /// In a family, that of `deallocate`. Any other pool accesses only its own memory.
    #[inline]
    pub(crate) unsafe fn check(&self, block: NonNull<u8>) -> Result<(), MisuseError> {
        // SAFETY: Size, and by the caller's promise.
        unsafe { self.carver.check(block, self.block_size) }.map(drop)
    }

    /// Records that a block will never be freed, so that it is not reported as leaked.
    pub(crate) fn forget(&self) {
        self.carver.forget();
    }

    /// Returns a block to the pool as [`deallocate`](Self::deallocate) does, but returns
    /// detected misuse instead of reporting it to the hook.
    ///
    /// The time is linear in the block size, because the block is filled, plus the search
    /// for the block's run. Never panics.
    ///
    /// # Errors
    ///
    /// The detected misuse. The block is not freed.
    ///
    /// # Safety
    ///
    /// That of `deallocate`, except for misuse that is detected: see
    /// [`hardened`](crate::hardened).
    ///
    /// ```
    /// use hpalloc::hardened::Misuse;
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let (small, large) = (FixedBlock::new(&arena, 64)?, FixedBlock::new(&arena, 96)?);
    /// let block = small.allocate().unwrap();
    /// // SAFETY: a block of the wrong pool is detected and returned as an error.
    /// let error = unsafe { large.try_deallocate(block) }.unwrap_err();
    /// assert_eq!(error.misuse, Misuse::Foreign);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(hpalloc_hardened)]
    #[cfg_attr(docsrs, doc(cfg(hpalloc_hardened)))]
    pub unsafe fn try_deallocate(&self, block: NonNull<u8>) -> Result<(), MisuseError> {
        // SAFETY: by the caller's promise.
        unsafe { self.give_back(block) }
    }

    /// Makes the pool a member of a family: pools with the same number, block size and
    /// source, which may free each other's blocks.
    ///
    /// Call this when you create the pool: once the pool has memory, it has no effect. A
    /// pool in a slice has memory from the start, and can't share its source.
    ///
    /// Only a build with `--cfg hpalloc_hardened` needs it, because such a build reports
    /// a block of another pool as foreign. Without hardening, pools with the same block
    /// size and source may always free each other's blocks.
    ///
    /// A family is checked less strictly than a pool on its own. The pool must assume
    /// that any foreign block belongs to the family. It also reports no leaks. See
    /// *Families* in `SECURITY.md`.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, FixedBlock, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let one = FixedBlock::new(&arena, 64)?.in_family(1);
    /// let other = FixedBlock::new(&arena, 64)?.in_family(1);
    /// let block = one.allocate().unwrap();
    /// // SAFETY: the pools share a family and an arena. The block is no longer used.
    /// unsafe { other.deallocate(block) };
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn in_family(mut self, family: u16) -> Self {
        self.carver.in_family(family);
        self
    }

    /// Returns the size of a block in bytes.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, FixedBlock, Page};
    /// # let mut pages = [const { Page::new() }; 1];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 80)?;
    /// assert_eq!(pool.block_size(), 80);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn block_size(&self) -> usize {
        self.block_size.bytes()
    }

    /// Returns the alignment of the blocks in bytes: see [`BlockSize::align`].
    ///
    /// In a [`StaticPool`](crate::StaticPool), whose memory may start anywhere, it can be
    /// less, but never less than its values and a pointer need.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, FixedBlock, Page};
    /// # let mut pages = [const { Page::new() }; 1];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 80)?;
    /// assert_eq!(pool.block_align(), 16);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn block_align(&self) -> usize {
        self.block_size.align().min(self.pages.align_limit(SEAL))
    }

    /// Returns the number of blocks in a page, or 0 if a block is larger than a page.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// # use hpalloc::{Arena, FixedBlock, Page};
    /// # let mut pages = [const { Page::new() }; 1];
    /// let pool = FixedBlock::new(Arena::from_pages(&mut pages)?, 80)?;
    /// assert_eq!(pool.blocks_per_page(), 51);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn blocks_per_page(&self) -> usize {
        self.block_size.blocks_per_page()
    }

    /// Returns the source of the pool's pages.
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

// Declared last, so that the documentation begins with the methods above.
mod diagnosis;
mod in_memory;
