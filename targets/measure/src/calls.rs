//! The operations of a `Heap`, each with its number of instructions from entry to return.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::counter;

/// In `heap_traces`, the measured heap may be a peer.
#[cfg(feature = "peer")]
pub(crate) use crate::any_heap::Heap;
#[cfg(not(feature = "peer"))]
pub(crate) type Heap<'m> = hpalloc::Heap<hpalloc::NoPages<'m>>;

// The indices of the operations.
pub(crate) const ALLOCATE: usize = 0;
/// Allocation with an alignment of more than 8 bytes.
pub(crate) const ALLOCATE_ALIGNED: usize = 1;
pub(crate) const DEALLOCATE: usize = 2;
pub(crate) const GROW: usize = 3;
pub(crate) const SHRINK: usize = 4;
/// The number of operations.
pub(crate) const OPERATIONS: usize = 5;

// The measured functions are not inlined. Functions that return immediately have the same
// signatures, to measure the overhead of measuring.

#[inline(never)]
unsafe extern "C" fn allocate(heap: &Heap<'_>, align: usize, size: usize) -> Option<NonNull<u8>> {
    // SAFETY: `size` and `align` are those of a layout.
    heap.allocate(unsafe { Layout::from_size_align_unchecked(size, align) })
}

#[inline(never)]
unsafe extern "C" fn deallocate(heap: &Heap<'_>, block: NonNull<u8>, align: usize, size: usize) {
    // SAFETY: guaranteed by the caller; `size` and `align` are those of a layout.
    unsafe { heap.deallocate(block, Layout::from_size_align_unchecked(size, align)) }
}

#[inline(never)]
unsafe extern "C" fn grow(
    heap: &Heap<'_>,
    block: NonNull<u8>,
    align: usize,
    old: usize,
    new: usize,
) -> Option<NonNull<u8>> {
    // SAFETY: guaranteed by the caller; the sizes and `align` are those of two layouts.
    unsafe {
        let layout = |size| Layout::from_size_align_unchecked(size, align);
        heap.grow(block, layout(old), layout(new))
    }
}

#[inline(never)]
unsafe extern "C" fn shrink(
    heap: &Heap<'_>,
    block: NonNull<u8>,
    align: usize,
    old: usize,
    new: usize,
) -> Option<NonNull<u8>> {
    // SAFETY: guaranteed by the caller; the sizes and `align` are those of two layouts.
    unsafe {
        let layout = |size| Layout::from_size_align_unchecked(size, align);
        heap.shrink(block, layout(old), layout(new))
    }
}

type Allocate = unsafe extern "C" fn(&Heap<'_>, usize, usize) -> Option<NonNull<u8>>;
type Deallocate = unsafe extern "C" fn(&Heap<'_>, NonNull<u8>, usize, usize);
type Resize = unsafe extern "C" fn(&Heap<'_>, NonNull<u8>, usize, usize, usize) -> Option<NonNull<u8>>;

counter::function_of_one_instruction! {
    fn allocate_nothing(&Heap<'_>, usize, usize) -> Option<NonNull<u8>>;
    fn deallocate_nothing(&Heap<'_>, NonNull<u8>, usize, usize);
    fn resize_nothing(&Heap<'_>, NonNull<u8>, usize, usize, usize) -> Option<NonNull<u8>>;
}

/// Returns the block, and the instructions of the call including the overhead of
/// measuring.
#[inline(never)]
unsafe fn measure_allocate(function: Allocate, heap: &Heap<'_>, layout: Layout) -> (Option<NonNull<u8>>, u32) {
    let (align, size) = (layout.align(), layout.size());
    let start = counter::read();
    // SAFETY: `size` and `align` are those of a layout.
    let block = unsafe { function(heap, align, size) };
    let end = counter::read();
    (block, counter::instructions(start, end))
}

/// Returns the instructions of the call, including the overhead of measuring.
#[inline(never)]
unsafe fn measure_deallocate(function: Deallocate, heap: &Heap<'_>, block: NonNull<u8>, layout: Layout) -> u32 {
    let (align, size) = (layout.align(), layout.size());
    let start = counter::read();
    // SAFETY: guaranteed by the caller.
    unsafe { function(heap, block, align, size) };
    let end = counter::read();
    counter::instructions(start, end)
}

/// Returns the block, and the instructions of the call including the overhead of
/// measuring.
#[inline(never)]
unsafe fn measure_resize(
    function: Resize,
    heap: &Heap<'_>,
    block: NonNull<u8>,
    layout: Layout,
    new: usize,
) -> (Option<NonNull<u8>>, u32) {
    let (align, size) = (layout.align(), layout.size());
    let start = counter::read();
    // SAFETY: guaranteed by the caller.
    let block = unsafe { function(heap, block, align, size, new) };
    let end = counter::read();
    (block, counter::instructions(start, end))
}

/// Measured calls.
pub(crate) struct Calls {
    // The overhead of measuring, in instructions.
    allocate: u32,
    deallocate: u32,
    resize: u32,
}

impl Calls {
    /// Measures the overhead. The heap is only passed and not accessed.
    pub(crate) fn new(heap: &Heap<'_>) -> Self {
        let layout = Layout::new::<u8>();
        // SAFETY: the functions return immediately.
        unsafe {
            Self {
                allocate: measure_allocate(allocate_nothing, heap, layout).1 - 1,
                deallocate: measure_deallocate(deallocate_nothing, heap, NonNull::dangling(), layout) - 1,
                resize: measure_resize(resize_nothing, heap, NonNull::dangling(), layout, 1).1 - 1,
            }
        }
    }

    /// Allocates a block. Returns it with the index of the operation and its
    /// instructions.
    pub(crate) fn allocate(&self, heap: &Heap<'_>, layout: Layout) -> (Option<NonNull<u8>>, usize, u32) {
        let operation = if layout.align() > 8 { ALLOCATE_ALIGNED } else { ALLOCATE };
        // SAFETY: `allocate` has no requirements but a valid layout.
        let (block, cost) = unsafe { measure_allocate(allocate, heap, layout) };
        (block, operation, cost - self.allocate)
    }

    /// # Safety
    ///
    /// The block came from the heap, has the layout, and isn't used afterwards.
    pub(crate) unsafe fn deallocate(&self, heap: &Heap<'_>, block: NonNull<u8>, layout: Layout) -> u32 {
        // SAFETY: guaranteed by the caller.
        let cost = unsafe { measure_deallocate(deallocate, heap, block, layout) };
        cost - self.deallocate
    }

    /// Grows or shrinks a block. Returns the new block with the index of the operation
    /// and its instructions.
    ///
    /// # Safety
    ///
    /// The block came from the heap and has the layout. If a block is returned, it
    /// replaces the old one.
    pub(crate) unsafe fn resize(
        &self,
        heap: &Heap<'_>,
        block: NonNull<u8>,
        layout: Layout,
        new: usize,
    ) -> (Option<NonNull<u8>>, usize, u32) {
        let (function, operation): (Resize, _) = if new < layout.size() { (shrink, SHRINK) } else { (grow, GROW) };
        // SAFETY: guaranteed by the caller.
        let (block, cost) = unsafe { measure_resize(function, heap, block, layout, new) };
        (block, operation, cost - self.resize)
    }
}
