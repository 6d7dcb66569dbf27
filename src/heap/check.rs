use std::vec::Vec;

use super::hole::END;
use super::part::Part;
use super::units::{Class, REGION};

impl Part {
    /// All holes, as the regions' lists have them: where they start and how large they are.
    pub(super) fn holes(&self) -> Vec<(usize, usize)> {
        let mut holes = Vec::new();
        let summary = &self.holes.summary;
        for region in 0..=summary.last() {
            if summary.class(region) == Class::NONE {
                continue;
            }
            let mut next = summary.first(region);
            assert_ne!(next, END, "an empty region has a class");
            while next != END {
                let start = region * REGION + next;
                // SAFETY: Lists; that is what is being checked.
                let hole = unsafe { self.holes.hole(start) };
                assert!(hole.next() > next, "the list of region {region} goes back");
                holes.push((start, hole.granules()));
                next = hole.next();
            }
        }
        holes
    }

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
        assert_eq!(self.holes(), free, "each run of free memory is one hole");
        if self.virgin.0 < self.virgin.1 {
            assert!(self.low <= self.virgin.0 && self.virgin.1 <= self.high, "the virgin memory is in the wilderness");
        }
        self.holes.summary.check(&|region| {
            let of_region = free.iter().filter(|run| run.0 / REGION == region);
            of_region.map(|run| Class::of(run.1).0).max().unwrap_or(0)
        });
    }
}
