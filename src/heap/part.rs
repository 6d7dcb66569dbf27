use core::alloc::Layout;
use core::ptr::NonNull;

use super::freed::Written;
use super::hole::MOST_GRANULES;
use super::holes::Holes;
use super::policy::Fit;
use super::regions::NOWHERE;
use super::units::{GRANULE, granules};
use crate::PAGE_SIZE;
use crate::hardened::MisuseError;
use crate::poison::{lend, poison, touch, unpoison};

/// A heap over one contiguous memory. Positions in it are numbers of granules from its start.
pub(super) struct Part {
    /// *Invariant (Merged):* no hole is adjacent to another, or to the wilderness. Holes and the wilderness are all of the
    /// memory after the records that isn't live.
    pub(super) holes: Holes,
    /// Where the wilderness starts. It may be empty; then `low == high`, and both lie where it once was.
    pub(super) low: usize,
    /// Where the wilderness ends.
    pub(super) high: usize,
    /// Between these two nothing has been handed out or written since the part was made. What isn't empty of it lies in
    /// the wilderness.
    pub(super) virgin: (usize, usize),
    /// Where the part ends.
    pub(super) total: usize,
    /// Granules after the records: what can be handed out.
    pub(super) granules: usize,
    /// Granules in live blocks.
    pub(super) used: usize,
}

impl Part {
    /// A heap over `len` bytes, or `None` if there is no room for a block. The start and the end are aligned inwards.
    ///
    /// The records take memory in proportion to the whole, of which a few bytes are written: the others are initialised when
    /// they are first needed.
    ///
    /// # Safety
    ///
    /// The `len` bytes at `memory` are valid for reads and writes, and used through this part alone for as long as it or a
    /// block of it is used. They don't reach to the last byte of the address space.
    pub(super) unsafe fn new(memory: NonNull<u8>, len: usize) -> Option<Self> {
        let skip = memory.addr().get().wrapping_neg() % GRANULE;
        let total = len.checked_sub(skip)? / GRANULE;
        if total > MOST_GRANULES {
            return None;
        }
        let start = Holes::overhead(total);
        if start >= total {
            return None;
        }
        // SAFETY: the memory is at least as long as what is skipped; the caller lends it.
        let holes = unsafe { Holes::new(memory.add(skip), total) };
        poison(holes.memory.base().as_ptr().wrapping_add(start * GRANULE), (total - start) * GRANULE);
        Some(Self { holes, low: start, high: total, virgin: (start, total), total, granules: total - start, used: 0 })
    }

    /// How many bytes of memory are enough for a part with a block of so many bytes.
    pub(super) const fn bytes_for(block: usize) -> usize {
        let block = granules(block);
        // With the records of all of it, which take less than a 32nd of the memory and 2 KiB.
        let total = block + block / 32 + 256;
        (block + Holes::overhead(total) + 1) * GRANULE
    }

    /// Whether the address lies in this part, its records included.
    #[inline]
    pub(super) fn contains(&self, block: NonNull<u8>) -> bool {
        let offset = block.addr().get().wrapping_sub(self.holes.memory.base().addr().get());
        offset / GRANULE < self.total
    }

    /// Bytes that can be handed out.
    pub(super) const fn bytes(&self) -> usize {
        self.granules * GRANULE
    }

    /// Bytes in live blocks, each rounded up to a granule.
    pub(super) const fn used(&self) -> usize {
        self.used * GRANULE
    }

    /// Bytes that were ever handed out: those outside of what is still as it came.
    pub(super) const fn touched(&self) -> usize {
        (self.granules - self.virgin.1.saturating_sub(self.virgin.0)) * GRANULE
    }

    /// The largest size that can be allocated now with an alignment of at most a granule.
    pub(super) fn largest_free(&self) -> usize {
        self.largest_hole().max(self.high - self.low) * GRANULE
    }

    /// How many pieces the free memory is in, by walking through them.
    pub(super) fn pieces(&self) -> usize {
        self.holes.count() + usize::from(self.low < self.high)
    }

    /// A block, or `None` if there is no room. The size must not be zero.
    ///
    /// # Errors
    ///
    /// With `--cfg hpalloc_hardened`: what would be the block was written to after it was freed. It isn't free any more, so that
    /// nobody gets it.
    #[inline]
    pub(super) fn allocate(&mut self, layout: Layout) -> Result<Option<NonNull<u8>>, MisuseError> {
        let taken = self.take(granules(layout.size()), layout.align());
        let block = taken.map_err(|written| written.error(layout))?;
        if block == NOWHERE {
            return Ok(None);
        }
        // SAFETY: the block's start lies in the part.
        let block = unsafe { self.holes.memory.at(block) };
        unpoison(block.as_ptr(), layout.size());
        Ok(Some(block))
    }

    /// Where a new block starts, or [`NOWHERE`].
    #[inline(never)]
    fn take(&mut self, granules: usize, align: usize) -> Result<usize, Written> {
        // SAFETY: what is found is free, and has room.
        unsafe {
            if align > GRANULE || self.is_large(granules) {
                let fit = self.find_special(granules, align);
                if !fit.is_none() {
                    self.used += granules;
                    let inspected = self.inspect(&fit, fit.block, fit.block + granules);
                    self.remove(&fit);
                    self.place_block(&fit, granules);
                    inspected?;
                }
                return Ok(fit.block);
            }
            let (start, size) = self.find_small(granules);
            if start != NOWHERE {
                self.used += granules;
                let free = Fit { start, granules: size, block: start };
                let inspected = self.inspect(&free, start, start + granules);
                self.carve(start, size, granules);
                inspected?;
            }
            Ok(start)
        }
    }

    /// A block of zeros. If the memory `came_zeroed`, what was never handed out isn't written.
    ///
    /// # Errors
    ///
    /// As [`allocate`](Part::allocate).
    pub(super) fn allocate_zeroed(
        &mut self,
        layout: Layout,
        came_zeroed: bool,
    ) -> Result<Option<NonNull<u8>>, MisuseError> {
        let (from, to) = if came_zeroed { self.virgin } else { (0, 0) };
        let Some(block) = self.allocate(layout)? else { return Ok(None) };
        let start = self.granule_of(block);
        let granules = granules(layout.size());
        let end = start + granules;
        unpoison(block.as_ptr(), granules * GRANULE);
        let clear = |from: usize, to: usize| {
            if from < to {
                // SAFETY: granules of the block that was allocated just now.
                unsafe { self.holes.memory.at(from).write_bytes(0, (to - from) * GRANULE) };
            }
        };
        clear(start, end.min(from));
        clear(start.max(to.max(from)), end);
        lend(block.as_ptr(), layout.size(), granules * GRANULE);
        Ok(Some(block))
    }

    /// Frees a block.
    ///
    /// # Errors
    ///
    /// With `--cfg hpalloc_hardened`: it is no live block, and isn't freed.
    ///
    /// # Safety
    ///
    /// The block is live, of this part and layout. With `--cfg hpalloc_hardened` its start lies in this part, and what isn't
    /// so is an error as far as it shows.
    #[inline]
    pub(super) unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        let (start, granules) = (self.granule_of(block), granules(layout.size()));
        self.check(block, layout)?;
        // SAFETY: as the caller promises.
        unsafe {
            Self::touch(block, layout);
            self.used -= granules;
            poison(self.holes.memory.at(start).as_ptr(), granules * GRANULE);
            self.fill(start, start + granules);
            self.release(start, granules);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn granule_of(&self, block: NonNull<u8>) -> usize {
        (block.addr().get() - self.holes.memory.base().addr().get()) / GRANULE
    }

    /// Lets `AddressSanitizer` report a block that isn't live. Not one of whole pages: a pool may have had it, and have left it
    /// poisoned.
    ///
    /// # Safety
    ///
    /// The caller was promised that the block is live.
    #[inline]
    pub(super) unsafe fn touch(block: NonNull<u8>, layout: Layout) {
        if layout.align() < PAGE_SIZE {
            // SAFETY: as the caller was promised.
            unsafe { touch(block) };
        }
    }

    /// Makes memory free, and merges it with what is free before and after it. Returns where the result starts.
    ///
    /// Of that memory, writes in the first two granules and in the last one only.
    ///
    /// # Safety
    ///
    /// The memory is inside of the part, after the records, and not free; nothing uses it any more.
    #[inline(never)]
    pub(super) unsafe fn release(&mut self, start: usize, mut granules: usize) -> usize {
        let end = start + granules;
        let holes = &self.holes;
        // SAFETY: holes are where the regions know of them, and what is merged is free.
        unsafe {
            let mut old = holes.regions.before(start);
            let mut old_granules = 0;
            let mut new = start;
            if old != NOWHERE {
                old_granules = holes.size(old);
                new = old;
                granules += old_granules;
            }
            if end != self.low && end != self.total && holes.regions.is_hole(end) {
                let after = holes.size(end);
                granules += after;
                if old == NOWHERE && start != self.high {
                    old = end;
                    old_granules = after;
                } else {
                    holes.remove(end, after);
                }
            }
            if start == self.high {
                self.high += granules;
                return self.low;
            }
            if end == self.low {
                self.low = new;
                if old != NOWHERE {
                    holes.remove(old, old_granules);
                }
            } else if old != NOWHERE {
                holes.replace(old, old_granules, new, granules);
            } else {
                holes.add(new, granules);
            }
            new
        }
    }

    /// Takes the lower end of a hole or of the wilderness for a block.
    ///
    /// # Safety
    ///
    /// It is free memory as it is now, and has so many granules.
    #[inline]
    pub(super) unsafe fn carve(&mut self, free: usize, size: usize, granules: usize) {
        let rest = free + granules;
        #[cfg(hpalloc_hardened)]
        self.holes.regions.settle(free, rest);
        // SAFETY: what isn't the wilderness is a hole, and the rest of it is free.
        unsafe {
            if free == self.low {
                self.holes.regions.divide(free, rest, self.high);
                self.low = rest;
                self.virgin.0 = self.virgin.0.max(rest);
            } else if size == granules {
                self.holes.remove(free, size);
            } else {
                self.holes.regions.divide(free, rest, free + size);
                self.holes.replace(free, size, rest, size - granules);
            }
        }
    }

    /// Removes the free memory that a block is to be placed in from the holes, if it is one. Writes nothing in it, but with
    /// `--cfg hpalloc_hardened` where the hole's words were.
    ///
    /// # Safety
    ///
    /// It is free memory as it is now.
    #[inline]
    pub(super) unsafe fn remove(&self, fit: &Fit) {
        if fit.start != self.low {
            // SAFETY: what isn't the wilderness is a hole.
            unsafe { self.holes.remove(fit.start, fit.granules) };
        }
    }

    /// Adds the free memory on both sides of a block of so many granules as holes. If it was the wilderness, one side stays the
    /// wilderness: the side with more memory that was never handed out, or the larger side if they have equally much.
    ///
    /// # Safety
    ///
    /// The free memory was [removed](Part::remove), and the block lies in it.
    #[inline(never)]
    pub(super) unsafe fn place_block(&mut self, fit: &Fit, granules: usize) {
        let &Fit { start, block, .. } = fit;
        let (end, block_end) = (fit.end(), block + granules);
        let (mut front, mut back) = (block - start, end - block_end);
        #[cfg(hpalloc_hardened)]
        self.holes.regions.settle(block, block_end);
        for border in [block, block_end] {
            if border != start && border != end {
                self.holes.regions.divide(start, border, end);
            }
        }
        if start == self.low {
            let virgin = self.virgin;
            let mut back_stays = front <= back;
            if virgin.0 < virgin.1 {
                let fresh = (block.saturating_sub(virgin.0), virgin.1.saturating_sub(block_end));
                if fresh.0 != fresh.1 {
                    back_stays = fresh.0 < fresh.1;
                }
            }
            // SAFETY: what will be a hole is free, and holds no words as long as it is in the wilderness.
            unsafe {
                if back_stays {
                    self.fill_virgin(start, block);
                    self.low = block_end;
                    self.virgin.0 = self.virgin.0.max(block_end);
                    back = 0;
                } else {
                    self.fill_virgin(block_end, end);
                    self.high = block;
                    self.virgin.1 = self.virgin.1.min(block);
                    front = 0;
                }
            }
        }
        // SAFETY: both are free, and no holes.
        unsafe {
            if front != 0 {
                self.holes.add(start, front);
            }
            if back != 0 {
                self.holes.add(block_end, back);
            }
        }
    }
}
