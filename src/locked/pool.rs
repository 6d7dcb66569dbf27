use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::Locked;
use crate::hardened::MisuseError;
use crate::seal::Seal;
use crate::{Home, Lock, PageSource, Pool, PoolBox, PoolFull};

impl<T, P: PageSource, M: Lock> Locked<Pool<T, P>, M> {
    /// As [`Pool::alloc`]. The box locks the pool again to return its block.
    ///
    /// So a box that is dropped while the same thread holds the pool's lock waits forever, unless the lock can be acquired
    /// twice, as a critical section can.
    ///
    /// Constant time, and waiting for whoever holds the lock. Panics if [`Pool::alloc`] does, or the lock.
    ///
    /// # Errors
    ///
    /// [`PoolFull`], with the value, if no block is free and the source has no more pages.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, Spin};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool: Locked<_, Spin> = Locked::new(Pool::new(Arena::from_pages(&mut memory)?));
    /// let number = pool.alloc(7)?;
    /// std::thread::scope(|scope| scope.spawn(move || assert_eq!(*number, 7)).join().unwrap());
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc(&self, value: T) -> Result<LockedBox<'_, T, P, M>, PoolFull<T>> {
        PoolBox::new_in(value, self)
    }

    /// As [`Pool::alloc_with`]. The lock isn't held while `make` runs.
    ///
    /// Constant time but for `make`, and waiting for whoever holds the lock. Panics if [`Pool::alloc_with`] does, or the lock.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, Spin};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool: Locked<_, Spin> = Locked::new(Pool::new(Arena::from_pages(&mut memory)?));
    /// let sum = pool.alloc_with(|| *pool.alloc(3).unwrap() + *pool.alloc(4).unwrap());
    /// assert_eq!(sum.as_deref(), Some(&7));
    /// # }
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "the value is dropped with its box"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc_with(&self, make: impl FnOnce() -> T) -> Option<LockedBox<'_, T, P, M>> {
        Some(PoolBox::write_with(self.alloc_uninit()?, make))
    }

    /// As [`Pool::alloc_uninit`].
    ///
    /// Constant time, and waiting for whoever holds the lock. Panics if [`Pool::alloc_uninit`] does, or the lock.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, PoolBox, Spin};
    ///
    /// # let mut memory = [const { Page::new() }; 1];
    /// let pool: Locked<_, Spin> = Locked::new(Pool::new(Arena::from_pages(&mut memory)?));
    /// let seven = PoolBox::write(pool.alloc_uninit().ok_or("no block is free")?, 7);
    /// assert_eq!(*seven, 7);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the block is returned to the pool with its box"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc_uninit(&self) -> Option<PoolBox<MaybeUninit<T>, &Self>> {
        PoolBox::new_uninit_in(self)
    }

    /// As [`Pool::alloc_zeroed`]. The zeros are written after the lock was released.
    ///
    /// The time of writing a `T`, and of waiting for whoever holds the lock. Panics if [`Pool::alloc_zeroed`] does, or the lock.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, PoolBox, Spin};
    ///
    /// # let mut memory = [const { Page::new() }; 1];
    /// let pool: Locked<Pool<u32, _>, Spin> = Locked::new(Pool::new(Arena::from_pages(&mut memory)?));
    /// let zeroed = pool.alloc_zeroed().ok_or("no block is free")?;
    /// // SAFETY: zero is a number.
    /// assert_eq!(*unsafe { PoolBox::assume_init(zeroed) }, 0);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the block is returned to the pool with its box"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc_zeroed(&self) -> Option<PoolBox<MaybeUninit<T>, &Self>> {
        PoolBox::new_zeroed_in(self)
    }

    /// As [`Pool::from_raw`].
    ///
    /// Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// That of [`Pool::from_raw`].
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, PoolBox, Spin};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool: Locked<_, Spin> = Locked::new(Pool::new(Arena::from_pages(&mut memory)?));
    /// let raw = PoolBox::into_raw(pool.alloc(5)?);
    /// // SAFETY: it came from a box of this pool and isn't used any more.
    /// assert_eq!(*unsafe { pool.from_raw(raw) }, 5);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the value is dropped with its box"]
    #[inline]
    #[allow(clippy::wrong_self_convention, reason = "as `Box::from_raw`, which has a pool that is always there")]
    pub const unsafe fn from_raw(&self, value: NonNull<T>) -> LockedBox<'_, T, P, M> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { PoolBox::from_parts(value, self) }
    }

    /// As [`Pool::available`].
    ///
    /// Linear in the number of free blocks, with the lock held, and waiting for whoever holds it. Panics only if the lock
    /// does.
    ///
    /// ```
    /// # #[cfg(feature = "critical-section")] {
    /// hpalloc::static_pool! { static EVENTS: Pool<u32, 16>; }
    ///
    /// let event = EVENTS.alloc(7)?;
    /// assert_eq!(EVENTS.available(), 15);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn available(&self) -> usize {
        self.with(Pool::available)
    }
}

/// A box of a pool behind a lock.
pub type LockedBox<'p, T, P, M> = PoolBox<T, &'p Locked<Pool<T, P>, M>>;

impl<T, P: PageSource, M: Lock> Home for Locked<Pool<T, P>, M> {
    type Value = T;

    #[inline]
    fn take(&self, seal: Seal) -> Result<Option<NonNull<u8>>, MisuseError> {
        self.with(|pool| pool.take(seal))
    }

    #[inline]
    unsafe fn give_back(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError> {
        // SAFETY: the caller's promise is the one that is asked for.
        self.with(|pool| unsafe { pool.give_back(block, seal) })
    }

    #[inline]
    fn check(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError> {
        // Without `--cfg hpalloc_hardened` nothing is checked, and no lock acquired.
        if cfg!(hpalloc_hardened) { self.with(|pool| pool.check(block, seal)) } else { Ok(()) }
    }

    #[inline]
    fn forget(&self, seal: Seal) {
        // SAFETY: by Held, whoever holds the lock has shared references to the value, as this is one. All that is done with it
        // is one atomic step.
        unsafe { &*self.value.get() }.forget(seal);
    }
}
