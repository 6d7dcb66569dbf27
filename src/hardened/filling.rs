//! The pattern that fills free memory.

use core::ptr::NonNull;
use core::slice;

/// The value of each byte of free memory, except for links and similar words.
const PATTERN: u8 = 0xDF;
/// A word of the pattern.
pub(super) const PATTERN_WORD: usize = usize::from_ne_bytes([PATTERN; size_of::<usize>()]);

/// Fills free memory with the pattern.
///
/// # Safety
///
/// There are `bytes` bytes from `start` on, and nothing uses them.
pub(crate) unsafe fn fill(start: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller upholds the contract.
    unsafe { start.write_bytes(PATTERN, bytes) };
}

/// Returns the address of the first byte that differs from the pattern, if there is one.
///
/// # Safety
///
/// There are `bytes` bytes from `start` on, a whole number of words. They are
/// initialized, and nothing uses them.
pub(crate) unsafe fn first_difference(start: NonNull<u8>, bytes: usize) -> Option<usize> {
    // SAFETY: the caller upholds the contract.
    let words = unsafe { slice::from_raw_parts(start.cast::<usize>().as_ptr(), bytes / size_of::<usize>()) };
    let index = words.iter().position(|&word| word != PATTERN_WORD)?;
    let byte = words[index].to_ne_bytes().iter().position(|&byte| byte != PATTERN)?;
    Some(start.addr().get() + index * size_of::<usize>() + byte)
}
