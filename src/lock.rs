#[cfg(all(feature = "spin", target_has_atomic = "8"))]
use core::mem;

#[cfg(feature = "std")]
#[allow(dead_code, unreachable_pub, reason = "lib.rs exports it on the targets whose mutex doesn't allocate")]
pub(crate) mod os_lock;

/// A lock for a [`Locked`](crate::Locked): one holder at a time.
///
/// | If it is shared by | use | feature |
/// |---|---|---|
/// | the threads of a host program; also for its global allocator | `OsLock` | `std` |
/// | threads or cores that are not interrupted while they hold it | `Spin` | `spin` |
/// | one core and its interrupts | `CriticalSection` | `critical-section` |
/// | any that have a `lock_api::RawMutex` | `RawLock` around it | `lock-api` |
/// | any other | a type of your own that implements this trait | |
///
/// **An interrupt** that takes a spin lock while the code that it interrupted holds it waits
/// forever. It may only take a spin lock that is always taken with interrupts off. A critical
/// section holds interrupts off, so it never waits for the code that it interrupted. On several
/// cores it works if the program's implementation stops the other cores too, see the crate
/// `critical-section`. If several cores and their interrupts allocate, use a spin lock that is
/// taken with interrupts off: a type of a few lines, such as that of
/// [`guide::kernels`](crate::guide::kernels). Pools and the arena below them both need it then.
///
/// **Under a global allocator** a lock must not allocate: the request would need the lock that
/// makes it. `OsLock`, `Spin` and `CriticalSection` don't allocate. The locks of the crate
/// `parking_lot` do when threads contend for them, and `std::sync::Mutex` does on some targets.
///
/// **A fork** copies a lock as it is. If another thread holds it, the child process waits for that
/// thread forever, because it isn't copied. Under a global allocator the child waits at its first
/// allocation. Hold the lock while you fork: `HEAP.with(|_| fork())`, see
/// [`guide::hosts`](crate::guide::hosts#processes-that-fork).
///
/// # Safety
///
/// While a call of [`with`](Self::with) or [`try_with`](Self::try_with) runs its `f`, no other call
/// of either runs one for the same lock, but those that this `f` makes itself, on its own thread,
/// before it goes on. What one `f` has written is seen by the next.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no lock for a `Locked`",
    note = "there are `OsLock` (feature `std`), `Spin` (feature `spin`), `CriticalSection` (feature `critical-section`), and \
            `RawLock<M>` around a `RawMutex` of the crate `lock_api` (feature `lock-api`)"
)]
pub unsafe trait Lock {
    /// A lock that isn't held.
    #[allow(clippy::declare_interior_mutable_const, reason = "each use is a new lock")]
    const UNLOCKED: Self;

    /// Acquires the lock, calls `f`, and releases the lock, also if `f` panics. It takes as long as `f`, and as waiting for
    /// whoever holds the lock. See [`Locked::with`](crate::Locked::with) for an example.
    fn with<R>(&self, f: impl FnOnce() -> R) -> R;

    /// Calls `f` as [`with`](Self::with) does if the lock is free. Otherwise drops `f`, and returns
    /// `None` at once. Where calls of `with` can be nested, calls of `try_with` can be, too.
    ///
    /// What is provided always returns `None`, as if the lock were held: a lock of your own that
    /// can be tried implements it. All locks of this crate do.
    ///
    /// Takes the time of `f`. Panics if `f` does. See [`Locked::try_with`](crate::Locked::try_with)
    /// for an example.
    fn try_with<R>(&self, _f: impl FnOnce() -> R) -> Option<R> {
        None
    }
}

/// A [`Lock`] that can be held without a closure, and so by the guard of
/// [`Locked::lock`](crate::Locked::lock): `OsLock`, `Spin` and `RawLock`. `CriticalSection` is not
/// one, see there.
///
/// # Safety
///
/// From the moment in which [`acquire`](Self::acquire) returns, or [`try_acquire`](Self::try_acquire)
/// returns `true`, until the [`release`](Self::release), no other call of `acquire` returns, no other
/// call of `try_acquire` returns `true`, and no call of [`with`](Lock::with) or
/// [`try_with`](Lock::try_with) runs its closure. What was written before a release is seen after the
/// next acquisition.
pub unsafe trait Acquire: Lock {
    /// What the guard is marked with: `()`, or a type that isn't `Send` if only the thread that acquired the lock may release
    /// it.
    type Marker;

    /// Waits for the lock, and holds it. See [`Locked::lock`](crate::Locked::lock) for an example.
    fn acquire(&self);

    /// Holds the lock if it is free, and returns whether it was.
    fn try_acquire(&self) -> bool;

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// - The lock was acquired, and not released since; if the [`Marker`](Self::Marker) isn't
    ///   `Send`, by this thread.
    /// - Since then it wasn't moved, nor borrowed mutably.
    unsafe fn release(&self);
}

/// Releases a lock when it is dropped, so also if what runs under the lock panics.
#[cfg(any(feature = "lock-api", all(feature = "spin", target_has_atomic = "8")))]
struct Release<'l, M: Acquire> {
    /// *Invariant (Holds):* acquired, and released by nothing else.
    lock: &'l M,
}

#[cfg(any(feature = "lock-api", all(feature = "spin", target_has_atomic = "8")))]
impl<M: Acquire> Drop for Release<'_, M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by Holds. It is released on the thread that acquired it, because this never
        // leaves the functions below; and it is borrowed.
        unsafe { self.lock.release() };
    }
}

/// [`Lock::with`], by the functions of [`Acquire`].
#[cfg(any(feature = "lock-api", all(feature = "spin", target_has_atomic = "8")))]
#[inline]
fn with<M: Acquire, R>(lock: &M, f: impl FnOnce() -> R) -> R {
    lock.acquire();
    let _release = Release { lock };
    f()
}

/// [`Lock::try_with`], likewise.
#[cfg(any(feature = "lock-api", all(feature = "spin", target_has_atomic = "8")))]
#[inline]
fn try_with<M: Acquire, R>(lock: &M, f: impl FnOnce() -> R) -> Option<R> {
    if !lock.try_acquire() {
        return None;
    }
    let _release = Release { lock };
    Some(f())
}

/// Any lock with the interface of the crate `lock_api`, version 0.4, such as `parking_lot::RawMutex`.
/// That one is **not for a global allocator**, because it allocates when threads contend for it.
/// `OsLock` doesn't.
///
/// A call of [`with`](Lock::with) inside of another for the same lock waits forever, unless the lock says otherwise.
///
/// ```
/// use hpalloc::{Locked, RawLock};
/// # struct RawMutex(core::sync::atomic::AtomicBool);
/// # // SAFETY: one holder at a time has set the flag.
/// # unsafe impl lock_api::RawMutex for RawMutex {
/// #     const INIT: Self = Self(core::sync::atomic::AtomicBool::new(false));
/// #     type GuardMarker = lock_api::GuardSend;
/// #     fn lock(&self) { while !self.try_lock() {} }
/// #     fn try_lock(&self) -> bool { !self.0.swap(true, core::sync::atomic::Ordering::Acquire) }
/// #     unsafe fn unlock(&self) { self.0.store(false, core::sync::atomic::Ordering::Release) }
/// # }
///
/// // `RawMutex` is a type of your own or of another crate.
/// static SEVEN: Locked<u32, RawLock<RawMutex>> = Locked::new(7);
/// assert_eq!(*SEVEN.lock(), 7);
/// ```
#[cfg(feature = "lock-api")]
#[derive(Debug)]
pub struct RawLock<M>(M);

#[cfg(feature = "lock-api")]
// SAFETY: a `RawMutex` is exclusive, by its contract, and its `unlock` is seen by the next `lock`.
unsafe impl<M: lock_api::RawMutex> Lock for RawLock<M> {
    const UNLOCKED: Self = Self(M::INIT);

    #[inline]
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        with(self, f)
    }

    #[inline]
    fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        try_with(self, f)
    }
}

#[cfg(feature = "lock-api")]
// SAFETY: likewise.
unsafe impl<M: lock_api::RawMutex> Acquire for RawLock<M> {
    type Marker = M::GuardMarker;

    #[inline]
    fn acquire(&self) {
        self.0.lock();
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        self.0.try_lock()
    }

    #[inline]
    unsafe fn release(&self) {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.0.unlock() };
    }
}

/// A spin lock: for the cores of a kernel, and for threads that have a core each. A waiting thread
/// keeps its core busy, so with more threads than cores `OsLock` is faster. **Not** for what an
/// interrupt shares with the code that it interrupts, see [`Lock`].
///
/// ```
/// # #[cfg(feature = "std")] {
/// use hpalloc::{Arena, Boxed, Lazy, Locked, Pool, Spin};
///
/// static POOL: Locked<Pool<u64, Lazy<Boxed>>, Spin> =
///     Locked::new(Pool::new(Lazy::new(|| Boxed::new(1 << 20).and_then(Arena::from_region))));
///
/// let boxes = [1, 2].map(|number| std::thread::spawn(move || POOL.alloc(number).unwrap()));
/// assert_eq!(boxes.map(|thread| *thread.join().unwrap()), [1, 2]);
/// # }
/// ```
#[cfg(all(feature = "spin", target_has_atomic = "8"))]
#[derive(Debug)]
pub struct Spin(spin::mutex::SpinMutex<()>);

#[cfg(all(feature = "spin", target_has_atomic = "8"))]
// SAFETY: one holder at a time has the guard of the mutex, or left it to `release`; its unlocking is seen by the next one.
unsafe impl Lock for Spin {
    const UNLOCKED: Self = Self(spin::mutex::SpinMutex::new(()));

    #[inline]
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        with(self, f)
    }

    #[inline]
    fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        try_with(self, f)
    }
}

#[cfg(all(feature = "spin", target_has_atomic = "8"))]
// SAFETY: likewise. Any thread may release it.
unsafe impl Acquire for Spin {
    type Marker = ();

    #[inline]
    fn acquire(&self) {
        mem::forget(self.0.lock());
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        self.0.try_lock().map(mem::forget).is_some()
    }

    #[inline]
    unsafe fn release(&self) {
        // SAFETY: the caller acquired it, and the guard was forgotten.
        unsafe { self.0.force_unlock() };
    }
}

/// A critical section, as the program provides it through the crate `critical-section`: for one core and its interrupts.
///
/// Calls of [`with`](Lock::with) can be nested. [`try_with`](Lock::try_with) always calls its closure:
/// it enters the section as `with` does. There is no guard to hold on to: critical sections have to end in the
/// reverse order of their beginnings, which a guard that can be moved about couldn't promise.
#[cfg(feature = "critical-section")]
#[derive(Debug)]
pub struct CriticalSection(());

#[cfg(feature = "critical-section")]
// SAFETY: nothing else runs during a critical section, by the contract of its implementation. It is entered again by `f`
// alone.
unsafe impl Lock for CriticalSection {
    const UNLOCKED: Self = Self(());

    #[inline]
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        critical_section::with(|_| f())
    }

    #[inline]
    fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        Some(self.with(f))
    }
}
