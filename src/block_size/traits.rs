//! Conversions between block sizes and numbers, and formatting.

use core::fmt;

use super::BlockSize;
use crate::BlockSizeError;

/// Checks a number of bytes, as [`BlockSize::new`] does.
///
/// ```
/// use hpalloc::{BlockSize, BlockSizeError};
///
/// let size: BlockSize = 64.try_into()?;
/// assert_eq!(size.bytes(), 64);
/// # Ok::<(), BlockSizeError>(())
/// ```
impl TryFrom<usize> for BlockSize {
    type Error = BlockSizeError;

    /// Constant time, with one division. Never panics.
    fn try_from(bytes: usize) -> Result<Self, BlockSizeError> {
        Self::new(bytes)
    }
}

/// Returns the number of bytes, as [`BlockSize::bytes`] does.
impl From<BlockSize> for usize {
    /// Constant time. Never panics.
    fn from(size: BlockSize) -> Self {
        size.bytes()
    }
}

/// Writes the number of bytes without a unit. Padding works as for a number.
impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(f)
    }
}

impl fmt::Debug for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockSize({self})")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for BlockSize {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "BlockSize({=usize})", self.bytes());
    }
}
