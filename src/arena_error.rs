use core::fmt;

use crate::PAGE_SIZE;

/// The maximum size of an arena in bytes: 256 MiB.
///
/// For more memory, use several arenas. An array of them is a
/// [`PageSource`](crate::PageSource), and a pool or a heap takes pages from it as from a
/// single arena.
///
/// ```
/// assert_eq!(hpalloc::MAX_ARENA_SIZE, 256 * 1024 * 1024);
/// ```
///
/// # Why there is a bound
///
/// Because the size is bounded, the worst case of each operation is a fixed number of
/// steps. In an arena of 256 MiB, a [`Heap`](crate::Heap) searches at most four words of
/// a bitmap of its size classes and four levels of a tree of its smallest holes, and
/// stores a position in 32 bits. [`SizeClasses`](crate::SizeClasses) has 60 sizes of
/// runs, with one word for each. A block size fits in 32 bits, so a chip without a divide
/// instruction computes with it in a few instructions.
///
/// The bound is the same on all machines.
///
/// # More memory
///
/// The pages of a block are within one arena, so no block is larger than an arena. A pool
/// is as fast over several arenas as over one, until it needs pages: only then does it
/// try them in turn. A heap has one part for each arena, and tries a request in each
/// part, the oldest first.
///
/// In an array of [`Lazy`](crate::Lazy) arenas, each arena is created when the ones
/// before it can't serve a request, while the program is running. If that takes too long,
/// for example because its memory is prefaulted, create all of them at startup:
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

/// The reason why an arena, or the region under it, could not be created.
///
/// The failed operation has written to no memory, and leaves nothing claimed, allocated
/// or mapped.
///
/// A variant about an argument carries its value. The message names the bound and says
/// what to do.
///
/// ```
/// use hpalloc::{Arena, ArenaError, Page};
///
/// let error = Arena::from_pages(&mut []).unwrap_err();
/// assert_eq!(error, ArenaError::InvalidSize { size: 0 });
/// assert_eq!(
///     error.to_string(),
///     "invalid arena size of 0 bytes: pass a positive multiple of 4096, the page size",
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
        /// The maximum size of an arena, in bytes.
        max: usize,
    },
    /// The memory does not start on a page boundary.
    Misaligned {
        /// The address of the first byte that was passed.
        address: usize,
        /// The required alignment, in bytes.
        align: usize,
    },
    /// The memory extends to the last byte of the address space, so the address past its
    /// end would be zero.
    EndOfAddressSpace {
        /// The address of the first byte that was passed.
        address: usize,
        /// The length that was passed, in bytes.
        len: usize,
    },
    /// The memory contains no whole page.
    NoWholePage {
        /// The address of the first byte that was passed.
        address: usize,
        /// The length that was passed, in bytes.
        len: usize,
    },
    /// A static buffer is smaller than the requested size.
    BufferTooSmall {
        /// The size that was passed, in bytes.
        size: usize,
        /// The size of the buffer, in bytes.
        available: usize,
    },
    /// A static buffer is claimed by another region, or is being claimed by another
    /// context at the same moment.
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
    /// The machine has too few reserved huge pages, or none.
    NoHugePages {
        /// The size that was passed, in bytes.
        size: usize,
        /// The operating system's error number; 0 if the operating system has no explicit
        /// huge pages.
        errno: i32,
    },
    /// The operating system refused to lock the memory.
    LockFailed {
        /// The size that was passed, in bytes.
        size: usize,
        /// The operating system's error number.
        errno: i32,
    },
    /// The global allocator could not provide the memory for boxed pages.
    OutOfMemory {
        /// The size that was passed, in bytes.
        size: usize,
    },
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::InvalidSize { size } => {
                write!(f, "invalid arena size of {size} bytes: pass a positive multiple of {PAGE_SIZE}, the page size")
            }
            Self::TooLarge { size, max } => write!(
                f,
                "an arena of {size} bytes is too large: pass at most {max}, and use several arenas for more memory"
            ),
            Self::Misaligned { address, align } => write!(
                f,
                "the memory at address {address:#x} does not start on a page boundary: align it to {align} bytes, or use \
                 `from_uninit_trimmed`, which skips the partial pages of a slice"
            ),
            Self::EndOfAddressSpace { address, len } => write!(
                f,
                "the {len} bytes at address {address:#x} extend to the end of the address space: leave out the last page"
            ),
            Self::NoWholePage { address, len } => write!(
                f,
                "the {len} bytes at address {address:#x} contain no whole page: pass at least {} bytes",
                2 * PAGE_SIZE - 1
            ),
            Self::BufferTooSmall { size, available } => write!(
                f,
                "{size} bytes were requested from a static buffer of {available} bytes: request less, or declare a larger \
                 buffer (set HPALLOC_STATIC_PAGES at build time to enlarge the built-in one)"
            ),
            Self::AlreadyClaimed { available } => write!(
                f,
                "the static buffer of {available} bytes is already claimed: drop the arena that holds it, or declare \
                 another buffer"
            ),
            Self::MapFailed { size, errno } => write!(
                f,
                "the operating system refused to map {size} bytes (errno {errno}): request less, or raise the \
                 memory limits of the process"
            ),
            Self::NoHugePages { size, errno } => write!(
                f,
                "there are not enough huge pages for {size} bytes (errno {errno}): reserve {} (two more with guards) \
                 with `sysctl vm.nr_hugepages=..`, or use `HugePages::Best`, which falls back to other pages",
                size.div_ceil(2 * 1024 * 1024)
            ),
            Self::LockFailed { size, errno } => write!(
                f,
                "the operating system refused to lock {size} bytes in memory (errno {errno}): raise the limit \
                 (`ulimit -l`, RLIMIT_MEMLOCK), or request less"
            ),
            Self::OutOfMemory { size } => write!(
                f,
                "the global allocator could not allocate {size} bytes for boxed pages: request less, or free memory first"
            ),
        }
    }
}

impl core::error::Error for ArenaError {}

#[cfg(feature = "std")]
impl From<ArenaError> for std::io::Error {
    /// Wraps the error in an `io::Error` of the kind that fits it best.
    ///
    /// Costs the time of an allocation by the global allocator. Never panics.
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

/// Returns the number of pages in an arena of `size` bytes, or an error if an arena can't
/// have that size.
pub(crate) const fn pages_in(size: usize) -> Result<usize, ArenaError> {
    if size > MAX_ARENA_SIZE {
        return Err(ArenaError::TooLarge { size, max: MAX_ARENA_SIZE });
    }
    if size == 0 || size % PAGE_SIZE != 0 {
        return Err(ArenaError::InvalidSize { size });
    }
    Ok(size / PAGE_SIZE)
}
