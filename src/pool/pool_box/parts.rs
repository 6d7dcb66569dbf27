//! Conversions of a box: into its parts and back, into a leaked or a pinned value, and
//! into a box of another type.

use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::ptr::NonNull;

use super::PoolBox;
use crate::Home;
use crate::seal::SEAL;

impl<T: ?Sized, H: Home> PoolBox<T, H> {
    /// Splits the box into the address of its value and its home.
    /// [`from_parts`](Self::from_parts) turns them into a box again. Otherwise the value
    /// is never dropped and its block never returns to the pool.
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
    /// // SAFETY: both came from the same box.
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

    /// Creates a box from the address of a value and its home.
    ///
    /// Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// Both came from [`into_parts`](Self::into_parts) of the same box, the value has not
    /// been moved out or dropped, and no other box was created from them. The type of the
    /// value may have changed to one that holds the same bytes, such as a `dyn Trait`, a
    /// slice or a wrapper.
    ///
    /// See [`into_parts`](Self::into_parts) for an example.
    #[must_use = "the value is dropped with its box"]
    #[inline]
    pub const unsafe fn from_parts(value: NonNull<T>, home: H) -> Self {
        // By the caller's promise, Full holds.
        Self { value, home }
    }

    /// Leaks the box and returns a reference to its value, valid for as long as the pool
    /// is borrowed, or forever if the box owns a share of the pool. The value is never
    /// dropped, and its block never returns to the pool.
    ///
    /// Constant time. Never panics.
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
        // SAFETY: by Full, the value belongs to the box alone, and the box is never
        // dropped, so its block isn't handed out again. The pool lives for `'a`: either a
        // reference borrows it that long, or a share that is never dropped keeps it
        // alive.
        unsafe { boxed.value.as_mut() }
    }

    /// Pins the value in its block.
    ///
    /// The home must be `'static`: a reference to a pool in a `static`, or a share of a
    /// pool in an `Rc` or an `Arc`. The reason is that pinning promises that the value's
    /// memory isn't used for anything else before the value is dropped. But a box can be
    /// forgotten, and then a pool that is only borrowed can be dropped and its memory
    /// reused. (`Box::into_pin` of the standard library requires a `'static` allocator
    /// for the same reason.)
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
        // SAFETY: the value doesn't move with the box. Its block isn't handed out again
        // before the box is dropped. If the box is forgotten, the pool keeps its memory
        // forever because the home is `'static`: either the pool is borrowed forever, or
        // its share is never dropped.
        unsafe { Pin::new_unchecked(boxed) }
    }
}

impl<'p, T: ?Sized, H> PoolBox<T, &'p H>
where
    &'p H: Home,
{
    /// Returns the address of the value and leaves the value in its block.
    /// [`Pool::from_raw`](crate::Pool::from_raw) turns the address into a box again.
    /// Otherwise the value is never dropped and its block never returns to the pool.
    ///
    /// For a box that owns a share of its pool, use [`into_parts`](Self::into_parts).
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let raw = PoolBox::into_raw(pool.alloc([1_u8; 8])?);
    /// // SAFETY: the value is still in its block, and nothing else uses it.
    /// assert_eq!(unsafe { raw.read() }, [1; 8]);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the value is leaked unless it becomes a box again"]
    #[inline]
    pub fn into_raw(boxed: Self) -> NonNull<T> {
        Self::into_parts(boxed).0
    }
}

/// Converts a [`PoolBox`](crate::PoolBox) into a box of a `dyn Trait` or of a slice. The
/// language does this implicitly for `Box` and other standard pointers, but on stable
/// Rust a crate can't.
///
/// The syntax is `unsize!(boxed => type)`. The value stays in its block, and the home
/// stays the same. The conversion costs no time at run time.
///
/// ```
/// use core::fmt::Display;
/// use hpalloc::{Pool, PoolBox, unsize};
///
/// # let mut memory = [core::mem::MaybeUninit::uninit(); 500];
/// # let mut more = [core::mem::MaybeUninit::uninit(); 500];
/// let numbers = Pool::from_uninit(&mut memory)?;
/// let words = Pool::from_uninit(&mut more)?;
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
/// An impossible conversion doesn't compile:
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
        // SAFETY: both came from the same box. The compiler coerced the pointer, so it
        // points to the same value.
        unsafe { $crate::PoolBox::from_parts(value, home) }
    }};
}
