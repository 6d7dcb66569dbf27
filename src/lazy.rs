use core::cell::OnceCell;
use core::fmt;
use core::ptr::NonNull;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::{Arena, ArenaError, Page, PageSource, RawRegion, Region};

/// A [`PageSource`] that makes its arena when the first page is asked for.
///
/// A pool over it can be made in a constant, and so live in a `static`, behind a lock, with no `init` that could be
/// forgotten. If the arena can't be made there are no pages; the reason is kept, see [`arena`](Self::arena).
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
pub struct Lazy<R> {
    make: fn() -> Result<Arena<R>, ArenaError>,
    /// Set at the first use, and then for good.
    arena: OnceCell<Result<Arena<R>, ArenaError>>,
}

assert_impl_all!(Lazy<RawRegion>: Send);
assert_not_impl_any!(Lazy<RawRegion>: Sync);

impl<R: Region> Lazy<R> {
    /// A source whose arena `make` will make, once.
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

    /// The arena, made now if it wasn't yet.
    ///
    /// # Errors
    ///
    /// What `make` returned: it is called once, and again only if it panicked, or asks for this arena itself.
    ///
    /// # Time complexity
    ///
    /// That of `make` the first time, constant from then on.
    ///
    /// # Panics
    ///
    /// Where `make` does.
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use hpalloc::{Arena, ArenaError, BlockSize, Boxed, FixedBlock, Lazy};
    ///
    /// let pages = Lazy::new(|| Boxed::new(5000).and_then(Arena::from_region));
    /// let pool = FixedBlock::with_block_size(pages, BlockSize::default());
    /// assert_eq!(pool.allocate(), None);
    /// assert_eq!(pool.page_source().arena().unwrap_err(), &ArenaError::InvalidSize { size: 5000 });
    /// # }
    /// ```
    pub fn arena(&self) -> Result<&Arena<R>, &ArenaError> {
        loop {
            if let Some(made) = self.arena.get() {
                return made.as_ref();
            }
            // If `make` itself asked for this arena, there is one by now, which counts; the other is dropped.
            let _ = self.arena.set((self.make)());
        }
    }
}

// SAFETY: the pages come from the arena, which stays in the cell until the source is dropped and is never lent out
// mutably.
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
            None => defmt::write!(f, "Lazy {{ not made yet }}"),
            Some(Ok(arena)) => defmt::write!(f, "Lazy {{ {} }}", arena),
            Some(Err(error)) => defmt::write!(f, "Lazy {{ {} }}", error),
        }
    }
}
