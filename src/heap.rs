use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::hardened::{MisuseError, report, reported};
use crate::page_source::whole_block;
use crate::poison::Memory;
use crate::{Arena, Borrowed, HeapError, MAX_ARENA_SIZE, NoPages, PageSource, RawRegion};

pub use usage::HeapUsage;

use misuse::foreign;
use parts::Parts;

/// An allocator for any size, in a bounded number of steps: blocks have no headers, and freed blocks merge at once.
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
/// // SAFETY: the block came from this heap with this layout, and is no longer used.
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
/// | memory is short, or sizes are unknown | `Heap` |
/// | sizes are known, each request must take some 20 instructions, and there are 64 pages or more | [`SizeClasses`](crate::SizeClasses) |
/// | all values have one type | [`Pool`](crate::Pool) |
///
/// In 23 programs (`benches/memory` in the repository) a `Heap` needs 1.3 times the live bytes on average, less than each of
/// the nine other heaps that were measured; `SizeClasses` needs 4 times. An operation takes longer than one of `SizeClasses`
/// in exchange: on a Cortex-M3 some 270 instructions to allocate and 210 to free, where `SizeClasses` takes about 20.
///
/// # How it works
///
/// Rust passes the layout to `dealloc`, so a live block needs no header. The heap keeps what it must know in the free memory
/// itself, and in records at the start of the memory:
///
/// | memory, KiB | 4 | 8 | 16 | 32 | 64 |
/// |---|---:|---:|---:|---:|---:|
/// | records on a 32-bit machine, % | 4.0 | 2.3 | 1.5 | 1.0 | 0.8 |
/// | records on a 64-bit machine, % | 6.0 | 3.3 | 2.0 | 1.3 | 0.9 |
///
/// ```text
///  start       low                                    high             end
///   ┌─────────┬─────────────────────┬────────────────┬──────────────────┐
///   │ records │ ██ ░░ ███ ░ ████ ░░ │   wilderness   │ ██████ ░░░░ ████ │
///   └─────────┴─────────────────────┴────────────────┴──────────────────┘
///               small blocks,                          large blocks,
///               from low addresses up                  from high addresses down
/// ```
///
/// Memory is counted in *granules* of 8 bytes. A *hole* (`░`) is free memory between live blocks (`█`). The *wilderness* is
/// the free memory that no hole records: the heap neither reads nor writes it before it hands it out. So making a heap of 256
/// MiB over a fresh mapping touches a few pages.
///
/// - **By address**, holes are recorded per *region* of 32 granules. The records have one byte for each region: where its first
///   hole starts. That hole has a map of the region, with a bit for each granule at which a hole starts. The holes
///   before and after a block are found by counting zeros in one map or two, without a walk.
/// - **By size**, holes are recorded in classes, four for each power of two. Each class is a circular list through its
///   holes, and one bit per class tells whether it has any. This is two-level segregated fit, the algorithm of
///   [TLSF](http://www.gii.upv.es/tlsf/), without its headers.
///
/// With these records
///
/// - **`allocate`** takes a hole of the request's own class if one of the first two has room. Otherwise it takes the lower of
///   the first holes of the next two classes. It prefers the wilderness to holes above it, so small blocks gather at low
///   addresses. A large block, more than a 16th of the memory, goes to the upper end of the highest of up to eight holes
///   instead: where vectors and images come and go, the memory between small and large blocks stays whole.
/// - **`deallocate`** merges the block with the holes on both sides. No two holes are adjacent, and when everything is freed,
///   everything is wilderness again.
/// - **`grow`** takes the memory after the block if that is free. Otherwise, and in `shrink`, the block is freed and placed
///   anew, which may overlap its old place.
///
/// # Alignment
///
/// A block may be aligned to any power of two for which the memory has room: 64 KiB for a
/// ring of descriptors, 2 MiB for a large page. What lies before the block and after it
/// stays free for smaller requests. Memory that was never handed out is enough if it has
/// the size and the alignment together; whether less is enough depends on where it lies.
/// So allocate blocks with a large alignment first.
///
/// ```
/// # #[cfg(feature = "std")] {
/// use core::alloc::Layout;
/// use hpalloc::{Arena, Boxed, Heap};
///
/// let heap = Heap::new(Arena::from_region(Boxed::new(256 << 10)?)?);
/// let ring = Layout::from_size_align(4096, 64 << 10)?; // one page, on a boundary of 64 KiB
/// let block = heap.allocate(ring).unwrap();
/// assert_eq!(block.addr().get() % (64 << 10), 0);
/// assert_eq!(heap.used(), 4096);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// # Time complexity
///
/// Bounded within a part, whatever happened before. No loop runs over all holes: `allocate` examines two holes and two
/// classes, or eight holes for a large block; the bits of the classes take four words at most; and a region has at most 16
/// holes. Only holes of one granule have no room for links: a tree of bits leads to them, with one level for each factor of
/// 32 in the number of regions (2 levels for 64 KiB, 4 for 256 MiB).
///
/// `targets/README.md` in the repository has the counts of instructions, in the median and in the worst state that a search has
/// found.
///
/// # Drawbacks
///
/// - Sizes are rounded up to 8 bytes.
/// - A request of more than 56 bytes may fail although a hole has room, if that hole's size lies less than a quarter above the
///   request and two smaller ones come before it in its class.
/// - A request that is aligned to more than 8 bytes examines two holes for room at an aligned address. If none has it, the
///   request needs a hole that has room wherever it starts, and is as large as a request of the size and the alignment
///   together.
/// - A block that shrinks may be copied to another place, which may also lie higher.
/// - Each request is tried in each part, so a source of single pages, which makes many parts, is slow.
/// - If blocks of powers of two are allocated and every other one is freed, the memory needed is twice that of the best other
///   heap.
/// - An operation takes longer than one of a heap with headers, such as talc or rlsf: see `benches/RESULTS.md`.
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
    /// Creates a heap over a page source. It takes no memory yet, so it can be a `static`.
    ///
    /// From a source that it owns, such as an arena, the heap takes all pages at its first request, in one piece. From a
    /// source that others may use as well (a reference, or one behind a lock), it takes what a request needs, or as much
    /// again as it already has if there is so much. Each run of pages is a *part*: a block lies in one part, and merges
    /// within it. A request is tried in each part, the oldest first.
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

    /// Allocates a block for the layout. Returns `None` if no part has room and the source has no more memory.
    ///
    /// The block is aligned as the layout says, and is valid for reads and writes until it is deallocated, or the heap or its
    /// source is dropped. Its contents may be uninitialised. A layout of size zero takes no memory; the pointer is only
    /// aligned.
    ///
    /// # Time complexity
    ///
    /// Bounded for each part that is tried, by the logarithm of its size ([details](Heap#time-complexity)). If no part has room,
    /// [`PageSource::take_pages`] is called, at most as often as the logarithm of the heap's
    /// size. A layout that is aligned to more than [`PAGE_SIZE`](crate::PAGE_SIZE) may be
    /// tried again in each source of an array or a pair that the heap owns.
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
    #[must_use = "an ignored block is leaked"]
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        reported(|| self.try_allocate(layout))
    }

    /// # Errors
    ///
    /// Free memory was written to. It isn't free any more, and the next attempt looks elsewhere.
    #[inline]
    pub(crate) fn try_allocate(&self, layout: Layout) -> Result<Option<NonNull<u8>>, MisuseError> {
        if layout.size() == 0 {
            return Ok(Some(nothing(layout)));
        }
        loop {
            let block = self.parts.find(|part, _| part.allocate(layout).transpose());
            if block.is_some() || !self.parts.take(layout, &self.pages) {
                return block.transpose();
            }
        }
    }

    /// Allocates a block as [`allocate`](Self::allocate) does, with all bytes zero. Memory that came zeroed, as that of a
    /// fresh mapping does, is not written if it was never handed out before.
    ///
    /// # Time complexity
    ///
    /// That of `allocate`, plus the time to write the zeros.
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
    #[must_use = "an ignored block is leaked"]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        reported(|| self.try_allocate_zeroed(layout))
    }

    /// # Errors
    ///
    /// As [`try_allocate`](Self::try_allocate).
    pub(crate) fn try_allocate_zeroed(&self, layout: Layout) -> Result<Option<NonNull<u8>>, MisuseError> {
        if layout.size() == 0 {
            return Ok(Some(nothing(layout)));
        }
        loop {
            let block = self.parts.find(|part, is_zeroed| part.allocate_zeroed(layout, is_zeroed).transpose());
            if block.is_some() || !self.parts.take(layout, &self.pages) {
                return block.transpose();
            }
        }
    }

    /// Frees a block, and merges it at once with the free memory before and after it.
    ///
    /// # Time complexity
    ///
    /// Bounded by the logarithm of the part's size ([details](Heap#time-complexity)), plus a comparison for each part before
    /// the block's own.
    ///
    /// # Panics
    ///
    /// Never, except that with `--cfg hpalloc_hardened` the hook for misuse may.
    ///
    /// # Safety
    ///
    /// - `block` was returned by this heap for this layout, or for another one that has become this one by
    ///   [`grow`](Self::grow) or [`shrink`](Self::shrink).
    /// - It has not been deallocated since.
    /// - It is no longer used.
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

    /// Makes a block larger. It grows in place if there is room after it. Otherwise it moves to where a new block would be
    /// placed, which may be the free memory before it together with its own.
    ///
    /// Returns the block, with its contents. Returns `None` if there is no room; the block is then unchanged. The alignments
    /// of the two layouts may differ.
    ///
    /// # Time complexity
    ///
    /// That of [`deallocate`](Self::deallocate) and [`allocate`](Self::allocate), plus a copy of the old size if the block moves.
    ///
    /// # Panics
    ///
    /// As `allocate`.
    ///
    /// # Safety
    ///
    /// As for `deallocate` with `block` and `old`, and the new size is not below the old one. Unless `None` is returned, the
    /// block has the new layout from then on, and the old pointer is no longer used.
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
    #[must_use = "the block may have moved; if this is `None`, it has its old layout"]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.resize(block, old, new) }
    }

    /// Makes a block smaller, and frees the rest. The block moves to where a new block would be placed if its own memory were
    /// free, or stays in place if nothing else fits.
    ///
    /// Returns the block, with the contents that it still has room for. Returns `None` only if the new alignment is above the
    /// old one and nothing fits it, or, with `--cfg hpalloc_hardened`, on misuse; the block is then unchanged.
    ///
    /// # Time complexity
    ///
    /// That of [`deallocate`](Self::deallocate) and [`allocate`](Self::allocate), plus a copy of the new size if the block moves.
    ///
    /// # Panics
    ///
    /// As `allocate`.
    ///
    /// # Safety
    ///
    /// As for `deallocate` with `block` and `old`, and the new size is not above the old one. Unless `None` is returned, the
    /// block has the new layout from then on, and the old pointer is no longer used.
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
    #[must_use = "the block may have moved; if this is `None`, it has its old layout"]
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
            if let Some(block) = resized.unwrap_or_else(|| foreign(None, block, old))? {
                return Ok(Some(block));
            }
        }
        // Elsewhere: in another part, or nowhere.
        let Some(moved) = self.try_allocate(new)? else { return Ok(None) };
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
        // SAFETY: the caller's promise is the one that is asked for.
        let freed = self.parts.with(block, |part| unsafe { part.deallocate(block, layout) });
        freed.unwrap_or_else(|| foreign((), block, layout))
    }

    /// Frees a block as [`deallocate`](Self::deallocate) does, and returns misuse instead of reporting it to the hook.
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

    /// Returns the source of the heap's pages.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Heap, Page};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = Heap::new(Arena::from_pages(&mut memory)?);
    /// heap.allocate(Layout::new::<u64>()).unwrap();
    /// assert_eq!(heap.page_source().pages_remaining(), 0);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn page_source(&self) -> &P {
        &self.pages
    }
}

impl<P: PageSource> Heap<P> {
    /// The parts. If the source has one slice, that is the first, and is made now.
    fn parts(&self) -> &Parts {
        self.parts.begin(&self.pages);
        &self.parts
    }
}

impl<'m> Heap<NoPages<'m>> {
    /// Creates a heap in a slice of memory, of any size and alignment.
    ///
    /// Constant time. Never panics.
    ///
    /// # Errors
    ///
    /// [`TooSmall`](HeapError::TooSmall) if there is no room for a block. [`HeapError::MIN`] bytes are always enough.
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

// Last, so that the documentation begins with the methods above.
mod freed;
mod hole;
mod holes;
mod lists;
mod misuse;
mod ones;
mod part;
mod parts;
mod policy;
mod regions;
mod resize;
mod traits;
mod units;
mod usage;

#[cfg(all(test, not(target_os = "none")))]
mod check;
#[cfg(all(test, not(target_os = "none")))]
mod tests;
