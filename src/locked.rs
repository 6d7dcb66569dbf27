use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::{Acquire, Lock, Page, PageSource};

mod heap;
mod pool;

pub use pool::LockedBox;

/// A pool, a heap or an arena with a lock, which threads, cores or interrupts can share.
///
/// ```
/// # #[cfg(feature = "spin")] {
/// use hpalloc::Spin;
///
/// hpalloc::static_pool! { static PACKETS: Pool<[u8; 64], 16, Spin>; }
///
/// let packet = PACKETS.alloc([0; 64])?;
/// // The box can be dropped on any thread: it acquires the lock to return its block.
/// std::thread::spawn(move || drop(packet)).join().unwrap();
/// assert_eq!(PACKETS.available(), 16);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// [`static_pool!`](crate::static_pool) and [`static_heap!`](crate::static_heap) declare
/// a `Locked` pool or heap in a `static`, together with its memory. The available locks
/// are listed at [`Lock`].
///
/// # One arena, a pool on each core
///
/// If only the arena is locked, each core or thread allocates and frees blocks in its own
/// pool, without a lock or an atomic. The lock is acquired only when a pool needs a page:
///
/// ```
/// # #[cfg(all(feature = "spin", feature = "std", not(hpalloc_hardened)))] {
/// use hpalloc::{Arena, Boxed, FixedBlock, Locked, Spin};
///
/// let arena = Arena::from_region(Boxed::new(1 << 20)?)?;
/// let arena: Locked<_, Spin> = Locked::new(arena);
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let pool = FixedBlock::new(&arena, 64).unwrap();
///             assert!((0..1000).all(|_| pool.allocate().is_some()));
///         });
///     }
/// });
/// assert_eq!(arena.with(|arena| arena.pages_allocated()), 4 * 16);
/// # }
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
///
/// # Shared references only
///
/// A holder of the lock gets a shared reference. With a mutable one, it could reset the
/// arena or replace the pool while its blocks are in use:
///
/// ```compile_fail,E0596
/// use hpalloc::{Arena, Locked, Lock, RawRegion};
///
/// fn reset<M: Lock>(arena: &Locked<Arena<RawRegion>, M>) {
///     arena.with(|arena| arena.reset());
/// }
/// ```
///
/// The owner of the `Locked` gets a mutable reference or the value without waiting for
/// the lock: see [`get_mut`](Self::get_mut) and [`into_inner`](Self::into_inner).
pub struct Locked<T, M> {
    lock: M,
    /// *Invariant (Held):* it is accessed only by the holder of the lock, or by the owner
    /// of the `Locked`.
    value: UnsafeCell<T>,
}

// SAFETY: by Held, one holder at a time uses the value. It is `Send`, so the holder may
// be on any thread.
unsafe impl<T: Send, M: Sync> Sync for Locked<T, M> {}

// These assertions are about locks that are `Sync`, as all locks of this crate are.
const _: () = {
    use crate::{Arena, FixedBlock, RawRegion};
    use static_assertions::{assert_impl_all, assert_not_impl_any};

    assert_impl_all!(Locked<FixedBlock<Arena<RawRegion>>, ()>: Send, Sync);
    assert_not_impl_any!(Locked<*mut u8, ()>: Send, Sync);

    // A guard gives access to a `&T`. The guard is `Sync` if that reference is. It is
    // `Send` if the reference is and any thread may release the lock.
    struct Lock<Marker>(core::marker::PhantomData<Marker>);
    // SAFETY: this lock is never used.
    unsafe impl<Marker> crate::Lock for Lock<Marker> {
        const UNLOCKED: Self = Self(core::marker::PhantomData);
        fn with<R>(&self, f: impl FnOnce() -> R) -> R {
            f()
        }
        fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
            Some(f())
        }
    }
    // SAFETY: this lock is never used.
    unsafe impl<Marker> crate::Acquire for Lock<Marker> {
        type Marker = Marker;
        fn acquire(&self) {}
        fn try_acquire(&self) -> bool {
            true
        }
        unsafe fn release(&self) {}
    }
    // SAFETY: this lock is never used.
    unsafe impl<Marker> Sync for Lock<Marker> {}

    assert_impl_all!(LockedGuard<'static, u8, Lock<()>>: Send, Sync);
    assert_not_impl_any!(LockedGuard<'static, u8, Lock<*mut u8>>: Send);
    assert_not_impl_any!(LockedGuard<'static, core::cell::Cell<u8>, Lock<()>>: Send, Sync);
    assert_not_impl_any!(LockedGuard<'static, FixedBlock<Arena<RawRegion>>, Lock<()>>: Send, Sync, Clone);
};

impl<T, M: Lock> Locked<T, M> {
    /// Creates a `Locked` with the given value. Its lock is not held.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Locked, Spin};
    ///
    /// static SEVEN: Locked<u32, Spin> = Locked::new(7);
    /// assert_eq!(SEVEN.with(|seven| *seven), 7);
    /// # }
    /// ```
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { lock: M::UNLOCKED, value: UnsafeCell::new(value) }
    }

    /// Acquires the lock, calls `f` with the value, and releases the lock.
    ///
    /// # Time complexity
    ///
    /// That of `f`, plus waiting for other holders of the lock.
    ///
    /// # Panics
    ///
    /// If `f` panics, after the lock is released. Otherwise only if acquiring the lock
    /// panics.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// # use hpalloc::{Arena, FixedBlock, Locked, Page, Spin};
    /// # let mut memory = [const { Page::new() }; 1];
    /// # let arena = Arena::from_pages(&mut memory).unwrap();
    /// # let pool = FixedBlock::new(arena, 64).unwrap();
    /// let pool: Locked<_, Spin> = Locked::new(pool);
    /// let block = pool.with(|pool| pool.allocate());
    /// assert!(block.is_some());
    /// # }
    /// ```
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        self.lock.with(|| {
            // SAFETY: by Held and the contract of `Lock`, the only other references to
            // the value are shared ones in callers of this very call, which wait for it
            // to return.
            f(unsafe { &*self.value.get() })
        })
    }

    /// Calls `f` with the value, while holding the lock, if the lock is free. Otherwise
    /// returns `None` immediately, without calling `f`.
    ///
    /// With a `CriticalSection`, this always succeeds.
    ///
    /// # Time complexity
    ///
    /// That of `f`.
    ///
    /// # Panics
    ///
    /// If `f` panics, after the lock is released. Otherwise only if acquiring the lock
    /// panics.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// let seven = hpalloc::Locked::<_, hpalloc::Spin>::new(7);
    /// assert_eq!(seven.try_with(|seven| *seven), Some(7));
    /// assert_eq!(seven.with(|_| seven.try_with(|seven| *seven)), None);
    /// # }
    /// ```
    #[inline]
    pub fn try_with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.lock.try_with(|| {
            // SAFETY: as in `with`.
            f(unsafe { &*self.value.get() })
        })
    }
}

impl<T, M: Acquire> Locked<T, M> {
    /// Acquires the lock, and holds it until the returned guard is dropped.
    ///
    /// A `CriticalSection` has no guard: use [`with`](Self::with).
    ///
    /// Constant time, plus waiting for other holders of the lock. Never panics, unless
    /// the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// # use hpalloc::{Arena, FixedBlock, Locked, Page, Spin};
    /// # let mut memory = [const { Page::new() }; 1];
    /// # let arena = Arena::from_pages(&mut memory).unwrap();
    /// # let pool = FixedBlock::new(arena, 64).unwrap();
    /// let pool: Locked<_, Spin> = Locked::new(pool);
    /// let guard = pool.lock();
    /// let block = guard.allocate().unwrap();
    /// // SAFETY: the block came from this pool and is no longer used.
    /// unsafe { guard.deallocate(block) };
    /// # }
    /// ```
    ///
    /// The guard gives access to a shared reference only:
    ///
    /// ```compile_fail,E0596
    /// use hpalloc::{Arena, Locked, RawRegion, Spin};
    ///
    /// fn reset(arena: &Locked<Arena<RawRegion>, Spin>) {
    ///     arena.lock().reset();
    /// }
    /// ```
    #[inline]
    pub fn lock(&self) -> LockedGuard<'_, T, M> {
        self.lock.acquire();
        LockedGuard { locked: self, value: PhantomData, lock: PhantomData }
    }

    /// Acquires the lock if it is free, and returns the guard. Returns `None` if the lock
    /// is held.
    ///
    /// Constant time. Never panics, unless the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// let seven = hpalloc::Locked::<_, hpalloc::Spin>::new(7);
    /// let guard = seven.lock();
    /// assert!(seven.try_lock().is_none());
    /// drop(guard);
    /// assert_eq!(seven.try_lock().as_deref(), Some(&7));
    /// # }
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Option<LockedGuard<'_, T, M>> {
        self.lock.try_acquire().then(|| LockedGuard { locked: self, value: PhantomData, lock: PhantomData })
    }
}

/// A guard that holds the lock of a [`Locked`] and derefs to its value. Dropping the
/// guard releases the lock.
///
/// Returned by [`Locked::lock`], whose documentation has an example.
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockedGuard<'l, T, M: Acquire> {
    /// *Invariant (Locked):* this guard holds its lock.
    locked: &'l Locked<T, M>,
    /// A guard gives access to a `&T`, so it is `Send` only if that is.
    value: PhantomData<&'l T>,
    lock: PhantomData<M::Marker>,
}

impl<T, M: Acquire> Deref for LockedGuard<'_, T, M> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by Locked and Held, nothing else uses the value while the guard exists.
        unsafe { &*self.locked.value.get() }
    }
}

impl<T, M: Acquire> Drop for LockedGuard<'_, T, M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by Locked, this guard holds the lock. It borrows the lock, so the lock
        // wasn't moved or borrowed mutably. If the marker isn't `Send`, the guard is
        // still on the thread that acquired the lock.
        unsafe { self.locked.lock.release() };
    }
}

impl<T: fmt::Debug, M: Acquire> fmt::Debug for LockedGuard<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T, M> Locked<T, M> {
    /// Returns a mutable reference to the value. No lock is acquired, because the
    /// compiler guarantees that nothing else uses the `Locked`.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Spin};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let mut arena: Locked<_, Spin> = Locked::new(Arena::from_pages(&mut memory)?);
    /// arena.with(|arena| arena.alloc_page().is_some());
    /// arena.get_mut().reset();
    /// # }
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub const fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Consumes the `Locked` and returns its value.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// let locked = hpalloc::Locked::<_, hpalloc::Spin>::new(7);
    /// assert_eq!(locked.into_inner(), 7);
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

/// A pool over a locked source acquires the lock only to take pages.
///
/// Each core or thread can have such a pool. A block may be freed to a pool other than
/// its own if both have the same block size and the same source: see
/// [`FixedBlock::deallocate`](crate::FixedBlock::deallocate). The pool to which it was
/// freed hands it out again. So the pool that carved it may need another page although
/// blocks are free elsewhere. `peak_blocks` then counts the blocks that a pool carved,
/// and `free_blocks` those in its own free list.
///
/// If blocks always travel in one direction, the pool at one end carves and the pool at
/// the other end accumulates free blocks until no page is left. In that case, share one
/// pool instead.
///
/// With `--cfg hpalloc_hardened`, pools that free each other's blocks must be [members of
/// one family](crate::FixedBlock::in_family).
// SAFETY: the pages come from a source that can't be borrowed mutably through the lock
// and that serves one call at a time.
unsafe impl<P: PageSource, M: Lock> PageSource for Locked<P, M> {
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.with(|source| source.take_pages(count))
    }

    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        self.with(|source| source.take_zeroed_pages(count))
    }
}

impl<T, M> fmt::Debug for Locked<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Showing the value would mean waiting for the lock, which the caller may hold.
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<T, M> defmt::Format for Locked<T, M> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Locked {{ .. }}");
    }
}
