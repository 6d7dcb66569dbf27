//! What a heap is to others: a source of pages, and what serves layouts.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::Heap;
use crate::by_layout::{ByLayout, Resized, Zeroed};
use crate::hardened::MisuseError;
use crate::{PAGE_SIZE, Page, PageSource};

/// Pages are blocks that are aligned to a page, so pools and heaps of size classes can be over a heap, and share its memory
/// with everything else.
///
/// None goes back by itself: a pool keeps its pages. Who knows that nothing uses a page any more, such as a kernel that hands out
/// frames, can free it: as a block with the size and the alignment of a page.
///
/// ```
/// use core::alloc::Layout;
/// use core::mem::MaybeUninit;
/// use hpalloc::{Heap, PAGE_SIZE, Page, PageSource};
///
/// let mut memory = [MaybeUninit::uninit(); 5 * PAGE_SIZE];
/// let heap = Heap::from_uninit(&mut memory)?;
/// let frames = heap.take_pages(3).unwrap();
/// // SAFETY: a run of three pages is a block of this layout, and isn't used any more.
/// unsafe { heap.deallocate(frames.cast(), Layout::new::<[Page; 3]>()) };
/// assert_eq!(heap.used(), 0);
/// # Ok::<(), hpalloc::HeapError>(())
/// ```
// SAFETY: Run and Aligned: a block of that layout. Exclusive: by the contract of the heap, until it is freed, which whoever
// does promises. Fixed: as the memory of the heap's source.
unsafe impl<P: PageSource> PageSource for Heap<P> {
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        if count == 0 {
            return None;
        }
        let layout = Layout::from_size_align(count.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok()?;
        self.allocate(layout).map(NonNull::cast)
    }
}

/// A block is as long as its layout says.
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
        // SAFETY: the caller's promise is the one that is asked for. The part makes the pointer to the block from its own.
        unsafe { self.give_back(block, layout) }
    }

    #[inline]
    unsafe fn check(&self, _: NonNull<u8>, _: Layout) -> Result<(), MisuseError> {
        // By `resize`.
        Ok(())
    }

    #[inline]
    fn in_place(&self, _: NonNull<u8>, _: Layout, _: Layout) -> Option<NonNull<[u8]>> {
        None
    }

    #[inline]
    unsafe fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Resized {
        // SAFETY: the caller's promise is the one that is asked for.
        let resized = unsafe { self.try_resize(block, old, new) }?;
        Ok(Some(resized.map(|block| NonNull::slice_from_raw_parts(block, new.size()))))
    }
}
