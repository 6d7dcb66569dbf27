//! talc 4.

use std::alloc::Layout;
use std::ptr::NonNull;

use talc4::{ErrOnOom, Span, Talc};

use crate::{Configuration, Contestant, Heap};

impl Heap for Talc<ErrOnOom> {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the size of the layout is not zero.
        unsafe { self.malloc(layout) }.ok()
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { self.free(block, layout) }
    }

    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        if size >= layout.size() {
            // SAFETY: guaranteed by the caller, and the new size isn't below the old
            // size.
            return unsafe { self.grow(block, layout, size) }.ok();
        }
        // SAFETY: guaranteed by the caller, and the new size is below the old size.
        unsafe { self.shrink(block, layout, size) };
        Some(block)
    }
}

pub(super) fn contestant() -> Contestant {
    let heap = Configuration::new(size_of::<Talc<ErrOnOom>>(), |memory| {
        let mut heap = Box::new(Talc::new(ErrOnOom));
        let memory = Span::from_base_size(memory.as_mut_ptr().cast(), memory.len());
        // SAFETY: the memory is borrowed for as long as the heap is used.
        unsafe { heap.claim(memory) }.ok()?;
        Some(heap)
    });
    Contestant::peer("talc 4", vec![heap])
}
