//! Commits misuse on purpose, and checks the reports of a heap in a hardened build.

use std::alloc::Layout;
use std::cell::RefCell;
use std::ptr::NonNull;

use hpalloc::PageSource;
use hpalloc::hardened::{self, Misuse};

use super::{Block, GRANULE, Misused, Model};

thread_local! {
    static FOUND: RefCell<Vec<Misuse>> = const { RefCell::new(Vec::new()) };
}

/// Sets a hook that collects reports, so that the program continues after misuse.
pub fn listen() {
    hardened::set_hook(|error| FOUND.with_borrow_mut(|found| found.push(error.misuse)));
    take();
}

/// Returns the misuse that was reported since the last call.
pub fn take() -> Vec<Misuse> {
    FOUND.take()
}

impl<P: PageSource> Model<'_, P> {
    pub fn misuse(&mut self, place: usize, offset: isize, layout: Layout, kind: Misused) {
        let before = (self.heap.used(), self.heap.free(), self.heap.largest_free());
        match kind {
            Misused::Freed { resizes } => {
                let Some(index) = place.checked_rem(self.freed.len()) else { return };
                let block = self.freed[index];
                if block.layout.size() == 0 || self.is_live_memory(&block) {
                    return;
                }
                assert_eq!(self.try_misuse(block, layout, resizes), Misuse::DoubleFree, "{block:?}");
            }
            Misused::Near { resizes } => {
                let Some(index) = place.checked_rem(self.live.len()) else { return };
                let near = self.live[index];
                let Some(start) = NonNull::new(near.start.as_ptr().wrapping_offset(offset)) else { return };
                let block = Block { start, layout, ..near };
                let end = start.addr().get().checked_add(layout.size());
                if near.layout.size() == 0 || layout.size() == 0 || end.is_some() && self.is_live_memory(&block) {
                    return;
                }
                let misuse = self.try_misuse(block, near.layout, resizes);
                let address = start.addr().get();
                // The address is in pages that another user took from the source, or
                // outside the memory.
                let is_foreign = self.excluded.iter().any(|excluded| excluded.contains(&address))
                    || !self.memory.iter().any(|memory| memory.contains(&address));
                if address % GRANULE.max(layout.align()) == 0 && is_foreign {
                    assert_eq!(misuse, Misuse::Foreign, "{block:?}");
                } else if address % layout.align() != 0 {
                    assert!(matches!(misuse, Misuse::NotABlock | Misuse::Foreign), "{misuse:?} of {block:?}");
                } else {
                    // The start of the memory holds the heap's records, and is foreign as
                    // well.
                    assert!(
                        matches!(
                            misuse,
                            Misuse::DoubleFree | Misuse::NeverAllocated | Misuse::NotABlock | Misuse::Foreign
                        ),
                        "{misuse:?} of {block:?}"
                    );
                }
            }
            Misused::Foreign { resizes } => {
                let mut foreign = [0_u128; 4];
                let start = NonNull::from(&mut foreign).cast();
                let layout = Layout::new::<[u128; 4]>();
                let misuse = self.try_misuse(Block { start, layout, number: 0 }, layout, resizes);
                assert_eq!(misuse, Misuse::Foreign);
            }
        }
        assert_eq!((self.heap.used(), self.heap.free(), self.heap.largest_free()), before);
    }

    /// Writes to a freed block while no block is live, and then allocates all of the
    /// memory. The write must be reported exactly once, and the byte must not be handed
    /// out.
    pub fn write_after_free(&self) {
        // Skip the words that the heap may keep at both ends of a hole.
        let Some(freed) = self.freed.iter().rev().find(|block| block.layout.size() >= 64) else { return };
        // SAFETY: the address is in the heap's memory. Writing to it is the misuse under
        // test.
        let written = unsafe { freed.start.add(32) };
        // SAFETY: as above.
        unsafe { written.write(!written.read()) };
        for size in [200, 8] {
            let layout = Layout::from_size_align(size, 1).expect("a layout");
            while let Some(block) = self.heap.allocate(layout) {
                let start = block.addr().get();
                assert!(
                    !(start..start + size).contains(&written.addr().get()),
                    "{block:?} was handed out although it was written to"
                );
            }
        }
        assert_eq!(take(), [Misuse::WrittenAfterFree], "{freed:?}");
    }

    /// Frees or resizes something that isn't a live block, and returns the reports of the
    /// heap.
    fn try_misuse(&self, block: Block, new: Layout, resizes: bool) -> Misuse {
        let Block { start, layout, .. } = block;
        if !resizes {
            // SAFETY: `try_deallocate` returns an error for an invalid pointer and
            // changes nothing.
            return unsafe { self.heap.try_deallocate(start, layout) }.expect_err("it isn't a live block").misuse;
        }
        // A request to resize to zero bytes would free the block.
        let new = if new.size() == 0 { layout } else { new };
        // SAFETY: a hardened build reports misuse and otherwise ignores it.
        let moved = unsafe {
            if new.size() >= layout.size() {
                self.heap.grow(start, layout, new)
            } else {
                self.heap.shrink(start, layout, new)
            }
        };
        assert_eq!(moved, None);
        let found = take();
        assert_eq!(found.len(), 1, "{block:?}");
        found[0]
    }

    /// Returns `true` if all of the block may be memory of live blocks. The heap then
    /// can't tell that it isn't a block.
    fn is_live_memory(&self, block: &Block) -> bool {
        let mut live: Vec<_> = self.live.iter().map(Block::range).filter(|range| !range.is_empty()).collect();
        live.sort_by_key(|range| range.start);
        let mut from = block.range().start;
        for range in live {
            // Bytes that round up a size belong to the block.
            let (start, end) = (range.start, range.end.next_multiple_of(GRANULE));
            if start <= from && from < end {
                from = end;
            }
        }
        from >= block.range().end
    }
}
