//! The misuse that a hardened build detects when a block is freed. It is detected from
//! the position of the block and from the free memory, without any additional records.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::part::Part;
use crate::hardened::MisuseError;

#[cfg(hpalloc_hardened)]
use crate::hardened::Misuse;

/// Returns the result for a block that is in no part: an error in a hardened build. Other
/// builds rely on the caller's contract, which rules this case out, and return the first
/// argument.
#[cfg(hpalloc_hardened)]
pub(super) fn foreign<T: Copy>(_: T, block: NonNull<u8>, layout: Layout) -> Result<T, MisuseError> {
    Err(error(Misuse::Foreign, block, layout))
}

#[cfg(not(hpalloc_hardened))]
#[allow(clippy::unnecessary_wraps, reason = "the hardened version returns an error")]
pub(super) const fn foreign<T: Copy>(nothing: T, _: NonNull<u8>, _: Layout) -> Result<T, MisuseError> {
    Ok(nothing)
}

#[cfg(hpalloc_hardened)]
fn error(misuse: Misuse, block: NonNull<u8>, layout: Layout) -> MisuseError {
    MisuseError { misuse, block: block.addr().get(), block_size: layout.size(), pool: 0 }
}

#[cfg(not(hpalloc_hardened))]
impl Part {
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the hardened version uses `self` and can fail")]
    #[inline]
    pub(super) const fn check(&self, _block: NonNull<u8>, _layout: Layout) -> Result<(), MisuseError> {
        Ok(())
    }
}

#[cfg(hpalloc_hardened)]
impl Part {
    /// Checks that the block can be a live one with this layout.
    ///
    /// Two cases are not detected: the block was freed and its memory was handed out
    /// again since, or its size is wrong and all memory within that size is live.
    pub(super) fn check(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        self.misuse_of(block, layout).map_err(|misuse| error(misuse, block, layout))
    }

    fn misuse_of(&self, block: NonNull<u8>, layout: Layout) -> Result<(), Misuse> {
        use super::units::{GRANULE, granules};

        let address = block.addr().get();
        if address % layout.align().max(GRANULE) != 0 {
            return Err(Misuse::NotABlock);
        }
        let (granule, size) = (self.granule_of(block), granules(layout.size()));
        if granule < self.total - self.granules || granule >= self.total {
            return Err(Misuse::Foreign);
        }
        let end = granule + size;
        if end > self.total {
            return Err(Misuse::NotABlock);
        }
        if granule < self.high && end > self.low {
            // The block overlaps the wilderness, some of which may never have been handed
            // out.
            let (from, to) = self.virgin;
            return Err(if (from..to).contains(&granule) { Misuse::NeverAllocated } else { Misuse::DoubleFree });
        }
        if self.holes.regions.overlaps(granule, end) {
            return Err(Misuse::DoubleFree);
        }
        if size > self.used { Err(Misuse::NotABlock) } else { Ok(()) }
    }
}
