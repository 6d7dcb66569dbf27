//! What a table makes of requests: constants that a program can check.

use core::alloc::Layout;

use super::SizeTable;
use crate::PAGE_SIZE;
use crate::run_size::RunSize;

impl<const N: usize> SizeTable<N> {
    /// The number of bytes that a block for the layout has: those of a class, or of a run of
    /// pages. 0 if no heap can serve the layout.
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

    /// How many times its own size a value takes at most, rounded up, if it is aligned to
    /// `align` bytes and no larger than the largest block. (The size of a value is a multiple
    /// of its alignment.) `usize::MAX` if `align` is not a power of two, or above
    /// [`PAGE_SIZE`](crate::PAGE_SIZE).
    ///
    /// It is large if values with that alignment get a page, or another block that is much
    /// too large, because the blocks of their size are not aligned enough: see
    /// [`SizeTable`](SizeTable#sizes-that-are-aligned-to-little). The alignment of most types
    /// is at most 16.
    ///
    /// # Time complexity
    ///
    /// The square of the number of classes, or none at all in a constant.
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
    /// assert_eq!(SIZES.worst_for(8), 9); // of 112 bytes: 1000
    /// assert_eq!(SIZES.worst_for(16), 256); // of 16 bytes: a page
    ///
    /// assert_eq!([8, 16, 64, 4096].map(|align| DEFAULT_SIZES.worst_for(align)), [2, 2, 2, 1]);
    /// # }
    /// ```
    #[must_use]
    pub const fn worst_for(&self, align: usize) -> usize {
        if !align.is_power_of_two() || align > PAGE_SIZE {
            return usize::MAX;
        }
        let (mut worst, mut class) = (self.times(align, align), 0);
        while class + 1 < N {
            // The smallest value that doesn't fit the block.
            let size = (self.sizes[class].bytes() & !(align - 1)) + align;
            if size <= self.sizes[N - 1].bytes() && self.times(size, align) > worst {
                worst = self.times(size, align);
            }
            class += 1;
        }
        worst
    }

    /// How many times its size a value takes, rounded up.
    const fn times(&self, size: usize, align: usize) -> usize {
        match Layout::from_size_align(size, align) {
            Ok(layout) if size > 0 => self.usable_size(layout).div_ceil(size),
            _ => usize::MAX,
        }
    }

    /// The largest request that a new heap serves if its source has so many pages in one
    /// piece, in bytes; 0 if there is none. It is aligned to a word at most.
    ///
    /// It is less than the pages have, if these are not a size that runs have: see
    /// [`SizeClasses`](crate::SizeClasses#large-requests). What a heap in use serves is
    /// [`SizeClasses::largest_free`](crate::SizeClasses::largest_free).
    ///
    /// Linear in the number of classes, or none at all in a constant. Never panics.
    ///
    /// ```
    /// # #[cfg(not(hpalloc_hardened))] {
    /// use hpalloc::{DEFAULT_SIZES, SizeTable};
    ///
    /// const PAGES: usize = 64;
    /// static SIZES: &SizeTable<2> = hpalloc::size_table![64, 512];
    /// const _: () = assert!(SIZES.largest_request(PAGES) >= 200_000);
    ///
    /// let pages = |bytes| bytes / 4096;
    /// assert_eq!([1, 3, 8, 9, 11, 64].map(|pages| DEFAULT_SIZES.largest_request(pages)).map(pages), [1, 3, 8, 8, 10, 64]);
    /// # }
    /// ```
    #[must_use]
    pub const fn largest_request(&self, pages: usize) -> usize {
        let run = match RunSize::within(pages) {
            Some(size) => size.bytes(),
            None => 0,
        };
        // What is no larger than the largest block is no run.
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
