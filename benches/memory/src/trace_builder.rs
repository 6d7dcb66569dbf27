use crate::{Operation, Trace};

/// A live block of a trace under construction.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    slot: u32,
}

/// Builds a trace, operation by operation.
#[derive(Debug, Default)]
pub struct TraceBuilder {
    operations: Vec<Operation>,
    /// The size of the block in each slot, or zero if the slot is empty.
    sizes: Vec<u32>,
    unused: Vec<u32>,
    live: usize,
    peak: usize,
}

impl TraceBuilder {
    /// Creates a builder of an empty trace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allocates a block. A size of zero becomes one byte.
    ///
    /// # Panics
    ///
    /// If the size, the alignment or the number of slots exceeds 32 bits.
    pub fn allocate(&mut self, size: usize, align: usize) -> Block {
        let size = number(size.max(1));
        let slot = self.unused.pop().unwrap_or_else(|| {
            self.sizes.push(0);
            number(self.sizes.len() - 1)
        });
        self.sizes[slot as usize] = size;
        self.operations.push(Operation::Allocate { slot, size, align: number(align) });
        self.lives(size as usize);
        Block { slot }
    }

    /// Changes the size of a block. A size of zero becomes one byte.
    ///
    /// # Panics
    ///
    /// If the size exceeds 32 bits.
    pub fn reallocate(&mut self, block: &Block, size: usize) {
        let size = number(size.max(1));
        let old = std::mem::replace(&mut self.sizes[block.slot as usize], size);
        self.operations.push(Operation::Reallocate { slot: block.slot, size });
        self.live -= old as usize;
        self.lives(size as usize);
    }

    /// Frees a block.
    #[allow(clippy::needless_pass_by_value, reason = "a freed block must not be used again")]
    pub fn free(&mut self, block: Block) {
        let Block { slot } = block;
        self.live -= std::mem::take(&mut self.sizes[slot as usize]) as usize;
        self.operations.push(Operation::Free { slot });
        self.unused.push(slot);
    }

    /// Returns the size of a live block in bytes.
    #[must_use]
    pub fn size(&self, block: &Block) -> usize {
        self.sizes[block.slot as usize] as usize
    }

    /// Returns the sum of the sizes of the live blocks.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// Returns the number of operations so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.operations.len()
    }

    /// Returns the trace.
    #[must_use]
    pub fn build(self) -> Trace {
        Trace { operations: self.operations, slots: self.sizes.len(), peak: self.peak }
    }

    fn lives(&mut self, size: usize) {
        self.live += size;
        self.peak = self.peak.max(self.live);
    }
}

fn number(number: usize) -> u32 {
    u32::try_from(number).expect("sizes, alignments and slots of a trace fit in 32 bits")
}
