//! A model of a heap of size classes, which is compared with a real heap after each step.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::{GUARD, RECORD, blocks_per_page, pages_per_run, run_sizes};
use hpalloc::{Arena, PAGE_SIZE, Region, SizeClasses, SizeTable};

#[derive(Clone, Copy)]
struct Block {
    first: NonNull<u8>,
    layout: Layout,
    /// The byte that the block is filled with.
    stamp: u8,
}

/// The state of a class, or of the runs of one size.
#[derive(Clone, Copy, Default)]
struct Class {
    size: usize,
    is_run: bool,
    free: usize,
    fresh: usize,
    carved: usize,
}

/// The number of bytes that are compared at a time. For Miri, comparing that many is as
/// fast as comparing a single byte.
const CHUNK: usize = 128;

impl Class {
    /// Returns `true` if the class has a free run of at least `pages` pages.
    fn is_run_of(&self, pages: usize) -> bool {
        self.is_run && self.free > 0 && pages_per_run(self.size) >= pages
    }
}

impl Block {
    /// Checks that the first `size` bytes are unchanged.
    fn check(self, size: usize) {
        // SAFETY: all bytes of the block were written.
        let bytes = unsafe { core::slice::from_raw_parts(self.first.as_ptr(), size) };
        let is_whole = bytes.chunks(CHUNK).all(|chunk| *chunk == [self.stamp; CHUNK][..chunk.len()]);
        assert!(is_whole, "a live block of {:?} was overwritten", self.layout);
    }
}

/// A heap and its model.
pub struct HeapWorld<'a, R: Region, const N: usize, const LIVE: usize, const CLASSES: usize> {
    heap: SizeClasses<&'a Arena<R>, N>,
    table: &'static SizeTable<N>,
    arena: &'a Arena<R>,
    base: usize,
    classes: [Class; CLASSES],
    pages_taken: usize,
    live: [Option<Block>; LIVE],
    stamp: u8,
}

impl<'a, R: Region, const N: usize, const LIVE: usize, const CLASSES: usize> HeapWorld<'a, R, N, LIVE, CLASSES> {
    /// Creates a world. The arena must not have handed out any page yet. `base` is the
    /// address of its first page.
    pub fn new(arena: &'a Arena<R>, base: usize, table: &'static SizeTable<N>) -> Self {
        assert_eq!(arena.pages_allocated(), 0);
        Self {
            heap: SizeClasses::with_table(arena, table),
            table,
            arena,
            base,
            classes: [Class::default(); CLASSES],
            pages_taken: 0,
            live: [None; LIVE],
            stamp: 0,
        }
    }

    /// Uses a place. If it is empty, a block with this layout is allocated. Otherwise its
    /// block is resized to the size of the layout, or freed.
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

    /// Frees all live blocks.
    pub fn clear(&mut self) {
        for place in 0..LIVE {
            if let Some(block) = self.live[place].take() {
                self.deallocate(block);
            }
        }
    }

    /// Returns the class with this block size, or the class of the runs of this size.
    fn class(&mut self, size: usize, is_run: bool) -> &mut Class {
        let is_it = |class: &&mut Class| (class.size, class.is_run) == (size, is_run) || class.size == 0;
        let class = self.classes.iter_mut().find(is_it).expect("the model has enough classes");
        (class.size, class.is_run) = (size, is_run);
        class
    }

    /// Returns the class that serves a layout. Free runs that are no larger than a block
    /// are remainders of larger runs, and serve only classes.
    fn class_of(&mut self, layout: Layout) -> &mut Class {
        let size = self.heap.usable_size(layout);
        let is_run = self.heap.block_sizes().iter().all(|class| class.bytes() != size);
        self.class(size, is_run)
    }

    /// Returns `true` if the model has a block for the layout, and takes it.
    fn model_allocates(&mut self, layout: Layout) -> bool {
        let size = self.heap.usable_size(layout);
        if size == 0 {
            return false;
        }
        let Class { free, fresh, .. } = *self.class_of(layout);
        if free > 0 {
            self.class_of(layout).free -= 1;
            return true;
        }
        if fresh == 0 {
            let pages = pages_per_run(size);
            if pages <= self.arena.total_pages() - self.pages_taken {
                self.pages_taken += pages;
            } else if !self.model_cuts(pages) {
                return false;
            }
            self.class_of(layout).fresh = blocks_per_page(size).max(1);
        }
        let class = self.class_of(layout);
        class.fresh -= 1;
        class.carved += 1;
        true
    }

    /// Returns `true` if the model has a free run of at least `pages` pages, and cuts the
    /// smallest. The rest becomes free runs, each as large as possible.
    fn model_cuts(&mut self, pages: usize) -> bool {
        let runs = self.classes.iter().filter(|class| class.is_run_of(pages)).map(|class| class.size);
        let Some(run) = runs.min() else { return false };
        let class = self.class(run, true);
        class.free -= 1;
        class.carved -= 1;
        let mut rest = pages_per_run(run) - pages;
        while let Some(pages) = run_sizes().take_while(|&size| size <= rest).last() {
            let class = self.class(pages * PAGE_SIZE - GUARD - RECORD, true);
            class.free += 1;
            class.carved += 1;
            rest -= pages;
        }
        true
    }

    fn model_frees(&mut self, layout: Layout) {
        self.class_of(layout).free += 1;
    }

    /// Returns the largest request that the model would serve. It is always the size of a
    /// block or a run.
    fn model_largest(&self) -> usize {
        let serves = |size: usize, is_run: bool| {
            let pages = pages_per_run(size);
            let class = self.classes.iter().find(|class| (class.size, class.is_run) == (size, is_run));
            class.is_some_and(|class| class.free > 0 || class.fresh > 0)
                || pages <= self.arena.total_pages() - self.pages_taken
                || self.classes.iter().any(|class| class.is_run_of(pages))
        };
        let sizes = self.heap.block_sizes().iter().map(|size| size.bytes());
        let most = sizes.clone().max().unwrap_or(0);
        let runs = run_sizes().map(|pages| pages * PAGE_SIZE - GUARD - RECORD).filter(|&size| size > most);
        let runs = runs.take(CLASSES).filter(|&size| serves(size, true));
        sizes.filter(|&size| serves(size, false)).chain(runs).max().unwrap_or(0)
    }

    fn allocate(&mut self, place: usize, layout: Layout) {
        let expected = self.model_allocates(layout);
        let real = self.heap.allocate(layout);
        assert_eq!(real.is_some(), expected, "{layout:?}");
        self.live[place] = real.map(|first| self.filled(first, layout));
    }

    /// Fills all of a block with a new stamp.
    fn filled(&mut self, first: NonNull<u8>, layout: Layout) -> Block {
        let size = self.heap.usable_size(layout);
        let offset = first.addr().get() - self.base;
        assert_eq!(first.addr().get() % layout.align(), 0, "{layout:?}");
        assert!(size >= layout.size() && offset + size <= self.pages_taken * PAGE_SIZE, "{layout:?}");
        self.stamp = self.stamp.wrapping_add(1);
        // SAFETY: the block is large enough, and nothing else uses it.
        unsafe { first.write_bytes(self.stamp, size) };
        Block { first, layout, stamp: self.stamp }
    }

    fn deallocate(&mut self, block: Block) {
        block.check(self.heap.usable_size(block.layout));
        self.model_frees(block.layout);
        // SAFETY: the block is live, has this layout, and isn't used afterwards.
        unsafe { self.heap.deallocate(block.first, block.layout) };
    }

    fn resize(&mut self, place: usize, block: Block, size: usize) {
        let Ok(new) = Layout::from_size_align(size, block.layout.align()) else { return };
        let in_place = self.heap.usable_size(new) == self.heap.usable_size(block.layout);
        let expected = in_place || self.model_allocates(new);
        // SAFETY: the block is live and has this layout.
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

    /// Compares all counts of the heap with those of the model.
    pub fn check_counts(&mut self) {
        let of_size = |size: usize| self.classes.iter().find(|class| (class.size, class.is_run) == (size, false));
        let (peaks, frees) = (self.heap.peak_blocks(), self.heap.free_blocks());
        for ((size, peak), free) in self.heap.block_sizes().iter().zip(peaks).zip(frees) {
            let class = of_size(size.bytes()).copied().unwrap_or_default();
            assert_eq!((peak, free), (class.carved, class.free), "{size:?}");
        }
        let runs = |count: fn(&Class) -> usize| -> usize {
            let runs = self.classes.iter().filter(|class| class.is_run);
            runs.map(|class| count(class) * pages_per_run(class.size)).sum()
        };
        let free_pages = runs(|class| class.free);
        assert_eq!((self.heap.run_pages(), self.heap.free_run_pages()), (runs(|class| class.carved), free_pages));

        let usage = self.heap.usage();
        let blocks = self.classes.iter().filter(|class| !class.is_run);
        let free: usize = blocks.map(|class| class.free * class.size).sum();
        assert_eq!(usage.free_bytes(), free + free_pages * PAGE_SIZE);
        let live = self.live;
        let live = live.iter().flatten().map(|block| {
            let Class { size, is_run, .. } = *self.class_of(block.layout);
            if is_run { pages_per_run(size) * PAGE_SIZE } else { size }
        });
        assert_eq!(usage.live_bytes(), live.sum());

        let of_source = self.table.largest_request(self.arena.pages_remaining());
        assert_eq!(self.heap.largest_free().max(of_source), self.model_largest());
    }
}
