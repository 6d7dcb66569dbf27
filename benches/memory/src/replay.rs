use std::alloc::Layout;
use std::ptr::NonNull;

use crate::{Heap, Operation, Trace};

/// What replays traces. Made once and used again, it allocates nothing.
#[derive(Debug, Default)]
pub struct Replay {
    blocks: Vec<(NonNull<u8>, Layout)>,
}

impl Replay {
    /// Runs the trace on a heap that has no live blocks; `false` if a request fails.
    ///
    /// # Panics
    ///
    /// If the trace has a layout that can't be.
    pub fn run(&mut self, trace: &Trace, heap: &mut dyn Heap) -> bool {
        self.blocks.clear();
        self.blocks.resize(trace.slots(), (NonNull::dangling(), Layout::new::<()>()));
        trace.operations().iter().all(|&operation| self.step(operation, heap).is_some())
    }

    /// `None` if the request fails.
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
                // SAFETY: a trace names live blocks only, each of which is noted with its layout.
                *block = unsafe { heap.reallocate(*block, *old, size as usize) }?;
                *old = layout(size, old.align());
            }
            Operation::Free { slot } => {
                let (block, layout) = self.blocks[slot as usize];
                // SAFETY: likewise.
                unsafe { heap.deallocate(block, layout) };
            }
        }
        Some(())
    }
}

/// Runs the trace once; `false` if a request fails.
pub fn replay(trace: &Trace, heap: &mut dyn Heap) -> bool {
    Replay::default().run(trace, heap)
}
