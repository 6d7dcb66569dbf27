use core::cell::Cell;
use core::ptr::{NonNull, null_mut};

use crate::free_list::FreeList;
use crate::hardened::{Guard, MisuseError, Shape};
use crate::poison::{Memory, poison, unpoison};
use crate::seal::SEAL;
use crate::{BlockSize, PAGE_SIZE, PageSource};

/// The free and the fresh blocks of one size. The owner of a carver knows the block size
/// and the page source, and passes them to each call.
///
/// *Invariant (Size):* every call passes the same block size.
pub(crate) struct Carver {
    /// Free blocks, which were carved here or by another carver with the same block size
    /// over the same source.
    free: FreeList,
    /// The first fresh block of the newest run, or `end` if all are carved.
    fresh: Cell<*mut u8>,
    /// The end of the blocks of the newest run. *Invariant (Fresh):* the memory from
    /// `fresh` to `end` is a whole number of blocks that were never handed out. Both
    /// pointers are null before there is any memory.
    end: Cell<*mut u8>,
    /// The number of blocks in all runs and in the initial memory.
    blocks: Cell<usize>,
    /// The initial memory, for `AddressSanitizer`.
    memory: Memory,
    /// Recognizes the blocks, with `--cfg hpalloc_hardened`; otherwise of size zero.
    guard: Guard,
}

// Four words, so that an index into an array of carvers is computed by a shift.
#[cfg(not(any(hpalloc_hardened, hpalloc_asan)))]
static_assertions::assert_eq_size!(Carver, [usize; 4]);

// SAFETY: only this value and the holders of its blocks use the memory that the pointers
// refer to (PageSource: Exclusive), and memory is not bound to a thread.
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

    /// Makes this a member of a family, whose members may free each other's blocks.
    pub(crate) const fn in_family(&mut self, family: u16) {
        self.guard.in_family(family);
    }

    /// Sets the initial memory, which is not a run of pages: `blocks` blocks from `fresh`
    /// to `end`.
    ///
    /// # Safety
    ///
    /// The memory must be valid for reads and writes through `fresh`, aligned for the
    /// blocks, and used by nothing else, for as long as anything uses the blocks.
    pub(crate) unsafe fn begin_with(&self, fresh: *mut u8, end: *mut u8, blocks: usize) {
        // `whole_block` relies on this.
        fresh.expose_provenance();
        self.fresh.set(fresh);
        self.end.set(end);
        self.blocks.set(blocks);
        self.guard.begin_with(fresh, end.addr() - fresh.addr());
        self.memory.set(fresh, end.addr() - fresh.addr());
        poison(fresh, end.addr() - fresh.addr());
    }

    /// Takes the initial memory from a source that has one slice. Returns `false` if the
    /// source has none, or no longer has it.
    #[inline]
    pub(crate) fn begin(&self, size: BlockSize, pages: &impl PageSource) -> bool {
        let Some(memory) = pages.take_slice(SEAL) else { return false };
        let start = memory.cast::<u8>().as_ptr();
        // SAFETY: by StaticMemory, the slice is a whole number of blocks, starts at an
        // address that is aligned for them, and belongs to the source alone, forever. It
        // is handed out only once.
        unsafe { self.begin_with(start, start.add(memory.len()), size.blocks_in(memory.len())) };
        true
    }

    /// Takes a free block, or else a fresh one. Returns `None` if there is neither.
    ///
    /// # Errors
    ///
    /// The next free block was written to. It is removed from the list, and the next call
    /// continues with the block after it.
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
        // SAFETY: by Fresh and Size, there is a whole block between `block` and `end`.
        // Its end is therefore within the run, `block` is not null, and the block was
        // never handed out.
        unsafe {
            self.fresh.set(block.add(size.stride()));
            unpoison(block, size.stride());
            let block = NonNull::new_unchecked(block);
            self.guard.hand_out_fresh(block, size.bytes());
            Ok(Some(block))
        }
    }

    /// Takes a run of pages from the source and returns its first block.
    ///
    /// # Errors
    ///
    /// The record of another run was overwritten. The next [`take`](Self::take) returns
    /// the first block of the new run.
    ///
    /// # Safety
    ///
    /// Size. The last call must have been a [`take`](Self::take) that returned `None`.
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
        // SAFETY: by the caller's promise. By PageSource, the run has these pages, and
        // nothing else uses them.
        unsafe { self.begin_run(size, first.cast()) }
    }

    /// Adds a run of pages and returns its first block. The other blocks are carved
    /// later.
    ///
    /// # Errors
    ///
    /// As [`refill`](Self::refill).
    ///
    /// # Safety
    ///
    /// As for `refill`. The run must have the number of pages of a run of that block
    /// size, come from the source, and be used by nothing else from now on. The pointer
    /// must be valid for all of its pages.
    #[inline]
    pub(crate) unsafe fn begin_run(
        &self,
        size: BlockSize,
        first: NonNull<u8>,
    ) -> Result<Option<NonNull<u8>>, MisuseError> {
        // If the source has used this pool, there already is a run with fresh blocks. If
        // the new run replaced it, those blocks would have no guards.
        if cfg!(hpalloc_hardened) && self.fresh.get() != self.end.get() {
            // SAFETY: Size.
            return unsafe { self.take(size) };
        }
        let run = first.as_ptr();
        // `whole_block` relies on this.
        run.expose_provenance();
        // SAFETY: by the caller's promise, the run has `pages_per_run` pages. They hold
        // `bytes_per_run` bytes, and the first block is a part of these.
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

    /// Puts a block on the free list.
    ///
    /// # Errors
    ///
    /// The block can't be freed, and is not changed.
    ///
    /// # Safety
    ///
    /// Size. `block` must come from this carver, or from another one with the same block
    /// size over the same source. It must not have been freed since, nothing may use it,
    /// and the pointer must be valid for all of it. With `--cfg hpalloc_hardened`, misuse
    /// that [`check`](Self::check) detects is an error instead.
    #[inline]
    pub(crate) unsafe fn give_back(&self, block: NonNull<u8>, size: BlockSize) -> Result<(), MisuseError> {
        // SAFETY: by the caller's promise, the block is a whole one, unused and not in
        // the list. A block is at least as large and as aligned as a pointer (BlockSize).
        unsafe {
            let block = self.check(block, size)?;
            self.free.push(block, size.bytes(), &self.guard);
        }
        Ok(())
    }

    /// Returns a pointer to the block that is valid for it and, with `--cfg
    /// hpalloc_hardened`, for its guard.
    ///
    /// # Errors
    ///
    /// The block is not live, or is not a block of this carver.
    ///
    /// # Safety
    ///
    /// Size. In a family, also that of [`Guard::check_live`].
    #[inline]
    pub(crate) unsafe fn check(&self, block: NonNull<u8>, size: BlockSize) -> Result<NonNull<u8>, MisuseError> {
        let shape = Shape {
            bytes: size.bytes(),
            run_bytes: size.pages_per_run() * PAGE_SIZE,
            blocks_bytes: size.bytes_per_run(),
            is_start: |offset| size.divides(offset),
            fresh: (self.fresh.get().addr(), self.end.get().addr()),
        };
        // SAFETY: by the caller's promise.
        unsafe { self.guard.check_live(block, shape) }
    }

    /// Records that a block will never be freed, so that it is not reported as leaked.
    pub(crate) fn forget(&self) {
        self.guard.forget();
    }

    /// Returns `true` if a block can be taken without more pages.
    pub(crate) fn has_block(&self) -> bool {
        !self.free.is_empty() || self.fresh.get() != self.end.get()
    }

    /// Returns the number of blocks that were carved: all blocks, minus the fresh ones.
    pub(crate) fn carved(&self, size: BlockSize) -> usize {
        self.blocks.get() - self.fresh_blocks(size)
    }

    /// Returns the number of fresh blocks in the newest run.
    pub(crate) fn fresh_blocks(&self, size: BlockSize) -> usize {
        size.blocks_in(self.end.get().addr() - self.fresh.get().addr())
    }

    /// Counts the blocks in the free list by walking it. With `--cfg hpalloc_hardened`,
    /// it stops at the first block whose link was overwritten.
    pub(crate) fn free_blocks(&self, size: BlockSize) -> usize {
        // SAFETY: Size.
        unsafe { self.free.len(size.bytes(), &self.guard) }
    }
}
