use core::fmt;

use crate::MAX_ARENA_SIZE;

/// The error of [`Heap::from_uninit`](crate::Heap::from_uninit): the slice of memory has
/// an unusable length.
///
/// ```
/// use core::mem::MaybeUninit;
/// use hpalloc::{Heap, HeapError};
///
/// let mut memory = [MaybeUninit::uninit(); 10];
/// let error = Heap::from_uninit(&mut memory).unwrap_err();
/// assert_eq!(error, HeapError::TooSmall { len: 10, min: HeapError::MIN });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HeapError {
    /// The memory has no room for the heap's records and a block.
    TooSmall {
        /// The length that was passed, in bytes.
        len: usize,
        /// The smallest length that is always sufficient, in bytes.
        min: usize,
    },
    /// The memory is larger than [`MAX_ARENA_SIZE`].
    TooLarge {
        /// The length that was passed, in bytes.
        len: usize,
        /// The largest length that a heap may have, in bytes.
        max: usize,
    },
}

impl HeapError {
    /// The smallest length of memory that is always sufficient for a heap, in bytes,
    /// whatever its alignment.
    pub const MIN: usize = 256;

    pub(crate) const fn too_small(len: usize) -> Self {
        Self::TooSmall { len, min: Self::MIN }
    }

    pub(crate) const fn too_large(len: usize) -> Self {
        Self::TooLarge { len, max: MAX_ARENA_SIZE }
    }
}

impl fmt::Display for HeapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooSmall { len, min } => {
                write!(f, "{len} bytes of memory are too few for a heap: pass at least {min} bytes")
            }
            Self::TooLarge { len, max } => {
                write!(
                    f,
                    "{len} bytes of memory are too many for a heap: pass at most {max} bytes, or use an array of arenas"
                )
            }
        }
    }
}

impl core::error::Error for HeapError {}

#[cfg(feature = "std")]
impl From<HeapError> for std::io::Error {
    fn from(error: HeapError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}
