//! Properties of a table that a program can check in constants.

use core::alloc::Layout;

use super::SizeTable;
use crate::PAGE_SIZE;
use crate::run_size::RunSize;

impl<const N: usize> SizeTable<N> {
    /// Returns the number of bytes that a block for the layout has, in a class or in a
    /// run of pages. Returns 0 if no heap can serve the layout.
    ///
    /// Constant time, see [`SizeTable`]. Never panics.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{DEFAULT_SIZES, SizeTable};
    ///
    /// struct Packet([u8; 1500]);
    ///
    /// static SIZES: &SizeTable<3> = hpalloc::size_table![32, 256, 1536];
    /// const _: () = assert!(SIZES.usable_size(Layout::new::<Packet>()) == 1536);
    /// assert_eq!(DEFAULT_SIZES.usable_size(Layout::new::<Packet>()), 2048);
    /// ```
    #[must_use]
    pub const fn usable_size(&self, layout: Layout) -> usize {
        let class = self.class_of(layout);
        if class < N {
            return self.sizes[class].bytes();
        }
        match RunSize::of(layout) {
            Some(size) => size.bytes(),
            None => 0,
        }
    }

    /// Returns the worst ratio of block size to value size, rounded up, over the values
    /// that are aligned to `align` bytes and no larger than the largest block.
    ///
    /// The size of a value is a multiple of its alignment. Returns `usize::MAX` if
    /// `align` is not a power of two or is above [`PAGE_SIZE`](crate::PAGE_SIZE).
    ///
    /// A large ratio means that the blocks of the right size are [insufficiently
    /// aligned](SizeTable#sizes-with-a-small-alignment), so some values with that
    /// alignment get a page, or another block that is much too large. Most types are
    /// aligned to at most 16 bytes.
    ///
    /// # Time complexity
    ///
    /// Quadratic in the number of classes, or no time at all in a constant.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::{DEFAULT_SIZES, SizeTable};
    ///
    /// static SIZES: &SizeTable<4> = hpalloc::size_table![24, 40, 104, 1000];
    /// assert_eq!(SIZES.worst_for(8), 9); // a value of 112 bytes gets 1000
    /// assert_eq!(SIZES.worst_for(16), 256); // a value of 16 bytes gets a page
    ///
    /// let ratios = [8, 16, 64, 4096].map(|align| DEFAULT_SIZES.worst_for(align));
    /// assert_eq!(ratios, [2, 2, 2, 1]);
    /// # }
    /// ```
    #[must_use]
    pub const fn worst_for(&self, align: usize) -> usize {
        if !align.is_power_of_two() || align > PAGE_SIZE {
            return usize::MAX;
        }
        let (mut worst, mut class) = (self.times(align, align), 0);
        while class + 1 < N {
            // The smallest value that doesn't fit a block of this class.
            let size = (self.sizes[class].bytes() & !(align - 1)) + align;
            if size <= self.sizes[N - 1].bytes() && self.times(size, align) > worst {
                worst = self.times(size, align);
            }
            class += 1;
        }
        worst
    }

    /// Returns the ratio of block size to value size, rounded up.
    const fn times(&self, size: usize, align: usize) -> usize {
        match Layout::from_size_align(size, align) {
            Ok(layout) if size > 0 => self.usable_size(layout).div_ceil(size),
            _ => usize::MAX,
        }
    }

    /// Returns the size in bytes of the largest request that a new heap serves from
    /// `pages` contiguous pages, or 0 if it serves none. The request is aligned to at
    /// most a word.
    ///
    /// The result is less than the size of the pages if their number is not a run size;
    /// see [`SizeClasses`](crate::SizeClasses#large-requests). For a heap in use, see
    /// [`SizeClasses::largest_free`](crate::SizeClasses::largest_free).
    ///
    /// Linear in the number of classes, or no time at all in a constant. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::{DEFAULT_SIZES, SizeTable};
    ///
    /// const PAGES: usize = 64;
    /// static SIZES: &SizeTable<2> = hpalloc::size_table![64, 512];
    /// const _: () = assert!(SIZES.largest_request(PAGES) >= 200_000);
    ///
    /// let in_pages = |pages| DEFAULT_SIZES.largest_request(pages) / 4096;
    /// assert_eq!([1, 3, 8, 9, 11, 64].map(in_pages), [1, 3, 8, 8, 10, 64]);
    /// # }
    /// ```
    #[must_use]
    pub const fn largest_request(&self, pages: usize) -> usize {
        let run = match RunSize::within(pages) {
            Some(size) => size.bytes(),
            None => 0,
        };
        // A run that isn't larger than the largest block is never used: a class serves
        // such requests.
        if N == 0 || run > self.sizes[N - 1].bytes() {
            return run;
        }
        let mut class = N;
        while class > 0 && self.sizes[class - 1].pages_per_run() > pages {
            class -= 1;
        }
        if class > 0 { self.sizes[class - 1].bytes() } else { 0 }
    }
}
