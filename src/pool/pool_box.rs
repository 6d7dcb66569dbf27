use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::NonNull;

use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any};

use super::{Home, Pool, PoolFull};
use crate::hardened::{MisuseError, is_overflow, no_value, report, reported};
use crate::seal::SEAL;
use crate::{Arena, PageSource, RawRegion};

/// A value in a block of a [`Pool`]: the owner of both.
///
/// It derefs to the value. When it is dropped, it drops the value and returns the block to the pool, the latter also if
/// the former panics. It compares, hashes and formats like the value. It is two pointers large.
///
/// `H` is where the block goes home to: a reference to the pool, or an `Rc` or `Arc` of it, see [`Home`].
///
/// ```
/// use hpalloc::{Arena, Borrowed, Page, Pool, PoolBox};
///
/// type Nodes<'p> = Pool<Node<'p>, Arena<Borrowed<'p>>>;
///
/// /// A list of which each node is in the pool.
/// struct Node<'p> {
///     value: u32,
///     next: Option<PoolBox<Node<'p>, &'p Nodes<'p>>>,
/// }
///
/// # let mut memory = [const { Page::new() }; 1];
/// let nodes = Nodes::new(Arena::from_pages(&mut memory)?);
/// let last = nodes.alloc(Node { value: 2, next: None }).ok().unwrap();
/// let first = Node { value: 1, next: Some(last) };
/// assert_eq!(first.next.unwrap().value, 2);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
///
/// # Trait objects and slices
///
/// [`unsize!`](crate::unsize) makes a box of a `dyn Trait` or of a slice from one of a type that fits it.
pub struct PoolBox<T: ?Sized, H: Home> {
    /// *Invariant (Full):* a value that is this box's alone, in a block from `home` whose pointer is as `home` returned it;
    /// or of no size, and then there is no block.
    value: NonNull<T>,
    home: H,
}

assert_not_impl_any!(PoolBox<u8, &'static Pool<u8, Arena<RawRegion>>>: Send, Clone);
assert_impl_all!(PoolBox<u8, &'static Pool<u8, Arena<RawRegion>>>: Sync, Unpin);
assert_not_impl_any!(PoolBox<core::cell::Cell<u8>, &'static Pool<core::cell::Cell<u8>, Arena<RawRegion>>>: Sync);
assert_eq_size!(PoolBox<[u8; 100], &'static Pool<[u8; 100], Arena<RawRegion>>>, [usize; 2]);
assert_eq_size!(
    PoolBox<u8, &'static Pool<u8, Arena<RawRegion>>>,
    Option<PoolBox<u8, &'static Pool<u8, Arena<RawRegion>>>>
);

/// A box of longer-lived values serves where one of shorter-lived values is asked for.
const fn _covariant<'pool, 'short: 'pool, P: PageSource + 'pool>(
    value: PoolBox<&'static u8, &'pool Pool<&'static u8, P>>,
) -> PoolBox<&'short u8, &'pool Pool<&'short u8, P>> {
    value
}

// SAFETY: the value and its home go along, and both can be sent.
unsafe impl<T: ?Sized + Send, H: Home + Send> Send for PoolBox<T, H> {}
// SAFETY: a shared box lends its value alone, shared.
unsafe impl<T: ?Sized + Sync, H: Home> Sync for PoolBox<T, H> {}

/// The value stays where it is when its box is moved.
impl<T: ?Sized, H: Home> Unpin for PoolBox<T, H> {}

impl<T, H: Home<Value = T>> PoolBox<T, H> {
    /// Moves `value` into a block of the pool that `home` leads to.
    ///
    /// A box in an `Rc<Pool>` or an `Arc<Locked<Pool>>` owns a share of its pool, and can go wherever its value can.
    ///
    /// # Errors
    ///
    /// [`PoolFull`], with the value, if no block is free and the source has no more pages. The `home` is dropped.
    ///
    /// # Time complexity
    ///
    /// That of [`Pool::alloc`], and waiting for the lock if there is one.
    ///
    /// # Panics
    ///
    /// As [`Pool::alloc`], or if the lock does.
    ///
    /// ```
    /// # #[cfg(all(feature = "std", feature = "spin"))] {
    /// use std::sync::Arc;
    /// use hpalloc::{Arena, Boxed, Locked, Pool, PoolBox, Spin};
    ///
    /// let arena = Arena::from_region(Boxed::new(64 << 10)?)?;
    /// let pool: Arc<Locked<Pool<String, _>, Spin>> = Arc::new(Locked::new(Pool::new(arena)));
    /// let message = PoolBox::new_in(String::from("hello"), Arc::clone(&pool))?;
    /// drop(pool);
    /// let length = std::thread::spawn(move || message.len()).join().unwrap();
    /// assert_eq!(length, 5);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn new_in(value: T, home: H) -> Result<Self, PoolFull<T>> {
        match Self::take(home) {
            // SAFETY: the value is written to the block, by one move and not by one for each function on the way.
            Some(boxed) => Ok(unsafe {
                boxed.value.cast().write(value);
                PoolBox::assume_init(boxed)
            }),
            None => Err(PoolFull(value)),
        }
    }
}

impl<T, H: Home<Value = T>> PoolBox<MaybeUninit<T>, H> {
    /// A block for a value that is constructed in place: see [`Pool::alloc_uninit`], also for the time and for panics.
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
        let value = if size_of::<T>() == 0 { NonNull::dangling() } else { reported(|| home.take(SEAL))?.cast() };
        // Full: a block of the home holds a `T`, and an uninitialised one is always there.
        Some(Self { value, home })
    }

    /// As [`new_uninit_in`](Self::new_uninit_in), with all bytes zero: see [`Pool::alloc_zeroed`], also for the time and
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

impl<T, H: Home> PoolBox<T, H> {
    /// Moves a value of another type than the pool's into a block, if it fits: it must be no larger than the pool's values,
    /// and aligned to no more. That is checked when the program is compiled.
    ///
    /// One pool can so hold values of several types, as trait objects: tasks of an executor, for example, whose types have
    /// no name.
    ///
    /// # Errors
    ///
    /// [`PoolFull`], with the value, if no block is free and the source has no more pages. The `home` is dropped.
    ///
    /// # Time complexity
    ///
    /// That of [`new_in`](Self::new_in).
    ///
    /// # Panics
    ///
    /// As [`new_in`](Self::new_in).
    ///
    /// ```
    /// # #[cfg(feature = "critical-section")] {
    /// use core::future::Future;
    /// use core::pin::Pin;
    /// use hpalloc::{PoolBox, StaticPool, unsize};
    ///
    /// type Slot = [usize; 16];
    /// type Task = Pin<PoolBox<dyn Future<Output = ()>, &'static StaticPool<Slot>>>;
    ///
    /// hpalloc::static_pool! { static TASKS: Pool<Slot, 4>; }
    ///
    /// async fn blink(times: u32) {}
    ///
    /// let task = PoolBox::fit_in(blink(3), &TASKS).ok().unwrap();
    /// let task: Task = PoolBox::into_pin(unsize!(task => dyn Future<Output = ()>));
    /// # }
    /// ```
    ///
    /// A value that doesn't fit does not compile:
    ///
    /// ```compile_fail,E0080
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 500];
    /// let numbers = hpalloc::Pool::<u32, _>::from_uninit(&mut memory).unwrap();
    /// hpalloc::PoolBox::fit_in([0_u8; 5], &numbers);
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn fit_in(value: T, home: H) -> Result<Self, PoolFull<T>> {
        const {
            assert!(size_of::<T>() <= size_of::<H::Value>(), "the value is larger than those of the pool");
            assert!(
                align_of::<T>() <= align_of::<H::Value>(),
                "the value's alignment is above that of the pool's values"
            );
        }
        match Self::take(home) {
            // SAFETY: as in `new_in`.
            Some(boxed) => Ok(unsafe {
                boxed.value.cast().write(value);
                PoolBox::assume_init(boxed)
            }),
            None => Err(PoolFull(value)),
        }
    }

    /// A block, or none for a type of no size. A block of the home has room for a `T`.
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    fn take(home: H) -> Option<PoolBox<MaybeUninit<T>, H>> {
        let value = if size_of::<T>() == 0 { NonNull::dangling() } else { reported(|| home.take(SEAL))?.cast() };
        // SAFETY: Full: an uninitialised value is in any block.
        Some(unsafe { PoolBox::from_parts(value, home) })
    }

    /// The value, moved out of its block, which is returned to the pool.
    ///
    /// The time of moving the value, and of returning a block: see [`FixedBlock::deallocate`](crate::FixedBlock::deallocate),
    /// also for panics. The box of a pool behind a lock waits for it.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let text = pool.alloc(String::from("kept"))?;
    /// assert_eq!(PoolBox::into_inner(text), "kept");
    /// assert_eq!(pool.blocks().free_blocks(), 1);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn into_inner(boxed: Self) -> T {
        let checked = boxed.check();
        let (value, home) = Self::into_parts(boxed);
        match checked {
            // There is no value, and the block isn't the box's.
            Err(error) if !is_overflow(error) => no_value(error),
            // After an overflow both are there, and it is reported when the block is returned.
            _ => {}
        }
        // SAFETY: by Full, the value is there, and it is read once. What is left is a block without a value.
        unsafe {
            let _block = PoolBox::from_parts(value.cast::<MaybeUninit<T>>(), home);
            value.read()
        }
    }
}

impl<T: ?Sized, H: Home> PoolBox<T, H> {
    /// The block that the value is in. A value of no size has none.
    #[inline]
    fn block(&self) -> Option<NonNull<u8>> {
        (size_of_val::<T>(self) != 0).then_some(self.value.cast())
    }

    /// Whether there is a value: with `--cfg hpalloc_hardened`, whether its block is live.
    #[inline]
    fn check(&self) -> Result<(), MisuseError> {
        self.block().map_or(Ok(()), |block| self.home.check(block, SEAL))
    }

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
    /// The value's address, with the value left in its block. [`Pool::from_raw`] makes it a box again; without that,
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

impl<T: ?Sized, H: Home> Drop for PoolBox<T, H> {
    #[inline]
    fn drop(&mut self) {
        /// Returns the block when it is dropped. *Invariant (Last):* the block came from this home, and what was in it is gone.
        struct ReturnBlock<'b, H: Home>(NonNull<u8>, &'b H);

        impl<H: Home> Drop for ReturnBlock<'_, H> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: by Last, nothing uses the block any more.
                if let Err(error) = unsafe { self.1.give_back(self.0, SEAL) } {
                    report(error);
                }
            }
        }

        match self.check() {
            // There is no value to drop, and the block isn't the box's.
            Err(error) if !is_overflow(error) => return report(error),
            // After an overflow both are there, and it is reported when the block is returned.
            _ => {}
        }
        // After the value, also if its drop panics. Last holds then, by Full.
        let _returned = self.block().map(|block| ReturnBlock(block, &self.home));
        // SAFETY: by Full, the value is there and this box's alone; it isn't used after this.
        unsafe { self.value.drop_in_place() };
    }
}

impl<T: ?Sized, H: Home> Deref for PoolBox<T, H> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by Full, and the borrow of the box is that of the value.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized, H: Home> DerefMut for PoolBox<T, H> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by Full, and the borrow of the box is that of the value.
        unsafe { self.value.as_mut() }
    }
}

#[cfg(feature = "stable-deref")]
// SAFETY: by Full, the value is in its block, which doesn't move with the box, and `deref` returns its address every time.
unsafe impl<T: ?Sized, H: Home> stable_deref_trait::StableDeref for PoolBox<T, H> {}

impl<T: ?Sized, H: Home> AsRef<T> for PoolBox<T, H> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized, H: Home> AsMut<T> for PoolBox<T, H> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized, H: Home> Borrow<T> for PoolBox<T, H> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized, H: Home> BorrowMut<T> for PoolBox<T, H> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized + fmt::Debug, H: Home> fmt::Debug for PoolBox<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: ?Sized + fmt::Display, H: Home> fmt::Display for PoolBox<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: ?Sized, H: Home> fmt::Pointer for PoolBox<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl<T: ?Sized + defmt::Format, H: Home> defmt::Format for PoolBox<T, H> {
    fn format(&self, f: defmt::Formatter<'_>) {
        T::format(self, f);
    }
}

impl<T: ?Sized + PartialEq, H: Home> PartialEq for PoolBox<T, H> {
    fn eq(&self, other: &Self) -> bool {
        T::eq(self, other)
    }
}

impl<T: ?Sized + Eq, H: Home> Eq for PoolBox<T, H> {}

impl<T: ?Sized + PartialOrd, H: Home> PartialOrd for PoolBox<T, H> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        T::partial_cmp(self, other)
    }
}

impl<T: ?Sized + Ord, H: Home> Ord for PoolBox<T, H> {
    fn cmp(&self, other: &Self) -> Ordering {
        T::cmp(self, other)
    }
}

impl<T: ?Sized + Hash, H: Home> Hash for PoolBox<T, H> {
    fn hash<S: Hasher>(&self, state: &mut S) {
        T::hash(self, state);
    }
}
