use core::cell::UnsafeCell;
use core::ptr::NonNull;

use crate::arena_error::pages_in;
use crate::shared::Shared;
use crate::{ArenaError, MAX_ARENA_SIZE, PAGE_SIZE, Page, Region};

/// `PAGES` pages of static memory that can be claimed as a [`Region`], by one at a time (feature `static-buffer`).
///
/// Declare one with [`static_buffer!`](crate::static_buffer). A claim is given back when its region, or the arena over
/// it, is dropped; then the buffer can be claimed again.
///
/// On a chip without compare-and-swap, such as a Cortex-M0, claiming takes a critical section: there the feature
/// `critical-section` has to be on as well, and the program provides one, see the crate `critical-section`. (For a Cortex-M
/// with one core it is a feature of the crate `cortex-m`.)
///
/// The pages are a static of their own, so that `PAGES` pages take `PAGES * 4096` bytes of `.bss` and not one byte
/// more: beside them, the record of the claim would fill another page up to the next boundary.
///
/// ```
/// use hpalloc::{Arena, ArenaError};
///
/// hpalloc::static_buffer! {
///     static PACKETS: StaticBuffer<4>;
/// }
///
/// let arena = Arena::from_region(PACKETS.claim()?)?;
/// assert_eq!(arena.total_pages(), 4);
/// assert_eq!(PACKETS.claim().unwrap_err(), ArenaError::AlreadyClaimed { available: 4 * 4096 });
///
/// drop(arena);
/// assert!(PACKETS.claim().is_ok());
/// # Ok::<(), ArenaError>(())
/// ```
#[derive(Debug)]
pub struct StaticBuffer<const PAGES: usize> {
    /// Named by this buffer alone.
    pages: &'static StaticPages<PAGES>,
    claim: Claim,
}

/// No array is one: what [`StaticBuffer::new`] asks for, so that the compiler says what to do.
#[doc(hidden)]
#[allow(unreachable_pub, reason = "nobody can name it")]
#[diagnostic::on_unimplemented(
    message = "declare the buffer as `hpalloc::static_buffer! {{ static NAME: StaticBuffer<PAGES>; }}`",
    note = "a buffer needs a static for its pages, which the macro declares as well"
)]
pub trait Declared {}

impl<const PAGES: usize> StaticBuffer<PAGES> {
    /// Does not compile, and says what to write.
    #[doc(hidden)]
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it can't be called")]
    pub const fn new() -> Self
    where
        [(); PAGES]: Declared,
    {
        panic!("it can't be called")
    }

    /// What [`static_buffer!`](crate::static_buffer) expands to.
    ///
    /// # Safety
    ///
    /// No other buffer is made over these pages.
    #[doc(hidden)]
    #[must_use]
    pub const unsafe fn over(pages: &'static StaticPages<PAGES>) -> Self {
        const {
            assert!(PAGES > 0, "a StaticBuffer needs at least one page");
            assert!(PAGES <= MAX_ARENA_SIZE / PAGE_SIZE, "a StaticBuffer can't be larger than MAX_ARENA_SIZE");
        }
        Self { pages, claim: Claim::new() }
    }

    /// Claims the whole buffer.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`AlreadyClaimed`](ArenaError::AlreadyClaimed) while another region holds the buffer.
    ///
    /// ```
    /// hpalloc::static_buffer! {
    ///     static BUFFER: StaticBuffer<1>;
    /// }
    ///
    /// assert!(BUFFER.claim().is_ok());
    /// ```
    pub fn claim(&'static self) -> Result<StaticRegion, ArenaError> {
        self.claim_bytes(PAGES * PAGE_SIZE)
    }

    /// Claims the buffer to use its first `size_in_bytes` bytes.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) or [`TooLarge`](ArenaError::TooLarge) where an arena can't have that
    /// size; [`BufferTooSmall`](ArenaError::BufferTooSmall) where the buffer doesn't;
    /// [`AlreadyClaimed`](ArenaError::AlreadyClaimed) as for [`claim`](Self::claim).
    ///
    /// ```
    /// use hpalloc::ArenaError;
    ///
    /// hpalloc::static_buffer! {
    ///     static BUFFER: StaticBuffer<2>;
    /// }
    ///
    /// assert_eq!(
    ///     BUFFER.claim_bytes(3 * 4096).unwrap_err(),
    ///     ArenaError::BufferTooSmall { size: 3 * 4096, available: 2 * 4096 },
    /// );
    /// assert!(BUFFER.claim_bytes(4096).is_ok());
    /// ```
    pub fn claim_bytes(&'static self, size_in_bytes: usize) -> Result<StaticRegion, ArenaError> {
        let available = PAGES * PAGE_SIZE;
        let count = pages_in(size_in_bytes)?;
        if count > PAGES {
            return Err(ArenaError::BufferTooSmall { size: size_in_bytes, available });
        }
        if !self.claim.take() {
            return Err(ArenaError::AlreadyClaimed { available });
        }
        // SAFETY: a pointer into a static isn't null.
        let first = unsafe { NonNull::new_unchecked(self.pages.0.get()) }.cast::<Page>();
        Ok(StaticRegion { pages: NonNull::slice_from_raw_parts(first, count), claim: &self.claim })
    }
}

#[cfg(feature = "defmt")]
impl<const PAGES: usize> defmt::Format for StaticBuffer<PAGES> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let taken = self.claim.taken.get() != 0;
        defmt::write!(f, "StaticBuffer {{ {=usize} pages, claimed: {=bool} }}", PAGES, taken);
    }
}

/// The memory of a [`StaticBuffer`].
#[doc(hidden)]
#[derive(Debug)]
#[repr(transparent)]
pub struct StaticPages<const PAGES: usize>(UnsafeCell<[Page; PAGES]>);

impl<const PAGES: usize> StaticPages<PAGES> {
    /// Pages that hold nothing yet. Constant time. Never panics.
    #[must_use]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([const { Page::new() }; PAGES]))
    }
}

impl<const PAGES: usize> Default for StaticPages<PAGES> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: the pages are reached only by the one buffer over them, and there only by the holder of its claim.
unsafe impl<const PAGES: usize> Sync for StaticPages<PAGES> {}

/// A claim on a [`StaticBuffer`]: the region that an arena over a static buffer owns. Dropping it releases the buffer.
///
/// ```
/// use hpalloc::{Arena, StaticRegion};
///
/// hpalloc::static_buffer! {
///     static BUFFER: StaticBuffer<1>;
/// }
///
/// let arena: Arena<StaticRegion> = BUFFER.claim().and_then(Arena::from_region)?;
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
#[derive(Debug)]
pub struct StaticRegion {
    pages: NonNull<[Page]>,
    /// Taken for this region, which releases it.
    claim: &'static Claim,
}

impl StaticRegion {
    /// The region of `Arena::new` where `mmap` is off: the first bytes of the built-in buffer.
    #[cfg(not(feature = "mmap"))]
    pub(crate) fn new(size_in_bytes: usize) -> Result<Self, ArenaError> {
        DEFAULT_BUFFER.claim_bytes(size_in_bytes)
    }
}

// SAFETY: the region holds the claim on its memory (Region: Exclusive), which has no tie to a thread.
unsafe impl Send for StaticRegion {}

// SAFETY: Exclusive: `pages` come from a static `UnsafeCell` that only the holder of `claim` reaches, and `claim` is
// taken. Fixed: a static stays where it is. Aligned: they are `Page`s. They may have been used before, or lie in a
// section that nobody zeroed, so nothing is said of Zeroed.
unsafe impl Region for StaticRegion {
    fn pages(&self) -> NonNull<[Page]> {
        self.pages
    }
}

format_region!(StaticRegion);

impl Drop for StaticRegion {
    fn drop(&mut self) {
        self.claim.release();
    }
}

/// Mutual exclusion without waiting: whoever takes it and is told `true` holds it, alone, until the release.
#[derive(Debug)]
struct Claim {
    /// Zero while nothing holds it.
    taken: Shared<usize>,
}

impl Claim {
    const fn new() -> Self {
        Self { taken: Shared::new() }
    }

    fn take(&self) -> bool {
        self.taken.replace(1) == 0
    }

    fn release(&self) {
        self.taken.set(0);
    }
}

/// Declares a [`StaticBuffer`](crate::StaticBuffer) (feature `static-buffer`).
///
/// One buffer a call, in this form: documentation, which goes to the buffer; unsafe attributes, which go to its pages, so
/// that `#[unsafe(link_section = "..")]` places the memory itself; visibility, name and type. The number of pages is a
/// literal, the name of a constant or an expression in braces.
///
/// ```
/// use hpalloc::{Arena, FixedBlock};
///
/// hpalloc::static_buffer! {
///     /// Where packets wait.
///     #[unsafe(link_section = ".bss.packets")]
///     pub static PACKETS: StaticBuffer<8>;
/// }
///
/// let arena = Arena::from_region(PACKETS.claim()?)?;
/// let pool = FixedBlock::new(&arena, 1536)?;
/// assert!(pool.allocate().is_some());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// Anything else does not compile, and says what to write:
///
/// ```compile_fail
/// hpalloc::static_buffer! { static TWO_PAGES: StaticBuffer<1 + 1>; }
/// ```
///
/// Nor does a buffer of no pages:
///
/// ```compile_fail,E0080
/// hpalloc::static_buffer! {
///     static NOTHING: StaticBuffer<0>;
/// }
/// ```
#[macro_export]
macro_rules! static_buffer {
    (
        $(#[doc = $doc:literal])*
        $(#[unsafe($($attribute:tt)*)])*
        $visibility:vis static $name:ident: StaticBuffer<$pages:tt>;
    ) => {
        $(#[doc = $doc])*
        $visibility static $name: $crate::StaticBuffer<$pages> = {
            $(#[unsafe($($attribute)*)])*
            static __HPALLOC_PAGES: $crate::StaticPages<$pages> = $crate::StaticPages::new();
            // SAFETY: nothing outside of this block names these pages.
            unsafe { $crate::StaticBuffer::over(&__HPALLOC_PAGES) }
        };
    };
    ($($other:tt)*) => {
        compile_error!(
            "write `static NAME: StaticBuffer<PAGES>;`, one buffer a call, where PAGES is a literal, the name of a constant or \
             an expression in braces; before it there may be documentation, `#[unsafe(..)]` attributes and a visibility"
        );
    };
}

static_buffer! {
    /// The built-in static buffer, which [`Arena::new`](crate::Arena::new) claims where the feature `mmap` is off.
    ///
    /// It has 16 pages, or as many as the variable `HPALLOC_STATIC_PAGES` says when the crate is built. A program that
    /// doesn't use it doesn't contain it.
    ///
    /// ```
    /// use hpalloc::{Arena, DEFAULT_BUFFER};
    ///
    /// let arena = Arena::from_region(DEFAULT_BUFFER.claim_bytes(8192)?)?;
    /// assert_eq!(arena.total_pages(), 2);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    pub static DEFAULT_BUFFER: StaticBuffer<{ default_pages() }>;
}

/// The size of [`DEFAULT_BUFFER`] in pages.
const fn default_pages() -> usize {
    let Some(value) = option_env!("HPALLOC_STATIC_PAGES") else { return 16 };
    match usize::from_str_radix(value, 10) {
        Ok(pages) => pages,
        Err(_) => panic!("HPALLOC_STATIC_PAGES must be a decimal number of pages from 1 to 65536"),
    }
}
