//! The general allocators that programs on a host use, as the allocator of a workload.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

use crate::allocator::{General, Shared};

/// Implements the traits of a workload's allocator for a [`GlobalAlloc`].
macro_rules! global {
    ($name:ident, $instance:expr) => {
        pub(crate) struct $name;

        impl Shared for $name {
            fn pair(_: usize) -> [Self; 2] {
                [Self, Self]
            }
        }

        impl General for $name {
            fn new(_: usize) -> Self {
                Self
            }

            #[inline]
            fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
                // SAFETY: the layout isn't empty.
                NonNull::new(unsafe { $instance.alloc(layout) })
            }

            #[inline]
            unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller promises that the block was allocated with this
                // layout.
                unsafe { $instance.dealloc(block.as_ptr(), layout) }
            }

            #[inline]
            unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
                // SAFETY: as above, and the size is not zero.
                NonNull::new(unsafe { $instance.realloc(block.as_ptr(), layout, size) })
            }
        }
    };
}

global!(Glibc, std::alloc::System);
global!(Mimalloc, MiMalloc);
global!(Jemalloc, tikv_jemallocator::Jemalloc);
global!(Snmalloc, snmalloc_rs::SnMalloc);

/// mimalloc, called as from C if that provides the alignment. The `GlobalAlloc` of its
/// crate is a little slower, because it passes an alignment in every call.
pub(crate) struct MiMalloc;

impl MiMalloc {
    /// Returns `true` if any malloc aligns a block of that size sufficiently without a
    /// request.
    #[inline]
    const fn is_plain(size: usize, align: usize) -> bool {
        align <= size && align <= 16
    }
}

// SAFETY: mimalloc's blocks have the requested size and alignment, and nothing unwinds.
unsafe impl GlobalAlloc for MiMalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: the functions have no preconditions, and the alignment is a power of
        // two.
        unsafe { if Self::is_plain(size, align) { mi_malloc(size) } else { mi_malloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller promises that the block is mimalloc's.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: the functions have no preconditions, and the alignment is a power of
        // two.
        unsafe { if Self::is_plain(size, align) { mi_zalloc(size) } else { mi_zalloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (block, align) = (block.cast(), layout.align());
        // SAFETY: the caller promises that the block is mimalloc's.
        unsafe {
            if Self::is_plain(size, align) { mi_realloc(block, size) } else { mi_realloc_aligned(block, size, align) }
        }
        .cast()
    }
}
