use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::mem;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::NonNull;

use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any};

use super::home::SEAL;
use super::{Home, Pool, Slot};
use crate::hardened::{MisuseError, is_overflow, no_value, report};
use crate::{Arena, PageSource, RawRegion};

/// A value in a block of a [`Pool`]: the owner of both.
///
/// It derefs to the value. When it is dropped, it drops the value and gives the block back, the latter also if the
/// former panics. It compares, hashes and formats like the value. It is two pointers large.
///
/// `P` is the pool's source of pages; `H` is what the box gives its block back to, the pool where nothing else is said.
///
/// ```
/// use hpalloc::{Arena, Borrowed, Page, Pool, PoolBox};
///
/// /// A list of which each node is in the pool.
/// struct Node<'p> {
///     value: u32,
///     next: Option<PoolBox<'p, Node<'p>, Arena<Borrowed<'p>>>>,
/// }
///
/// # let mut memory = [const { Page::new() }; 1];
/// let arena = Arena::from_pages(&mut memory)?;
/// let nodes = Pool::new(arena);
/// let last = nodes.alloc(Node { value: 2, next: None }).ok().unwrap();
/// let first = Node { value: 1, next: Some(last) };
/// assert_eq!(first.next.unwrap().value, 2);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
pub struct PoolBox<'p, T, P, H: Home<T> = Pool<T, P>> {
    /// *Invariant (Full):* a `T` that is this box's alone, in a block from `home` whose pointer is as `home` returned it;
    /// or of no size, and then there is no block.
    value: NonNull<T>,
    home: &'p H,
    pages: PhantomData<fn() -> P>,
}

assert_not_impl_any!(PoolBox<'static, u8, Arena<RawRegion>>: Send, Clone);
assert_impl_all!(PoolBox<'static, u8, Arena<RawRegion>>: Sync, Unpin);
assert_not_impl_any!(PoolBox<'static, core::cell::Cell<u8>, Arena<RawRegion>>: Sync);
assert_eq_size!(PoolBox<'static, [u8; 100], Arena<RawRegion>>, [usize; 2]);
assert_eq_size!(PoolBox<'static, u8, Arena<RawRegion>>, Option<PoolBox<'static, u8, Arena<RawRegion>>>);

/// A box of longer-lived values serves where one of shorter-lived values is asked for.
const fn _covariant<'pool, 'short: 'pool, P: PageSource + 'pool>(
    value: PoolBox<'pool, &'static u8, P>,
) -> PoolBox<'pool, &'short u8, P> {
    value
}

// SAFETY: the value goes along and can be sent, and its block goes back through a shared `home`.
unsafe impl<T: Send, P, H: Home<T> + Sync> Send for PoolBox<'_, T, P, H> {}
// SAFETY: a shared box lends its value alone, shared.
unsafe impl<T: Sync, P, H: Home<T>> Sync for PoolBox<'_, T, P, H> {}

impl<'p, T, P, H: Home<T>> PoolBox<'p, T, P, H> {
    /// # Safety
    ///
    /// Full holds for the value, of which no other box is made.
    #[inline]
    pub(crate) const unsafe fn from_home(home: &'p H, value: NonNull<T>) -> Self {
        Self { value, home, pages: PhantomData }
    }

    /// Whether there is a value: with `--cfg hpalloc_hardened`, whether the block is live.
    #[inline]
    fn check(&self) -> Result<(), MisuseError> {
        if size_of::<T>() == 0 { Ok(()) } else { self.home.check(self.value.cast(), SEAL) }
    }

    /// The value, out of its block, which goes back.
    ///
    /// The time of moving the value, and of giving a block back: see [`FixedBlock::deallocate`](crate::FixedBlock::deallocate), also
    /// for panics. The box of a pool behind a lock waits for it.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let text = pool.alloc(String::from("kept")).unwrap();
    /// assert_eq!(PoolBox::into_inner(text), "kept");
    /// assert_eq!(pool.blocks().free_blocks(), 1);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn into_inner(boxed: Self) -> T {
        let checked = boxed.check();
        let slot = Slot { place: boxed.value, home: boxed.home };
        mem::forget(boxed);
        match checked {
            // There is no value, and the block isn't the box's.
            Err(error) if !is_overflow(error) => {
                mem::forget(slot);
                no_value(error);
            }
            // After an overflow both are there, and the slot reports it.
            _ => {}
        }
        // SAFETY: by Full, the value is there. It is read once: the box is forgotten, and the slot is empty for whoever
        // comes next.
        unsafe { slot.place.read() }
    }

    /// The value's address, with the value left in its block. [`Pool::from_raw`] makes it a box again; without that,
    /// neither is the value dropped nor does the block go back.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let raw = PoolBox::into_raw(pool.alloc([1_u8; 8]).unwrap());
    /// // SAFETY: the value is still there, and nobody else uses it.
    /// assert_eq!(unsafe { raw.read() }, [1; 8]);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "the value is leaked unless it becomes a box again"]
    #[inline]
    pub fn into_raw(boxed: Self) -> NonNull<T> {
        let value = boxed.value;
        mem::forget(boxed);
        value
    }

    /// The value for as long as the pool is borrowed. Neither is it dropped nor does its block go back.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let config: &mut [u16; 4] = PoolBox::leak(pool.alloc([0; 4]).unwrap());
    /// config[3] = 1;
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "a value that is meant to be dropped should not be leaked"]
    #[inline]
    pub fn leak(boxed: Self) -> &'p mut T {
        if size_of::<T>() != 0 {
            boxed.home.forget(SEAL);
        }
        // SAFETY: by Full, the value is the box's alone, and the box gives it up. Its block isn't handed out again, and
        // is there as long as the pool is borrowed.
        unsafe { Self::into_raw(boxed).as_mut() }
    }
}

impl<T, P, H: Home<T>> PoolBox<'static, T, P, H> {
    /// The box, with its value pinned to its place.
    ///
    /// Only where the pool is there for good, as in a `static`. Whoever pins a value promises that its memory is not used
    /// for anything else before it is dropped; but a box can be forgotten, and then a pool that isn't there for good ends,
    /// and its memory is its owner's again. (For the same reason, `Box::into_pin` of the standard library asks for an
    /// allocator that is `'static`.)
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use core::pin::Pin;
    /// use hpalloc::{Arena, Page, Pool, PoolBox, RawRegion};
    ///
    /// fn pin(pool: &'static Pool<u32, Arena<RawRegion>>) -> Option<Pin<PoolBox<'static, u32, Arena<RawRegion>>>> {
    ///     pool.alloc(7).ok().map(PoolBox::into_pin)
    /// }
    /// ```
    ///
    /// ```compile_fail,E0521
    /// # use core::pin::Pin;
    /// # use hpalloc::{Arena, Page, Pool, PoolBox, RawRegion};
    /// fn pin<'p>(pool: &'p Pool<u32, Arena<RawRegion>>) -> Option<Pin<PoolBox<'p, u32, Arena<RawRegion>>>> {
    ///     pool.alloc(7).ok().map(PoolBox::into_pin)
    /// }
    /// ```
    #[must_use]
    pub fn into_pin(boxed: Self) -> Pin<Self> {
        // SAFETY: the value doesn't move with the box. It stays where it is until it is dropped: a pool that is borrowed
        // for good keeps its memory, and a block isn't handed out again before the box was dropped.
        unsafe { Pin::new_unchecked(boxed) }
    }
}

impl<T, P, H: Home<T>> Drop for PoolBox<'_, T, P, H> {
    #[inline]
    fn drop(&mut self) {
        match self.check() {
            // There is no value to drop, and the block isn't the box's.
            Err(error) if !is_overflow(error) => return report(error),
            // After an overflow both are there, and the slot reports it.
            _ => {}
        }
        // Dropped last, and also if the value's drop panics.
        let _slot = Slot { place: self.value, home: self.home };
        // SAFETY: by Full, the value is there and this box's alone; the box isn't used after this.
        unsafe { self.value.drop_in_place() };
    }
}

impl<T, P, H: Home<T>> Deref for PoolBox<'_, T, P, H> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by Full, and the borrow of the box is that of the value.
        unsafe { self.value.as_ref() }
    }
}

impl<T, P, H: Home<T>> DerefMut for PoolBox<'_, T, P, H> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by Full, and the borrow of the box is that of the value.
        unsafe { self.value.as_mut() }
    }
}

#[cfg(feature = "stable-deref")]
// SAFETY: by Full, the value is in its block, which doesn't move with the box, and `deref` returns its address every time.
unsafe impl<T, P, H: Home<T>> stable_deref_trait::StableDeref for PoolBox<'_, T, P, H> {}

impl<T, P, H: Home<T>> AsRef<T> for PoolBox<'_, T, P, H> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T, P, H: Home<T>> AsMut<T> for PoolBox<'_, T, P, H> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T, P, H: Home<T>> Borrow<T> for PoolBox<'_, T, P, H> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T, P, H: Home<T>> BorrowMut<T> for PoolBox<'_, T, P, H> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: fmt::Debug, P, H: Home<T>> fmt::Debug for PoolBox<'_, T, P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: fmt::Display, P, H: Home<T>> fmt::Display for PoolBox<'_, T, P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T, P, H: Home<T>> fmt::Pointer for PoolBox<'_, T, P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl<T: defmt::Format, P, H: Home<T>> defmt::Format for PoolBox<'_, T, P, H> {
    fn format(&self, f: defmt::Formatter<'_>) {
        T::format(self, f);
    }
}

impl<T: PartialEq, P, H: Home<T>> PartialEq for PoolBox<'_, T, P, H> {
    fn eq(&self, other: &Self) -> bool {
        T::eq(self, other)
    }
}

impl<T: Eq, P, H: Home<T>> Eq for PoolBox<'_, T, P, H> {}

impl<T: PartialOrd, P, H: Home<T>> PartialOrd for PoolBox<'_, T, P, H> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        T::partial_cmp(self, other)
    }
}

impl<T: Ord, P, H: Home<T>> Ord for PoolBox<'_, T, P, H> {
    fn cmp(&self, other: &Self) -> Ordering {
        T::cmp(self, other)
    }
}

impl<T: Hash, P, H: Home<T>> Hash for PoolBox<'_, T, P, H> {
    fn hash<S: Hasher>(&self, state: &mut S) {
        T::hash(self, state);
    }
}
