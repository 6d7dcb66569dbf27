use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::NonNull;

use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any};

use crate::{Arena, BlockSize, BlockSizeError, Borrowed, FixedBlock, NoPages, PageSource, RawRegion};

/// A pool of values of one type: a [`FixedBlock`] that can't be misused.
///
/// [`alloc`](Self::alloc) moves a value into a block and returns a [`PoolBox`], which derefs to it, and when it is dropped
/// drops the value and gives the block back. There is no unsafe code to write, and no heap:
///
/// ```
/// use hpalloc::{Arena, Page, Pool};
///
/// struct Packet {
///     bytes: [u8; 120],
///     len: usize,
/// }
///
/// let mut memory = [const { Page::new() }; 1];
/// let arena = Arena::from_pages(&mut memory)?;
/// let packets = Pool::new(&arena);
///
/// let mut packet = packets.alloc(Packet { bytes: [0; 120], len: 0 }).ok().expect("a page holds 32 packets");
/// packet.bytes[0] = 0x45;
/// packet.len = 1;
/// drop(packet);
/// assert_eq!(packets.blocks().free_blocks(), 1);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
///
/// The pool can't go while a box of it is there:
///
/// ```compile_fail,E0505
/// # use hpalloc::{Arena, Page, Pool};
/// # let mut memory = [const { Page::new() }; 1];
/// # let arena = Arena::from_pages(&mut memory).unwrap();
/// let numbers = Pool::new(&arena);
/// let seven = numbers.alloc(7_u32).unwrap();
/// drop(numbers);
/// assert_eq!(*seven, 7);
/// ```
///
/// nor can what is borrowed by its values:
///
/// ```compile_fail,E0597
/// # use hpalloc::{Arena, Page, Pool};
/// # let mut memory = [const { Page::new() }; 1];
/// # let arena = Arena::from_pages(&mut memory).unwrap();
/// let names = Pool::new(&arena);
/// let name;
/// {
///     let text = String::from("short-lived");
///     name = names.alloc(&*text).unwrap();
/// }
/// assert_eq!(name.len(), 11);
/// ```
///
/// A type that no block can hold does not compile; the message names the bound:
///
/// ```compile_fail,E0080
/// # use hpalloc::{Arena, Page, Pool};
/// # let mut memory = [const { Page::new() }; 1];
/// # let arena = Arena::from_pages(&mut memory).unwrap();
/// #[repr(align(8192))]
/// struct OverAligned(u8);
///
/// Pool::new(&arena).alloc(OverAligned(0));
/// ```
///
/// Like a `FixedBlock`, a pool belongs to one thread at a time, and so do its boxes. Behind a lock, in a
/// `Locked`, it serves several, and the boxes can be sent between them.
///
/// A value of size zero takes no block, so such values are never refused.
pub struct Pool<T, P: PageSource> {
    /// Of blocks that hold a `T`. *Invariant (Whole):* what is not in a `PoolBox`, or leaked from one, holds no value.
    blocks: FixedBlock<P>,
    values: PhantomData<fn() -> T>,
}

// A pool holds no value, so whether it can be sent depends on the source of its pages alone.
assert_impl_all!(Pool<*const u8, Arena<Borrowed<'static>>>: Send);
assert_not_impl_any!(Pool<u8, Arena<RawRegion>>: Sync, Clone);
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

impl<T, P: PageSource> Pool<T, P> {
    const BLOCK_SIZE: BlockSize = BlockSize::of::<T>();

    /// A pool that takes its memory from `pages`. It takes none yet, and can be made in a constant.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool: Pool<[u32; 6], _> = Pool::new(Arena::from_pages(&mut memory)?);
    /// assert_eq!(pool.blocks().block_size(), 24);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub const fn new(pages: P) -> Self {
        Self { blocks: FixedBlock::with_block_size(pages, Self::BLOCK_SIZE), values: PhantomData }
    }

    /// Moves `value` into a block.
    ///
    /// # Errors
    ///
    /// Where no block is free and the source has no more pages, the value comes back.
    ///
    /// # Time complexity
    ///
    /// Constant: that of [`FixedBlock::allocate`], and a move.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let halves = Pool::new(&arena);
    /// let first = halves.alloc([1_u8; 2048]).unwrap();
    /// let second = halves.alloc([2; 2048]).unwrap();
    /// assert_eq!(halves.alloc([3; 2048]).unwrap_err(), [3; 2048]);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    pub fn alloc(&self, value: T) -> Result<PoolBox<'_, T, P>, T> {
        alloc(self, value)
    }

    /// A value that `make` returns, in a block; `None` where there is no block, and then `make` isn't called.
    ///
    /// The compiler can build the value in its place, where [`alloc`](Self::alloc) may build a large one on the stack
    /// first. If `make` panics, the block goes back.
    ///
    /// # Time complexity
    ///
    /// Constant but for `make`.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let pages = Pool::new(&arena);
    /// let page = pages.alloc_with(|| [0_u8; 4096]).unwrap();
    /// assert!(pages.alloc_with(|| unreachable!()).is_none());
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    pub fn alloc_with(&self, make: impl FnOnce() -> T) -> Option<PoolBox<'_, T, P>> {
        alloc_with(self, make)
    }

    /// The box of a value that [`PoolBox::into_raw`] gave out.
    ///
    /// # Safety
    ///
    /// `value` was returned by `into_raw` for a box of this pool, as it is given here; what it points to is still there,
    /// nothing else uses it, and no other box was made of it.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let raw = PoolBox::into_raw(pool.alloc(5_u64).unwrap());
    /// // SAFETY: it came from a box of this pool and isn't used any more.
    /// assert_eq!(*unsafe { pool.from_raw(raw) }, 5);
    /// assert_eq!(pool.blocks().free_blocks(), 1);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    #[allow(clippy::wrong_self_convention, reason = "as `Box::from_raw`, which has a pool that is always there")]
    pub const unsafe fn from_raw(&self, value: NonNull<T>) -> PoolBox<'_, T, P> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { PoolBox::from_home(self, value) }
    }

    /// The pool's blocks, to look at their counts.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let (one, two) = (pool.alloc(1).unwrap(), pool.alloc(2).unwrap());
    /// assert_eq!(pool.blocks().peak_blocks(), 2);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub const fn blocks(&self) -> &FixedBlock<P> {
        &self.blocks
    }
}

impl<'r, T> Pool<T, NoPages<'r>> {
    /// A pool in a slice of memory, of any size: see [`FixedBlock::from_uninit`].
    ///
    /// # Errors
    ///
    /// Those of [`FixedBlock::from_uninit`].
    ///
    /// ```
    /// use core::mem::MaybeUninit;
    /// use hpalloc::{BlockSizeError, Pool};
    ///
    /// let mut memory = [MaybeUninit::uninit(); 1000];
    /// let pool = Pool::from_uninit(&mut memory)?;
    /// let event = pool.alloc((7_u32, [0_u8; 20])).unwrap();
    /// assert_eq!(event.0, 7);
    /// # Ok::<(), BlockSizeError>(())
    /// ```
    pub fn from_uninit(memory: &'r mut [MaybeUninit<u8>]) -> Result<Self, BlockSizeError> {
        let blocks = FixedBlock::in_memory(memory, Self::BLOCK_SIZE)?;
        Ok(Self { blocks, values: PhantomData })
    }
}

impl<T, P: PageSource> fmt::Debug for Pool<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<T, P: PageSource> defmt::Format for Pool<T, P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Pool {{ {} }}", self.blocks);
    }
}

/// What a [`PoolBox`] came from and gives its block back to: a [`Pool`], or one behind a lock.
///
/// It is implemented by this crate alone.
pub trait Home<T>: home::Blocks {}

pub(crate) mod home {
    use core::ptr::NonNull;

    /// Blocks that hold a value of the type that a `Home` is for.
    pub trait Blocks {
        fn take(&self) -> Option<NonNull<u8>>;

        /// # Safety
        ///
        /// The block came from `take`, and nothing uses it any more.
        unsafe fn give_back(&self, block: NonNull<u8>);
    }
}

impl<T, P: PageSource> home::Blocks for Pool<T, P> {
    #[inline]
    fn take(&self) -> Option<NonNull<u8>> {
        self.blocks.allocate()
    }

    #[inline]
    unsafe fn give_back(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.blocks.deallocate(block) }
    }
}

impl<T, P: PageSource> Home<T> for Pool<T, P> {}

/// As [`Pool::alloc`].
#[inline]
pub(crate) fn alloc<T, P, H: Home<T>>(home: &H, value: T) -> Result<PoolBox<'_, T, P, H>, T> {
    match Slot::take(home) {
        Some(slot) => Ok(slot.fill(value)),
        None => Err(value),
    }
}

/// As [`Pool::alloc_with`].
#[inline]
pub(crate) fn alloc_with<T, P, H: Home<T>>(home: &H, make: impl FnOnce() -> T) -> Option<PoolBox<'_, T, P, H>> {
    let slot = Slot::take(home)?;
    let value = make();
    Some(slot.fill(value))
}

/// A place for a `T` that is empty, and goes back when it is dropped. *Invariant (Place):* it is a block from `home`, of
/// which nobody else knows, or of no size and dangling.
struct Slot<'p, T, H: Home<T>> {
    place: NonNull<T>,
    home: &'p H,
}

impl<'p, T, H: Home<T>> Slot<'p, T, H> {
    #[inline]
    fn take(home: &'p H) -> Option<Self> {
        let place = if size_of::<T>() == 0 { NonNull::dangling() } else { home.take()?.cast() };
        Some(Self { place, home })
    }

    #[inline]
    fn fill<P>(self, value: T) -> PoolBox<'p, T, P, H> {
        // SAFETY: by Place, and as the block size is that of a `T` (`Pool::BLOCK_SIZE`), it can hold one.
        unsafe { self.place.write(value) };
        // SAFETY: the value is there now, and the place is given up.
        let full = unsafe { PoolBox::from_home(self.home, self.place) };
        mem::forget(self);
        full
    }
}

impl<T, H: Home<T>> Drop for Slot<'_, T, H> {
    #[inline]
    fn drop(&mut self) {
        if size_of::<T>() != 0 {
            // SAFETY: by Place, the block came from there, and nobody else knows of it.
            unsafe { self.home.give_back(self.place.cast()) };
        }
    }
}

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

    /// The value, out of its block, which goes back.
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
    pub fn into_inner(boxed: Self) -> T {
        let slot = Slot { place: boxed.value, home: boxed.home };
        mem::forget(boxed);
        // SAFETY: by Full, the value is there. It is read once: the box is forgotten, and the slot is empty for whoever
        // comes next.
        unsafe { slot.place.read() }
    }

    /// The value's address, with the value left in its block. [`Pool::from_raw`] makes it a box again; without that,
    /// neither is the value dropped nor does the block go back.
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

// SAFETY: the value is in its block, which doesn't move with the box, and `deref` returns the same address every time.
#[cfg(feature = "stable-deref")]
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
