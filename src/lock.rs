/// Something that one holder at a time can have: what a [`Locked`](crate::Locked) is locked by.
///
/// Which one to use:
///
/// | where | lock | feature |
/// |---|---|---|
/// | threads, or the cores of a kernel whose interrupts don't need it | `Spin` | `spin` |
/// | one core, and its interrupts | `CriticalSection` | `critical-section` |
/// | any other | a `lock_api::RawMutex`, such as `parking_lot::RawMutex` | `lock-api` |
///
/// A spin lock that an interrupt takes while the code that it interrupted holds it **waits forever**: nobody is left to
/// unlock it. An interrupt may only take a spin lock that is never taken with interrupts on. A critical section holds
/// interrupts off, so there is nothing to wait for; on several cores it works where the program's implementation of it
/// stops the other cores too (see the crate `critical-section`).
///
/// In a kernel with several cores, where interrupts allocate as well, it takes a spin lock with interrupts off: a type of your own
/// in a few lines, such as that of [`guide::kernels`](crate::guide::kernels). Pools and the arena below them both need it then.
///
/// # Safety
///
/// While a call of [`with`](Self::with) runs its `f`, no other call of `with` for the same lock runs one, but those that
/// this `f` makes itself, on its own thread, before it goes on. What one `f` has written is seen by the next.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no lock for a `Locked`",
    note = "there are `Spin` (feature `spin`), `CriticalSection` (feature `critical-section`), and any `RawMutex` of the crate \
            `lock_api` (feature `lock-api`)"
)]
pub unsafe trait Lock {
    /// A lock that nobody has.
    #[allow(clippy::declare_interior_mutable_const, reason = "each use is a new lock")]
    const UNLOCKED: Self;

    /// Calls `f` while nobody else has the lock, and unlocks it afterwards, also when `f` panics. It takes as long as `f`, and as
    /// waiting for whoever has the lock. See [`Locked::with`](crate::Locked::with) for an example.
    fn with<R>(&self, f: impl FnOnce() -> R) -> R;
}

/// Any lock with the interface of the crate `lock_api`, version 0.4. (So a type should have one of the two interfaces: where
/// it has its own `Lock` as well, it doesn't compile any more once a program turns this feature on.)
///
/// A call of [`with`](Lock::with) inside of another for the same lock waits forever, unless the lock says otherwise.
#[cfg(feature = "lock-api")]
// SAFETY: a `RawMutex` is exclusive, by its contract, and its `unlock` is seen by the next `lock`.
unsafe impl<M: lock_api::RawMutex> Lock for M {
    const UNLOCKED: Self = M::INIT;

    #[inline]
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Unlock<'a, M: lock_api::RawMutex>(&'a M);

        impl<M: lock_api::RawMutex> Drop for Unlock<'_, M> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: it was locked below, in this context.
                unsafe { self.0.unlock() };
            }
        }

        self.lock();
        let _unlock = Unlock(self);
        f()
    }
}

/// A spin lock: for threads and for the cores of a kernel. **Not** for what an interrupt shares with the code that it
/// interrupts, see [`Lock`].
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
#[cfg(feature = "spin")]
pub type Spin = spin::Mutex<()>;

/// A critical section, as the program provides it through the crate `critical-section`: for one core and its interrupts.
///
/// Calls of [`with`](Lock::with) can be nested. There is no guard to hold on to: critical sections have to end in the
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
}
