//! The heap whose instructions are counted: hpalloc's `Heap`, or a peer that a feature
//! selects, with the functions of `Heap`.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// A peer in a slice of memory.
pub(crate) struct Heap<'m> {
    peer: UnsafeCell<peer::Peer>,
    memory: PhantomData<&'m mut [MaybeUninit<u8>]>,
}

/// The error if the memory is too small.
#[derive(Debug)]
pub(crate) struct TooSmall;

impl<'m> Heap<'m> {
    pub(crate) fn from_uninit(memory: &'m mut [MaybeUninit<u8>]) -> Result<Self, TooSmall> {
        let memory = NonNull::slice_from_raw_parts(NonNull::from(&mut *memory).cast(), memory.len());
        // SAFETY: the memory is borrowed for as long as the heap exists.
        let peer = unsafe { peer::new(memory) }.ok_or(TooSmall)?;
        Ok(Self { peer: UnsafeCell::new(peer), memory: PhantomData })
    }

    #[allow(clippy::mut_from_ref, reason = "each caller below uses it for one call")]
    fn peer(&self) -> &mut peer::Peer {
        // SAFETY: the heap is not `Sync`, and no operation calls another one of the heap.
        unsafe { &mut *self.peer.get() }
    }

    #[inline]
    pub(crate) fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        peer::allocate(self.peer(), layout)
    }

    /// # Safety
    ///
    /// The block is live, has the layout, and is not used afterwards.
    #[inline]
    pub(crate) unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { peer::deallocate(self.peer(), block, layout) }
    }

    /// # Safety
    ///
    /// The same as for `deallocate` if a block is returned. Otherwise the old block stays
    /// live.
    #[inline]
    pub(crate) unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: guaranteed by the caller.
        unsafe { peer::resize(self.peer(), block, old, new) }
    }

    /// # Safety
    ///
    /// The same as for `grow`.
    #[inline]
    pub(crate) unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: guaranteed by the caller.
        unsafe { peer::resize(self.peer(), block, old, new) }
    }
}

/// Allocates, copies and frees, like the global allocators of heaps that can't resize a
/// block in place.
///
/// # Safety
///
/// The block is live and has the old layout. If a block is returned, the old one is not
/// used afterwards.
#[cfg(any(feature = "linked_list_allocator", feature = "buddy_system_allocator", feature = "talc"))]
pub(crate) unsafe fn moved(heap: &mut peer::Peer, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
    let moved = peer::allocate(heap, new)?;
    // SAFETY: both blocks have at least as many bytes as the smaller layout, and they
    // don't overlap because both are live. The caller guarantees the rest.
    unsafe {
        moved.copy_from_nonoverlapping(block, old.size().min(new.size()));
        peer::deallocate(heap, block, old);
    }
    Some(moved)
}

#[cfg(feature = "linked_list_allocator")]
mod peer {
    use core::alloc::Layout;
    use core::ptr::NonNull;

    pub(crate) use super::moved as resize;
    pub(crate) type Peer = linked_list_allocator::Heap;

    pub(crate) unsafe fn new(memory: NonNull<[u8]>) -> Option<Peer> {
        // SAFETY: guaranteed by the caller.
        Some(unsafe { Peer::new(memory.cast().as_ptr(), memory.len()) })
    }

    pub(crate) fn allocate(heap: &mut Peer, layout: Layout) -> Option<NonNull<u8>> {
        heap.allocate_first_fit(layout).ok()
    }

    pub(crate) unsafe fn deallocate(heap: &mut Peer, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { heap.deallocate(block, layout) }
    }
}

#[cfg(feature = "rlsf")]
mod peer {
    use core::alloc::Layout;
    use core::ptr::NonNull;

    /// One of the configurations that most often need the least memory in `cargo memory
    /// report`.
    pub(crate) type Peer = rlsf::Tlsf<'static, u16, u16, 12, 16>;

    pub(crate) unsafe fn new(memory: NonNull<[u8]>) -> Option<Peer> {
        let mut heap = Peer::new();
        // SAFETY: guaranteed by the caller; `Heap` keeps the lifetime.
        unsafe { heap.insert_free_block_ptr(memory) }?;
        Some(heap)
    }

    pub(crate) fn allocate(heap: &mut Peer, layout: Layout) -> Option<NonNull<u8>> {
        heap.allocate(layout)
    }

    pub(crate) unsafe fn deallocate(heap: &mut Peer, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { heap.deallocate(block, layout.align()) }
    }

    pub(crate) unsafe fn resize(heap: &mut Peer, block: NonNull<u8>, _: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: guaranteed by the caller; the alignments are the same.
        unsafe { heap.reallocate(block, new) }
    }
}

#[cfg(feature = "talc")]
mod peer {
    use core::alloc::Layout;
    use core::ptr::NonNull;

    use talc::DefaultBinning;
    use talc::source::Manual;

    /// talc links `alloc`, which needs a global allocator. Nothing allocates from it.
    struct Nothing;

    // SAFETY: it returns no block.
    unsafe impl core::alloc::GlobalAlloc for Nothing {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            core::ptr::null_mut()
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    #[global_allocator]
    static NOTHING: Nothing = Nothing;

    /// talc without a lock.
    pub(crate) type Peer = talc::base::Talc<Manual, DefaultBinning>;

    pub(crate) unsafe fn new(memory: NonNull<[u8]>) -> Option<Peer> {
        let mut heap = Peer::new(Manual);
        // SAFETY: guaranteed by the caller.
        unsafe { heap.claim(memory.cast().as_ptr(), memory.len()) }?;
        Some(heap)
    }

    pub(crate) fn allocate(heap: &mut Peer, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the traces have no layout of size zero.
        unsafe { heap.allocate(layout) }
    }

    pub(crate) unsafe fn deallocate(heap: &mut Peer, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { heap.deallocate(block.as_ptr(), layout) }
    }

    /// Does the same as the global allocator of talc.
    pub(crate) unsafe fn resize(heap: &mut Peer, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if heap.try_realloc_in_place(block.as_ptr(), old, new.size()) {
                Some(block)
            } else {
                super::moved(heap, block, old, new)
            }
        }
    }
}

#[cfg(feature = "buddy_system_allocator")]
mod peer {
    use core::alloc::Layout;
    use core::ptr::NonNull;

    pub(crate) use super::moved as resize;
    /// Blocks of up to 1 MiB.
    pub(crate) type Peer = buddy_system_allocator::Heap<21>;

    pub(crate) unsafe fn new(memory: NonNull<[u8]>) -> Option<Peer> {
        let mut heap = Peer::empty();
        // SAFETY: guaranteed by the caller.
        unsafe { heap.init(memory.cast::<u8>().as_ptr().expose_provenance(), memory.len()) };
        Some(heap)
    }

    pub(crate) fn allocate(heap: &mut Peer, layout: Layout) -> Option<NonNull<u8>> {
        heap.alloc(layout).ok()
    }

    pub(crate) unsafe fn deallocate(heap: &mut Peer, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { heap.dealloc(block, layout) }
    }
}

#[cfg(feature = "size_classes")]
mod peer {
    use core::alloc::Layout;
    use core::mem::MaybeUninit;
    use core::ptr::NonNull;

    use hpalloc::{Arena, Borrowed, SizeClasses};

    pub(crate) type Peer = SizeClasses<Arena<Borrowed<'static>>>;

    pub(crate) unsafe fn new(memory: NonNull<[u8]>) -> Option<Peer> {
        let (start, len) = (memory.cast::<MaybeUninit<u8>>(), memory.len());
        // SAFETY: guaranteed by the caller; `Heap` keeps the lifetime.
        let memory = unsafe { NonNull::slice_from_raw_parts(start, len).as_mut() };
        Arena::from_uninit_trimmed(memory).ok().map(SizeClasses::new)
    }

    pub(crate) fn allocate(heap: &mut Peer, layout: Layout) -> Option<NonNull<u8>> {
        heap.allocate(layout)
    }

    pub(crate) unsafe fn deallocate(heap: &mut Peer, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { heap.deallocate(block, layout) }
    }

    pub(crate) unsafe fn resize(heap: &mut Peer, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: guaranteed by the caller; the comparison selects the function for the
        // sizes.
        unsafe { if new.size() < old.size() { heap.shrink(block, old, new) } else { heap.grow(block, old, new) } }
    }
}
