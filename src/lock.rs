#[cfg(all(feature = "spin", target_has_atomic = "8"))]
use core::mem;

#[cfg(feature = "std")]
#[allow(dead_code, unreachable_pub, reason = "lib.rs exports it on the targets whose mutex doesn't allocate")]
pub(crate) mod os_lock;

/// A lock for a [`Locked`](crate::Locked), with one holder at a time.
///
/// | If the pool, heap or arena is shared by | use | feature |
/// |---|---|---|
/// | the threads of a host program, also for its global allocator | `OsLock` | `std` |
/// | threads or cores, but no interrupt handler | `Spin` | `spin` |
/// | one core and its interrupts | `CriticalSection` | `critical-section` |
/// | anything with a `lock_api::RawMutex` | `RawLock` around it | `lock-api` |
/// | anything else | a type of your own that implements this trait | |
///
/// # Interrupts
///
/// An interrupt handler waits forever if it tries to acquire a spin lock that the
/// interrupted code holds. A handler may use a spin lock only if that lock is always held
/// with interrupts disabled.
///
/// A critical section disables interrupts, so a handler never waits for the code that it
/// interrupted. On several cores, a critical section works only if the program's
/// implementation also stops the other cores: see the crate `critical-section`.
///
/// If several cores and their interrupt handlers allocate, use a spin lock that disables
/// interrupts while it is held. That is a type of a few lines, such as the one in
/// [`guide::kernels`](crate::guide::kernels). The locks of the pools and of the arena
/// must then both be of this kind.
///
/// # Global allocators
///
/// The lock of a global allocator must not allocate: its own request would wait for the
/// lock that it is acquiring. `OsLock`, `Spin` and `CriticalSection` don't allocate. The
/// locks of the crate `parking_lot` do when threads contend for them, and
/// `std::sync::Mutex` does on some targets.
///
/// # Processes that fork
///
/// A fork copies a lock in its current state. If another thread holds it, the child
/// process waits for that thread forever, because the thread isn't copied. With a global
/// allocator, the child waits at its first allocation. So hold the lock while you fork:
/// `HEAP.with(|_| fork())`. See
/// [`guide::hosts`](crate::guide::hosts#processes-that-fork).
///
/// # Safety
///
/// For each lock, [`with`](Self::with) and [`try_with`](Self::try_with) run at most one
/// `f` at a time. One exception: an `f` may itself call them for the same lock, on its
/// own thread, and wait for the result. Everything that one `f` writes is visible to the
/// next.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the lock of a `Locked`",
    note = "use `OsLock` (feature `std`), `Spin` (feature `spin`), `CriticalSection` (feature `critical-section`), or \
            `RawLock<M>` around a `RawMutex` of the crate `lock_api` (feature `lock-api`)"
)]
pub unsafe trait Lock {
    /// A lock that is not held.
    #[allow(clippy::declare_interior_mutable_const, reason = "each use creates a new lock")]
    const UNLOCKED: Self;

    /// Acquires the lock, calls `f`, and releases the lock, even if `f` panics.
    ///
    /// The time is that of `f`, plus waiting for the holder of the lock. See
    /// [`Locked::with`](crate::Locked::with) for an example.
    fn with<R>(&self, f: impl FnOnce() -> R) -> R;

    /// If the lock is free, calls `f` as [`with`](Self::with) does. Otherwise drops `f`
    /// and returns `None` immediately. An implementation whose `with` can be nested must
    /// let `try_with` be nested too.
    ///
    /// The provided implementation always returns `None`, as if the lock were held.
    /// Override it for a lock that can be tried; all locks of this crate do.
    ///
    /// The time is that of `f`. Panics if `f` does. See
    /// [`Locked::try_with`](crate::Locked::try_with) for an example.
    fn try_with<R>(&self, _f: impl FnOnce() -> R) -> Option<R> {
        None
    }
}

/// A [`Lock`] that can be held by a guard, without a closure: see
/// [`Locked::lock`](crate::Locked::lock).
///
/// `OsLock`, `Spin` and `RawLock` implement it. `CriticalSection` doesn't, for a reason
/// that is documented there.
///
/// # Safety
///
/// From the return of [`acquire`](Self::acquire), or of
/// [`try_acquire`](Self::try_acquire) with `true`, until the [`release`](Self::release),
/// no other call of `acquire` returns, no other call of `try_acquire` returns `true`, and
/// no call of [`with`](Lock::with) or [`try_with`](Lock::try_with) runs its closure.
/// Everything written before a release is visible after the next acquisition.
pub unsafe trait Acquire: Lock {
    /// The marker type of the guard: a type that isn't `Send` if only the thread that
    /// acquired the lock may release it, and `()` otherwise.
    type Marker;

    /// Waits for the lock and acquires it. See [`Locked::lock`](crate::Locked::lock) for
    /// an example.
    fn acquire(&self);

    /// Acquires the lock if it is free. Returns `true` if it did.
    fn try_acquire(&self) -> bool;

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// - The lock was acquired and has not been released since. If the
    ///   [`Marker`](Self::Marker) isn't `Send`, this thread acquired it.
    /// - Since then, the lock was neither moved nor borrowed mutably.
    unsafe fn release(&self);
}

/// Releases a lock when it is dropped, and so also during a panic.
#[cfg(any(feature = "lock-api", all(feature = "spin", target_has_atomic = "8")))]
struct Release<'l, M: Acquire> {
    /// *Invariant (Holds):* the lock was acquired, and nothing else releases it.
    lock: &'l M,
}

#[cfg(any(feature = "lock-api", all(feature = "spin", target_has_atomic = "8")))]
impl<M: Acquire> Drop for Release<'_, M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Holds. The lock is borrowed, and released on the thread that acquired
        // it, because this value never leaves the functions below.
        unsafe { self.lock.release() };
    }
}

/// Implements [`Lock::with`] through the methods of [`Acquire`].
#[cfg(any(feature = "lock-api", all(feature = "spin", target_has_atomic = "8")))]
#[inline]
fn with<M: Acquire, R>(lock: &M, f: impl FnOnce() -> R) -> R {
    lock.acquire();
    let _release = Release { lock };
    f()
}

/// Implements [`Lock::try_with`] through the methods of [`Acquire`].
#[cfg(any(feature = "lock-api", all(feature = "spin", target_has_atomic = "8")))]
#[inline]
fn try_with<M: Acquire, R>(lock: &M, f: impl FnOnce() -> R) -> Option<R> {
    if !lock.try_acquire() {
        return None;
    }
    let _release = Release { lock };
    Some(f())
}

/// A [`Lock`] made from any lock with the interface of the crate `lock_api`, version 0.4,
/// such as `parking_lot::RawMutex`.
///
/// `parking_lot::RawMutex` is **not for a global allocator**, because it allocates when
/// threads contend for it. Use `OsLock` there, which doesn't allocate.
///
/// A call of [`with`](Lock::with) inside another for the same lock waits forever, unless
/// the underlying lock documents otherwise.
///
/// ```
/// use hpalloc::{Locked, RawLock};
/// # use core::sync::atomic::Ordering;
/// # struct RawMutex(core::sync::atomic::AtomicBool);
/// # // SAFETY: one holder at a time has set the flag.
/// # unsafe impl lock_api::RawMutex for RawMutex {
/// #     const INIT: Self = Self(core::sync::atomic::AtomicBool::new(false));
/// #     type GuardMarker = lock_api::GuardSend;
/// #     fn lock(&self) { while !self.try_lock() {} }
/// #     fn try_lock(&self) -> bool { !self.0.swap(true, Ordering::Acquire) }
/// #     unsafe fn unlock(&self) { self.0.store(false, Ordering::Release) }
/// # }
///
/// // `RawMutex` is your own type or one of another crate.
/// static SEVEN: Locked<u32, RawLock<RawMutex>> = Locked::new(7);
/// assert_eq!(*SEVEN.lock(), 7);
/// ```
#[cfg(feature = "lock-api")]
#[derive(Debug)]
pub struct RawLock<M>(M);

#[cfg(feature = "lock-api")]
// SAFETY: by its contract, a `RawMutex` is exclusive, and everything written before its
// `unlock` is visible after the next `lock`.
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
// SAFETY: as for `Lock`.
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
        // SAFETY: the caller upholds the same contract.
        unsafe { self.0.unlock() };
    }
}

/// A spin lock, for the cores of a kernel and for threads that each have a core.
///
/// A waiting thread keeps its core busy, so `OsLock` is faster if there are more threads
/// than cores. This lock is **not** for memory that an interrupt shares with the code
/// that it interrupts: see [`Lock`](Lock#interrupts).
///
/// ```
/// # #[cfg(feature = "std")] {
/// use hpalloc::{Arena, Boxed, Lazy, Locked, Pool, Spin};
///
/// static POOL: Locked<Pool<u64, Lazy<Boxed>>, Spin> =
///     Locked::new(Pool::new(Lazy::new(|| {
///         Boxed::new(1 << 20).and_then(Arena::from_region)
///     })));
///
/// let boxes =
///     [1, 2].map(|number| std::thread::spawn(move || POOL.alloc(number).unwrap()));
/// assert_eq!(boxes.map(|thread| *thread.join().unwrap()), [1, 2]);
/// # }
/// ```
#[cfg(all(feature = "spin", target_has_atomic = "8"))]
#[derive(Debug)]
pub struct Spin(spin::mutex::SpinMutex<()>);

#[cfg(all(feature = "spin", target_has_atomic = "8"))]
// SAFETY: at most one holder at a time has the mutex. It is unlocked when its guard is
// dropped or, if the guard was forgotten, by `release`. Unlocking makes everything
// written before it visible to the next holder.
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
// SAFETY: as for `Lock`. Any thread may release a spin lock.
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
        // SAFETY: the caller acquired the lock, and its guard was forgotten.
        unsafe { self.0.force_unlock() };
    }
}

/// A critical section, for one core and its interrupts. The program provides the
/// implementation through the crate `critical-section`.
///
/// Calls of [`with`](Lock::with) can be nested. [`try_with`](Lock::try_with) enters the
/// section as `with` does, so it always calls its closure.
///
/// There is no guard. Critical sections must end in the reverse order of their
/// beginnings, which a guard that can be moved can't guarantee.
#[cfg(feature = "critical-section")]
#[derive(Debug)]
pub struct CriticalSection(());

#[cfg(feature = "critical-section")]
// SAFETY: by the contract of its implementation, nothing else runs during a critical
// section. Only `f` can enter it again.
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
