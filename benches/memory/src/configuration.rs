use std::fmt;
use std::mem::MaybeUninit;

use crate::Heap;

/// Creates a heap in a slice of memory, or returns `None` if the slice is too small for
/// an empty heap.
type Make = dyn for<'m> Fn(&'m mut [MaybeUninit<u8>]) -> Option<Box<dyn Heap + 'm>> + Send + Sync;

/// A heap with its parameters: the function that creates it, and the requirements on its
/// memory.
pub struct Configuration {
    name: String,
    outside: usize,
    alignment: Option<usize>,
    step: usize,
    make: Box<Make>,
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration")
            .field("name", &self.name)
            .field("outside", &self.outside)
            .finish_non_exhaustive()
    }
}

impl Configuration {
    /// Creates a configuration of a heap that keeps `outside` bytes outside of its
    /// memory, which is the size of its own struct.
    ///
    /// The memory is aligned to 16 bytes and its size is a multiple of 16 bytes, unless
    /// [`aligned`](Self::aligned) sets other values.
    pub fn new(
        outside: usize,
        make: impl for<'m> Fn(&'m mut [MaybeUninit<u8>]) -> Option<Box<dyn Heap + 'm>> + Send + Sync + 'static,
    ) -> Self {
        Self { name: String::new(), outside, alignment: None, step: 16, make: Box::new(make) }
    }

    /// Sets the name that distinguishes this configuration from the others of its
    /// contestant.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Aligns the memory to `alignment` bytes and makes its size a multiple of `step`
    /// bytes.
    ///
    /// Use this for heaps that would waste a part of memory with another alignment or
    /// size.
    #[must_use]
    pub fn aligned(mut self, alignment: usize, step: usize) -> Self {
        (self.alignment, self.step) = (Some(alignment), step);
        self
    }

    /// Returns the name of the configuration, which is empty if its contestant has only
    /// one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of bytes that the heap keeps outside of its memory.
    #[must_use]
    pub fn outside(&self) -> usize {
        self.outside
    }

    /// Returns the alignment that the memory must have, or `None` if 16 bytes are enough.
    #[must_use]
    pub fn alignment(&self) -> Option<usize> {
        self.alignment
    }

    /// Returns the step in bytes: the size of the memory is a multiple of it.
    #[must_use]
    pub fn step(&self) -> usize {
        self.step
    }

    /// Creates the heap, or returns `None` if the memory is too small for an empty heap.
    pub fn make<'m>(&self, memory: &'m mut [MaybeUninit<u8>]) -> Option<Box<dyn Heap + 'm>> {
        (self.make)(memory)
    }
}
