use core::alloc::Layout;
use core::ptr::NonNull;

use super::hole::{Hole, MOST_GRANULES, Memory};
use super::holes::{Holes, NOWHERE};
use super::misuse::Misuse;
use super::policy::{Fit, WILDERNESS};
use super::summary::Summary;
use super::units::{GRANULE, REGION, granules};

/// A heap over one contiguous memory. Positions in it are numbers of granules from its start.
pub(super) struct Part {
    /// *Invariant (Merged):* no hole is adjacent to another, or to the wilderness. Holes and the wilderness are all of the
    /// memory after the summary that isn't live.
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
    /// Granules after the summary: what can be handed out.
    pub(super) granules: usize,
    /// Granules in live blocks.
    pub(super) used: usize,
}

impl Part {
    /// A heap over `len` bytes, or `None` if there is no room for a block. The start and the end are aligned inwards.
    ///
    /// The summary takes memory in proportion to the whole, and is not initialised: one node of it is written, whatever the
    /// size.
    ///
    /// # Safety
    ///
    /// The `len` bytes at `memory` are valid for reads and writes, and used through this part alone for as long as it or a
    /// block of it is used. They don't reach to the last byte of the address space.
    pub(super) unsafe fn new(memory: NonNull<u8>, len: usize) -> Option<Self> {
        let skip = memory.addr().get().wrapping_neg() % GRANULE;
        let total = len.checked_sub(skip)? / GRANULE;
        let (regions, start) = Self::overhead(total);
        if total > MOST_GRANULES || start >= total {
            return None;
        }
        // SAFETY: the memory is at least as long as what is skipped, and then as the summary; the caller lends it.
        let (memory, summary) = unsafe {
            let base = memory.add(skip);
            (Memory::new(base), Summary::new(base, regions))
        };
        let holes = Holes { memory, summary };
        Some(Self { holes, low: start, high: total, virgin: (start, total), total, granules: total - start, used: 0 })
    }

    /// How many regions a part of so many granules has, and how many granules their summary takes.
    const fn overhead(total: usize) -> (usize, usize) {
        let regions = total / REGION + 1;
        (regions, granules(Summary::bytes(regions)))
    }

    /// How many bytes of memory are enough for a part with a block of so many bytes.
    pub(super) const fn bytes_for(block: usize) -> usize {
        let block = granules(block);
        // With the summary of all of it. A summary takes less than a 32nd of its memory, and two regions.
        let total = block + block / 32 + 2 * REGION;
        (block + Self::overhead(total).1 + 1) * GRANULE
    }

    /// Whether the address lies in this part, summary included.
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
        self.holes.summary.largest().granules().max(self.high - self.low) * GRANULE
    }

    /// How many pieces the free memory is in, by walking through them.
    pub(super) fn pieces(&self) -> usize {
        self.holes.count() + usize::from(self.low < self.high)
    }

    /// A block, or `None` if there is no room. The size must not be zero.
    #[inline]
    pub(super) fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let granules = granules(layout.size());
        let fit = self.find(granules, layout.align());
        if fit.start == NOWHERE {
            return None;
        }
        self.used += granules;
        // SAFETY: what was found is free, and has room.
        unsafe {
            self.carve(&fit, granules);
            Some(self.holes.memory.at(fit.block))
        }
    }

    /// A block of zeros. If the memory `came_zeroed`, what was never handed out isn't written.
    pub(super) fn allocate_zeroed(&mut self, layout: Layout, came_zeroed: bool) -> Option<NonNull<u8>> {
        let (from, to) = if came_zeroed { self.virgin } else { (0, 0) };
        let block = self.allocate(layout)?;
        let start = self.granule_of(block);
        let end = start + granules(layout.size());
        let clear = |from: usize, to: usize| {
            if from < to {
                // SAFETY: granules of the block that was allocated just now.
                unsafe { self.holes.memory.at(from).write_bytes(0, (to - from) * GRANULE) };
            }
        };
        clear(start, end.min(from));
        clear(start.max(to.max(from)), end);
        Some(block)
    }

    /// Frees a block.
    ///
    /// # Errors
    ///
    /// With `--cfg hpalloc_hardened`: it is no live block, and isn't freed.
    ///
    /// # Safety
    ///
    /// The block is live, of this part and layout. With `--cfg hpalloc_hardened` its start lies in this part, and what isn't so is
    /// an error as far as it shows.
    #[inline]
    pub(super) unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), Misuse> {
        let (start, granules) = (self.granule_of(block), granules(layout.size()));
        self.check(block, layout)?;
        self.used -= granules;
        // SAFETY: as the caller promises.
        unsafe { self.release(start, granules) };
        Ok(())
    }

    #[inline]
    pub(super) fn granule_of(&self, block: NonNull<u8>) -> usize {
        (block.addr().get() - self.holes.memory.base().addr().get()) / GRANULE
    }

    /// Makes memory free, and merges it with what is free before and after it. Returns where the result starts.
    ///
    /// # Safety
    ///
    /// The memory is inside of the part, after the summary, and not free; nothing uses it any more.
    #[inline(never)]
    pub(super) unsafe fn release(&mut self, granule: usize, mut granules: usize) -> usize {
        let end = granule + granules;
        let mut gap = self.holes.seek(granule);
        let before = if gap.prev == NOWHERE { self.holes.last_before(granule / REGION) } else { gap.prev };
        let is_own = end / REGION == granule / REGION;
        let after = if is_own { gap } else { self.holes.seek(end) };
        let into_wilderness = end == self.low || granule == self.high;
        let mut start = granule;
        // SAFETY: the holes were found in their regions' lists, and what lies between those that are merged is free.
        unsafe {
            if before != NOWHERE && before + self.holes.hole(before).granules() == granule {
                start = before;
            }
            if after.next == end % REGION {
                let hole = self.holes.hole(end);
                granules += hole.granules();
                self.holes.link(end / REGION, after.prev, hole.next());
                if is_own {
                    gap.next = hole.next();
                }
                if into_wilderness || end / REGION != start / REGION {
                    self.holes.shrunk(end / REGION, hole.granules());
                }
            }
            if into_wilderness {
                if granule == self.high {
                    self.high += granules;
                    return self.low;
                }
                self.low = start;
                if start != granule {
                    let hole = self.holes.hole(start);
                    self.holes.link(start / REGION, self.holes.seek(start).prev, hole.next());
                    self.holes.shrunk(start / REGION, hole.granules());
                }
            } else if start != granule {
                let hole = self.holes.hole(start);
                granules += hole.granules();
                self.holes.memory.set_hole(start, Hole::new(granules, hole.next()));
                self.holes.grown(start / REGION, granules);
            } else {
                self.holes.insert(start, granules, gap);
            }
        }
        start
    }

    /// Takes a block out of free memory. What is left at both ends stays free.
    ///
    /// # Safety
    ///
    /// `fit` is free memory as it is now, and the block lies in it.
    #[inline(never)]
    pub(super) unsafe fn carve(&mut self, fit: &Fit, granules: usize) {
        let &Fit { start, prev, hole, block } = fit;
        let block_end = block + granules;
        if prev == WILDERNESS {
            // The larger rest is the wilderness.
            let (low, high) = (self.low, self.high);
            let (rest, len) = if block - low <= high - block_end {
                self.low = block_end;
                self.virgin.0 = self.virgin.0.max(block_end);
                (low, block - low)
            } else {
                self.high = block;
                self.virgin.1 = self.virgin.1.min(block);
                (block_end, high - block_end)
            };
            if len != 0 {
                // SAFETY: it was the wilderness, and isn't any more.
                unsafe { self.release(rest, len) };
            }
            return;
        }
        // SAFETY: the rests are free, and start where holes did or in between.
        unsafe {
            let mut next = hole.next();
            let back = fit.end() - block_end;
            let is_own = block_end / REGION == start / REGION;
            if back != 0 && is_own {
                self.holes.memory.set_hole(block_end, Hole::new(back, next));
                next = block_end % REGION;
            }
            if block == start {
                self.holes.link(start / REGION, prev, next);
            } else {
                self.holes.memory.set_hole(start, Hole::new(block - start, next));
            }
            self.holes.shrunk(start / REGION, hole.granules());
            if back != 0 && !is_own {
                self.holes.insert(block_end, back, self.holes.seek(block_end));
            }
        }
    }
}
