use std::alloc::{Layout, alloc_zeroed};
use std::boxed::Box;
use std::ptr::NonNull;

use crate::arena_error::pages_in;
use crate::{ArenaError, Page, Region};

/// Pages from the global allocator, freed when the region is dropped (feature `std`).
///
/// For tests, and for systems without memory mappings. It holds a `Box<[Page]>` as a raw
/// pointer, so that the arena over it can be moved.
///
/// ```
/// use hpalloc::{Arena, Boxed};
///
/// let arena = Arena::from_region(Boxed::new(64 * 1024)?)?;
/// assert_eq!(arena.total_pages(), 16);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
#[derive(Debug)]
pub struct Boxed {
    /// From `Box::leak`, or memory that `Box::from_raw` may take over.
    pages: NonNull<[Page]>,
    zeroed: bool,
}

impl Boxed {
    /// Allocates `size_in_bytes` bytes of zeroed memory from the global allocator.
    ///
    /// Costs the time of an allocation by the global allocator. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) or [`TooLarge`](ArenaError::TooLarge) if
    /// an arena can't have that size; [`OutOfMemory`](ArenaError::OutOfMemory) if the
    /// allocator can't provide the memory.
    ///
    /// ```
    /// use hpalloc::{ArenaError, Boxed};
    ///
    /// assert!(Boxed::new(8192).is_ok());
    /// assert_eq!(Boxed::new(100).unwrap_err(), ArenaError::InvalidSize { size: 100 });
    /// ```
    pub fn new(size_in_bytes: usize) -> Result<Self, ArenaError> {
        let error = ArenaError::OutOfMemory { size: size_in_bytes };
        let count = pages_in(size_in_bytes)?;
        let layout = Layout::array::<Page>(count).map_err(|_| error.clone())?;
        // SAFETY: `pages_in` returned a positive count, so the size of the layout is not
        // zero.
        let first = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(error)?;
        Ok(Self { pages: NonNull::slice_from_raw_parts(first.cast(), count), zeroed: true })
    }
}

impl From<Box<[Page]>> for Boxed {
    /// Takes ownership of the pages. Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Boxed, Page};
    ///
    /// let pages: Box<[Page]> = (0..4).map(|_| Page::new()).collect();
    /// let arena = Arena::from_region(Boxed::from(pages))?;
    /// assert_eq!(arena.total_pages(), 4);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    fn from(pages: Box<[Page]>) -> Self {
        Self { pages: NonNull::from(Box::leak(pages)), zeroed: false }
    }
}

// SAFETY: the region owns its memory (Region: Exclusive), and memory is not bound to a
// thread.
unsafe impl Send for Boxed {}

// SAFETY: Exclusive and Fixed: `pages` is a raw pointer to memory that the box gave up
// until the region is dropped. Aligned: it points to `Page`s. Zeroed: `zeroed` is set
// only for memory from `alloc_zeroed` to which nothing has been written.
unsafe impl Region for Boxed {
    fn pages(&self) -> NonNull<[Page]> {
        self.pages
    }

    fn is_zeroed(&self) -> bool {
        self.zeroed
    }
}

format_region!(Boxed);

impl Drop for Boxed {
    fn drop(&mut self) {
        // SAFETY: the memory was allocated for a `[Page]` of this length by the global
        // allocator, and is freed only here.
        drop(unsafe { Box::from_raw(self.pages.as_ptr()) });
    }
}
