use crate::{Operation, Trace};

/// A live block of a trace that is being made.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    slot: u32,
}

/// Makes a trace, step by step.
#[derive(Debug, Default)]
pub struct TraceBuilder {
    operations: Vec<Operation>,
    /// For each slot the size of its block; zero if it is empty.
    sizes: Vec<u32>,
    unused: Vec<u32>,
    live: usize,
    peak: usize,
}

impl TraceBuilder {
    /// A trace without steps.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allocates a block of at least one byte.
    ///
    /// # Panics
    ///
    /// If there are 2^32 bytes or blocks.
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

    /// Makes a block larger or smaller.
    ///
    /// # Panics
    ///
    /// If there are 2^32 bytes.
    pub fn reallocate(&mut self, block: &Block, size: usize) {
        let size = number(size.max(1));
        let old = std::mem::replace(&mut self.sizes[block.slot as usize], size);
        self.operations.push(Operation::Reallocate { slot: block.slot, size });
        self.live -= old as usize;
        self.lives(size as usize);
    }

    /// Frees a block.
    #[allow(clippy::needless_pass_by_value, reason = "it is no more")]
    pub fn free(&mut self, block: Block) {
        let Block { slot } = block;
        self.live -= std::mem::take(&mut self.sizes[slot as usize]) as usize;
        self.operations.push(Operation::Free { slot });
        self.unused.push(slot);
    }

    /// The size of a live block.
    #[must_use]
    pub fn size(&self, block: &Block) -> usize {
        self.sizes[block.slot as usize] as usize
    }

    /// The sum of the sizes of the live blocks.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many steps there are so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.operations.len()
    }

    /// The trace.
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
    u32::try_from(number).expect("a trace is of less than 2^32 bytes and blocks")
}
