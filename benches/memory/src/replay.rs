use std::alloc::Layout;
use std::ptr::NonNull;

use crate::{Heap, Operation, Trace};

/// Replays traces. A `Replay` that is used again allocates only if a trace has more slots
/// than any earlier one.
#[derive(Debug, Default)]
pub struct Replay {
    blocks: Vec<(NonNull<u8>, Layout)>,
}

impl Replay {
    /// Runs the trace on a heap that has no live blocks. Returns `false` if a request
    /// fails.
    ///
    /// # Panics
    ///
    /// If the trace contains an invalid layout.
    pub fn run(&mut self, trace: &Trace, heap: &mut dyn Heap) -> bool {
        self.blocks.clear();
        self.blocks.resize(trace.slots(), (NonNull::dangling(), Layout::new::<()>()));
        trace.operations().iter().all(|&operation| self.step(operation, heap).is_some())
    }

    /// Runs one operation. Returns `None` if the request fails.
    #[inline]
    fn step(&mut self, operation: Operation, heap: &mut dyn Heap) -> Option<()> {
        let layout = |size: u32, align: usize| Layout::from_size_align(size as usize, align).expect("a layout");
        match operation {
            Operation::Allocate { slot, size, align } => {
                let layout = layout(size, align as usize);
                self.blocks[slot as usize] = (heap.allocate(layout)?, layout);
            }
            Operation::Reallocate { slot, size } => {
                let (block, old) = &mut self.blocks[slot as usize];
                // SAFETY: a trace refers only to live blocks, which are stored here with
                // their layouts.
                *block = unsafe { heap.reallocate(*block, *old, size as usize) }?;
                *old = layout(size, old.align());
            }
            Operation::Free { slot } => {
                let (block, layout) = self.blocks[slot as usize];
                // SAFETY: as above.
                unsafe { heap.deallocate(block, layout) };
            }
        }
        Some(())
    }
}

/// Runs the trace once on a heap that has no live blocks. Returns `false` if a request
/// fails.
pub fn replay(trace: &Trace, heap: &mut dyn Heap) -> bool {
    Replay::default().run(trace, heap)
}
