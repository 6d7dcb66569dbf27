use core::alloc::Layout;
use core::fmt;

use crate::{BlockSize, BlockSizeError};

/// Any block that is large enough serves a request that is aligned to at most a word.
const WORD: usize = align_of::<*mut u8>();
/// For sizes of up to this number of words, a table has one entry per word.
const SMALL_WORDS: usize = 128;
/// The number of bytes per entry of the table for larger sizes.
const STEP: usize = 512;
/// The number of such steps, which reach up to 32 KiB. One last entry is for all larger
/// sizes.
const STEPS: usize = 64;

/// The block sizes of [`SizeClasses`](crate::SizeClasses), in ascending order, with
/// lookup tables from requests to classes.
///
/// [`size_table!`](crate::size_table) creates one at compile time, in read-only memory,
/// which is flash on a microcontroller.
///
/// ```
/// use hpalloc::SizeTable;
///
/// static SIZES: &SizeTable<4> = hpalloc::size_table![32, 64, 128, 256];
/// assert_eq!(SIZES.block_sizes()[1].bytes(), 64);
/// ```
///
/// # How a class is found
///
/// The class of a request is the first one whose blocks are large enough and sufficiently
/// aligned.
///
/// - A *small* request has a size of up to 128 words (1024 bytes on a 64-bit machine, 512
///   on a 32-bit one) and is aligned to at most a word. Its class is read from a table
///   with one entry per word.
/// - For any other request, a table gives the first candidate. From there the search
///   takes one step for each class that is too small or insufficiently aligned. With the
///   default sizes, that is at most 4 steps. With your own table, the table has one entry
///   per 512 bytes up to 32 KiB. From that entry on, the search passes each class that is
///   too small or insufficiently aligned, in the worst case every class.
///
/// The number of steps depends only on the request and the block sizes, never on what was
/// allocated and freed before.
///
/// # Sizes with a small alignment
///
/// A block is aligned to the largest power of two that divides its size. So in a table of
/// 24, 40, 104 and 1000 bytes, no block is aligned to more than 8 bytes, and **a `u128`,
/// which is aligned to 16 on most targets, occupies a whole page**. The compiler doesn't
/// warn about that. Two constants next to the table do:
///
/// ```
/// use core::alloc::Layout;
/// use hpalloc::SizeTable;
///
/// static SIZES: &SizeTable<4> = hpalloc::size_table![32, 48, 112, 1008];
/// // The block size for one type.
/// const _: () = assert!(SIZES.usable_size(Layout::new::<u128>()) <= 32);
/// // The largest ratio of block to value, over all values aligned to 16 bytes.
/// const _: () = assert!(SIZES.worst_for(16) <= 8);
/// ```
///
/// ```compile_fail,E0080
/// # use hpalloc::SizeTable;
/// static SIZES: &SizeTable<4> = hpalloc::size_table![24, 40, 104, 1000];
/// const _: () = assert!(SIZES.worst_for(16) <= 8); // it is 256: 4096 bytes for 16
/// ```
#[derive(Clone)]
pub struct SizeTable<const N: usize = DEFAULT_CLASSES> {
    /// The block sizes in ascending order.
    sizes: [BlockSize; N],
    /// For each number of words, the first class with blocks of at least that size; `N`
    /// if all blocks are smaller.
    by_words: [u8; SMALL_WORDS + 1],
    /// For each number of steps, the first class with blocks of at least that size; `N`
    /// if all blocks are smaller.
    by_steps: [u8; STEPS + 1],
}

/// The number of block sizes in [`DEFAULT_SIZES`], and the default of `N` in
/// [`SizeTable`] and [`SizeClasses`](crate::SizeClasses).
///
/// Like the sizes, it may change from one version to the next: leave out the parameter,
/// or name this constant.
///
/// ```
/// use hpalloc::{Arena, Borrowed, DEFAULT_CLASSES, SizeClasses};
///
/// fn busy(heap: &SizeClasses<Arena<Borrowed<'_>>>) -> usize {
///     let peaks: [usize; DEFAULT_CLASSES] = heap.peak_blocks();
///     peaks.into_iter().filter(|&peak| peak > 0).count()
/// }
/// ```
pub const DEFAULT_CLASSES: usize = 27;

/// The block sizes of a heap that is created without a table: from 16 bytes to 4 pages.
///
/// Up to 1 KiB the sizes are close together, and chosen so that their blocks fill a page
/// almost completely.
///
/// A request of more than 16 bytes costs less than twice its size in memory, which
/// includes the block's share of the unused rest of its page. From 33 bytes to 2 KiB the
/// cost is at most 1.51 times the size, and from 2 pages at most 1.5 times. A request of
/// up to 16 bytes costs 16 bytes.
///
/// | request, from bytes | block sizes | worst-case ratio |
/// |---|---|---|
/// | 17 | 32 | 1.89 |
/// | 33 | 48, 64, 80, 96, 112, 128 | 1.47 |
/// | 129 | 160, 192, 224, 256, 288, 336, 400, 448, 512 | 1.28 |
/// | 513 | 576, 672, 816, 1024 | 1.26 |
/// | 1025 | 1360 | 1.34 |
/// | 1361 | 2048 | 1.51 |
/// | 2049 | 4096, 8192 | 2.00 |
/// | 8193 | 12288, 16384 | 1.50 |
/// | 16385 | runs of 5, 6, 7, 8, 10, 12, 14, 16, 20.. pages | 1.25 |
///
/// ```
/// use hpalloc::DEFAULT_SIZES;
///
/// let sizes = DEFAULT_SIZES.block_sizes();
/// assert_eq!((sizes[0].bytes(), sizes[sizes.len() - 1].bytes()), (16, 4 * 4096));
/// ```
pub static DEFAULT_SIZES: &SizeTable = crate::size_table![
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288, 336, 400, 448, 512, 576, 672, 816, 1024, 1360, 2048,
    4096, 8192, 12288, 16384,
];

impl<const N: usize> SizeTable<N> {
    /// Creates a table of these block sizes, in bytes. In constants, use
    /// [`size_table!`](crate::size_table).
    ///
    /// More than 255 sizes do not compile. A table without sizes is valid: every request
    /// then gets a run of pages.
    ///
    /// # Errors
    ///
    /// Those of [`BlockSize::new`] for each size, and
    /// [`NotAscending`](BlockSizeError::NotAscending) if a size is not greater than the
    /// previous one.
    ///
    /// # Time complexity
    ///
    /// Linear in the number of sizes.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use hpalloc::{BlockSizeError, SizeTable};
    ///
    /// assert!(SizeTable::new([16, 64, 256]).is_ok());
    /// assert_eq!(
    ///     SizeTable::new([16, 256, 64]).unwrap_err(),
    ///     BlockSizeError::NotAscending { bytes: 64, previous: 256 },
    /// );
    /// ```
    #[allow(clippy::cast_possible_truncation, reason = "a class is at most N, which is at most 255")]
    pub const fn new(sizes: [usize; N]) -> Result<Self, BlockSizeError> {
        const { assert!(N <= u8::MAX as usize, "a SizeTable can have at most 255 block sizes") };
        let mut table = Self {
            sizes: [BlockSize::of::<*mut u8>(); N],
            by_words: [N as u8; SMALL_WORDS + 1],
            by_steps: [N as u8; STEPS + 1],
        };
        let (mut class, mut words, mut steps) = (0, 0, 0);
        while class < N {
            let bytes = sizes[class];
            match BlockSize::new(bytes) {
                Ok(size) => table.sizes[class] = size,
                Err(error) => return Err(error),
            }
            if class > 0 && bytes <= sizes[class - 1] {
                return Err(BlockSizeError::NotAscending { bytes, previous: sizes[class - 1] });
            }
            while words <= SMALL_WORDS && words * WORD <= bytes {
                table.by_words[words] = class as u8;
                words += 1;
            }
            while steps <= STEPS && steps * STEP <= bytes {
                table.by_steps[steps] = class as u8;
                steps += 1;
            }
            class += 1;
        }
        Ok(table)
    }

    /// The expansion of [`size_table!`](crate::size_table), evaluated in a constant.
    ///
    /// # Panics
    ///
    /// If [`new`](Self::new) returns an error.
    #[doc(hidden)]
    #[must_use]
    pub const fn checked(sizes: [usize; N]) -> Self {
        match Self::new(sizes) {
            Ok(table) => table,
            Err(BlockSizeError::TooSmall { .. }) => panic!("a block size in size_table! is smaller than a pointer"),
            Err(BlockSizeError::Misaligned { .. }) => {
                panic!("a block size in size_table! is not a multiple of a pointer's size")
            }
            Err(BlockSizeError::TooLarge { .. }) => panic!("a block size in size_table! is above MAX_ARENA_SIZE"),
            Err(_) => panic!("the block sizes in size_table! are not in ascending order"),
        }
    }

    /// Returns the block sizes in ascending order.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// let sizes = hpalloc::size_table![24, 1500 + 36].block_sizes();
    /// assert_eq!(sizes.map(|size| size.bytes()), [24, 1536]);
    /// ```
    #[must_use]
    pub const fn block_sizes(&self) -> &[BlockSize; N] {
        &self.sizes
    }

    /// Returns the class for a small request that is aligned to at most a word, or
    /// `Some(N)` if no class serves it. Returns `None` for other requests.
    #[inline]
    pub(crate) fn class_of_small(&self, layout: Layout) -> Option<usize> {
        if layout.align() > WORD {
            return None;
        }
        self.by_words.get(words(layout.size())).map(|&class| class.into())
    }

    /// Returns the class for any request, or `N` if no class serves it.
    pub(crate) const fn class_of(&self, layout: Layout) -> usize {
        let mut class = self.first_candidate(layout);
        while class < N && !fits(layout, self.sizes[class]) {
            class += 1;
        }
        class
    }

    /// Returns the class to begin the search with: the right one, or one below it.
    #[inline]
    const fn first_candidate(&self, layout: Layout) -> usize {
        // The size is padded, because smaller blocks can't be sufficiently aligned.
        let padded = layout.pad_to_align().size();
        let size = if padded < layout.align() { layout.align() } else { padded };
        let (words, steps) = (words(size), size / STEP);
        let class = if words <= SMALL_WORDS {
            self.by_words[words]
        } else {
            self.by_steps[if steps < STEPS { steps } else { STEPS }]
        };
        class as usize
    }
}

/// Returns `true` if a block of this size is large enough and sufficiently aligned.
const fn fits(layout: Layout, size: BlockSize) -> bool {
    size.bytes() >= layout.size() && size.align() >= layout.align()
}

/// Returns the number of words that hold `bytes` bytes.
#[allow(
    clippy::manual_div_ceil,
    reason = "`div_ceil` guards against an overflow that the size of a layout can't cause"
)]
const fn words(bytes: usize) -> usize {
    (bytes + WORD - 1) / WORD
}

impl<const N: usize> fmt::Debug for SizeTable<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SizeTable").field(&self.sizes).finish()
    }
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for SizeTable<N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "SizeTable({})", self.sizes.as_slice());
    }
}

/// Creates a `&'static SizeTable<N>` at compile time; see
/// [`SizeTable`](crate::SizeTable).
///
/// ```
/// let sizes = hpalloc::size_table![16, 32, 64, 128, 256, 512, 1024, 2048];
/// assert_eq!(sizes.block_sizes().len(), 8);
/// ```
///
/// Multiples of 16 serve types of every usual alignment. If a size is not a multiple of
/// 16, check [`SizeTable::worst_for`](crate::SizeTable::worst_for): a `u128` [may occupy
/// a page](crate::SizeTable#sizes-with-a-small-alignment).
///
/// Sizes that [`SizeTable::new`](crate::SizeTable::new) refuses do not compile:
///
/// ```compile_fail,E0080
/// hpalloc::size_table![16, 256, 64];
/// ```
#[macro_export]
macro_rules! size_table {
    ($($bytes:expr),* $(,)?) => {
        const { &$crate::SizeTable::checked([$($bytes),*]) }
    };
}

// This module comes last so that the documentation lists the methods above first.
mod checks;

#[cfg(test)]
mod tests {
    use core::alloc::Layout;

    use super::{DEFAULT_SIZES, SizeTable};

    /// The distance between the sizes under test: every size on a host.
    const STEP: usize = if cfg!(miri) {
        61
    } else if cfg!(target_os = "none") {
        13
    } else {
        1
    };

    fn layouts() -> impl Iterator<Item = Layout> {
        let sizes = (0..=20_000).step_by(STEP);
        sizes.flat_map(|size| (0..14).map(move |shift| Layout::from_size_align(size, 1 << shift).unwrap()))
    }

    fn both_ways_agree<const N: usize>(table: &SizeTable<N>) {
        for layout in layouts() {
            if let Some(class) = table.class_of_small(layout) {
                assert_eq!(class, table.class_of(layout), "{layout:?}");
            }
        }
    }

    #[test]
    fn small_requests_have_the_class_that_they_have_as_any_request() {
        both_ways_agree(DEFAULT_SIZES);
        both_ways_agree(crate::size_table![8, 24, 40, 1016, 1024, 1032, 5000]);
        both_ways_agree(crate::size_table![64]);
        both_ways_agree(crate::size_table![]);
    }

    #[test]
    fn the_default_sizes_take_few_steps() {
        let steps = |layout| DEFAULT_SIZES.class_of(layout) - DEFAULT_SIZES.first_candidate(layout);
        assert!(layouts().map(steps).max() <= Some(4));
    }
}
