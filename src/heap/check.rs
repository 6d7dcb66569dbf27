use std::vec::Vec;

use super::holes::Holes;
use super::part::Part;
use super::regions::NOWHERE;

impl Part {
    /// Checks every invariant. `live` are the blocks in the order of their addresses: where they start and how many
    /// granules they take.
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
        if self.virgin.0 < self.virgin.1 {
            assert!(self.low <= self.virgin.0 && self.virgin.1 <= self.high, "the virgin memory is in the wilderness");
        }
    }
}

impl Holes {
    /// All holes, as the lists have them: where they start and how large they are.
    pub(super) fn listed(&self) -> Vec<(usize, usize)> {
        let mut holes = Vec::new();
        self.each(|hole| {
            // SAFETY: a hole starts there; that is what is being checked.
            let (size, links) = unsafe { (self.size(hole), self.lists.links(hole)) };
            // SAFETY: as above.
            let back = unsafe { self.lists.links(links.0 as usize).1 };
            assert_eq!(back as usize, hole, "the link back");
            holes.push((hole, size));
        });
        holes.sort_unstable();
        holes
    }

    /// Checks that these are all holes.
    fn check(&self, free: &[(usize, usize)]) {
        let of_lists: Vec<_> = free.iter().copied().filter(|hole| hole.1 > 1).collect();
        assert_eq!(self.listed(), of_lists, "each run of free memory is one hole");
        for &(hole, size) in free {
            assert!(self.regions.is_hole(hole));
            // SAFETY: as is being checked.
            assert_eq!(unsafe { self.size(hole) }, size);
            assert_eq!(self.regions.before(hole + size), hole);
            assert_eq!(self.regions.before(hole), NOWHERE);
        }
        let one = free.iter().find(|hole| hole.1 == 1).map_or(NOWHERE, |hole| hole.0);
        assert_eq!(self.one(), one);
    }
}
