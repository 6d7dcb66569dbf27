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

/// A heap over one contiguous range of memory. A position is a number of granules from
/// the start.
pub(super) struct Part {
    /// *Invariant (Merged):* no hole is adjacent to another hole or to the wilderness.
    /// The holes and the wilderness are exactly the memory after the records that isn't
    /// in live blocks.
    pub(super) holes: Holes,
    /// The start of the wilderness. If the wilderness is empty, `low == high`, and both
    /// are the position where it once was.
    pub(super) low: usize,
    /// The end of the wilderness.
    pub(super) high: usize,
    /// The start and the end of the virgin memory, which has been neither handed out nor
    /// written since the part was created. Unless it is empty, it is inside the
    /// wilderness.
    pub(super) virgin: (usize, usize),
    /// The end of the part.
    pub(super) total: usize,
    /// The number of granules after the records, which can be handed out.
    pub(super) granules: usize,
    /// The number of granules in live blocks.
    pub(super) used: usize,
}

impl Part {
    /// Creates a heap over `len` bytes. Returns `None` if there is no room for a block.
    /// The start and the end are aligned inwards.
    ///
    /// The size of the records is proportional to the memory, but only a few bytes of
    /// them are written now. The others are initialized when they are first needed.
    ///
    /// # Safety
    ///
    /// The `len` bytes at `memory` are valid for reads and writes. They are used only
    /// through this part for as long as it or one of its blocks is used. They don't
    /// include the last byte of the address space.
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
        // SAFETY: the memory has at least `skip` bytes and, after them, `total` granules.
        // The caller lends them to the part.
        let holes = unsafe { Holes::new(memory.add(skip), total) };
        poison(holes.memory.base().as_ptr().wrapping_add(start * GRANULE), (total - start) * GRANULE);
        Some(Self { holes, low: start, high: total, virgin: (start, total), total, granules: total - start, used: 0 })
    }

    /// Returns a number of bytes that is sufficient for a part with one block of `block`
    /// bytes.
    pub(super) const fn bytes_for(block: usize) -> usize {
        let block = granules(block);
        // This includes the records, which need less than a 32nd of the memory plus 2
        // KiB.
        let total = block + block / 32 + 256;
        (block + Holes::overhead(total) + 1) * GRANULE
    }

    /// Returns `true` if the address is in this part, including its records.
    #[inline]
    pub(super) fn contains(&self, block: NonNull<u8>) -> bool {
        let offset = block.addr().get().wrapping_sub(self.holes.memory.base().addr().get());
        offset / GRANULE < self.total
    }

    /// Returns the number of bytes that can be handed out.
    pub(super) const fn bytes(&self) -> usize {
        self.granules * GRANULE
    }

    /// Returns the number of bytes in live blocks, each rounded up to a granule.
    pub(super) const fn used(&self) -> usize {
        self.used * GRANULE
    }

    /// Returns the high-water mark: the number of bytes outside the virgin memory.
    pub(super) const fn touched(&self) -> usize {
        (self.granules - self.virgin.1.saturating_sub(self.virgin.0)) * GRANULE
    }

    /// Returns the size of the largest request that is sure to succeed now, with an
    /// alignment of at most a granule.
    pub(super) fn largest_free(&self) -> usize {
        self.largest_hole().max(self.high - self.low) * GRANULE
    }

    /// Counts the contiguous pieces of the free memory by visiting them all.
    pub(super) fn pieces(&self) -> usize {
        self.holes.count() + usize::from(self.low < self.high)
    }

    /// Allocates a block. Returns `None` if there is no room. The size must not be zero.
    ///
    /// # Errors
    ///
    /// In a hardened build: the memory for the block was written to after it was freed.
    /// It is no longer free, so it is never handed out again.
    #[inline]
    pub(super) fn allocate(&mut self, layout: Layout) -> Result<Option<NonNull<u8>>, MisuseError> {
        let taken = self.take(granules(layout.size()), layout.align());
        let block = taken.map_err(|written| written.error(layout))?;
        if block == NOWHERE {
            return Ok(None);
        }
        // SAFETY: the start of the block is in the part.
        let block = unsafe { self.holes.memory.at(block) };
        unpoison(block.as_ptr(), layout.size());
        Ok(Some(block))
    }

    /// Places a new block and returns its start, or [`NOWHERE`].
    #[inline(never)]
    fn take(&mut self, granules: usize, align: usize) -> Result<usize, Written> {
        // SAFETY: the found memory is free and has room for the block.
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

    /// Allocates a block with all bytes zero. If the memory `came_zeroed`, virgin memory
    /// isn't written.
    ///
    /// # Errors
    ///
    /// As for [`allocate`](Part::allocate).
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
                // SAFETY: these granules are in the block that was just allocated.
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
    /// In a hardened build: the block is not live, and isn't freed.
    ///
    /// # Safety
    ///
    /// The block is a live block of this part with this layout. In a hardened build, its
    /// start must be in this part, and a violation of the rest is an error if it is
    /// detected.
    #[inline]
    pub(super) unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        let (start, granules) = (self.granule_of(block), granules(layout.size()));
        self.check(block, layout)?;
        // SAFETY: guaranteed by the caller.
        unsafe {
            Self::touch(block, layout);
            self.used -= granules;
            poison(self.holes.memory.at(start).as_ptr(), granules * GRANULE);
            self.fill(start, start + granules);
            self.release(start, granules);
        }
        Ok(())
    }

    /// Returns the position of a block in this part.
    #[inline]
    pub(super) fn granule_of(&self, block: NonNull<u8>) -> usize {
        (block.addr().get() - self.holes.memory.base().addr().get()) / GRANULE
    }

    /// Makes `AddressSanitizer` report a block that isn't live. Blocks that are aligned
    /// to a page are excluded, because a pool may have used their pages and left them
    /// poisoned.
    ///
    /// # Safety
    ///
    /// The caller's own contract says that the block is live.
    #[inline]
    pub(super) unsafe fn touch(block: NonNull<u8>, layout: Layout) {
        if layout.align() < PAGE_SIZE {
            // SAFETY: the block is live by the contract of the caller.
            unsafe { touch(block) };
        }
    }

    /// Frees memory, and merges it with the free memory before and after it. Returns the
    /// start of the merged memory.
    ///
    /// In the freed memory, writes only to the first two granules and the last granule.
    ///
    /// # Safety
    ///
    /// The memory is in the part, after the records. It is not free, and no longer used.
    #[inline(never)]
    pub(super) unsafe fn release(&mut self, start: usize, mut granules: usize) -> usize {
        let end = start + granules;
        let holes = &self.holes;
        // SAFETY: by Marks, holes start exactly where the regions record them. All merged
        // memory is free.
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
    /// A hole or the wilderness starts at `free` and has `size` granules, which are not
    /// fewer than `granules`.
    #[inline]
    pub(super) unsafe fn carve(&mut self, free: usize, size: usize, granules: usize) {
        let rest = free + granules;
        #[cfg(hpalloc_hardened)]
        self.holes.regions.settle(free, rest);
        // SAFETY: free memory that isn't the wilderness is a hole. The rest of the hole
        // stays free.
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

    /// Removes the free memory in which a block will be placed from the holes, unless it
    /// is the wilderness. Doesn't write to it, except that a hardened build erases the
    /// words of the hole.
    ///
    /// # Safety
    ///
    /// `fit` describes current free memory.
    #[inline]
    pub(super) unsafe fn remove(&self, fit: &Fit) {
        if fit.start != self.low {
            // SAFETY: free memory that isn't the wilderness is a hole.
            unsafe { self.holes.remove(fit.start, fit.granules) };
        }
    }

    /// Places a block of this number of granules, and adds the free memory on both sides
    /// of it as holes. If the free memory is the wilderness, one side remains the
    /// wilderness: the side with more virgin memory, or the larger side if both have the
    /// same amount.
    ///
    /// # Safety
    ///
    /// The free memory was [removed](Part::remove), and the block is in it.
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
            // SAFETY: the side that becomes a hole is free. It contains no words of a
            // hole, because it was in the wilderness.
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
        // SAFETY: both sides are free, and neither is a hole yet.
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
