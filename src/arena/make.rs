//! The ways to make an arena, by where its memory comes from.

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
    /// An arena of `size_in_bytes` over the region that the features choose: an anonymous memory mapping with `mmap`,
    /// otherwise the built-in static buffer of `static-buffer`. The line of code is the same.
    ///
    /// With `mmap` it takes a system call, otherwise constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) unless the size is a positive multiple of [`PAGE_SIZE`],
    /// [`TooLarge`](ArenaError::TooLarge) if it is above [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE). With `mmap`,
    /// [`MapFailed`](ArenaError::MapFailed) where the operating system refuses. With the static buffer,
    /// [`BufferTooSmall`](ArenaError::BufferTooSmall) for more than it has, and
    /// [`AlreadyClaimed`](ArenaError::AlreadyClaimed) while another arena holds it.
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

/// No size is one: what [`Arena::new`] without a region asks for, so that the compiler says what to do.
#[cfg(not(any(feature = "mmap", feature = "static-buffer")))]
#[doc(hidden)]
#[allow(unreachable_pub, reason = "nobody can name it")]
#[diagnostic::on_unimplemented(
    message = "`Arena::new` needs hpalloc's feature `mmap` (a memory mapping) or `static-buffer` (a built-in buffer)",
    note = "over other memory, make the arena by `Arena::from_pages`, `from_uninit`, `from_raw` or `from_region`"
)]
pub trait SizeWithRegion {}

#[cfg(not(any(feature = "mmap", feature = "static-buffer")))]
impl Arena<DefaultRegion> {
    /// Does not compile, and says why.
    #[doc(hidden)]
    #[allow(clippy::missing_errors_doc, reason = "it can't be called")]
    pub fn new<S: SizeWithRegion>(_size_in_bytes: S) -> Result<Self, ArenaError> {
        Err(ArenaError::InvalidSize { size: 0 })
    }
}

impl<'r> Arena<Borrowed<'r>> {
    /// An arena over pages that the caller lends.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) for no pages, [`TooLarge`](ArenaError::TooLarge) for more than
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

    /// An arena over bytes that the caller lends: all of them, so they have to be whole pages.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) unless the length is a positive multiple of [`PAGE_SIZE`],
    /// [`TooLarge`](ArenaError::TooLarge) if it is above [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE),
    /// [`Misaligned`](ArenaError::Misaligned) unless the memory starts on a page boundary.
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
    /// assert!(matches!(Arena::from_uninit(&mut memory.0[1..4097]), Err(ArenaError::Misaligned { .. })));
    /// # Ok::<(), ArenaError>(())
    /// ```
    pub fn from_uninit(memory: &'r mut [MaybeUninit<u8>]) -> Result<Self, ArenaError> {
        Borrowed::from_uninit(memory).map(Self::over)
    }

    /// An arena over the whole pages that lie in bytes that the caller lends. What lies before the first page boundary
    /// and after the last is left alone.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`NoWholePage`](ArenaError::NoWholePage) where there is none, [`TooLarge`](ArenaError::TooLarge) for a slice
    /// longer than [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
    ///
    /// ```
    /// use core::mem::MaybeUninit;
    /// use hpalloc::Arena;
    ///
    /// // Three pages hold at least two whole ones wherever they start.
    /// let mut memory = [MaybeUninit::uninit(); 3 * 4096];
    /// assert!(Arena::from_uninit_trimmed(&mut memory)?.total_pages() >= 2);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    pub fn from_uninit_trimmed(memory: &'r mut [MaybeUninit<u8>]) -> Result<Self, ArenaError> {
        Borrowed::from_uninit_trimmed(memory).map(Self::over)
    }
}

impl Arena<RawRegion> {
    /// An arena over memory of which only the address range is known, as in a kernel.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) unless the length is a positive multiple of [`PAGE_SIZE`],
    /// [`TooLarge`](ArenaError::TooLarge) if it is above [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE),
    /// [`Misaligned`](ArenaError::Misaligned) unless the memory starts on a page boundary,
    /// [`EndOfAddressSpace`](ArenaError::EndOfAddressSpace) if it reaches to the last byte of the address space.
    ///
    /// # Safety
    ///
    /// Until the arena is dropped, the memory is valid for reads and writes through `memory`, and nothing else reads or
    /// writes it or holds a reference to it. It need not be initialised.
    ///
    /// ```
    /// use core::ptr::NonNull;
    /// use hpalloc::{Arena, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let memory = NonNull::slice_from_raw_parts(NonNull::from(&mut pages).cast::<u8>(), 2 * 4096);
    /// // SAFETY: `pages` outlives the arena and is not used while it lives.
    /// let arena = unsafe { Arena::from_raw(memory) }?;
    /// assert_eq!(arena.total_pages(), 2);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    pub unsafe fn from_raw(memory: NonNull<[u8]>) -> Result<Self, ArenaError> {
        // SAFETY: the caller's promise is the one that is asked for, and the region lives as long as the arena.
        unsafe { RawRegion::new(memory) }.map(Self::over)
    }
}

impl<R: Region> Arena<R> {
    /// An arena over a region of any kind, which it owns from then on.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) for a region of no pages, [`TooLarge`](ArenaError::TooLarge) for one
    /// above [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), [`Misaligned`](ArenaError::Misaligned) unless it starts on a
    /// page boundary, [`EndOfAddressSpace`](ArenaError::EndOfAddressSpace) if it reaches to the last byte of the address
    /// space. The region is dropped then.
    ///
    /// ```
    /// use hpalloc::{Arena, ArenaError};
    /// # use hpalloc::{Page, Region};
    /// # use core::ptr::NonNull;
    /// # struct Frames(NonNull<[Page]>);
    /// # // SAFETY: the pages below are not used otherwise.
    /// # unsafe impl Region for Frames {
    /// #     fn pages(&self) -> NonNull<[Page]> { self.0 }
    /// # }
    /// # let mut memory = [const { Page::new() }; 2];
    /// # let frames = Frames(NonNull::from(&mut memory[..]));
    ///
    /// // `Frames` is a region of your own: see `Region`.
    /// let arena: Arena<Frames> = Arena::from_region(frames)?;
    /// assert_eq!(arena.total_pages(), 2);
    /// # Ok::<(), ArenaError>(())
    /// ```
    pub fn from_region(region: R) -> Result<Self, ArenaError> {
        let pages = region.pages();
        whole_pages(pages.cast(), pages.len().saturating_mul(PAGE_SIZE))?;
        Ok(Self::over(region))
    }

    /// An arena over a region whose size and alignment were checked.
    fn over(region: R) -> Self {
        let zeroed_from = if region.is_zeroed() { 0 } else { region.pages().len() };
        Self { memory: Memory::new(), region, next: Cell::new(0), zeroed_from }
    }
}
