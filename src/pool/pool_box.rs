use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any};

use super::{Home, Pool, PoolFull};
use crate::hardened::{MisuseError, is_overflow, no_value, report, reported};
use crate::seal::SEAL;
use crate::{Arena, PageSource, RawRegion};

mod like_its_value;
mod parts;
mod uninit;

/// A value in a block of a [`Pool`]: the owner of both.
///
/// It derefs to the value. When it is dropped, it drops the value and returns the block to the pool, the latter also if
/// the former panics. It compares, hashes and formats like the value. With a reference to
/// the pool it is two pointers large, or three if its value is a `dyn Trait` or a slice.
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
    pub(super) fn take(home: H) -> Option<PoolBox<MaybeUninit<T>, H>> {
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
