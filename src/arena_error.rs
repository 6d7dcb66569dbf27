use core::fmt;

use crate::PAGE_SIZE;

/// The largest arena, in bytes: 256 MiB. For more memory, use several arenas: an array of
/// them is a [`PageSource`](crate::PageSource), from which a pool or a heap takes pages
/// as from one.
///
/// ```
/// assert_eq!(hpalloc::MAX_ARENA_SIZE, 256 * 1024 * 1024);
/// ```
///
/// # Why there is a bound
///
/// It turns a bounded time into a number. With 256 MiB in one piece, a
/// [`Heap`](crate::Heap) has at most four words of bits for its classes, four levels in
/// the tree of its smallest holes, and 32 bits for a position.
/// [`SizeClasses`](crate::SizeClasses) has 60 sizes of runs, with a word for each. A block
/// size fits 32 bits, so that a chip without a division computes with it in a few
/// instructions. And what is too large is the same on all machines.
///
/// # More memory
///
/// A run of pages lies in one arena, so no block is larger than an arena. A pool is as
/// fast over several: it asks for a page when no block is at hand. A heap has a part for
/// each, and tries a request in each part, the oldest first.
///
/// In an array of [`Lazy`](crate::Lazy) arenas, each is made when the ones before it have
/// no room left, in the middle of a run. If that takes long, as it does if its memory is
/// prefaulted, make all of them at the start:
///
/// ```
/// # #[cfg(feature = "std")] {
/// use hpalloc::{Arena, ArenaError, Boxed, Heap, Lazy};
///
/// fn part() -> Result<Arena<Boxed>, ArenaError> {
///     Boxed::new(64 << 10).and_then(Arena::from_region)
/// }
///
/// let heap = Heap::new([const { Lazy::new(part) }; 4]);
/// assert!(heap.page_source().iter().all(|part| part.arena().is_ok()));
/// # }
/// ```
pub const MAX_ARENA_SIZE: usize = 256 * 1024 * 1024;

/// Why an arena, or the region under it, could not be made. Nothing was taken, mapped or written.
///
/// Each variant carries the value that was passed and the bound that it broke; the text says what to do.
///
/// ```
/// use hpalloc::{Arena, ArenaError, Page};
///
/// let error = Arena::from_pages(&mut []).unwrap_err();
/// assert_eq!(error, ArenaError::InvalidSize { size: 0 });
/// assert_eq!(
///     error.to_string(),
///     "an arena of 0 bytes was asked for: pass a positive multiple of the page size, 4096",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ArenaError {
    /// The size is zero or not a multiple of [`PAGE_SIZE`].
    InvalidSize {
        /// The size that was passed, in bytes.
        size: usize,
    },
    /// The size is above [`MAX_ARENA_SIZE`].
    TooLarge {
        /// The size that was passed, in bytes.
        size: usize,
        /// The largest size that an arena may have, in bytes.
        max: usize,
    },
    /// The memory does not start on a page boundary.
    Misaligned {
        /// The address of the first byte that was passed.
        address: usize,
        /// The alignment that it must have, in bytes.
        align: usize,
    },
    /// The memory reaches to the last byte of the address space, so that the address past its end would be zero.
    EndOfAddressSpace {
        /// The address of the first byte that was passed.
        address: usize,
        /// The length that was passed, in bytes.
        len: usize,
    },
    /// No whole page lies inside the memory.
    NoWholePage {
        /// The address of the first byte that was passed.
        address: usize,
        /// The length that was passed, in bytes.
        len: usize,
    },
    /// A static buffer is smaller than what was asked of it.
    BufferTooSmall {
        /// The size that was passed, in bytes.
        size: usize,
        /// The size of the buffer, in bytes.
        available: usize,
    },
    /// A static buffer is held by another region, or was claimed by another context at the same moment.
    AlreadyClaimed {
        /// The size of the buffer, in bytes.
        available: usize,
    },
    /// The operating system refused a memory mapping.
    MapFailed {
        /// The size that was passed, in bytes.
        size: usize,
        /// The operating system's error number.
        errno: i32,
    },
    /// The machine's pool of huge pages is too small, or there is none.
    NoHugePages {
        /// The size that was passed, in bytes.
        size: usize,
        /// The operating system's error number; 0 where it has no such pages.
        errno: i32,
    },
    /// The operating system refused to lock the memory.
    LockFailed {
        /// The size that was passed, in bytes.
        size: usize,
        /// The operating system's error number.
        errno: i32,
    },
    /// The global allocator has no memory for boxed pages.
    OutOfMemory {
        /// The size that was passed, in bytes.
        size: usize,
    },
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::InvalidSize { size } => write!(
                f,
                "an arena of {size} bytes was asked for: pass a positive multiple of the page size, {PAGE_SIZE}"
            ),
            Self::TooLarge { size, max } => write!(
                f,
                "an arena of {size} bytes was asked for, but {max} is the most it can have: use several arenas"
            ),
            Self::Misaligned { address, align } => write!(
                f,
                "memory at address {address:#x} does not start on a page boundary: align it to {align} bytes (of a \
                 slice, `from_uninit_trimmed` uses the whole pages inside)"
            ),
            Self::EndOfAddressSpace { address, len } => write!(
                f,
                "the {len} bytes at address {address:#x} reach to the end of the address space: leave out the last page"
            ),
            Self::NoWholePage { address, len } => write!(
                f,
                "no whole page lies in the {len} bytes at address {address:#x}: pass at least {} bytes",
                2 * PAGE_SIZE - 1
            ),
            Self::BufferTooSmall { size, available } => write!(
                f,
                "{size} bytes were asked of a static buffer of {available} bytes: ask for less or declare it larger \
                 (the built-in one by the build-time variable HPALLOC_STATIC_PAGES)"
            ),
            Self::AlreadyClaimed { available } => write!(
                f,
                "the static buffer of {available} bytes is claimed already: drop the arena that holds it, or declare \
                 another buffer"
            ),
            Self::MapFailed { size, errno } => write!(
                f,
                "the operating system refused to map {size} bytes (errno {errno}): ask for less, or raise the \
                 process's memory limits"
            ),
            Self::NoHugePages { size, errno } => write!(
                f,
                "there are no {} huge pages for {size} bytes, or two more for guards (errno {errno}): reserve them with \
                 `sysctl vm.nr_hugepages=..`, or ask for `HugePages::Best`, which takes what there is",
                size.div_ceil(2 * 1024 * 1024)
            ),
            Self::LockFailed { size, errno } => write!(
                f,
                "the operating system refused to lock {size} bytes in memory (errno {errno}): raise the limit \
                 (`ulimit -l`, RLIMIT_MEMLOCK), or ask for less"
            ),
            Self::OutOfMemory { size } => write!(
                f,
                "the global allocator has no {size} bytes for boxed pages: ask for less, or free memory first"
            ),
        }
    }
}

impl core::error::Error for ArenaError {}

#[cfg(feature = "std")]
impl From<ArenaError> for std::io::Error {
    /// Keeps the error as the source, under the kind that fits it best.
    ///
    /// The time of an allocation by the global allocator. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Boxed};
    ///
    /// fn arena(size: usize) -> std::io::Result<Arena<Boxed>> {
    ///     Ok(Arena::from_region(Boxed::new(size)?)?)
    /// }
    /// assert_eq!(arena(1).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    fn from(error: ArenaError) -> Self {
        use std::io::ErrorKind;

        let kind = match error {
            ArenaError::InvalidSize { .. }
            | ArenaError::TooLarge { .. }
            | ArenaError::Misaligned { .. }
            | ArenaError::EndOfAddressSpace { .. }
            | ArenaError::NoWholePage { .. }
            | ArenaError::BufferTooSmall { .. } => ErrorKind::InvalidInput,
            ArenaError::AlreadyClaimed { .. } => ErrorKind::ResourceBusy,
            ArenaError::MapFailed { errno, .. }
            | ArenaError::NoHugePages { errno, .. }
            | ArenaError::LockFailed { errno, .. } => Self::from_raw_os_error(errno).kind(),
            ArenaError::OutOfMemory { .. } => ErrorKind::OutOfMemory,
        };
        Self::new(kind, error)
    }
}

/// The number of pages in an arena of `size` bytes, where an arena may have that size.
pub(crate) const fn pages_in(size: usize) -> Result<usize, ArenaError> {
    if size > MAX_ARENA_SIZE {
        return Err(ArenaError::TooLarge { size, max: MAX_ARENA_SIZE });
    }
    if size == 0 || size % PAGE_SIZE != 0 {
        return Err(ArenaError::InvalidSize { size });
    }
    Ok(size / PAGE_SIZE)
}
