/// A step of a trace. A block is named by the number of a slot, which is used again after the block was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Allocates a block.
    Allocate {
        /// Where the block is noted.
        slot: u32,
        /// In bytes, at least one.
        size: u32,
        /// A power of two.
        align: u32,
    },
    /// Makes a block larger or smaller.
    Reallocate {
        /// Where the block is noted.
        slot: u32,
        /// The new size in bytes, at least one.
        size: u32,
    },
    /// Frees a block.
    Free {
        /// Where the block is noted.
        slot: u32,
    },
}

/// What a program asks of its heap, from start to end. At the end blocks may be live.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(crate) operations: Vec<Operation>,
    pub(crate) slots: usize,
    pub(crate) peak: usize,
}

impl Trace {
    /// The steps.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many slots there are: the most blocks that are live at once.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The most bytes that are live at once: the sum of the sizes as they were asked for.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.peak
    }
}
