use core::alloc::Layout;
use core::cell::Cell;

use crate::block_size::{GUARD_BYTES, RECORD_BYTES};
use crate::{MAX_ARENA_SIZE, PAGE_SIZE};

/// The number of sizes from 1 page to [`MAX_ARENA_SIZE`]: four for each doubling.
pub(crate) const RUN_SIZES: usize = RunSize::of_pages(MAX_ARENA_SIZE / PAGE_SIZE).index + 1;

const WORD: usize = u32::BITS as usize;

/// A set of run sizes.
pub(crate) struct RunSizes {
    /// One bit for each size.
    words: [Cell<u32>; RUN_SIZES.div_ceil(WORD)],
}

impl RunSizes {
    pub(crate) const fn new() -> Self {
        Self { words: [const { Cell::new(0) }; RUN_SIZES.div_ceil(WORD)] }
    }

    /// Adds the size to the set, or removes it.
    #[inline]
    pub(crate) fn set(&self, size: RunSize, is_in: bool) {
        if let Some(word) = self.words.get(size.index / WORD) {
            let shift = size.index % WORD;
            // There is no branch, so that both cases take the same time.
            word.set(word.get() & !(1 << shift) | u32::from(is_in) << shift);
        }
    }

    /// Returns the smallest size in the set that has at least `pages` pages.
    pub(crate) fn first(&self, pages: usize) -> Option<RunSize> {
        let index = RunSize::of_pages(pages).index;
        let mut mask = u32::MAX << (index % WORD);
        for (number, word) in self.words.iter().enumerate().skip(index / WORD) {
            let bits = word.get() & mask;
            if bits != 0 {
                return Some(RunSize { index: number * WORD + bits.trailing_zeros() as usize });
            }
            mask = u32::MAX;
        }
        None
    }

    /// Returns the largest size in the set.
    pub(crate) fn last(&self) -> Option<RunSize> {
        let (number, bits) = self.words.iter().map(Cell::get).enumerate().rev().find(|&(_, bits)| bits != 0)?;
        Some(RunSize { index: number * WORD + (WORD - 1 - bits.leading_zeros() as usize) })
    }
}

/// The number of bytes that a run needs after its block.
const OVERHEAD: usize = GUARD_BYTES + RECORD_BYTES;

/// The size of a run of pages in [`SizeClasses`](crate::SizeClasses): 1, 2, 3, 4, 5, 6,
/// 7, 8, 10, 12, 14, 16, 20.. pages.
///
/// From 4 pages on, a size is four to eight quarters of a power of two, so only its three
/// highest binary digits can be set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunSize {
    /// The number of smaller sizes.
    index: usize,
}

impl RunSize {
    /// Returns the smallest size that serves the layout, or `None` if no size does.
    pub(crate) const fn of(layout: Layout) -> Option<Self> {
        if layout.size() > MAX_ARENA_SIZE - OVERHEAD || layout.align() > PAGE_SIZE {
            return None;
        }
        Some(Self::of_pages((layout.size() + OVERHEAD).div_ceil(PAGE_SIZE)))
    }

    /// Returns the smallest size that has at least `pages` pages.
    const fn of_pages(pages: usize) -> Self {
        let last = pages.saturating_sub(1);
        let shift = (last | 4).ilog2() - 2;
        Self { index: 4 * shift as usize + (last >> shift) }
    }

    /// Returns the largest size that has at most `pages` pages, or `None` for no pages.
    pub(crate) const fn within(pages: usize) -> Option<Self> {
        const MOST: usize = MAX_ARENA_SIZE / PAGE_SIZE;
        if pages == 0 {
            return None;
        }
        let pages = if pages < MOST { pages } else { MOST };
        let shift = (pages | 4).ilog2() - 2;
        Some(Self::of_pages(pages >> shift << shift))
    }

    /// Returns all sizes in ascending order.
    pub(crate) fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..RUN_SIZES).map(|index| Self { index })
    }

    /// Returns the number of smaller sizes. It is below [`RUN_SIZES`] for every size up
    /// to that of an arena.
    pub(crate) const fn index(self) -> usize {
        self.index
    }

    pub(crate) const fn pages(self) -> usize {
        if self.index < 4 { self.index + 1 } else { (5 + self.index % 4) << (self.index / 4 - 1) }
    }

    /// Returns the number of usable bytes in a run.
    pub(crate) const fn bytes(self) -> usize {
        self.pages() * PAGE_SIZE - OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_ARENA_SIZE, PAGE_SIZE, RUN_SIZES, RunSize};

    // From 1024 pages on, sizes are multiples of 64 pages.
    const STEP: usize = if cfg!(miri) { 64 } else { 1 };

    /// For every number of pages, the chosen size is the smallest that is large enough,
    /// and less than a quarter larger than needed.
    #[test]
    fn sizes_are_close() {
        let mut sizes = RunSize::all();
        let mut size = sizes.next().unwrap();
        for pages in (1..1024).chain((1024..=MAX_ARENA_SIZE / PAGE_SIZE).step_by(STEP)) {
            if size.pages() < pages {
                size = sizes.next().unwrap();
            }
            assert_eq!(RunSize::of_pages(pages).index, size.index, "{pages} pages");
            assert!((pages..pages + pages.div_ceil(4)).contains(&size.pages()), "{pages} pages");
        }
        assert!(sizes.next().is_none());
    }

    /// The largest size within a number of pages comes directly before the smallest size
    /// that is larger.
    #[test]
    fn sizes_within() {
        assert!(RunSize::within(0).is_none());
        for pages in (1..1024).chain((1024..MAX_ARENA_SIZE / PAGE_SIZE).step_by(STEP)) {
            let within = RunSize::within(pages).unwrap();
            assert!(within.pages() <= pages, "{pages} pages");
            assert_eq!(RunSize::of_pages(pages + 1).index, within.index + 1, "{pages} pages");
        }
        for pages in [MAX_ARENA_SIZE / PAGE_SIZE, MAX_ARENA_SIZE / PAGE_SIZE + 1, usize::MAX] {
            assert_eq!(RunSize::within(pages).unwrap().index, RUN_SIZES - 1);
        }
    }

    /// The documentation of `SizeClasses` promises that at most six runs are left over
    /// when a run is cut.
    #[test]
    fn few_runs_are_left_over() {
        let runs = |mut pages: usize| {
            let mut count = 0;
            while let Some(size) = RunSize::within(pages) {
                pages -= size.pages();
                count += 1;
            }
            count
        };
        // The step preserves the numbers with the most bits set.
        let rests = (1..1024).chain((1023..MAX_ARENA_SIZE / PAGE_SIZE).step_by(STEP));
        assert_eq!(rests.map(runs).max(), Some(6));
    }
}
