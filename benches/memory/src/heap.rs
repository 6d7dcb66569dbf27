use std::alloc::Layout;
use std::ptr::NonNull;

/// A heap in a slice of memory, as a trace uses it.
///
/// A heap isn't moved after it is created, so it may contain pointers to itself.
pub trait Heap {
    /// Allocates a block, or returns `None` if the heap has no room for it. The size is
    /// not zero.
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>>;

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// The block came from this heap, has this layout, and is not used afterwards.
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout);

    /// Changes the size of a block, which may move it, and returns its address. If there
    /// is no room, it returns `None`, and the old block is unchanged.
    ///
    /// The default implementation allocates, copies and frees, like that of
    /// [`GlobalAlloc`](std::alloc::GlobalAlloc).
    ///
    /// # Safety
    ///
    /// The block came from this heap and has this layout. The new size is not zero. If a
    /// block is returned, the old block is not used afterwards.
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        let moved = self.allocate(new)?;
        // SAFETY: both blocks have at least the smaller of the two sizes, and they don't
        // overlap because both are live. The caller guarantees the rest.
        unsafe {
            moved.copy_from_nonoverlapping(block, layout.size().min(size));
            self.deallocate(block, layout);
        }
        Some(moved)
    }
}
