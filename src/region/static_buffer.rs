use core::cell::UnsafeCell;
use core::ptr::NonNull;

use crate::arena_error::pages_in;
use crate::shared::Shared;
use crate::{ArenaError, MAX_ARENA_SIZE, PAGE_SIZE, Page, Region};

/// `PAGES` pages of static memory, which one [`Region`] at a time can claim (feature
/// `static-buffer`).
///
/// Declare one with [`static_buffer!`](crate::static_buffer). Dropping the region, or the
/// arena over it, releases the claim, and the buffer can be claimed again.
///
/// On a chip without compare-and-swap, such as a Cortex-M0, a claim needs a critical
/// section. There, the feature `critical-section` must be on as well, and the program
/// must provide the critical section: see the crate `critical-section`. For a single-core
/// Cortex-M, the crate `cortex-m` has a feature that provides it.
///
/// The pages are a separate static, so that `PAGES` pages use exactly `PAGES * 4096`
/// bytes of `.bss`. If the record of the claim followed them in the same static, padding
/// would add another page.
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
/// let error = PACKETS.claim().unwrap_err();
/// assert_eq!(error, ArenaError::AlreadyClaimed { available: 4 * 4096 });
///
/// drop(arena);
/// assert!(PACKETS.claim().is_ok());
/// # Ok::<(), ArenaError>(())
/// ```
#[derive(Debug)]
pub struct StaticBuffer<const PAGES: usize> {
    /// No other buffer refers to these pages.
    pages: &'static StaticPages<PAGES>,
    claim: Claim,
}

/// A trait that no type implements. It bounds [`StaticBuffer::new`], so that the compiler
/// error says how to declare a buffer.
#[doc(hidden)]
#[allow(unreachable_pub, reason = "it is in a private module")]
#[diagnostic::on_unimplemented(
    message = "declare the buffer as `hpalloc::static_buffer! {{ static NAME: StaticBuffer<PAGES>; }}`",
    note = "a buffer needs a second static for its pages, which the macro also declares"
)]
pub trait Declared {}

impl<const PAGES: usize> StaticBuffer<PAGES> {
    /// Never compiles: the compiler error says what to write.
    #[doc(hidden)]
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it can't be called")]
    pub const fn new() -> Self
    where
        [(); PAGES]: Declared,
    {
        panic!("unreachable: no array implements `Declared`")
    }

    /// Creates the buffer that [`static_buffer!`](crate::static_buffer) declares.
    ///
    /// # Safety
    ///
    /// No other buffer may be created over these pages.
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
    /// [`AlreadyClaimed`](ArenaError::AlreadyClaimed) while another region holds the
    /// buffer.
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

    /// Claims the buffer, to use its first `size_in_bytes` bytes.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) or [`TooLarge`](ArenaError::TooLarge) if
    /// an arena can't have that size; [`BufferTooSmall`](ArenaError::BufferTooSmall) if
    /// the buffer is smaller; [`AlreadyClaimed`](ArenaError::AlreadyClaimed) as for
    /// [`claim`](Self::claim).
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
        // SAFETY: a pointer into a static is not null.
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
    /// Creates uninitialized pages. Constant time. Never panics.
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

// SAFETY: only the one buffer over the pages accesses them, and only for the holder of
// its claim.
unsafe impl<const PAGES: usize> Sync for StaticPages<PAGES> {}

/// A claimed [`StaticBuffer`]: the region of an arena over a static buffer. Dropping it
/// releases the buffer.
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
    /// Held by this region, which releases it on drop.
    claim: &'static Claim,
}

impl StaticRegion {
    /// Claims the first bytes of the built-in buffer: the region of `Arena::new` if
    /// `mmap` is off.
    #[cfg(not(feature = "mmap"))]
    pub(crate) fn new(size_in_bytes: usize) -> Result<Self, ArenaError> {
        DEFAULT_BUFFER.claim_bytes(size_in_bytes)
    }
}

// SAFETY: the region holds the claim on its memory (Region: Exclusive), and memory is not
// bound to a thread.
unsafe impl Send for StaticRegion {}

// SAFETY: Exclusive: `pages` points into a static `UnsafeCell` that only the holder of
// `claim` accesses, and this region holds it. Fixed: a static does not move. Aligned: it
// points to `Page`s. Zeroed is not promised, because the pages may have been used before,
// or be in a section that is not zeroed at startup.
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

/// Mutual exclusion without waiting. If `take` returns `true`, the caller holds the claim
/// alone until the release.
#[derive(Debug)]
struct Claim {
    /// Zero while the claim is free.
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
/// Each call declares one buffer, and contains in this order:
///
/// - doc comments, which document the buffer;
/// - unsafe attributes for its pages: `#[unsafe(link_section = "..")]` places the memory
///   itself;
/// - the visibility, the name and the type. The number of pages is a literal, the name of
///   a constant, or an expression in braces.
///
/// ```
/// use hpalloc::{Arena, FixedBlock};
///
/// hpalloc::static_buffer! {
///     /// The memory of waiting packets.
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
/// Other forms do not compile, and the compiler error says what to write:
///
/// ```compile_fail
/// hpalloc::static_buffer! { static TWO_PAGES: StaticBuffer<1 + 1>; }
/// ```
///
/// A buffer with no pages does not compile either:
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
            // SAFETY: nothing outside this block can name these pages.
            unsafe { $crate::StaticBuffer::over(&__HPALLOC_PAGES) }
        };
    };
    ($($other:tt)*) => {
        compile_error!(
            "write `static NAME: StaticBuffer<PAGES>;`, one buffer per call; PAGES is a literal, the name of a constant or an \
             expression in braces; documentation, `#[unsafe(..)]` attributes and a visibility may precede it, in this order"
        );
    };
}

static_buffer! {
    /// The built-in static buffer, which [`Arena::new`](crate::Arena::new) claims if the
    /// feature `mmap` is off.
    ///
    /// It has 16 pages, or the number in the environment variable `HPALLOC_STATIC_PAGES`
    /// when the crate is built. A program that does not use the buffer does not contain
    /// it.
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

/// Returns the size of [`DEFAULT_BUFFER`] in pages.
const fn default_pages() -> usize {
    let Some(value) = option_env!("HPALLOC_STATIC_PAGES") else { return 16 };
    match usize::from_str_radix(value, 10) {
        Ok(pages) => pages,
        Err(_) => panic!("HPALLOC_STATIC_PAGES must be a decimal number of pages from 1 to 65536"),
    }
}
