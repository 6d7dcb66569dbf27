//! Boxes of values that are constructed in place.

use core::mem::MaybeUninit;

use super::PoolBox;
use crate::Home;

impl<T, H: Home<Value = T>> PoolBox<MaybeUninit<T>, H> {
    /// Like [`Pool::alloc_uninit`](crate::Pool::alloc_uninit), allocates a block for a
    /// value that is constructed in place. The time and panics are documented there.
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

    /// Allocates a block and sets all bytes of the value to zero, as
    /// [`Pool::alloc_zeroed`](crate::Pool::alloc_zeroed) does. The time and panics are
    /// documented there.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// use std::rc::Rc;
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// # let mut memory = [const { Page::new() }; 1];
    /// let pool = Rc::new(Pool::<u64, _>::new(Arena::from_pages(&mut memory)?));
    /// let boxed = PoolBox::new_zeroed_in(pool).ok_or("no block is free")?;
    /// // SAFETY: zero is a valid `u64`.
    /// assert_eq!(*unsafe { PoolBox::assume_init(boxed) }, 0);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the block is returned to the pool with its box"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn new_zeroed_in(home: H) -> Option<Self> {
        let boxed = Self::new_uninit_in(home)?;
        // SAFETY: by Full, the memory of a `T` belongs to the box alone.
        unsafe { boxed.value.write_bytes(0, 1) };
        Some(boxed)
    }
}

impl<T, H: Home> PoolBox<MaybeUninit<T>, H> {
    /// Moves a value into the block of the box, and returns the box of that value.
    ///
    /// The time is that of the move. Never panics.
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

    /// Writes the value that `make` returns into the block. If `make` panics, the block
    /// returns to the pool.
    #[inline]
    pub(crate) fn write_with(boxed: Self, make: impl FnOnce() -> T) -> PoolBox<T, H> {
        // SAFETY: by Full, the memory of a `T` belongs to the box alone. It is
        // initialized when `assume_init` is called.
        unsafe {
            boxed.value.cast().write(make());
            Self::assume_init(boxed)
        }
    }

    /// Converts the box into one of the value that was constructed in its block.
    ///
    /// Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// The whole value is initialized.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::<[u8; 4], _>::new(Arena::from_pages(&mut memory)?);
    /// let mut boxed = pool.alloc_uninit().ok_or("no block is free")?;
    /// // SAFETY: all four bytes of the array are written before `assume_init` is called.
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
        // SAFETY: both came from the same box, and the caller promises that the value is
        // initialized.
        unsafe { PoolBox::from_parts(value.cast(), home) }
    }
}
