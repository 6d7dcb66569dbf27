use crate::{BlockSize, PAGE_SIZE};

/// Computes, as a constant, how many pages are enough for a program's pools.
///
/// If you know the maximum number of live blocks of each pool, a plan computes how much
/// memory is enough, and the compiler can check that the program has that much. Under the
/// conditions below, the program then can't run out of memory.
///
/// A pool with at most `n` live blocks never carves more than `n`, because it carves a
/// block only if none is free. If a block fits in a page, `n` blocks fill
/// `n.div_ceil(blocks_per_page)` pages, in whatever order the pools allocate and free. No
/// memory is lost between the pools.
///
/// The conditions are:
///
/// - The pools take pages from one [`Arena`](crate::Arena), whose pages are contiguous.
///   If the memory has several parts, a block of several pages may fit in none of them,
///   although there are enough pages.
/// - Each block returns to the pool that it came from. No plan bounds pools that free
///   each other's blocks: if one pool only allocates, it keeps carving while free blocks
///   pile up in the other. If threads or cores exchange blocks, let them share one pool
///   in a [`Locked`](crate::Locked).
/// - No pool exceeds its planned number of live blocks. If a pool might exceed its
///   number, give that pool an arena of its own, to protect the others:
///   [`Arena::from_pages`](crate::Arena::from_pages) over the pages that
///   [`alloc_pages`](crate::Arena::alloc_pages) returned.
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
///     .raw_pages(1); // a table, allocated with `alloc_page`
/// # #[cfg(not(hpalloc_hardened))]
/// assert_eq!(PLAN.pages(), 2 + 8 + 1);
///
/// # #[cfg(feature = "static-buffer")] {
/// hpalloc::static_buffer! {
///     /// Exactly as large as the plan needs.
///     static MEMORY: StaticBuffer<{ PLAN.pages() }>;
/// }
/// let arena = Arena::from_region(MEMORY.claim().unwrap()).unwrap();
/// let connections = Pool::<Connection, _>::new(&arena);
/// # }
/// ```
///
/// If the size of the memory is fixed, let the compiler check that the plan fits:
///
/// ```compile_fail,E0080
/// # use hpalloc::MemoryPlan;
/// const PLAN: MemoryPlan = MemoryPlan::new().values::<[u8; 1500]>(16);
/// const PAGES: usize = 7;
/// const _: () = assert!(
///     PLAN.pages() <= PAGES,
///     "the plan needs more pages than there are",
/// );
/// ```
///
/// For comparison, a heap that splits and merges blocks must be larger than the live
/// blocks, because free memory can be in pieces that are too small. O1heap, a heap for
/// real-time systems, needs `2 M (1 + ceil(log2 n))` bytes for `M` live bytes in blocks
/// of up to `n` units (its README, after Robson, *Bounds for some functions concerning
/// dynamic storage allocation*, 1974). A plan needs `M` bytes, plus the unused rest of
/// each page and the unused blocks of each pool's last page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MemoryPlan {
    /// Saturating, because no memory has `usize::MAX` pages.
    pages: usize,
}

impl MemoryPlan {
    /// Creates an empty plan.
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

    /// Adds a pool of values of type `T`, with at most `most` live values.
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

    /// Adds a pool of blocks of the given size, with at most `most` live blocks.
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

    /// Adds a heap of [`SizeClasses`](crate::SizeClasses) with the given block sizes, and
    /// with at most `most[i]` live blocks of the size `sizes[i]`.
    ///
    /// To find these numbers, run the program in its worst case and read
    /// [`peak_blocks`](crate::SizeClasses::peak_blocks). Runs of pages, for requests
    /// above the largest class, are not included.
    ///
    /// Linear in the number of sizes. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::{MemoryPlan, SizeTable};
    ///
    /// static SIZES: &SizeTable<3> = hpalloc::size_table![32, 128, 512];
    /// const MOST: [usize; 3] = [200, 40, 0];
    /// const PLAN: MemoryPlan = MemoryPlan::new().heap(SIZES.block_sizes(), MOST);
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

    /// Adds `count` pages that are allocated from the arena directly.
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

    /// Returns the exact number of pages that the plan needs.
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

    /// Returns the size of these pages in bytes. It saturates at `usize::MAX`.
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
