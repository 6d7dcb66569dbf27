//! What `hardened` has, where the feature is off: no misuse is looked for, nothing is kept beside the blocks, and nothing of
//! this is left in the program.

use core::ptr::NonNull;

use crate::PageSource;

/// None is found.
pub(crate) use core::convert::Infallible as MisuseError;

pub(crate) fn report(error: MisuseError) {
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

/// There is none.
pub(crate) struct Damage {
    pub(crate) error: MisuseError,
    pub(crate) link_is_intact: bool,
}

pub(crate) struct Guard;

#[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the other one does something")]
impl Guard {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline]
    pub(crate) const fn in_family(&mut self, _family: u16) {}

    #[inline]
    pub(crate) const fn begin(&self) {}

    #[inline]
    pub(crate) const fn begin_with(&self, _start: usize, _end: usize) {}

    #[inline]
    pub(crate) const unsafe fn hand_out(&self, _block: NonNull<u8>, _bytes: usize) {}

    #[inline]
    pub(crate) const unsafe fn take_back(&self, _block: NonNull<u8>, _bytes: usize) {}

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
        _block: NonNull<u8>,
        _bytes: usize,
        _stride: usize,
        _is_start: impl FnOnce(usize) -> bool,
        _fresh: (usize, usize),
        _source: &impl PageSource,
    ) -> Result<(), MisuseError> {
        Ok(())
    }
}
