//! The block sizes that suit a trace.

use std::collections::BTreeSet;

use hpalloc::PAGE_SIZE;

use crate::{Operation, Trace};

/// A size is merged into the next larger class from the start if it is smaller by less
/// than one part in `APART`.
const APART: usize = 16;

/// The block sizes of a table.
#[derive(Debug)]
pub(super) struct Classes {
    /// In ascending order.
    sizes: Vec<usize>,
    /// The least alignment of the blocks of every class.
    align: usize,
}

impl Classes {
    /// Creates a class for each size of the trace, except for sizes close to a larger
    /// one.
    pub(super) fn of(trace: &Trace) -> Self {
        let word = size_of::<usize>();
        let mut align = word;
        let mut sizes = BTreeSet::new();
        for operation in trace.operations() {
            if let &Operation::Allocate { align: asked, .. } = operation {
                align = align.max(asked as usize);
            }
        }
        for operation in trace.operations() {
            if let &(Operation::Allocate { size, .. } | Operation::Reallocate { size, .. }) = operation {
                sizes.insert((size as usize).next_multiple_of(align));
            }
        }
        // Sizes are visited in descending order, so that a size joins the next larger
        // class.
        let mut classes: Vec<usize> = Vec::new();
        for size in sizes.into_iter().rev() {
            if classes.last().is_none_or(|&above| above - size >= above / APART) {
                classes.push(size);
            }
        }
        classes.reverse();
        Self { sizes: classes, align }
    }

    /// Merges neighboring classes, the cheapest pair first, until `count` classes are
    /// left. Returns their sizes.
    pub(super) fn merge(&mut self, count: usize, trace: &Trace) -> Vec<usize> {
        while self.sizes.len() > count {
            let alone = self.peaks(trace, None);
            let merged = [0, 1].map(|odd| self.peaks(trace, Some(odd)));
            let cost = |low: usize| {
                let after = pages(merged[low % 2][low + 1], self.sizes[low + 1]);
                let before = pages(alone[low], self.sizes[low]) + pages(alone[low + 1], self.sizes[low + 1]);
                after.cast_signed() - before.cast_signed()
            };
            let cheapest = (0..self.sizes.len() - 1).min_by_key(|&low| (cost(low), self.sizes[low]));
            let Some(cheapest) = cheapest else { break };
            self.sizes.remove(cheapest);
        }
        self.sizes.clone()
    }

    /// Returns the maximum number of live blocks for each class. With `pairs`, each class
    /// with an even (0) or odd (1) index is merged into the next one.
    fn peaks(&self, trace: &Trace, pairs: Option<usize>) -> Vec<usize> {
        let class = |size: u32| {
            let class = self.sizes.partition_point(|&class| class < (size as usize).next_multiple_of(self.align));
            match pairs {
                Some(odd) if class % 2 == odd && class + 1 < self.sizes.len() => class + 1,
                _ => class,
            }
        };
        let mut live = vec![0_usize; self.sizes.len()];
        let mut peaks = live.clone();
        let mut slots = vec![0; trace.slots()];
        for &operation in trace.operations() {
            let (slot, size) = match operation {
                Operation::Allocate { slot, size, .. } | Operation::Reallocate { slot, size } => (slot as usize, size),
                Operation::Free { slot } => {
                    live[slots[slot as usize]] -= 1;
                    continue;
                }
            };
            let to = class(size);
            if matches!(operation, Operation::Reallocate { .. }) {
                if to == slots[slot] {
                    continue;
                }
                // A block that moves is freed after the new block is allocated.
                peaks[to] = peaks[to].max(live[to] + 1);
                live[slots[slot]] -= 1;
            }
            slots[slot] = to;
            live[to] += 1;
            peaks[to] = peaks[to].max(live[to]);
        }
        peaks
    }
}

/// Returns the number of pages that `blocks` blocks need.
fn pages(blocks: usize, size: usize) -> usize {
    if size > PAGE_SIZE / 2 {
        return blocks * size.div_ceil(PAGE_SIZE);
    }
    blocks.div_ceil(PAGE_SIZE / size)
}
