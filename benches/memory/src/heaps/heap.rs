//! `hpalloc::Heap`.

use std::alloc::Layout;
use std::ptr::NonNull;

use hpalloc::NoPages;

use crate::{Configuration, Contestant, Heap};

impl Heap for hpalloc::Heap<NoPages<'_>> {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        hpalloc::Heap::allocate(self, layout)
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { hpalloc::Heap::deallocate(self, block, layout) }
    }

    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        // SAFETY: guaranteed by the caller, and the comparison selects the function for
        // the sizes.
        unsafe { if size >= layout.size() { self.grow(block, layout, new) } else { self.shrink(block, layout, new) } }
    }
}

pub(super) fn contestant() -> Contestant {
    let heap = Configuration::new(size_of::<hpalloc::Heap<NoPages<'_>>>(), |memory| {
        Some(Box::new(hpalloc::Heap::from_uninit(memory).ok()?))
    });
    Contestant::candidate("Heap", vec![heap])
}
