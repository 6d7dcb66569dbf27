use std::vec::Vec;

use super::holes::Holes;
use super::part::Part;
use super::regions::{COVERED, NONE, NOWHERE};
use super::units::REGION;

impl Part {
    /// Checks every invariant. `live` holds the start and the number of granules of each
    /// live block, in ascending order of addresses.
    pub(super) fn check_all(&self, live: &[(usize, usize)]) {
        let start = self.total - self.granules;
        let mut free = Vec::new();
        let mut from = start;
        for &(block, granules) in live.iter().chain([&(self.total, 0)]) {
            assert!(from <= block, "blocks overlap at {block}");
            if from < block {
                free.push((from, block - from));
            }
            from = block + granules;
        }
        let used: usize = live.iter().map(|block| block.1).sum();
        assert_eq!(self.used, used, "used");
        let wilderness = (self.low, self.high - self.low);
        assert!(self.low <= self.high && self.low >= start && self.high <= self.total);
        if wilderness.1 != 0 {
            assert!(free.contains(&wilderness), "{wilderness:?} in {free:?}");
            free.retain(|&run| run != wilderness);
        } else {
            assert!(free.iter().all(|run| run.0 != self.low && run.0 + run.1 != self.low), "beside the wilderness");
        }
        self.holes.check(&free);
        self.check_marks(live, &free);
        for &(start, _) in free.iter().chain((wilderness.1 != 0).then_some(&wilderness)) {
            let run = if start == self.low { self.wilderness() } else { self.hole(start) };
            // SAFETY: the run is current free memory. By Filled, its bytes are
            // initialized.
            let inspected = unsafe { self.inspect(&run, start, run.end()) };
            assert!(inspected.is_ok(), "free memory at {start} isn't filled");
        }
        if self.virgin.0 < self.virgin.1 {
            assert!(self.low <= self.virgin.0 && self.virgin.1 <= self.high, "the virgin memory is in the wilderness");
        }
    }

    /// Checks the marks that the invariant Marks covers. `free` holds the holes.
    fn check_marks(&self, live: &[(usize, usize)], free: &[(usize, usize)]) {
        let (first, last) = (self.low / REGION, self.high / REGION);
        let borders = live.iter().chain(free).flat_map(|run| [run.0, run.0 + run.1]).chain([self.low, self.high]);
        let mut regions: Vec<_> = if cfg!(hpalloc_hardened) {
            let start = (self.total - self.granules) / REGION;
            let all = start.saturating_sub(1)..=self.total / REGION;
            all.filter(|&region| region <= first || region + 1 >= last).collect()
        } else {
            borders.map(|border| border / REGION).flat_map(|region| [region.saturating_sub(1), region]).collect()
        };
        regions.sort_unstable();
        regions.dedup();
        for region in regions {
            let (from, to) = (region * REGION, (region + 1) * REGION);
            // The first hole that starts in the region, or the hole that covers it.
            let next = free.partition_point(|hole| hole.0 + hole.1 < to && hole.0 < from);
            let mark = match free.get(next) {
                Some(hole) if (from..to).contains(&hole.0) => hole.0 - from,
                Some(hole) if hole.0 < from => covering(region, hole.0 + hole.1),
                _ => NONE.into(),
            };
            assert_eq!(usize::from(self.holes.regions.mark(region)), mark, "region {region} has the wrong mark");
        }
    }
}

/// Returns the mark of a region that is covered by a hole with this end.
fn covering(region: usize, end: usize) -> usize {
    if end / REGION == region + 1 {
        return usize::from(COVERED) + end % REGION;
    }
    #[cfg(hpalloc_hardened)]
    return super::regions::INSIDE.into();
    #[cfg(not(hpalloc_hardened))]
    panic!("a border is inside a hole");
}

impl Holes {
    /// Returns the start and the size of every hole in the lists, in ascending order.
    pub(super) fn listed(&self) -> Vec<(usize, usize)> {
        let mut holes = Vec::new();
        self.each(|hole| {
            // SAFETY: by Circles, each position in a list is the start of a hole. The
            // test checks this.
            let (size, links) = unsafe { (self.size(hole), self.lists.links(hole)) };
            // SAFETY: the same holds for the next hole of the list.
            let back = unsafe { self.lists.links(links.0 as usize).1 };
            assert_eq!(back as usize, hole, "the next hole of the list doesn't link back to this one");
            holes.push((hole, size));
        });
        holes.sort_unstable();
        holes
    }

    /// Checks that these are exactly the holes that the records contain.
    fn check(&self, free: &[(usize, usize)]) {
        let of_lists: Vec<_> = free.iter().copied().filter(|hole| hole.1 > 1).collect();
        assert_eq!(self.listed(), of_lists, "each run of free memory is one hole");
        for &(hole, size) in free {
            assert!(self.regions.is_hole(hole));
            // SAFETY: a hole starts here, which the line above checks.
            assert_eq!(unsafe { self.size(hole) }, size);
            assert_eq!(self.regions.before(hole + size), hole);
            assert_eq!(self.regions.before(hole), NOWHERE);
        }
        let one = free.iter().find(|hole| hole.1 == 1).map_or(NOWHERE, |hole| hole.0);
        assert_eq!(self.one(), one);
    }
}
