//! The functions of a C library that the compiler may call.

use core::arch::asm;

/// Copies bytes one by one, in ascending order of addresses.
///
/// # Safety
///
/// Both ranges are valid. If they overlap, `to` is below `from`.
unsafe fn copy_upwards(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: the caller guarantees that the memory is valid. By the ABI, the direction
    // flag is clear.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") count => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
    }
}

/// # Safety
///
/// The same as for C's `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller guarantees that the ranges are valid and don't overlap.
    unsafe { copy_upwards(to, from, count) };
    to
}

/// # Safety
///
/// The same as for C's `memmove`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= count {
        // SAFETY: the caller guarantees that the ranges are valid. `to` is below `from`,
        // or at or past its end.
        unsafe { copy_upwards(to, from, count) };
        return to;
    }
    for index in (0..count).rev() {
        // SAFETY: the caller guarantees that the ranges are valid. In descending order,
        // each byte is read before it is overwritten.
        unsafe { to.add(index).write(from.add(index).read()) };
    }
    to
}

/// # Safety
///
/// The same as for C's `memset`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller guarantees that the memory is valid. By the ABI, the direction
    // flag is clear.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") count => _,
            inout("rdi") to => _,
            in("al") value.to_le_bytes()[0],
            options(nostack, preserves_flags)
        );
    }
    to
}

/// # Safety
///
/// The same as for C's `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for index in 0..count {
        // SAFETY: the caller guarantees that the ranges are valid.
        let (left, right) = unsafe { (left.add(index).read(), right.add(index).read()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

/// # Safety
///
/// The same as for C's `bcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: guaranteed by the caller.
    unsafe { memcmp(left, right, count) }
}
