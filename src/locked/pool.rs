use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::Locked;
use crate::hardened::MisuseError;
use crate::seal::Seal;
use crate::{Home, Lock, PageSource, Pool, PoolBox, PoolFull};

impl<T, P: PageSource, M: Lock> Locked<Pool<T, P>, M> {
    /// Moves `value` into a block, as [`Pool::alloc`] does. The box acquires the lock
    /// again to return its block.
    ///
    /// So don't drop a box while your thread holds the pool's lock: the drop waits
    /// forever. Only a lock that its holder can acquire again, such as a critical
    /// section, permits it.
    ///
    /// Constant time, plus waiting for other holders of the lock. Panics if
    /// [`Pool::alloc`] or the lock does.
    ///
    /// # Errors
    ///
    /// [`PoolFull`], which contains the value, if no block is free and the page source
    /// has no more pages.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, Spin};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let pool: Locked<_, Spin> = Locked::new(Pool::new(arena));
    /// let number = pool.alloc(7)?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(move || assert_eq!(*number, 7));
    /// });
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc(&self, value: T) -> Result<LockedBox<'_, T, P, M>, PoolFull<T>> {
        PoolBox::new_in(value, self)
    }

    /// Allocates a block and fills it with the value that `make` returns, as
    /// [`Pool::alloc_with`] does. The lock isn't held while `make` runs.
    ///
    /// Constant time, plus the time of `make` and waiting for the holder of the lock.
    /// Panics if [`Pool::alloc_with`] or the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, Spin};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let pool: Locked<_, Spin> = Locked::new(Pool::new(arena));
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

    /// Allocates a block for a value that is constructed in place, as
    /// [`Pool::alloc_uninit`] does.
    ///
    /// Constant time, plus waiting for other holders of the lock. Panics if
    /// [`Pool::alloc_uninit`] or the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, PoolBox, Spin};
    ///
    /// # let mut memory = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let pool: Locked<_, Spin> = Locked::new(Pool::new(arena));
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

    /// Allocates a block and sets all bytes of the value to zero, as
    /// [`Pool::alloc_zeroed`] does. The zeros are written after the lock is released.
    ///
    /// The time is linear in the size of `T`, plus waiting for other holders of the lock.
    /// Panics if [`Pool::alloc_zeroed`] or the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, PoolBox, Spin};
    ///
    /// # let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let pool: Locked<Pool<u32, _>, Spin> = Locked::new(pool);
    /// let zeroed = pool.alloc_zeroed().ok_or("no block is free")?;
    /// // SAFETY: zero is a valid `u32`.
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

    /// Converts a raw pointer to a value in this pool back into a box, as
    /// [`Pool::from_raw`] does.
    ///
    /// Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// As for [`Pool::from_raw`].
    ///
    /// ```
    /// # #[cfg(feature = "spin")] {
    /// use hpalloc::{Arena, Locked, Page, Pool, PoolBox, Spin};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let pool: Locked<_, Spin> = Locked::new(Pool::new(arena));
    /// let raw = PoolBox::into_raw(pool.alloc(5)?);
    /// // SAFETY: it came from a box of this pool and is no longer used.
    /// assert_eq!(*unsafe { pool.from_raw(raw) }, 5);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the value is dropped with its box"]
    #[inline]
    #[allow(clippy::wrong_self_convention, reason = "named after `Box::from_raw`, but a pool is not global")]
    pub const unsafe fn from_raw(&self, value: NonNull<T>) -> LockedBox<'_, T, P, M> {
        // SAFETY: by the caller's promise, `value` is in a block of this pool and has no
        // other box.
        unsafe { PoolBox::from_parts(value, self) }
    }

    /// Returns the number of values that can be allocated before the pool needs more
    /// pages: see [`Pool::available`].
    ///
    /// The time is linear in the number of free blocks, with the lock held, plus waiting
    /// for the lock. Panics only if the lock does.
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

/// A box of a locked pool.
pub type LockedBox<'p, T, P, M> = PoolBox<T, &'p Locked<Pool<T, P>, M>>;

impl<T, P: PageSource, M: Lock> Home for Locked<Pool<T, P>, M> {
    type Value = T;

    #[inline]
    fn take(&self, seal: Seal) -> Result<Option<NonNull<u8>>, MisuseError> {
        self.with(|pool| pool.take(seal))
    }

    #[inline]
    unsafe fn give_back(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError> {
        // SAFETY: the caller upholds the same contract.
        self.with(|pool| unsafe { pool.give_back(block, seal) })
    }

    #[inline]
    fn check(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError> {
        // Without `--cfg hpalloc_hardened` there is nothing to check, so the lock isn't
        // acquired.
        if cfg!(hpalloc_hardened) { self.with(|pool| pool.check(block, seal)) } else { Ok(()) }
    }

    #[inline]
    fn forget(&self, seal: Seal) {
        // SAFETY: by Held and because `self` is borrowed, all other references to the
        // value are shared, as this one is. The only thing done through it is one atomic
        // step.
        unsafe { &*self.value.get() }.forget(seal);
    }
}
