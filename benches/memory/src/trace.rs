/// An operation of a trace. A block is identified by the number of its slot, which is
/// reused after the block is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Allocates a block.
    Allocate {
        /// The slot of the block.
        slot: u32,
        /// The size in bytes, at least one.
        size: u32,
        /// The alignment, a power of two.
        align: u32,
    },
    /// Changes the size of a block.
    Reallocate {
        /// The slot of the block.
        slot: u32,
        /// The new size in bytes, at least one.
        size: u32,
    },
    /// Frees a block.
    Free {
        /// The slot of the block.
        slot: u32,
    },
}

/// The requests of a program to its heap, from start to end. Blocks may still be live at
/// the end.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(crate) operations: Vec<Operation>,
    pub(crate) slots: usize,
    pub(crate) peak: usize,
}

impl Trace {
    /// Returns the operations.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Returns the number of slots, which is the maximum number of live blocks.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Returns the maximum number of live bytes, which is a sum of requested sizes.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.peak
    }
}
