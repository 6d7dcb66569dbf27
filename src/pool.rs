use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::{Arena, BlockSize, BlockSizeError, Borrowed, FixedBlock, NoPages, PageSource, RawRegion};

mod home;
mod pool_box;
mod pool_full;

pub use home::Home;
pub use pool_box::PoolBox;
pub use pool_full::PoolFull;

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
/// let mut packet = packets.alloc(Packet { bytes: [0; 120], len: 0 })?;
/// packet.bytes[0] = 0x45;
/// packet.len = 1;
/// drop(packet);
/// assert_eq!(packets.blocks().free_blocks(), 1);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// In a `static`, [`static_pool!`](crate::static_pool) declares a pool with its memory in one line. A box that has to go
/// to another thread or outlive the scope of its pool owns a share of it: see [`PoolBox::new_in`].
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
    /// [`PoolFull`], with the value, if no block is free and the source has no more pages.
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
    /// let first = halves.alloc([1_u8; 2048])?;
    /// let second = halves.alloc([2; 2048])?;
    /// assert_eq!(halves.alloc([3; 2048]).unwrap_err().0, [3; 2048]);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc(&self, value: T) -> Result<PoolBox<T, &Self>, PoolFull<T>> {
        PoolBox::new_in(value, self)
    }

    /// A value that `make` returns, in a block. If no block is free, the result is `None` and `make` isn't called.
    ///
    /// An optimised build constructs the value in its block, where [`alloc`](Self::alloc) may construct a large one on the
    /// stack first. A build without optimisation has the value on the stack in either case:
    /// [`alloc_uninit`](Self::alloc_uninit) never has. If `make` panics, the block is returned to the pool.
    ///
    /// # Time complexity
    ///
    /// Constant but for `make`.
    ///
    /// # Panics
    ///
    /// If `make` does, or [`alloc`](Self::alloc).
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
    #[must_use = "the value is dropped with its box"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc_with(&self, make: impl FnOnce() -> T) -> Option<PoolBox<T, &Self>> {
        Some(PoolBox::write_with(self.alloc_uninit()?, make))
    }

    /// A block for a value that is constructed in place, so that it is never on the stack. `None` if no block is free and
    /// the source has no more pages.
    ///
    /// [`PoolBox::write`] moves a value in, and [`PoolBox::assume_init`] turns the box into one of the value once all of it
    /// is initialised. A box that is dropped before returns its block and drops no value.
    ///
    /// Constant time. Panics as [`alloc`](Self::alloc) does.
    ///
    /// ```
    /// use hpalloc::{Pool, PoolBox};
    ///
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 80_000];
    /// let frames = Pool::<[u16; 160 * 120], _>::from_uninit(&mut memory)?;
    /// let mut frame = frames.alloc_uninit().ok_or("no block is free")?;
    /// let pixels = frame.as_mut_ptr().cast::<u16>();
    /// for pixel in 0..160 * 120 {
    ///     // SAFETY: the frame has so many pixels.
    ///     unsafe { pixels.add(pixel).write(0x001F) };
    /// }
    /// // SAFETY: each pixel was written.
    /// let frame = unsafe { PoolBox::assume_init(frame) };
    /// assert_eq!(frame[7], 0x001F);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the block is returned to the pool with its box"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc_uninit(&self) -> Option<PoolBox<MaybeUninit<T>, &Self>> {
        PoolBox::new_uninit_in(self)
    }

    /// As [`alloc_uninit`](Self::alloc_uninit), with all bytes of the block zero: for types of which zeros are a value.
    ///
    /// The time of writing a `T`. Panics as [`alloc`](Self::alloc) does.
    ///
    /// ```
    /// use hpalloc::{Pool, PoolBox};
    ///
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 80_000];
    /// let frames = Pool::<[u16; 160 * 120], _>::from_uninit(&mut memory)?;
    /// let frame = frames.alloc_zeroed().ok_or("no block is free")?;
    /// // SAFETY: zeros are an array of numbers.
    /// let frame = unsafe { PoolBox::assume_init(frame) };
    /// assert_eq!(frame[7], 0);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the block is returned to the pool with its box"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn alloc_zeroed(&self) -> Option<PoolBox<MaybeUninit<T>, &Self>> {
        PoolBox::new_zeroed_in(self)
    }

    /// The box of a value in a block of this pool: one that [`PoolBox::into_raw`] returned, or that was constructed in a
    /// block of [`blocks`](Self::blocks).
    ///
    /// Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// `value` is the pointer that `into_raw` returned for a box of this pool, or that `allocate` of this pool's `blocks`
    /// returned, and not one that was made from a reference to the value. It points to an initialised `T`. Nothing else
    /// uses the block, and no other box was made of it.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let raw = PoolBox::into_raw(pool.alloc(5_u64)?);
    /// // SAFETY: it came from a box of this pool and isn't used any more.
    /// assert_eq!(*unsafe { pool.from_raw(raw) }, 5);
    ///
    /// let block = pool.blocks().allocate().ok_or("no block is free")?.cast::<u64>();
    /// // SAFETY: the block is of this pool, and has room for a `u64`.
    /// let six = unsafe {
    ///     block.write(6);
    ///     pool.from_raw(block)
    /// };
    /// assert_eq!(*six, 6);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the value is dropped with its box"]
    #[inline]
    #[allow(clippy::wrong_self_convention, reason = "as `Box::from_raw`, which has a pool that is always there")]
    pub const unsafe fn from_raw(&self, value: NonNull<T>) -> PoolBox<T, &Self> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { PoolBox::from_parts(value, self) }
    }

    /// How many values can be allocated before the source is asked for more pages: see [`FixedBlock::available`], also for
    /// the time. Of no use for values of size zero, which take no block.
    ///
    /// Never panics.
    ///
    /// ```
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 1000];
    /// let pool = hpalloc::Pool::from_uninit(&mut memory)?;
    /// let before = pool.available();
    /// let number = pool.alloc(7_u32)?;
    /// assert_eq!(pool.available(), before - 1);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn available(&self) -> usize {
        self.blocks.available()
    }

    /// A pool whose blocks are aligned to no more than they have to.
    pub(crate) const fn packed(pages: P) -> Self {
        Self { blocks: FixedBlock::with_block_size(pages, BlockSize::packed::<T>()), values: PhantomData }
    }

    /// The pool's blocks, to look at their counts, or to construct a value in: see [`from_raw`](Self::from_raw).
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
