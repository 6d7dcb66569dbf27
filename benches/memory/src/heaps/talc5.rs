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
        // SAFETY: the layout has bytes.
        unsafe { Self::allocate(self, layout) }
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { Self::deallocate(self, block.as_ptr(), layout) }
    }

    /// As its global allocator does.
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: as the caller promises.
        if unsafe { self.try_realloc_in_place(block.as_ptr(), layout, size) } {
            return Some(block);
        }
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        let moved = Heap::allocate(self, new)?;
        // SAFETY: to shrink never fails, so both have the old size; the new one is not the old one. The rest is as the
        // caller promises.
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
