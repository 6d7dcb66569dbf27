//! Tells `AddressSanitizer` which memory is free or fresh, so that using a freed block is
//! reported as it is for a block of `malloc`.
//!
//! This takes effect only with `--cfg hpalloc_asan`; otherwise the functions are empty.
//! They are empty with `--cfg hpalloc_hardened` as well, because hardening reads free
//! memory itself.

#[cfg(all(hpalloc_asan, not(hpalloc_hardened)))]
mod asan {
    use core::cell::Cell;
    use core::mem::MaybeUninit;
    use core::ptr::{NonNull, null};

    unsafe extern "C" {
        fn __asan_poison_memory_region(start: *const u8, bytes: usize);
        fn __asan_unpoison_memory_region(start: *const u8, bytes: usize);
    }

    /// Marks the bytes as unused: from now on, accesses to them are reported.
    pub(crate) fn poison(start: *const u8, bytes: usize) {
        // SAFETY: the function accepts any address, and only changes which accesses are
        // reported.
        unsafe { __asan_poison_memory_region(start, bytes) };
    }

    /// Marks the bytes as used again.
    pub(crate) fn unpoison(start: *const u8, bytes: usize) {
        // SAFETY: as above.
        unsafe { __asan_unpoison_memory_region(start, bytes) };
    }

    /// Marks the first `used` of the bytes as used, and the rest as unused.
    pub(crate) fn lend(start: *const u8, used: usize, bytes: usize) {
        unpoison(start, used);
        poison(start.wrapping_add(used), bytes - used);
    }

    /// Reads a byte, so that the access is reported if the byte is poisoned.
    ///
    /// # Safety
    ///
    /// The byte must be valid for reads.
    pub(crate) unsafe fn touch(byte: NonNull<u8>) {
        // SAFETY: by the caller's promise. A `MaybeUninit` may be uninitialized.
        unsafe { byte.cast::<MaybeUninit<u8>>().read_volatile() };
    }

    /// Memory that is unpoisoned when this is dropped, because its owner may use it
    /// again.
    pub(crate) struct Memory {
        start: Cell<*const u8>,
        bytes: Cell<usize>,
    }

    // SAFETY: the pointer is used only as an address.
    unsafe impl Send for Memory {}

    impl Memory {
        pub(crate) const fn new() -> Self {
            Self { start: Cell::new(null()), bytes: Cell::new(0) }
        }

        pub(crate) fn set(&self, start: *const u8, bytes: usize) {
            self.start.set(start);
            self.bytes.set(bytes);
        }

        pub(crate) fn unpoison(&self) {
            unpoison(self.start.get(), self.bytes.get());
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            self.unpoison();
        }
    }
}

#[cfg(not(all(hpalloc_asan, not(hpalloc_hardened))))]
mod asan {
    use core::ptr::NonNull;

    #[inline]
    pub(crate) const fn poison(_start: *const u8, _bytes: usize) {}

    #[inline]
    pub(crate) const fn unpoison(_start: *const u8, _bytes: usize) {}

    #[inline]
    pub(crate) const fn lend(_start: *const u8, _used: usize, _bytes: usize) {}

    #[inline]
    pub(crate) const unsafe fn touch(_byte: NonNull<u8>) {}

    pub(crate) struct Memory;

    #[allow(clippy::unused_self, reason = "the methods for `AddressSanitizer` use `self`")]
    impl Memory {
        pub(crate) const fn new() -> Self {
            Self
        }

        #[inline]
        pub(crate) const fn set(&self, _start: *const u8, _bytes: usize) {}

        #[inline]
        pub(crate) const fn unpoison(&self) {}
    }
}

pub(crate) use asan::{Memory, lend, poison, touch, unpoison};
