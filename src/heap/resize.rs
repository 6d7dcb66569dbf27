use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::freed::Written;
use super::part::Part;
use super::policy::Fit;
use super::units::{GRANULE, granules};
use crate::hardened::MisuseError;
use crate::poison::{lend, poison, unpoison};

impl Part {
    /// Changes the layout of a block. A block that grows stays in place if there is room
    /// after it. Otherwise it moves to the place that a new block would get if its memory
    /// were free. That place may overlap the block. Returns `None` if there is no room,
    /// and leaves the block unchanged. This never happens to a block that shrinks, unless
    /// its alignment is increased.
    ///
    /// To move, the block is freed, so that it merges with the free memory before and
    /// after it, and is then placed again, there or elsewhere. The granules that freeing
    /// overwrites are saved first. The words of the remaining holes are written after the
    /// contents have moved.
    ///
    /// # Errors
    ///
    /// In a hardened build: the block is not live, or the memory that it would gain was
    /// written to after it was freed. The block is unchanged.
    ///
    /// # Safety
    ///
    /// As for [`deallocate`](Part::deallocate) with the old layout. The new size isn't
    /// zero.
    #[inline(never)]
    pub(super) unsafe fn resize(
        &mut self,
        block: NonNull<u8>,
        old_layout: Layout,
        layout: Layout,
    ) -> Result<Option<NonNull<u8>>, MisuseError> {
        self.check(block, old_layout)?;
        let (old, new) = (granules(old_layout.size()), granules(layout.size()));
        let start = self.granule_of(block);
        // SAFETY: the block is live. The found memory is free and has room for
        // it.
        unsafe {
            Self::touch(block, old_layout);
            let from = self.holes.memory.at(start);
            let is_aligned = block.addr().get() & (layout.align() - 1) == 0;
            if is_aligned
                && (old == new
                    || (new > old && self.extend(start + old, new - old).map_err(|written| written.error(layout))?))
            {
                lend(from.as_ptr(), layout.size(), new * GRANULE);
                return Ok(Some(from));
            }
            unpoison(from.as_ptr(), old * GRANULE);
            let at = |block: NonNull<u8>, granule: usize| block.cast::<MaybeUninit<u64>>().add(granule);
            let second = 1.min(old - 1);
            let kept = [0, second, old - 1].map(|granule| at(from, granule).read());
            let free = self.release(start, old);
            let mut fit = self.find(new, layout.align());
            if fit.is_none() && free != self.low {
                fit = self.find_beside(free, new, layout.align());
            }
            let mut taken = new;
            let mut is_done = true;
            let inspected = self.inspect_gain(&fit, new, (start, start + old));
            if fit.is_none() || inspected.is_err() {
                is_done = inspected.is_ok() && is_aligned && new < old;
                fit = if free == self.low { self.wilderness() } else { self.hole(free) };
                fit.block = start;
                if !is_done {
                    taken = old;
                }
            }
            self.remove(&fit);
            let to = self.holes.memory.at(fit.block);
            // Unpoisons the block again, because accesses to the words of holes have
            // poisoned granules of it.
            unpoison(from.as_ptr(), old * GRANULE);
            unpoison(to.as_ptr(), taken * GRANULE);
            if fit.block != start {
                to.copy_from(from, old.min(taken) * GRANULE);
            }
            for (granule, kept) in [0, second, old - 1].into_iter().zip(kept) {
                if granule < taken {
                    at(to, granule).write(kept);
                }
            }
            poison(from.as_ptr(), old * GRANULE);
            lend(to.as_ptr(), if is_done { layout.size() } else { old_layout.size() }, taken * GRANULE);
            self.fill_left((start, start + old), free, &fit, taken);
            self.place_block(&fit, taken);
            self.used = self.used - old + taken;
            inspected.map_err(|written| written.error(layout))?;
            Ok(is_done.then_some(to))
        }
    }

    /// Finds free memory that [`find`](Part::find) has missed because a block was freed:
    /// `find` examines only the first holes of a class. The hole that now contains the
    /// block starts at `free`. It may have room but come after other holes, or come
    /// before a hole that has room.
    #[cold]
    fn find_beside(&self, free: usize, granules: usize, align: usize) -> Fit {
        let hole = self.hole(free);
        let fit = self.place(hole, granules, align, self.is_large(granules));
        if !fit.is_none() {
            return fit;
        }
        // SAFETY: a hole starts at `free`, and its memory stays free.
        unsafe {
            self.holes.remove(free, hole.granules);
            let fit = self.find(granules, align);
            self.holes.add(free, hole.granules);
            fit
        }
    }

    /// Extends a block that ends here by `more` granules. Returns `false` if they aren't
    /// free.
    ///
    /// # Errors
    ///
    /// In a hardened build: the granules were written to after they were freed. They
    /// aren't added.
    ///
    /// # Safety
    ///
    /// A live block ends here.
    #[inline]
    unsafe fn extend(&mut self, end: usize, more: usize) -> Result<bool, Written> {
        let after = if end == self.low {
            self.wilderness()
        } else if end != self.total && self.holes.regions.is_hole(end) {
            self.hole(end)
        } else {
            Fit::NONE
        };
        if after.granules < more {
            return Ok(false);
        }
        // SAFETY: this is current free memory, and it has at least `more` granules.
        unsafe { self.inspect(&after, end, end + more)? };
        self.used += more;
        // SAFETY: the same free memory is still unchanged.
        unsafe { self.carve(end, after.granules, more) };
        Ok(true)
    }
}
