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

/// An owning pointer to a value in a block of a [`Pool`], like a `Box`.
///
/// The box derefs to the value. Dropping it drops the value and then returns the block to
/// the pool, even if dropping the value panics. It compares, hashes and formats like
/// the value.
///
/// `H` is the place to which the block returns: a reference to the pool, or an `Rc` or
/// `Arc` of it. See [`Home`]. With a reference, the box has the size of two pointers, or
/// three if its value is a `dyn Trait` or a slice.
///
/// ```
/// use hpalloc::{Arena, Borrowed, Page, Pool, PoolBox};
///
/// type Nodes<'p> = Pool<Node<'p>, Arena<Borrowed<'p>>>;
///
/// /// A node of a list, all of whose nodes are in the pool.
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
/// [`unsize!`](crate::unsize) converts a box into one of a `dyn Trait` or a slice.
pub struct PoolBox<T: ?Sized, H: Home> {
    /// *Invariant (Full):* it points to a value that belongs to this box alone, in a
    /// block from `home`, and is the pointer that `home` returned. A value of size zero
    /// has no block.
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

/// Compiles only because a box is covariant: one of longer-lived values can be used as
/// one of shorter-lived values.
const fn _covariant<'pool, 'short: 'pool, P: PageSource + 'pool>(
    value: PoolBox<&'static u8, &'pool Pool<&'static u8, P>>,
) -> PoolBox<&'short u8, &'pool Pool<&'short u8, P>> {
    value
}

// SAFETY: a box carries its value and its home with it, and both are `Send`.
unsafe impl<T: ?Sized + Send, H: Home + Send> Send for PoolBox<T, H> {}
// SAFETY: a shared box gives access only to its value, by shared reference.
unsafe impl<T: ?Sized + Sync, H: Home> Sync for PoolBox<T, H> {}

/// Moving a box doesn't move its value.
impl<T: ?Sized, H: Home> Unpin for PoolBox<T, H> {}

impl<T, H: Home<Value = T>> PoolBox<T, H> {
    /// Moves `value` into a block of the pool that `home` refers to.
    ///
    /// With an `Rc<Pool>` or an `Arc<Locked<Pool>>` as its home, the box owns a share of
    /// its pool and can go wherever its value can.
    ///
    /// # Errors
    ///
    /// [`PoolFull`], which contains the value, if no block is free and the page source
    /// has no more pages. In that case `home` is dropped.
    ///
    /// # Time complexity
    ///
    /// That of [`Pool::alloc`], plus waiting for the lock if there is one.
    ///
    /// # Panics
    ///
    /// As [`Pool::alloc`], or if the lock panics.
    ///
    /// ```
    /// # #[cfg(all(feature = "std", feature = "spin"))] {
    /// use std::sync::Arc;
    /// use hpalloc::{Arena, Boxed, Locked, Pool, PoolBox, Spin};
    ///
    /// let arena = Arena::from_region(Boxed::new(64 << 10)?)?;
    /// type Messages = Locked<Pool<String, Arena<Boxed>>, Spin>;
    /// let pool: Arc<Messages> = Arc::new(Locked::new(Pool::new(arena)));
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
            // SAFETY: the value is initialized when `assume_init` is called. It is
            // written here, and not by `write`, because each function that it passes
            // through could move it once more.
            Some(boxed) => Ok(unsafe {
                boxed.value.cast().write(value);
                PoolBox::assume_init(boxed)
            }),
            None => Err(PoolFull(value)),
        }
    }
}

impl<T, H: Home> PoolBox<T, H> {
    /// Moves a value of a type other than the pool's into a block. The compiler checks
    /// that it fits: it must be no larger than the pool's values and have no larger
    /// alignment.
    ///
    /// In this way, one pool can hold values of several types as trait objects, such as
    /// an executor's tasks: the types of futures have no names.
    ///
    /// # Errors
    ///
    /// [`PoolFull`], which contains the value, if no block is free and the page source
    /// has no more pages. In that case `home` is dropped.
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
    /// A value that doesn't fit doesn't compile:
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
            assert!(size_of::<T>() <= size_of::<H::Value>(), "the value is larger than the pool's values");
            assert!(
                align_of::<T>() <= align_of::<H::Value>(),
                "the value's alignment is larger than that of the pool's values"
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

    /// Allocates a block. A type of size zero gets none. The caller has checked that the
    /// home's blocks have room for a `T`.
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub(super) fn take(home: H) -> Option<PoolBox<MaybeUninit<T>, H>> {
        let value = if size_of::<T>() == 0 { NonNull::dangling() } else { reported(|| home.take(SEAL))?.cast() };
        // SAFETY: Full holds, because a block with room for a `T` always holds a
        // `MaybeUninit<T>`.
        Some(unsafe { PoolBox::from_parts(value, home) })
    }

    /// Moves the value out of its block and returns the block to the pool.
    ///
    /// The time is that of moving the value and of
    /// [`FixedBlock::deallocate`](crate::FixedBlock::deallocate), plus waiting for the
    /// lock if the pool has one. Panics as `deallocate` does. With `--cfg
    /// hpalloc_hardened`, it also panics if the block isn't live and the misuse hook
    /// returns, because there is no value to return.
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
            // The block is not live: there is no value, and nothing to return to the
            // pool.
            Err(error) if !is_overflow(error) => no_value(error),
            // After an overflow, the value and the block are still there. The overflow is
            // reported when the block returns to the pool.
            _ => {}
        }
        // SAFETY: by Full, the value is there. It is read once, because `_block` is the
        // box of a block without a value.
        unsafe {
            let _block = PoolBox::from_parts(value.cast::<MaybeUninit<T>>(), home);
            value.read()
        }
    }
}

impl<T: ?Sized, H: Home> PoolBox<T, H> {
    /// Returns the block that contains the value. A value of size zero has none.
    #[inline]
    fn block(&self) -> Option<NonNull<u8>> {
        (size_of_val::<T>(self) != 0).then_some(self.value.cast())
    }

    /// In a hardened build, returns an error if the block is not live or its end was
    /// overwritten.
    #[inline]
    fn check(&self) -> Result<(), MisuseError> {
        self.block().map_or(Ok(()), |block| self.home.check(block, SEAL))
    }
}

impl<T: ?Sized, H: Home> Drop for PoolBox<T, H> {
    #[inline]
    fn drop(&mut self) {
        /// Returns the block when it is dropped. *Invariant (Last):* the block came from
        /// this home, and the value in it was moved out or dropped.
        struct ReturnBlock<'b, H: Home>(NonNull<u8>, &'b H);

        impl<H: Home> Drop for ReturnBlock<'_, H> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: by Last, the block is no longer used.
                if let Err(error) = unsafe { self.1.give_back(self.0, SEAL) } {
                    report(error);
                }
            }
        }

        match self.check() {
            // The block is not live: there is no value to drop, and nothing to return to
            // the pool.
            Err(error) if !is_overflow(error) => return report(error),
            // After an overflow, the value and the block are still there. The overflow is
            // reported when the block returns to the pool.
            _ => {}
        }
        // This is dropped after the value, even if dropping the value panics. By Full,
        // Last holds at that point.
        let _returned = self.block().map(|block| ReturnBlock(block, &self.home));
        // SAFETY: by Full, the value is there and belongs to this box alone. It isn't
        // used after this.
        unsafe { self.value.drop_in_place() };
    }
}

impl<T: ?Sized, H: Home> Deref for PoolBox<T, H> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: Full. The value is borrowed for as long as the box is.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized, H: Home> DerefMut for PoolBox<T, H> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: Full. The value is borrowed for as long as the box is.
        unsafe { self.value.as_mut() }
    }
}

#[cfg(feature = "stable-deref")]
// SAFETY: by Full, the value is in its block, which doesn't move with the box, so `deref`
// always returns the same address.
unsafe impl<T: ?Sized, H: Home> stable_deref_trait::StableDeref for PoolBox<T, H> {}
