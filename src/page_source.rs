#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
use alloc::sync::Arc;
#[cfg(feature = "alloc")]
use alloc::{boxed::Box, rc::Rc};
use core::ptr::{self, NonNull};

use crate::seal::Seal;
use crate::{PAGE_SIZE, Page};

/// Where a [`FixedBlock`](crate::FixedBlock) gets its pages: the seam between pages and blocks.
///
/// An [`Arena`](crate::Arena) is a page source. So are a reference to a source, an `Rc` and an `Arc` of one (several pools
/// share it), a slice, an array or a pair of sources (disjoint memories, used in order), an `Option` and a `Box` of one,
/// [`Lazy`](crate::Lazy), and any type you implement it for, such as a kernel's frame allocator.
///
/// # Safety
///
/// Until the source is dropped or borrowed mutably, the pages that [`take_pages`](Self::take_pages) returned:
///
/// 1. **Run:** are `count` pages at successive addresses, within one allocation that the pointer is valid for. The last page
///    of the address space is not among them, so that the address past a run's end does not wrap around to zero.
/// 2. **Exclusive:** are valid for reads and writes through that pointer and through pointers derived from it; nothing
///    else reads or writes them or holds a reference to them, and they are not returned again.
/// 3. **Aligned:** start on a boundary of [`PAGE_SIZE`](crate::PAGE_SIZE).
/// 4. **Fixed:** stay so when the source is moved.
/// 5. **Zeroed:** are initialised and zero, all of their bytes, if [`take_zeroed_pages`](Self::take_zeroed_pages) returned them
///    with `true`.
///
/// An implementation that breaks these rules makes a pool hand out memory that is in use elsewhere, handed out twice, or
/// not there.
///
/// # Taking pages yourself
///
/// A type of your own can take pages and cut them up, as the pools of this crate do. If what it cuts off may come back
/// through a pointer made from a reference (from a `Box` or a collection that is dropped, say), that pointer may cover less
/// than the block. Then call `expose_provenance` on the pointer to each run when you take it,
/// and use [`with_exposed_provenance`](core::ptr::with_exposed_provenance_mut) for the pointer to the block when it comes
/// back. The pools do that: a pointer is never derived from a guess about which source owns an address.
///
/// ```
/// use core::cell::Cell;
/// use core::ptr::NonNull;
/// use hpalloc::{FixedBlock, Page, PageSource};
///
/// /// A kernel's page frames, from the highest down.
/// struct Frames {
///     first: NonNull<Page>,
///     free: Cell<usize>,
/// }
///
/// // SAFETY: the frames are nobody else's, as the maker of the value promised. Each is returned once, because `free`
/// // falls below it.
/// unsafe impl PageSource for Frames {
///     fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
///         let rest = self.free.get().checked_sub(count).filter(|_| count > 0)?;
///         self.free.set(rest);
///         // SAFETY: `rest` and the `count` frames from it on lie below the number of frames there are.
///         Some(unsafe { self.first.add(rest) })
///     }
/// }
///
/// let mut memory = [const { Page::new() }; 4];
/// let frames = Frames { first: NonNull::from(&mut memory).cast(), free: Cell::new(4) };
/// let pool = FixedBlock::new(&frames, 64)?;
/// assert!(pool.allocate().is_some());
/// assert_eq!(frames.free.get(), 3);
/// # Ok::<(), hpalloc::BlockSizeError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` hands out no pages",
    note = "an `Arena` does, a `Heap`, a `Lazy`, a reference, an `Option`, a slice, an array or a pair of these, with the feature \
            `alloc` an `Rc`, an `Arc` or a `Box`, and any of them in a `Locked`, which takes the place of a `Mutex`"
)]
pub unsafe trait PageSource {
    /// Takes `count` pages at successive addresses and returns the first; `None`, with nothing taken, where there is no
    /// such run or `count` is zero.
    ///
    /// # Time complexity
    ///
    /// That of the source. Together with a few instructions it is the cost of a pool's refill, and so the worst case of
    /// [`FixedBlock::allocate`](crate::FixedBlock::allocate).
    ///
    /// A source should not use the pool that asks it: nothing unsound comes of it, but the blocks of one of the runs are
    /// lost, though [`peak_blocks`](crate::FixedBlock::peak_blocks) counts them.
    ///
    /// # Panics
    ///
    /// A source shouldn't. (Nothing is lost where one does: the pool stays as it was.)
    ///
    /// ```
    /// use hpalloc::{Arena, Page, PageSource};
    ///
    /// let mut pages = [const { Page::new() }; 3];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let first = arena.take_pages(2).unwrap();
    /// assert!(arena.take_pages(2).is_none());
    /// // SAFETY: the page behind the two lies in the same memory.
    /// assert_eq!(arena.take_pages(1), Some(unsafe { first.add(2) }));
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "an ignored run of pages is lost"]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>>;

    /// Takes pages as [`take_pages`](Self::take_pages) does, and says whether they are known to be zero. What is provided knows
    /// nothing, which is right for any source.
    ///
    /// It spares [`Heap::allocate_zeroed`](crate::Heap::allocate_zeroed) and
    /// [`SizeClasses::allocate_zeroed`](crate::SizeClasses::allocate_zeroed) the writing of
    /// zeros. These also call it for blocks of more than a page that nobody asked to be zero.
    ///
    /// Time and panics are those of `take_pages`.
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use hpalloc::{Arena, Boxed, PageSource};
    ///
    /// let arena = Arena::from_region(Boxed::new(8192)?)?;
    /// assert!(arena.take_zeroed_pages(1).is_some_and(|(_, is_zeroed)| is_zeroed));
    /// # }
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "an ignored run of pages is lost"]
    #[inline]
    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        Some((self.take_pages(count)?, false))
    }

    /// A hint: how many pages the next run of at least `least` can have, if nobody but whoever asks takes pages from this
    /// source; 0 if there is no such run. What is provided says 0: others may take pages as well, or it isn't known.
    ///
    /// A [`Heap`](crate::Heap) that owns such a source takes them all at once, so that its memory is in one piece. From others
    /// it takes what it needs. So an arena says how many pages remain, and a reference to an arena says 0.
    ///
    /// Constant time for an arena. Should not panic.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, PageSource};
    ///
    /// let mut pages = [const { Page::new() }; 3];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// assert_eq!(arena.exclusive_pages(1), 3);
    /// assert_eq!(PageSource::exclusive_pages(&&arena, 1), 0);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    #[inline]
    fn exclusive_pages(&self, _least: usize) -> usize {
        0
    }

    /// The one slice of a [`StaticMemory`](crate::StaticMemory), to the first who asks. No other source has any.
    #[doc(hidden)]
    #[inline]
    fn take_slice(&self, _: Seal) -> Option<NonNull<[u8]>> {
        None
    }

    /// What the blocks in that slice are aligned to at most.
    #[doc(hidden)]
    #[inline]
    fn align_limit(&self, _: Seal) -> usize {
        PAGE_SIZE
    }
}

/// The same block, through the pointer that was exposed when its run was taken: see
/// [Taking pages yourself](PageSource#taking-pages-yourself). No instruction.
#[inline]
pub(crate) fn whole_block(block: NonNull<u8>) -> NonNull<u8> {
    let exposed = ptr::with_exposed_provenance_mut(block.addr().get());
    // SAFETY: it has the address of a pointer that isn't null.
    unsafe { NonNull::new_unchecked(exposed) }
}

/// Those who share a source take its pages in turn, so none of them can be told that it is theirs alone.
macro_rules! shares {
    ($($(#[$attribute:meta])* $share:ty;)*) => {$(
        $(#[$attribute])*
        // SAFETY: the pages are the source's, which lives at least as long as each share of it, and which nobody can borrow
        // mutably while there are several.
        unsafe impl<P: PageSource + ?Sized> PageSource for $share {
            #[inline]
            fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
                P::take_pages(self, count)
            }

            #[inline]
            fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
                P::take_zeroed_pages(self, count)
            }
        }
    )*};
}

shares! {
    &P;
    /// A shared source. Its pages last as long as the last of those who share it.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use hpalloc::{Arena, Boxed, Pool};
    ///
    /// struct Session {
    ///     names: Pool<[u8; 32], Rc<Arena<Boxed>>>,
    ///     totals: Pool<u64, Rc<Arena<Boxed>>>,
    /// }
    /// # #[cfg(feature = "std")] {
    /// let arena = Rc::new(Arena::from_region(Boxed::new(64 << 10)?)?);
    /// let session = Session { names: Pool::new(arena.clone()), totals: Pool::new(arena) };
    /// let total = session.totals.alloc(7)?;
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(feature = "alloc")]
    Rc<P>;
    /// A shared source, for threads if it is behind a [`Locked`](crate::Locked).
    #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
    Arc<P>;
}

/// The source in the box, which may be one that is chosen at run time: a `Box<dyn PageSource>`.
#[cfg(feature = "alloc")]
// SAFETY: the box owns the source, which stays where it is when the box is moved.
unsafe impl<P: PageSource + ?Sized> PageSource for Box<P> {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        P::take_pages(self, count)
    }

    #[inline]
    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        P::take_zeroed_pages(self, count)
    }

    #[inline]
    fn exclusive_pages(&self, least: usize) -> usize {
        P::exclusive_pages(self, least)
    }
}

/// A source that may be missing: `None` has no pages.
///
/// ```
/// # #[cfg(not(hpalloc_hardened))] {
/// use hpalloc::{Arena, FixedBlock, Page};
///
/// let mut memory = [const { Page::new() }; 1];
/// let external = None::<Arena<hpalloc::Borrowed>>;
/// let pool = FixedBlock::new((Arena::from_pages(&mut memory)?, external), 4096)?;
/// assert_eq!(core::iter::from_fn(|| pool.allocate()).count(), 1);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
// SAFETY: the option owns the source, and doesn't lend it mutably.
unsafe impl<P: PageSource> PageSource for Option<P> {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.as_ref()?.take_pages(count)
    }

    #[inline]
    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        self.as_ref()?.take_zeroed_pages(count)
    }

    #[inline]
    fn exclusive_pages(&self, least: usize) -> usize {
        self.as_ref().map_or(0, |source| source.exclusive_pages(least))
    }
}

/// The sources in order: a run comes from the first that has it.
///
/// ```
/// # #[cfg(not(hpalloc_hardened))] {
/// use hpalloc::{Arena, FixedBlock, Page};
///
/// let (mut low, mut high) = ([const { Page::new() }; 1], [const { Page::new() }; 2]);
/// let pool = FixedBlock::new([Arena::from_pages(&mut low)?, Arena::from_pages(&mut high)?], 4096)?;
/// assert_eq!(core::iter::from_fn(|| pool.allocate()).count(), 3);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
// SAFETY: that of the slice, which the array owns.
unsafe impl<P: PageSource, const N: usize> PageSource for [P; N] {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.as_slice().take_pages(count)
    }

    #[inline]
    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        self.as_slice().take_zeroed_pages(count)
    }

    #[inline]
    fn exclusive_pages(&self, least: usize) -> usize {
        self.as_slice().exclusive_pages(least)
    }
}

/// The sources in order, as in an array, in a number that is known at run time: behind a reference or in a box.
///
/// ```
/// # #[cfg(not(hpalloc_hardened))] {
/// use hpalloc::{Arena, FixedBlock, Page};
///
/// let mut banks = [const { [const { Page::new() }; 2] }; 3];
/// let arenas: Vec<_> = banks.iter_mut().filter_map(|bank| Arena::from_pages(bank).ok()).collect();
/// let pool = FixedBlock::new(arenas.as_slice(), 4096)?;
/// assert_eq!(core::iter::from_fn(|| pool.allocate()).count(), 6);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
// SAFETY: each run comes from one source of the slice, whose owner drops all of them together.
unsafe impl<P: PageSource> PageSource for [P] {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.iter().find_map(|source| source.take_pages(count))
    }

    #[inline]
    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        self.iter().find_map(|source| source.take_zeroed_pages(count))
    }

    /// Of the first source that has so many.
    #[inline]
    fn exclusive_pages(&self, least: usize) -> usize {
        self.iter().map(|source| source.exclusive_pages(least)).find(|&pages| pages > 0).unwrap_or(0)
    }
}

/// The first source, then the second: two of different kinds. Pairs nest.
///
/// ```
/// # #[cfg(not(hpalloc_hardened))] {
/// use hpalloc::{Arena, FixedBlock, Page};
///
/// let (mut fast, mut slow) = ([const { Page::new() }; 1], [const { Page::new() }; 2]);
/// let fast = Arena::from_pages(&mut fast)?;
/// let pool = FixedBlock::new((&fast, Arena::from_pages(&mut slow)?), 4096)?;
/// assert_eq!(core::iter::from_fn(|| pool.allocate()).count(), 3);
/// assert_eq!(fast.pages_remaining(), 0);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
// SAFETY: each run comes from one source, which the pair owns and doesn't drop before itself.
unsafe impl<A: PageSource, B: PageSource> PageSource for (A, B) {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.0.take_pages(count).or_else(|| self.1.take_pages(count))
    }

    #[inline]
    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        self.0.take_zeroed_pages(count).or_else(|| self.1.take_zeroed_pages(count))
    }

    /// Of the first source that has so many.
    #[inline]
    fn exclusive_pages(&self, least: usize) -> usize {
        match self.0.exclusive_pages(least) {
            0 => self.1.exclusive_pages(least),
            pages => pages,
        }
    }
}
