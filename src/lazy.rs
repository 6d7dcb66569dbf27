use core::cell::OnceCell;
use core::fmt;
use core::ptr::NonNull;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::{Arena, ArenaError, Page, PageSource, RawRegion, Region};

/// A [`PageSource`] that creates its arena when the first page is requested.
///
/// A pool or a heap over a `Lazy` can be created in a constant, and so can be in a
/// `static`, behind a lock, with no `init` that the program could forget to call.
///
/// ```
/// # #[cfg(feature = "static-buffer")] {
/// use hpalloc::{Arena, BlockSize, FixedBlock, Lazy, StaticRegion};
///
/// hpalloc::static_buffer! {
///     static MEMORY: StaticBuffer<4>;
/// }
///
/// let pool: FixedBlock<Lazy<StaticRegion>> = const {
///     FixedBlock::with_block_size(
///         Lazy::new(|| MEMORY.claim().and_then(Arena::from_region)),
///         BlockSize::of::<[u64; 4]>(),
///     )
/// };
/// assert!(pool.allocate().is_some());
/// # }
/// ```
///
/// If the arena can't be created, the source has no pages. [`arena`](Self::arena) returns
/// the error.
pub struct Lazy<R> {
    make: fn() -> Result<Arena<R>, ArenaError>,
    /// Set at the first use. It doesn't change after that.
    arena: OnceCell<Result<Arena<R>, ArenaError>>,
}

assert_impl_all!(Lazy<RawRegion>: Send);
assert_not_impl_any!(Lazy<RawRegion>: Sync);

impl<R: Region> Lazy<R> {
    /// Creates a source whose arena will be created by `make`, at the first use.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use hpalloc::{Arena, BlockSize, Boxed, FixedBlock, Lazy};
    ///
    /// let pages = Lazy::new(|| Boxed::new(8192).and_then(Arena::from_region));
    /// let pool = FixedBlock::with_block_size(pages, BlockSize::default());
    /// assert!(pool.allocate().is_some());
    /// # }
    /// ```
    #[must_use]
    pub const fn new(make: fn() -> Result<Arena<R>, ArenaError>) -> Self {
        Self { make, arena: OnceCell::new() }
    }

    /// Returns the arena. The first call creates it.
    ///
    /// # Errors
    ///
    /// The error that `make` returned. `make` is called only once, unless it panics or
    /// calls `arena` on this same `Lazy`.
    ///
    /// # Time complexity
    ///
    /// That of `make` the first time, constant after that.
    ///
    /// # Panics
    ///
    /// If `make` panics.
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use hpalloc::{Arena, ArenaError, BlockSize, Boxed, FixedBlock, Lazy};
    ///
    /// let pages = Lazy::new(|| Boxed::new(5000).and_then(Arena::from_region));
    /// let pool = FixedBlock::with_block_size(pages, BlockSize::default());
    /// assert_eq!(pool.allocate(), None);
    /// let error = pool.page_source().arena().unwrap_err();
    /// assert_eq!(error, &ArenaError::InvalidSize { size: 5000 });
    /// # }
    /// ```
    pub fn arena(&self) -> Result<&Arena<R>, &ArenaError> {
        loop {
            if let Some(made) = self.arena.get() {
                return made.as_ref();
            }
            // If `make` itself used this arena, the cell is already set. That arena is
            // kept, and the one returned here is dropped.
            let _ = self.arena.set((self.make)());
        }
    }
}

// SAFETY: the pages come from the arena, which stays in the cell until the source is
// dropped, and to which no mutable reference is handed out.
unsafe impl<R: Region> PageSource for Lazy<R> {
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.arena().ok()?.take_pages(count)
    }

    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        self.arena().ok()?.take_zeroed_pages(count)
    }

    fn exclusive_pages(&self, least: usize) -> usize {
        self.arena().map_or(0, |arena| arena.exclusive_pages(least))
    }
}

impl<R: Region> fmt::Debug for Lazy<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lazy").field("arena", &self.arena.get()).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<R: Region> defmt::Format for Lazy<R> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.arena.get() {
            None => defmt::write!(f, "Lazy {{ not yet created }}"),
            Some(Ok(arena)) => defmt::write!(f, "Lazy {{ {} }}", arena),
            Some(Err(error)) => defmt::write!(f, "Lazy {{ {} }}", error),
        }
    }
}
