//! Replaces the module `hardened` in a build without `--cfg hpalloc_hardened`. It detects
//! no misuse and stores nothing, and the compiler removes all of it.

use core::ptr::NonNull;

/// A type without values, because no misuse is detected.
pub(crate) use core::convert::Infallible as MisuseError;

pub(crate) fn report(error: MisuseError) {
    match error {}
}

pub(crate) fn is_overflow(error: MisuseError) -> bool {
    match error {}
}

pub(crate) fn no_value(error: MisuseError) -> ! {
    match error {}
}

#[inline]
pub(crate) fn reported<T>(operation: impl FnOnce() -> Result<T, MisuseError>) -> T {
    match operation() {
        Ok(value) => value,
        Err(error) => match error {},
    }
}

#[inline]
pub(crate) const fn mask(_address: usize) -> usize {
    0
}

/// The damage to a free block. Never constructed, because free blocks are not checked.
pub(crate) struct Damage {
    pub(crate) error: MisuseError,
    pub(crate) link_is_intact: bool,
}

#[allow(dead_code, reason = "only a hardened build reads the fields")]
pub(crate) struct Shape<F: FnOnce(usize) -> bool> {
    pub(crate) bytes: usize,
    pub(crate) run_bytes: usize,
    pub(crate) blocks_bytes: usize,
    pub(crate) is_start: F,
    pub(crate) fresh: (usize, usize),
}

pub(crate) struct Guard;

#[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the signatures are those of the hardened build")]
impl Guard {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline]
    pub(crate) const fn in_family(&mut self, _family: u16) {}

    #[inline]
    pub(crate) const fn begin_with(&self, _start: *mut u8, _bytes: usize) {}

    #[inline]
    pub(crate) const unsafe fn add_run(&self, _start: NonNull<u8>, _bytes: usize) -> Result<(), MisuseError> {
        Ok(())
    }

    #[inline]
    pub(crate) const unsafe fn remove_run(&self, _start: NonNull<u8>) -> Result<(), MisuseError> {
        Ok(())
    }

    #[inline]
    pub(crate) const fn is_of_family(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) const fn forget(&self) {}

    #[inline]
    pub(crate) const unsafe fn hand_out_fresh(&self, _block: NonNull<u8>, _bytes: usize) {}

    #[inline]
    pub(crate) const unsafe fn hand_out(&self, _block: NonNull<u8>, _bytes: usize) {}

    #[inline]
    pub(crate) const unsafe fn take_back(&self, _block: NonNull<u8>, _bytes: usize) {}

    #[inline]
    pub(crate) const unsafe fn hide_link(&self, _block: NonNull<u8>) {}

    #[inline]
    pub(crate) const unsafe fn check_free(&self, _block: NonNull<u8>, _bytes: usize) -> Result<(), Damage> {
        Ok(())
    }

    #[inline]
    pub(crate) const fn refuse(&self, _block: NonNull<u8>, _bytes: usize) -> Result<(), MisuseError> {
        Ok(())
    }

    #[inline]
    pub(crate) unsafe fn check_live(
        &self,
        block: NonNull<u8>,
        _shape: Shape<impl FnOnce(usize) -> bool>,
    ) -> Result<NonNull<u8>, MisuseError> {
        Ok(block)
    }
}
