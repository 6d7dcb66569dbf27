//! The traits through which programs and collections allocate.

use core::alloc::{GlobalAlloc, Layout};
use core::mem;
use core::ptr::{NonNull, null_mut};

use crate::by_layout::{ByLayout, Resized, Zeroed, allocate_zeroed, deallocate, resize};
use crate::hardened::{MisuseError, reported};
use crate::{Heap, Lock, Locked, PageSource, SizeClasses};

#[cfg(feature = "allocator-api2")]
mod api2;

/// The lock is acquired for each operation. It isn't held while contents are copied to
/// another block or zeros are written, unless the heap does that itself.
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
        // SAFETY: the caller upholds the same contract.
        self.with(|heap| unsafe { heap.give_back(block, layout) })
    }

    #[inline]
    unsafe fn check(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        // In a build without hardening there is nothing to check, so the lock isn't
        // acquired.
        if !cfg!(hpalloc_hardened) {
            return Ok(());
        }
        // SAFETY: the caller upholds the same contract.
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
        // SAFETY: the caller upholds the same contract.
        self.with(|heap| unsafe { heap.resize(block, old, new) })
    }
}

/// Makes locked size classes a global allocator: `Box`, `Vec`, `String` and everything
/// else that allocates uses their blocks.
///
/// ```
/// # #[cfg(all(feature = "critical-section", feature = "static-buffer"))] mod firmware {
/// use hpalloc::{Arena, CriticalSection, Lazy, Locked, SizeClasses, StaticRegion};
///
/// hpalloc::static_buffer! { static MEMORY: StaticBuffer<64>; }
///
/// #[global_allocator]
/// static HEAP: Locked<SizeClasses<Lazy<StaticRegion>>, CriticalSection> =
///     Locked::new(SizeClasses::new(Lazy::new(|| {
///         MEMORY.claim().and_then(Arena::from_region)
///     })));
/// # }
/// ```
///
/// If there is no memory for a request, or its alignment is above
/// [`PAGE_SIZE`](crate::PAGE_SIZE), the returned pointer is null. Most collections then
/// return an error or abort the program. The allocator remains usable. Shrinking a block
/// can fail as well: `shrink_to_fit` aborts if no block of the smaller class is
/// available.
///
/// # Code that must not allocate
///
/// - **The page source** must not allocate from the heap that it serves. So don't use
///   `Boxed`, whose pages come from the global allocator. Use a mapping, a static buffer
///   or an address range.
/// - **Code that runs while the heap is locked** by [`with`](Locked::with) must not
///   allocate: a spin lock would wait forever. Printing may allocate, so read the usage
///   of a heap first and print it afterwards: see [`SizeClasses::usage`].
/// - **The lock** must not allocate, and must be held while the process forks: see
///   [`Lock`]. On a host, use `OsLock`. The locks of the crate `parking_lot` allocate
///   when threads contend for them.
///
/// # Panics
///
/// If the page source, the lock or the misuse hook panics, the program aborts, because a
/// global allocator must not unwind. It can also hang before it aborts, because a panic
/// allocates memory for its message and its backtrace:
///
/// - While the heap is locked, this allocation waits for the lock forever. So the
///   function that creates the arena of a `Lazy` must return its error instead of
///   unwrapping.
/// - If there is no memory for a backtrace, the standard library waits for itself
///   forever. On a host, turn on the feature `std`, which aborts without a second panic,
///   or install [a hook](crate::guide::hosts#testing-code-for-chips) that aborts.
///
/// # Time complexity
///
/// That of [`SizeClasses`], plus waiting for the lock. `realloc` to another class also
/// copies the contents. `alloc_zeroed` also writes zeros, unless the memory is known to
/// be zero: see [`SizeClasses::allocate_zeroed`]. Both happen without holding the lock.
// SAFETY: a block is valid until it is deallocated or the heap is dropped, and a global
// allocator is never dropped. A block has the size and the alignment of its layout. No
// method unwinds.
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
            // SAFETY: the caller upholds the same contract.
            without_unwinding(|| unsafe { deallocate(self, block, layout) });
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, old: Layout, size: usize) -> *mut u8 {
        let (Some(block), Ok(new)) = (NonNull::new(block), Layout::from_size_align(size, old.align())) else {
            return null_mut();
        };
        // SAFETY: the caller upholds the same contract.
        pointer(without_unwinding(|| unsafe { resize(self, block, old, new) }).map(NonNull::cast))
    }
}

/// Makes a locked heap a global allocator: `Box`, `Vec`, `String` and everything else
/// that allocates uses its memory.
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
/// If there is no memory for a request, the returned pointer is null. Most collections
/// then return an error or abort the program. Shrinking a block never fails.
///
/// Two sections of the documentation for locked [`SizeClasses`] apply here as well: the
/// code that must not allocate, and panics of the page source, the lock or the misuse
/// hook.
///
/// # Time complexity
///
/// That of [`Heap`], plus waiting for the lock, which is held while a block is moved.
// SAFETY: a block is valid until it is deallocated or the heap is dropped, and a global
// allocator is never dropped. A block has the size and the alignment of its layout. No
// method unwinds.
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
            // SAFETY: the caller upholds the same contract.
            without_unwinding(|| unsafe { deallocate(self, block, layout) });
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, old: Layout, size: usize) -> *mut u8 {
        let (Some(block), Ok(new)) = (NonNull::new(block), Layout::from_size_align(size, old.align())) else {
            return null_mut();
        };
        // SAFETY: the caller upholds the same contract.
        pointer(without_unwinding(|| unsafe { resize(self, block, old, new) }).map(NonNull::cast))
    }
}

/// Calls `operation`, and aborts if it panics. The page source, the function of a `Lazy`,
/// the lock and the misuse hook are the user's code and may panic.
#[inline]
fn without_unwinding<T>(operation: impl FnOnce() -> T) -> T {
    struct Abort;

    impl Drop for Abort {
        fn drop(&mut self) {
            #[cfg(feature = "std")]
            std::process::abort();
            // A second panic during unwinding aborts.
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
