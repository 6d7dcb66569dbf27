use core::ptr::NonNull;

use super::hole::{Field, Memory, narrow};
use super::units::REGION;

/// The position that is returned if nothing was found.
pub(super) const NOWHERE: usize = usize::MAX;

/// The mark of a region in which no hole starts.
pub(super) const NONE: u8 = 32;
/// The mark of the last region that a hole covers as a whole: this, and how many granules of the next region it covers too.
pub(super) const COVERED: u8 = 64;
/// With `--cfg hpalloc_hardened`, the mark of every other region that a hole covers as a whole.
#[cfg(hpalloc_hardened)]
pub(super) const INSIDE: u8 = 128;

/// Holes by address: which granules they start at.
///
/// ```text
///  region   0          1          2          3          4
///          ┌──────────┬──────────┬──────────┬──────────┬──────────┐
///          │███░░██░░█│██████████│██░░░░░░░░│░░░░░░░░░░│░░░░██████│
///          └──────────┴──────────┴──────────┴──────────┴──────────┘
///  mark     3          NONE       2          COVERED+4  NONE
/// ```
///
/// The mark of a region is the offset of the first hole that starts in it, and that hole has the map of all that do. So the hole
/// before an address and the one after it are found without a walk: in the map of their region, or of the one before, or, if a
/// hole covers that one as a whole, by that hole's tail.
pub(super) struct Regions {
    memory: Memory,
    /// A byte for each region.
    ///
    /// *Invariant (Marks):* if a block, a hole or the wilderness starts or ends in a region, then its mark and the mark of
    /// the region before it are as the constants say. All others are not initialised, so that a large block takes no longer
    /// than a small one. With `--cfg hpalloc_hardened`, only those inside of the wilderness aren't: a block that is freed
    /// shows by them whether it overlaps a hole.
    marks: NonNull<u8>,
}

/// The bit of a granule in the map of its region.
#[inline]
pub(super) const fn bit(granule: usize) -> u32 {
    1 << (granule % REGION)
}

/// The offset of the first hole in a map that isn't zero.
#[inline]
pub(super) const fn lowest(map: u32) -> usize {
    map.trailing_zeros() as usize
}

/// The offset of the last hole in a map that isn't zero.
#[inline]
const fn highest(map: u32) -> usize {
    (u32::BITS - 1 - map.leading_zeros()) as usize
}

/// Whether a hole covers a region as a whole, so that it has a tail: see [`Regions::cover`].
#[cfg(hpalloc_hardened)]
pub(super) const fn covers(hole: usize, end: usize) -> bool {
    end / REGION > hole / REGION + 1
}

impl Regions {
    /// How many bytes the marks of so many granules take.
    pub(super) const fn bytes(total: usize) -> usize {
        total / REGION + 1
    }

    /// # Safety
    ///
    /// At `marks` there are `bytes(total)` bytes that nothing else uses while this is used. All granules from `start` on are the
    /// wilderness.
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
        // SAFETY: the region is one of the part, and its mark is asked for only if it is initialised by Marks.
        unsafe { self.marks.add(region).read() }
    }

    #[inline]
    fn set_mark(&self, region: usize, mark: u8) {
        // SAFETY: the region is one of the part.
        unsafe { self.marks.add(region).write(mark) }
    }

    /// A bit for each granule of the region at which a hole starts.
    #[inline]
    pub(super) fn map(&self, region: usize) -> u32 {
        let mark = self.mark(region);
        if mark >= NONE {
            return 0;
        }
        // SAFETY: by Marks it is the region's first hole, which has the map.
        unsafe { self.memory.get(region * REGION + usize::from(mark), Field::Map) }
    }

    /// Adds the holes of these bits to a region's map, or removes them.
    ///
    /// # Safety
    ///
    /// The map then says where holes start.
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
        // SAFETY: a hole starts there, as the caller promises.
        unsafe { self.memory.set(region * REGION + first, Field::Map, map) };
    }

    /// Adds a hole, or removes one.
    ///
    /// # Safety
    ///
    /// It is a hole or is about to be one, and no part of another one.
    #[inline]
    pub(super) unsafe fn toggle(&self, hole: usize) {
        // SAFETY: as the caller promises.
        unsafe { self.toggle_bits(hole / REGION, bit(hole)) };
    }

    /// Moves the start of a hole.
    ///
    /// # Safety
    ///
    /// The old one is a hole, what is between the two is no part of another hole, and the new one is free.
    #[inline]
    pub(super) unsafe fn replace(&self, old: usize, new: usize) {
        if old == new {
            return;
        }
        let mut bits = bit(new);
        // SAFETY: as the caller promises.
        unsafe {
            if old / REGION == new / REGION {
                bits |= bit(old);
            } else {
                self.toggle(old);
            }
            self.toggle_bits(new / REGION, bits);
        }
    }

    /// The hole that ends where a block starts, or [`NOWHERE`].
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
                // SAFETY: by Marks, a hole that covers a region ends here.
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

    /// Whether a hole starts where a block ends.
    #[inline]
    pub(super) fn is_hole(&self, end: usize) -> bool {
        self.map(end / REGION) & bit(end) != 0
    }

    /// Marks the regions that a hole covers, and writes its tail if there are any.
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
            // SAFETY: the hole has more granules than a region, so the last one isn't one of the first two.
            unsafe { self.memory.set(end - 1, Field::Granules, narrow(hole)) };
        }
    }

    /// Undoes what [`cover`](Regions::cover) marked.
    #[inline]
    pub(super) fn uncover(&self, hole: usize, end: usize) {
        if end / REGION > hole / REGION + 1 {
            #[cfg(hpalloc_hardened)]
            self.mark_all(hole / REGION + 1, end / REGION, NONE);
            self.set_mark(end / REGION - 1, NONE);
        }
    }

    /// Initialises the marks for a border that is new, inside of what was free or a block from `from` to `to`, and isn't a
    /// hole any more.
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

    /// Marks the regions that a new block covers, which may come from the wilderness.
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

    /// Whether a hole has a granule in common with a block that isn't in the wilderness.
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
