//! What shows at a free, in a program that is built with `--cfg hpalloc_hardened`, from where the block lies and what is free
//! already. Nothing is kept for it.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::part::Part;
use crate::hardened::MisuseError;

#[cfg(hpalloc_hardened)]
use crate::hardened::Misuse;

/// What is returned of a block that lies in no part: an error, or in a program that isn't hardened, which is promised that
/// this isn't so, that.
#[cfg(hpalloc_hardened)]
pub(super) fn foreign<T: Copy>(_: T, block: NonNull<u8>, layout: Layout) -> Result<T, MisuseError> {
    Err(error(Misuse::Foreign, block, layout))
}

#[cfg(not(hpalloc_hardened))]
#[allow(clippy::unnecessary_wraps, reason = "the other one returns an error")]
pub(super) const fn foreign<T: Copy>(nothing: T, _: NonNull<u8>, _: Layout) -> Result<T, MisuseError> {
    Ok(nothing)
}

#[cfg(hpalloc_hardened)]
fn error(misuse: Misuse, block: NonNull<u8>, layout: Layout) -> MisuseError {
    MisuseError { misuse, block: block.addr().get(), block_size: layout.size(), pool: 0 }
}

#[cfg(not(hpalloc_hardened))]
impl Part {
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the other one does something")]
    #[inline]
    pub(super) const fn check(&self, _block: NonNull<u8>, _layout: Layout) -> Result<(), MisuseError> {
        Ok(())
    }
}

#[cfg(hpalloc_hardened)]
impl Part {
    /// Whether the block can be a live one with that layout.
    ///
    /// What doesn't show: that a block was freed and its memory handed out again since, or that a size is wrong and what
    /// it covers is live.
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
            // In the wilderness, of which a part may never have been handed out.
            let (from, to) = self.virgin;
            return Err(if (from..to).contains(&granule) { Misuse::NeverAllocated } else { Misuse::DoubleFree });
        }
        if self.holes.regions.overlaps(granule, end) {
            return Err(Misuse::DoubleFree);
        }
        if size > self.used { Err(Misuse::NotABlock) } else { Ok(()) }
    }
}
