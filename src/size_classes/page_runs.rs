use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

use crate::free_list::FreeList;
use crate::hardened::{Guard, MisuseError, Shape};
use crate::run_size::{RUN_SIZES, RunSize, RunSizes};
use crate::{PAGE_SIZE, PageSource};

/// Runs of pages for requests that no class serves, with a free list for each run size.
///
/// *Invariant (Runs):* each entry of a list is a run of the list's size, made of pages
/// that were taken from the source and that nothing else uses. The pointer is valid for
/// the whole run.
pub(super) struct PageRuns {
    free: [FreeList; RUN_SIZES],
    /// *Invariant (Filled):* the set of the sizes whose lists are not empty.
    filled: RunSizes,
    /// The number of pages that were taken from the source and not given to a class
    /// since.
    pages: Cell<usize>,
    guard: Guard,
}

impl PageRuns {
    pub(super) const fn new() -> Self {
        Self {
            free: [const { FreeList::new() }; RUN_SIZES],
            filled: RunSizes::new(),
            pages: Cell::new(0),
            guard: Guard::new(),
        }
    }

    pub(super) const fn in_family(&mut self, family: u16) {
        self.guard.in_family(family);
    }

    /// Takes a run from its free list, from the source, or from a larger free run. The
    /// flag is `true` if all of the run is known to be zero.
    ///
    /// # Errors
    ///
    /// The next free run was written to. It is removed from the list, and the next call
    /// continues after it.
    pub(super) fn take(
        &self,
        size: RunSize,
        source: &impl PageSource,
    ) -> Result<Option<(NonNull<u8>, bool)>, MisuseError> {
        if let Some(run) = self.pop(size)? {
            return Ok(Some((run, false)));
        }
        let (run, is_zeroed) = if let Some((run, is_zeroed)) = source.take_zeroed_pages(size.pages()) {
            self.pages.set(self.pages.get() + size.pages());
            // `whole_block` needs the exposed provenance.
            run.as_ptr().expose_provenance();
            (run.cast(), is_zeroed)
        } else {
            let Some(run) = self.cut(size.pages())? else { return Ok(None) };
            (run, false)
        };
        // SAFETY: by PageSource or `cut`, the run has these pages, and nothing else knows
        // of it.
        let run = unsafe { self.add(run, size) }?;
        // A hardened build fills the run, so it isn't zero any more.
        Ok(Some((run, is_zeroed && !cfg!(hpalloc_hardened))))
    }

    /// Removes the last freed run of a size from its list.
    ///
    /// # Errors
    ///
    /// The run was written to. It is removed from the list all the same.
    fn pop(&self, size: RunSize) -> Result<Option<NonNull<u8>>, MisuseError> {
        let Some(list) = self.free.get(size.index()) else { return Ok(None) };
        // SAFETY: Runs.
        let run = unsafe { list.pop(size.bytes(), &self.guard) };
        self.filled.set(size, !list.is_empty());
        run
    }

    /// Cuts `pages` pages from the smallest free run that has them. The rest becomes free
    /// runs, at most six.
    ///
    /// # Errors
    ///
    /// A free run or a record was written to. The damaged one is removed, and the next
    /// call continues without it.
    #[cold]
    fn cut(&self, pages: usize) -> Result<Option<NonNull<u8>>, MisuseError> {
        // In a family, the run may belong to another heap, whose guard has the record of
        // its length.
        if self.guard.is_of_family() {
            return Ok(None);
        }
        let Some(size) = self.filled.first(pages) else { return Ok(None) };
        let Some(run) = self.pop(size)? else { return Ok(None) };
        // SAFETY: by Runs, it is a whole run that nothing uses; this guard added it, as
        // the guard is not a member of a family.
        unsafe { self.guard.remove_run(run) }?;
        // SAFETY: the run has at least `pages` pages.
        let rest = unsafe { run.add(pages * PAGE_SIZE) };
        // SAFETY: by Runs, nothing uses the pages of the run.
        match unsafe { self.keep_all(rest, size.pages() - pages) } {
            Ok(()) => Ok(Some(run)),
            // SAFETY: as above.
            Err(error) => unsafe { self.keep_all(run, pages) }.and(Err(error)),
        }
    }

    /// Gives pages from a free run to a class; see [`cut`](Self::cut). They no longer
    /// count as pages of runs.
    ///
    /// # Errors
    ///
    /// Those of `cut`.
    pub(super) fn give_up(&self, pages: usize) -> Result<Option<NonNull<u8>>, MisuseError> {
        let run = self.cut(pages)?;
        if run.is_some() {
            // Saturates because the run may have come from another heap, which counted
            // its pages.
            self.pages.set(self.pages.get().saturating_sub(pages));
        }
        Ok(run)
    }

    /// Makes pages a live run.
    ///
    /// # Errors
    ///
    /// The record of another run was overwritten. The run is then in its free list, and
    /// the next call finds it there.
    ///
    /// # Safety
    ///
    /// There are `size.pages()` pages, which were taken from the source and which nothing
    /// uses. The pointer is valid for all of them.
    unsafe fn add(&self, run: NonNull<u8>, size: RunSize) -> Result<NonNull<u8>, MisuseError> {
        // SAFETY: the caller upholds the contract.
        unsafe {
            let added = self.guard.add_run(run, size.pages() * PAGE_SIZE);
            self.guard.hand_out_fresh(run, size.bytes());
            if let Err(error) = added {
                self.keep(run, size);
                return Err(error);
            }
        }
        Ok(run)
    }

    /// Puts a live run in its free list.
    ///
    /// # Safety
    ///
    /// The run was made live by [`add`](Self::add), whose contract still holds.
    unsafe fn keep(&self, run: NonNull<u8>, size: RunSize) {
        if let Some(list) = self.free.get(size.index()) {
            // SAFETY: the caller upholds the contract, and a page has room for a link.
            unsafe { list.push(run, size.bytes(), &self.guard) };
            self.filled.set(size, true);
        }
    }

    /// Makes pages free runs, the largest first.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add). All pages are in the free lists even then.
    ///
    /// # Safety
    ///
    /// That of `add`, for `pages` pages.
    unsafe fn keep_all(&self, mut start: NonNull<u8>, mut pages: usize) -> Result<(), MisuseError> {
        let mut result = Ok(());
        while let Some(size) = RunSize::within(pages) {
            // SAFETY: the caller upholds the contract: `pages` pages remain from `start`
            // on, and the size has at most that many.
            unsafe {
                match self.add(start, size) {
                    Ok(run) => self.keep(run, size),
                    Err(error) => result = Err(error),
                }
                start = start.add(size.pages() * PAGE_SIZE);
            }
            pages -= size.pages();
        }
        result
    }

    /// Puts a run that is freed in its list.
    ///
    /// # Errors
    ///
    /// The run is not a live run of this size, and is not freed.
    ///
    /// # Safety
    ///
    /// The run came from here with this size, or from another `PageRuns` over the same
    /// source. It was not freed since, nothing uses it, and the pointer is valid for all
    /// of it. With `--cfg hpalloc_hardened`, a violation is an error; in a family, the
    /// contract is that of [`Guard::check_live`].
    pub(super) unsafe fn give_back(&self, run: NonNull<u8>, size: RunSize) -> Result<(), MisuseError> {
        // SAFETY: by the caller's promise, the run is unused and not in the list.
        unsafe {
            let run = self.check(run, size)?;
            self.keep(run, size);
        }
        Ok(())
    }

    /// Returns a pointer to the run that is valid for all of it and, with
    /// `--cfg hpalloc_hardened`, for its guard.
    ///
    /// # Errors
    ///
    /// The run is not live, or is not one of the runs of this size here.
    ///
    /// # Safety
    ///
    /// In a family, that of [`Guard::check_live`].
    pub(super) unsafe fn check(&self, run: NonNull<u8>, size: RunSize) -> Result<NonNull<u8>, MisuseError> {
        let run_bytes = size.pages() * PAGE_SIZE;
        let is_start = |offset| offset == 0;
        let shape = Shape { bytes: size.bytes(), run_bytes, blocks_bytes: run_bytes, is_start, fresh: (0, 0) };
        // SAFETY: the caller upholds the same contract.
        unsafe { self.guard.check_live(run, shape) }
    }

    /// The result of freeing a block with a layout that no block here has.
    pub(super) fn refuse(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        self.guard.refuse(block, layout.size())
    }

    /// Returns the number of pages that were taken from the source and not given to a
    /// class since.
    pub(super) fn pages(&self) -> usize {
        self.pages.get()
    }

    /// Counts the pages of free runs by walking the lists. With `--cfg hpalloc_hardened`,
    /// the walk of a list stops at the first run whose link was overwritten.
    pub(super) fn free_pages(&self) -> usize {
        let pages = |(size, free): (RunSize, &FreeList)| {
            // SAFETY: Runs.
            (unsafe { free.len(size.bytes(), &self.guard) }) * size.pages()
        };
        RunSize::all().zip(&self.free).map(pages).sum()
    }

    /// Returns the pages of the largest free run, or 0 if no run is free.
    pub(super) fn most_pages(&self) -> usize {
        self.filled.last().map_or(0, RunSize::pages)
    }
}
