use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{self, MaybeUninit};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::{Acquire, Lock};

/// A lock that lets waiting threads sleep and never allocates, for the threads of a host
/// program and for its global allocator.
///
/// ```
/// # #[cfg(feature = "mmap")] mod program {
/// use hpalloc::{Arena, Heap, Lazy, Locked, Mapping, OsLock};
///
/// #[global_allocator]
/// static HEAP: Locked<Heap<Lazy<Mapping>>, OsLock> =
///     Locked::new(Heap::new(Lazy::new(|| Arena::new(64 << 20))));
/// # }
/// ```
///
/// A free lock is acquired and released in a few instructions, without a system call. A
/// thread that finds the lock held spins briefly and then sleeps until it is released.
///
/// It is a [`std::sync::Mutex`] without poisoning: a panic in [`with`](Lock::with)
/// releases the lock, and the next holder sees everything written before the panic.
///
/// A call of `with` inside another for the same lock waits forever, or panics on targets
/// without threads. A nested [`try_with`](Lock::try_with) returns `None` instead.
///
/// If a process forks while another thread holds the lock, the child can never acquire
/// it. Hold the lock while you fork: see [the
/// guide](crate::guide::hosts#processes-that-fork).
///
/// # Targets
///
/// The type exists on targets on which the standard library's mutex doesn't allocate in
/// any version of Rust that hpalloc supports: Linux, FreeBSD, `DragonFly` BSD, Fuchsia,
/// Hermit, Windows with MSVC, and WebAssembly.
///
/// It does not exist
///
/// - on macOS and its relatives, NetBSD, illumos, Emscripten and other systems whose
///   mutex is the one of pthreads, which is boxed at its first use;
/// - on Android, OpenBSD, `OpenHarmony`, Windows with the GNU tools, Windows 7 and x32,
///   on which the standard library before Rust 1.93 allocates thread-local values. One of
///   them is the thread's panic count, which a mutex reads while any thread panics.
///
/// On these targets, use `Spin`, or implement [`Lock`] for a lock of the system that
/// doesn't allocate, such as `os_unfair_lock` on macOS.
pub struct OsLock {
    mutex: Mutex<()>,
    /// *Invariant (Kept):* only the holder of the mutex accesses this field. From
    /// `acquire` to `release` it contains the mutex's guard, which borrows `mutex`.
    guard: UnsafeCell<MaybeUninit<MutexGuard<'static, ()>>>,
}

// SAFETY: by Kept, one thread at a time accesses the guard. The marker isn't `Send`, so
// by the contract of `Acquire` the thread that created the guard also drops it.
unsafe impl Sync for OsLock {}

// SAFETY: by the contract of `Acquire`, a lock that was moved is acquired again before it
// is released. So a guard that was created on another thread, or that borrows the mutex
// at its old address, is never used.
unsafe impl Send for OsLock {}

impl OsLock {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, ()>> {
        match self.mutex.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Stores the guard, so that the mutex is held until `release`.
    fn keep(&self, guard: MutexGuard<'_, ()>) {
        // SAFETY: only `release` uses the guard. By the contract of `Acquire`, the mutex
        // is still at the same address when `release` is called.
        let guard = unsafe { mem::transmute::<MutexGuard<'_, ()>, MutexGuard<'static, ()>>(guard) };
        // SAFETY: the mutex is held, so by Kept nothing else accesses the field.
        unsafe { self.guard.get().write(MaybeUninit::new(guard)) };
    }
}

// SAFETY: the mutex is held while `f` runs.
unsafe impl Lock for OsLock {
    const UNLOCKED: Self = Self { mutex: Mutex::new(()), guard: UnsafeCell::new(MaybeUninit::uninit()) };

    #[inline]
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.lock();
        f()
    }

    #[inline]
    fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let _guard = self.try_lock()?;
        Some(f())
    }
}

// SAFETY: the mutex is held from its acquisition until its guard is dropped.
unsafe impl Acquire for OsLock {
    /// The type isn't `Send`, because only the thread that acquired a mutex may release
    /// it.
    type Marker = MutexGuard<'static, ()>;

    #[inline]
    fn acquire(&self) {
        self.keep(self.lock());
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        self.try_lock().map(|guard| self.keep(guard)).is_some()
    }

    #[inline]
    unsafe fn release(&self) {
        // SAFETY: the caller acquired the lock and hasn't released it since, so by Kept
        // the guard is there.
        drop(unsafe { self.guard.get().read().assume_init() });
    }
}

impl fmt::Debug for OsLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Showing whether the mutex is held would mean acquiring it for a moment.
        f.debug_struct("OsLock").finish_non_exhaustive()
    }
}
