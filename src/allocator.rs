//! The traits through which programs and collections allocate.

use core::alloc::{GlobalAlloc, Layout};
use core::mem;
use core::ptr::{NonNull, null_mut};

use crate::by_layout::{ByLayout, Resized, Zeroed, allocate_zeroed, deallocate, resize};
use crate::hardened::{MisuseError, reported};
use crate::{Heap, Lock, Locked, PageSource, SizeClasses};

#[cfg(feature = "allocator-api2")]
mod api2;

/// The lock is taken for each operation, but not while what is in a block is moved to
/// another or zeros are written, unless the heap does that itself.
impl<H: ByLayout, M: Lock> ByLayout for Locked<H, M> {
    const RESIZES: bool = H::RESIZES;

    #[inline]
    fn take(&self, layout: Layout) -> Result<Option<NonNull<[u8]>>, MisuseError> {
        self.with(|heap| heap.take(layout))
    }

    #[inline]
    fn take_zeroed(&self, layout: Layout) -> Zeroed {
        self.with(|heap| heap.take_zeroed(layout))
    }

    #[inline]
    unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller's promise is the one that is asked for.
        self.with(|heap| unsafe { heap.give_back(block, layout) })
    }

    #[inline]
    unsafe fn check(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        // Otherwise nothing is checked, and no lock taken.
        if !cfg!(hpalloc_hardened) {
            return Ok(());
        }
        // SAFETY: the caller's promise is the one that is asked for.
        self.with(|heap| unsafe { heap.check(block, layout) })
    }

    #[inline]
    fn in_place(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<[u8]>> {
        self.with(|heap| heap.in_place(block, old, new))
    }

    #[inline]
    unsafe fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Resized {
        if !H::RESIZES {
            return Ok(None);
        }
        // SAFETY: the caller's promise is the one that is asked for.
        self.with(|heap| unsafe { heap.resize(block, old, new) })
    }
}

/// A global allocator, in one line: `Box`, `Vec`, `String` and all else that allocates is in its blocks.
///
/// ```
/// # #[cfg(all(feature = "critical-section", feature = "static-buffer"))] mod firmware {
/// use hpalloc::{Arena, CriticalSection, Lazy, Locked, SizeClasses, StaticRegion};
///
/// hpalloc::static_buffer! { static MEMORY: StaticBuffer<64>; }
///
/// #[global_allocator]
/// static HEAP: Locked<SizeClasses<Lazy<StaticRegion>>, CriticalSection> =
///     Locked::new(SizeClasses::new(Lazy::new(|| MEMORY.claim().and_then(Arena::from_region))));
/// # }
/// ```
///
/// Where there is no memory for a request, or none that is aligned to more than [`PAGE_SIZE`](crate::PAGE_SIZE), the pointer
/// is null, which most collections make an error or an abort of. Everything else goes on. That holds for making a block smaller
/// too: where there is no block of the smaller class, `shrink_to_fit` aborts.
///
/// The source must not allocate from the heap that asks it: so not `Boxed`, whose pages come from the global allocator, but a
/// mapping, a static buffer or an address range. Nor must anything that is done while the heap is locked by
/// [`with`](Locked::with): a spin lock waits forever then. Printing may allocate, so what a heap says of itself is taken
/// first and printed afterwards, see [`SizeClasses::usage`].
///
/// **The lock must not allocate**, and must be held while the process forks: see [`Lock`]. On a host
/// use `OsLock`, not a lock of the crate `parking_lot`, which allocates when threads contend for it.
///
/// If the source, the lock or the hook for misuse panics, the program aborts: a global allocator must not unwind. But it may
/// not come to that, because a panic allocates, for its message and its backtrace. While the heap is locked, it waits for the
/// lock; so the maker of a `Lazy` returns its error and unwraps nothing. And if a backtrace finds no memory, the standard library
/// waits for itself; so on a host have the feature `std` on, with which a second panic isn't needed to abort, or a
/// [hook](crate::guide::hosts#testing-code-for-chips) that aborts.
///
/// # Time complexity
///
/// That of [`SizeClasses`], and of waiting for the lock. `realloc` to another class also
/// copies, without the lock. `alloc_zeroed` writes zeros, without the lock too, unless
/// the memory is known to be zero: see [`SizeClasses::allocate_zeroed`].
// SAFETY: a block is valid until it is deallocated or the heap goes, which as a global allocator it doesn't. It has the size
// and the alignment of the layout. Nothing unwinds out of here.
unsafe impl<P: PageSource, M: Lock, const N: usize> GlobalAlloc for Locked<SizeClasses<P, N>, M> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pointer(without_unwinding(|| reported(|| self.with(|heap| heap.try_allocate(layout)))))
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        pointer(without_unwinding(|| allocate_zeroed(self, layout)).map(NonNull::cast))
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller's promise is the one that is asked for.
            without_unwinding(|| unsafe { deallocate(self, block, layout) });
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, old: Layout, size: usize) -> *mut u8 {
        let (Some(block), Ok(new)) = (NonNull::new(block), Layout::from_size_align(size, old.align())) else {
            return null_mut();
        };
        // SAFETY: the caller's promise is the one that is asked for.
        pointer(without_unwinding(|| unsafe { resize(self, block, old, new) }).map(NonNull::cast))
    }
}

/// A global allocator, in one line, for whatever the program allocates:
///
/// ```
/// # #[cfg(feature = "critical-section")] mod firmware {
/// hpalloc::static_heap! {
///     #[global_allocator]
///     static HEAP: Heap<{ 16 * 1024 }>;
/// }
/// # }
/// ```
///
/// If no memory is left for a request, the pointer is null, which most collections make an error or an abort of. Making a block
/// smaller never fails. What is said of the source, the lock and panics for a heap of size classes holds here too. The lock is held
/// while a block is moved.
///
/// # Time complexity
///
/// That of [`Heap`], and of waiting for the lock.
// SAFETY: a block is valid until it is deallocated or the heap goes, which as a global allocator it doesn't. It has the size
// and the alignment of the layout. Nothing unwinds out of here.
unsafe impl<P: PageSource, M: Lock> GlobalAlloc for Locked<Heap<P>, M> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pointer(without_unwinding(|| reported(|| self.with(|heap| heap.try_allocate(layout)))))
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        pointer(without_unwinding(|| allocate_zeroed(self, layout)).map(NonNull::cast))
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller's promise is the one that is asked for.
            without_unwinding(|| unsafe { deallocate(self, block, layout) });
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, old: Layout, size: usize) -> *mut u8 {
        let (Some(block), Ok(new)) = (NonNull::new(block), Layout::from_size_align(size, old.align())) else {
            return null_mut();
        };
        // SAFETY: the caller's promise is the one that is asked for.
        pointer(without_unwinding(|| unsafe { resize(self, block, old, new) }).map(NonNull::cast))
    }
}

/// Calls it; where it panics, that aborts. A page source, the maker of a `Lazy`, a lock and a hook are the user's.
#[inline]
fn without_unwinding<T>(operation: impl FnOnce() -> T) -> T {
    struct Abort;

    impl Drop for Abort {
        fn drop(&mut self) {
            #[cfg(feature = "std")]
            std::process::abort();
            // While one panic unwinds, a second one aborts.
            #[cfg(not(feature = "std"))]
            panic!("the global allocator must not unwind");
        }
    }

    let abort = Abort;
    let value = operation();
    mem::forget(abort);
    value
}

fn pointer(block: Option<NonNull<u8>>) -> *mut u8 {
    block.map_or(null_mut(), NonNull::as_ptr)
}
