//! A model of a heap: its live blocks and their contents and, in a hardened build, the
//! blocks that were freed.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::NonNull;

use arbitrary::Arbitrary;
use hpalloc::{Heap, PAGE_SIZE, PageSource};

#[cfg(hpalloc_hardened)]
mod misuse;

/// The largest granule that a heap may have. Sizes are rounded up to a multiple of the
/// granule.
const GRANULE: usize = 16;
/// The smallest granule that a heap may have. Alignments up to the granule never make a
/// request fail.
const LEAST_GRANULE: usize = 4;

#[derive(Arbitrary, Clone, Copy, Debug)]
#[cfg_attr(not(hpalloc_hardened), expect(dead_code, reason = "only a hardened build detects misuse"))]
pub enum Operation {
    Allocate {
        size: u16,
        align: u8,
        is_zeroed: bool,
    },
    Resize {
        place: u8,
        size: u16,
        align: u8,
    },
    Free {
        place: u8,
    },
    /// Allocates a block as large as the largest hole.
    AllocateLargest,
    TakePages {
        count: u8,
    },
    /// Commits misuse, in a hardened build.
    Misuse {
        place: u8,
        offset: i16,
        size: u16,
        align: u8,
        kind: Misused,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
#[cfg_attr(not(hpalloc_hardened), expect(dead_code, reason = "only a hardened build detects misuse"))]
pub enum Misused {
    /// Frees, grows or shrinks a block that was already freed.
    Freed { resizes: bool },
    /// Passes an arbitrary pointer near a live block.
    Near { resizes: bool },
    /// Passes a pointer to memory that isn't the heap's.
    Foreign { resizes: bool },
}

impl Operation {
    /// Returns a place and a size for collections, which have no layouts.
    pub fn place_and_size(self) -> (usize, usize) {
        match self {
            Self::Allocate { size, align, .. } => (align.into(), size.into()),
            Self::Resize { place, size, .. } | Self::Misuse { place, size, .. } => (place.into(), size.into()),
            Self::Free { place } | Self::TakePages { count: place } => (place.into(), 0),
            Self::AllocateLargest => (0, 1),
        }
    }
}

/// Returns a layout of 0 to 32 KiB, more often a small one, or one that is larger than
/// any memory.
fn layout(size: u16, align: u8) -> Layout {
    let shift = size >> 13;
    let align = if align < 160 { 1 << (align % 4) } else { 1 << (align % 15) };
    let size = match size {
        u16::MAX => isize::MAX as usize + 1 - align,
        _ => (usize::from(size & 0x1FFF) << 2) >> shift,
    };
    Layout::from_size_align(size, align).expect("the alignment is a power of two and the size not too large")
}

/// Returns the addresses of a slice of memory.
pub fn range(memory: &mut [MaybeUninit<u8>]) -> Range<usize> {
    let range = memory.as_ptr_range();
    range.start.addr()..range.end.addr()
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Bytes that depend on the block and on their position in it, so that copied bytes from
/// another place are detected.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    start: NonNull<u8>,
    bytes: usize,
    number: usize,
}

impl Pattern {
    pub fn new(start: NonNull<u8>, bytes: usize, number: usize) -> Self {
        Self { start, bytes, number }
    }

    fn bytes(self) -> impl Iterator<Item = u8> {
        let first = self.number.wrapping_mul(37);
        (0..self.bytes).map(move |index| (first ^ index ^ index >> 8) as u8)
    }

    pub fn write(&self) {
        for (index, byte) in self.bytes().enumerate() {
            // SAFETY: the memory has `bytes` bytes, and nothing else uses it.
            unsafe { self.start.add(index).write(byte) };
        }
    }

    /// Compares the first `bytes` bytes with the pattern.
    pub fn check(&self, bytes: usize) {
        // SAFETY: these bytes were written earlier.
        let contents = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), bytes) };
        assert!(contents.iter().copied().eq(self.bytes().take(bytes)), "{self:?}");
    }
}

/// A live block.
#[derive(Clone, Copy, Debug)]
struct Block {
    start: NonNull<u8>,
    layout: Layout,
    number: usize,
}

impl Block {
    fn range(&self) -> Range<usize> {
        let start = self.start.addr().get();
        start..start + self.layout.size()
    }

    fn pattern(&self) -> Pattern {
        Pattern::new(self.start, self.layout.size(), self.number)
    }
}

/// A heap together with the expected state of its blocks.
pub struct Model<'h, P: PageSource> {
    heap: &'h Heap<P>,
    /// The ranges that blocks may be in, and the parts of these ranges that they must not
    /// be in.
    memory: Vec<Range<usize>>,
    excluded: Vec<Range<usize>>,
    live: Vec<Block>,
    /// The most recently freed blocks.
    freed: Vec<Block>,
    /// The number of blocks that were allocated so far.
    number: usize,
    /// The free bytes and the largest hole when no block was live.
    empty: Option<(usize, usize)>,
}

impl<'h, P: PageSource> Model<'h, P> {
    pub fn new(heap: &'h Heap<P>, memory: Vec<Range<usize>>) -> Self {
        #[cfg(hpalloc_hardened)]
        misuse::listen();
        Self { heap, memory, excluded: vec![], live: vec![], freed: vec![], number: 0, empty: None }
    }

    /// Marks memory as belonging to another user.
    pub fn exclude(&mut self, memory: Range<usize>) {
        self.excluded.push(memory);
    }

    pub fn step(&mut self, operation: Operation) {
        match operation {
            Operation::Allocate { size, align, is_zeroed } => self.allocate(layout(size, align), is_zeroed),
            Operation::AllocateLargest => {
                let largest = self.heap.largest_free();
                self.allocate(Layout::from_size_align(largest, 1).expect("the size is not too large"), false);
            }
            Operation::TakePages { count } => {
                let count = usize::from(count) % 5;
                let block = self.heap.take_pages(count);
                let layout = Layout::from_size_align(count * PAGE_SIZE, PAGE_SIZE).expect("the size is not too large");
                assert!(block.is_none() || count > 0);
                if let Some(block) = block {
                    self.add(block.cast(), layout);
                }
            }
            Operation::Resize { place, size, align } => {
                if let Some(index) = usize::from(place).checked_rem(self.live.len()) {
                    self.resize(index, layout(size, align));
                }
            }
            Operation::Free { place } => {
                if let Some(index) = usize::from(place).checked_rem(self.live.len()) {
                    self.free(index);
                }
            }
            #[cfg(hpalloc_hardened)]
            Operation::Misuse { place, offset, size, align, kind } => {
                self.misuse(place.into(), offset.into(), layout(size, align), kind);
            }
            #[cfg(not(hpalloc_hardened))]
            Operation::Misuse { .. } => {}
        }
        self.check_counts();
        #[cfg(hpalloc_hardened)]
        assert_eq!(misuse::take(), []);
    }

    fn allocate(&mut self, layout: Layout, is_zeroed: bool) {
        let largest = self.heap.largest_free();
        let block = if is_zeroed { self.heap.allocate_zeroed(layout) } else { self.heap.allocate(layout) };
        let Some(block) = block else {
            assert!(
                layout.size() > largest || layout.align() > LEAST_GRANULE,
                "{layout:?} was refused, with a hole of {largest} bytes"
            );
            return;
        };
        if is_zeroed {
            // SAFETY: the block is live and zeroed.
            let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), layout.size()) };
            assert!(bytes.iter().all(|&byte| byte == 0));
        }
        self.add(block, layout);
    }

    fn add(&mut self, start: NonNull<u8>, layout: Layout) {
        self.number += 1;
        let block = Block { start, layout, number: self.number };
        self.check_place(&block);
        block.pattern().write();
        self.live.push(block);
    }

    /// Checks that a block is aligned, in the heap's memory, and overlaps no other user's
    /// memory.
    fn check_place(&self, block: &Block) {
        let range = block.range();
        assert_eq!(range.start % block.layout.align(), 0, "{block:?}");
        if range.is_empty() {
            return;
        }
        assert!(self.memory.iter().any(|memory| memory.start <= range.start && range.end <= memory.end), "{block:?}");
        assert!(!self.excluded.iter().any(|excluded| overlap(excluded, &range)), "{block:?}");
        for other in &self.live {
            assert!(!overlap(&other.range(), &range), "{block:?} and {other:?}");
        }
    }

    fn resize(&mut self, index: usize, new: Layout) {
        let block = self.live.swap_remove(index);
        let old = block.layout;
        // SAFETY: the block is live and has the layout `old`.
        let moved = unsafe {
            if new.size() >= old.size() {
                self.heap.grow(block.start, old, new)
            } else {
                self.heap.shrink(block.start, old, new)
            }
        };
        let Some(start) = moved else {
            assert!(new.size() > old.size() || new.align() > old.align(), "{block:?} did not shrink to {new:?}");
            block.pattern().check(old.size());
            self.live.push(block);
            return;
        };
        let moved = Block { start, layout: new, ..block };
        self.check_place(&moved);
        moved.pattern().check(old.size().min(new.size()));
        moved.pattern().write();
        self.live.push(moved);
    }

    fn free(&mut self, index: usize) {
        let block = self.live.swap_remove(index);
        block.pattern().check(block.layout.size());
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { self.heap.deallocate(block.start, block.layout) };
        if self.freed.len() > 40 {
            self.freed.remove(0);
        }
        self.freed.push(block);
    }

    /// Checks the counts that the heap reports. Once no block is live, the holes must be
    /// as they were at the start.
    fn check_counts(&mut self) {
        let live = || self.live.iter().map(|block| block.layout.size());
        let (least, most) = (live().sum::<usize>(), live().map(|size| size.next_multiple_of(GRANULE)).sum());
        let (used, free, largest) = (self.heap.used(), self.heap.free(), self.heap.largest_free());
        assert!((least..=most).contains(&used), "{used} bytes are used, instead of {least} to {most}");
        assert!(largest <= free && (largest > 0) == (free > 0));
        let usage = self.heap.usage();
        assert_eq!((usage.used, usage.free, usage.largest_free), (used, free, largest));
        assert!(usage.peak >= used);
        assert!(
            free <= usage.free_blocks * largest,
            "{free} bytes are free in {} holes of up to {largest}",
            usage.free_blocks
        );
        if used == 0 {
            match self.empty {
                // The heap has the same memory as before, so it must have merged all of
                // it again.
                Some((all, in_one)) if all == free => assert_eq!(largest, in_one),
                _ => self.empty = Some((free, largest)),
            }
        }
    }

    /// Frees all live blocks.
    pub fn clear(&mut self) {
        while !self.live.is_empty() {
            self.free(self.live.len() / 2);
        }
        assert_eq!(self.heap.used(), 0);
        self.check_counts();
    }

    /// Does nothing: only a hardened build detects a write to free memory.
    #[cfg(not(hpalloc_hardened))]
    pub fn write_after_free(&self) {}
}
