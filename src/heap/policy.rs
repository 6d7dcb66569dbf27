use super::lists::{EXACT, LAST_CLASS, NO_CLASS};
use super::part::Part;
use super::regions::NOWHERE;
use super::units::GRANULE;

/// A request is large if it is for more than `1 / LARGE` of the part, and for more than
/// one granule.
const LARGE: usize = 16;

/// The number of holes that are examined for a small block in a class whose holes may or
/// may not have room.
const LOOKS: usize = 2;

/// The number of classes whose first holes are compared to choose the lowest.
const CLASSES: usize = 2;

/// The number of holes that are examined for a large block, and in the last class, which
/// never has more.
const STEPS: usize = LAST_CLASS;

/// Free memory that has room for a block.
#[derive(Clone, Copy)]
pub(super) struct Fit {
    /// The start of the hole or the wilderness, or [`NOWHERE`] if nothing fits.
    pub(super) start: usize,
    /// The size of the hole or the wilderness, in granules.
    pub(super) granules: usize,
    /// The start of the block.
    pub(super) block: usize,
}

impl Fit {
    pub(super) const NONE: Self = Self { start: NOWHERE, granules: 0, block: NOWHERE };

    /// Returns the end of the free memory.
    #[inline]
    pub(super) const fn end(&self) -> usize {
        self.start + self.granules
    }

    #[inline]
    pub(super) const fn is_none(&self) -> bool {
        self.start == NOWHERE
    }
}

/// The placement of blocks.
///
/// - **A small block** goes to the lower end of a hole. If a hole of the block's own
///   class has room, it is taken. Otherwise the lowest of the first holes of the next few
///   classes is taken, all of which have room. The wilderness is preferred to a hole
///   above it.
/// - **A large block** goes to the upper end of the highest hole above the wilderness. If
///   there is none, it goes to the upper end of the wilderness, and then of the highest
///   hole below it.
///
/// Only a limited number of holes is examined. Small blocks gather at the lower end of
/// the part and large ones at its upper end, so the memory between them stays in one
/// piece.
impl Part {
    #[inline]
    pub(super) const fn is_large(&self, granules: usize) -> bool {
        granules > self.granules / LARGE && granules > 1
    }

    /// Finds free memory for a block. Returns [`Fit::NONE`] if nothing fits.
    #[inline(never)]
    pub(super) fn find(&self, granules: usize, align: usize) -> Fit {
        if align > GRANULE || self.is_large(granules) {
            return self.find_special(granules, align);
        }
        let (start, granules) = self.find_small(granules);
        Fit { start, granules, block: start }
    }

    /// Finds free memory for a small block. Returns its start, or [`NOWHERE`], and its
    /// size in granules.
    #[inline]
    pub(super) fn find_small(&self, granules: usize) -> (usize, usize) {
        let hole = self.find_hole(granules);
        // This includes `NOWHERE`, which is above all positions.
        if hole > self.low {
            let wilderness = self.high - self.low;
            if wilderness >= granules {
                return (self.low, wilderness);
            }
            if hole == NOWHERE {
                return (NOWHERE, 0);
            }
        }
        // SAFETY: a hole starts there.
        (hole, unsafe { self.holes.size(hole) })
    }

    /// Finds a hole for a block that may start at any granule. Returns [`NOWHERE`] if it
    /// finds none.
    #[inline]
    fn find_hole(&self, granules: usize) -> usize {
        let lists = &self.holes.lists;
        if granules == 1 {
            let hole = self.holes.one();
            if hole != NOWHERE {
                return hole;
            }
        }
        let own = lists.class_of(granules);
        let (mut class, mut bits) = lists.from(own);
        if class == own {
            let mut hole = lists.head(own);
            if granules < EXACT {
                return hole;
            }
            for _ in 0..if own == lists.last_class { STEPS } else { LOOKS } {
                // SAFETY: a hole starts there.
                if unsafe { self.holes.size(hole) } >= granules {
                    return hole;
                }
                hole = lists.after(hole);
            }
            (class, bits) = lists.from(own + 1);
        }
        if class == NO_CLASS { NOWHERE } else { lists.lowest_head(class, bits, CLASSES) }
    }

    /// Finds free memory for a block that is large, or aligned to more than a granule.
    #[inline(never)]
    pub(super) fn find_special(&self, granules: usize, align: usize) -> Fit {
        let is_large = self.is_large(granules);
        let (base, slack) = self.alignment(align);
        if granules > self.granules {
            return Fit::NONE;
        }
        let lists = &self.holes.lists;
        let mut found = NOWHERE;
        let (mut class, mut bits) = lists.from(lists.class_of(granules));
        let (mut head, mut hole) = (NOWHERE, NOWHERE);
        for _ in 0..if is_large { STEPS } else { LOOKS } {
            if hole == head {
                if class == NO_CLASS {
                    break;
                }
                head = lists.head(class);
                hole = head;
                (class, bits) = lists.next(class, bits);
            }
            // SAFETY: a hole starts there.
            let size = unsafe { self.holes.size(hole) };
            if size >= granules && (found == NOWHERE || hole > found) {
                let start = base + hole;
                if (start + size - granules) & !slack >= start {
                    found = hole;
                    if !is_large {
                        break;
                    }
                }
            }
            hole = lists.after(hole);
        }
        let mut best = Fit::NONE;
        if found != NOWHERE {
            best = self.place(self.hole(found), granules, align, is_large);
        }
        if best.is_none() {
            // A hole of this size has room at any address.
            let hole = self.find_hole(granules + slack);
            if hole != NOWHERE {
                best = self.place(self.hole(hole), granules, align, is_large);
            }
        }
        if best.is_none() || (best.start < self.low) == is_large {
            let fit = self.place(self.wilderness(), granules, align, is_large);
            if !fit.is_none() {
                return fit;
            }
        }
        best
    }

    /// Returns the address of the part in granules, and the bits that are zero in an
    /// aligned address in granules.
    #[inline]
    fn alignment(&self, align: usize) -> (usize, usize) {
        (self.holes.memory.base().addr().get() / GRANULE, (align / GRANULE).max(1) - 1)
    }

    /// Places a block in free memory: at the aligned address that is closest to the upper
    /// or the lower end. Returns [`Fit::NONE`] if there is no room.
    #[inline(never)]
    pub(super) fn place(&self, fit: Fit, granules: usize, align: usize, is_upper: bool) -> Fit {
        let (base, slack) = self.alignment(align);
        let first = base + fit.start;
        let last = (first + fit.granules).wrapping_sub(granules) & !slack;
        if fit.granules < granules || last < first {
            return Fit::NONE;
        }
        Fit { block: if is_upper { last } else { (first + slack) & !slack } - base, ..fit }
    }

    /// Returns the wilderness, with a block at its lower end.
    #[inline]
    pub(super) const fn wilderness(&self) -> Fit {
        Fit { start: self.low, granules: self.high - self.low, block: self.low }
    }

    /// Returns a hole, with a block at its lower end.
    #[inline]
    pub(super) fn hole(&self, start: usize) -> Fit {
        // SAFETY: a hole starts there, according to its list or its region.
        Fit { start, granules: unsafe { self.holes.size(start) }, block: start }
    }

    /// Returns the size of the largest hole that a request is sure to find, in granules.
    pub(super) fn largest_hole(&self) -> usize {
        let lists = &self.holes.lists;
        let class = lists.last();
        if class == NO_CLASS {
            return usize::from(self.holes.one() != NOWHERE);
        }
        let is_large = class > lists.class_of(self.granules / LARGE);
        let mut largest = 0;
        let mut hole = lists.head(class);
        for _ in 0..if is_large { STEPS } else { LOOKS } {
            largest = largest.max(self.hole(hole).granules);
            hole = lists.after(hole);
        }
        largest
    }
}
