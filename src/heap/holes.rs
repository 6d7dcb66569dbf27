use super::hole::{END, Hole, Memory};
use super::summary::{NO_REGION, Summary};
use super::units::{Class, REGION};

/// Stands for a position where no hole was found.
pub(super) const NOWHERE: usize = usize::MAX;

/// A place between two holes of a region.
#[derive(Clone, Copy)]
pub(super) struct Gap {
    /// Where the last hole before it starts, of those in the same region, or [`NOWHERE`].
    pub(super) prev: usize,
    /// The link to the first hole that starts at it or later: an offset in the region, or [`END`].
    pub(super) next: usize,
}

/// All holes: in each region a list in the order of addresses, and the summary of them.
///
/// *Invariant (Lists):* the list of a region leads from hole to hole, upwards, to [`END`].
pub(super) struct Holes {
    pub(super) memory: Memory,
    /// Exact after each operation of this type but [`Holes::link`].
    pub(super) summary: Summary,
}

impl Holes {
    /// # Safety
    ///
    /// A hole starts at this granule.
    #[inline]
    pub(super) unsafe fn hole(&self, start: usize) -> Hole {
        // SAFETY: as the caller promises.
        unsafe { self.memory.hole(start) }
    }

    /// The place at a granule, in its region.
    #[inline(never)]
    pub(super) fn seek(&self, granule: usize) -> Gap {
        let (region, offset) = (granule / REGION, granule % REGION);
        let mut gap = Gap { prev: NOWHERE, next: END };
        if self.summary.class(region) != Class::NONE {
            let base = granule - offset;
            gap.next = self.summary.first(region);
            while gap.next < offset {
                gap.prev = base + gap.next;
                // SAFETY: by Lists, a hole starts there.
                gap.next = unsafe { self.hole(gap.prev) }.next();
            }
        }
        gap
    }

    /// Where the last hole before a region starts.
    pub(super) fn last_before(&self, region: usize) -> usize {
        let region = self.summary.before(region);
        if region == NO_REGION {
            return NOWHERE;
        }
        let mut next = self.summary.first(region);
        loop {
            let start = region * REGION + next;
            // SAFETY: by Lists, a hole starts there.
            next = unsafe { self.hole(start) }.next();
            if next == END {
                return start;
            }
        }
    }

    /// How many holes there are, by walking all lists.
    pub(super) fn count(&self) -> usize {
        let mut count = 0;
        let mut region =
            if self.summary.largest() == Class::NONE { NO_REGION } else { self.summary.find(Class::ANY, false) };
        while region != NO_REGION {
            let mut next = self.summary.first(region);
            while next != END {
                count += 1;
                // SAFETY: by Lists, a hole starts there.
                next = unsafe { self.hole(region * REGION + next) }.next();
            }
            region = self.summary.next(region, Class::ANY);
        }
        count
    }

    /// Lets the link at a place lead elsewhere. The summary is not told.
    ///
    /// # Safety
    ///
    /// `prev` is a hole of the region or [`NOWHERE`]. A hole of the region starts at `next`, or it is [`END`].
    #[inline]
    pub(super) unsafe fn link(&self, region: usize, prev: usize, next: usize) {
        if prev == NOWHERE {
            self.summary.set_first(region, next);
        } else {
            // SAFETY: as the caller promises.
            unsafe { self.memory.set_hole(prev, self.hole(prev).with_next(next)) };
        }
    }

    /// Makes a hole at a place.
    ///
    /// # Safety
    ///
    /// The memory from `start` on is free and no part of a hole or of the wilderness; `gap` is the place at `start`.
    #[inline(never)]
    pub(super) unsafe fn insert(&self, start: usize, granules: usize, gap: Gap) {
        let region = start / REGION;
        if gap.prev == NOWHERE && gap.next == END {
            self.summary.reach(region);
        }
        // SAFETY: free, as the caller promises; and it lies between the holes of the place.
        unsafe {
            self.memory.set_hole(start, Hole::new(granules, gap.next));
            self.link(region, gap.prev, start % REGION);
        }
        self.grown(region, granules);
    }

    /// Tells the summary that a region has a hole of this size, which has grown or is new.
    #[inline(never)]
    pub(super) fn grown(&self, region: usize, granules: usize) {
        let class = Class::of(granules);
        if class > self.summary.class_of_reached(region) {
            self.summary.set(region, class);
        }
    }

    /// Tells the summary that a region has lost a hole of this size, or that it is smaller now.
    #[inline(never)]
    pub(super) fn shrunk(&self, region: usize, granules: usize) {
        if Class::of(granules) < self.summary.class_of_reached(region) {
            return;
        }
        let mut largest = Hole::new(0, 0);
        let mut next = self.summary.first(region);
        while next != END {
            // SAFETY: by Lists, a hole starts there.
            let hole = unsafe { self.hole(region * REGION + next) };
            largest = largest.max(hole);
            next = hole.next();
        }
        self.summary.set(region, Class::of(largest.granules()));
    }
}
