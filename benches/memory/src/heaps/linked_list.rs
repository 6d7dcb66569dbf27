//! The heap of `linked_list_allocator`: one list of holes in the order of their
//! addresses.

use std::alloc::Layout;
use std::ptr::NonNull;

use linked_list_allocator::Heap as LinkedList;

use super::LEAST;
use crate::{Configuration, Contestant, Heap};

impl Heap for LinkedList {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.allocate_first_fit(layout).ok()
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { Self::deallocate(self, block, layout) }
    }
}

pub(super) fn contestant() -> Contestant {
    let heap = Configuration::new(size_of::<LinkedList>(), |memory| {
        if memory.len() < LEAST {
            return None;
        }
        // SAFETY: the memory is borrowed for as long as the heap is used.
        Some(Box::new(unsafe { LinkedList::new(memory.as_mut_ptr().cast(), memory.len()) }))
    });
    Contestant::peer("linked_list_allocator", vec![heap])
}
