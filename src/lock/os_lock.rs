use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{self, MaybeUninit};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::{Acquire, Lock};

/// A lock that sleeps and never allocates: for the threads of a host program, and for its
/// global allocator.
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
/// It is [`std::sync::Mutex`] without the poison: a panic in [`with`](Lock::with) releases the
/// lock, and the next holder sees what was written before the panic. A free lock is acquired and
/// released in a few instructions, without a system call. A thread that finds it held spins
/// briefly, and then sleeps until the lock is released.
///
/// `with` inside `with` for the same lock waits forever, or panics where there are no threads.
/// [`try_with`](Lock::try_with) returns `None` there.
///
/// A child process that is forked while another thread holds the lock waits for it forever. Hold
/// the lock over the fork, see [the guide](crate::guide::hosts#processes-that-fork).
///
/// # Targets
///
/// The type exists where the standard library's mutex is known not to allocate, in every version
/// of Rust that hpalloc supports: on Linux, FreeBSD, `DragonFly` BSD, Fuchsia, Hermit, Windows with
/// MSVC, and WebAssembly.
///
/// It does not exist
///
/// - on macOS and its relatives, NetBSD, illumos, Emscripten and other systems whose mutex is that
///   of pthreads: it is boxed at its first use;
/// - on Android, OpenBSD, `OpenHarmony`, Windows with the GNU tools, Windows 7 and x32, where the
///   standard library before Rust 1.93 allocates thread-local values. One of them is the number of
///   a thread's panics, which a mutex looks up while any thread panics.
///
/// There, use `Spin`, or a [`Lock`] of your own around a lock of the system that doesn't allocate,
/// such as `os_unfair_lock` of macOS.
pub struct OsLock {
    mutex: Mutex<()>,
    /// *Invariant (Kept):* only the holder of the mutex accesses it. From `acquire` to `release`
    /// it holds the mutex's guard, which borrows the mutex next to it.
    guard: UnsafeCell<MaybeUninit<MutexGuard<'static, ()>>>,
}

// SAFETY: by Kept, one thread at a time accesses the guard, and by `Acquire` the thread that made
// it drops it, because the marker isn't `Send`.
unsafe impl Sync for OsLock {}

// SAFETY: by `Acquire`, a lock that was moved is not released before it is acquired again. So a
// guard that was made on another thread, or that borrows the mutex's old place, is not used.
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

    /// Holds the mutex until `release`.
    fn keep(&self, guard: MutexGuard<'_, ()>) {
        // SAFETY: only `release` uses the guard. By `Acquire`, it is called while the mutex is
        // still where it is.
        let guard = unsafe { mem::transmute::<MutexGuard<'_, ()>, MutexGuard<'static, ()>>(guard) };
        // SAFETY: by Kept, because the mutex is held.
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

// SAFETY: the mutex is held from the moment in which it is acquired until its guard is dropped.
unsafe impl Acquire for OsLock {
    /// A mutex is released by the thread that acquired it.
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
        // SAFETY: by Kept, because the caller acquired the lock, and hasn't released it since.
        drop(unsafe { self.guard.get().read().assume_init() });
    }
}

impl fmt::Debug for OsLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // To look whether the mutex is held would mean to acquire it for a moment.
        f.debug_struct("OsLock").finish_non_exhaustive()
    }
}
