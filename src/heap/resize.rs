use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::holes::NOWHERE;
use super::misuse::Misuse;
use super::part::Part;
use super::units::{GRANULE, granules};

impl Part {
    /// Gives a block another layout: in place if it grows and there is room after it, otherwise at the lowest place that has
    /// room, which may overlap the block. `None` if there is none; then the block is as it was. Never so if it shrinks, unless
    /// it is to be aligned to more than before.
    ///
    /// The block is freed, so that it merges with what is free before it and after it, and is then placed anew, in the result
    /// or elsewhere. Only after that are its contents moved. Freeing writes at most one word into the block, its first, which
    /// is kept; and what is written for the rests of free memory comes after the move.
    ///
    /// # Errors
    ///
    /// With `--cfg hpalloc_hardened`: it is no live block, and stays as it is.
    ///
    /// # Safety
    ///
    /// That of [`deallocate`](Part::deallocate) for the old layout. The new size isn't zero.
    #[inline(never)]
    pub(super) unsafe fn resize(
        &mut self,
        block: NonNull<u8>,
        old_layout: Layout,
        layout: Layout,
    ) -> Result<Option<NonNull<u8>>, Misuse> {
        self.check(block, old_layout)?;
        let (old, new) = (granules(old_layout.size()), granules(layout.size()));
        let start = self.granule_of(block);
        let is_aligned = block.addr().get() & (layout.align() - 1) == 0;
        if old == new && is_aligned {
            // SAFETY: the block's start lies in the part.
            return Ok(Some(unsafe { self.holes.memory.at(start) }));
        }
        // SAFETY: the block is live, so it is as long as a word, and `memory` gives it the part's own pointer.
        unsafe {
            let block = self.holes.memory.at(start);
            let first = block.cast::<MaybeUninit<usize>>().read();
            let free = self.release(start, old);
            let here = self.fit_at(free, start);
            let fits = is_aligned && start + new <= here.end();
            let mut fit = here;
            let mut taken = new;
            let mut is_found = fits;
            if !(fits && new > old) {
                fit = self.find(new, layout.align());
                is_found = fit.start != NOWHERE;
                if !is_found {
                    fit = here;
                    if !fits {
                        taken = old;
                    }
                }
            }
            let to = self.holes.memory.at(fit.block);
            if fit.block != start {
                to.copy_from(block, old.min(new) * GRANULE);
            }
            to.cast::<MaybeUninit<usize>>().write(first);
            self.carve(&fit, taken);
            self.used = self.used - old + taken;
            Ok((is_found || fits).then_some(to))
        }
    }
}
