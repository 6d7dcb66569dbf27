use std::alloc::Layout;
use std::ptr::NonNull;

/// A heap in a slice of memory, as a trace uses it.
///
/// It is not moved once it is made, so that one may keep pointers to itself.
pub trait Heap {
    /// A block for the layout, which has at least one byte, or `None` if the heap has no room.
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// The block is from this heap, has this layout and is not used any more.
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout);

    /// Makes a block larger or smaller, and returns where it is now. `None` if there is no room: then it stays as it was.
    ///
    /// What is provided allocates, copies and frees, as [`GlobalAlloc`](std::alloc::GlobalAlloc) does.
    ///
    /// # Safety
    ///
    /// The block is from this heap and has this layout. The new size is not zero.
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        let moved = self.allocate(new)?;
        // SAFETY: both blocks have at least the smaller size, and the new one is not the old one. The rest is as the
        // caller promises.
        unsafe {
            moved.copy_from_nonoverlapping(block, layout.size().min(size));
            self.deallocate(block, layout);
        }
        Some(moved)
    }
}
