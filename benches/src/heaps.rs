//! Heaps of firmware and kernels as a workload's allocator: they are given their memory.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use rlsf::Tlsf;
use talc::DefaultBinning;
use talc::source::Manual;

use crate::allocator::{General, Shared, Size};

/// A heap behind a spin lock, as firmware and kernels share one.
pub(crate) struct Behind<H: 'static>(&'static spin::Mutex<H>);

impl<H: General + Send> General for Behind<H> {
    fn new(bytes: usize) -> Self {
        Self(Box::leak(Box::new(spin::Mutex::new(H::new(bytes)))))
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.lock().allocate(layout)
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { self.0.lock().deallocate(block, layout) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: as the caller promises.
        unsafe { self.0.lock().reallocate(block, layout, size) }
    }
}

impl<H: General + Send> Shared for Behind<H> {
    fn pair(count: usize) -> [Self; 2] {
        let Self(heap) = General::new(2 * count * Size::B64.bytes());
        [Self(heap), Self(heap)]
    }
}

/// Memory for a heap that keeps headers beside its blocks: as much again and a bit.
fn memory_with_headers(bytes: usize) -> NonNull<[u8]> {
    let bytes = (2 * bytes + (1 << 20)).next_power_of_two();
    let memory = Vec::<MaybeUninit<u8>>::with_capacity(bytes).leak().as_mut_ptr();
    NonNull::slice_from_raw_parts(NonNull::new(memory.cast()).expect("a vector's memory"), bytes)
}

/// talc, without its lock.
pub(crate) type Talc = talc::base::Talc<Manual, DefaultBinning>;

impl General for Talc {
    fn new(bytes: usize) -> Self {
        let mut heap = Self::new(Manual);
        let memory = memory_with_headers(bytes);
        // SAFETY: the memory is the heap's alone.
        unsafe { heap.claim(memory.cast().as_ptr(), memory.len()) }.expect("enough memory for the heap");
        heap
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: no layout is of no bytes.
        unsafe { Self::allocate(self, layout) }
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { Self::deallocate(self, block.as_ptr(), layout) }
    }

    /// As its global allocator does.
    #[inline]
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: as the caller promises.
        if unsafe { self.try_realloc_in_place(block.as_ptr(), layout, size) } {
            return Some(block);
        }
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        let moved = General::allocate(self, new)?;
        // SAFETY: to shrink never fails, so both have the old size; the new one is nobody else's. The rest is as the caller
        // promises.
        unsafe {
            moved.copy_from_nonoverlapping(block, layout.size());
            General::deallocate(self, block, layout);
        }
        Some(moved)
    }
}

/// rlsf. Blocks of up to 4 GiB in 32 second-level classes: as large as the workloads need, as fine as it gets.
pub(crate) type Rlsf = Tlsf<'static, u32, u32, 27, 32>;

impl General for Rlsf {
    fn new(bytes: usize) -> Self {
        let mut heap = Tlsf::new();
        // SAFETY: the memory is the heap's alone.
        unsafe { heap.insert_free_block_ptr(memory_with_headers(bytes)) }.expect("enough memory for the heap");
        heap
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        Self::allocate(self, layout)
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { Self::deallocate(self, block, layout.align()) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        // SAFETY: as the caller promises, and the alignment is the same.
        unsafe { Self::reallocate(self, block, new) }
    }
}

/// `linked_list_allocator`, without its lock.
pub(crate) type LinkedList = linked_list_allocator::Heap;

impl General for LinkedList {
    fn new(bytes: usize) -> Self {
        let mut heap = Self::empty();
        let memory = memory_with_headers(bytes);
        // SAFETY: the memory is the heap's alone.
        unsafe { heap.init(memory.cast().as_ptr(), memory.len()) };
        heap
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.allocate_first_fit(layout).ok()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { Self::deallocate(self, block, layout) }
    }
}

/// Blocks of up to 2^31 bytes.
pub(crate) type Buddy = buddy_system_allocator::Heap<32>;

impl General for Buddy {
    fn new(bytes: usize) -> Self {
        let mut heap = Self::empty();
        let memory = memory_with_headers(bytes);
        // SAFETY: the memory is the heap's alone.
        unsafe { heap.init(memory.cast::<u8>().as_ptr().expose_provenance(), memory.len()) };
        heap
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.alloc(layout).ok()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { self.dealloc(block, layout) }
    }
}
