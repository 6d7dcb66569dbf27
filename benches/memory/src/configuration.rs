use std::fmt;
use std::mem::MaybeUninit;

use crate::Heap;

/// Makes a heap in a slice of memory; `None` if the slice is too small for an empty heap.
type Make = dyn for<'m> Fn(&'m mut [MaybeUninit<u8>]) -> Option<Box<dyn Heap + 'm>> + Send + Sync;

/// A heap with its parameters: how it is made, and what its memory has to be like.
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
    /// A heap that keeps `outside` bytes outside of its memory: the size of its own struct.
    ///
    /// Its memory is aligned to 16 bytes and is a multiple of 16 bytes, unless [`aligned`](Self::aligned) says otherwise.
    pub fn new(
        outside: usize,
        make: impl for<'m> Fn(&'m mut [MaybeUninit<u8>]) -> Option<Box<dyn Heap + 'm>> + Send + Sync + 'static,
    ) -> Self {
        Self { name: String::new(), outside, alignment: None, step: 16, make: Box::new(make) }
    }

    /// Says which of the configurations of a contestant it is.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Memory that starts at a multiple of `alignment` bytes, of which the size is a multiple of `step` bytes.
    ///
    /// For heaps that would lose a part of any other memory.
    #[must_use]
    pub fn aligned(mut self, alignment: usize, step: usize) -> Self {
        (self.alignment, self.step) = (Some(alignment), step);
        self
    }

    /// Which of the configurations of a contestant it is: empty for the only one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that the heap keeps outside of its memory.
    #[must_use]
    pub fn outside(&self) -> usize {
        self.outside
    }

    /// What the memory has to be aligned to; `None` where 16 bytes will do.
    #[must_use]
    pub fn alignment(&self) -> Option<usize> {
        self.alignment
    }

    /// What the size of the memory is a multiple of.
    #[must_use]
    pub fn step(&self) -> usize {
        self.step
    }

    /// Makes the heap; `None` if the memory is too small for an empty one.
    pub fn make<'m>(&self, memory: &'m mut [MaybeUninit<u8>]) -> Option<Box<dyn Heap + 'm>> {
        (self.make)(memory)
    }
}
