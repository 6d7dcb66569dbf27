//! What a box is made of: taken apart, given up, pinned, and made one of another type.

use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::ptr::NonNull;

use super::PoolBox;
use crate::Home;
use crate::seal::SEAL;

impl<T: ?Sized, H: Home> PoolBox<T, H> {
    /// The value's address and its home, with the value left in its block. [`from_parts`](Self::from_parts) makes them a
    /// box again; without that, neither is the value dropped nor does the block return to the pool.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// use std::rc::Rc;
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// # let mut memory = [const { Page::new() }; 1];
    /// let pool = Rc::new(Pool::new(Arena::from_pages(&mut memory)?));
    /// let (value, home) = PoolBox::into_parts(PoolBox::new_in(7_u32, pool)?);
    /// // SAFETY: they are the parts of one box.
    /// assert_eq!(*unsafe { PoolBox::from_parts(value, home) }, 7);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the value is leaked unless its parts become a box again"]
    #[inline]
    pub fn into_parts(boxed: Self) -> (NonNull<T>, H) {
        let boxed = ManuallyDrop::new(boxed);
        // SAFETY: it is read once: the box isn't dropped, and not used after this.
        (boxed.value, unsafe { (&raw const boxed.home).read() })
    }

    /// The box of a value and its home.
    ///
    /// Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// They came from [`into_parts`](Self::into_parts) of one box, with the value still there, and no other box was made
    /// of them. The value's type may have changed to one that holds the same bytes: a `dyn Trait`, a slice, a wrapper.
    /// See [`into_parts`](Self::into_parts) for an example.
    #[must_use = "the value is dropped with its box"]
    #[inline]
    pub const unsafe fn from_parts(value: NonNull<T>, home: H) -> Self {
        // Full, as the caller promises.
        Self { value, home }
    }

    /// The value for as long as its pool is borrowed, or for good if the box has a share of it. Neither is the value
    /// dropped nor does its block return to the pool.
    ///
    /// Constant time, but for the lock of a pool behind one. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let config: &mut [u16; 4] = PoolBox::leak(pool.alloc([0; 4])?);
    /// config[3] = 1;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "a value that is meant to be dropped should not be leaked"]
    #[inline]
    pub fn leak<'a>(boxed: Self) -> &'a mut T
    where
        H: 'a,
    {
        let mut boxed = ManuallyDrop::new(boxed);
        if boxed.block().is_some() {
            boxed.home.forget(SEAL);
        }
        // SAFETY: by Full, the value is the box's alone, and the box gives it up. Its block isn't handed out again. It is
        // there as long as the pool, which a reference borrows for `'a`, and which a share that is never dropped keeps.
        unsafe { boxed.value.as_mut() }
    }

    /// The box, with its value pinned to its place.
    ///
    /// It takes a home that is `'static`: a pool in a `static`, or a share of one in an `Rc` or an `Arc`. Whoever pins a
    /// value promises that its memory isn't used for anything else before it is dropped; but a box can be forgotten, and
    /// then a pool that is only borrowed ends, and its memory is its owner's again. (For the same reason,
    /// `Box::into_pin` of the standard library asks for an allocator that is `'static`.)
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use core::pin::Pin;
    /// use hpalloc::{Arena, Page, Pool, PoolBox, RawRegion};
    ///
    /// type Numbers = Pool<u32, Arena<RawRegion>>;
    ///
    /// fn pin(pool: &'static Numbers) -> Option<Pin<PoolBox<u32, &'static Numbers>>> {
    ///     pool.alloc(7).ok().map(PoolBox::into_pin)
    /// }
    /// ```
    ///
    /// ```compile_fail,E0521
    /// # use core::pin::Pin;
    /// # use hpalloc::{Arena, Page, Pool, PoolBox, RawRegion};
    /// # type Numbers = Pool<u32, Arena<RawRegion>>;
    /// fn pin<'p>(pool: &'p Numbers) -> Option<Pin<PoolBox<u32, &'p Numbers>>> {
    ///     pool.alloc(7).ok().map(PoolBox::into_pin)
    /// }
    /// ```
    #[must_use]
    pub fn into_pin(boxed: Self) -> Pin<Self>
    where
        H: 'static,
    {
        // SAFETY: the value doesn't move with the box. It stays where it is until it is dropped: a block isn't handed out
        // again before its box was dropped, and the pool keeps its memory for good if the box is forgotten, because the
        // home is `'static`: either the pool is borrowed for good, or its share is never given up.
        unsafe { Pin::new_unchecked(boxed) }
    }
}

impl<'p, T: ?Sized, H> PoolBox<T, &'p H>
where
    &'p H: Home,
{
    /// The value's address, with the value left in its block. [`Pool::from_raw`](crate::Pool::from_raw) makes it a box again; without that,
    /// neither is the value dropped nor does the block return to the pool. For a box with a share of its pool, see
    /// [`into_parts`](Self::into_parts).
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let raw = PoolBox::into_raw(pool.alloc([1_u8; 8])?);
    /// // SAFETY: the value is still there, and nothing else uses it.
    /// assert_eq!(unsafe { raw.read() }, [1; 8]);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the value is leaked unless it becomes a box again"]
    #[inline]
    pub fn into_raw(boxed: Self) -> NonNull<T> {
        Self::into_parts(boxed).0
    }
}

/// A box of a `dyn Trait` or of a slice, made from a [`PoolBox`](crate::PoolBox) of a type that fits it. The language
/// does that by itself for a `Box` alone.
///
/// `unsize!(boxed => type)`; the value stays where it is, and so does the home of its block. No time at all.
///
/// ```
/// use core::fmt::Display;
/// use hpalloc::{Pool, PoolBox, unsize};
///
/// # let (mut memory, mut more) = ([core::mem::MaybeUninit::uninit(); 500], [core::mem::MaybeUninit::uninit(); 500]);
/// let (numbers, words) = (Pool::from_uninit(&mut memory)?, Pool::from_uninit(&mut more)?);
/// let number = unsize!(numbers.alloc(7_u32)? => dyn Display);
/// let word = unsize!(words.alloc("seven")? => dyn Display);
/// assert_eq!(format!("{number} {word}"), "7 seven");
///
/// # let mut memory = [core::mem::MaybeUninit::uninit(); 500];
/// let arrays = Pool::from_uninit(&mut memory)?;
/// let slice: PoolBox<[u8], _> = unsize!(arrays.alloc([1; 16])? => [u8]);
/// assert_eq!(slice.len(), 16);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// A type that doesn't fit does not compile:
///
/// ```compile_fail,E0277
/// # let mut memory = [core::mem::MaybeUninit::uninit(); 500];
/// # let numbers = hpalloc::Pool::from_uninit(&mut memory).unwrap();
/// hpalloc::unsize!(numbers.alloc(7_u32).unwrap() => dyn Iterator<Item = u8>);
/// ```
#[macro_export]
macro_rules! unsize {
    ($boxed:expr => $type:ty) => {{
        let (value, home) = $crate::PoolBox::into_parts($boxed);
        let value: ::core::ptr::NonNull<$type> = value;
        // SAFETY: they are the parts of one box. The compiler has coerced the pointer, so it points to the same value.
        unsafe { $crate::PoolBox::from_parts(value, home) }
    }};
}
