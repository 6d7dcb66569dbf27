//! The memory usage of a heap.

use core::fmt;

use super::Heap;
use super::part::Part;
use crate::PageSource;

impl<P: PageSource> Heap<P> {
    /// Returns the number of bytes in live blocks, each rounded up to a multiple of 8.
    ///
    /// Constant time for each part. A heap over a slice or an arena has one. Never
    /// panics.
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

    /// Returns the number of free bytes, in one piece or several. Pages that are still in
    /// the source don't count.
    ///
    /// Constant time for each part. A heap over a slice or an arena has one. Never
    /// panics.
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

    /// Returns the size of the largest request that is sure to succeed now without more
    /// pages from the source, for an alignment of at most 8 bytes. A request that is up
    /// to a quarter larger may also succeed.
    ///
    /// # Time complexity
    ///
    /// At most eight holes are examined in each part.
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
    /// let layout = Layout::from_size_align(heap.largest_free(), 8)?;
    /// assert!(heap.allocate(layout).is_some());
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn largest_free(&self) -> usize {
        self.parts().each(Part::largest_free).max().unwrap_or(0)
    }

    /// Returns all of these figures together. They can be inspected or printed after the
    /// heap is unlocked.
    ///
    /// # Time complexity
    ///
    /// Linear in the number of pieces of free memory. Intended for diagnosis.
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

/// The memory usage of a heap at one time, returned by [`Heap::usage`]. All sizes are in
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct HeapUsage {
    /// The size of all live blocks: see [`Heap::used`].
    pub used: usize,
    /// The high-water mark: the size of the memory that was ever in use, from both ends
    /// of each part inward, with the gaps between blocks. It is not the peak of `used`.
    pub peak: usize,
    /// The size of all free memory: see [`Heap::free`].
    pub free: usize,
    /// The number of pieces of free memory.
    pub free_blocks: usize,
    /// The size of the largest request that is sure to succeed: see
    /// [`Heap::largest_free`].
    pub largest_free: usize,
}

impl fmt::Display for HeapUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { used, peak, free, free_blocks, largest_free } = self;
        write!(
            f,
            "{used} bytes used, {peak} at the peak; {free} bytes free in {free_blocks} pieces, {largest_free} of them in one piece"
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
