use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

use crate::block_size::{GUARD_BYTES, RECORD_BYTES};
use crate::free_list::FreeList;
use crate::hardened::{Guard, MisuseError, Shape};
use crate::{MAX_ARENA_SIZE, PAGE_SIZE, PageSource};

/// From 1 page to [`MAX_ARENA_SIZE`], four for each doubling.
const SIZES: usize = RunSize::of_pages(MAX_ARENA_SIZE / PAGE_SIZE).list + 1;

/// What a run has after its block.
const OVERHEAD: usize = GUARD_BYTES + RECORD_BYTES;

/// Runs of pages for what no class serves, and a list of the free ones for each size.
///
/// *Invariant (Runs):* what is in a list is a run of its size that was taken from the source.
pub(super) struct PageRuns {
    free: [FreeList; SIZES],
    /// How many pages were taken from the source.
    taken: Cell<usize>,
    guard: Guard,
}

/// A size that runs have: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20.. pages.
///
/// From 4 pages on it is four to eight quarters of a power of two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RunSize {
    /// How many sizes are smaller.
    list: usize,
}

impl RunSize {
    /// The smallest that serves the layout, unless none does.
    pub(super) const fn of(layout: Layout) -> Option<Self> {
        if layout.size() > MAX_ARENA_SIZE - OVERHEAD || layout.align() > PAGE_SIZE {
            return None;
        }
        Some(Self::of_pages((layout.size() + OVERHEAD).div_ceil(PAGE_SIZE)))
    }

    /// The smallest of at least so many pages.
    const fn of_pages(pages: usize) -> Self {
        let last = pages.saturating_sub(1);
        let shift = (last | 4).ilog2() - 2;
        Self { list: 4 * shift as usize + (last >> shift) }
    }

    const fn pages(self) -> usize {
        if self.list < 4 { self.list + 1 } else { (5 + self.list % 4) << (self.list / 4 - 1) }
    }

    /// How many bytes there are to use.
    pub(super) const fn bytes(self) -> usize {
        self.pages() * PAGE_SIZE - OVERHEAD
    }
}

impl PageRuns {
    pub(super) const fn new() -> Self {
        Self { free: [const { FreeList::new() }; SIZES], taken: Cell::new(0), guard: Guard::new() }
    }

    pub(super) const fn in_family(&mut self, family: u16) {
        self.guard.in_family(family);
    }

    /// # Errors
    ///
    /// The free run that would come next was written to. It is taken out; the next call goes on.
    pub(super) fn take(&self, size: RunSize, source: &impl PageSource) -> Result<Option<NonNull<u8>>, MisuseError> {
        let Some(list) = self.free.get(size.list) else { return Ok(None) };
        // SAFETY: Runs.
        if let Some(run) = unsafe { list.pop(size.bytes(), &self.guard) }? {
            return Ok(Some(run));
        }
        let pages = size.pages();
        let Some(run) = source.take_pages(pages) else { return Ok(None) };
        let run = run.cast::<u8>();
        // For `whole_block`.
        run.as_ptr().expose_provenance();
        self.taken.set(self.taken.get() + pages);
        // SAFETY: the run has these pages, and nobody else knows of it.
        unsafe {
            let added = self.guard.add_run(run, pages * PAGE_SIZE);
            self.guard.hand_out_fresh(run, size.bytes());
            if let Err(error) = added {
                // So that the next call finds it.
                list.push(run, size.bytes(), &self.guard);
                return Err(error);
            }
        }
        Ok(Some(run))
    }

    /// # Errors
    ///
    /// It isn't one that can be taken back, and it isn't.
    ///
    /// # Safety
    ///
    /// The run came from here, or from other runs over the same source, with this size. It wasn't given back since, nothing
    /// uses it, and the pointer is valid for all of it. (With `--cfg hpalloc_hardened`, what isn't so is an error. In a family,
    /// that of [`Guard::check_live`].)
    pub(super) unsafe fn give_back(&self, run: NonNull<u8>, size: RunSize) -> Result<(), MisuseError> {
        if let Some(list) = self.free.get(size.list) {
            // SAFETY: by the caller's promise, the run is unused and not in the list; a page holds a pointer.
            unsafe {
                let run = self.check(run, size)?;
                list.push(run, size.bytes(), &self.guard);
            }
        }
        Ok(())
    }

    /// A pointer to the run that is valid for it and, with `--cfg hpalloc_hardened`, its guard.
    ///
    /// # Errors
    ///
    /// It isn't live, or none of the runs of that size here.
    ///
    /// # Safety
    ///
    /// In a family, that of [`Guard::check_live`].
    pub(super) unsafe fn check(&self, run: NonNull<u8>, size: RunSize) -> Result<NonNull<u8>, MisuseError> {
        let run_bytes = size.pages() * PAGE_SIZE;
        let is_start = |offset| offset == 0;
        let shape = Shape { bytes: size.bytes(), run_bytes, blocks_bytes: run_bytes, is_start, fresh: (0, 0) };
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.guard.check_live(run, shape) }
    }

    /// What is to be given back with a layout that nothing here has.
    pub(super) fn refuse(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        self.guard.refuse(block, layout.size())
    }

    /// How many pages were taken from the source.
    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// How many of these are free, by walking the lists: with `--cfg hpalloc_hardened`, each up to the first run whose link was
    /// overwritten.
    pub(super) fn free_pages(&self) -> usize {
        let sizes = (0..SIZES).map(|list| RunSize { list });
        let pages = |(size, free): (RunSize, &FreeList)| {
            // SAFETY: Runs.
            (unsafe { free.len(size.bytes(), &self.guard) }) * size.pages()
        };
        sizes.zip(&self.free).map(pages).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_ARENA_SIZE, PAGE_SIZE, RunSize, SIZES};

    /// Every number of pages gets the smallest size that holds it, and less than a quarter more than it needs.
    #[test]
    fn sizes_are_close() {
        // From 1024 pages on, sizes are multiples of 64 pages.
        const STEP: usize = if cfg!(miri) { 64 } else { 1 };
        let mut sizes = (0..SIZES).map(|list| RunSize { list });
        let mut size = sizes.next().unwrap();
        for pages in (1..1024).chain((1024..=MAX_ARENA_SIZE / PAGE_SIZE).step_by(STEP)) {
            if size.pages() < pages {
                size = sizes.next().unwrap();
            }
            assert_eq!(RunSize::of_pages(pages).list, size.list, "{pages} pages");
            assert!((pages..pages + pages.div_ceil(4)).contains(&size.pages()), "{pages} pages");
        }
        assert!(sizes.next().is_none());
    }
}
