//! The pattern in free memory.

use core::ptr::NonNull;
use core::slice;

/// The value of the bytes of free memory, except links and the like.
const PATTERN: u8 = 0xDF;
/// A word of them.
pub(super) const PATTERN_WORD: usize = usize::from_ne_bytes([PATTERN; size_of::<usize>()]);

/// Fills free memory.
///
/// # Safety
///
/// So many bytes are there, and nothing uses them.
pub(crate) unsafe fn fill(start: NonNull<u8>, bytes: usize) {
    // SAFETY: as the caller promises.
    unsafe { start.write_bytes(PATTERN, bytes) };
}

/// The address of the first byte that isn't as it was filled.
///
/// # Safety
///
/// So many bytes are there, initialised, and nothing uses them. They are a whole number of words.
pub(crate) unsafe fn first_difference(start: NonNull<u8>, bytes: usize) -> Option<usize> {
    // SAFETY: as the caller promises.
    let words = unsafe { slice::from_raw_parts(start.cast::<usize>().as_ptr(), bytes / size_of::<usize>()) };
    let index = words.iter().position(|&word| word != PATTERN_WORD)?;
    let byte = words[index].to_ne_bytes().iter().position(|&byte| byte != PATTERN)?;
    Some(start.addr().get() + index * size_of::<usize>() + byte)
}
