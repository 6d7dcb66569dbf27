//! Free memory and memory that isn't carved yet, as `AddressSanitizer` is told of it: a program that uses a block after it was
//! freed is reported then as for one of `malloc`'s. Only where the crate is built for it, with `--cfg hpalloc_asan`; otherwise
//! nothing of this is there. Nor is it with `--cfg hpalloc_hardened`, which looks at free memory itself.

#[cfg(all(hpalloc_asan, not(hpalloc_hardened)))]
mod asan {
    use core::cell::Cell;
    use core::mem::MaybeUninit;
    use core::ptr::{NonNull, null};

    unsafe extern "C" {
        fn __asan_poison_memory_region(start: *const u8, bytes: usize);
        fn __asan_unpoison_memory_region(start: *const u8, bytes: usize);
    }

    /// Nothing uses these bytes from now on.
    pub(crate) fn poison(start: *const u8, bytes: usize) {
        // SAFETY: the function takes any address, and only says what is to be reported.
        unsafe { __asan_poison_memory_region(start, bytes) };
    }

    /// They are used again.
    pub(crate) fn unpoison(start: *const u8, bytes: usize) {
        // SAFETY: as above.
        unsafe { __asan_unpoison_memory_region(start, bytes) };
    }

    /// Of these bytes, the first `used` are used from now on, and the rest isn't.
    pub(crate) fn lend(start: *const u8, used: usize, bytes: usize) {
        unpoison(start, used);
        poison(start.wrapping_add(used), bytes - used);
    }

    /// Uses a byte, so that it is reported if it is poisoned.
    ///
    /// # Safety
    ///
    /// The caller was promised that the byte is there.
    pub(crate) unsafe fn touch(byte: NonNull<u8>) {
        // SAFETY: as the caller was promised.
        unsafe { byte.cast::<MaybeUninit<u8>>().read_volatile() };
    }

    /// Memory that belongs to somebody else again when this is dropped.
    pub(crate) struct Memory {
        start: Cell<*const u8>,
        bytes: Cell<usize>,
    }

    // SAFETY: the pointer is only an address.
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

    #[allow(clippy::unused_self, reason = "the other one does something")]
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
