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

/// A pool that [`static_pool!`](crate::static_pool) declares, behind a critical section or the lock `M`.
#[cfg(feature = "critical-section")]
pub type StaticPool<T, M = CriticalSection> = Locked<Pool<T, StaticMemory>, M>;
/// A pool that [`static_pool!`](crate::static_pool) declares, behind the lock `M`.
#[cfg(not(feature = "critical-section"))]
pub type StaticPool<T, M> = Locked<Pool<T, StaticMemory>, M>;

/// A box of a [`StaticPool`], for a struct or a queue to name.
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
/// A box of a [`StaticPool`], for a struct or a queue to name.
#[cfg(not(feature = "critical-section"))]
pub type StaticBox<T, M> = PoolBox<T, &'static StaticPool<T, M>>;

/// A heap that [`static_heap!`](crate::static_heap) declares, behind a critical section or the lock `M`.
#[cfg(feature = "critical-section")]
pub type StaticHeap<M = CriticalSection> = Locked<Heap<StaticMemory>, M>;
/// A heap that [`static_heap!`](crate::static_heap) declares, behind the lock `M`.
#[cfg(not(feature = "critical-section"))]
pub type StaticHeap<M> = Locked<Heap<StaticMemory>, M>;

/// The memory of a [`StaticPool`] or a [`StaticHeap`]: one slice of any size, and no pages.
///
/// *Invariant (Slice):* the memory is that of a static, over which no other `StaticMemory` is made, and which nothing else
/// uses. For a pool it is a whole number of blocks, aligned for them; for a heap it is within the bounds of a heap's size.
pub struct StaticMemory {
    start: NonNull<u8>,
    /// Zero once the pool or the heap has the memory.
    len: Cell<usize>,
}

assert_not_impl_any!(StaticMemory: Sync, Clone);
assert_impl_all!(Pool<*const u8, StaticMemory>: Send);

// SAFETY: by Slice, the memory is its owner's alone, and memory has no tie to a thread.
unsafe impl Send for StaticMemory {}

// SAFETY: no pages are returned.
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
    /// The memory of a static, by the pointer of its cell.
    const fn new<T>(memory: *mut T) -> Self {
        // SAFETY: a pointer into a static isn't null.
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

/// The memory of a [`StaticPool`] of `N` values: what [`static_pool!`](crate::static_pool) puts into a static of its own.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "the macro's alone")]
pub struct PoolMemory<T, const N: usize>(UnsafeCell<[MaybeUninit<Slot<T>>; N]>);

/// What a block takes: with what guards its end in a hardened program.
#[repr(C)]
struct Slot<T> {
    value: Value<T>,
    guard: [usize; GUARD_BYTES / size_of::<usize>()],
}

/// A value, or the link of a free block.
#[repr(C)]
union Value<T> {
    _value: ManuallyDrop<T>,
    _link: *mut u8,
}

// SAFETY: the memory is reached only by the one pool over it, which is locked.
unsafe impl<T, const N: usize> Sync for PoolMemory<T, N> {}

impl<T, const N: usize> PoolMemory<T, N> {
    const CHECKED: () = {
        assert!(N > 0, "a static pool needs room for at least one value");
        assert!(
            N <= MAX_ARENA_SIZE / size_of::<Slot<T>>(),
            "a static pool can't be larger than 256 MiB (MAX_ARENA_SIZE): declare several, of fewer values each"
        );
        assert!(size_of::<Slot<T>>() == BlockSize::packed::<T>().stride(), "a slot is as large as a block");
    };

    /// Memory that holds nothing yet. Constant time. Never panics.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "the macro alone makes one")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([const { MaybeUninit::uninit() }; N]))
    }

    /// What [`static_pool!`](crate::static_pool) expands to. Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// No other pool is made over this memory.
    #[must_use]
    pub const unsafe fn pool<M: crate::Lock>(&'static self) -> StaticPool<T, M> {
        const { Self::CHECKED };
        Locked::new(Pool::packed(StaticMemory::new(self.0.get())))
    }
}

/// The memory of a [`StaticHeap`] of `BYTES` bytes: what [`static_heap!`](crate::static_heap) puts into a static of its own.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "the macro's alone")]
#[repr(C, align(8))]
pub struct HeapMemory<const BYTES: usize>(UnsafeCell<[MaybeUninit<u8>; BYTES]>);

// SAFETY: the memory is reached only by the one heap over it, which is locked.
unsafe impl<const BYTES: usize> Sync for HeapMemory<BYTES> {}

impl<const BYTES: usize> HeapMemory<BYTES> {
    /// Memory that holds nothing yet. Constant time. Never panics.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "the macro alone makes one")]
    pub const fn new() -> Self {
        const {
            assert!(BYTES >= HeapError::MIN, "a static heap needs at least 256 bytes (HeapError::MIN)");
            assert!(BYTES <= MAX_ARENA_SIZE, "a static heap can't be larger than 256 MiB (MAX_ARENA_SIZE)");
        }
        Self(UnsafeCell::new([const { MaybeUninit::uninit() }; BYTES]))
    }

    /// What [`static_heap!`](crate::static_heap) expands to. Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// No other heap is made over this memory.
    #[must_use]
    pub const unsafe fn heap<M: crate::Lock>(&'static self) -> StaticHeap<M> {
        Locked::new(Heap::new(StaticMemory::new(self.0.get())))
    }
}
