//! The heap of `embedded-alloc` with a linked list and a critical section as its lock.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use embedded_alloc::LlffHeap;

use super::LEAST;
use crate::{Configuration, Contestant, Heap};

impl Heap for LlffHeap {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the size of the layout is not zero.
        NonNull::new(unsafe { self.alloc(layout) })
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { self.dealloc(block.as_ptr(), layout) }
    }
}

pub(super) fn contestant() -> Contestant {
    let heap = Configuration::new(size_of::<LlffHeap>(), |memory| {
        if memory.len() < LEAST {
            return None;
        }
        let heap = Box::new(LlffHeap::empty());
        // SAFETY: the memory is borrowed for as long as the heap is used.
        unsafe { heap.init(memory.as_mut_ptr().expose_provenance(), memory.len()) };
        Some(heap)
    });
    Contestant::peer("embedded-alloc list", vec![heap])
}
