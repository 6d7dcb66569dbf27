//! talc 5.

use std::alloc::Layout;
use std::ptr::NonNull;

use talc5::DefaultBinning;
use talc5::source::Manual;

use crate::{Configuration, Contestant, Heap};

/// talc without a lock.
type Talc = talc5::base::Talc<Manual, DefaultBinning>;

impl Heap for Talc {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the size of the layout is not zero.
        unsafe { Self::allocate(self, layout) }
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { Self::deallocate(self, block.as_ptr(), layout) }
    }

    /// Does the same as the global allocator of talc.
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: guaranteed by the caller.
        if unsafe { self.try_realloc_in_place(block.as_ptr(), layout, size) } {
            return Some(block);
        }
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        let moved = Heap::allocate(self, new)?;
        // SAFETY: shrinking in place never fails, so the new block is larger, and both
        // blocks have the old size. They don't overlap because both are live. The caller
        // guarantees the rest.
        unsafe {
            moved.copy_from_nonoverlapping(block, layout.size());
            Heap::deallocate(self, block, layout);
        }
        Some(moved)
    }
}

pub(super) fn contestant() -> Contestant {
    let heap = Configuration::new(size_of::<Talc>(), |memory| {
        let mut heap = Box::new(Talc::new(Manual));
        // SAFETY: the memory is borrowed for as long as the heap is used.
        unsafe { heap.claim(memory.as_mut_ptr().cast(), memory.len()) }?;
        Some(heap)
    });
    Contestant::peer("talc 5", vec![heap])
}
