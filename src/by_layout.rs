use core::alloc::Layout;
use core::ptr::NonNull;

use crate::hardened::{MisuseError, report, reported};

/// An allocator that serves requests by their layout. The standard allocator traits are
/// implemented on top of it.
pub(crate) trait ByLayout {
    /// `true` if the allocator resizes blocks itself, by [`resize`](Self::resize).
    const RESIZES: bool = false;

    /// Allocates a block for the layout, and returns the whole block.
    fn take(&self, layout: Layout) -> Result<Option<NonNull<[u8]>>, MisuseError>;

    /// Allocates a block for the layout. The result also tells whether the block's first
    /// bytes, up to the size of the layout, are known to be zero.
    fn take_zeroed(&self, layout: Layout) -> Zeroed {
        Ok(self.take(layout)?.map(|block| (block, false)))
    }

    /// # Safety
    ///
    /// The block came from this allocator with this layout, wasn't freed since, and is no
    /// longer used. The pointer may be valid for less than the whole block.
    unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError>;

    /// Resizes the block. Returns `Some(None)` if there is no room, and `None` unless
    /// [`RESIZES`](Self::RESIZES).
    ///
    /// # Safety
    ///
    /// As for [`give_back`](Self::give_back), with the old layout.
    unsafe fn resize(&self, _block: NonNull<u8>, _old: Layout, _new: Layout) -> Resized {
        Ok(None)
    }

    /// In a hardened build, returns an error if the block is known not to be live with
    /// this layout.
    ///
    /// # Safety
    ///
    /// As for [`give_back`](Self::give_back), except for misuse that is returned as an
    /// error.
    unsafe fn check(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError>;

    /// Returns the same block, by a pointer that is valid for all of it, if a block that
    /// was allocated with the old layout also serves the new one.
    fn in_place(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<[u8]>>;
}

/// The result of [`ByLayout::take_zeroed`].
pub(crate) type Zeroed = Result<Option<(NonNull<[u8]>, bool)>, MisuseError>;

/// The result of [`ByLayout::resize`].
pub(crate) type Resized = Result<Option<Option<NonNull<[u8]>>>, MisuseError>;

/// Allocates a block for the layout, and reports misuse that the allocator detects.
#[inline]
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) fn allocate(heap: &impl ByLayout, layout: Layout) -> Option<NonNull<[u8]>> {
    reported(|| heap.take(layout))
}

/// Allocates exactly the bytes of the layout, all of them zero. Unless the heap zeroes
/// the block itself, the zeros are written without holding a lock.
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) fn allocate_zeroed(heap: &impl ByLayout, layout: Layout) -> Option<NonNull<[u8]>> {
    let (block, is_zeroed) = reported(|| heap.take_zeroed(layout))?;
    let block = block.cast::<u8>();
    if !is_zeroed {
        // SAFETY: the block has at least this size, and nothing else uses it.
        unsafe { block.write_bytes(0, layout.size()) };
    }
    Some(NonNull::slice_from_raw_parts(block, layout.size()))
}

/// Frees a block, or reports the misuse that prevents it.
///
/// # Safety
///
/// As for [`ByLayout::give_back`].
#[inline]
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) unsafe fn deallocate(heap: &impl ByLayout, block: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller upholds the same contract.
    if let Err(error) = unsafe { heap.give_back(block, layout) } {
        report(error);
    }
}

/// Resizes a block in place or by moving it. Returns `None` if there is no room; the
/// block is then unchanged.
///
/// # Safety
///
/// As for [`ByLayout::give_back`].
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) unsafe fn resize(
    heap: &impl ByLayout,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Option<NonNull<[u8]>> {
    // SAFETY: the caller upholds the same contract.
    match unsafe { heap.check(block, old).and_then(|()| heap.resize(block, old, new)) } {
        Ok(None) => {}
        Ok(Some(resized)) => return resized,
        Err(error) => {
            report(error);
            return None;
        }
    }
    if let Some(block) = heap.in_place(block, old, new) {
        return Some(block);
    }
    let moved = allocate(heap, new)?;
    // SAFETY: both blocks have at least this size, and nothing else uses the new one. The
    // caller promises that the old one may be freed.
    unsafe {
        moved.cast::<u8>().copy_from_nonoverlapping(block, old.size().min(new.size()));
        deallocate(heap, block, old);
    }
    Some(moved)
}
