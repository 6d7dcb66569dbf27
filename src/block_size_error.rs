use core::fmt;

/// Why a number of bytes is no block size, or can't be the next in a table, or why there can't be a pool of that size in
/// that memory.
///
/// Each variant carries the value that was passed and the bound that it broke; the text says what to do.
///
/// ```
/// use hpalloc::{BlockSize, BlockSizeError};
///
/// let error = BlockSize::new(1 << 30).unwrap_err();
/// assert_eq!(error, BlockSizeError::TooLarge { bytes: 1 << 30, max: 256 << 20 });
/// assert_eq!(
///     error.to_string(),
///     "a block of 1073741824 bytes is too large: use at most 268435456, which is what an arena can have",
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
        /// The smallest size that a block may have, in bytes.
        min: usize,
    },
    /// The size is not a multiple of the alignment of a pointer.
    Misaligned {
        /// The size that was passed, in bytes.
        bytes: usize,
        /// What it must be a multiple of, in bytes.
        align: usize,
    },
    /// The size is above [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
    TooLarge {
        /// The size that was passed, in bytes.
        bytes: usize,
        /// The largest size that a block may have, in bytes.
        max: usize,
    },
    /// The sizes of a [`SizeTable`](crate::SizeTable) do not ascend.
    NotAscending {
        /// The size that was passed, in bytes.
        bytes: usize,
        /// The one before it, which it must be above.
        previous: usize,
    },
    /// The memory that a pool was to be made in has no room for one block.
    NoRoom {
        /// The size of a block in bytes.
        bytes: usize,
        /// Where the memory starts.
        address: usize,
        /// How many bytes it has.
        len: usize,
    },
    /// The memory that a pool was to be made in is above [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE).
    MemoryTooLarge {
        /// How many bytes it has.
        len: usize,
        /// The most that it may have.
        max: usize,
    },
}

impl fmt::Display for BlockSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooSmall { bytes, min } => {
                write!(f, "a block of {bytes} bytes can't hold a pointer while it is free: use at least {min}")
            }
            Self::Misaligned { bytes, align } => {
                write!(f, "a block of {bytes} bytes would leave the next one misaligned: use a multiple of {align}")?;
                match bytes.checked_next_multiple_of(align) {
                    Some(next) => write!(f, ", such as {next}"),
                    None => Ok(()),
                }
            }
            Self::TooLarge { bytes, max } => {
                write!(f, "a block of {bytes} bytes is too large: use at most {max}, which is what an arena can have")
            }
            Self::NotAscending { bytes, previous } => {
                write!(
                    f,
                    "a block size of {bytes} bytes can't follow one of {previous}: sort the sizes, each above the last"
                )
            }
            Self::NoRoom { bytes, address, len } => write!(
                f,
                "{len} bytes at {address:#x} have no room for an aligned block of {bytes} bytes: pass more memory, or align it"
            ),
            Self::MemoryTooLarge { len, max } => {
                write!(f, "{len} bytes of memory are too many for a pool: pass at most {max}, or use arenas")
            }
        }
    }
}

impl core::error::Error for BlockSizeError {}

#[cfg(feature = "std")]
impl From<BlockSizeError> for std::io::Error {
    /// The error as one of invalid input.
    ///
    /// The time of an allocation by the global allocator. Never panics.
    ///
    /// ```
    /// let error = std::io::Error::from(hpalloc::BlockSize::new(0).unwrap_err());
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    fn from(error: BlockSizeError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}
