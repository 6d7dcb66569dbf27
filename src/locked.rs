use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::{Acquire, Lock, Page, PageSource};

mod heap;
mod pool;

pub use pool::LockedBox;

/// A pool, a heap or an arena behind a lock, so that threads, cores or interrupts can share it.
///
/// [`static_pool!`](crate::static_pool) and [`static_heap!`](crate::static_heap) declare one in a `static`, with its memory:
///
/// ```
/// # #[cfg(feature = "spin")] {
/// use hpalloc::Spin;
///
/// hpalloc::static_pool! { static PACKETS: Pool<[u8; 64], 16, Spin>; }
///
/// // A box locks the pool again for the moment in which it returns its block, on whatever thread that is.
/// let packet = PACKETS.alloc([0; 64])?;
/// std::thread::spawn(move || drop(packet)).join().unwrap();
/// assert_eq!(PACKETS.available(), 16);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// And one arena serves a pool on each core. Blocks are allocated and freed there without a lock or an atomic; the lock is
/// taken when a pool needs a page:
///
/// ```
/// # #[cfg(all(feature = "spin", feature = "std", not(hpalloc_hardened)))] {
/// use hpalloc::{Arena, Boxed, FixedBlock, Locked, Spin};
///
/// let arena: Locked<_, Spin> = Locked::new(Arena::from_region(Boxed::new(1 << 20)?)?);
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
/// What is locked is lent by shared reference alone. A mutable one would let a holder reset the arena, or put another pool
/// in the place of this one, while its blocks are in use:
///
/// ```compile_fail,E0596
/// use hpalloc::{Arena, Locked, Lock, RawRegion};
///
/// fn reset<M: Lock>(arena: &Locked<Arena<RawRegion>, M>) {
///     arena.with(|arena| arena.reset());
/// }
/// ```
///
/// Whoever owns the `Locked` can do more: [`get_mut`](Self::get_mut), [`into_inner`](Self::into_inner).
pub struct Locked<T, M> {
    lock: M,
    /// *Invariant (Held):* used by whoever holds the lock, or owns the whole.
    value: UnsafeCell<T>,
}

// SAFETY: by Held, the value is used by one holder at a time, on whatever thread that is.
unsafe impl<T: Send, M: Sync> Sync for Locked<T, M> {}

// Under locks that are `Sync`, as locks are.
const _: () = {
    use crate::{Arena, FixedBlock, RawRegion};
    use static_assertions::{assert_impl_all, assert_not_impl_any};

    assert_impl_all!(Locked<FixedBlock<Arena<RawRegion>>, ()>: Send, Sync);
    assert_not_impl_any!(Locked<*mut u8, ()>: Send, Sync);

    // A guard lends `&T`: it can be sent where that can, if any thread may release the lock, and shared where that can.
    struct Lock<Marker>(core::marker::PhantomData<Marker>);
    // SAFETY: never used.
    unsafe impl<Marker> crate::Lock for Lock<Marker> {
        const UNLOCKED: Self = Self(core::marker::PhantomData);
        fn with<R>(&self, f: impl FnOnce() -> R) -> R {
            f()
        }
        fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
            Some(f())
        }
    }
    // SAFETY: never used.
    unsafe impl<Marker> crate::Acquire for Lock<Marker> {
        type Marker = Marker;
        fn acquire(&self) {}
        fn try_acquire(&self) -> bool {
            true
        }
        unsafe fn release(&self) {}
    }
    // SAFETY: never used.
    unsafe impl<Marker> Sync for Lock<Marker> {}

    assert_impl_all!(LockedGuard<'static, u8, Lock<()>>: Send, Sync);
    assert_not_impl_any!(LockedGuard<'static, u8, Lock<*mut u8>>: Send);
    assert_not_impl_any!(LockedGuard<'static, core::cell::Cell<u8>, Lock<()>>: Send, Sync);
    assert_not_impl_any!(LockedGuard<'static, FixedBlock<Arena<RawRegion>>, Lock<()>>: Send, Sync, Clone);
};

impl<T, M: Lock> Locked<T, M> {
    /// A value behind a lock of its own, which isn't held.
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

    /// Calls `f` with the value, while the lock is held.
    ///
    /// # Time complexity
    ///
    /// That of `f`, and of waiting for those who have the lock.
    ///
    /// # Panics
    ///
    /// If `f` does; the lock is released.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// # use hpalloc::{Arena, FixedBlock, Locked, Page, Spin};
    /// # let mut memory = [const { Page::new() }; 1];
    /// # let pool = FixedBlock::new(Arena::from_pages(&mut memory).unwrap(), 64).unwrap();
    /// let pool: Locked<_, Spin> = Locked::new(pool);
    /// let block = pool.with(|pool| pool.allocate());
    /// assert!(block.is_some());
    /// # }
    /// ```
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        self.lock.with(|| {
            // SAFETY: by Held and Lock, there is no other reference to the value but shared ones in callers of this very
            // call, which wait for it.
            f(unsafe { &*self.value.get() })
        })
    }

    /// Calls `f` with the value if the lock is free, while the lock is held. If it is held already,
    /// `f` isn't called, and the result is `None` at once.
    ///
    /// A `CriticalSection` is entered, never refused.
    ///
    /// # Time complexity
    ///
    /// That of `f`.
    ///
    /// # Panics
    ///
    /// If `f` does; the lock is released.
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
    /// Waits for the lock, and holds it for as long as the guard is there.
    ///
    /// A `CriticalSection` has no guard, see there.
    ///
    /// Constant time, and waiting for whoever holds the lock. Never panics, unless the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// # use hpalloc::{Arena, FixedBlock, Locked, Page, Spin};
    /// # let mut memory = [const { Page::new() }; 1];
    /// # let pool = FixedBlock::new(Arena::from_pages(&mut memory).unwrap(), 64).unwrap();
    /// let pool: Locked<_, Spin> = Locked::new(pool);
    /// let guard = pool.lock();
    /// let block = guard.allocate().unwrap();
    /// // SAFETY: the block came from this pool and isn't used any more.
    /// unsafe { guard.deallocate(block) };
    /// # }
    /// ```
    ///
    /// The guard lends a shared reference alone:
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

    /// The guard, or `None` if the lock is held.
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

/// The right to use what a [`Locked`] holds, by shared reference, until the guard is dropped.
///
/// Made by [`Locked::lock`]; an example is there.
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockedGuard<'l, T, M: Acquire> {
    /// *Invariant (Locked):* its lock is the guard's.
    locked: &'l Locked<T, M>,
    /// A guard lends `&T`, so where that can't be sent, neither can the guard.
    value: PhantomData<&'l T>,
    lock: PhantomData<M::Marker>,
}

impl<T, M: Acquire> Deref for LockedGuard<'_, T, M> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by Locked and Held, nobody else uses the value while the guard is there.
        unsafe { &*self.locked.value.get() }
    }
}

impl<T, M: Acquire> Drop for LockedGuard<'_, T, M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by Locked, it is this guard that holds the lock. The guard borrows the lock, and is on
        // the thread that acquired it if the marker isn't `Send`.
        unsafe { self.locked.lock.release() };
    }
}

impl<T: fmt::Debug, M: Acquire> fmt::Debug for LockedGuard<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T, M> Locked<T, M> {
    /// The value, which nothing else uses, as the compiler checks.
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

    /// The value, without its lock.
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

/// Pools take their pages one at a time; nothing else takes the lock.
///
/// A pool may be on each core or thread. A block may be freed to another pool than it came from, if both have the same
/// block size and the same source: see [`FixedBlock::deallocate`](crate::FixedBlock::deallocate). It is then that pool's
/// to hand out, so the pool that carved it may come to need another page, though blocks are free elsewhere: `peak_blocks`
/// counts what a pool carved, and `free_blocks` what is in its own list. Where blocks always go one way, the one end carves
/// and the other piles up, until there is no page left: there, share one pool instead.
///
/// In a program built with `--cfg hpalloc_hardened`, such pools have to be [of one family](crate::FixedBlock::in_family).
// SAFETY: the pages come from a source that nobody can borrow mutably through the lock, one call at a time.
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
        // To show the value would mean to wait for the lock, which whoever shows it may hold.
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<T, M> defmt::Format for Locked<T, M> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Locked {{ .. }}");
    }
}
