use super::lists::{EXACT, LAST_CLASS, NO_CLASS};
use super::part::Part;
use super::regions::NOWHERE;
use super::units::GRANULE;

/// A request of more than one granule in so many of the part is large.
const LARGE: usize = 16;

/// How many holes of a class are examined for a small block, if they may or may not have room.
const LOOKS: usize = 2;

/// The lowest hole is chosen among the first ones of so many classes.
const CLASSES: usize = 2;

/// How many holes are examined for a large block, and in the last class, which has no more.
const STEPS: usize = LAST_CLASS;

/// Free memory that has room for a block.
#[derive(Clone, Copy)]
pub(super) struct Fit {
    /// Where the hole or the wilderness starts, or [`NOWHERE`] if nothing fits.
    pub(super) start: usize,
    /// How many granules it has.
    pub(super) granules: usize,
    /// Where the block is to start.
    pub(super) block: usize,
}

impl Fit {
    pub(super) const NONE: Self = Self { start: NOWHERE, granules: 0, block: NOWHERE };

    /// Where the free memory ends.
    #[inline]
    pub(super) const fn end(&self) -> usize {
        self.start + self.granules
    }

    #[inline]
    pub(super) const fn is_none(&self) -> bool {
        self.start == NOWHERE
    }
}

/// Where a block is placed.
///
/// - **A small block** goes to the lower end of a hole. The hole is of the block's own class if one there has room; otherwise
///   it is the lowest among the first holes of the next few classes, which all have room. The wilderness is preferred to a
///   hole above it.
/// - **A large block** goes to the upper end of the highest hole above the wilderness, then of the wilderness, then of the
///   highest hole below it.
///
/// So small blocks gather at the lower end of the part and large ones at its upper end, and the memory between them stays whole.
impl Part {
    #[inline]
    pub(super) const fn is_large(&self, granules: usize) -> bool {
        granules > self.granules / LARGE && granules > 1
    }

    /// Free memory for a block, or [`Fit::NONE`].
    #[inline(never)]
    pub(super) fn find(&self, granules: usize, align: usize) -> Fit {
        if align > GRANULE || self.is_large(granules) {
            return self.find_special(granules, align);
        }
        let (start, granules) = self.find_small(granules);
        Fit { start, granules, block: start }
    }

    /// Free memory for a small block: where it starts, or [`NOWHERE`], and how many granules it has.
    #[inline]
    pub(super) fn find_small(&self, granules: usize) -> (usize, usize) {
        let hole = self.find_hole(granules);
        // `NOWHERE` is above all positions, so this covers it too.
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

    /// Free memory for a block that is large, or aligned to more than a granule.
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
            // Of a class whose holes have room wherever they start.
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

    /// The address of the part in granules, and which bits of an aligned address in granules are zero.
    #[inline]
    fn alignment(&self, align: usize) -> (usize, usize) {
        (self.holes.memory.base().addr().get() / GRANULE, (align / GRANULE).max(1) - 1)
    }

    /// The place of a block in free memory: at the upper end or the lower one, and from there inwards to where it is aligned.
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

    /// The wilderness, with a block at its lower end.
    #[inline]
    pub(super) const fn wilderness(&self) -> Fit {
        Fit { start: self.low, granules: self.high - self.low, block: self.low }
    }

    /// A hole, with a block at its lower end.
    #[inline]
    pub(super) fn hole(&self, start: usize) -> Fit {
        // SAFETY: a hole starts there, since its list or its region says so.
        Fit { start, granules: unsafe { self.holes.size(start) }, block: start }
    }

    /// How many granules the largest hole has that a request is sure to find.
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
