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

/// A heap for blocks of any size that merges freed memory immediately.
///
/// On average over 23 programs it needs 1.3 times the live bytes, less than any of the
/// seven other heaps that it was compared with (`benches/memory` in the repository).
/// Every operation takes a bounded number of steps, regardless of what happened before. A
/// lock, a call to the page source, and the copy of a block that moves are extra.
///
/// ```
/// # #[cfg(feature = "critical-section")] mod firmware {
/// hpalloc::static_heap! {
///     #[global_allocator]
///     static HEAP: Heap<{ 64 * 1024 }>;
/// }
/// # }
/// ```
///
/// `Box`, `Vec` and `String` now allocate from these 64 KiB.
/// [`static_heap!`](crate::static_heap) reserves the memory and adds a lock. For other
/// memory, use [`new`](Self::new) or [`from_uninit`](Self::from_uninit).
///
#[doc = include_str!("heap/guide.md")]
pub struct Heap<P: PageSource> {
    parts: Parts,
    /// The memory of a heap without a page source. When the heap is dropped,
    /// `AddressSanitizer` is told that the owner may use this memory again.
    memory: Memory,
    /// Dropped with the heap and never lent out mutably, so the pages stay valid for as
    /// long as the heap exists.
    pages: P,
}

assert_impl_all!(Heap<Arena<Borrowed<'static>>>: Send);
assert_not_impl_any!(Heap<Arena<RawRegion>>: Sync, Clone);
assert_not_impl_any!(Heap<&Arena<RawRegion>>: Send, Sync);

/// Compiles only if a heap is covariant in the lifetime of its memory.
const fn _covariant<'short>(heap: &'short Heap<NoPages<'static>>) -> &'short Heap<NoPages<'short>> {
    heap
}

impl<P: PageSource> Heap<P> {
    /// Creates a heap over a page source. It takes no pages before the first request, so
    /// it can be a `static`.
    ///
    /// From a source that it owns, such as an arena, the heap takes all pages at its
    /// first request, in one run. From a source that others may use as well (a reference,
    /// or a source with a lock), it takes at least the pages that a request needs. If the
    /// source has more, the heap takes up to as much again as it already holds, so that
    /// there are few runs.
    ///
    /// Each run is a *part*. A block is in one part and merges within it. A request is
    /// tried in each part, the oldest first.
    ///
    /// Constant time. Never panics.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "mmap", feature = "spin"))] mod heap {
    /// use hpalloc::{Arena, Heap, Lazy, Locked, Mapping, Spin};
    ///
    /// #[global_allocator]
    /// static HEAP: Locked<Heap<Lazy<Mapping>>, Spin> =
    ///     Locked::new(Heap::new(Lazy::new(|| Arena::new(64 << 20))));
    /// # }
    /// ```
    #[must_use]
    pub const fn new(pages: P) -> Self {
        Self { parts: Parts::new(), memory: Memory::new(), pages }
    }

    /// Allocates a block for the layout. Returns `None` if no part has room and the
    /// source has no more memory.
    ///
    /// The block has the alignment of the layout. It is valid for reads and writes until
    /// it is deallocated, or the heap or its source is dropped. Its contents may be
    /// uninitialized. A layout of size zero needs no memory: the pointer is only aligned.
    ///
    /// # Time complexity
    ///
    /// Bounded by the logarithm of the size of each part that is tried
    /// ([details](Heap#time-complexity)). If no part has room, [`PageSource::take_pages`]
    /// is called, at most as often as the logarithm of the heap's size. A layout with an
    /// alignment above [`PAGE_SIZE`](crate::PAGE_SIZE) may cost one more attempt for each
    /// source of an array or a pair that the heap owns.
    ///
    /// # Panics
    ///
    /// Only if the page source panics, or the misuse hook with `--cfg hpalloc_hardened`.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 1000];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
    /// let line = heap.allocate(Layout::from_size_align(100, 64)?).unwrap();
    /// assert_eq!(line.addr().get() % 64, 0);
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
    /// The memory for the block was written to after it was freed. It is no longer free,
    /// so the next attempt uses other memory.
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

    /// Allocates a block like [`allocate`](Self::allocate), with all bytes zero. Memory
    /// that came zeroed, such as a fresh mapping, is not written if it was never handed
    /// out before.
    ///
    /// Costs the time of `allocate`, plus the time to write the zeros. Panics only if
    /// `allocate` would.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 1000];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
    /// let block = heap.allocate_zeroed(Layout::new::<[u32; 10]>()).unwrap();
    /// // SAFETY: the block has room for the numbers, and is initialized.
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

    /// Frees a block, and merges it immediately with the free memory before and after it.
    ///
    /// # Time complexity
    ///
    /// Bounded by the logarithm of the part's size ([details](Heap#time-complexity)),
    /// plus a comparison for each part before the block's own.
    ///
    /// # Panics
    ///
    /// Never, except that the misuse hook may with `--cfg hpalloc_hardened`.
    ///
    /// # Safety
    ///
    /// - `block` was returned by this heap for this layout, or its layout was last
    ///   changed to this one by [`grow`](Self::grow) or [`shrink`](Self::shrink).
    /// - It has not been deallocated since, and is no longer used.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 1000];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
    /// let layout = Layout::new::<[u32; 25]>();
    /// let block = heap.allocate(layout).unwrap();
    /// // SAFETY: the block came from this heap with this layout, and is no longer used.
    /// unsafe { heap.deallocate(block, layout) };
    /// assert_eq!(heap.largest_free(), heap.free()); // merged
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[inline]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller upholds the same contract.
        if let Err(error) = unsafe { self.give_back(block, layout) } {
            report(error);
        }
    }

    /// Makes a block larger. It grows in place if there is room after it. Otherwise it
    /// moves to the place that a new block would get if its own memory were free. That
    /// may be its own memory together with free memory before it.
    ///
    /// Returns the block with its contents. Returns `None` if there is no room, and
    /// leaves the block unchanged. The alignments of the two layouts may differ.
    ///
    /// Costs the time of [`deallocate`](Self::deallocate) and
    /// [`allocate`](Self::allocate), plus a copy of the old size if the block moves.
    /// Panics only if `allocate` would.
    ///
    /// # Safety
    ///
    /// As for `deallocate` with `block` and `old`, and the new size is not below the old
    /// one. Unless `None` is returned, the block then has the new layout, and the old
    /// pointer must no longer be used.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 16 * 1024];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
    /// let (small, large) = (Layout::new::<[u8; 100]>(), Layout::new::<[u8; 200]>());
    /// let block = heap.allocate(small).unwrap();
    /// // SAFETY: the block has the small layout.
    /// assert_eq!(unsafe { heap.grow(block, small, large) }, Some(block));
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[must_use = "the block may have moved; if this is `None`, it has its old layout"]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller upholds the same contract.
        unsafe { self.resize(block, old, new) }
    }

    /// Makes a block smaller, and frees the rest. The block moves to the place that a new
    /// block would get if its own memory were free. It stays in place if nothing else
    /// fits.
    ///
    /// Returns the block with as much of its contents as fits. Returns `None` only if the
    /// new alignment is above the old one and nothing fits it, or if a hardened build
    /// detects misuse. The block is then unchanged.
    ///
    /// Costs the time of [`grow`](Self::grow), with a copy of the new size instead.
    /// Panics only if `allocate` would.
    ///
    /// # Safety
    ///
    /// As for `grow`, except that the new size is not above the old one.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 1000];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
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
        // SAFETY: the caller upholds the same contract.
        unsafe { self.resize(block, old, new) }
    }

    /// # Safety
    ///
    /// The contract of `grow` or `shrink`.
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub(crate) unsafe fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller upholds the same contract.
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
    /// The contract of `grow` or `shrink`.
    pub(crate) unsafe fn try_resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<Option<NonNull<u8>>, MisuseError> {
        if old.size() > 0 && new.size() > 0 {
            // SAFETY: the caller upholds the same contract.
            let resized = self.parts.with(block, |part| unsafe { part.resize(block, old, new) });
            if let Some(block) = resized.unwrap_or_else(|| foreign(None, block, old))? {
                return Ok(Some(block));
            }
        }
        // The block's own part has no room, or a size is zero.
        let Some(moved) = self.try_allocate(new)? else { return Ok(None) };
        // SAFETY: both blocks have at least the smaller of the two sizes. They don't
        // overlap, because the new block was just allocated. The old block is no longer
        // used after the copy.
        unsafe {
            moved.copy_from_nonoverlapping(whole_block(block), old.size().min(new.size()));
            self.give_back(block, old)?;
        }
        Ok(Some(moved))
    }

    /// # Safety
    ///
    /// The contract of `deallocate`.
    #[inline]
    pub(crate) unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        if layout.size() == 0 {
            return Ok(());
        }
        // SAFETY: the caller upholds the same contract.
        let freed = self.parts.with(block, |part| unsafe { part.deallocate(block, layout) });
        freed.unwrap_or_else(|| foreign((), block, layout))
    }

    /// Frees a block like [`deallocate`](Self::deallocate), but returns detected misuse
    /// instead of reporting it to the hook. Costs the time of `deallocate`. Never panics.
    ///
    /// # Errors
    ///
    /// Misuse was detected. The block is not freed.
    ///
    /// # Safety
    ///
    /// As for `deallocate`, except for misuse that is detected: see
    /// [`hardened`](crate::hardened).
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 1000];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
    /// let layout = Layout::new::<u64>();
    /// let block = heap.allocate(layout).unwrap();
    /// // SAFETY: the second call is a double free, which is returned as an error.
    /// let error = unsafe {
    ///     heap.deallocate(block, layout);
    ///     heap.try_deallocate(block, layout).unwrap_err()
    /// };
    /// assert_eq!(error.misuse, hpalloc::hardened::Misuse::DoubleFree);
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[cfg(hpalloc_hardened)]
    #[cfg_attr(docsrs, doc(cfg(hpalloc_hardened)))]
    pub unsafe fn try_deallocate(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller upholds the same contract.
        unsafe { self.give_back(block, layout) }
    }

    /// Returns the source of the heap's pages. Constant time. Never panics.
    ///
    /// ```
    /// # let mut memory = [const { hpalloc::Page::new() }; 2];
    /// let heap = hpalloc::Heap::new(hpalloc::Arena::from_pages(&mut memory)?);
    /// assert_eq!(heap.page_source().pages_remaining(), 2);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn page_source(&self) -> &P {
        &self.pages
    }
}

impl<P: PageSource> Heap<P> {
    /// Returns the parts. If the source is a slice that hasn't been taken yet, it is
    /// taken first.
    fn parts(&self) -> &Parts {
        self.parts.begin(&self.pages);
        &self.parts
    }
}

impl<'m> Heap<NoPages<'m>> {
    /// Creates a heap in a slice of memory, of any size and alignment. Constant time.
    /// Never panics.
    ///
    /// # Errors
    ///
    /// [`TooSmall`](HeapError::TooSmall) if there is no room for a block.
    /// [`HeapError::MIN`] bytes are always enough. [`TooLarge`](HeapError::TooLarge)
    /// above [`MAX_ARENA_SIZE`].
    ///
    /// ```
    /// use core::{alloc::Layout, mem::MaybeUninit};
    ///
    /// let mut memory = [MaybeUninit::uninit(); 16 * 1024];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
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
        // `whole_block` needs the exposed provenance.
        start.as_ptr().expose_provenance();
        heap.memory.set(start.as_ptr(), len);
        // SAFETY: the memory stays borrowed for as long as the heap and its blocks are
        // used.
        if unsafe { heap.parts.add(start, len, false) } { Ok(heap) } else { Err(HeapError::too_small(len)) }
    }
}

/// Returns an aligned pointer without memory, for a layout of size zero.
fn nothing(layout: Layout) -> NonNull<u8> {
    NonNull::new(ptr::without_provenance_mut(layout.align())).unwrap_or(NonNull::dangling())
}

// Declared last, so that the documentation lists the methods above first.
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
