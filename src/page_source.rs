use core::ptr::{self, NonNull};

use crate::Page;

/// Where a [`FixedBlock`](crate::FixedBlock) gets its pages: the seam between pages and blocks.
///
/// An [`Arena`](crate::Arena) is one. So are a reference to a source (several pools share it), an array of sources and
/// a pair of them (disjoint memories, used in order), [`Lazy`](crate::Lazy), and whatever a user implements it for,
/// such as a kernel's frame allocator.
///
/// # Safety
///
/// Until the source is dropped or borrowed mutably, the pages that [`take_pages`](Self::take_pages) returned:
///
/// 1. **Run:** are `count` pages at successive addresses, within one allocation for which the pointer is good.
/// 2. **Exclusive:** are valid for reads and writes through that pointer and through pointers derived from it; nothing
///    else reads or writes them or holds a reference to them, and they are not returned again.
/// 3. **Aligned:** start on a boundary of [`PAGE_SIZE`](crate::PAGE_SIZE).
/// 4. **Fixed:** stay so when the source is moved.
/// 5. **Whole:** are reached, all of a run, through what [`rederive`](Self::rederive) returns for an address in it.
/// 6. **Held:** are what [`holds`](Self::holds) says `true` of; and if the source has a `rederive` of its own, of no address of
///    another source, so that an array of sources finds the right one.
///
/// Whoever breaks these makes a pool hand out memory that is somebody else's, twice the same, or not there.
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
    note = "an `Arena` does, a reference to one, a `Lazy`, an array or a pair of these, and any of them in a `Locked`"
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
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>>;

    /// A pointer to the same byte of a run, good for all of the run.
    ///
    /// A collection or a box gives a block back through a pointer that may have been made from a reference to the value, and
    /// then is good for that alone: which can be less than the link that is written to a free block.
    ///
    /// A source that has a pointer to all of its memory should return `pointer.with_addr(block.addr())`, as an
    /// [`Arena`](crate::Arena) does, and say in [`holds`](Self::holds) which addresses those are. What is provided is right for any source: it finds the pointer that pools expose of each
    /// run (see [`core::ptr#exposed-provenance`]). But tools that follow pointers, such as Miri, can't see as much then.
    ///
    /// # Time complexity
    ///
    /// No instruction, for what is provided and for an arena; an array or a pair looks for the source that holds the block.
    ///
    /// # Panics
    ///
    /// A source shouldn't.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, PageSource};
    ///
    /// let mut pages = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let page = arena.take_pages(1).unwrap();
    /// // SAFETY: the page is nobody else's.
    /// let number: &mut u8 = unsafe { page.cast::<u8>().as_mut() };
    /// let whole = arena.rederive(number.into());
    /// // SAFETY: it is good for more than the number.
    /// unsafe { whole.cast::<u64>().write(0) };
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    #[must_use]
    fn rederive(&self, block: NonNull<u8>) -> NonNull<u8> {
        NonNull::new(ptr::with_exposed_provenance_mut(block.addr().get())).unwrap_or(block)
    }

    /// Whether the address is in a run that the source handed out. `false` only where it isn't; what is provided can't tell,
    /// and says `true`.
    ///
    /// Constant time, for what is provided and for an arena. Should not panic.
    ///
    /// ```
    /// use hpalloc::{Arena, Page, PageSource};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// let page = arena.take_pages(1).unwrap();
    /// assert!(arena.holds(page.cast()));
    /// // SAFETY: there is another page, which isn't handed out.
    /// assert!(!arena.holds(unsafe { page.add(1) }.cast()));
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[inline]
    #[must_use]
    fn holds(&self, _address: NonNull<u8>) -> bool {
        true
    }
}

// SAFETY: a reference takes its pages from `P`, which lives for at least as long.
unsafe impl<P: PageSource + ?Sized> PageSource for &P {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        P::take_pages(self, count)
    }

    #[inline]
    fn rederive(&self, block: NonNull<u8>) -> NonNull<u8> {
        P::rederive(self, block)
    }

    #[inline]
    fn holds(&self, address: NonNull<u8>) -> bool {
        P::holds(self, address)
    }
}

/// The sources in order: a run comes from the first that has it.
///
/// ```
/// # #[cfg(not(feature = "hardened"))] {
/// use hpalloc::{Arena, FixedBlock, Page};
///
/// let (mut low, mut high) = ([const { Page::new() }; 1], [const { Page::new() }; 2]);
/// let pool = FixedBlock::new([Arena::from_pages(&mut low)?, Arena::from_pages(&mut high)?], 4096)?;
/// assert_eq!(core::iter::from_fn(|| pool.allocate()).count(), 3);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
// SAFETY: each run comes from one source, which the array owns and doesn't drop before itself.
unsafe impl<P: PageSource, const N: usize> PageSource for [P; N] {
    #[inline]
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.iter().find_map(|source| source.take_pages(count))
    }

    #[inline]
    fn rederive(&self, block: NonNull<u8>) -> NonNull<u8> {
        self.iter().find(|source| source.holds(block)).map_or(block, |source| source.rederive(block))
    }

    #[inline]
    fn holds(&self, address: NonNull<u8>) -> bool {
        self.iter().any(|source| source.holds(address))
    }
}

/// The first source, then the second: two of different kinds. Pairs nest.
///
/// ```
/// # #[cfg(not(feature = "hardened"))] {
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
    fn rederive(&self, block: NonNull<u8>) -> NonNull<u8> {
        if self.0.holds(block) { self.0.rederive(block) } else { self.1.rederive(block) }
    }

    #[inline]
    fn holds(&self, address: NonNull<u8>) -> bool {
        self.0.holds(address) || self.1.holds(address)
    }
}
