use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;
use core::slice;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::poison::Memory;
use crate::region::DefaultRegion;
use crate::{Borrowed, PAGE_SIZE, Page, PageSource, RawRegion, Region};

mod make;

/// A region of memory that is handed out page by page, in ascending order.
///
/// ```text
///   region   ┌────┬────┬────┬────┬────┬────┐
///            │ p0 │ p1 │ p2 │    │    │    │
///            └────┴────┴────┴────┴────┴────┘
///             handed out    ▲  not yet
///                           next
/// ```
///
/// Pages are not freed one by one. [`reset`](Self::reset), which borrows the arena
/// mutably, makes all of them available again. Dropping the arena drops its region.
///
/// Every operation takes constant time. On top of that, the first access to a page of a
/// memory mapping may cause a page fault.
///
/// Pages are borrowed from the arena, so they can't be used after it is dropped:
///
/// ```compile_fail,E0505
/// # use hpalloc::{Arena, Page};
/// # let mut pages = [const { Page::new() }; 2];
/// let arena = Arena::from_pages(&mut pages).unwrap();
/// let page = arena.alloc_page().unwrap();
/// drop(arena);
/// page.zero();
/// ```
///
/// The arena can't be reset while a page is in use, or while a pool takes pages from it:
///
/// ```compile_fail,E0502
/// # use hpalloc::{Arena, Page};
/// # let mut pages = [const { Page::new() }; 2];
/// let mut arena = Arena::from_pages(&mut pages).unwrap();
/// let page = arena.alloc_page().unwrap();
/// arena.reset();
/// page.zero();
/// ```
///
/// ```compile_fail,E0502
/// # use hpalloc::{Arena, FixedBlock, Page};
/// # let mut pages = [const { Page::new() }; 2];
/// let mut arena = Arena::from_pages(&mut pages).unwrap();
/// let pool = FixedBlock::new(&arena, 64).unwrap();
/// arena.reset();
/// pool.allocate().unwrap();
/// ```
///
/// An arena belongs to one thread at a time: it is `Send` if its region is, and never
/// `Sync`.
///
/// ```compile_fail,E0277
/// # use hpalloc::{Arena, Page};
/// # let mut pages = [const { Page::new() }; 2];
/// let arena = Arena::from_pages(&mut pages).unwrap();
/// std::thread::scope(|scope| {
///     scope.spawn(|| arena.alloc_page());
/// });
/// ```
///
/// # Example
///
/// ```
/// use hpalloc::{Arena, Page};
///
/// let mut memory = [const { Page::new() }; 3];
/// let arena = Arena::from_pages(&mut memory)?;
///
/// let first = arena.alloc_page().unwrap();
/// let second = arena.alloc_zeroed_page().unwrap();
/// first.as_uninit_mut()[0].write(1);
/// second[0] = 2;
/// assert_eq!((arena.pages_allocated(), arena.pages_remaining()), (2, 1));
///
/// assert!(arena.alloc_page().is_some());
/// assert!(arena.alloc_page().is_none());
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
pub struct Arena<R = DefaultRegion> {
    /// The pages that have been handed out, for `AddressSanitizer`. Declared before the
    /// region, because it must be dropped first.
    memory: Memory,
    /// Between one page and [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE) in size.
    region: R,
    /// The number of pages that have been handed out since the last reset, and so the
    /// index of the next one. At most the number of pages in the region.
    next: Cell<usize>,
    /// Pages from this index on are zero until they are handed out. It is the number of
    /// pages if the region is not known to be zero.
    zeroed_from: usize,
}

#[cfg(not(hpalloc_asan))]
static_assertions::const_assert_eq!(size_of::<Arena<RawRegion>>(), 4 * size_of::<usize>());
assert_impl_all!(Arena<Borrowed<'static>>: Send);
assert_impl_all!(Arena<RawRegion>: Send);
assert_not_impl_any!(Arena<RawRegion>: Sync, Clone);
#[cfg(any(feature = "mmap", feature = "static-buffer"))]
assert_impl_all!(Arena: Send);
#[cfg(feature = "std")]
assert_impl_all!(Arena<crate::Boxed>: Send);

/// Checks at compile time that an arena is covariant in the lifetime of its memory.
const fn _covariant<'short>(arena: &'short Arena<Borrowed<'static>>) -> &'short Arena<Borrowed<'short>> {
    arena
}

impl<R: Region> Arena<R> {
    /// Allocates the next page.
    ///
    /// Returns `None` if all pages are handed out, and keeps doing so until the arena is
    /// reset.
    ///
    /// No page is handed out twice, so a shared arena can lend it mutably. Its contents
    /// are unspecified and may be uninitialized.
    ///
    /// # Time complexity
    ///
    /// Constant: one comparison and one addition.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use hpalloc::{Arena, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let (first, second) = (arena.alloc_page().unwrap(), arena.alloc_page().unwrap());
    /// assert_eq!(first.as_mut_ptr().addr() + 4096, second.as_mut_ptr().addr());
    /// assert!(arena.alloc_page().is_none());
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "an ignored page is lost until the arena is reset"]
    #[allow(clippy::mut_from_ref, reason = "no two calls return the same page")]
    #[inline]
    pub fn alloc_page(&self) -> Option<&mut Page> {
        let page = self.take_pages(1)?;
        // SAFETY: by PageSource: Run and Exclusive, the page is valid for as long as the
        // arena exists, and nothing else uses it. `reset` can't be called before the
        // borrow ends.
        Some(unsafe { &mut *page.as_ptr() })
    }

    /// Allocates the next `count` pages, which are contiguous.
    ///
    /// Returns `None` if `count` is zero or greater than
    /// [`pages_remaining`](Self::pages_remaining). No page is consumed then. The contents
    /// of the pages are unspecified and may be uninitialized.
    ///
    /// # Time complexity
    ///
    /// Constant.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use hpalloc::{Arena, Page};
    ///
    /// let mut pages = [const { Page::new() }; 3];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// assert!(arena.alloc_pages(4).is_none());
    /// assert_eq!(arena.alloc_pages(3).unwrap().len(), 3);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "an ignored page is lost until the arena is reset"]
    #[allow(clippy::mut_from_ref, reason = "no two calls return the same page")]
    #[inline]
    pub fn alloc_pages(&self, count: usize) -> Option<&mut [Page]> {
        let first = self.take_pages(count)?;
        // SAFETY: as in `alloc_page`, for `count` pages. A region is at most
        // `MAX_ARENA_SIZE` bytes, so they are not too large for a slice.
        Some(unsafe { slice::from_raw_parts_mut(first.as_ptr(), count) })
    }

    /// Allocates the next page and returns its bytes, all zero.
    ///
    /// Returns `None` if all pages are handed out.
    ///
    /// # Time complexity
    ///
    /// Constant if the region came zeroed, as a memory mapping does, and the page was not
    /// handed out before a [`reset`](Self::reset). Otherwise a `memset` of [`PAGE_SIZE`]
    /// bytes.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use hpalloc::{Arena, Page};
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// assert_eq!(arena.alloc_zeroed_page(), Some(&mut [0; 4096]));
    /// assert_eq!(arena.alloc_zeroed_page(), None);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "an ignored page is lost until the arena is reset"]
    #[allow(clippy::mut_from_ref, reason = "no two calls return the same page")]
    #[inline]
    pub fn alloc_zeroed_page(&self) -> Option<&mut [u8; PAGE_SIZE]> {
        let index = self.next.get();
        let page = self.alloc_page()?;
        if index < self.zeroed_from {
            return Some(page.zero());
        }
        // SAFETY: by Region: Zeroed and `zeroed_from`, all bytes of the page are
        // initialized.
        Some(unsafe { &mut *page.as_mut_ptr().cast() })
    }

    /// Returns the size of a page in bytes, [`PAGE_SIZE`].
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, Page};
    /// # let mut pages = [const { Page::new() }; 1];
    /// assert_eq!(Arena::from_pages(&mut pages)?.page_size(), 4096);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn page_size(&self) -> usize {
        PAGE_SIZE
    }

    /// Returns the number of pages handed out since the arena was created or last
    /// [`reset`](Self::reset).
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, Page};
    /// # let mut pages = [const { Page::new() }; 3];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// arena.alloc_pages(2).unwrap();
    /// assert_eq!(arena.pages_allocated(), 2);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn pages_allocated(&self) -> usize {
        self.next.get()
    }

    /// Returns the total number of pages in the arena.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, Page};
    /// # let mut pages = [const { Page::new() }; 3];
    /// assert_eq!(Arena::from_pages(&mut pages)?.total_pages(), 3);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn total_pages(&self) -> usize {
        self.region.pages().len()
    }

    /// Returns the number of pages that can still be handed out.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{Arena, Page};
    /// # let mut pages = [const { Page::new() }; 3];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// arena.alloc_pages(2).unwrap();
    /// assert_eq!(arena.pages_remaining(), 1);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn pages_remaining(&self) -> usize {
        self.total_pages() - self.pages_allocated()
    }

    /// Makes all pages available again, starting with the first.
    ///
    /// The mutable borrow proves that no page of the arena and no pool over it is in use.
    ///
    /// # Time complexity
    ///
    /// Constant.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// # use hpalloc::{Arena, Page};
    /// # let mut pages = [const { Page::new() }; 3];
    /// let mut arena = Arena::from_pages(&mut pages)?;
    /// arena.alloc_pages(3).unwrap();
    /// arena.reset();
    /// assert_eq!(arena.pages_remaining(), 3);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    pub fn reset(&mut self) {
        self.memory.unpoison();
        self.zeroed_from = self.zeroed_from.max(self.next.replace(0));
    }
}

// SAFETY: Run: the run is within the region, which is one allocation. Exclusive: by
// Region: Exclusive, and because `next` moves past the pages that are returned. Only
// `reset` moves it back, which borrows the arena mutably. Aligned and Fixed: by Region:
// Aligned and Fixed. Zeroed: by `zeroed_from`.
unsafe impl<R: Region> PageSource for Arena<R> {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        let pages = self.region.pages();
        let next = self.next.get();
        if count == 0 || count > pages.len() - next {
            return None;
        }
        self.next.set(next + count);
        self.memory.set(pages.as_ptr().cast(), (next + count) * PAGE_SIZE);
        // SAFETY: by the comparison above, the `count` pages from `next` on are within
        // the region.
        Some(unsafe { pages.cast::<Page>().add(next) })
    }

    #[inline]
    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        let is_zeroed = self.next.get() >= self.zeroed_from;
        Some((self.take_pages(count)?, is_zeroed))
    }

    #[inline]
    fn exclusive_pages(&self, least: usize) -> usize {
        let remaining = self.pages_remaining();
        if remaining < least { 0 } else { remaining }
    }
}

impl<R: Region> fmt::Debug for Arena<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("pages", &self.region.pages())
            .field("pages_allocated", &self.pages_allocated())
            .field("total_pages", &self.total_pages())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<R: Region> defmt::Format for Arena<R> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Arena {{ {=usize} of {=usize} pages allocated }}",
            self.pages_allocated(),
            self.total_pages()
        );
    }
}
