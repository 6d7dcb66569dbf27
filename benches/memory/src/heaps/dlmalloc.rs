//! dlmalloc over memory of a fixed size.

use std::alloc::Layout;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use dlmalloc::{Allocator, Dlmalloc};

use super::LEAST;
use crate::{Configuration, Contestant, Heap};

/// The memory of a heap. The heap's first request receives all of it.
struct Fixed {
    memory: AtomicPtr<u8>,
    bytes: AtomicUsize,
}

// SAFETY: `alloc` returns the memory once, because it then stores null and zero.
unsafe impl Allocator for Fixed {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let bytes = self.bytes.load(Ordering::Relaxed);
        if size > bytes {
            return (ptr::null_mut(), 0, 0);
        }
        (self.memory.swap(ptr::null_mut(), Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed), 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        false
    }

    fn page_size(&self) -> usize {
        16
    }
}

impl Heap for Dlmalloc<Fixed> {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the size of the layout is not zero.
        NonNull::new(unsafe { self.malloc(layout.size(), layout.align()) })
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { self.free(block.as_ptr(), layout.size(), layout.align()) }
    }

    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: guaranteed by the caller.
        NonNull::new(unsafe { self.realloc(block.as_ptr(), layout.size(), layout.align(), size) })
    }
}

pub(super) fn contestant() -> Contestant {
    // In a program, the address and the size of the memory would be constants, so they
    // don't count.
    let outside = size_of::<Dlmalloc<Fixed>>() - size_of::<Fixed>();
    let heap = Configuration::new(outside, |memory| {
        if memory.len() < LEAST {
            return None;
        }
        let fixed = Fixed { bytes: memory.len().into(), memory: AtomicPtr::new(memory.as_mut_ptr().cast()) };
        let mut heap = Box::new(Dlmalloc::new_with_allocator(fixed));
        assert!(heap.set_granularity(2 * size_of::<usize>()));
        heap.set_max_release_check_rate(0);
        Some(heap)
    });
    Contestant::peer("dlmalloc", vec![heap])
}
