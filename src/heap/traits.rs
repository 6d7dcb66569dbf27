//! The crate's traits for a heap: it is a page source, and it serves requests by layout.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::Heap;
use crate::by_layout::{ByLayout, Resized, Zeroed};
use crate::hardened::MisuseError;
use crate::{PAGE_SIZE, Page, PageSource};

/// Pools and size classes can take their pages from a heap, and share its memory with all
/// other blocks. A page is a block that is aligned to a page.
///
/// Pages are never freed automatically: a pool keeps its pages. Code that knows that a
/// page is no longer used, such as a kernel that hands out frames, can free it as a block
/// with the size and the alignment of a page.
///
/// ```
/// use core::alloc::Layout;
/// use core::mem::MaybeUninit;
/// use hpalloc::{Heap, PAGE_SIZE, Page, PageSource};
///
/// let mut memory = [MaybeUninit::uninit(); 5 * PAGE_SIZE];
/// let heap = Heap::from_uninit(&mut memory)?;
/// let frames = heap.take_pages(3).unwrap();
/// // SAFETY: a run of three pages is a block of this layout, and is no longer used.
/// unsafe { heap.deallocate(frames.cast(), Layout::new::<[Page; 3]>()) };
/// assert_eq!(heap.used(), 0);
/// # Ok::<(), hpalloc::HeapError>(())
/// ```
// SAFETY: Run and Aligned hold for a block of this layout. Exclusive holds by the
// contract of `allocate` until the block is freed, and the code that frees it guarantees
// that it is no longer used. Fixed holds as for the memory of the heap's source.
unsafe impl<P: PageSource> PageSource for Heap<P> {
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        if count == 0 {
            return None;
        }
        let layout = Layout::from_size_align(count.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok()?;
        self.allocate(layout).map(NonNull::cast)
    }
}

/// The blocks that are returned have exactly the size of their layout.
impl<P: PageSource> ByLayout for Heap<P> {
    const RESIZES: bool = true;

    #[inline]
    fn take(&self, layout: Layout) -> Result<Option<NonNull<[u8]>>, MisuseError> {
        Ok(self.try_allocate(layout)?.map(|block| NonNull::slice_from_raw_parts(block, layout.size())))
    }

    #[inline]
    fn take_zeroed(&self, layout: Layout) -> Zeroed {
        let block = self.try_allocate_zeroed(layout)?;
        Ok(block.map(|block| (NonNull::slice_from_raw_parts(block, layout.size()), true)))
    }

    #[inline]
    unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller upholds the same contract. It doesn't matter if the pointer
        // is valid for less than the block, because the part derives a pointer to the
        // block from its own base.
        unsafe { self.give_back(block, layout) }
    }

    #[inline]
    unsafe fn check(&self, _: NonNull<u8>, _: Layout) -> Result<(), MisuseError> {
        // `resize` checks the block itself.
        Ok(())
    }

    #[inline]
    fn in_place(&self, _: NonNull<u8>, _: Layout, _: Layout) -> Option<NonNull<[u8]>> {
        None
    }

    #[inline]
    unsafe fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Resized {
        // SAFETY: the caller upholds the same contract.
        let resized = unsafe { self.try_resize(block, old, new) }?;
        Ok(Some(resized.map(|block| NonNull::slice_from_raw_parts(block, new.size()))))
    }
}
