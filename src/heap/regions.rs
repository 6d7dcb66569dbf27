use core::ptr::NonNull;

use super::hole::{Field, Memory, narrow};
use super::units::REGION;

/// Returned instead of a position if nothing was found.
pub(super) const NOWHERE: usize = usize::MAX;

/// The mark of a region in which no hole starts.
pub(super) const NONE: u8 = 32;
/// The mark of the last region that a hole covers completely is this value plus the
/// number of granules that the hole covers in the next region.
pub(super) const COVERED: u8 = 64;
/// In a hardened build, the mark of every other region that a hole covers completely.
#[cfg(hpalloc_hardened)]
pub(super) const INSIDE: u8 = 128;

/// The index of holes by address: the granules at which they start.
///
/// ```text
///  region   0          1          2          3          4
///          ┌──────────┬──────────┬──────────┬──────────┬──────────┐
///          │███░░██░░█│██████████│██░░░░░░░░│░░░░░░░░░░│░░░░██████│
///          └──────────┴──────────┴──────────┴──────────┴──────────┘
///  mark     3          NONE       2          COVERED+4  NONE
/// ```
///
/// The mark of a region is the offset of the first hole that starts in it. That hole has
/// a map of all holes that start in the region. The holes before and after an address are
/// found without a walk. They are in the map of its region or of the region before. If a
/// hole covers the region before completely, the start of that hole is in its tail, which
/// is its last granule.
pub(super) struct Regions {
    memory: Memory,
    /// One byte per region.
    ///
    /// *Invariant (Marks):* if a block, a hole or the wilderness starts or ends in a
    /// region, the mark of that region and the mark of the region before it have the
    /// values that are described above and at the constants. All other marks are
    /// uninitialized, so that a large block costs no more time than a small one. In a
    /// hardened build, only the marks inside the wilderness are uninitialized: the others
    /// show whether a block that is freed overlaps a hole.
    marks: NonNull<u8>,
}

/// Returns the bit of a granule in the map of its region.
#[inline]
pub(super) const fn bit(granule: usize) -> u32 {
    1 << (granule % REGION)
}

/// Returns the offset of the first hole in a map that isn't zero.
#[inline]
pub(super) const fn lowest(map: u32) -> usize {
    map.trailing_zeros() as usize
}

/// Returns the offset of the last hole in a map that isn't zero.
#[inline]
const fn highest(map: u32) -> usize {
    (u32::BITS - 1 - map.leading_zeros()) as usize
}

/// Returns `true` if a hole covers a region completely, so that it has a tail: see
/// [`Regions::cover`].
#[cfg(hpalloc_hardened)]
pub(super) const fn covers(hole: usize, end: usize) -> bool {
    end / REGION > hole / REGION + 1
}

impl Regions {
    /// Returns the size of the marks for `total` granules, in bytes.
    pub(super) const fn bytes(total: usize) -> usize {
        total / REGION + 1
    }

    /// # Safety
    ///
    /// `marks` points to `bytes(total)` bytes, which nothing else uses while the value is
    /// in use. All granules from `start` on are wilderness.
    pub(super) unsafe fn new(memory: Memory, marks: NonNull<u8>, start: usize, total: usize) -> Self {
        let regions = Self { memory, marks };
        for border in [start, total] {
            let region = border / REGION;
            regions.set_mark(region, NONE);
            regions.set_mark(region.saturating_sub(1), NONE);
        }
        regions
    }

    #[inline]
    pub(super) fn mark(&self, region: usize) -> u8 {
        // SAFETY: the region belongs to the part. Callers read only marks that are
        // initialized by Marks.
        unsafe { self.marks.add(region).read() }
    }

    #[inline]
    fn set_mark(&self, region: usize, mark: u8) {
        // SAFETY: the region belongs to the part.
        unsafe { self.marks.add(region).write(mark) }
    }

    /// Returns the map of a region, with a bit set for each granule at which a hole
    /// starts.
    #[inline]
    pub(super) fn map(&self, region: usize) -> u32 {
        let mark = self.mark(region);
        if mark >= NONE {
            return 0;
        }
        // SAFETY: by Marks, this is the first hole of the region, which has the map.
        unsafe { self.memory.get(region * REGION + usize::from(mark), Field::Map) }
    }

    /// Toggles bits of a region's map, which adds holes to it or removes them.
    ///
    /// # Safety
    ///
    /// Each bit that is set afterwards is the start of a hole, or of memory that is about
    /// to become one.
    #[inline(never)]
    unsafe fn toggle_bits(&self, region: usize, bits: u32) {
        let map = self.map(region) ^ bits;
        if map == 0 {
            self.set_mark(region, NONE);
            return;
        }
        let first = lowest(map);
        #[allow(clippy::cast_possible_truncation, reason = "a region has 32 granules")]
        self.set_mark(region, first as u8);
        // SAFETY: the caller guarantees that a hole starts there.
        unsafe { self.memory.set(region * REGION + first, Field::Map, map) };
    }

    /// Adds a hole to its region's map, or removes it.
    ///
    /// # Safety
    ///
    /// It is a hole or is about to become one, and isn't part of another hole.
    #[inline]
    pub(super) unsafe fn toggle(&self, hole: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe { self.toggle_bits(hole / REGION, bit(hole)) };
    }

    /// Moves the start of a hole.
    ///
    /// # Safety
    ///
    /// A hole starts at `old`. The memory at `new` is free. No memory between the two
    /// positions is part of another hole.
    #[inline]
    pub(super) unsafe fn replace(&self, old: usize, new: usize) {
        if old == new {
            return;
        }
        let mut bits = bit(new);
        // SAFETY: guaranteed by the caller.
        unsafe {
            if old / REGION == new / REGION {
                bits |= bit(old);
            } else {
                self.toggle(old);
            }
            self.toggle_bits(new / REGION, bits);
        }
    }

    /// Returns the hole that ends where a block starts, or [`NOWHERE`].
    #[inline]
    pub(super) fn before(&self, block: usize) -> usize {
        let (mut region, offset) = (block / REGION, block % REGION);
        let mut map = self.map(region) & (bit(block) - 1);
        if map == 0 {
            if region == 0 {
                return NOWHERE;
            }
            region -= 1;
            if usize::from(self.mark(region)) == usize::from(COVERED) + offset {
                // SAFETY: by Marks, a hole that covers a whole region ends here.
                return unsafe { self.memory.start(block) };
            }
            map = self.map(region);
            if map == 0 {
                return NOWHERE;
            }
        }
        let hole = region * REGION + highest(map);
        // SAFETY: a hole starts there.
        if hole + unsafe { self.memory.size(hole) } == block { hole } else { NOWHERE }
    }

    /// Returns `true` if a hole starts where a block ends.
    #[inline]
    pub(super) fn is_hole(&self, end: usize) -> bool {
        self.map(end / REGION) & bit(end) != 0
    }

    /// Marks the regions that a hole covers completely. If there are any, writes the
    /// hole's tail.
    ///
    /// # Safety
    ///
    /// The memory is one hole.
    #[inline]
    pub(super) unsafe fn cover(&self, hole: usize, end: usize) {
        if end / REGION > hole / REGION + 1 {
            #[cfg(hpalloc_hardened)]
            self.mark_all(hole / REGION + 1, end / REGION, INSIDE);
            #[allow(clippy::cast_possible_truncation, reason = "a region has 32 granules")]
            self.set_mark(end / REGION - 1, COVERED + (end % REGION) as u8);
            // SAFETY: the hole has more granules than a region, so its last granule isn't
            // one of its first two.
            unsafe { self.memory.set(end - 1, Field::Granules, narrow(hole)) };
        }
    }

    /// Undoes the marking of [`cover`](Regions::cover).
    #[inline]
    pub(super) fn uncover(&self, hole: usize, end: usize) {
        if end / REGION > hole / REGION + 1 {
            #[cfg(hpalloc_hardened)]
            self.mark_all(hole / REGION + 1, end / REGION, NONE);
            self.set_mark(end / REGION - 1, NONE);
        }
    }

    /// Initializes the marks that a new border needs when it divides free memory from
    /// `from` to `to`. They become the marks of regions without holes.
    #[inline]
    pub(super) fn divide(&self, from: usize, border: usize, to: usize) {
        let (from, region, to) = (from / REGION, border / REGION, to / REGION);
        if region > from {
            if region < to {
                self.set_mark(region, NONE);
            }
            if region - 1 > from {
                self.set_mark(region - 1, NONE);
            }
        }
    }

    /// Initializes the marks of the regions that a new block covers completely, because
    /// the block may come from the wilderness.
    #[cfg(hpalloc_hardened)]
    pub(super) fn settle(&self, block: usize, end: usize) {
        self.mark_all(block / REGION + 1, end / REGION, NONE);
    }

    #[cfg(hpalloc_hardened)]
    fn mark_all(&self, from: usize, to: usize, mark: u8) {
        for region in from..to {
            self.set_mark(region, mark);
        }
    }

    /// Returns `true` if a hole shares a granule with a block. The block is not in the
    /// wilderness.
    #[cfg(hpalloc_hardened)]
    pub(super) fn overlaps(&self, block: usize, end: usize) -> bool {
        let first = block / REGION;
        let starts = |region: usize| self.map(region);
        let is_inside = (first..=(end - 1) / REGION).any(|region| {
            let from = if region == first { bit(block) - 1 } else { 0 };
            let to = if region == (end - 1) / REGION { bit(end - 1) | (bit(end - 1) - 1) } else { u32::MAX };
            self.mark(region) >= COVERED || starts(region) & to & !from != 0
        });
        if is_inside {
            return true;
        }
        // A hole that starts before the block and reaches into it.
        let own = starts(first) & (bit(block) - 1);
        let (region, map) = match first.checked_sub(1) {
            Some(before) if own == 0 => (before, starts(before)),
            _ => (first, own),
        };
        if map == 0 {
            let mark = usize::from(self.mark(region));
            return region != first && mark > usize::from(COVERED) + block % REGION && mark < usize::from(INSIDE);
        }
        let hole = region * REGION + highest(map);
        // SAFETY: a hole starts there.
        hole + unsafe { self.memory.size(hole) } > block
    }
}
