use crate::{BlockSize, PAGE_SIZE};

/// How many pages a program needs at most, as a constant: so that running out of memory can't happen, and the compiler
/// sees to it.
///
/// A program that promises how many blocks of each pool are live at most can have exactly the memory that this takes. With
/// blocks of one size per pool it is arithmetic: of a pool with at most `n` live blocks no more than `n` are ever carved
/// (one is carved only when none is free), and they fill `n.div_ceil(blocks_per_page)` pages, in whatever order all pools
/// allocate and free. Nothing is lost to fragmentation.
///
/// It holds
///
/// - for pools over one [`Arena`](crate::Arena), whose pages are contiguous: where memory is in several parts, a block of
///   several pages may fit none of them, though there are as many pages;
/// - where each block goes back to the pool that it came from. No plan bounds pools that free each other's blocks: one that
///   only allocates goes on carving while the free ones pile up in the other. Let such threads or cores share one pool, in
///   a [`Locked`](crate::Locked).
///
/// ```
/// use hpalloc::{Arena, BlockSize, MemoryPlan, Pool};
///
/// struct Connection([u8; 200]);
/// struct Packet([u8; 1500]);
///
/// const PLAN: MemoryPlan = MemoryPlan::new()
///     .values::<Connection>(40) // 20 to a page
///     .values::<Packet>(16) // 2 to a page
///     .raw_pages(1); // for a table, by `alloc_page`
/// # #[cfg(not(hpalloc_hardened))]
/// assert_eq!(PLAN.pages(), 2 + 8 + 1);
///
/// # #[cfg(feature = "static-buffer")] {
/// hpalloc::static_buffer! {
///     /// As large as the plan needs, whatever becomes of it.
///     static MEMORY: StaticBuffer<{ PLAN.pages() }>;
/// }
/// let arena = Arena::from_region(MEMORY.claim().unwrap()).unwrap();
/// let connections = Pool::<Connection, _>::new(&arena);
/// # }
/// ```
///
/// Where the memory has another size, the compiler can be made to refuse it:
///
/// ```compile_fail,E0080
/// # use hpalloc::MemoryPlan;
/// const PLAN: MemoryPlan = MemoryPlan::new().values::<[u8; 1500]>(16);
/// const PAGES: usize = 7;
/// const _: () = assert!(PLAN.pages() <= PAGES, "the plan needs more pages than there are");
/// ```
///
/// The plan holds as long as each pool keeps its promise: with an arena of its own pages
/// ([`Arena::from_pages`](crate::Arena::from_pages) over what [`alloc_pages`](crate::Arena::alloc_pages) returned), one
/// that doesn't can't take the others' memory.
///
/// For comparison, a heap that splits and merges has to be larger than what is live, because free memory can lie where it
/// is of no use. O1heap, a heap made for real-time systems, needs `2 M (1 + ceil(log2 n))` bytes for `M` bytes live in
/// pieces of up to `n` units (its README, after Robson, *Bounds for some functions concerning dynamic storage
/// allocation*, 1974). A plan needs `M`, and what is left over in each page, and in each pool's last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MemoryPlan {
    /// Saturates: no memory has `usize::MAX` pages.
    pages: usize,
}

impl MemoryPlan {
    /// A plan that needs nothing.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// assert_eq!(hpalloc::MemoryPlan::new().pages(), 0);
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { pages: 0 }
    }

    /// With a pool of values of type `T`, of which at most so many are live at once.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// # use hpalloc::MemoryPlan;
    /// assert_eq!(MemoryPlan::new().values::<[u64; 8]>(65).pages(), 2);
    /// assert_eq!(MemoryPlan::new().values::<()>(1000).pages(), 0);
    /// # }
    /// ```
    #[must_use]
    pub const fn values<T>(self, most: usize) -> Self {
        if size_of::<T>() == 0 { self } else { self.blocks(BlockSize::of::<T>(), most) }
    }

    /// With a pool of blocks of that size, of which at most so many are live at once.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # use hpalloc::{BlockSize, MemoryPlan};
    /// const SIZE: BlockSize = BlockSize::of::<[u64; 600]>();
    /// assert_eq!(MemoryPlan::new().blocks(SIZE, 3).pages(), 6); // two pages each
    /// ```
    #[must_use]
    pub const fn blocks(self, size: BlockSize, most: usize) -> Self {
        self.raw_pages(most.div_ceil(size.blocks_per_run()).saturating_mul(size.pages_per_run()))
    }

    /// With a heap of [`SizeClasses`](crate::SizeClasses) of these block sizes, of each of which at most so many blocks are
    /// live at once: in a constant, what [`peak_blocks`](crate::SizeClasses::peak_blocks) said after a run that was the worst
    /// case. Runs of pages, for what is larger than the last class, come on top.
    ///
    /// Linear in the number of sizes. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::{MemoryPlan, SizeTable};
    ///
    /// static SIZES: &SizeTable<3> = hpalloc::size_table![32, 128, 512];
    /// const PLAN: MemoryPlan = MemoryPlan::new().heap(SIZES.block_sizes(), [200, 40, 0]);
    /// assert_eq!(PLAN.pages(), 2 + 2);
    /// # }
    /// ```
    #[must_use]
    pub const fn heap<const N: usize>(mut self, sizes: &[BlockSize; N], most: [usize; N]) -> Self {
        let mut class = 0;
        while class < N {
            self = self.blocks(sizes[class], most[class]);
            class += 1;
        }
        self
    }

    /// With so many pages that are taken from the arena itself.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// assert_eq!(hpalloc::MemoryPlan::new().raw_pages(3).raw_pages(1).pages(), 4);
    /// ```
    #[must_use]
    pub const fn raw_pages(self, count: usize) -> Self {
        Self { pages: self.pages.saturating_add(count) }
    }

    /// How many pages it needs, exactly.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// # use hpalloc::MemoryPlan;
    /// const PLAN: MemoryPlan = MemoryPlan::new().values::<[u8; 4096]>(2);
    /// const { assert!(PLAN.pages() == 2) };
    /// # }
    /// ```
    #[must_use]
    pub const fn pages(self) -> usize {
        self.pages
    }

    /// How many bytes these pages have; `usize::MAX` if that can't be said.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// assert_eq!(hpalloc::MemoryPlan::new().raw_pages(2).bytes(), 8192);
    /// ```
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.pages.saturating_mul(PAGE_SIZE)
    }
}
