//! The heap of `buddy_system_allocator`: blocks of powers of two.

use std::alloc::Layout;
use std::ptr::NonNull;

use buddy_system_allocator::Heap as Buddy;

use crate::{Configuration, Contestant, Heap};

impl<const ORDER: usize> Heap for Buddy<ORDER> {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.alloc(layout).ok()
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { self.dealloc(block, layout) }
    }
}

/// Returns the configuration with blocks of up to 2^(`ORDER` - 1) bytes. Its memory is
/// aligned to 1 MiB, so that the heap wastes none of it.
fn orders<const ORDER: usize>() -> Configuration {
    Configuration::new(size_of::<Buddy<ORDER>>(), |memory| {
        let mut heap = Box::new(Buddy::<ORDER>::empty());
        // SAFETY: the memory is borrowed for as long as the heap is used.
        unsafe { heap.init(memory.as_mut_ptr().expose_provenance(), memory.len()) };
        Some(heap)
    })
    .aligned(1 << 20, 16)
    .named(format!("ORDER {ORDER}"))
}

pub(super) fn contestant() -> Contestant {
    Contestant::peer("buddy_system_allocator", vec![orders::<17>(), orders::<14>(), orders::<20>()])
}
