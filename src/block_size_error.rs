use core::fmt;

/// The error of creating a [`BlockSize`](crate::BlockSize), a
/// [`SizeTable`](crate::SizeTable), or a pool in a slice of memory.
///
/// Each variant carries the value that was passed and the bound that it broke. The
/// message says what to do.
///
/// ```
/// use hpalloc::{BlockSize, BlockSizeError};
///
/// let error = BlockSize::new(1 << 30).unwrap_err();
/// assert_eq!(error, BlockSizeError::TooLarge { bytes: 1 << 30, max: 256 << 20 });
/// assert_eq!(
///     error.to_string(),
///     "block size 1073741824 is too large: use at most 268435456 bytes, \
///      the maximum size of an arena",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BlockSizeError {
    /// The size is below that of a pointer.
    TooSmall {
        /// The size that was passed, in bytes.
        bytes: usize,
        /// The minimum size of a block, in bytes.
        min: usize,
    },
    /// The size is not a multiple of the alignment of a pointer.
    Misaligned {
        /// The size that was passed, in bytes.
        bytes: usize,
        /// The alignment that the size must be a multiple of, in bytes.
        align: usize,
    },
    /// The size is above [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
    TooLarge {
        /// The size that was passed, in bytes.
        bytes: usize,
        /// The maximum size of a block, in bytes.
        max: usize,
    },
    /// The sizes of a [`SizeTable`](crate::SizeTable) are not in ascending order.
    NotAscending {
        /// The size that was passed, in bytes.
        bytes: usize,
        /// The size before it in the table, in bytes. The size must be above it.
        previous: usize,
    },
    /// The slice of memory for a pool has no room for one block.
    NoRoom {
        /// The size of a block, in bytes.
        bytes: usize,
        /// The address of the first byte of the memory.
        address: usize,
        /// The length of the memory, in bytes.
        len: usize,
    },
    /// The slice of memory for a pool is larger than
    /// [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
    MemoryTooLarge {
        /// The length of the memory, in bytes.
        len: usize,
        /// The maximum length of the memory, in bytes.
        max: usize,
    },
}

impl fmt::Display for BlockSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooSmall { bytes, min } => {
                write!(f, "block size {bytes} is too small: a free block holds a pointer, so use at least {min} bytes")
            }
            Self::Misaligned { bytes, align } => {
                write!(f, "block size {bytes} would misalign the next block: use a multiple of {align} bytes")?;
                match bytes.checked_next_multiple_of(align) {
                    Some(next) => write!(f, ", such as {next}"),
                    None => Ok(()),
                }
            }
            Self::TooLarge { bytes, max } => {
                write!(f, "block size {bytes} is too large: use at most {max} bytes, the maximum size of an arena")
            }
            Self::NotAscending { bytes, previous } => {
                write!(
                    f,
                    "block size {bytes} can't follow {previous}: list the sizes in ascending order, without duplicates"
                )
            }
            Self::NoRoom { bytes, address, len } => write!(
                f,
                "the {len} bytes at {address:#x} have no room for an aligned block of {bytes} bytes: pass more memory, or align it"
            ),
            Self::MemoryTooLarge { len, max } => {
                write!(f, "{len} bytes of memory are too many for a pool: pass at most {max}, or use several arenas")
            }
        }
    }
}

impl core::error::Error for BlockSizeError {}

#[cfg(feature = "std")]
impl From<BlockSizeError> for std::io::Error {
    /// Wraps the error in an `io::Error` of the kind `InvalidInput`.
    ///
    /// Costs the time of an allocation by the global allocator. Never panics.
    ///
    /// ```
    /// let error = std::io::Error::from(hpalloc::BlockSize::new(0).unwrap_err());
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    fn from(error: BlockSizeError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}
