//! Values that are constructed in their blocks.

use core::mem::MaybeUninit;

use super::PoolBox;
use crate::Home;

impl<T, H: Home<Value = T>> PoolBox<MaybeUninit<T>, H> {
    /// A block for a value that is constructed in place: see [`Pool::alloc_uninit`](crate::Pool::alloc_uninit), also for the time and for panics.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// use std::rc::Rc;
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// # let mut memory = [const { Page::new() }; 1];
    /// let pool = Rc::new(Pool::new(Arena::from_pages(&mut memory)?));
    /// let boxed = PoolBox::new_uninit_in(pool).ok_or("no block is free")?;
    /// let boxed: PoolBox<u64, _> = PoolBox::write(boxed, 7);
    /// assert_eq!(*boxed, 7);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the block is returned to the pool with its box"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn new_uninit_in(home: H) -> Option<Self> {
        PoolBox::take(home)
    }

    /// As [`new_uninit_in`](Self::new_uninit_in), with all bytes zero: see [`Pool::alloc_zeroed`](crate::Pool::alloc_zeroed), also for the time and
    /// for panics.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// use std::rc::Rc;
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// # let mut memory = [const { Page::new() }; 1];
    /// let pool = Rc::new(Pool::<u64, _>::new(Arena::from_pages(&mut memory)?));
    /// let boxed = PoolBox::new_zeroed_in(pool).ok_or("no block is free")?;
    /// // SAFETY: zero is a number.
    /// assert_eq!(*unsafe { PoolBox::assume_init(boxed) }, 0);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the block is returned to the pool with its box"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn new_zeroed_in(home: H) -> Option<Self> {
        let boxed = Self::new_uninit_in(home)?;
        // SAFETY: by Full, the place of a `T` is the box's alone.
        unsafe { boxed.value.write_bytes(0, 1) };
        Some(boxed)
    }
}

impl<T, H: Home> PoolBox<MaybeUninit<T>, H> {
    /// Moves a value into the block of the box.
    ///
    /// The time of the move. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let boxed = pool.alloc_uninit().ok_or("no block is free")?;
    /// let boxed = PoolBox::write(boxed, String::from("kept"));
    /// assert_eq!(*boxed, "kept");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    pub fn write(boxed: Self, value: T) -> PoolBox<T, H> {
        Self::write_with(boxed, || value)
    }

    /// The box, with the value that `make` returns. If that panics, the block is returned to the pool.
    #[inline]
    pub(crate) fn write_with(boxed: Self, make: impl FnOnce() -> T) -> PoolBox<T, H> {
        // SAFETY: by Full, the place of a `T` is the box's alone, and it is initialised then.
        unsafe {
            boxed.value.cast().write(make());
            Self::assume_init(boxed)
        }
    }

    /// The box of the value that was constructed in its block.
    ///
    /// Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// All of the value is initialised.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::<[u8; 4], _>::new(Arena::from_pages(&mut memory)?);
    /// let mut boxed = pool.alloc_uninit().ok_or("no block is free")?;
    /// // SAFETY: a `[u8; 4]` has four bytes, which are written before the box is one of an array.
    /// let boxed = unsafe {
    ///     boxed.as_mut_ptr().cast::<u8>().write_bytes(9, 4);
    ///     PoolBox::assume_init(boxed)
    /// };
    /// assert_eq!(*boxed, [9; 4]);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the value is dropped with its box"]
    #[inline]
    pub unsafe fn assume_init(boxed: Self) -> PoolBox<T, H> {
        let (value, home) = PoolBox::into_parts(boxed);
        // SAFETY: they are the parts of a box, and the caller says that the value is there.
        unsafe { PoolBox::from_parts(value.cast(), home) }
    }
}
