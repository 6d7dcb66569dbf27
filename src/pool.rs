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

/// A pool of values of one type, in boxes that return their block when they are dropped.
///
/// Allocating and freeing a block take constant time. On a Cortex-M3, a pool over an
/// arena needs 9 instructions for a freed block, 16 for a block never used before, 46
/// with a new page, and 6 to free. A lock, setup at the first allocation, and moving the
/// value are extra. With `--cfg hpalloc_hardened`, the time is linear in the block size
/// instead.
///
/// ```
/// use hpalloc::{Arena, Page, Pool};
///
/// let mut memory = [const { Page::new() }; 1];
/// let packets = Pool::new(Arena::from_pages(&mut memory)?);
///
/// let mut packet = packets.alloc([0_u8; 120])?;
/// packet[0] = 0x45;
/// drop(packet); // the block returns to the pool
/// assert_eq!(packets.blocks().free_blocks(), 1);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// [`alloc`](Self::alloc) moves a value into a block and returns a [`PoolBox`], which
/// derefs to the value. Dropping the box drops the value and returns the block to the
/// pool. This needs neither `unsafe` code nor a global allocator.
///
/// [`static_pool!`](crate::static_pool) declares a pool in a `static`, together with its
/// memory.
///
/// # Threads
///
/// Like a [`FixedBlock`], a pool belongs to one thread at a time, and so do the boxes
/// that borrow it. Put the pool in a [`Locked`](crate::Locked) to share it between
/// threads, cores or interrupts, and to send its boxes between them. A box that must
/// outlive the scope of its pool needs a share of the pool: see [`PoolBox::new_in`].
///
/// # Values of size zero
///
/// Values of size zero need no block, so allocating them never fails.
///
/// # What the compiler rejects
///
/// A pool can't be dropped while a box borrows it:
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
/// Nor can data be dropped that a value in the pool borrows:
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
/// A type whose alignment is above that of any block doesn't compile, and the error names
/// the bound:
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
/// A type that is larger than any block doesn't compile either:
///
/// ```compile_fail,E0080
/// # use hpalloc::{Arena, Page, Pool};
/// # let mut memory = [const { Page::new() }; 1];
/// # let arena = Arena::from_pages(&mut memory).unwrap();
/// let pool: Pool<[u8; (256 << 20) + 1], _> = Pool::new(&arena);
/// ```
///
/// A box that borrows a pool without a lock can't be sent to another thread:
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
pub struct Pool<T, P: PageSource> {
    /// Blocks with the size and the alignment of a `T`.
    blocks: FixedBlock<P>,
    values: PhantomData<fn() -> T>,
}

// A pool itself holds no values, so only the page source decides whether it is `Send`.
assert_impl_all!(Pool<*const u8, Arena<Borrowed<'static>>>: Send);
assert_not_impl_any!(Pool<u8, Arena<RawRegion>>: Sync, Clone);

impl<T, P: PageSource> Pool<T, P> {
    const BLOCK_SIZE: BlockSize = BlockSize::of::<T>();

    /// Creates a pool over the page source `pages`. It takes no page before the first
    /// allocation, so a pool can be created in a constant.
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

    /// Moves `value` into a block and returns the box that owns both.
    ///
    /// # Errors
    ///
    /// [`PoolFull`], which contains the value, if no block is free and the page source
    /// has no more pages.
    ///
    /// # Time complexity
    ///
    /// Constant: that of [`FixedBlock::allocate`], plus moving the value.
    ///
    /// # Panics
    ///
    /// Only if the page source panics or, with `--cfg hpalloc_hardened`, the misuse hook.
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

    /// Allocates a block and fills it with the value that `make` returns. Returns `None`,
    /// without calling `make`, if no block is free and the page source has no more pages.
    ///
    /// An optimized build usually constructs the value directly in its block, whereas
    /// [`alloc`](Self::alloc) may first construct a large value on the stack. A build
    /// without optimization uses the stack in both cases;
    /// [`alloc_uninit`](Self::alloc_uninit) never does. If `make` panics, the block
    /// returns to the pool.
    ///
    /// # Time complexity
    ///
    /// Constant, plus the time of `make`.
    ///
    /// # Panics
    ///
    /// If `make` panics. Otherwise, only as [`alloc`](Self::alloc) does.
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

    /// Allocates a block for a value that is constructed in place, and so is never on the
    /// stack. Returns `None` if no block is free and the page source has no more pages.
    ///
    /// [`PoolBox::write`] moves a value into the block. [`PoolBox::assume_init`] converts
    /// the box once the whole value is initialized. Dropping the box before that returns
    /// the block and drops no value.
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
    ///     // SAFETY: the frame has this many pixels.
    ///     unsafe { pixels.add(pixel).write(0x001F) };
    /// }
    /// // SAFETY: every pixel was written.
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

    /// Allocates a block as [`alloc_uninit`](Self::alloc_uninit) does and sets all bytes
    /// of the value to zero, for types for which all zeros is a valid value.
    ///
    /// The time is linear in the size of `T`, because every byte is written. Panics as
    /// [`alloc`](Self::alloc) does.
    ///
    /// ```
    /// use hpalloc::{Pool, PoolBox};
    ///
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 80_000];
    /// let frames = Pool::<[u16; 160 * 120], _>::from_uninit(&mut memory)?;
    /// let frame = frames.alloc_zeroed().ok_or("no block is free")?;
    /// // SAFETY: an array of integers may be all zeros.
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

    /// Converts a raw pointer to a value in this pool back into a box. The pointer is one
    /// that [`PoolBox::into_raw`] returned, or points to a value that was constructed in
    /// a block of [`blocks`](Self::blocks).
    ///
    /// Constant time. Never panics.
    ///
    /// # Safety
    ///
    /// - `value` is the pointer that `into_raw` returned for a box of this pool, or that
    ///   `allocate` of this pool's `blocks` returned. It was not derived from a reference
    ///   to the value.
    /// - It points to an initialized `T`.
    /// - Nothing else uses the block, and no other box owns it.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, Pool, PoolBox};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let pool = Pool::new(Arena::from_pages(&mut memory)?);
    /// let raw = PoolBox::into_raw(pool.alloc(5_u64)?);
    /// // SAFETY: it came from a box of this pool and is no longer used.
    /// assert_eq!(*unsafe { pool.from_raw(raw) }, 5);
    ///
    /// let block = pool.blocks().allocate().ok_or("no block is free")?.cast::<u64>();
    /// // SAFETY: the block came from this pool and has room for a `u64`.
    /// let six = unsafe {
    ///     block.write(6);
    ///     pool.from_raw(block)
    /// };
    /// assert_eq!(*six, 6);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use = "the value is dropped with its box"]
    #[inline]
    #[allow(clippy::wrong_self_convention, reason = "named after `Box::from_raw`, but a pool is not global")]
    pub const unsafe fn from_raw(&self, value: NonNull<T>) -> PoolBox<T, &Self> {
        // SAFETY: by the caller's promise, `value` is in a block of this pool and has no
        // other box.
        unsafe { PoolBox::from_parts(value, self) }
    }

    /// Returns the number of values that can be allocated before the pool needs more
    /// pages. It is meaningless for values of size zero, which need no block.
    ///
    /// The time is that of [`FixedBlock::available`]: linear in the number of free
    /// blocks. Never panics.
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

    /// Creates a pool whose blocks have only the alignment that a value and the link of a
    /// free block require.
    pub(crate) const fn packed(pages: P) -> Self {
        Self { blocks: FixedBlock::with_block_size(pages, BlockSize::packed::<T>()), values: PhantomData }
    }

    /// Returns the pool's blocks, to read their counts or to construct a value in one:
    /// see [`from_raw`](Self::from_raw).
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
    /// Creates a pool in a slice of memory of any size: see [`FixedBlock::from_uninit`].
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
