//! The constructors of an arena, one for each kind of memory.

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::Arena;
use crate::poison::Memory;
use crate::region::DefaultRegion;
use crate::region::whole_pages;
use crate::{ArenaError, Borrowed, PAGE_SIZE, Page, RawRegion, Region};

#[cfg(any(feature = "mmap", feature = "static-buffer"))]
impl Arena {
    /// Creates an arena of `size_in_bytes` bytes over the default region.
    ///
    /// The default region is an anonymous memory mapping with the feature `mmap`,
    /// otherwise the built-in static buffer of `static-buffer`. The same line of code
    /// works with both.
    ///
    /// Costs a system call with `mmap`, otherwise constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) if the size is not a positive multiple of
    /// [`PAGE_SIZE`], [`TooLarge`](ArenaError::TooLarge) if it is above
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
    ///
    /// With `mmap`, [`MapFailed`](ArenaError::MapFailed) if the operating system refuses
    /// the mapping.
    ///
    /// With the static buffer, [`BufferTooSmall`](ArenaError::BufferTooSmall) if the size
    /// is above that of the buffer, and [`AlreadyClaimed`](ArenaError::AlreadyClaimed) if
    /// another arena holds it.
    ///
    /// ```
    /// use hpalloc::{Arena, ArenaError};
    ///
    /// let arena = Arena::new(64 * 1024)?;
    /// assert_eq!(arena.total_pages(), 16);
    ///
    /// assert_eq!(Arena::new(1).unwrap_err(), ArenaError::InvalidSize { size: 1 });
    /// # Ok::<(), ArenaError>(())
    /// ```
    pub fn new(size_in_bytes: usize) -> Result<Self, ArenaError> {
        DefaultRegion::new(size_in_bytes).map(Self::over)
    }
}

/// A trait that no type implements. It bounds the argument of [`Arena::new`] if there is
/// no default region, so that the compiler error says what to do.
#[cfg(not(any(feature = "mmap", feature = "static-buffer")))]
#[doc(hidden)]
#[allow(unreachable_pub, reason = "it is in a private module")]
#[diagnostic::on_unimplemented(
    message = "`Arena::new` needs hpalloc's feature `mmap` (a memory mapping) or `static-buffer` (a built-in buffer)",
    note = "over other memory, create the arena with `Arena::from_pages`, `from_uninit`, `from_raw` or `from_region`"
)]
pub trait SizeWithRegion {}

#[cfg(not(any(feature = "mmap", feature = "static-buffer")))]
impl Arena<DefaultRegion> {
    /// Never compiles: the compiler error says which feature is missing.
    #[doc(hidden)]
    #[allow(clippy::missing_errors_doc, reason = "it can't be called")]
    pub fn new<S: SizeWithRegion>(_size_in_bytes: S) -> Result<Self, ArenaError> {
        Err(ArenaError::InvalidSize { size: 0 })
    }
}

impl<'r> Arena<Borrowed<'r>> {
    /// Creates an arena over pages borrowed from the caller.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) if there are no pages,
    /// [`TooLarge`](ArenaError::TooLarge) if they exceed
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
    ///
    /// ```
    /// use hpalloc::{Arena, Page};
    ///
    /// let mut pages = [const { Page::new() }; 4];
    /// assert_eq!(Arena::from_pages(&mut pages)?.total_pages(), 4);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    pub fn from_pages(pages: &'r mut [Page]) -> Result<Self, ArenaError> {
        Self::from_region(Borrowed::from_pages(pages))
    }

    /// Creates an arena over bytes borrowed from the caller, which must be whole pages.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) if the length is not a positive multiple
    /// of [`PAGE_SIZE`], [`TooLarge`](ArenaError::TooLarge) if it is above
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), [`Misaligned`](ArenaError::Misaligned)
    /// if the memory does not start on a page boundary.
    ///
    /// ```
    /// use core::mem::MaybeUninit;
    /// use hpalloc::{Arena, ArenaError};
    ///
    /// #[repr(align(4096))]
    /// struct Memory([MaybeUninit<u8>; 2 * 4096]);
    ///
    /// let mut memory = Memory([MaybeUninit::uninit(); 2 * 4096]);
    /// assert_eq!(Arena::from_uninit(&mut memory.0)?.total_pages(), 2);
    /// let error = Arena::from_uninit(&mut memory.0[1..4097]).unwrap_err();
    /// assert!(matches!(error, ArenaError::Misaligned { .. }));
    /// # Ok::<(), ArenaError>(())
    /// ```
    pub fn from_uninit(memory: &'r mut [MaybeUninit<u8>]) -> Result<Self, ArenaError> {
        Borrowed::from_uninit(memory).map(Self::over)
    }

    /// Creates an arena over the whole pages within bytes borrowed from the caller.
    ///
    /// The bytes before the first page boundary and after the last one are not used.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`NoWholePage`](ArenaError::NoWholePage) if the slice contains no whole page,
    /// [`TooLarge`](ArenaError::TooLarge) if its whole pages exceed
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
    ///
    /// ```
    /// use core::mem::MaybeUninit;
    /// use hpalloc::Arena;
    ///
    /// // Wherever they start, 3 * 4096 bytes contain at least two whole pages.
    /// let mut memory = [MaybeUninit::uninit(); 3 * 4096];
    /// assert!(Arena::from_uninit_trimmed(&mut memory)?.total_pages() >= 2);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    pub fn from_uninit_trimmed(memory: &'r mut [MaybeUninit<u8>]) -> Result<Self, ArenaError> {
        Borrowed::from_uninit_trimmed(memory).map(Self::over)
    }
}

impl Arena<RawRegion> {
    /// Creates an arena over memory that is known only by its address range, as in a
    /// kernel.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) if the length is not a positive multiple
    /// of [`PAGE_SIZE`], [`TooLarge`](ArenaError::TooLarge) if it is above
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), [`Misaligned`](ArenaError::Misaligned)
    /// if the memory does not start on a page boundary,
    /// [`EndOfAddressSpace`](ArenaError::EndOfAddressSpace) if it extends to the last
    /// byte of the address space.
    ///
    /// # Safety
    ///
    /// Until the arena is dropped, the memory must be valid for reads and writes through
    /// `memory`, and nothing else may read or write it or hold a reference to it. It may
    /// be uninitialized.
    ///
    /// ```
    /// use core::ptr::NonNull;
    /// use hpalloc::{Arena, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let start = NonNull::from(&mut pages).cast::<u8>();
    /// let memory = NonNull::slice_from_raw_parts(start, 2 * 4096);
    /// // SAFETY: `pages` outlives the arena and is not used while it lives.
    /// let arena = unsafe { Arena::from_raw(memory) }?;
    /// assert_eq!(arena.total_pages(), 2);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    pub unsafe fn from_raw(memory: NonNull<[u8]>) -> Result<Self, ArenaError> {
        // SAFETY: by the caller's promise. The region lives as long as the arena.
        unsafe { RawRegion::new(memory) }.map(Self::over)
    }
}

impl<R: Region> Arena<R> {
    /// Creates an arena that owns the given region.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) if the region has no pages,
    /// [`TooLarge`](ArenaError::TooLarge) if it is larger than
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), [`Misaligned`](ArenaError::Misaligned)
    /// if it does not start on a page boundary,
    /// [`EndOfAddressSpace`](ArenaError::EndOfAddressSpace) if it extends to the last
    /// byte of the address space.
    ///
    /// On error, the region is dropped.
    ///
    /// ```
    /// use hpalloc::{Arena, ArenaError};
    /// # use hpalloc::{Page, Region};
    /// # use core::ptr::NonNull;
    /// # struct Frames(NonNull<[Page]>);
    /// # // SAFETY: nothing else uses the pages below.
    /// # unsafe impl Region for Frames {
    /// #     fn pages(&self) -> NonNull<[Page]> { self.0 }
    /// # }
    /// # let mut memory = [const { Page::new() }; 2];
    /// # let frames = Frames(NonNull::from(&mut memory[..]));
    ///
    /// // `Frames` is a type that implements `Region`.
    /// let arena: Arena<Frames> = Arena::from_region(frames)?;
    /// assert_eq!(arena.total_pages(), 2);
    /// # Ok::<(), ArenaError>(())
    /// ```
    pub fn from_region(region: R) -> Result<Self, ArenaError> {
        let pages = region.pages();
        whole_pages(pages.cast(), pages.len().saturating_mul(PAGE_SIZE))?;
        Ok(Self::over(region))
    }

    /// Creates an arena over a region whose size and alignment have been checked.
    fn over(region: R) -> Self {
        let zeroed_from = if region.is_zeroed() { 0 } else { region.pages().len() };
        Self { memory: Memory::new(), region, next: Cell::new(0), zeroed_from }
    }
}
