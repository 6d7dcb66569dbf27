use core::fmt;
use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};
use core::ptr::NonNull;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::hardened::{MisuseError, report, reported};
use crate::{Arena, BlockSize, BlockSizeError, Borrowed, FixedBlock, NoPages, PageSource, RawRegion};

mod pool_box;

use home::{Blocks, SEAL, Seal};

pub use pool_box::PoolBox;

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
/// nor one that is too large:
///
/// ```compile_fail,E0080
/// # use hpalloc::{Arena, Page, Pool};
/// # let mut memory = [const { Page::new() }; 1];
/// # let arena = Arena::from_pages(&mut memory).unwrap();
/// let pool: Pool<[u8; (256 << 20) + 1], _> = Pool::new(&arena);
/// ```
///
/// Like a `FixedBlock`, a pool belongs to one thread at a time, and so do its boxes:
///
/// ```compile_fail,E0277
/// # use hpalloc::{Arena, Page, Pool};
/// # let mut memory = [const { Page::new() }; 1];
/// # let arena = Arena::from_pages(&mut memory).unwrap();
/// let pool = Pool::new(&arena);
/// let number = pool.alloc(7).unwrap();
/// std::thread::scope(|scope| {
///     scope.spawn(move || drop(number));
/// });
/// ```
///
/// Behind a lock, in a [`Locked`](crate::Locked), it serves several, and the boxes can be sent between them.
///
/// A value of size zero takes no block, so such values are never refused.
pub struct Pool<T, P: PageSource> {
    /// Of the size and the alignment of a `T`.
    blocks: FixedBlock<P>,
    values: PhantomData<fn() -> T>,
}

// A pool holds no value, so whether it can be sent depends on the source of its pages alone.
assert_impl_all!(Pool<*const u8, Arena<Borrowed<'static>>>: Send);
assert_not_impl_any!(Pool<u8, Arena<RawRegion>>: Sync, Clone);

impl<T, P: PageSource> Pool<T, P> {
    const BLOCK_SIZE: BlockSize = BlockSize::of::<T>();

    /// A pool that takes its memory from `pages`. It takes none yet, and can be made in a constant.
    ///
    /// Constant time. Never panics.
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
    /// # Panics
    ///
    /// Only if the source of pages does, or, with `--cfg hpalloc_hardened`, the hook for misuse.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::{Arena, Page, Pool};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let halves = Pool::new(&arena);
    /// let first = halves.alloc([1_u8; 2048]).unwrap();
    /// let second = halves.alloc([2; 2048]).unwrap();
    /// assert_eq!(halves.alloc([3; 2048]).unwrap_err(), [3; 2048]);
    /// # }
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
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
    /// # Panics
    ///
    /// Where `make` does, or [`alloc`](Self::alloc).
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::{Arena, Page, Pool};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let pages = Pool::new(&arena);
    /// let page = pages.alloc_with(|| [0_u8; 4096]).unwrap();
    /// assert!(pages.alloc_with(|| unreachable!()).is_none());
    /// # }
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc_with(&self, make: impl FnOnce() -> T) -> Option<PoolBox<'_, T, P>> {
        alloc_with(self, make)
    }

    /// The box of a value that [`PoolBox::into_raw`] gave out.
    ///
    /// Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// `value` is the very pointer that `into_raw` returned for a box of this pool, not one that was made from a reference to
    /// the value; what it points to is still there, nothing else uses it, and no other box was made of it.
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
    /// Constant time. Never panics.
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
    /// Constant time, with one division. Never panics.
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
        if size_of::<T>() == 0 {
            return Ok(Self::new(NoPages::new()));
        }
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

/// What a [`PoolBox`] came from and returns its block to: a [`Pool`], or one behind a lock.
///
/// It is implemented by this crate alone, and its methods can't be called from outside:
///
/// ```compile_fail,E0061
/// fn steal<T, H: hpalloc::Home<T>>(home: &H) {
///     home.take();
/// }
/// ```
pub trait Home<T>: home::Blocks {}

pub(crate) mod home {
    use core::ptr::NonNull;

    use crate::hardened::MisuseError;

    /// Asked for by each method, and made in this crate alone.
    #[derive(Clone, Copy, Debug)]
    pub struct Seal(());

    pub(crate) const SEAL: Seal = Seal(());

    /// Blocks that hold a value of the type that a `Home` is for.
    pub trait Blocks {
        fn take(&self, seal: Seal) -> Result<Option<NonNull<u8>>, MisuseError>;

        /// # Safety
        ///
        /// The block came from `take`, and nothing uses it any more.
        unsafe fn give_back(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError>;

        /// Whether the block is live, as far as that is known.
        fn check(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError>;

        /// A block is given up for good.
        fn forget(&self, seal: Seal);
    }
}

impl<T, P: PageSource> Blocks for Pool<T, P> {
    #[inline]
    fn take(&self, _: Seal) -> Result<Option<NonNull<u8>>, MisuseError> {
        self.blocks.try_allocate()
    }

    #[inline]
    unsafe fn give_back(&self, block: NonNull<u8>, _: Seal) -> Result<(), MisuseError> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.blocks.give_back(block) }
    }

    #[inline]
    fn check(&self, block: NonNull<u8>, _: Seal) -> Result<(), MisuseError> {
        // SAFETY: the pool is of no family.
        unsafe { self.blocks.check(block) }
    }

    #[inline]
    fn forget(&self, _: Seal) {
        self.blocks.forget();
    }
}

impl<T, P: PageSource> Home<T> for Pool<T, P> {}

/// As [`Pool::alloc`].
#[inline]
#[cfg_attr(hpalloc_hardened, track_caller)]
pub(crate) fn alloc<T, P, H: Home<T>>(home: &H, value: T) -> Result<PoolBox<'_, T, P, H>, T> {
    match Slot::take(home) {
        Some(slot) => Ok(slot.fill(value)),
        None => Err(value),
    }
}

/// As [`Pool::alloc_with`].
#[inline]
#[cfg_attr(hpalloc_hardened, track_caller)]
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
    #[cfg_attr(hpalloc_hardened, track_caller)]
    fn take(home: &'p H) -> Option<Self> {
        let place = if size_of::<T>() == 0 { NonNull::dangling() } else { reported(|| home.take(SEAL))?.cast() };
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
            if let Err(error) = unsafe { self.home.give_back(self.place.cast(), SEAL) } {
                report(error);
            }
        }
    }
}
