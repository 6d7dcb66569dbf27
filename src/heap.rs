use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::hardened::{MisuseError, report};
use crate::page_source::whole_block;
use crate::poison::{Memory, unpoison};
use crate::{Arena, Borrowed, HeapError, MAX_ARENA_SIZE, NoPages, PageSource, RawRegion};

pub use usage::HeapUsage;

use misuse::Misuse;
use parts::Parts;

/// Memory for any size, in a bounded number of steps: blocks have no headers, and what is freed is merged at once.
///
/// ```
/// use core::alloc::Layout;
/// use core::mem::MaybeUninit;
/// use hpalloc::Heap;
///
/// let mut memory = [MaybeUninit::uninit(); 4096];
/// let heap = Heap::from_uninit(&mut memory)?;
/// let layout = Layout::new::<[u32; 25]>();
/// let block = heap.allocate(layout).unwrap();
/// assert_eq!(heap.used(), 104);
/// // SAFETY: the block came from this heap with this layout, and isn't used any more.
/// unsafe { heap.deallocate(block, layout) };
/// assert_eq!(heap.used(), 0);
/// # Ok::<(), hpalloc::HeapError>(())
/// ```
///
/// Behind a lock it is a global allocator:
///
/// ```no_run
/// # #[cfg(all(feature = "mmap", feature = "spin"))] mod heap {
/// use hpalloc::{Arena, Heap, Lazy, Locked, Mapping, Spin};
///
/// #[global_allocator]
/// static HEAP: Locked<Heap<Lazy<Mapping>>, Spin> = Locked::new(Heap::new(Lazy::new(|| Arena::new(64 << 20))));
/// # }
/// ```
///
/// # Which heap
///
/// | If | use |
/// |---|---|
/// | memory is short, or sizes aren't known | `Heap` |
/// | sizes are known, a request must take some 20 instructions, and there are 64 pages or more | [`SizeClasses`](crate::SizeClasses) |
/// | values are of one type | [`Pool`](crate::Pool) |
///
/// Over 23 traces of programs (`benches/memory` in the repository) a `Heap` needs the least memory of all heaps that were compared:
/// about 1.3 times the live bytes, where `SizeClasses` needs 4. In exchange an operation takes several times as
/// long as one of `SizeClasses`: some hundred instructions on a Cortex-M3, and more than a thousand at worst.
///
/// # How it works
///
/// A block is freed by telling its layout, so nothing needs to be written beside it. All that the heap keeps lies in free
/// memory, and in a summary at the start of the memory that takes 0.7 % of it.
///
/// ```text
///  start       low                                    high             end
///   ┌─────────┬─────────────────────┬────────────────┬──────────────────┐
///   │ summary │ ██ ░░ ███ ░ ████ ░░ │   wilderness   │ ██████ ░░░░ ████ │
///   └─────────┴─────────────────────┴────────────────┴──────────────────┘
///               small blocks, from                     large blocks, from
///               the lowest hole up                     the highest hole down
/// ```
///
/// Memory is counted in *granules* of 8 bytes, and divided into *regions* of 64 granules. A *hole* (░) is a free block between
/// live ones (█). It starts with one word: its size, and where the next hole begins in the same region. The summary has two
/// numbers for each region, where its first hole begins and the size of its largest one, and above these a tree of maxima with
/// 16 children a node. The *wilderness* is the free memory that the summary doesn't know of. It is neither read nor written
/// before it is handed out, so a heap over 256 MiB of a fresh mapping has touched a page or two when it is made.
///
/// - **Allocate.** A small block is placed in the lowest region that has a hole for it, and there in the first such hole, unless
///   one of about its size is among the next few. A large one, of more than a 16th of the memory, is placed at the upper
///   end of the highest hole. The wilderness comes after the holes on its side, and before those on the other side.
/// - **Free.** The holes before and after the block are found in the lists of its region, or of the last one before it that has a hole,
///   and merged with it at once. So no two holes are adjacent, and when all is freed, all is wilderness again.
/// - **Resize.** A block grows in place if there is room after it. Otherwise it is freed and placed anew, which may be over
///   its own memory and a hole before it.
///
/// # How long it takes
///
/// No loop runs over all holes, or over a history: a search goes down one level of the tree for each factor of 16 in the number of
/// regions (2 levels for 64 KiB, 5 for 256 MiB), with at most 16 comparisons on each; a region has at most 32 holes; at most
/// four holes are looked at further, in at most 16 steps. This bounds each operation within a part, whatever happened before.
///
/// # Drawbacks
///
/// - Sizes are rounded up to 8 bytes.
/// - A request that is aligned to more than 8 bytes looks at 16 holes for one with room where it is aligned, and otherwise for one
///   that has room wherever it starts. So it may fail though an aligned hole is free.
/// - A block that shrinks or grows may be copied to a place that is better for the rest, also upwards.
/// - Each request is tried in each part. A source that has single pages only makes many parts, and each adds to the time.
/// - Blocks of powers of two of which every other one is freed need twice as much memory as the best other heap takes.
/// - Above 128 KiB a hole may count for a thousandth less than it has.
/// - An operation takes several times as long as one of talc, rlsf or `SizeClasses`.
pub struct Heap<P: PageSource> {
    parts: Parts,
    /// The memory that comes from no source: `AddressSanitizer` is told that it is the owner's again.
    memory: Memory,
    /// Dropped with the heap and not lent out mutably: the heap's memory is there as long as the heap.
    pages: P,
}

assert_impl_all!(Heap<Arena<Borrowed<'static>>>: Send);
assert_not_impl_any!(Heap<Arena<RawRegion>>: Sync, Clone);
assert_not_impl_any!(Heap<&Arena<RawRegion>>: Send, Sync);

/// A heap over longer-lived memory serves where one over shorter-lived memory is asked for.
const fn _covariant<'short>(heap: &'short Heap<NoPages<'static>>) -> &'short Heap<NoPages<'short>> {
    heap
}

impl<P: PageSource> Heap<P> {
    /// A heap that takes its memory from a page source when it needs some. It takes none yet, and can be made in a constant.
    ///
    /// From a source that it owns, such as an arena, it takes all pages at the first request that needs them, so that they are in
    /// one piece. From one that others may use as well (a reference, or behind a lock) it takes what it needs, and as much again as
    /// it has if it can. Each run of pages that it takes is a *part*: a block lies in one of them, and what is freed merges within its part.
    /// A request is tried in each part, in the order in which they were taken.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Heap, Page};
    ///
    /// let (mut fast, mut slow) = ([const { Page::new() }; 2], [const { Page::new() }; 4]);
    /// let heap = Heap::new([Arena::from_pages(&mut fast)?, Arena::from_pages(&mut slow)?]);
    /// assert!(heap.allocate(Layout::new::<[u8; 6000]>()).is_some()); // of the first
    /// assert!(heap.allocate(Layout::new::<[u8; 16000]>()).is_some()); // of the second
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn new(pages: P) -> Self {
        Self { parts: Parts::new(), memory: Memory::new(), pages }
    }

    /// A block for the layout, or `None` if no part has room for it and the source has no more memory.
    ///
    /// It is aligned as the layout says, valid for reads and writes until it is deallocated or the heap or its source is
    /// dropped, and nobody else's. What is in it is unknown, and may be uninitialised. A layout of no bytes takes no memory: the
    /// pointer is only aligned.
    ///
    /// # Time complexity
    ///
    /// For each part that is tried, a number of steps that is bounded by the logarithm of its size. If none has room, also calls
    /// of [`PageSource::take_pages`], at most as many as the logarithm of the heap's size.
    ///
    /// # Panics
    ///
    /// Only if the source of pages does, or, with `--cfg hpalloc_hardened`, the hook for misuse.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use core::mem::MaybeUninit;
    /// use hpalloc::Heap;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 1000];
    /// let heap = Heap::from_uninit(&mut memory)?;
    /// let line = heap.allocate(Layout::from_size_align(100, 64)?).unwrap();
    /// assert_eq!(line.addr().get() % 64, 0);
    /// assert!(heap.allocate(Layout::new::<[u8; 1000]>()).is_none());
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() == 0 {
            return Some(nothing(layout));
        }
        let block = self.parts.find(|part, _| part.allocate(layout));
        if block.is_some() || !self.parts.take(layout, &self.pages) {
            return block;
        }
        self.parts.find(|part, _| part.allocate(layout))
    }

    /// As [`allocate`](Self::allocate), with all bytes zero. What was never handed out of memory that came zeroed, as a fresh
    /// mapping does, is not written.
    ///
    /// # Time complexity
    ///
    /// That of `allocate`, and of writing the zeros.
    ///
    /// # Panics
    ///
    /// As `allocate`.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use core::mem::MaybeUninit;
    /// use hpalloc::Heap;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 1000];
    /// let heap = Heap::from_uninit(&mut memory)?;
    /// let block = heap.allocate_zeroed(Layout::new::<[u32; 10]>()).unwrap();
    /// // SAFETY: the block has room for the numbers, which are initialised.
    /// assert_eq!(unsafe { block.cast::<[u32; 10]>().read() }, [0; 10]);
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() == 0 {
            return Some(nothing(layout));
        }
        let block = self.parts.find(|part, is_zeroed| part.allocate_zeroed(layout, is_zeroed));
        if block.is_some() || !self.parts.take(layout, &self.pages) {
            return block;
        }
        self.parts.find(|part, is_zeroed| part.allocate_zeroed(layout, is_zeroed))
    }

    /// Frees a block. It is merged at once with the free memory before it and after it.
    ///
    /// # Time complexity
    ///
    /// A comparison for each part before the block's own, and a number of steps that is bounded by the logarithm of the part's
    /// size.
    ///
    /// # Panics
    ///
    /// Never, except that with `--cfg hpalloc_hardened` the hook for misuse may.
    ///
    /// # Safety
    ///
    /// - `block` was returned by this heap for this layout, or for another one that has become this one by [`grow`](Self::grow) or
    ///   [`shrink`](Self::shrink).
    /// - It was not deallocated since.
    /// - Nothing uses it any more.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use core::mem::MaybeUninit;
    /// use hpalloc::Heap;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 1000];
    /// let heap = Heap::from_uninit(&mut memory)?;
    /// let largest = heap.largest_free();
    /// let layout = Layout::from_size_align(largest, 1)?;
    /// let block = heap.allocate(layout).unwrap();
    /// assert_eq!(heap.largest_free(), 0);
    /// // SAFETY: it came from this heap with this layout, and isn't used any more.
    /// unsafe { heap.deallocate(block, layout) };
    /// assert_eq!(heap.largest_free(), largest);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise is the one that is asked for.
        if let Err(error) = unsafe { self.give_back(block, layout) } {
            report(error);
        }
    }

    /// Makes a block larger: in place if there is room after it, otherwise where a new block would be placed, which may be the
    /// free memory before it with the block itself.
    ///
    /// Returns where the block is now, with what was in it. `None` if there is no room; then it stays as it was. The new
    /// layout's alignment may be another one.
    ///
    /// # Time complexity
    ///
    /// That of [`deallocate`](Self::deallocate) and [`allocate`](Self::allocate), and a copy of the old size if the block moves.
    ///
    /// # Panics
    ///
    /// As `allocate`.
    ///
    /// # Safety
    ///
    /// That of `deallocate` for `block` and `old`, and the new size is not below the old. Unless it returns `None`, the block has
    /// the new layout from then on, and the old pointer is not used any more.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use core::mem::MaybeUninit;
    /// use hpalloc::Heap;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 16 * 1024];
    /// let heap = Heap::from_uninit(&mut memory)?;
    /// let (small, large) = (Layout::new::<[u8; 100]>(), Layout::new::<[u8; 200]>());
    /// let block = heap.allocate(small).unwrap();
    /// // SAFETY: the block has the small layout.
    /// assert_eq!(unsafe { heap.grow(block, small, large) }, Some(block));
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.resize(block, old, new) }
    }

    /// Makes a block smaller: where a new block would be placed, with its own memory as a hole; if that is nowhere else, in place.
    /// What it loses is free.
    ///
    /// Returns where the block is now, with what is left of it. Never `None`, unless the new alignment is above the old one and
    /// there is no room for that, or with `--cfg hpalloc_hardened` if it is no live block; then it stays as it was.
    ///
    /// # Time complexity
    ///
    /// That of [`deallocate`](Self::deallocate) and [`allocate`](Self::allocate), and a copy of the new size if the block moves.
    ///
    /// # Panics
    ///
    /// As `allocate`.
    ///
    /// # Safety
    ///
    /// That of `deallocate` for `block` and `old`, and the new size is not above the old. Unless it returns `None`, the block has
    /// the new layout from then on, and the old pointer is not used any more.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use core::mem::MaybeUninit;
    /// use hpalloc::Heap;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 1000];
    /// let heap = Heap::from_uninit(&mut memory)?;
    /// let (large, small) = (Layout::new::<[u8; 200]>(), Layout::new::<[u8; 100]>());
    /// let block = heap.allocate(large).unwrap();
    /// // SAFETY: the block has the large layout.
    /// assert!(unsafe { heap.shrink(block, large, small) }.is_some());
    /// assert_eq!(heap.used(), 104);
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.resize(block, old, new) }
    }

    /// # Safety
    ///
    /// That of `grow` or `shrink`.
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub(crate) unsafe fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise is the one that is asked for.
        match unsafe { self.try_resize(block, old, new) } {
            Ok(block) => block,
            Err(error) => {
                report(error);
                None
            }
        }
    }

    /// # Safety
    ///
    /// That of `grow` or `shrink`.
    pub(crate) unsafe fn try_resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<Option<NonNull<u8>>, MisuseError> {
        if old.size() > 0 && new.size() > 0 {
            // SAFETY: the caller's promise is the one that is asked for.
            let resized = self.parts.with(block, |part| unsafe { part.resize(block, old, new) });
            if let Some(block) = resized.unwrap_or_else(|| foreign(None)).map_err(|misuse| error(misuse, block, old))? {
                return Ok(Some(block));
            }
        }
        // Elsewhere: in another part, or nowhere.
        let Some(moved) = self.allocate(new) else { return Ok(None) };
        // SAFETY: both have so many bytes, and the new one is nobody else's; the old one is given up.
        unsafe {
            moved.copy_from_nonoverlapping(whole_block(block), old.size().min(new.size()));
            self.give_back(block, old)?;
        }
        Ok(Some(moved))
    }

    /// # Safety
    ///
    /// That of `deallocate`.
    #[inline]
    pub(crate) unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        if layout.size() == 0 {
            return Ok(());
        }
        // A pool may have had it.
        unpoison(block.as_ptr(), layout.size());
        // SAFETY: the caller's promise is the one that is asked for.
        let freed = self.parts.with(block, |part| unsafe { part.deallocate(block, layout) });
        freed.unwrap_or_else(|| foreign(())).map_err(|misuse| error(misuse, block, layout))
    }

    /// As [`deallocate`](Self::deallocate), with misuse returned instead of reported to the hook.
    ///
    /// Time as `deallocate`. Never panics.
    ///
    /// # Errors
    ///
    /// The block can't be freed, and isn't.
    ///
    /// # Safety
    ///
    /// That of `deallocate`, but for what is an error: see [`hardened`](crate::hardened).
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use core::mem::MaybeUninit;
    /// use hpalloc::Heap;
    /// use hpalloc::hardened::Misuse;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 1000];
    /// let heap = Heap::from_uninit(&mut memory)?;
    /// let layout = Layout::new::<u64>();
    /// let block = heap.allocate(layout).unwrap();
    /// // SAFETY: what isn't safe about the second call is what it returns.
    /// let error = unsafe {
    ///     heap.deallocate(block, layout);
    ///     heap.try_deallocate(block, layout).unwrap_err()
    /// };
    /// assert_eq!(error.misuse, Misuse::DoubleFree);
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[cfg(hpalloc_hardened)]
    #[cfg_attr(docsrs, doc(cfg(hpalloc_hardened)))]
    pub unsafe fn try_deallocate(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.give_back(block, layout) }
    }

    /// The source of the heap's pages.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Heap, Page};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = Heap::new(Arena::from_pages(&mut memory)?);
    /// heap.allocate(Layout::new::<u64>());
    /// assert_eq!(heap.page_source().pages_remaining(), 0);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn page_source(&self) -> &P {
        &self.pages
    }
}

impl<'m> Heap<NoPages<'m>> {
    /// A heap in a slice of memory, of any size and alignment.
    ///
    /// Time in the logarithm of the length. Never panics.
    ///
    /// # Errors
    ///
    /// [`TooSmall`](HeapError::TooSmall) if there is no room for a block, which is not so from [`HeapError::MIN`] bytes on;
    /// [`TooLarge`](HeapError::TooLarge) above [`MAX_ARENA_SIZE`].
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use core::mem::MaybeUninit;
    /// use hpalloc::Heap;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 16 * 1024];
    /// let heap = Heap::from_uninit(&mut memory)?;
    /// assert!(heap.allocate(Layout::new::<[u8; 16_000]>()).is_some());
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    pub fn from_uninit(memory: &'m mut [MaybeUninit<u8>]) -> Result<Self, HeapError> {
        let len = memory.len();
        if len > MAX_ARENA_SIZE {
            return Err(HeapError::too_large(len));
        }
        let heap = Self::new(NoPages::new());
        let start = NonNull::from(memory).cast::<u8>();
        // For `whole_block`.
        start.as_ptr().expose_provenance();
        heap.memory.set(start.as_ptr(), len);
        // SAFETY: the memory stays borrowed for as long as the heap and its blocks.
        if unsafe { heap.parts.add(start, len, false) } { Ok(heap) } else { Err(HeapError::too_small(len)) }
    }
}

/// A pointer for a request of no bytes: no memory, aligned.
fn nothing(layout: Layout) -> NonNull<u8> {
    NonNull::new(ptr::without_provenance_mut(layout.align())).unwrap_or(NonNull::dangling())
}

/// What is returned of a block that lies in no part: an error, or in a program that isn't hardened, which is promised that
/// this isn't so, that.
#[cfg(hpalloc_hardened)]
fn foreign<T>(_: T) -> Result<T, Misuse> {
    Err(Misuse::Foreign)
}

#[cfg(not(hpalloc_hardened))]
#[allow(clippy::unnecessary_wraps, reason = "the other one returns an error")]
fn foreign<T>(nothing: T) -> Result<T, Misuse> {
    Ok(nothing)
}

#[cfg(hpalloc_hardened)]
fn error(misuse: Misuse, block: NonNull<u8>, layout: Layout) -> MisuseError {
    MisuseError { misuse, block: block.addr().get(), block_size: layout.size(), pool: 0 }
}

#[cfg(not(hpalloc_hardened))]
fn error(misuse: Misuse, _: NonNull<u8>, _: Layout) -> MisuseError {
    misuse
}

// Last, so that the documentation begins with the methods above.
mod hole;
mod holes;
mod misuse;
mod part;
mod parts;
mod policy;
mod resize;
mod summary;
mod traits;
mod units;
mod usage;

#[cfg(all(test, not(target_os = "none")))]
mod check;
#[cfg(all(test, not(target_os = "none")))]
mod tests;
