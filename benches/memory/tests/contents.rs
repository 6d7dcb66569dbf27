//! Runs each trace with each heap in the smallest memory in which it succeeds, and checks
//! the contents of all blocks.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use hpalloc_memory::{ALL_TRACES, Heap, Memory, all_heaps, replay, smallest};

/// A heap whose blocks are checked for overlaps and for the contents that were written to
/// them.
struct Checked<'h> {
    heap: &'h mut dyn Heap,
    /// The layouts of the live blocks by their addresses.
    live: BTreeMap<usize, Layout>,
}

/// Returns the contents of byte `index` of a block that had `seed` bytes when it was
/// filled.
fn pattern(index: usize, seed: usize) -> u8 {
    (index * 31 + seed * 17 + (index >> 8)).to_le_bytes()[0]
}

impl Checked<'_> {
    /// Adds a block and fills it.
    fn lives(&mut self, block: NonNull<u8>, layout: Layout) {
        let (start, end) = (block.addr().get(), block.addr().get() + layout.size());
        assert_eq!(start % layout.align(), 0, "the block at {start:#x} is not aligned to {layout:?}");
        if let Some((&before, other)) = self.live.range(..end).next_back() {
            assert!(before + other.size() <= start, "the block at {start:#x} overlaps the block at {before:#x}");
        }
        self.live.insert(start, layout);
        for index in 0..layout.size() {
            // SAFETY: the index is below the size of the block.
            unsafe { block.add(index).write(pattern(index, layout.size())) };
        }
    }

    /// Removes a block that will be freed or moved, and compares its bytes.
    fn dies(&mut self, block: NonNull<u8>, layout: Layout) {
        assert_eq!(self.live.remove(&block.addr().get()), Some(layout));
        holds(block, layout.size(), layout.size());
    }
}

/// Compares the first bytes of a block with the pattern.
fn holds(block: NonNull<u8>, bytes: usize, seed: usize) {
    for index in 0..bytes {
        // SAFETY: the index is below the size of the block.
        assert_eq!(unsafe { block.add(index).read() }, pattern(index, seed), "byte {index} of a block changed");
    }
}

impl Heap for Checked<'_> {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let block = self.heap.allocate(layout)?;
        self.lives(block, layout);
        Some(block)
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        self.dies(block, layout);
        // SAFETY: guaranteed by the caller.
        unsafe { self.heap.deallocate(block, layout) };
    }

    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        self.dies(block, layout);
        // SAFETY: guaranteed by the caller.
        let block = unsafe { self.heap.reallocate(block, layout, size) }?;
        holds(block, size.min(layout.size()), layout.size());
        self.lives(block, Layout::from_size_align(size, layout.align()).unwrap());
        Some(block)
    }
}

#[test]
fn contents_are_kept_in_the_smallest_memory() {
    let mut memory = Memory::new(3);
    let contestants = all_heaps();
    for program in ALL_TRACES {
        let trace = program.trace(1);
        for contestant in &contestants {
            contestant.with_configurations(&trace, |configurations| {
                for configuration in configurations {
                    let Some(bytes) = smallest(&trace, configuration, usize::MAX, &mut memory) else { continue };
                    let mut heap = memory.heap(configuration, bytes - configuration.outside()).unwrap();
                    let mut checked = Checked { heap: &mut *heap, live: BTreeMap::new() };
                    assert!(replay(&trace, &mut checked), "{} {configuration:?} {}", contestant.name(), program.name);
                }
            });
        }
    }
}
