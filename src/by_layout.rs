use core::alloc::Layout;
use core::ptr::NonNull;

use crate::hardened::{MisuseError, report, reported};

/// Serves requests by their layout: what the traits of allocators are adapted to.
pub(crate) trait ByLayout {
    /// A block for the layout, all of it.
    fn take(&self, layout: Layout) -> Result<Option<NonNull<[u8]>>, MisuseError>;

    /// # Safety
    ///
    /// The block came from here with this layout, wasn't given back since, and nothing uses it. The pointer may be valid
    /// for less than the block.
    unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError>;

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

/// A block for the layout. Misuse that is found on the way is reported.
#[inline]
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) fn allocate(heap: &impl ByLayout, layout: Layout) -> Option<NonNull<[u8]>> {
    reported(|| heap.take(layout))
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
    if let Err(error) = unsafe { heap.check(block, old) } {
        report(error);
        return None;
    }
    if let Some(block) = heap.in_place(block, old, new) {
        return Some(block);
    }
    let moved = allocate(heap, new)?;
    // SAFETY: both blocks have so many bytes, and the new one is nobody else's. The old one is given back as the caller
    // promises.
    unsafe {
        moved.cast::<u8>().copy_from_nonoverlapping(block, old.size().min(new.size()));
        deallocate(heap, block, old);
    }
    Some(moved)
}
