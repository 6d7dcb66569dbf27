//! The general allocators that programs on a host use, as the allocator of a workload.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_long};
use std::ptr::NonNull;

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

use crate::allocator::{General, Shared, Size};

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

/// A malloc that can be told not to return freed memory to the system.
pub(crate) trait Keeping: General {
    /// Keeps all freed memory from now on, in the whole process.
    fn keep_memory();
}

impl Keeping for Glibc {
    fn keep_memory() {
        // SAFETY: both parameters and values are documented: never trim, and never map a
        // block separately.
        let kept = unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, -1) == 1 && libc::mallopt(libc::M_MMAP_MAX, 0) == 1 };
        assert!(kept, "mallopt failed, so malloc would not keep its memory");
    }
}

unsafe extern "C" {
    fn mi_option_get(option: c_int) -> c_long;
    fn mi_option_set(option: c_int, value: c_long);
}

impl Keeping for Mimalloc {
    fn keep_memory() {
        /// `mi_option_purge_delay` of mimalloc.h, which the crate does not export.
        const PURGE_DELAY: c_int = 15;
        const DEFAULT_MS: c_long = 1000;
        // SAFETY: the option exists, and no other thread uses mimalloc.
        unsafe {
            assert!(
                mi_option_get(PURGE_DELAY) == DEFAULT_MS,
                "option {PURGE_DELAY} of mimalloc is not `purge_delay` with its default of {DEFAULT_MS} ms"
            );
            mi_option_set(PURGE_DELAY, -1);
        }
    }
}

/// A malloc that has already allocated, written to and freed all the blocks of 64 bytes
/// that fit in the requested memory, and has kept that memory. Reusing it takes no page
/// faults.
pub(crate) struct Warm<M>(M);

impl<M: Keeping> General for Warm<M> {
    fn new(bytes: usize) -> Self {
        M::keep_memory();
        let mut malloc = M::new(bytes);
        let layout = Size::B64.layout();
        let allocate = |_| {
            let block = malloc.allocate(layout).expect("a free block");
            // SAFETY: the block is live, and has room for a word.
            unsafe { block.cast::<u64>().write_volatile(1) };
            block
        };
        // The vector is leaked, because freeing such a large block makes glibc merge its
        // small free blocks.
        let blocks = (0..bytes / layout.size()).map(allocate).collect::<Vec<_>>().leak();
        for &mut block in blocks {
            // SAFETY: the block is live, and is not used afterwards.
            unsafe { malloc.deallocate(block, layout) };
        }
        Self(malloc)
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.allocate(layout)
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.0.deallocate(block, layout) }
    }
}

/// mimalloc, called like `malloc` in C if that provides the alignment. The `GlobalAlloc`
/// of its crate is a little slower, because it passes an alignment in every call.
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
