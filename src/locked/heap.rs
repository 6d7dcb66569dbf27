use super::Locked;
use crate::{Heap, HeapUsage, Lock, PageSource};

/// The usage of a locked heap. Each method waits for the holder of the lock.
impl<P: PageSource, M: Lock> Locked<Heap<P>, M> {
    /// Returns the number of bytes in live blocks: see [`Heap::used`].
    ///
    /// Constant time, plus waiting for the lock. The first use of a heap in a `static`
    /// also does the setup that is otherwise part of its first allocation. Panics only if
    /// the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "critical-section")] {
    /// hpalloc::static_heap! { static HEAP: Heap<4096>; }
    ///
    /// assert_eq!(HEAP.used(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn used(&self) -> usize {
        self.with(Heap::used)
    }

    /// Returns the number of free bytes, contiguous or not: see [`Heap::free`].
    ///
    /// Constant time, plus waiting for the lock. The first use of a heap in a `static`
    /// also does the setup that is otherwise part of its first allocation. Panics only if
    /// the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "critical-section")] {
    /// hpalloc::static_heap! { static HEAP: Heap<4096>; }
    ///
    /// assert!((3500..4096).contains(&HEAP.free()));
    /// # }
    /// ```
    #[must_use]
    pub fn free(&self) -> usize {
        self.with(Heap::free)
    }

    /// Returns the size of the largest request that is sure to succeed: see
    /// [`Heap::largest_free`].
    ///
    /// The time is bounded, plus waiting for the lock. Panics only if the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "critical-section")] {
    /// hpalloc::static_heap! { static HEAP: Heap<4096>; }
    ///
    /// assert_eq!(HEAP.largest_free(), HEAP.free());
    /// # }
    /// ```
    #[must_use]
    pub fn largest_free(&self) -> usize {
        self.with(Heap::largest_free)
    }

    /// Returns all of these figures together, so that they can be printed after the lock
    /// is released: see [`Heap::usage`].
    ///
    /// The time is linear in the number of free pieces, with the lock held, plus waiting
    /// for the lock. Panics only if the lock does.
    ///
    /// ```
    /// # #[cfg(feature = "critical-section")] {
    /// hpalloc::static_heap! { static HEAP: Heap<4096>; }
    ///
    /// println!("{}", HEAP.usage());
    /// # }
    /// ```
    #[must_use]
    pub fn usage(&self) -> HeapUsage {
        self.with(Heap::usage)
    }
}
