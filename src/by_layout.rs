use core::alloc::Layout;
use core::ptr::NonNull;

use crate::hardened::{MisuseError, report, reported};

/// Serves requests by their layout: what the traits of allocators are adapted to.
pub(crate) trait ByLayout {
    /// Whether it resizes blocks itself, by [`resize`](Self::resize).
    const RESIZES: bool = false;

    /// A block for the layout, all of it.
    fn take(&self, layout: Layout) -> Result<Option<NonNull<[u8]>>, MisuseError>;

    /// The same, and whether it is known to be zero, as far as the layout goes.
    fn take_zeroed(&self, layout: Layout) -> Zeroed {
        Ok(self.take(layout)?.map(|block| (block, false)))
    }

    /// # Safety
    ///
    /// The block came from here with this layout, wasn't freed since, and nothing uses it. The pointer may be valid
    /// for less than the block.
    unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError>;

    /// The block with its new layout, or `None` in `Some` if there is no room. `None` unless [`RESIZES`](Self::RESIZES).
    ///
    /// # Safety
    ///
    /// That of [`give_back`](Self::give_back) for the old layout.
    unsafe fn resize(&self, _block: NonNull<u8>, _old: Layout, _new: Layout) -> Resized {
        Ok(None)
    }

    /// Whether the block is a live one with this layout, as far as that is known: with `--cfg hpalloc_hardened`.
    ///
    /// # Safety
    ///
    /// That of [`give_back`](Self::give_back), but for what is an error.
    unsafe fn check(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError>;

    /// The same block, by a pointer that is valid for all of it, where what came from here with the old layout serves the new
    /// one as well.
    fn in_place(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<[u8]>>;
}

/// What [`ByLayout::take_zeroed`] returns.
pub(crate) type Zeroed = Result<Option<(NonNull<[u8]>, bool)>, MisuseError>;

/// What [`ByLayout::resize`] returns.
pub(crate) type Resized = Result<Option<Option<NonNull<[u8]>>>, MisuseError>;

/// A block for the layout. Misuse that is detected on the way is reported.
#[inline]
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) fn allocate(heap: &impl ByLayout, layout: Layout) -> Option<NonNull<[u8]>> {
    reported(|| heap.take(layout))
}

/// A block for the layout, as many bytes as it says, all of them zero. Zeros are written
/// without a lock, if the heap doesn't do it itself.
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) fn allocate_zeroed(heap: &impl ByLayout, layout: Layout) -> Option<NonNull<[u8]>> {
    let (block, is_zeroed) = reported(|| heap.take_zeroed(layout))?;
    let block = block.cast::<u8>();
    if !is_zeroed {
        // SAFETY: the block has at least so many bytes, and is nobody else's.
        unsafe { block.write_bytes(0, layout.size()) };
    }
    Some(NonNull::slice_from_raw_parts(block, layout.size()))
}

/// Gives a block back, or reports why it can't be.
///
/// # Safety
///
/// That of [`ByLayout::give_back`].
#[inline]
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) unsafe fn deallocate(heap: &impl ByLayout, block: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller's promise is the one that is asked for.
    if let Err(error) = unsafe { heap.give_back(block, layout) } {
        report(error);
    }
}

/// A block of the old layout becomes one of the new layout, where it is or elsewhere. `None` where there is none; then it
/// stays as it was.
///
/// # Safety
///
/// That of [`ByLayout::give_back`].
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) unsafe fn resize(
    heap: &impl ByLayout,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Option<NonNull<[u8]>> {
    // SAFETY: the caller's promise is the one that is asked for.
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
    // SAFETY: both blocks have so many bytes, and the new one is nobody else's. The old one is freed as the caller
    // promises.
    unsafe {
        moved.cast::<u8>().copy_from_nonoverlapping(block, old.size().min(new.size()));
        deallocate(heap, block, old);
    }
    Some(moved)
}
