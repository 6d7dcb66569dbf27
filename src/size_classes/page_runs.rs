use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

use crate::free_list::FreeList;
use crate::hardened::{Guard, MisuseError, Shape};
use crate::run_size::{RUN_SIZES, RunSize, RunSizes};
use crate::{PAGE_SIZE, PageSource};

/// Runs of pages for what no class serves, and a list of the free ones for each size.
///
/// *Invariant (Runs):* what is in a list is a run of its size, of pages that were taken
/// from the source and that nothing else uses. The pointer is valid for all of it.
pub(super) struct PageRuns {
    free: [FreeList; RUN_SIZES],
    /// *Invariant (Filled):* the sizes whose lists have a run.
    filled: RunSizes,
    /// The pages that were taken from the source and didn't go to a class.
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

    /// A run, and whether all of it is known to be zero: from its list, from the source, or
    /// from a larger free run.
    ///
    /// # Errors
    ///
    /// The free run that would come next was written to. It is taken out; the next call goes on.
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
            // For `whole_block`.
            run.as_ptr().expose_provenance();
            (run.cast(), is_zeroed)
        } else {
            let Some(run) = self.cut(size.pages())? else { return Ok(None) };
            (run, false)
        };
        // SAFETY: by PageSource or `cut`, the run has these pages, and nobody else knows of it.
        let run = unsafe { self.add(run, size) }?;
        // In a hardened program it is filled.
        Ok(Some((run, is_zeroed && !cfg!(hpalloc_hardened))))
    }

    /// The run of a size that was freed last.
    ///
    /// # Errors
    ///
    /// It was written to, and is taken out.
    fn pop(&self, size: RunSize) -> Result<Option<NonNull<u8>>, MisuseError> {
        let Some(list) = self.free.get(size.index()) else { return Ok(None) };
        // SAFETY: Runs.
        let run = unsafe { list.pop(size.bytes(), &self.guard) };
        self.filled.set(size, !list.is_empty());
        run
    }

    /// So many pages from the smallest free run that has them. The rest of it becomes free
    /// runs, at most six.
    ///
    /// # Errors
    ///
    /// A free run or a record was written to. What it concerns is taken out; the next call
    /// goes on.
    #[cold]
    fn cut(&self, pages: usize) -> Result<Option<NonNull<u8>>, MisuseError> {
        // There, a run may be another heap's, which has a record of its length.
        if self.guard.is_of_family() {
            return Ok(None);
        }
        let Some(size) = self.filled.first(pages) else { return Ok(None) };
        let Some(run) = self.pop(size)? else { return Ok(None) };
        // SAFETY: it is a whole run of this guard, by Runs, and nothing uses it.
        unsafe { self.guard.remove_run(run) }?;
        // SAFETY: the run has more pages than `pages`, or as many.
        let rest = unsafe { run.add(pages * PAGE_SIZE) };
        // SAFETY: they are nobody's.
        match unsafe { self.keep_all(rest, size.pages() - pages) } {
            Ok(()) => Ok(Some(run)),
            // SAFETY: likewise.
            Err(error) => unsafe { self.keep_all(run, pages) }.and(Err(error)),
        }
    }

    /// Pages for a class, from a free run: see [`cut`](Self::cut). They aren't counted here
    /// any more.
    ///
    /// # Errors
    ///
    /// Those of `cut`.
    pub(super) fn give_up(&self, pages: usize) -> Result<Option<NonNull<u8>>, MisuseError> {
        let run = self.cut(pages)?;
        if run.is_some() {
            // Those of a run that another heap took aren't counted here.
            self.pages.set(self.pages.get().saturating_sub(pages));
        }
        Ok(run)
    }

    /// Makes a live run of pages.
    ///
    /// # Errors
    ///
    /// A record of another run was overwritten. The run is in its list, so that the next call
    /// finds it.
    ///
    /// # Safety
    ///
    /// They are as many pages as the size says, which were taken from the source and which
    /// nothing uses, and the pointer is valid for all of them.
    unsafe fn add(&self, run: NonNull<u8>, size: RunSize) -> Result<NonNull<u8>, MisuseError> {
        // SAFETY: as the caller promises.
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

    /// Puts a run that was live in its list.
    ///
    /// # Safety
    ///
    /// That of [`add`](Self::add), which made it live.
    unsafe fn keep(&self, run: NonNull<u8>, size: RunSize) {
        if let Some(list) = self.free.get(size.index()) {
            // SAFETY: as the caller promises; a page holds a pointer.
            unsafe { list.push(run, size.bytes(), &self.guard) };
            self.filled.set(size, true);
        }
    }

    /// Makes free runs of pages, the largest first.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add). All of the pages are in the lists nevertheless.
    ///
    /// # Safety
    ///
    /// That of `add`, for so many pages.
    unsafe fn keep_all(&self, mut start: NonNull<u8>, mut pages: usize) -> Result<(), MisuseError> {
        let mut result = Ok(());
        while let Some(size) = RunSize::within(pages) {
            // SAFETY: as the caller promises; `pages` are left from `start` on, and the size has no more.
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
        // SAFETY: by the caller's promise, the run is unused and not in the list.
        unsafe {
            let run = self.check(run, size)?;
            self.keep(run, size);
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

    /// The pages that were taken from the source and didn't go to a class.
    pub(super) fn pages(&self) -> usize {
        self.pages.get()
    }

    /// The pages of free runs, by walking the lists: with `--cfg hpalloc_hardened`, each up
    /// to the first run whose link was overwritten.
    pub(super) fn free_pages(&self) -> usize {
        let pages = |(size, free): (RunSize, &FreeList)| {
            // SAFETY: Runs.
            (unsafe { free.len(size.bytes(), &self.guard) }) * size.pages()
        };
        RunSize::all().zip(&self.free).map(pages).sum()
    }

    /// The pages of the largest free run, or 0 if no run is free.
    pub(super) fn most_pages(&self) -> usize {
        self.filled.last().map_or(0, RunSize::pages)
    }
}
