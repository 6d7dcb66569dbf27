use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::NonNull;

use static_assertions::{assert_impl_all, assert_not_impl_any};

#[cfg(feature = "critical-section")]
use crate::CriticalSection;
use crate::block_size::GUARD_BYTES;
use crate::seal::Seal;
use crate::{BlockSize, Heap, HeapError, Locked, MAX_ARENA_SIZE, Page, PageSource, Pool, PoolBox};

mod declare;

/// A pool that [`static_pool!`](crate::static_pool) declares. `M` is its lock, by default
/// a critical section.
#[cfg(feature = "critical-section")]
pub type StaticPool<T, M = CriticalSection> = Locked<Pool<T, StaticMemory>, M>;
/// A pool that [`static_pool!`](crate::static_pool) declares, with the lock `M`.
#[cfg(not(feature = "critical-section"))]
pub type StaticPool<T, M> = Locked<Pool<T, StaticMemory>, M>;

/// A box of a [`StaticPool`]: a short name for the type of a field or of a queue's items.
///
/// ```
/// # #[cfg(feature = "critical-section")] {
/// use std::collections::VecDeque;
/// use hpalloc::StaticBox;
///
/// hpalloc::static_pool! { static PACKETS: Pool<[u8; 64], 8>; }
///
/// let mut queue: VecDeque<StaticBox<[u8; 64]>> = VecDeque::new();
/// queue.push_back(PACKETS.alloc([0; 64])?);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[cfg(feature = "critical-section")]
pub type StaticBox<T, M = CriticalSection> = PoolBox<T, &'static StaticPool<T, M>>;
/// A box of a [`StaticPool`]: a short name for the type of a field or of a queue's items.
#[cfg(not(feature = "critical-section"))]
pub type StaticBox<T, M> = PoolBox<T, &'static StaticPool<T, M>>;

/// A heap that [`static_heap!`](crate::static_heap) declares. `M` is its lock, by default
/// a critical section.
#[cfg(feature = "critical-section")]
pub type StaticHeap<M = CriticalSection> = Locked<Heap<StaticMemory>, M>;
/// A heap that [`static_heap!`](crate::static_heap) declares, with the lock `M`.
#[cfg(not(feature = "critical-section"))]
pub type StaticHeap<M> = Locked<Heap<StaticMemory>, M>;

/// The memory of a [`StaticPool`] or a [`StaticHeap`]: one slice of any size, and no
/// further pages.
///
/// *Invariant (Slice):* the memory is that of a `static`. No other `StaticMemory` has it,
/// and nothing else uses it. For a pool, it is a whole number of blocks and aligned for
/// them. For a heap, its size is within the bounds of a heap's size.
pub struct StaticMemory {
    start: NonNull<u8>,
    /// The length in bytes; zero once the pool or the heap has taken the memory.
    len: Cell<usize>,
}

assert_not_impl_any!(StaticMemory: Sync, Clone);
assert_impl_all!(Pool<*const u8, StaticMemory>: Send);

// SAFETY: by Slice, the memory belongs to this value alone, and memory is not tied to a
// thread.
unsafe impl Send for StaticMemory {}

// SAFETY: this source never returns a page.
unsafe impl PageSource for StaticMemory {
    #[inline]
    fn take_pages(&self, _: usize) -> Option<NonNull<Page>> {
        None
    }

    #[inline]
    fn take_slice(&self, _: Seal) -> Option<NonNull<[u8]>> {
        let len = self.len.take();
        (len > 0).then(|| NonNull::slice_from_raw_parts(self.start, len))
    }

    #[inline]
    fn align_limit(&self, _: Seal) -> usize {
        let address = self.start.addr().get();
        address & address.wrapping_neg()
    }
}

impl StaticMemory {
    /// Creates the value from the pointer to the contents of a `static`.
    const fn new<T>(memory: *mut T) -> Self {
        // SAFETY: a pointer to a `static` is never null.
        Self { start: unsafe { NonNull::new_unchecked(memory) }.cast(), len: Cell::new(size_of::<T>()) }
    }
}

impl fmt::Debug for StaticMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticMemory").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for StaticMemory {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "StaticMemory");
    }
}

/// The memory of a [`StaticPool`] of `N` values. [`static_pool!`](crate::static_pool)
/// declares a separate `static` of this type.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "only the macro uses it")]
pub struct PoolMemory<T, const N: usize>(UnsafeCell<[MaybeUninit<Slot<T>>; N]>);

/// The memory of one block, including the words that guard its end in a hardened build.
#[repr(C)]
struct Slot<T> {
    value: Value<T>,
    guard: [usize; GUARD_BYTES / size_of::<usize>()],
}

/// The contents of a block: a value while it is live, a link while it is free.
#[repr(C)]
union Value<T> {
    _value: ManuallyDrop<T>,
    _link: *mut u8,
}

// SAFETY: only the one pool over this memory accesses it, and that pool has a lock.
unsafe impl<T, const N: usize> Sync for PoolMemory<T, N> {}

impl<T, const N: usize> PoolMemory<T, N> {
    const CHECKED: () = {
        assert!(N > 0, "a static pool needs room for at least one value");
        assert!(
            N <= MAX_ARENA_SIZE / size_of::<Slot<T>>(),
            "a static pool can't be larger than 256 MiB (MAX_ARENA_SIZE): declare several pools, of fewer values each"
        );
        assert!(size_of::<Slot<T>>() == BlockSize::packed::<T>().stride(), "a slot must have the size of a block");
    };

    /// Creates the memory, uninitialized. Constant time. Never panics.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "only the macro creates one")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([const { MaybeUninit::uninit() }; N]))
    }

    /// Creates the pool: [`static_pool!`](crate::static_pool) expands to a call of this
    /// function. Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// No other pool is created over this memory.
    #[must_use]
    pub const unsafe fn pool<M: crate::Lock>(&'static self) -> StaticPool<T, M> {
        const { Self::CHECKED };
        Locked::new(Pool::packed(StaticMemory::new(self.0.get())))
    }
}

/// The memory of a [`StaticHeap`] of `BYTES` bytes. [`static_heap!`](crate::static_heap)
/// declares a separate `static` of this type.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "only the macro uses it")]
#[repr(C, align(8))]
pub struct HeapMemory<const BYTES: usize>(UnsafeCell<[MaybeUninit<u8>; BYTES]>);

// SAFETY: only the one heap over this memory accesses it, and that heap has a lock.
unsafe impl<const BYTES: usize> Sync for HeapMemory<BYTES> {}

impl<const BYTES: usize> HeapMemory<BYTES> {
    /// Creates the memory, uninitialized. Constant time. Never panics.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "only the macro creates one")]
    pub const fn new() -> Self {
        const {
            assert!(BYTES >= HeapError::MIN, "a static heap needs at least 256 bytes (HeapError::MIN)");
            assert!(BYTES <= MAX_ARENA_SIZE, "a static heap can't be larger than 256 MiB (MAX_ARENA_SIZE)");
        }
        Self(UnsafeCell::new([const { MaybeUninit::uninit() }; BYTES]))
    }

    /// Creates the heap: [`static_heap!`](crate::static_heap) expands to a call of this
    /// function. Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// No other heap is created over this memory.
    #[must_use]
    pub const unsafe fn heap<M: crate::Lock>(&'static self) -> StaticHeap<M> {
        Locked::new(Heap::new(StaticMemory::new(self.0.get())))
    }
}
