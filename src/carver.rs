use core::cell::Cell;
use core::ptr::{NonNull, null_mut};

use crate::free_list::FreeList;
use crate::hardened::{Guard, MisuseError, Shape};
use crate::poison::{Memory, poison, unpoison};
use crate::seal::SEAL;
use crate::{BlockSize, PAGE_SIZE, PageSource};

/// Blocks of one size, those that are free and those that are not carved yet: a pool but for its block size and the source
/// of its pages, which whoever has it passes along.
///
/// *Invariant (Size):* the block size is the same in each call.
pub(crate) struct Carver {
    /// Free blocks that were carved here, or by another carver of the same block size over the same source.
    free: FreeList,
    /// The first block of the newest run that isn't carved yet; `end` if there is none.
    fresh: Cell<*mut u8>,
    /// Where the blocks of the newest run end. *Invariant (Fresh):* from `fresh` to `end` is a whole number of blocks
    /// that nobody else knows of; before there is any memory both are null.
    end: Cell<*mut u8>,
    /// How many blocks there are in the runs, and in the memory that it began with.
    blocks: Cell<usize>,
    /// What it began with.
    memory: Memory,
    /// Recognises the blocks, with `--cfg hpalloc_hardened`. Otherwise it is of size zero.
    guard: Guard,
}

// Four words: an array of these is indexed by a shift.
#[cfg(not(any(hpalloc_hardened, hpalloc_asan)))]
static_assertions::assert_eq_size!(Carver, [usize; 4]);

// SAFETY: the pointers are to memory that nothing but this and the holders of its blocks use (PageSource: Exclusive), and
// memory has no tie to a thread.
unsafe impl Send for Carver {}

impl Carver {
    pub(crate) const fn new() -> Self {
        Self {
            free: FreeList::new(),
            fresh: Cell::new(null_mut()),
            end: Cell::new(null_mut()),
            blocks: Cell::new(0),
            memory: Memory::new(),
            guard: Guard::new(),
        }
    }

    /// Blocks of others in the family are as its own.
    pub(crate) const fn in_family(&mut self, family: u16) {
        self.guard.in_family(family);
    }

    /// Begins with memory that comes from no source: so many blocks from `fresh` to `end`.
    ///
    /// # Safety
    ///
    /// It is valid for reads and writes through `fresh`, aligned for the blocks, and nobody else's, for as long as anything
    /// uses the blocks.
    pub(crate) unsafe fn begin_with(&self, fresh: *mut u8, end: *mut u8, blocks: usize) {
        // For `whole_block`.
        fresh.expose_provenance();
        self.fresh.set(fresh);
        self.end.set(end);
        self.blocks.set(blocks);
        self.guard.begin_with(fresh, end.addr() - fresh.addr());
        self.memory.set(fresh, end.addr() - fresh.addr());
        poison(fresh, end.addr() - fresh.addr());
    }

    /// Begins with the memory of a source that has one slice. `false` if it has none, or had.
    #[inline]
    pub(crate) fn begin(&self, size: BlockSize, pages: &impl PageSource) -> bool {
        let Some(memory) = pages.take_slice(SEAL) else { return false };
        let start = memory.cast::<u8>().as_ptr();
        // SAFETY: by StaticMemory, the slice has room for a whole number of blocks, starts where they may, and is the
        // source's alone, for good; whoever takes it is given it once.
        unsafe { self.begin_with(start, start.add(memory.len()), size.blocks_in(memory.len())) };
        true
    }

    /// A block that is free, or fresh.
    ///
    /// # Errors
    ///
    /// The free block that would come next was written to. It is taken out; the next call goes on.
    ///
    /// # Safety
    ///
    /// Size.
    #[inline]
    pub(crate) unsafe fn take(&self, size: BlockSize) -> Result<Option<NonNull<u8>>, MisuseError> {
        // SAFETY: Size.
        if let Some(block) = unsafe { self.free.pop(size.bytes(), &self.guard) }? {
            return Ok(Some(block));
        }
        let block = self.fresh.get();
        if block == self.end.get() {
            return Ok(None);
        }
        // SAFETY: by Fresh and Size, there is a whole block from here to `end`, so its end is within the run, and it isn't
        // null. Nobody else knows of it.
        unsafe {
            self.fresh.set(block.add(size.stride()));
            unpoison(block, size.stride());
            let block = NonNull::new_unchecked(block);
            self.guard.hand_out_fresh(block, size.bytes());
            Ok(Some(block))
        }
    }

    /// The first block of a run of pages that it takes from the source.
    ///
    /// # Errors
    ///
    /// What it keeps about another run was overwritten. The next [`take`](Self::take) returns the first block.
    ///
    /// # Safety
    ///
    /// Size; and [`take`](Self::take) has just found nothing.
    #[inline]
    pub(crate) unsafe fn refill(
        &self,
        size: BlockSize,
        pages: &impl PageSource,
    ) -> Result<Option<NonNull<u8>>, MisuseError> {
        if self.begin(size, pages) {
            // SAFETY: Size.
            return unsafe { self.take(size) };
        }
        let Some(first) = pages.take_pages(size.pages_per_run()) else { return Ok(None) };
        // SAFETY: the caller's promise is the one that is asked for; by PageSource, the run has these pages, and nobody
        // else knows of it.
        unsafe { self.begin_run(size, first.cast()) }
    }

    /// The first block of a run of pages, of which the others are carved from then on.
    ///
    /// # Errors
    ///
    /// As [`refill`](Self::refill).
    ///
    /// # Safety
    ///
    /// As `refill`. The run has the pages of a run of that size, which came from the source
    /// and which nothing else uses from now on, and the pointer is valid for all of them.
    #[inline]
    pub(crate) unsafe fn begin_run(
        &self,
        size: BlockSize,
        first: NonNull<u8>,
    ) -> Result<Option<NonNull<u8>>, MisuseError> {
        if cfg!(hpalloc_hardened) && self.fresh.get() != self.end.get() {
            // The source used this pool, which has a run with fresh blocks now. Were it replaced, they would have no guards.
            // SAFETY: Size.
            return unsafe { self.take(size) };
        }
        let run = first.as_ptr();
        // For `whole_block`.
        run.expose_provenance();
        // SAFETY: by the caller's promise, the run has the pages of one, and they hold `bytes_per_run`, of which one block is
        // a part.
        unsafe {
            self.fresh.set(run.add(size.stride()));
            self.end.set(run.add(size.bytes_per_run()));
            let added = self.guard.add_run(first, size.pages_per_run() * PAGE_SIZE);
            self.blocks.set(self.blocks.get() + size.blocks_per_run());
            if let Err(error) = added {
                self.fresh.set(run);
                return Err(error);
            }
            self.guard.hand_out_fresh(first, size.bytes());
        }
        poison(self.fresh.get(), size.bytes_per_run() - size.stride());
        Ok(Some(first))
    }

    /// Takes a block back.
    ///
    /// # Errors
    ///
    /// It isn't one that can be taken back, and it isn't.
    ///
    /// # Safety
    ///
    /// Size. `block` came from here, or from another one with the same block size over the same source; it wasn't
    /// given back since, nothing uses it, and the pointer is valid for all of it. (With `--cfg hpalloc_hardened`, what isn't so
    /// is an error: see [`check`](Self::check).)
    #[inline]
    pub(crate) unsafe fn give_back(&self, block: NonNull<u8>, size: BlockSize) -> Result<(), MisuseError> {
        // SAFETY: by the caller's promise the block is a whole one, unused and not in the list; a block is at least as
        // large and as aligned as a pointer (BlockSize).
        unsafe {
            let block = self.check(block, size)?;
            self.free.push(block, size.bytes(), &self.guard);
        }
        Ok(())
    }

    /// A pointer to the block that is valid for it and, with `--cfg hpalloc_hardened`, its guard.
    ///
    /// # Errors
    ///
    /// It isn't live, or none of the blocks here.
    ///
    /// # Safety
    ///
    /// Size. In a family, that of [`Guard::check_live`].
    #[inline]
    pub(crate) unsafe fn check(&self, block: NonNull<u8>, size: BlockSize) -> Result<NonNull<u8>, MisuseError> {
        let shape = Shape {
            bytes: size.bytes(),
            run_bytes: size.pages_per_run() * PAGE_SIZE,
            blocks_bytes: size.bytes_per_run(),
            is_start: |offset| size.divides(offset),
            fresh: (self.fresh.get().addr(), self.end.get().addr()),
        };
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.guard.check_live(block, shape) }
    }

    /// A block was given up for good.
    pub(crate) fn forget(&self) {
        self.guard.forget();
    }

    /// Whether it has a block without more pages.
    pub(crate) fn has_block(&self) -> bool {
        !self.free.is_empty() || self.fresh.get() != self.end.get()
    }

    /// How many blocks were carved. It follows from the blocks there are and the fresh part that is left.
    pub(crate) fn carved(&self, size: BlockSize) -> usize {
        self.blocks.get() - self.fresh_blocks(size)
    }

    /// How many blocks the fresh part of the newest run has.
    pub(crate) fn fresh_blocks(&self, size: BlockSize) -> usize {
        size.blocks_in(self.end.get().addr() - self.fresh.get().addr())
    }

    /// How many blocks are in the free list, by walking it: with `--cfg hpalloc_hardened`, up to the first whose link was
    /// overwritten.
    pub(crate) fn free_blocks(&self, size: BlockSize) -> usize {
        // SAFETY: Size.
        unsafe { self.free.len(size.bytes(), &self.guard) }
    }
}
