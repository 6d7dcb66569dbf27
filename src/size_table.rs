use core::alloc::Layout;
use core::fmt;

use crate::{BlockSize, BlockSizeError};

/// A request that is aligned to no more than this is served by any block that is large enough.
const WORD: usize = align_of::<*mut u8>();
/// Up to so many words, there is an entry for each number of words.
const SMALL_WORDS: usize = 128;
/// Beyond, there is an entry for each so many bytes,
const STEP: usize = 512;
/// up to so many steps, 32 KiB, and a last one for all that is larger.
const STEPS: usize = 64;

/// The block sizes of a heap of [`SizeClasses`](crate::SizeClasses), ascending, with what finds the class of a request
/// without a search.
///
/// [`size_table!`](crate::size_table) makes one at compile time, in read-only memory, which on a microcontroller is flash.
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
/// The class of a request is the first whose blocks are large enough and aligned enough. For a size of up to 128 words
/// (1024 bytes on a 64-bit machine, 512 on a 32-bit one) that is aligned to a word at most, it is read from a table with an
/// entry for each number of words. For all others a table says where to begin, and from there it is one step for each class
/// that is too small or not aligned enough, until one fits: over the default sizes at most 4. Of a table of one's own it is
/// over those that lie in the same 512 bytes, or above 32 KiB, and those that are aligned too little: at most all of them.
/// Which they are depends on the request and the block sizes alone: what was allocated and freed before makes no difference.
///
/// # Sizes that are aligned to little
///
/// A block is aligned to the largest power of two that divides its size. So in a table of
/// 24, 40, 104 and 1000 bytes, no block is aligned to more than 8 bytes, and **a `u128`,
/// which is aligned to 16, takes a page**. No compiler warns of that. Two constants do,
/// beside the table:
///
/// ```
/// use core::alloc::Layout;
/// use hpalloc::SizeTable;
///
/// static SIZES: &SizeTable<4> = hpalloc::size_table![32, 48, 112, 1008];
/// // Of one type: how large its block is.
/// const _: () = assert!(SIZES.usable_size(Layout::new::<u128>()) <= 32);
/// // Of all types aligned to 16 bytes: how many times their size they take, at most.
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
    /// Ascending.
    sizes: [BlockSize; N],
    /// The first class with blocks of at least so many words; `N` where there is none.
    by_words: [u8; SMALL_WORDS + 1],
    /// The first class with blocks of at least so many steps; `N` where there is none.
    by_steps: [u8; STEPS + 1],
}

/// How many block sizes [`DEFAULT_SIZES`] has: the default of `N` in [`SizeTable`] and [`SizeClasses`](crate::SizeClasses).
///
/// Like the sizes it may change from one version to the next, so leave the parameter out, or name this constant.
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

/// The block sizes of a heap that is made without a table, from 16 bytes to 4 pages.
///
/// Up to 1 KiB they are close together, and chosen so that hardly anything of a page is left over. So a request of more than
/// 16 bytes, of whatever size, takes less than twice its size: the block, with its share of what is left over of the page.
/// From 33 bytes to 2 KiB it is at most 1.51 times the size, from 2 pages at most 1.5 times. One of up to 16 bytes takes 16.
///
/// | from bytes | block sizes | worst case |
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
    /// A table of these block sizes, in bytes. For a constant there is [`size_table!`](crate::size_table).
    ///
    /// More than 255 do not compile. None at all is a table too: then every request gets a run of pages.
    ///
    /// # Errors
    ///
    /// Those of [`BlockSize::new`] for each size, and [`NotAscending`](BlockSizeError::NotAscending) where one isn't above
    /// the one before.
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
        const { assert!(N <= u8::MAX as usize, "a SizeTable has at most 255 block sizes") };
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

    /// What [`size_table!`](crate::size_table) expands to, in a constant.
    ///
    /// # Panics
    ///
    /// Where [`new`](Self::new) returns an error.
    #[doc(hidden)]
    #[must_use]
    pub const fn checked(sizes: [usize; N]) -> Self {
        match Self::new(sizes) {
            Ok(table) => table,
            Err(BlockSizeError::TooSmall { .. }) => panic!("a block size is below the size of a pointer"),
            Err(BlockSizeError::Misaligned { .. }) => panic!("a block size is no multiple of the size of a pointer"),
            Err(BlockSizeError::TooLarge { .. }) => panic!("a block size is above MAX_ARENA_SIZE"),
            Err(_) => panic!("the block sizes do not ascend"),
        }
    }

    /// The block sizes, ascending.
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

    /// The class that serves a small request that is aligned to a word at most; `N` where none does.
    #[inline]
    pub(crate) fn class_of_small(&self, layout: Layout) -> Option<usize> {
        if layout.align() > WORD {
            return None;
        }
        self.by_words.get(words(layout.size())).map(|&class| class.into())
    }

    /// The class that serves any request; `N` where none does.
    pub(crate) const fn class_of(&self, layout: Layout) -> usize {
        let mut class = self.first_candidate(layout);
        while class < N && !fits(layout, self.sizes[class]) {
            class += 1;
        }
        class
    }

    /// A class that is the one, or below it.
    #[inline]
    const fn first_candidate(&self, layout: Layout) -> usize {
        // So that it begins at a class whose blocks may be aligned enough.
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

/// Whether a block is large and aligned enough.
const fn fits(layout: Layout, size: BlockSize) -> bool {
    size.bytes() >= layout.size() && size.align() >= layout.align()
}

/// How many words hold so many bytes.
#[allow(
    clippy::manual_div_ceil,
    reason = "`div_ceil` provides for an overflow, which a layout's size is too small for"
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

/// A [`SizeTable`](crate::SizeTable) of these block sizes, made at compile time: a `&'static SizeTable<N>`.
///
/// ```
/// let sizes = hpalloc::size_table![16, 32, 64, 128, 256, 512, 1024, 2048];
/// assert_eq!(sizes.block_sizes().len(), 8);
/// ```
///
/// Multiples of 16 serve types of every usual alignment. If a size is no multiple of 16,
/// check [`SizeTable::worst_for`](crate::SizeTable::worst_for): a `u128` [may take a
/// page](crate::SizeTable#sizes-that-are-aligned-to-little).
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

// Last, so that the documentation begins with the methods above.
mod checks;

#[cfg(test)]
mod tests {
    use core::alloc::Layout;

    use super::{DEFAULT_SIZES, SizeTable};

    /// How far apart the sizes are that are tried: all of them on a host.
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
