//! What a heap says of itself.

use core::fmt;

use super::Heap;
use super::part::Part;
use crate::PageSource;

impl<P: PageSource> Heap<P> {
    /// Bytes in live blocks, each rounded up to 8 bytes.
    ///
    /// Constant time for each part, of which there is one over a slice or an arena. Never panics.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 1000];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
    /// heap.allocate(Layout::new::<[u8; 100]>()).unwrap();
    /// assert_eq!(heap.used(), 104);
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[must_use]
    pub fn used(&self) -> usize {
        self.parts().each(Part::used).sum()
    }

    /// Bytes that are free, in one piece or several. Pages that the source still has don't count.
    ///
    /// Constant time for each part, of which there is one over a slice or an arena. Never panics.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 1000];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
    /// let free = heap.free();
    /// heap.allocate(Layout::new::<[u8; 100]>()).unwrap();
    /// assert_eq!(heap.free(), free - 104);
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[must_use]
    pub fn free(&self) -> usize {
        self.parts().each(|part| part.bytes() - part.used()).sum()
    }

    /// The largest request that is sure to succeed now without more pages from the source, if it is aligned to at most 8 bytes. A
    /// request that is up to a quarter larger may succeed too.
    ///
    /// # Time complexity
    ///
    /// At most eight comparisons for each part.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 1000];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
    /// assert_eq!(heap.largest_free(), heap.free());
    /// assert!(heap.allocate(Layout::from_size_align(heap.largest_free(), 8)?).is_some());
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn largest_free(&self) -> usize {
        self.parts().each(Part::largest_free).max().unwrap_or(0)
    }

    /// All of that at once, to be looked at or printed when the heap isn't locked any more.
    ///
    /// # Time complexity
    ///
    /// Linear in the number of pieces that the free memory is in: for diagnosis.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # let mut memory = [core::mem::MaybeUninit::uninit(); 2000];
    /// let heap = hpalloc::Heap::from_uninit(&mut memory)?;
    /// heap.allocate(Layout::new::<[u8; 100]>()).unwrap();
    /// let usage = heap.usage();
    /// assert_eq!((usage.used, usage.free_blocks), (104, 1));
    /// assert!(usage.to_string().starts_with("104 bytes used, "));
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    #[must_use]
    pub fn usage(&self) -> HeapUsage {
        HeapUsage {
            used: self.used(),
            peak: self.parts().each(Part::touched).sum(),
            free: self.free(),
            free_blocks: self.parts().each(Part::pieces).sum(),
            largest_free: self.largest_free(),
        }
    }
}

/// How much of a heap was used, at one time: see [`Heap::usage`]. All sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct HeapUsage {
    /// In live blocks: as [`Heap::used`].
    pub used: usize,
    /// The high-water mark: memory that was handed out at least once. It is counted from both ends of each part, and what lies
    /// between two blocks counts too.
    pub peak: usize,
    /// Free: as [`Heap::free`].
    pub free: usize,
    /// How many pieces the free memory is in.
    pub free_blocks: usize,
    /// As [`Heap::largest_free`].
    pub largest_free: usize,
}

impl fmt::Display for HeapUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { used, peak, free, free_blocks, largest_free } = self;
        write!(
            f,
            "{used} bytes used, {peak} at the peak; {free} bytes free in {free_blocks} blocks, the largest of {largest_free}"
        )
    }
}

impl<P: PageSource> fmt::Debug for Heap<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("used", &self.used()).field("free", &self.free()).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<P: PageSource> defmt::Format for Heap<P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Heap {{ {=usize} bytes used, {=usize} free }}", self.used(), self.free());
    }
}
