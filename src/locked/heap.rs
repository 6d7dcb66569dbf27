use super::Locked;
use crate::{Heap, HeapUsage, Lock, PageSource};

/// What a heap behind a lock says of itself: each waits for whoever holds the lock.
impl<P: PageSource, M: Lock> Locked<Heap<P>, M> {
    /// As [`Heap::used`]: bytes in live blocks.
    ///
    /// Constant time, and waiting for the lock; the first use of a heap in a static also takes the time of its first
    /// allocation. Panics only if the lock does.
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

    /// As [`Heap::free`]: bytes that are free, in one piece or several.
    ///
    /// Constant time, and waiting for the lock; the first use of a heap in a static also takes the time of its first
    /// allocation. Panics only if the lock does.
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

    /// As [`Heap::largest_free`]: the largest request that is sure to succeed.
    ///
    /// Its time is bounded, and it waits for the lock. Panics only if the lock does.
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

    /// As [`Heap::usage`]: all of that at once, to be printed after the lock was released.
    ///
    /// The time is linear in the number of pieces that the free memory is in, with the lock held. Panics only if the lock
    /// does.
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
