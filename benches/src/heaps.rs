//! Heaps for firmware and kernels as the allocator of a workload. They are given their
//! memory.

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
        // SAFETY: the caller keeps the same contract.
        unsafe { self.0.lock().deallocate(block, layout) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.0.lock().reallocate(block, layout, size) }
    }
}

impl<H: General + Send> Shared for Behind<H> {
    fn pair(count: usize) -> [Self; 2] {
        let Self(heap) = General::new(2 * count * Size::B64.bytes());
        [Self(heap), Self(heap)]
    }
}

/// Returns memory for a heap with headers: twice the bytes of the blocks, and a reserve.
fn memory_with_headers(bytes: usize) -> NonNull<[u8]> {
    let bytes = (2 * bytes + (1 << 20)).next_power_of_two();
    let memory = Vec::<MaybeUninit<u8>>::with_capacity(bytes).leak().as_mut_ptr();
    NonNull::slice_from_raw_parts(NonNull::new(memory.cast()).expect("the memory of a vector"), bytes)
}

/// talc, without its lock.
pub(crate) type Talc = talc::base::Talc<Manual, DefaultBinning>;

impl General for Talc {
    fn new(bytes: usize) -> Self {
        let mut heap = Self::new(Manual);
        let memory = memory_with_headers(bytes);
        // SAFETY: nothing else uses the memory.
        unsafe { heap.claim(memory.cast().as_ptr(), memory.len()) }.expect("enough memory for the heap");
        heap
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the layout isn't empty.
        unsafe { Self::allocate(self, layout) }
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { Self::deallocate(self, block.as_ptr(), layout) }
    }

    /// Resizes a block as talc's global allocator does.
    #[inline]
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller keeps the same contract.
        if unsafe { self.try_realloc_in_place(block.as_ptr(), layout, size) } {
            return Some(block);
        }
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        let moved = General::allocate(self, new)?;
        // SAFETY: shrinking in place never fails, so both blocks have at least the old
        // size, and the new one is not used elsewhere. The caller promises the rest.
        unsafe {
            moved.copy_from_nonoverlapping(block, layout.size());
            General::deallocate(self, block, layout);
        }
        Some(moved)
    }
}

/// rlsf, for blocks of up to 4 GiB in 32 second-level classes: large enough for the
/// workloads, and with the finest classes.
pub(crate) type Rlsf = Tlsf<'static, u32, u32, 27, 32>;

impl General for Rlsf {
    fn new(bytes: usize) -> Self {
        let mut heap = Tlsf::new();
        // SAFETY: nothing else uses the memory.
        unsafe { heap.insert_free_block_ptr(memory_with_headers(bytes)) }.expect("enough memory for the heap");
        heap
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        Self::allocate(self, layout)
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { Self::deallocate(self, block, layout.align()) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        // SAFETY: the caller keeps the same contract, and the alignment doesn't change.
        unsafe { Self::reallocate(self, block, new) }
    }
}

/// `linked_list_allocator`, without its lock.
pub(crate) type LinkedList = linked_list_allocator::Heap;

impl General for LinkedList {
    fn new(bytes: usize) -> Self {
        let mut heap = Self::empty();
        let memory = memory_with_headers(bytes);
        // SAFETY: nothing else uses the memory.
        unsafe { heap.init(memory.cast().as_ptr(), memory.len()) };
        heap
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.allocate_first_fit(layout).ok()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { Self::deallocate(self, block, layout) }
    }
}

/// `buddy_system_allocator`, without its lock, for blocks of up to 2^31 bytes.
pub(crate) type Buddy = buddy_system_allocator::Heap<32>;

impl General for Buddy {
    fn new(bytes: usize) -> Self {
        let mut heap = Self::empty();
        let memory = memory_with_headers(bytes);
        // SAFETY: nothing else uses the memory.
        unsafe { heap.init(memory.cast::<u8>().as_ptr().expose_provenance(), memory.len()) };
        heap
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.alloc(layout).ok()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.dealloc(block, layout) }
    }
}
