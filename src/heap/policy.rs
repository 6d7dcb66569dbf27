use super::hole::{END, Hole};
use super::holes::NOWHERE;
use super::part::Part;
use super::summary::NO_REGION;
use super::units::{Class, GRANULE, REGION};

/// A request of more than one granule in so many of the part counts as large.
const LARGE: usize = 16;

/// How many holes are looked at that are large enough.
const LOOKS: usize = 4;
/// In how many holes at most, large enough or not.
const STEPS: usize = 16;
/// A hole that is larger than the request by less than one part in so many is taken at once.
const NEAR: usize = 24;

/// Free memory that has room for a block.
#[derive(Clone, Copy)]
pub(super) struct Fit {
    /// Where the hole starts that the block is placed in, or [`NOWHERE`] if nothing fits.
    pub(super) start: usize,
    /// The hole before, in the same region; or [`NOWHERE`]; or [`WILDERNESS`], if `start` is where that starts.
    pub(super) prev: usize,
    /// The hole's word: what is moved into the block may overwrite the one in memory. The wilderness as if it were a hole.
    pub(super) hole: Hole,
    /// Where the block is to start.
    pub(super) block: usize,
}

impl Fit {
    /// Where the free memory ends.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.start + self.hole.granules()
    }
}

/// Stands for the hole before, if what fits is the wilderness.
pub(super) const WILDERNESS: usize = NOWHERE - 1;

/// Where a block is placed.
///
/// A small one at the lower end of the lowest hole that is large enough, unless one of about its size is among the next few;
/// a large one at the upper end of the highest hole. (Holes of one region count from its lower end for both.) The wilderness
/// comes after the holes on its side for such blocks, and before those on the other side: small blocks and large ones keep
/// apart, and what lies between them stays whole.
impl Part {
    #[inline]
    pub(super) fn is_large(&self, granules: usize) -> bool {
        granules > self.granules / LARGE
    }

    /// Free memory for a block of so many granules, or a fit that starts [`NOWHERE`].
    #[inline]
    pub(super) fn find(&self, granules: usize, align: usize) -> Fit {
        if align <= GRANULE { self.find_unaligned(granules) } else { self.find_aligned(granules, align) }
    }

    #[inline(never)]
    fn find_unaligned(&self, granules: usize) -> Fit {
        let large = self.is_large(granules);
        let class = Class::above(granules);
        let mut fit = Self::NO_FIT;
        let region = self.holes.summary.find(class, large);
        if region != NO_REGION {
            fit = self.find_hole(region, granules, large);
            if !large && fit.hole.granules() - granules > granules / NEAR {
                fit = self.look_further(fit, granules, class);
            }
            if (fit.start > self.low) == large {
                return fit;
            }
        }
        if self.high - self.low >= granules {
            fit = self.wilderness();
            fit.block = if large { self.high - granules } else { self.low };
        }
        fit
    }

    /// The first hole of a region that has room, or the last one. The region has one.
    #[inline]
    fn find_hole(&self, region: usize, granules: usize, large: bool) -> Fit {
        let base = region * REGION;
        let (mut prev, mut start) = (NOWHERE, base + self.holes.summary.first(region));
        // SAFETY: the list of a region leads from hole to hole.
        let mut hole = unsafe { self.holes.hole(start) };
        while hole.granules() < granules {
            prev = start;
            start = base + hole.next();
            // SAFETY: as above. The list doesn't end, since there is room.
            hole = unsafe { self.holes.hole(start) };
        }
        let mut fit = Fit { start, prev, hole, block: start };
        if large {
            while hole.next() != END {
                prev = start;
                start = base + hole.next();
                // SAFETY: as above.
                hole = unsafe { self.holes.hole(start) };
                if hole.granules() >= granules {
                    fit = Fit { start, prev, hole, block: start };
                }
            }
            fit.block = fit.end() - granules;
        }
        fit
    }

    /// A hole of about the size among the next few that are large enough, or the first one.
    #[inline(never)]
    fn look_further(&self, first: Fit, granules: usize, class: Class) -> Fit {
        let (mut region, mut prev, mut next) = (first.start / REGION, first.start, first.hole.next());
        let mut looks = LOOKS - 1;
        for _ in 0..STEPS {
            if next == END {
                region = self.holes.summary.next(region, class);
                if region == NO_REGION || region * REGION > self.low && first.start < self.low {
                    break;
                }
                (prev, next) = (NOWHERE, self.holes.summary.first(region));
            }
            let start = region * REGION + next;
            // SAFETY: the list of a region leads from hole to hole.
            let hole = unsafe { self.holes.hole(start) };
            if let Some(rest) = hole.granules().checked_sub(granules) {
                if rest <= granules / NEAR {
                    return Fit { start, prev, hole, block: start };
                }
                looks -= 1;
                if looks == 0 {
                    break;
                }
            }
            prev = start;
            next = hole.next();
        }
        first
    }

    /// As [`find`](Part::find): first one of the lowest holes that happens to have room where it is aligned, and then what has
    /// it wherever it starts.
    #[cold]
    #[inline(never)]
    fn find_aligned(&self, granules: usize, align: usize) -> Fit {
        let slack = align / GRANULE - 1;
        let large = self.is_large(granules);
        let class = Class::above(granules);
        let mut region = self.holes.summary.find(class, false);
        let (mut prev, mut next) = (NOWHERE, END);
        if region != NO_REGION {
            next = self.holes.summary.first(region);
        }
        for _ in 0..STEPS {
            if next == END {
                region = if region == NO_REGION { region } else { self.holes.summary.next(region, class) };
                if region == NO_REGION {
                    break;
                }
                (prev, next) = (NOWHERE, self.holes.summary.first(region));
            }
            let start = region * REGION + next;
            // SAFETY: by Lists, a hole starts there.
            let hole = unsafe { self.holes.hole(start) };
            let fit = self.align(Fit { start, prev, hole, block: start }, granules, slack, large);
            if fit.start != NOWHERE {
                return fit;
            }
            prev = start;
            next = hole.next();
        }
        [granules, granules + slack]
            .into_iter()
            .map(|need| self.find_unaligned(need))
            .map(|fit| if fit.start == NOWHERE { fit } else { self.align(fit, granules, slack, large) })
            .find(|fit| fit.start != NOWHERE)
            .unwrap_or(Self::NO_FIT)
    }

    /// The place of a block in free memory, at the upper end or the lower one, and from there inwards to where it is aligned.
    fn align(&self, fit: Fit, granules: usize, slack: usize, large: bool) -> Fit {
        let base = self.holes.memory.base().addr().get() / GRANULE;
        let first = base + fit.start;
        let Some(last) = (base + fit.end()).checked_sub(granules).map(|last| last & !slack) else {
            return Self::NO_FIT;
        };
        if last < first {
            return Self::NO_FIT;
        }
        Fit { block: if large { last } else { (first + slack) & !slack } - base, ..fit }
    }

    const NO_FIT: Fit = Fit { start: NOWHERE, prev: NOWHERE, hole: Hole::NONE, block: 0 };

    #[inline]
    fn wilderness(&self) -> Fit {
        Fit { start: self.low, prev: WILDERNESS, hole: Hole::new(self.high - self.low, END), block: NOWHERE }
    }

    /// The free memory that starts here, where a block is to be placed at `block`.
    #[inline]
    pub(super) fn fit_at(&self, start: usize, block: usize) -> Fit {
        if start == self.low {
            return Fit { block, ..self.wilderness() };
        }
        let prev = self.holes.seek(start).prev;
        // SAFETY: what is free and not the wilderness is a hole.
        Fit { start, prev, hole: unsafe { self.holes.hole(start) }, block }
    }
}
