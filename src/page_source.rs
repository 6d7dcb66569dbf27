#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
use alloc::sync::Arc;
#[cfg(feature = "alloc")]
use alloc::{boxed::Box, rc::Rc};
use core::ptr::{self, NonNull};

use crate::seal::Seal;
use crate::{PAGE_SIZE, Page};

/// A source of pages for pools and heaps.
///
/// An [`Arena`](crate::Arena) is a page source. So are:
///
/// - a reference to a source, or an `Rc` or `Arc` of one, which several pools can share;
/// - an array, a slice or a pair of sources over disjoint memory, which are used in
///   order;
/// - an `Option` or a `Box` of a source, [`Lazy`](crate::Lazy), [`Heap`](crate::Heap),
///   and any source in a [`Locked`](crate::Locked);
/// - any type that you implement it for, such as a kernel's frame allocator.
///
/// # Safety
///
/// An implementation must guarantee the following for the pages that
/// [`take_pages`](Self::take_pages) returned, until the source is dropped or borrowed
/// mutably:
///
/// 1. **Run:** They are `count` pages at successive addresses, within one allocation for
///    which the pointer is valid. The last page of the address space is not among them,
///    so the address past the end of a run does not wrap around to zero.
/// 2. **Exclusive:** They are valid for reads and writes through that pointer and through
///    pointers derived from it. Nothing else reads or writes them or holds a reference to
///    them, and they are not returned again.
/// 3. **Aligned:** They start on a boundary of [`PAGE_SIZE`](crate::PAGE_SIZE).
/// 4. **Fixed:** All of this remains true when the source is moved.
/// 5. **Zeroed:** If [`take_zeroed_pages`](Self::take_zeroed_pages) returned them with
///    `true`, all of their bytes are initialized and zero.
///
/// If an implementation breaks these rules, a pool may hand out memory that is used
/// elsewhere, that is already handed out, or that does not exist.
///
/// # Taking pages yourself
///
/// Your own type can take pages and cut them into blocks, as the pools of this crate do.
/// A block may be freed through a pointer that was created from a reference, for example
/// when a `Box` or a collection is dropped. Such a pointer may be valid for less than the
/// block. Therefore, call `expose_provenance` on the pointer to each run when you take
/// it, and use [`with_exposed_provenance`](core::ptr::with_exposed_provenance_mut) for
/// the pointer to a block when it is freed.
///
///
///
/// ```
/// use core::cell::Cell;
/// use core::ptr::NonNull;
/// use hpalloc::{FixedBlock, Page, PageSource};
///
/// /// A kernel's page frames, handed out from the highest address down.
/// struct Frames {
///     first: NonNull<Page>,
///     free: Cell<usize>,
/// }
///
/// // SAFETY: the creator of the value promised that nothing else uses the frames. Each
/// // is returned once, because `free` falls below it.
/// unsafe impl PageSource for Frames {
///     fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
///         let rest = self.free.get().checked_sub(count).filter(|_| count > 0)?;
///         self.free.set(rest);
///         // SAFETY: the `count` frames from `rest` on are below the old `free`, so they
///         // exist.
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
    message = "`{Self}` is not a source of pages",
    note = "these are sources of pages: an `Arena`, a `Heap` or a `Lazy`; a reference to a source; an `Option`, a slice, an array or \
            a pair of sources; with the feature `alloc`, an `Rc`, an `Arc` or a `Box` of a source; and any of them in a `Locked`, \
            which takes the place of a `Mutex`"
)]
pub unsafe trait PageSource {
    /// Takes `count` pages at successive addresses and returns a pointer to the first.
    ///
    /// Returns `None`, and takes nothing, if there is no such run or `count` is zero.
    ///
    /// # Time complexity
    ///
    /// Depends on the source. A refill costs one call and a few instructions, so
    /// `take_pages` determines the worst case of
    /// [`FixedBlock::allocate`](crate::FixedBlock::allocate).
    ///
    /// A source should not use the pool that calls it. If it does, that is sound, but the
    /// blocks of one run are lost. [`peak_blocks`](crate::FixedBlock::peak_blocks) still
    /// counts them.
    ///
    /// # Panics
    ///
    /// An implementation should not panic. If it does, nothing is lost: the pool stays as
    /// it was.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, PageSource};
    ///
    /// let mut pages = [const { Page::new() }; 3];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let first = arena.take_pages(2).unwrap();
    /// assert!(arena.take_pages(2).is_none());
    /// // SAFETY: the page after these two is in the same memory.
    /// assert_eq!(arena.take_pages(1), Some(unsafe { first.add(2) }));
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "an ignored run of pages is lost"]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>>;

    /// Takes pages as [`take_pages`](Self::take_pages) does, and reports whether they are
    /// known to be zero.
    ///
    /// The default implementation reports `false`, which is right for any source.
    ///
    /// If it reports `true`, [`Heap::allocate_zeroed`](crate::Heap::allocate_zeroed) and
    /// [`SizeClasses::allocate_zeroed`](crate::SizeClasses::allocate_zeroed) need not
    /// write zeros. Both types also call this function for blocks of more than a page
    /// that need not be zero.
    ///
    /// Costs the time of `take_pages`, and should not panic either.
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

    /// Returns the length in pages of the longest run that the next call can take, if the
    /// caller is the only user of this source.
    ///
    /// Returns 0 if that is less than `least`. The default implementation returns 0,
    /// because others may take pages as well.
    ///
    /// This is a hint. A [`Heap`](crate::Heap) that owns such a source takes all of these
    /// pages in one run, so that its memory is in one piece. From other sources it takes
    /// only the pages that a request needs or, if they are available, up to as many as it
    /// already has. An arena therefore returns the number of pages that remain, and a
    /// reference to an arena returns 0.
    ///
    /// Constant time for an arena. An implementation should not panic.
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

    /// Takes the slice of a [`StaticMemory`](crate::StaticMemory). Returns `None` on
    /// every later call, and for every other source.
    #[doc(hidden)]
    #[inline]
    fn take_slice(&self, _: Seal) -> Option<NonNull<[u8]>> {
        None
    }

    /// Returns the largest alignment that blocks in memory of this source can rely on.
    #[doc(hidden)]
    #[inline]
    fn align_limit(&self, _: Seal) -> usize {
        PAGE_SIZE
    }
}

/// Returns the same block through the pointer that was exposed when its run was taken:
/// see [Taking pages yourself](PageSource#taking-pages-yourself). Compiles to no
/// instruction.
#[inline]
pub(crate) fn whole_block(block: NonNull<u8>) -> NonNull<u8> {
    let exposed = ptr::with_exposed_provenance_mut(block.addr().get());
    // SAFETY: `exposed` has the address of `block`, which is not null.
    unsafe { NonNull::new_unchecked(exposed) }
}

/// Implements [`PageSource`] for the ways to share a source. The owners of the shares
/// take pages in turn, so `exclusive_pages` must return 0, which is the default.
macro_rules! shares {
    ($($(#[$attribute:meta])* $share:ty;)*) => {$(
        $(#[$attribute])*
        // SAFETY: the pages belong to the source. It lives at least as long as each share
        // of it, and can't be borrowed mutably while there are several.
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
    /// A shared source. It is dropped with the last share.
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
    /// let names = Pool::new(arena.clone());
    /// let session = Session { names, totals: Pool::new(arena) };
    /// let total = session.totals.alloc(7)?;
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(feature = "alloc")]
    Rc<P>;
    /// A shared source. Several threads can share it if it is in a
    /// [`Locked`](crate::Locked).
    #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
    Arc<P>;
}

/// A boxed source. It can be chosen at run time, as a `Box<dyn PageSource>`.
#[cfg(feature = "alloc")]
// SAFETY: the box owns the source, which does not move when the box does.
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

/// An optional source. `None` has no pages.
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
// SAFETY: the option owns the source, and does not lend it mutably.
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

/// Several sources, tried in order: a run comes from the first that has it.
///
/// ```
/// # #[cfg(not(hpalloc_hardened))] {
/// use hpalloc::{Arena, FixedBlock, Page};
///
/// let (mut low, mut high) = ([const { Page::new() }; 1], [const { Page::new() }; 2]);
/// let banks = [Arena::from_pages(&mut low)?, Arena::from_pages(&mut high)?];
/// let pool = FixedBlock::new(banks, 4096)?;
/// assert_eq!(core::iter::from_fn(|| pool.allocate()).count(), 3);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
// SAFETY: as for the slice, which the array owns.
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

/// A slice of sources, behind a reference or in a box. They are tried in order, as in an
/// array, and their number can be chosen at run time.
///
/// ```
/// # #[cfg(not(hpalloc_hardened))] {
/// use hpalloc::{Arena, FixedBlock, Page};
///
/// let mut banks = [const { [const { Page::new() }; 2] }; 3];
/// let arenas = banks.iter_mut().map(|bank| Arena::from_pages(bank));
/// let arenas = arenas.collect::<Result<Vec<_>, _>>()?;
/// let pool = FixedBlock::new(arenas.as_slice(), 4096)?;
/// assert_eq!(core::iter::from_fn(|| pool.allocate()).count(), 6);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
// SAFETY: each run comes from one source of the slice, whose owner drops all of them
// together.
unsafe impl<P: PageSource> PageSource for [P] {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.iter().find_map(|source| source.take_pages(count))
    }

    #[inline]
    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        self.iter().find_map(|source| source.take_zeroed_pages(count))
    }

    /// Returns the pages of the first source that has at least `least`.
    #[inline]
    fn exclusive_pages(&self, least: usize) -> usize {
        self.iter().map(|source| source.exclusive_pages(least)).find(|&pages| pages > 0).unwrap_or(0)
    }
}

/// Two sources of different types, tried in order. Pairs can be nested.
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
// SAFETY: each run comes from one source. The pair owns it, and drops it only when the
// pair itself is dropped.
unsafe impl<A: PageSource, B: PageSource> PageSource for (A, B) {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.0.take_pages(count).or_else(|| self.1.take_pages(count))
    }

    #[inline]
    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        self.0.take_zeroed_pages(count).or_else(|| self.1.take_zeroed_pages(count))
    }

    /// Returns the pages of the first source that has at least `least`.
    #[inline]
    fn exclusive_pages(&self, least: usize) -> usize {
        match self.0.exclusive_pages(least) {
            0 => self.1.exclusive_pages(least),
            pages => pages,
        }
    }
}
