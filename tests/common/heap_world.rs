//! A model of a heap of size classes, to compare the real one with, step by step.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::{GUARD, RECORD, blocks_per_page, pages_per_run};
use hpalloc::{Arena, PAGE_SIZE, Region, SizeClasses, SizeTable};

#[derive(Clone, Copy)]
struct Block {
    first: NonNull<u8>,
    layout: Layout,
    /// What all of its bytes are.
    stamp: u8,
}

/// What is known of the blocks of a size.
#[derive(Clone, Copy, Default)]
struct Class {
    size: usize,
    free: usize,
    fresh: usize,
    carved: usize,
}

/// Bytes that are compared at a time: Miri takes as long for each of them as for one byte.
const CHUNK: usize = 128;

impl Block {
    /// So many bytes are still as they were.
    fn check(self, size: usize) {
        // SAFETY: all bytes of the block were written to.
        let bytes = unsafe { core::slice::from_raw_parts(self.first.as_ptr(), size) };
        let is_whole = bytes.chunks(CHUNK).all(|chunk| *chunk == [self.stamp; CHUNK][..chunk.len()]);
        assert!(is_whole, "{:?} was written to", self.layout);
    }
}

/// A heap, and a model of it.
pub struct HeapWorld<'a, R: Region, const N: usize, const LIVE: usize, const CLASSES: usize> {
    heap: SizeClasses<&'a Arena<R>, N>,
    arena: &'a Arena<R>,
    base: usize,
    classes: [Class; CLASSES],
    pages_taken: usize,
    live: [Option<Block>; LIVE],
    stamp: u8,
}

impl<'a, R: Region, const N: usize, const LIVE: usize, const CLASSES: usize> HeapWorld<'a, R, N, LIVE, CLASSES> {
    /// The arena must not have handed out a page yet. `base` is the address of its first.
    pub fn new(arena: &'a Arena<R>, base: usize, table: &'static SizeTable<N>) -> Self {
        assert_eq!(arena.pages_allocated(), 0);
        Self {
            heap: SizeClasses::with_table(arena, table),
            arena,
            base,
            classes: [Class::default(); CLASSES],
            pages_taken: 0,
            live: [None; LIVE],
            stamp: 0,
        }
    }

    /// Uses a place: if there is no block, one is allocated for the layout; otherwise it is resized to that of the layout's
    /// size, or freed.
    pub fn step(&mut self, place: usize, new: Layout, resizes: bool) {
        let place = place % LIVE;
        match self.live[place] {
            None => self.allocate(place, new),
            Some(block) if resizes => self.resize(place, block, new.size()),
            Some(block) => {
                self.live[place] = None;
                self.deallocate(block);
            }
        }
        assert_eq!(self.arena.pages_allocated(), self.pages_taken);
    }

    /// Frees everything that is live.
    pub fn clear(&mut self) {
        for place in 0..LIVE {
            if let Some(block) = self.live[place].take() {
                self.deallocate(block);
            }
        }
    }

    /// Whether a block for the layout is to be had; if so, it is taken out of the model.
    fn model_allocates(&mut self, layout: Layout) -> bool {
        let size = self.heap.usable_size(layout);
        let Some(class) = self.classes.iter_mut().find(|class| class.size == size || class.size == 0) else {
            panic!("the model has too few classes")
        };
        if size == 0 {
            return false;
        }
        class.size = size;
        if class.free > 0 {
            class.free -= 1;
            return true;
        }
        if class.fresh == 0 {
            let pages = pages_per_run(size);
            if pages > self.arena.total_pages() - self.pages_taken {
                return false;
            }
            self.pages_taken += pages;
            class.fresh = blocks_per_page(size).max(1);
        }
        class.fresh -= 1;
        class.carved += 1;
        true
    }

    fn model_frees(&mut self, layout: Layout) {
        let size = self.heap.usable_size(layout);
        let class = self.classes.iter_mut().find(|class| class.size == size).expect("a block came from it");
        class.free += 1;
    }

    fn allocate(&mut self, place: usize, layout: Layout) {
        let expected = self.model_allocates(layout);
        let real = self.heap.allocate(layout);
        assert_eq!(real.is_some(), expected, "{layout:?}");
        self.live[place] = real.map(|first| self.filled(first, layout));
    }

    /// The block, with a stamp of its own on every byte.
    fn filled(&mut self, first: NonNull<u8>, layout: Layout) -> Block {
        let size = self.heap.usable_size(layout);
        let offset = first.addr().get() - self.base;
        assert_eq!(first.addr().get() % layout.align(), 0, "{layout:?}");
        assert!(size >= layout.size() && offset + size <= self.pages_taken * PAGE_SIZE, "{layout:?}");
        self.stamp = self.stamp.wrapping_add(1);
        // SAFETY: the block has so many bytes, and is nobody else's.
        unsafe { first.write_bytes(self.stamp, size) };
        Block { first, layout, stamp: self.stamp }
    }

    fn deallocate(&mut self, block: Block) {
        block.check(self.heap.usable_size(block.layout));
        self.model_frees(block.layout);
        // SAFETY: the block is live, came with this layout, and isn't used any more.
        unsafe { self.heap.deallocate(block.first, block.layout) };
    }

    fn resize(&mut self, place: usize, block: Block, size: usize) {
        let Ok(new) = Layout::from_size_align(size, block.layout.align()) else { return };
        let in_place = self.heap.usable_size(new) == self.heap.usable_size(block.layout);
        let expected = in_place || self.model_allocates(new);
        // SAFETY: the block is live and came with this layout.
        let real = unsafe {
            if size >= block.layout.size() {
                self.heap.grow(block.first, block.layout, new)
            } else {
                self.heap.shrink(block.first, block.layout, new)
            }
        };
        assert_eq!(real.is_some(), expected, "{:?} to {new:?}", block.layout);
        let Some(first) = real else { return };
        assert_eq!(first == block.first, in_place);
        Block { first, ..block }.check(size.min(block.layout.size()));
        if !in_place {
            self.model_frees(block.layout);
        }
        self.live[place] = Some(self.filled(first, new));
    }

    /// Compares all counts.
    pub fn check_counts(&self) {
        let of_size = |size: usize| self.classes.iter().find(|class| class.size == size).copied().unwrap_or_default();
        let (peaks, frees) = (self.heap.peak_blocks(), self.heap.free_blocks());
        for ((size, peak), free) in self.heap.block_sizes().iter().zip(peaks).zip(frees) {
            let class = of_size(size.bytes());
            assert_eq!((peak, free), (class.carved, class.free), "{size:?}");
        }
        let is_run = |class: &&Class| self.heap.block_sizes().iter().all(|size| size.bytes() != class.size);
        let pages = |count: fn(&Class) -> usize| -> usize {
            self.classes
                .iter()
                .filter(is_run)
                .map(|class| count(class) * (class.size + GUARD + RECORD) / PAGE_SIZE)
                .sum()
        };
        assert_eq!(self.heap.run_pages(), (pages(|class| class.carved), pages(|class| class.free)));
    }
}
